"""One run of one model, each step only where it is needed.

A stage is done when it ran before with the same inputs (data, code that it can reach,
specification, lock, results of the stages before) and its outputs are still what it wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.io import files, git
from mlops.pipeline.cache import Ledger
from mlops.pipeline.facts import facts
from mlops.pipeline.step import STEPS
from mlops.results.base import Result
from mlops.results.evaluation import Evaluation
from mlops.results.training import Training

if TYPE_CHECKING:
    from mlops.cli.context import Context
    from mlops.data.snapshot import Dataset
    from mlops.evaluation.outcome import EvaluationContext
    from mlops.registry.chain import Bundle
    from mlops.training.model import Model

_HEAVY = {  # to import, by stage
    "train": ("skops.io", "sklearn.compose", "sklearn.linear_model"),
    "test": ("mlops.evaluation.evaluate", "sklearn.dummy", "fairlearn.metrics"),
    "report": ("mlops.reporting.charts",),
}


Say = Callable[[str], None]

Answer = TypeVar("Answer", bound=Result)


class Run:
    """The state of one run; what was read or trained once is kept for the stages that follow.

    Parameters
    ----------
    at : Context
        Where this is, and who runs it.
    name : str
        The model.
    say : callable
        Takes one line of progress.
    force : bool
        Run stages again that are done.
    """

    def __init__(self, at: Context, name: str, say: Say, force: bool = False) -> None:
        self.at, self.name, self.say, self.force = at, name, say, force
        self.project, self.started = at.project, at.now()
        self.spec, self.folder = self.project.model(name), self.project.build(name)
        self.ledger = Ledger(self.project, name, self.spec)
        self.states: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.fresh, self.last = False, STEPS[-1]

    def until(self, last: str) -> bool:
        """Run the stages up to `last` and return whether each of them said yes.

        The report is written whatever the answers are: it says them.
        """
        self.last = last
        if STEPS.index(last) >= STEPS.index("test"):
            git.require_repository(self.project.root)
        for stage in STEPS[: STEPS.index(last) + 1]:
            # Without valid data there is nothing to train; failed tests still get a verdict.
            if self.states.get("validate") == "failed" and stage != "report":
                self.states[stage] = "not reached"
                continue
            self._stage(stage)
        return "failed" not in self.states.values()

    def stale(self) -> list[str]:
        """Return the stages before the report that would run now: their results are of the past."""
        stages = STEPS[:-1]
        return [s for s in stages if not self.ledger.is_done(s, self._inputs(s))]

    def _inputs(self, stage: str) -> str:
        context = (
            str(self.champion_version) if stage in {"test", "gate", "report"} else ""
        )
        if stage == "report":
            context += f" {self.commit} {self.dirty}"
        return self.ledger.inputs(stage, context)

    def _stage(self, stage: str) -> None:
        inputs = self._inputs(stage)
        if not self.force and self.ledger.is_done(stage, inputs):
            entry = self.ledger.done[stage]
            ok, self.seconds[stage] = entry.ok, entry.seconds
            self.states[stage] = "skipped" if ok else "failed"
            self.say(
                f"{stage:<9} {'unchanged' if ok else 'unchanged: the answer is still no'}"
            )
            return
        self.fresh = True
        self.say(f"{stage} …")
        begun = time.perf_counter()
        ok = getattr(self, f"_{stage}")()
        self.seconds[stage] = time.perf_counter() - begun
        self.ledger.finish(stage, inputs, ok, self.seconds[stage])
        self.states[stage] = "ran" if ok else "failed"
        self.say(
            f"{stage:<9} {'done' if ok else 'the answer is no'} ({self.seconds[stage]:.1f} s)"
        )

    # -- the stages --------------------------------------------------------------------------

    def _validate(self) -> bool:
        from mlops.data.validation import validate

        dataset, validation = validate(self.project, self.name, self.spec, self._ahead)
        if dataset is not None:
            self.dataset = dataset
        return validation.ok

    def _ahead(self) -> None:
        """Import what the later stages use, while another process asks the contract."""
        for stage in STEPS[: STEPS.index(self.last) + 1]:
            for module in _HEAVY.get(stage, ()):
                import_module(module)

    def _train(self) -> bool:
        from mlops.training.fit import train

        self.model, _ = train(self.project, self.name, self.spec, self.dataset)
        return True

    def _test(self) -> bool:
        from mlops.evaluation.evaluate import evaluate

        return evaluate(*self._asked, self.bench).ok

    def _gate(self) -> bool:
        from mlops.gate.verdict import decide
        from mlops.registry.version_numbers import change

        release, code_changed, before = self.champion_release, True, None
        if release:
            manifest = release.manifest
            lock = {
                "lock": manifest.environment.lock_sha256
            }  # newer libraries are no other code
            now = Training.load(self.folder).model_copy(update=lock)
            code_changed = change(manifest, now)[0] != "patch"
            before = Training.model_validate_json(release.read("training.json"))
        evaluation = Evaluation.load(self.folder)
        asked = (*self._asked, self.champion_version, evaluation)
        return decide(*asked, code_changed, self.bench, before).decision == "promote"

    def _report(self) -> bool:
        from mlops.reporting.card import card
        from mlops.reporting.html import html
        from mlops.reporting.markdown import markdown

        known = facts(self, rows=True)
        info = {
            "Commit": self.commit or "",
            "Made": f"{self.started:%Y-%m-%d %H:%M} UTC",
        }
        files.write_json(self.folder / "spec.json", self.spec.model_dump(mode="json"))
        files.write_text(self.folder / "report.md", markdown(known))
        files.write_text(self.folder / "report.html", html(known))
        files.write_text(self.folder / "card.md", card(known, info))
        return True

    # -- what stages share ---------------------------------------------------------------------

    @cached_property
    def dataset(self) -> Dataset:
        """The snapshot, read back where validation was skipped."""
        from mlops.data.snapshot import Dataset

        return Dataset.load(self.folder, self.spec)

    @cached_property
    def model(self) -> Model:
        """The challenger, read back where training was skipped."""
        from mlops.training.model import Model

        return Model.load(self.folder, self.name, self.project.spec.trusted_types)

    @cached_property
    def bench(self) -> EvaluationContext:
        """The test rows with each model's predictions, made once."""
        from mlops.evaluation.outcome import EvaluationContext

        return EvaluationContext(
            self.spec, self.dataset, self.project.folder(self.name)
        )

    @property
    def _asked(self) -> tuple[Project, str, ModelSpec, Dataset, Model, Model | None]:
        return (
            self.project,
            self.name,
            self.spec,
            self.dataset,
            self.model,
            self.champion,
        )

    @cached_property
    def champion_version(self) -> str | None:
        """The version in the last stage of project.yaml, by its tag."""
        from mlops.registry.tags import read

        stage = self.project.spec.stages[-1].name
        version = read(self.project.root).model(self.name).stages.get(stage)
        return version.number if version else None

    @cached_property
    def champion_release(self) -> Bundle | None:
        """The release of that version, its chain verified."""
        from mlops.registry.chain import fetch

        ref = f"{self.name}@{self.champion_version}"
        return (
            fetch(self.project, ref, self.at.store) if self.champion_version else None
        )

    @cached_property
    def champion(self) -> Model | None:
        """The model in production, or None."""
        return self.champion_release.model() if self.champion_release else None

    @cached_property
    def commit(self) -> str | None:
        """The commit that is checked out, None outside a repository."""
        return git.head(self.project.root)

    @cached_property
    def dirty(self) -> bool:
        """Whether files differ from the commit."""
        return bool(self.commit and git.changed_files(self.project.root))

    def result(self, stage: str, kind: type[Answer]) -> Answer | None:
        """Return what a stage answered in this run, None where the run did not come to it."""
        reached = self.states.get(stage, "not reached") != "not reached"
        return kind.load(self.folder) if reached else None

"""One run of one model: validate, train, test, gate, report, each only where it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from mlops import git
from mlops.cli.context import Context, release_store
from mlops.cli.stages import STAGES, Ledger
from mlops.files import write_json, write_text
from mlops.project import Project
from mlops.reporting.facts import Everything, Rows
from mlops.reporting.facts import Run as Made
from mlops.results import Evaluation, Result, Training, Validation, Verdict
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    from mlops.data.dataset import Dataset
    from mlops.evaluation.outcome import Bench
    from mlops.registry.verify import Bundle
    from mlops.training.model import Model

Say = Callable[[str], None]
Answer = TypeVar("Answer", bound=Result)
_HEAVY = {  # to import, by stage
    "train": ("skops.io", "sklearn.compose", "sklearn.linear_model"),
    "test": ("mlops.evaluation.checks", "sklearn.dummy", "fairlearn.metrics"),
    "report": ("mlops.reporting.charts",),
}


@dataclass
class Run:
    """The state of one run; what was read or trained once is kept for the stages that follow.

    Parameters
    ----------
    project : Project
    name : str
        The model.
    context : Context
        Who runs this and where.
    say : callable
        Takes one line of progress.
    force : bool
        Run stages again that are done.
    """

    project: Project
    name: str
    context: Context
    say: Say
    force: bool = False
    states: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    fresh: bool = False
    last: str = STAGES[-1]

    def __post_init__(self) -> None:
        self.spec = self.project.model(self.name)
        self.ledger = Ledger(self.project, self.name, self.spec)
        self.folder = self.project.build(self.name)
        self.started = self.context.now()

    def until(self, last: str) -> bool:
        """Run the stages up to `last` and return whether each of them said yes.

        The report is written whatever the answers are: it says them.
        """
        self.last = last
        if STAGES.index(last) >= STAGES.index("test"):
            git.require_repository(self.project.root)
        for stage in STAGES[: STAGES.index(last) + 1]:
            # Without valid data there is nothing to train; failed tests still get a verdict.
            if self.states.get("validate") == "failed" and stage != "report":
                self.states[stage] = "not reached"
                continue
            self._stage(stage)
        return "failed" not in self.states.values()

    def stale(self) -> list[str]:
        """Return the stages before the report that would run now: their results are of the past."""
        stages = STAGES[:-1]
        return [s for s in stages if not self.ledger.is_done(s, self._inputs(s))]

    def _inputs(self, stage: str) -> str:
        context = str(self.champion_version) if stage in {"test", "gate", "report"} else ""
        if stage == "report":
            context += f" {self.commit} {self.dirty}"
        return self.ledger.inputs(stage, context)

    def _stage(self, stage: str) -> None:
        inputs = self._inputs(stage)
        if not self.force and self.ledger.is_done(stage, inputs):
            entry = self.ledger.done[stage]
            ok, self.seconds[stage] = entry.ok, entry.seconds
            self.states[stage] = "skipped" if ok else "failed"
            self.say(f"{stage:<9} {'unchanged' if ok else 'unchanged: the answer is still no'}")
            return
        self.fresh = True
        self.say(f"{stage} …")
        begun = time.perf_counter()
        ok = getattr(self, f"_{stage}")()
        self.seconds[stage] = time.perf_counter() - begun
        self.ledger.finish(stage, inputs, ok, self.seconds[stage])
        self.states[stage] = "ran" if ok else "failed"
        self.say(f"{stage:<9} {'done' if ok else 'the answer is no'} ({self.seconds[stage]:.1f} s)")

    # -- the stages --------------------------------------------------------------------------

    def _validate(self) -> bool:
        from mlops.data.validate import validate

        dataset, validation = validate(self.project, self.name, self.spec, self._ahead)
        if dataset is not None:
            self.dataset = dataset
        return validation.ok

    def _ahead(self) -> None:
        """Import what the later stages use, while another process asks the contract."""
        for stage in STAGES[: STAGES.index(self.last) + 1]:
            for module in _HEAVY.get(stage, ()):
                import_module(module)

    def _train(self) -> bool:
        from mlops.training.train import train

        self.model, _ = train(self.project, self.name, self.spec, self.dataset)
        return True

    def _test(self) -> bool:
        from mlops.evaluation.checks import evaluate

        return evaluate(*self._asked, self.champion, self.bench).ok

    def _gate(self) -> bool:
        from mlops.evaluation.gate import decide

        verdict = decide(
            *self._asked,
            self.champion,
            self.champion_version,
            Evaluation.load(self.folder),
            self.code_changed,
            self.bench,
            self.champion_training,
        )
        return verdict.decision == "promote"

    def _report(self) -> bool:
        from mlops.reporting.render import card, html, markdown

        known = facts(self, rows=True)
        info = {"Commit": self.commit or "", "Made": f"{self.started:%Y-%m-%d %H:%M} UTC"}
        write_json(self.folder / "spec.json", self.spec.model_dump(mode="json"))
        write_text(self.folder / "report.md", markdown(known))
        write_text(self.folder / "report.html", html(known))
        write_text(self.folder / "card.md", card(known, info))
        return True

    # -- what stages share ---------------------------------------------------------------------

    @cached_property
    def dataset(self) -> Dataset:
        """The snapshot, read back where validation was skipped."""
        from mlops.data.dataset import Dataset

        return Dataset.load(self.folder, self.spec)

    @cached_property
    def model(self) -> Model:
        """The challenger, read back where training was skipped."""
        from mlops.training.model import Model

        return Model.load(self.folder, self.name, self.project.spec.trusted_types)

    @cached_property
    def bench(self) -> Bench:
        """The test rows with each model's predictions, made once."""
        from mlops.evaluation.outcome import Bench

        return Bench(self.spec, self.dataset, self.project.folder(self.name))

    @property
    def _asked(self) -> tuple[Project, str, ModelSpec, Dataset, Model]:
        return self.project, self.name, self.spec, self.dataset, self.model

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
        from mlops.registry.verify import fetch

        version = self.champion_version
        ref = f"{self.name}@{version}"
        return fetch(self.project, ref, release_store(self.project)) if version else None

    @cached_property
    def champion(self) -> Model | None:
        """The model in production, or None."""
        return self.champion_release.model() if self.champion_release else None

    @property
    def code_changed(self) -> bool:
        """Whether more than data and libraries differ from the version in production."""
        from mlops.registry.manifest import change

        if self.champion_release is None:
            return True
        before, now = self.champion_release.manifest, Training.load(self.folder)
        same_lock = now.model_copy(update={"lock": before.environment.lock_sha256})
        return change(before, same_lock)[0] != "patch"

    @property
    def champion_training(self) -> Training | None:
        """How the version in production was trained; it says which rows were kept for the test."""
        release = self.champion_release
        return Training.model_validate_json(release.read("training.json")) if release else None

    @cached_property
    def commit(self) -> str | None:
        """The commit that is checked out, None outside a repository."""
        return git.head(self.project.root) if git.is_repository(self.project.root) else None

    @cached_property
    def dirty(self) -> bool:
        """Whether files differ from the commit."""
        return bool(self.commit and git.changed_files(self.project.root))

    def result(self, stage: str, kind: type[Answer]) -> Answer | None:
        """Return what a stage answered in this run, None where the run did not come to it."""
        reached = self.states.get(stage, "not reached") != "not reached"
        return kind.load(self.folder) if reached else None


def facts(run: Run, rows: bool = False) -> Everything:
    """Return all that is known of a run; with `rows` also what charts are drawn from."""
    ran = {s: t for s, t in run.seconds.items() if run.states.get(s) != "skipped"}
    champion = run.champion_release if "test" in run.seconds else None
    return Everything(
        model=run.name,
        spec=run.spec,
        validation=run.result("validate", Validation),
        training=run.result("train", Training),
        evaluation=run.result("test", Evaluation),
        verdict=run.result("gate", Verdict),
        run=Made(run.commit, run.dirty, ran, run.project.spec.cost),
        rows=_rows(run) if rows and "test" in run.seconds else None,
        champion=champion.manifest.metrics if champion else (),
    )


def _rows(run: Run) -> Rows:
    """Return the test rows' targets and predictions as arrays."""
    predicted = run.bench.predicted(run.model)
    score = predicted["score"].to_numpy() if "score" in predicted else None
    if run.spec.task == "multiclass":
        score = predicted.filter(like="p_").to_numpy(dtype=float).max(axis=1)
    said = run.result("gate", Verdict)
    old = run.bench.predicted(run.champion) if run.champion and said and said.comparison else None
    return Rows(
        actual=run.bench.test[run.spec.data.target].to_numpy(),
        predicted=predicted["prediction"].to_numpy(),
        score=score,
        champion=old["score"].to_numpy() if old is not None and "score" in old else None,
    )

"""One run of one model: validate, train, test, gate, report, each only where it is needed.

A stage is done when it ran before with the same inputs (data, code that it can reach,
specification, lock, results of the stages before) and its outputs are still what it wrote.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops import files
from mlops.cli import Context
from mlops.data.read import source_files
from mlops.project import Project
from mlops.reporting.facts import Everything, Rows
from mlops.reporting.facts import Run as Made
from mlops.results import Evaluation, Result, Training, Validation, Verdict
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    from mlops.data.dataset import Dataset
    from mlops.evaluation.outcome import Bench
    from mlops.registry.manifest import Bundle
    from mlops.training.model import Model

STAGES = ("validate", "train", "test", "gate", "report")
OUTPUTS = {
    "validate": ("validation.json", "snapshot.json", "snapshot.parquet"),
    "train": ("training.json", "model.skops", "features.py"),
    "test": ("evaluation.json", "reference.parquet", "examples.json"),
    "gate": ("verdict.json",),
    "report": ("spec.json", "report.md", "report.html", "card.md"),
}
# The room of each stage: it can reach the code of that and of those before.
_ROOMS = ("data", "training", "evaluation", "registry", "reporting")
# The parts of model.yaml and the model's own files that a stage reads; the report reads all.
_KEYS = {
    "validate": {"task", "data", "features", "sensitive", "split"},
    "train": {"task", "data", "features", "train", "metrics"},
    "test": {"task", "data", "metrics", "checks", "slices", "fairness", "split", "sensitive"},
    "gate": {"task", "data", "metrics", "gate", "split"},
}
_OWN = {
    "validate": ("contract.py",),
    "train": ("features.py", "estimator.py"),
    "test": ("tests/**/*",),
}
_HEAVY = {  # to import, by stage
    "train": ("skops.io", "sklearn.compose", "sklearn.linear_model"),
    "test": ("mlops.evaluation.quality", "sklearn.dummy", "fairlearn.metrics"),
    "report": ("mlops.reporting.charts",),
}


@dataclass(frozen=True)
class Done:
    """How a stage went when it last ran."""

    inputs: str
    outputs: dict[str, str]
    ok: bool
    seconds: float


class Ledger:
    """The stages that ran in one build folder, kept in stages.json.

    Parameters
    ----------
    project : Project
    name : str
        The model.
    spec : ModelSpec
    """

    def __init__(self, project: Project, name: str, spec: ModelSpec) -> None:
        self.project, self.name, self.spec = project, name, spec
        self.folder = project.build(name)
        self._path = self.folder / "stages.json"
        raw: dict[str, Any] = files.read_json(self._path) if self._path.is_file() else {}
        try:
            self.done = {stage: Done(**entry) for stage, entry in raw.items() if stage in STAGES}
        except (AttributeError, TypeError):  # nobody's ledger: nothing is done
            self.done = {}

    def inputs(self, stage: str, context: str = "") -> str:
        """Return one digest of all that a stage depends on; `context` adds what git says."""
        project, engine = self.project, Path(__file__).parents[1]
        folder, before = project.folder(self.name), STAGES[: STAGES.index(stage)]
        code = list(engine.glob("*.py"))
        for room in _ROOMS[: len(before) + 1]:
            code += [path for path in (engine / room).rglob("*") if path.suffix in {".py", ".j2"}]
        own = [path for pattern in _OWN.get(stage, ()) for path in folder.glob(pattern)]
        own = [path for path in own if path.is_file() and "__pycache__" not in path.parts]
        if stage != "report":  # which tells of all of them
            before = before[-1:]
        parts: dict[str, Any] = {
            "engine": files.digest_of(code, engine),
            "own": files.digest_of(own, folder),
            "spec": self.spec.model_dump(mode="json", include=_KEYS.get(stage)),
            "lock": project.lock_digest,
            # Machines of one kind differ in the third number.
            "python": platform.python_version_tuple()[:2],
            "trusted": list(project.spec.trusted_types),
            "before": [self.done[name].outputs for name in before if name in self.done],
            "context": context,
        }
        if stage == "validate":
            data = self.spec.data
            paths = source_files(data.source, folder)
            if data.labels:
                paths += source_files(data.labels, folder, "data.labels")
            parts["data"] = [(path.name, files.sha256_file(path)) for path in paths]
        return files.sha256(files.canonical_json(parts))

    def is_done(self, stage: str, inputs: str) -> bool:
        """Return whether a stage ran with these inputs and its outputs are untouched."""
        entry = self.done.get(stage)
        if entry is None or entry.inputs != inputs or not entry.outputs:
            return False
        return self._digests(stage) == entry.outputs

    def finish(self, stage: str, inputs: str, ok: bool, seconds: float) -> None:
        """Note that a stage ran; what comes after it is forgotten where its outputs changed."""
        self.done[stage] = Done(inputs, self._digests(stage), ok, round(seconds, 3))
        files.write_json(self._path, {key: vars(entry) for key, entry in self.done.items()})

    def _digests(self, stage: str) -> dict[str, str]:
        paths = (self.folder / name for name in OUTPUTS[stage])
        return {path.name: files.sha256_file(path) for path in paths if path.is_file()}


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
        self.fresh, self.last = False, STAGES[-1]

    def until(self, last: str) -> bool:
        """Run the stages up to `last` and return whether each of them said yes.

        The report is written whatever the answers are: it says them.
        """
        self.last = last
        if STAGES.index(last) >= STAGES.index("test"):
            files.require_repository(self.project.root)
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
        from mlops.data.contract import validate

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
        from mlops.training.model import train

        self.model, _ = train(self.project, self.name, self.spec, self.dataset)
        return True

    def _test(self) -> bool:
        from mlops.evaluation.quality import evaluate

        return evaluate(*self._asked, self.bench).ok

    def _gate(self) -> bool:
        from mlops.evaluation.gate import decide
        from mlops.registry.manifest import change

        release, code_changed, before = self.champion_release, True, None
        if release:
            manifest = release.manifest
            lock = {"lock": manifest.environment.lock_sha256}  # newer libraries are no other code
            now = Training.load(self.folder).model_copy(update=lock)
            code_changed = change(manifest, now)[0] != "patch"
            before = Training.model_validate_json(release.read("training.json"))
        evaluation = Evaluation.load(self.folder)
        asked = (*self._asked, self.champion_version, evaluation)
        return decide(*asked, code_changed, self.bench, before).decision == "promote"

    def _report(self) -> bool:
        from mlops.reporting.render import card, html, markdown

        known = facts(self, rows=True)
        info = {"Commit": self.commit or "", "Made": f"{self.started:%Y-%m-%d %H:%M} UTC"}
        files.write_json(self.folder / "spec.json", self.spec.model_dump(mode="json"))
        files.write_text(self.folder / "report.md", markdown(known))
        files.write_text(self.folder / "report.html", html(known))
        files.write_text(self.folder / "card.md", card(known, info))
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
    def _asked(self) -> tuple[Project, str, ModelSpec, Dataset, Model, Model | None]:
        return self.project, self.name, self.spec, self.dataset, self.model, self.champion

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
        from mlops.registry.manifest import fetch

        ref = f"{self.name}@{self.champion_version}"
        return fetch(self.project, ref, self.at.store) if self.champion_version else None

    @cached_property
    def champion(self) -> Model | None:
        """The model in production, or None."""
        return self.champion_release.model() if self.champion_release else None

    @cached_property
    def commit(self) -> str | None:
        """The commit that is checked out, None outside a repository."""
        return files.head(self.project.root)

    @cached_property
    def dirty(self) -> bool:
        """Whether files differ from the commit."""
        return bool(self.commit and files.changed_files(self.project.root))

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

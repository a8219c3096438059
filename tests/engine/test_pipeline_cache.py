"""Which steps are done again: those that can reach what has changed, and no others."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops.config.project import Project
from mlops.errors import UsageError
from mlops.io.digests import sha256
from mlops.io.files import write_text
from mlops.pipeline import imports
from mlops.pipeline.cache import StepCache, StepRecord
from mlops.pipeline.imports import ENGINE, ReachedDigests, reached_files
from mlops.pipeline.run import NAMES, STEPS
from mlops.pipeline.step import Step, keys

from .conftest import Trained

Make = Callable[..., Project]


def inputs(project: Project, engine: Path = ENGINE) -> dict[str, str]:
    """Return the digest of what each step depends on."""
    reached_files.cache_clear()
    cache = StepCache(project, "churn", project.model("churn"), engine)
    return {step.name: cache.inputs(step) for step in STEPS}


def differing(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the steps whose digest is another one."""
    return [name for name in NAMES if before[name] != after[name]]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Return a copy of the engine that a test may change."""
    copy = tmp_path / "engine" / "mlops"
    shutil.copytree(ENGINE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


# -- the engine's own code -------------------------------------------------------------

# File of the engine: the steps that depend on it. What a step writes may change with
# it, and then the steps that read that are done again as well.
DEPENDENT = {
    "data/contract.py": ["validate"],
    "training/fit.py": ["train"],
    "training/allowed_types.txt": ["train", "test", "gate", "report"],
    "evaluation/leaks.py": ["test"],
    "evaluation/slices.py": ["test", "gate", "report"],
    "evaluation/user_tests.py": ["test"],
    "gate/rules.py": ["gate"],
    "gate/verdict.py": ["gate"],
    "gate/conditions.py": ["gate"],
    "gate/slices.py": ["gate"],
    "reporting/wording.py": ["report"],
    "reporting/words.py": ["report"],
    "reporting/sections.py": ["report"],
    "reporting/templates/card.md.j2": ["report"],
    "config/model_spec.py": list(NAMES),
    "io/files.py": list(NAMES),
    "cli/pipeline.py": [],
    "cli/app.py": [],
    "__init__.py": [],
    "serving/app.py": [],
    "monitoring/drift.py": [],
    "registry/publish.py": [],
    "storage/github_releases.py": [],
    "pipeline/run.py": [],
    "pipeline/record.py": [],
    "pipeline/gate.py": ["gate"],
    "pipeline/train.py": ["train"],
    "pipeline/step.py": list(NAMES),
}


@pytest.mark.parametrize("file", DEPENDENT)
def test_a_change_of_the_engine_repeats_the_steps_that_reach_it(
    make_project: Make, engine: Path, file: str
) -> None:
    project = make_project(n=50)
    before = inputs(project, engine)
    path = engine / file
    write_text(path, path.read_text(encoding="utf-8") + "\n# changed\n")
    assert differing(before, inputs(project, engine)) == DEPENDENT[file]


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_no_step_reaches_the_code_of_a_later_one(step: object) -> None:
    """The dependency rule, as the cache sees it."""
    later = {
        "validate": ("training/", "evaluation/", "gate/", "registry/", "reporting/"),
        "train": ("evaluation/", "gate/", "registry/", "reporting/"),
        "test": ("gate/", "registry/", "reporting/"),
        "gate": ("reporting/",),
        "report": (),
    }
    # What alarms are measured by is a file of the version, which the test step writes.
    parts = ("baseline", "cells", "losses", "slices")
    baseline = {f"monitoring/{part}.py" for part in parts}
    baseline.add("monitoring/__init__.py")
    everywhere = ("cli/", "serving/", "monitoring/", "github/", "scaffold/")
    assert step in STEPS
    name = step.name  # type: ignore[attr-defined]
    module = step.run.__module__  # type: ignore[attr-defined]
    reached = [path.relative_to(ENGINE).as_posix() for path in reached_files(module)]
    assert f"pipeline/{name}.py" in reached
    too_late = {p for p in reached if p.startswith((*later[name], *everywhere))}
    assert too_late == (baseline if name == "test" else set())


def reached_from(folder: Path, files: dict[str, str], module: str) -> list[str]:
    """Return the files of a made-up engine that a module reaches."""
    for name, text in {"mlops/__init__.py": "", **files}.items():
        write_text(folder / name, text)
    engine = folder / "mlops"
    found = reached_files(module, engine)
    return sorted(path.relative_to(engine).as_posix() for path in found)


@pytest.mark.parametrize(
    "statement",
    [
        "import mlops.b.c",
        "import mlops.b.c as c",
        "from mlops.b import c",
        "from mlops.b.c import x",
        "from mlops.b import (\n    c as d,\n)",
        "from .b import c",
        "from .b.c import x",
        "from . import b\nfrom .b import c",
        "def f():\n    from mlops.b import c",
        "class A:\n    def f(self):\n        import mlops.b.c",
        "try:\n    import mlops.b.c\nexcept ImportError:\n    pass",
        "from importlib import import_module\nimport_module('mlops.b.c')",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\n"
        "else:\n    import mlops.b.c",
    ],
)
def test_an_import_is_found_wherever_it_stands(tmp_path: Path, statement: str) -> None:
    files = {
        "mlops/a.py": statement,
        "mlops/b/__init__.py": "",
        "mlops/b/c.py": "",
        "mlops/b/other.py": "",
    }
    assert reached_from(tmp_path, files, "mlops.a") == [
        "a.py",
        "b/__init__.py",
        "b/c.py",
    ]


@pytest.mark.parametrize(
    "test", ["TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING"]
)
def test_an_import_for_type_checkers_does_not_count(tmp_path: Path, test: str) -> None:
    text = f"if {test}:\n    from mlops.b import c\n"
    files = {"mlops/a.py": text, "mlops/b/__init__.py": "", "mlops/b/c.py": ""}
    assert reached_from(tmp_path, files, "mlops.a") == ["a.py"]


def test_imports_in_a_circle_and_templates_beside_a_module(tmp_path: Path) -> None:
    files = {
        "mlops/a.py": "import mlops.b.c",
        "mlops/b/__init__.py": "",
        "mlops/b/c.py": "import mlops.a",
        "mlops/b/schema.json": "{}",
        "mlops/b/templates/page.j2": "",
        "mlops/b/inner/__init__.py": "",
        "mlops/b/inner/text.txt": "",
    }
    assert reached_from(tmp_path, files, "mlops.a") == [
        "a.py",
        "b/__init__.py",
        "b/c.py",
        "b/schema.json",
        "b/templates/page.j2",
    ]


# -- the model's own code --------------------------------------------------------------

OWN = {
    "contract.py": ["validate"],
    "features.py": ["train", "test"],
    "estimator.py": ["train", "test"],
    "helper.py": ["validate", "train", "test"],
    "deep/er/helper.py": ["validate", "train", "test"],
    "tests/test_churn.py": ["test"],
    "tests/golden.json": ["test"],
    "tests/deep/helper.py": ["test"],
    "notes.md": [],
    "__pycache__/helper.cpython-311.pyc": [],
    "tests/__pycache__/test_churn.cpython-311.pyc": [],
    "tests/deep/__pycache__/helper.cpython-311.pyc": [],
}


@pytest.mark.parametrize("file", OWN)
def test_a_change_of_the_models_own_code_repeats_the_steps_that_run_it(
    make_project: Make, file: str
) -> None:
    project = make_project(n=50)
    path = project.folder("churn") / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    before = inputs(project)
    with path.open("a") as out:
        out.write("\n# changed\n")
    assert differing(before, inputs(project)) == OWN[file]


KEYS = {
    "gate: {margin: 0.02}": ["gate", "report"],
    "checks: {latency_ms: 900}": ["test", "report"],
    "slices: {columns: [plan]}": ["test", "gate", "report"],
    "risk: limited": ["report"],
    "monitor: {alpha: 0.01}": ["report"],
    "monitor: {quiet: [{from: 2026-12-24, to: 2027-01-02, reason: holidays}]}": [
        "report"
    ],
}


@pytest.mark.parametrize("added", KEYS)
def test_a_change_of_a_key_repeats_the_steps_that_read_it(
    make_project: Make, added: str
) -> None:
    project = make_project(n=50)
    before = inputs(project)
    path = project.folder("churn") / "model.yaml"
    path.write_text(f"{path.read_text()}\n{added}\n")
    assert differing(before, inputs(project)) == KEYS[added]


def test_a_key_below_train_is_read_by_train(make_project: Make) -> None:
    project = make_project(n=50)
    before = inputs(project)
    path = project.folder("churn") / "model.yaml"
    path.write_text(path.read_text().replace("learner: logistic", "learner: boosting"))
    assert differing(before, inputs(project)) == ["train", "report"]


def test_data_and_lock_repeat_what_reads_them(make_project: Make) -> None:
    project = make_project(n=50)
    before = inputs(project)
    with (project.folder("churn") / "data" / "rows.csv").open("a") as file:
        file.write("c-new,10,20.5,basic,female,yes\n")
    assert differing(before, inputs(project)) == ["validate"]
    before = inputs(project)
    project.lock.write_text("scikit-learn==2.0\n")
    assert differing(before, inputs(project)) == list(NAMES)


def test_what_a_step_before_wrote_repeats_those_that_read_it(trained: Trained) -> None:
    build = trained.project.build("churn")
    readers = {
        "validation.json": ["report"],
        "snapshot.json": ["train", "test", "gate", "report"],
        "model.skops": ["test"],  # what it predicted is handed on as a file
        "predictions.parquet": ["gate", "report"],
        "evaluation.json": ["gate", "report"],
        "verdict.json": ["report"],
    }
    for file, expected in readers.items():
        before = inputs(trained.project)
        with (build / file).open("a") as out:
            out.write(" ")
        assert differing(before, inputs(trained.project)) == expected, file


# -- what else a step depends on -------------------------------------------------------


def test_types_that_the_project_trusts_count(make_project: Make) -> None:
    project = make_project(n=50)
    before = inputs(project)
    with (project.root / "project.yaml").open("a") as out:
        out.write("trusted_types: [lightgbm.sklearn.LGBMClassifier]\n")
    assert differing(before, inputs(Project(project.root))) == list(NAMES)


@pytest.mark.parametrize(
    ("version", "repeated"),
    [
        (("3", "11", "99"), []),
        (("3", "99", "0"), list(NAMES)),
        (("4", "11", "0"), list(NAMES)),
    ],
)
def test_pythons_minor_version_counts_and_its_patch_does_not(
    make_project: Make,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[str, str, str],
    repeated: list[str],
) -> None:
    project = make_project(n=50)
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "11", "0"))
    before = inputs(project)
    monkeypatch.setattr("platform.python_version_tuple", lambda: version)
    assert differing(before, inputs(project)) == repeated


def test_labels_that_arrive_later_are_data_and_names_of_files_count(
    make_project: Make,
) -> None:
    project = make_project(n=50)
    folder = project.folder("churn")
    path = folder / "model.yaml"
    text = path.read_text()
    path.write_text(text.replace("  source:", "  labels: labels/*.csv\n  source:"))
    (folder / "labels").mkdir()
    labels = folder / "labels" / "first.csv"
    labels.write_text("customer,churn\nc-1,yes\n")
    before = inputs(project)
    labels.write_text("customer,churn\nc-1,no\n")
    after = inputs(project)
    assert differing(before, after) == ["validate"]
    labels.rename(folder / "labels" / "second.csv")
    assert differing(after, inputs(project)) == ["validate"]


def test_labels_that_are_not_there_are_named_by_their_key(make_project: Make) -> None:
    project = make_project(n=50)
    path = project.folder("churn") / "model.yaml"
    text = path.read_text()
    path.write_text(text.replace("  source:", "  labels: labels/*.csv\n  source:"))
    with pytest.raises(UsageError) as caught:
        inputs(project)
    (problem,) = caught.value.problems
    assert problem.key == "data.labels"
    assert problem.found == "labels/*.csv"


# -- what is noted of a step -----------------------------------------------------------

STEP = Step(
    name="train",
    run=STEPS[1].run,
    keys=keys("train"),
    code=lambda path: path == "estimator.py",
    reads=("snapshot.json",),
    writes=("model.skops", "training.json"),
)


@pytest.fixture
def cache(make_project: Make) -> StepCache:
    """Return the cache of a model whose `train` has written its files."""
    project = make_project(n=50)
    build = project.build("churn")
    build.mkdir(parents=True)
    (build / "model.skops").write_text("model")
    (build / "training.json").write_text("{}")
    return StepCache(project, "churn", project.model("churn"))


def again(cache: StepCache) -> StepCache:
    """Return the cache as the next process reads it."""
    return StepCache(cache.project, "churn", cache.spec)


@pytest.mark.parametrize("ok", [True, False])
def test_a_step_is_noted_with_what_it_wrote(cache: StepCache, ok: bool) -> None:
    cache.finish(STEP, "digest", ok, 1.23456)
    outputs = {
        "model.skops": sha256(b"model"),
        "training.json": sha256(b"{}"),
    }
    expected = StepRecord("digest", outputs, ok, 1.235)
    assert cache.done == again(cache).done == {"train": expected}
    other = dataclasses.replace(STEP, name="test", writes=("training.json",))
    cache.finish(other, "another", True, 2.0)
    assert set(again(cache).done) == {"train", "test"}


def test_a_step_is_done_with_the_same_inputs_only(cache: StepCache) -> None:
    assert not cache.is_done(STEP, "digest")
    cache.finish(STEP, "digest", True, 1.0)
    assert cache.is_done(STEP, "digest")
    assert again(cache).is_done(STEP, "digest")
    assert not cache.is_done(STEP, "another")
    assert not cache.is_done(dataclasses.replace(STEP, name="test"), "digest")


@pytest.mark.parametrize("file", ["model.skops", "training.json"])
@pytest.mark.parametrize("lost", ["changed", "deleted", "a folder"])
def test_a_step_whose_files_are_not_as_it_wrote_them_is_done_again(
    cache: StepCache, file: str, lost: str
) -> None:
    cache.finish(STEP, "digest", True, 1.0)
    path = cache.folder / file
    text = path.read_text()
    path.unlink()
    if lost == "changed":
        path.write_text(f"{text} ")
    elif lost == "a folder":
        path.mkdir()
    assert not cache.is_done(STEP, "digest")


def test_a_step_that_wrote_nothing_is_never_done(cache: StepCache) -> None:
    for name in STEP.writes:
        (cache.folder / name).unlink()
    cache.finish(STEP, "digest", False, 1.0)
    assert not cache.is_done(STEP, "digest")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        '{"train": 3}',
        '{"train": {"inputs": "digest"}}',
        '{"train": {"inputs": "a", "outputs": {}, "ok": true, "seconds": 1, "new": 1}}',
    ],
)
def test_a_record_that_is_not_what_was_written_counts_as_none(
    cache: StepCache, text: str
) -> None:
    (cache.folder / "steps.json").write_text(text)
    assert again(cache).done == {}


def test_what_the_caller_knows_counts(cache: StepCache) -> None:
    assert cache.inputs(STEP) == cache.inputs(STEP, "")
    assert cache.inputs(STEP, "v1.0.0") == cache.inputs(STEP, "v1.0.0")
    both = {cache.inputs(STEP), cache.inputs(STEP, "v1.0.0"), cache.inputs(STEP, "v1")}
    assert len(both) == 3


def test_only_what_a_step_reads_counts(cache: StepCache) -> None:
    before = cache.inputs(STEP)
    (cache.folder / "verdict.json").write_text("{}")
    (cache.project.folder("churn") / "features.py").write_text("")
    assert cache.inputs(STEP) == before
    (cache.folder / "snapshot.json").write_text("{}")
    read = cache.inputs(STEP)
    assert read != before
    (cache.project.folder("churn") / "estimator.py").write_text("")
    assert cache.inputs(STEP) not in (before, read)


def module_of(package: Path, name: str, text: str) -> None:
    (package / f"{name}.py").write_text(text, encoding="utf-8")


def test_what_is_reached_is_noted_until_a_file_of_the_engine_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mlops"
    package.mkdir()
    module_of(package, "first", "import mlops.second\n")
    module_of(package, "second", "")
    module_of(package, "third", "")
    notes = tmp_path / "notes.json"

    def digest() -> str:
        reached_files.cache_clear()
        imports._imports.cache_clear()
        imports._file_of.cache_clear()
        return ReachedDigests(package, notes).of("mlops.first")

    before = digest()
    with monkeypatch.context() as patch:
        patch.setattr(imports, "reached_files", None)  # nothing is read again
        assert digest() == before
    module_of(package, "third", "VALUE = 1\n")
    assert digest() == before
    module_of(package, "second", "import mlops.third\n")
    changed = digest()
    assert changed != before
    module_of(package, "third", "VALUE = 2\n")
    assert digest() not in {before, changed}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"engine": "x", "reached": {}}'])
def test_notes_that_are_not_what_was_written_count_as_none(
    tmp_path: Path, text: str
) -> None:
    notes = tmp_path / "notes.json"
    module = "mlops.pipeline.validate"
    digest = ReachedDigests(ENGINE, notes).of(module)
    write_text(notes, text)
    assert ReachedDigests(ENGINE, notes).of(module) == digest
    assert json.loads(notes.read_text())["reached"] == {module: digest}

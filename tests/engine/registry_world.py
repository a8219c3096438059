"""A world for the tests of the registry: a model that costs nothing to build."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, Problem
from mlops.io import git_objects
from mlops.io.digests import sha256, sha256_file
from mlops.registry import decisions, publish, tag_writes, tags
from mlops.registry.decisions import Assigned
from mlops.registry.publish import Registered
from mlops.results.data import ColumnSummary, Snapshot, SourceFile
from mlops.results.evaluation import (
    EXAMPLES,
    REFERENCE,
    Evaluation,
    FairnessResult,
    Group,
    Metric,
    Slice,
)
from mlops.results.training import Feature, Signature, Training
from mlops.results.verdict import Verdict
from mlops.storage.folder import FolderStore

if TYPE_CHECKING:
    from mlops.serving.follower import Follower

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MODEL = "churn"
PROJECT = """\
name: acme
owner: "@ana"
stages:
  - name: staging
  - name: production
    after: staging
"""
AGE = Feature(name="age", kind="number", missing=False)
PLAN = Feature(name="plan", kind="category", missing=True)


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def signature(*features: Feature, **changes: Any) -> Signature:
    facts = {
        "task": "binary",
        "target": "churn",
        "classes": ("no", "yes"),
        "positive": "yes",
    }
    return Signature(features=features or (AGE, PLAN), **{**facts, **changes})


def training(**changes: Any) -> Training:
    facts: dict[str, Any] = {
        "signature": signature(),
        "params": {"C": 1.0},
        "seed": 0,
        "rows": 100,
        "snapshot": "d" * 64,
        "code": "c" * 64,
        "lock": "e" * 64,
        "model_sha256": "a" * 64,
        "model_bytes": 5,
        "features_sha256": "f" * 64,
        "estimator": "LogisticRegression",
    }
    return Training(**{**facts, **changes})


class World:
    """One clone and what is done in it; time goes on by a minute with every act."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = NOW

    @property
    def project(self) -> Project:
        return Project(self.root)

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.project.store)

    def create(self, project_yaml: str = PROJECT) -> World:
        folder = self.root / "models" / MODEL
        (folder / "data").mkdir(parents=True)
        (self.root / "project.yaml").write_text(project_yaml)
        (self.root / "requirements").mkdir()
        (self.root / "requirements" / "train.txt").write_text("scikit-learn==1.9\n")
        (self.root / ".gitignore").write_text("build/\n.mlops/\n")
        (folder / "model.yaml").write_text(SPEC)
        (folder / "features.py").write_text("def features(raw):\n    return raw\n")
        (folder / "estimator.py").write_text("def build(params):\n    return None\n")
        (folder / "data" / "rows.csv").write_text("age,plan,churn\n1,basic,no\n")
        git(self.root, "init", "-q", "-b", "main")
        self.commit("First commit")
        return self

    def commit(self, message: str) -> str:
        git(self.root, "add", "-A")
        git(self.root, "commit", "--no-gpg-sign", "-qm", message)
        return git(self.root, "rev-parse", "HEAD")

    def clone(self, root: Path) -> World:
        git(self.root.parent, "clone", "-q", str(self.root), str(root))
        return World(root)

    def build(self, model: str | bytes = "model 1", **changes: Any) -> None:
        """Leave in the build folder what the stages would, for what is in the tree."""
        project, build = self.project, self.project.build(MODEL)
        build.mkdir(parents=True, exist_ok=True)
        source = self.root / "models" / MODEL
        model = model.encode() if isinstance(model, str) else model
        (build / "model.skops").write_bytes(model)
        (build / "features.py").write_bytes((source / "features.py").read_bytes())
        (build / "report.md").write_bytes(b"# Report of " + model[:20])
        (build / REFERENCE).write_text("reference")
        (build / EXAMPLES).write_text("[]")
        data = source / "data" / "rows.csv"
        snapshot = Snapshot(
            digest=sha256(data.read_bytes()),
            rows=1,
            rows_read=1,
            duplicates_removed=0,
            unlabelled=0,
            train_rows=1,
            test_rows=0,
            files=(
                SourceFile(
                    path=f"models/{MODEL}/data/rows.csv",
                    sha256=sha256_file(data),
                    rows=1,
                ),
            ),
        )
        facts = {
            "snapshot": snapshot.digest,
            "code": project.code_digest(MODEL),
            "lock": sha256_file(project.lock),
            "model_sha256": sha256(model),
            "features_sha256": sha256_file(build / "features.py"),
        }
        decision, auc = changes.pop("decision", "promote"), changes.pop("auc", 0.9)
        conditions = changes.pop("conditions", ())
        if "snapshot" in changes:  # rows that no file here holds
            snapshot = snapshot.model_copy(
                update={"digest": changes["snapshot"], "files": ()}
            )
        name = changes.pop("metric", "roc_auc")
        metric = Metric(name=name, value=auc, low=auc - 0.1, high=auc + 0.05)
        metric = metric.model_copy(update={"higher_is_better": name == "roc_auc"})
        tests = Evaluation(ok=True, rows=50, metrics=(metric,))
        if changes.pop("sensitive", False):
            (source / "model.yaml").write_text(
                f"{SPEC}risk: limited\nsensitive: [sex]\n"
            )
            self.commit("Sensitive")
            facts |= {"seconds": 3600}
            columns = [
                ("age", "number", {}),
                ("sex", "category", {"female": 1, "male": 2}),
            ]
            snapshot = snapshot.model_copy(
                update={
                    "columns": tuple(
                        ColumnSummary(
                            name=name, kind=kind, missing=0, unique=2, top=top
                        )
                        for name, kind, top in columns
                    )
                }
            )
            tests = tests.model_copy(
                update={
                    "slices": tuple(
                        Slice(column=column, value=value, rows=9, metric=figure)
                        for column, value, figure in (
                            ("plan", "basic", metric),
                            ("plan", "rare", None),
                            ("sex", "female", metric),
                        )
                    ),
                    "fairness": (
                        FairnessResult(
                            column="sex",
                            metric="selection_rate",
                            difference=0.04,
                            limit=0.1,
                            ok=True,
                            groups=(Group(name="female", rows=9, value=0.5),),
                        ),
                    ),
                }
            )
        snapshot.save(build)
        training(**{**facts, **changes}).save(build)
        tests.save(build)
        reasons = (
            ("the first version",) if decision == "promote" else ("no better, p = 0.4",)
        )
        verdict = Verdict(
            decision=decision,
            rule="first version",
            reasons=reasons,
            conditions=conditions,
        )
        verdict.save(build)

    def change_code(self, text: str) -> None:
        path = self.root / "models" / MODEL / "features.py"
        path.write_text(path.read_text() + f"# {text}\n")
        self.commit(text)

    def change_data(self, text: str) -> None:
        path = self.root / "models" / MODEL / "data" / "rows.csv"
        path.write_text(path.read_text() + f"2,{text},yes\n")
        self.commit(text)

    def register(self, **changes: Any) -> Registered:
        self.now += timedelta(minutes=1)
        facts = {"actor": "@ana", "run": "run-1", "now": self.now}
        return publish.register(self.project, MODEL, **{**facts, **changes})

    def release(self, name: str) -> str:
        """Change the code, build, register; return the number."""
        self.change_code(name)
        self.build(name)
        return self.register().version.number

    def promote(self, number: str, stage: str, **changes: Any) -> Assigned:
        self.now += timedelta(minutes=1)
        facts = {"actor": "@ana", "reason": "it is better", "now": self.now}
        return decisions.promote(
            self.project, f"{MODEL}@{number}", stage, **{**facts, **changes}
        )

    def rollback(self, stage: str, **changes: Any) -> Assigned:
        return decisions.rollback(
            self.project, MODEL, stage, **self._act("complaints", changes)
        )

    def reject(self, number: str, stage: str, **changes: Any) -> Assigned:
        act = self._act("it is unfair", changes)
        return decisions.reject(self.project, f"{MODEL}@{number}", stage, **act)

    def withdraw(self, number: str, **changes: Any) -> Assigned:
        act = self._act("wrong labels", changes)
        return decisions.withdraw(self.project, f"{MODEL}@{number}", **act)

    def deprecate(self, **changes: Any) -> Assigned:
        return decisions.deprecate(self.project, MODEL, **self._act("no more", changes))

    def _act(self, reason: str, changes: dict[str, Any]) -> dict[str, Any]:
        self.now += timedelta(minutes=1)
        return {"actor": "@ana", "reason": reason, "now": self.now, **changes}


SPEC = """\
task: binary
owner: "@ana"
intended_use: Tests of the registry.
data: {source: data/*.csv, target: churn, positive: "yes"}
features: {age: number, plan: category}
metrics: {primary: roc_auc}
"""


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path) -> World:
    return World(tmp_path / "acme").create()


def in_production(world: World) -> str:
    """Return the version that is in production, or raise what makes it unresolvable."""
    return tags.resolve(tags.read_registry(world.root), f"{MODEL}@production").number


def follower_of(world: World) -> tuple[Follower, list[str]]:
    """Return a service's follower of production, and the versions that it takes up.

    Nothing is loaded: these models predict nothing.
    """
    from mlops.serving.follower import Follower, Served

    taken_up: list[str] = []

    class Ready(Served):
        def warm_up(self) -> Served:
            taken_up.append(self.version)
            return self

    def load(version: str) -> Served:
        return Ready(version, None, {}, None, None)  # type: ignore[arg-type]

    follower = Follower(MODEL, "production", lambda: in_production(world), load)
    follower.start()
    return follower, taken_up


class Killed(BaseException):
    """The process ends here; nothing in it may catch this."""


# Everything in a registration that changes something outside the process.
EFFECTS: tuple[tuple[Any, str], ...] = (
    (FolderStore, "draft"),
    (FolderStore, "upload"),
    (FolderStore, "publish"),
    (FolderStore, "discard"),
    (tag_writes, "sync"),
    (git_objects, "commit"),
    (tag_writes, "tag_object"),
    (tag_writes, "claim"),
)


@contextmanager
def dying(at: int, after: bool, end: Any) -> Iterator[list[str]]:
    """Call `end` before or after side effect number `at`; yield the effects seen."""
    seen: list[str] = []
    originals = [(owner, name, getattr(owner, name)) for owner, name in EFFECTS]

    def wrap(name: str, original: Any) -> Any:
        def effect(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            mine = len(seen) - 1
            if mine == at and not after:
                end()
            out = original(*args, **kwargs)
            if mine == at and after:
                end()
            return out

        return effect

    for owner, name, original in originals:
        setattr(owner, name, wrap(name, original))
    try:
        yield seen
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def killed() -> None:
    raise Killed


def failed() -> None:
    raise EnvironmentFailure(Problem("the network is gone"))


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python process that knows the engine and this module."""
    here = Path(__file__).resolve()
    engine = here.parents[2] / "{{cookiecutter.project_slug}}/vendor/mlops/src"
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(engine), str(here.parents[1]))),
    }
    prelude = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from engine.registry_world import *\n"
        "from engine.registry_world import World\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()

"""A small repository to test the engine in: git, project.yaml and one quick model."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import great_expectations.expectations  # noqa: F401  (once; else each validation starts a process)
import numpy as np
import pandas as pd
import pytest
import typer.testing
from filelock import FileLock
from ruamel.yaml import YAML

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.snapshot import Dataset, build
from mlops.results.data import Validation
from mlops.results.training import Training
from mlops.training.fit import train
from mlops.training.model import Model

PROJECT = """\
name: acme
owner: "@acme"
stages:
  - name: staging
  - name: production
    after: staging
"""

FEATURES = """\
import pandas as pd


def features(raw: pd.DataFrame) -> pd.DataFrame:
    return raw.assign(long=(raw["tenure"] > 24).astype("float64"))
"""

ESTIMATOR = """\
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build(params):
    learners = {
        "logistic": LogisticRegression(C=params.get("C", 1.0), max_iter=500),
        "boosting": HistGradientBoostingClassifier(max_iter=30, random_state=0),
        "ridge": Ridge(),
        "boosting_regressor": HistGradientBoostingRegressor(
            max_iter=30, random_state=0
        ),
    }
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    return make_pipeline(columns, learners[params["learner"]])
"""

CONTRACT = """\
def expectations(gxe):
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="tenure"),
        gxe.ExpectColumnValuesToBeBetween(column="tenure", min_value=0, max_value=100),
        gxe.ExpectColumnValuesToBeInSet(
            column="plan", value_set=["basic", "plus", "pro"]
        ),
    ]
"""

OWN_TEST = """\
def test_scores_are_probabilities(predict, test_set):
    out = predict(test_set)
    assert len(out) == len(test_set)
"""

_COLD = Path(sys.executable)


@pytest.fixture(scope="session", autouse=True)
def commands_built_once() -> Iterator[None]:
    """Build the command line once; Typer does it for each call, in 70 ms."""
    built = functools.cache(typer.testing._get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", built)
        yield


@pytest.fixture(scope="module", autouse=True)
def processes_on_standby(python_on_standby: Path) -> Iterator[None]:
    """Start what the engine starts from an interpreter that has the libraries.

    Importing them is nine tenths of what such a process does in a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(python_on_standby))
        yield


@pytest.fixture
def cold_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """Start cold interpreters, where a test is about what a process itself imports."""
    monkeypatch.setattr(sys, "executable", str(_COLD))
    return str(_COLD)


def spec_of(task: str = "binary", **changes: Any) -> dict[str, Any]:
    """Return the specification of the quick model; `changes` replace top-level keys."""
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]
    data: dict[str, Any] = {"source": "data/*.csv", "id": "customer", "target": "churn"}
    if task == "binary":
        data["positive"] = "yes"
    spec = {
        "description": "Will this customer leave?",
        "task": task,
        "owner": "@acme",
        "intended_use": "Tests of the engine.",
        "data": data,
        "features": {"tenure": "number", "spend": "number", "plan": "category"},
        "sensitive": ["sex"],
        "split": {"by": "random", "test": 0.3, "seed": 1},
        "train": {
            "params": {"learner": "ridge" if task == "regression" else "logistic"}
        },
        "metrics": {"primary": metric},
    }
    return {**spec, **changes}


def rows_of(task: str = "binary", n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Return synthetic customers whose target depends on tenure, spend and plan."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "customer": [f"c{seed}-{i:06d}" for i in range(n)],
            "tenure": rng.integers(0, 72, n),
            "spend": rng.normal(50, 20, n).round(2),
            "plan": rng.choice(["basic", "plus", "pro"], n),
            "sex": rng.choice(["female", "male"], n),
        }
    )
    latent = (
        (30 - frame["tenure"]) / 12 + (frame["plan"] == "basic") + rng.normal(0, 1, n)
    )
    if task == "binary":
        frame["churn"] = np.where(latent > 0, "yes", "no")
    elif task == "multiclass":
        frame["churn"] = pd.cut(
            latent, [-np.inf, -1, 1, np.inf], labels=["stay", "maybe", "go"]
        )
    else:
        frame["churn"] = latent.round(4)
    frame.loc[rng.random(n) < 0.02, "spend"] = np.nan
    return frame


ENGINE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"


def git(root: Path, *arguments: str) -> str:
    """Run git with an identity of its own, whatever this machine is set to."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    return subprocess.run(
        ["git", *identity, "-c", "commit.gpgsign=false", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test read or write this machine's git configuration and caches."""
    monkeypatch.setenv("MLOPS_CACHE", str(tmp_path / "cache-of-tests"))
    config = tmp_path / ".gitconfig-for-tests"
    config.write_text(
        "[user]\nname = Test\nemail = test@example.com\n[init]\ndefaultBranch = main\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run user code in this process; test_user_code.py is about the other one."""
    monkeypatch.setattr("mlops.pipeline.run.APART", False)


@pytest.fixture
def made_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[], Path]], Path]:
    """Return a function that keeps a folder which is costly to make.

    It is made by the first test that asks for it, whichever worker that runs in. Tests
    copy it, and change the copy.
    """
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent  # of the folders of all workers

    def folder(name: str, make: Callable[[], Path]) -> Path:
        kept = base / "made-once" / name
        kept.parent.mkdir(exist_ok=True)
        with FileLock(kept.with_suffix(".lock")):
            if not kept.is_dir():
                half = kept.with_suffix(".half")
                shutil.rmtree(half, ignore_errors=True)
                shutil.copytree(make(), half, symlinks=True)
                half.rename(kept)
        return kept

    return folder


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Return a function that makes a committed repository with the model `churn`."""

    def make(
        task: str = "binary",
        n: int = 600,
        frame: pd.DataFrame | None = None,
        root: Path | None = None,
        **changes: Any,
    ) -> Project:
        root = root or tmp_path / "acme"
        folder = root / "models" / "churn"
        (folder / "data").mkdir(parents=True)
        (folder / "tests").mkdir()
        (root / "project.yaml").write_text(PROJECT)
        (root / "requirements").mkdir()
        (root / "requirements" / "train.txt").write_text("scikit-learn==1.0\n")
        (root / ".gitignore").write_text("build/\n.mlops/\n__pycache__/\n")
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        with (folder / "model.yaml").open("w") as file:
            yaml.dump(spec_of(task, **changes), file)
        (folder / "features.py").write_text(FEATURES)
        (folder / "estimator.py").write_text(ESTIMATOR)
        (folder / "contract.py").write_text(CONTRACT)
        (folder / "tests" / "test_churn.py").write_text(OWN_TEST)
        rows = frame if frame is not None else rows_of(task, n)
        rows.to_csv(folder / "data" / "rows.csv", index=False)
        git(root, "init", "-q", "-b", "main")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "First commit")
        return Project(root)

    return make


class Trained(NamedTuple):
    """A project whose model has been trained."""

    project: Project
    spec: ModelSpec
    dataset: Dataset
    model: Model
    training: Training


def train_in(project: Project, name: str = "churn") -> Trained:
    """Read, snapshot and train a model through the Python API."""
    spec = project.model(name)
    dataset, structure = build(spec, project.folder(name))
    assert dataset is not None
    dataset.save(project.build(name))
    Validation(ok=True, snapshot=dataset.snapshot, expectations=structure).save(
        project.build(name)
    )
    model, training = train(project, name, spec, dataset)
    return Trained(project, spec, dataset, model, training)


@pytest.fixture
def trained(
    make_project: Callable[..., Project],
    made_once: Callable[[str, Callable[[], Path]], Path],
    tmp_path: Path,
) -> Trained:
    """Return the binary example after validate and train."""

    def make() -> Path:
        return train_in(make_project(root=tmp_path / "once")).project.root

    root = tmp_path / "acme"
    shutil.copytree(made_once("trained", make), root, symlinks=True)
    project = Project(root)
    spec = project.model("churn")
    build = project.build("churn")
    return Trained(
        project,
        spec,
        Dataset.load(build, spec),
        Model.load(build, "churn"),
        Training.load(build),
    )

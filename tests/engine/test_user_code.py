"""The model's own code is kept apart: whatever it does, the verdict stays the engine's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project

from .conftest import ESTIMATOR, FEATURES

Make = Callable[..., Project]


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command in a project, in this process."""

    def run(project: Project | Path, *arguments: str) -> Result:
        monkeypatch.chdir(project if isinstance(project, Path) else project.root)
        return CliRunner().invoke(app, list(arguments), prog_name="mlops")

    return run


LEAVES = {
    "exit at import": ("estimator.py", "import sys\nsys.exit(0)\n" + ESTIMATOR),
    "exit in build": ("estimator.py", "def build(params):\n    exit()\n"),
    "SystemExit in features": (
        "features.py",
        "def features(raw):\n    raise SystemExit\n",
    ),
    "SystemExit at import": ("features.py", FEATURES + "\nraise SystemExit(0)\n"),
    "exit in the contract": (
        "contract.py",
        "import sys\n\ndef expectations(gxe):\n    sys.exit(0)\n",
    ),
}


@pytest.mark.parametrize("case", LEAVES)
def test_code_that_ends_the_process_fails_its_step(
    make_project: Make, mlops: Callable[..., Result], case: str
) -> None:
    file, source = LEAVES[case]
    project = make_project()
    (project.folder("churn") / file).write_text(source)
    result = mlops(project, "run", "churn")
    assert result.exit_code == 1, result.output
    assert f"models/churn/{file}" in result.output
    assert "ends the process" in result.output
    assert result.output.count("error:") == 1
    assert not (project.build("churn") / "verdict.json").exists()


# -- the job `verdict` of a pull request -----------------------------------------------


def report(folder: Path, model: str, verdict: Any) -> None:
    """Write what the job of a model uploads."""
    build = folder / f"report-{model}" / "build" / model
    build.mkdir(parents=True)
    text = verdict if isinstance(verdict, str) else json.dumps(verdict)
    (build / "verdict.json").write_text(text)


GOOD = {"decision": "promote", "rule": "first version"}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (GOOD, ""),
        (GOOD | {"decision": "reject"}, "its verdict is reject"),
        (GOOD | {"decision": "inconclusive"}, "its verdict is inconclusive"),
        (None, "there is no verdict"),
        ({}, "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (GOOD | {"reasons": ["x" * 2_000_000]}, "not a file of at most"),
    ],
)
def test_each_planned_model_needs_a_verdict_that_says_promote(
    tmp_path: Path, mlops: Callable[..., Result], written: Any, problem: str
) -> None:
    report(tmp_path, "other", GOOD)
    if written is not None:
        report(tmp_path, "churn", written)
    options = ("--models", '["churn", "other"]', "--reports", str(tmp_path))
    result = mlops(tmp_path, "verdict", *options)
    assert result.exit_code == (1 if problem else 0), result.output
    assert ("churn: " in result.output) is bool(problem)
    assert problem in result.output
    assert "other:" not in result.output


def test_a_model_cannot_bring_the_verdict_of_another_one(
    tmp_path: Path, mlops: Callable[..., Result]
) -> None:
    report(tmp_path, "churn", GOOD)
    smuggled = tmp_path / "report-churn" / "build" / "other"
    smuggled.mkdir()
    (smuggled / "verdict.json").write_text(json.dumps(GOOD))
    options = ("--models", '["churn", "other"]', "--reports", str(tmp_path))
    result = mlops(tmp_path, "verdict", *options)
    assert result.exit_code == 1
    assert "other: there is no verdict" in result.output


def test_a_verdict_that_is_a_link_is_not_read(
    tmp_path: Path, mlops: Callable[..., Result]
) -> None:
    report(tmp_path, "churn", GOOD)
    path = tmp_path / "report-churn" / "build" / "churn" / "verdict.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    result = mlops(
        tmp_path, "verdict", "--models", '["churn"]', "--reports", str(tmp_path)
    )
    assert result.exit_code == 1 and "not a file" in result.output


@pytest.mark.parametrize("models", ["", "{}", "null", '["../x"]', "[1]", '["A"]'])
def test_a_plan_that_names_no_models_is_wrong_usage(
    tmp_path: Path, mlops: Callable[..., Result], models: str
) -> None:
    result = mlops(tmp_path, "verdict", "--models", models, "--reports", str(tmp_path))
    assert result.exit_code == 2 and "--models" in result.output

"""Data and models in Python: the public functions, the script, `mlops open`."""

from __future__ import annotations

import doctest
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import mlops
from mlops import api
from mlops.cli.main import app
from mlops.config.project import Project
from mlops.errors import UsageError

from .conftest import ENGINE, train_in
from .test_employment_example import project_of

EXPLORE = ENGINE / "docs" / "explore.py"


@pytest.fixture(name="project")
def project_fixture(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> Project:
    project = make_project()
    monkeypatch.chdir(project.folder("churn"))
    return project


def test_the_parts_are_those_of_a_run(project: Project) -> None:
    world = train_in(project)
    for part in ("train", "test"):
        rows = mlops.load_data("churn", part)
        assert rows.equals(world.dataset.part(part))
    assert len(mlops.load_data("churn")) == len(world.dataset.frame)
    elsewhere = mlops.load_data("churn", "train", folder=str(project.root))
    assert elsewhere.equals(world.dataset.part("train"))


def test_the_model_of_the_last_run_predicts_as_it_did(project: Project) -> None:
    world = train_in(project)
    model = mlops.load_model("churn")
    rows = mlops.load_data("churn", "test")
    assert model.predict(rows).equals(world.model.predict(rows))
    assert model.signature == world.training.signature


def test_what_is_not_there_is_one_clear_error(project: Project) -> None:
    with pytest.raises(UsageError, match="there is no such part"):
        mlops.load_data("churn", "validation")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="churn"):
        mlops.load_data("chrun")
    with pytest.raises(UsageError, match="`mlops run churn`"):
        mlops.load_model("churn")
    with pytest.raises(UsageError, match="no version of this model"):
        mlops.load_model("churn@v9.0.0")
    with pytest.raises(AttributeError, match="load_everything"):
        _ = mlops.load_everything  # type: ignore[attr-defined]


def test_a_column_that_is_missing_is_named(project: Project) -> None:
    rows = project.folder("churn") / "data" / "rows.csv"
    rows.write_text(rows.read_text().replace("tenure", "tenor", 1))
    with pytest.raises(UsageError, match="tenure"):
        mlops.load_data("churn")


@pytest.fixture
def trained_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a repository where the example has been trained."""
    project = project_of(tmp_path, 2015)
    train_in(project, "employment")
    monkeypatch.chdir(project.root)


@pytest.mark.usefixtures("trained_example")
def test_the_examples_of_the_docstrings_hold() -> None:
    found = doctest.testmod(api)
    assert found.attempted >= 6
    assert found.failed == 0


@pytest.mark.usefixtures("trained_example")
def test_the_script_of_the_docs_runs() -> None:
    names = runpy.run_path(str(EXPLORE))
    assert 0.5 < names["accuracy"] < 1
    assert len(names["worst"]) == 10


def test_importing_mlops_loads_nothing_heavy() -> None:
    code = (
        "import sys, mlops; print('pandas' in sys.modules, 'load_data' in dir(mlops))"
    )
    source = ENGINE / "vendor" / "mlops" / "src"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


# -- mlops open ------------------------------------------------------------------------


@pytest.fixture(name="opened")
def opened_fixture(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    monkeypatch.setattr(
        "webbrowser.open", lambda url: opened.append(url) or bool(opened)
    )
    return opened


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["open", *arguments], prog_name="mlops")


def test_a_report_is_opened_in_the_browser(project: Project, opened: list[str]) -> None:
    page = project.build("churn") / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>")
    done = run("churn")
    assert done.exit_code == 0
    assert opened == [page.as_uri()]
    assert done.stdout.strip() == str(page)
    assert run("churn", "--print").stdout.strip() == str(page)
    assert json.loads(run("churn", "--json").stdout) == {
        "page": str(page),
        "opened": False,
    }
    assert len(opened) == 1


def test_without_a_name_it_is_what_was_written_last(
    project: Project, opened: list[str]
) -> None:
    import os

    site = project.root / "build" / "site" / "index.html"
    report = project.build("churn") / "report.html"
    for at, page in enumerate((site, report)):
        page.parent.mkdir(parents=True)
        page.write_text("<p>")
        os.utime(page, (at, at))
    assert run("--print").stdout.strip() == str(report)
    os.utime(site, (9, 9))
    assert run("--print").stdout.strip() == str(site)
    assert opened == []


def test_in_a_job_no_browser_is_started(
    project: Project, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = project.build("churn") / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert run("churn").stdout.strip() == str(page)
    assert opened == []


def test_where_nothing_was_written_it_says_what_writes_it(project: Project) -> None:
    done = run("churn")
    assert done.exit_code == 2 and "mlops run churn" in done.stderr
    done = run()
    assert done.exit_code == 2 and "mlops pages" in done.stderr


# -- completion ------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_can_complete_commands(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Typer asks which shell has started it; a test may have been started by none.
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    done = CliRunner().invoke(app, ["--show-completion"], prog_name="mlops")
    assert done.exit_code == 0 and f"complete_{shell}" in done.stdout
    assert "_MLOPS_COMPLETE" in done.stdout

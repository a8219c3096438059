"""Which models a change touches, and what an event asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.github.events import plan_for, start_and_model

from .conftest import ENGINE, git

ALL = ["churn", "price"]


@pytest.mark.parametrize(
    ("path", "models", "code", "deploy"),
    [
        ("README.md", [], False, False),
        ("docs/guide/picture.png", [], False, False),
        ("models/churn/data/README.md", [], False, False),
        ("models/churn/README.md", [], False, False),
        (".github/workflows/release.yml", [], False, False),
        (".github/python-version", ALL, True, False),
        (".gitignore", [], False, False),
        ("LICENSE", [], False, False),
        ("models/churn/data/2026.csv", ["churn"], False, False),
        ("models/churn/batch/2026.csv", [], False, False),
        ("models/churn/batch/deep/2026.csv", [], False, False),
        ("models/churn/data/deep/2026.parquet", ["churn"], False, False),
        ("models/churn/features.py", ["churn"], True, False),
        ("models/churn/model.yaml", ["churn"], True, False),
        ("models/churn/tests/test_churn.py", ["churn"], True, False),
        ("models/gone/model.yaml", [], True, False),
        ("models/notes.txt", [], True, False),
        ("vendor/mlops/src/mlops/training/model.py", ALL, True, False),
        ("vendor/mlops/src/mlops/io/files.py", ALL, True, False),
        ("requirements/train.txt", ALL, True, False),
        ("requirements/serve.txt", [], True, True),
        ("requirements/dev.txt", [], True, False),
        ("requirements/all.txt", [], True, False),
        ("pyproject.toml", [], True, False),
        ("project.yaml", ALL, True, False),
        ("vendor/mlops/src/mlops/serving/app.py", [], True, True),
        ("serving/Dockerfile", [], True, True),
        ("tests/test_repository.py", [], True, False),
        ("notebooks/new.ipynb", [], True, False),
        ("a\nmodels/churn/model.yaml", [], True, False),
        ("sub/requirements/train.txt", [], True, False),
    ],
)
def test_one_file(path: str, models: list[str], code: bool, deploy: bool) -> None:
    assert plan_for([path], ALL)[:3] == (models, code, deploy)


def test_files_add_up() -> None:
    docs_and_data = ["README.md", "models/price/data/x.csv"]
    assert plan_for(docs_and_data, ALL) == (["price"], False, False, False)
    both = ["models/price/model.yaml", "models/churn/data/x.csv", "serving/x"]
    assert plan_for(both, ALL) == (ALL, True, True, False)
    assert plan_for([], ALL) == ([], False, False, False)


def test_what_nobody_knows_is_everything() -> None:
    assert plan_for(None, ALL) == (ALL, True, False, False)


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ({"pull_request": {"base": {"sha": "abc"}}}, ("abc", None)),
        ({"merge_group": {"base_sha": "abc"}}, ("abc", None)),
        ({"before": "abc"}, ("abc", None)),
        ({"before": "0" * 40}, (None, None)),
        ({"inputs": {"model": "churn"}}, (None, "churn")),
        ({"inputs": {"model": ""}}, (None, None)),
        ({"inputs": None}, (None, None)),
        ({"client_payload": {"model": "churn"}}, (None, "churn")),
        ({"client_payload": {}}, (None, None)),
        ({"schedule": "0 0 * * *"}, (None, None)),
        ({"pull_request": None, "before": "2" * 40}, ("2" * 40, None)),
        ({}, (None, None)),
    ],
)
def test_events(payload: dict[str, Any], answer: tuple[str | None, str | None]) -> None:
    assert start_and_model(payload) == answer


def ask(
    project: Project, monkeypatch: pytest.MonkeyPatch, payload: dict[str, Any]
) -> Any:
    """Run `mlops plan` for an event; return its answer, checked against its outputs."""
    event, out = (
        project.root / "build" / "event.json",
        project.root / "build" / "output",
    )
    event.parent.mkdir(exist_ok=True)
    event.write_text(json.dumps(payload))
    out.unlink(missing_ok=True)
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.setenv("GITHUB_OUTPUT", str(out))
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(app, ["plan", "--json"])
    if done.exit_code:
        return done
    answer = json.loads(done.stdout)
    said = dict(line.split("=", 1) for line in out.read_text().splitlines())
    assert json.loads(said["models"]) == answer["models"]
    assert said["code"] == ("true" if answer["code"] else "false")
    assert said["commit"] == answer["commit"] == git(project.root, "rev-parse", "HEAD")
    return answer


def test_a_pull_request_is_compared_with_where_it_parted(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    root = project.root
    git(root, "checkout", "-qb", "topic")
    (root / "models" / "churn" / "data" / "more é.csv").write_text("x\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "data")
    git(root, "checkout", "-q", "main")
    (root / "vendor").mkdir()
    (root / "vendor" / "x.py").write_text("x = 1\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "engine, meanwhile")
    base = git(root, "rev-parse", "HEAD")
    git(root, "checkout", "-q", "topic")
    answer = ask(project, monkeypatch, {"pull_request": {"base": {"sha": base}}})
    assert (answer["models"], answer["code"], answer["live"]) == (["churn"], False, [])
    unknown = ask(project, monkeypatch, {"before": "1" * 40})
    assert (unknown["models"], unknown["code"]) == (["churn"], True)
    assert ask(project, monkeypatch, {"client_payload": {"model": "churn"}})[
        "models"
    ] == ["churn"]
    assert (
        ask(project, monkeypatch, {"before": git(root, "rev-parse", "HEAD")})["models"]
        == []
    )


def test_a_pull_request_is_not_blamed_for_what_was_merged_since_its_last_push(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub merges onto the newer main; `base.sha` stays as old as the last push."""
    project = make_project()
    root = project.root
    old_base = git(root, "rev-parse", "HEAD")
    git(root, "checkout", "-qb", "topic")
    (root / "README.md").write_text("More to read\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "docs only")
    topic = git(root, "rev-parse", "HEAD")
    git(root, "checkout", "-q", "main")
    (root / "models" / "churn" / "data" / "more.csv").write_text("x\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "data of somebody else, merged meanwhile")
    git(root, "merge", "-q", "--no-ff", "-m", "refs/pull/1/merge", "topic")
    pull = {"base": {"sha": old_base}, "head": {"sha": topic}}
    answer = ask(project, monkeypatch, {"pull_request": pull})
    assert (answer["models"], answer["code"]) == ([], False)
    # A head that is itself a merge, checked out as it is, is no merge of GitHub's.
    other = {"base": {"sha": old_base}, "head": {"sha": git(root, "rev-parse", "HEAD")}}
    assert ask(project, monkeypatch, {"pull_request": other})["models"] == ["churn"]


def test_a_message_that_names_no_model_of_ours(
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    project = make_project()
    for name in ("other", "../../etc", "$(id)"):
        done = ask(project, monkeypatch, {"client_payload": {"model": name}})
        assert done.exit_code == 2 and "there is no model of this name" in done.stderr


def test_a_commit_that_somebody_names_has_to_be_there(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_project().root)
    done = CliRunner().invoke(app, ["plan", "--base", "orgin/mian"])
    assert done.exit_code == 2 and "no such commit here" in done.output


@pytest.mark.parametrize("event", ["[]", "no JSON", '{"pull_request": nul'])
def test_what_is_no_event_is_said(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    project = make_project()
    (project.root / "event.json").write_text(event)
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(project.root / "event.json"))
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(app, ["plan"])
    assert done.exit_code == 3 and "event.json" in done.output
    assert "defect of mlops" not in done.output


def test_what_is_live_is_planned_without_a_look_at_data(
    monkeypatch: pytest.MonkeyPatch, make_project: Callable[..., Project]
) -> None:
    """The schedules of monitor and reproduce need no digests of files."""
    project = make_project()
    out = project.root / "output"
    event = project.root / "event.json"
    event.write_text('{"schedule": "41 5 * * *"}')
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.setenv("GITHUB_OUTPUT", str(out))
    monkeypatch.chdir(project.root)

    def hashed(*given: object) -> dict[str, str]:
        raise AssertionError(given)

    monkeypatch.setattr("mlops.pipeline.due.hash_files", hashed)
    done = CliRunner().invoke(app, ["plan", "--live"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "in production: no\n"
    assert out.read_text().splitlines()[0] == "live=[]"


def test_the_schedules_of_monitor_and_reproduce_ask_for_what_is_live() -> None:
    for name in ("monitor.yml", "reproduce.yml"):
        text = (ENGINE / ".github" / "workflows" / name).read_text(encoding="utf-8")
        assert text.count("run: mlops plan --live\n") == text.count("mlops plan") == 1

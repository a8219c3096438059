"""What a change can reach, over kinds of files, and what is trained for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.github.events import plan_for
from mlops.pipeline.reach import reaches_models

from .conftest import ENGINE, git
from .grown import Grown, Size

SOURCE = "vendor/mlops/src/mlops"

REACHED = (
    "training/fit.py",
    "training/model.py",
    "training/allowed_types.txt",
    "data/read.py",
    "data/contract.py",
    "evaluation/checks.py",
    "evaluation/compare.py",
    "gate/rules.py",
    "gate/verdict.py",
    "io/files.py",
    "io/user_code.py",
    "config/model_spec.py",
    "errors.py",
    "pipeline/run.py",
    "pipeline/train.py",
    "pipeline/cache.py",
)

NOT_REACHED = (
    "__init__.py",
    "ENGINE.sha256",
    "reporting/site.py",
    "reporting/card.py",
    "reporting/markdown.py",
    "reporting/templates/page.html",
    "pipeline/report.py",
    "scaffold/infer.py",
    "github/comment.py",
    "github/repo_settings.py",
    "monitoring/drift.py",
    "registry/publish.py",
    "runlog/mlflow.py",
    "cli/registry.py",
    "cli/doctor.py",
    "api.py",
)


@pytest.mark.parametrize("file", REACHED)
def test_what_a_model_or_its_verdict_is_made_by_trains_all(file: str) -> None:
    assert (ENGINE / SOURCE / file).is_file()
    path = f"{SOURCE}/{file}"
    assert reaches_models(ENGINE, "HEAD", path)
    asked = plan_for([path], ["a", "b"], lambda one: True)
    assert asked.models == ["a", "b"] and not asked.trial


@pytest.mark.parametrize("file", NOT_REACHED)
def test_what_shows_or_delivers_models_trains_none_but_one_as_a_trial(
    file: str,
) -> None:
    path = f"{SOURCE}/{file}"
    assert not reaches_models(ENGINE, "HEAD", path)
    asked = plan_for([path], ["a", "b"], lambda one: False)
    assert asked.models == [] and asked.trial and asked.code


def test_what_is_no_module_of_the_engine_can_reach_everything() -> None:
    for path in ("vendor/mlops/pyproject.toml", "vendor/other/x.py"):
        assert plan_for([path], ["a"], lambda one: False).models == ["a"]


def test_a_trial_is_needed_only_where_nothing_is_trained() -> None:
    paths = [f"{SOURCE}/reporting/site.py", "models/b/features.py"]
    asked = plan_for(paths, ["a", "b"], lambda one: False)
    assert asked.models == ["b"] and not asked.trial


PROJECT = 'name: acme\nowner: "@acme"\n'


@pytest.mark.parametrize(
    ("more", "reaches"),
    [
        ("description: words\n", False),
        ("cost: {per_hour: 1.0}\n", False),
        ("jobs: {at_once: 5}\n", False),
        ("trusted_types: [my.Type]\n", True),
        ("stages: [{name: staging}, {name: live, after: staging}]\n", True),
        ("stages: [\n", True),
    ],
)
def test_project_yaml_reaches_models_by_what_a_run_reads_of_it(
    make_project: Callable[..., Project], more: str, reaches: bool
) -> None:
    root = make_project().root
    (root / "project.yaml").write_text(PROJECT)
    git(root, "commit", "-qam", "before", "--allow-empty")
    (root / "project.yaml").write_text(PROJECT + more)
    git(root, "commit", "-qam", "after")
    assert reaches_models(root, "HEAD^", "project.yaml") is reaches
    assert reaches_models(root, "0" * 40, "project.yaml")  # it is not known


def plan(root: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["plan", "--json", *words])
    assert done.exit_code == 0, done.output
    return list(json.loads(done.stdout)["models"])


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")


@pytest.mark.parametrize(
    ("file", "trained"),
    [
        (f"{SOURCE}/reporting/templates/page.html", 1),
        (f"{SOURCE}/reporting/site.py", 1),
        (f"{SOURCE}/training/fit.py", 100),
        ("models/m042/features.py", 1),
        ("docs/guide.md", 0),
        (".github/workflows/release.yml", 0),
        ("requirements/train.txt", 100),
    ],
)
def test_of_a_hundred_models_a_change_trains_those_that_it_can_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, trained: int
) -> None:
    made = Grown(tmp_path / "acme", Size(models=100, versions=100, runs=100))
    path = made.root / file
    engine = made.root / SOURCE
    shutil.copytree(ENGINE / SOURCE, engine, ignore=shutil.ignore_patterns("*.pyc"))
    commit(made.root)
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text() if path.is_file() else ""
    path.write_text(f"{before}# changed\n")
    commit(made.root)
    event = tmp_path / "event.json"
    head = git(made.root, "rev-parse", "HEAD^")
    event.write_text(json.dumps({"pull_request": {"base": {"sha": head}}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    assert len(plan(made.root, monkeypatch)) == trained
    # The push that merges it delivers what it made, and makes no trial.
    event.write_text(json.dumps({"before": head}))
    merged = plan(made.root, monkeypatch)
    assert len(merged) == (trained if f"{SOURCE}/reporting" not in file else 0)

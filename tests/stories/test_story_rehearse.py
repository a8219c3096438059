"""`mlops rehearse`: what its owners find out about a repository before they push."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rehearsal.runner.trees import ENVIRONMENT
from rehearsal.stories.template import ROOT
from stories.worlds import repository


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody without settings."""
    who = {
        f"GIT_{r}_{k}": "ada"
        for r in ("AUTHOR", "COMMITTER")
        for k in ("NAME", "EMAIL")
    }
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"], **who}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def committed(folder: Path) -> str:
    """Commit all there is, on main; return the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All of it")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a generated repository with a quick model, all committed."""
    root = repository(tmp_path_factory.mktemp("generated"))
    committed(root)
    return root


@pytest.fixture
def mine(generated: Path, tmp_path: Path) -> Path:
    """Return a copy of it, to be changed."""
    return Path(shutil.copytree(generated, tmp_path / "mine", symlinks=True))


def template(where: Path) -> str:
    """Make a template of this rehearsal, whose set-up takes this environment."""
    here, there = ROOT / "rehearsal", where / "rehearsal"
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    venv = Path(sys.executable).parents[1]
    (where / "Makefile").write_text(
        f"setup:\n\t@test -e .venv || ln -s '{venv}' .venv\n"
    )
    return committed(where)


def rehearse(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a repository, with a home of its own."""
    environment = {
        **ENVIRONMENT,
        "PATH": os.environ["PATH"],
        "HOME": str(root.parent / "home"),
        "PYTHONPATH": str(root / "vendor" / "mlops" / "src"),
    }
    command = [sys.executable, "-m", "mlops", "rehearse", *arguments]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True
    )


def state(root: Path) -> dict[str, Any]:
    """Return all that could have changed in a repository."""
    asked = (
        "status --porcelain",
        "for-each-ref",
        "worktree list",
        "stash list",
        "config --list",
    )
    told: dict[str, Any] = {line: git(root, *line.split()) for line in asked}
    told["files"] = {path: path.read_bytes() for path in root.glob("[a-z.]*/**/*.y*ml")}
    return told


def test_a_workflow_is_tried_before_it_is_pushed(mine: Path, tmp_path: Path) -> None:
    commit = template(tmp_path / "template")
    cruft = {"template": str(tmp_path / "template"), "commit": commit}
    (mine / ".cruft.json").write_text(json.dumps(cruft))
    before = state(mine)
    done = rehearse(mine, "pull-request", "--model", "churn", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    ended = {
        run["workflow"]: {
            job["result"] for job in run["jobs"] if job["name"] != "data"
        }  # `data` is skipped: all of it is in git
        for run in found["runs"]
    }
    assert ended["pull-request"] == ended["comment"] == {"success"}
    (comment,) = found["comments"]
    assert "## ⚠️ churn: The first version passed what was measured" in comment
    assert (found["tags"], found["releases"]) == ([], {})
    assert state(mine) == before

    # The template is kept: it need not be reached again.
    (tmp_path / "template").rename(tmp_path / "out of reach")
    path = mine / ".github" / "workflows" / "pull-request.yml"
    path.write_text(path.read_text().replace("run: mlops plan\n", "run: mlops plam\n"))
    before = state(mine)
    done = rehearse(mine, "pull-request")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed:   pull-request: plan, pull-request: verdict" in done.stdout
    assert "No such command 'plam'" in done.stdout
    assert state(mine) == before


def test_without_a_template_one_error_says_how(mine: Path) -> None:
    done = rehearse(mine, "push")
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("error:") == 1
    assert (
        ".cruft.json: it is not known which template this repository was made from"
        in done.stderr
    )
    assert "--template" in done.stderr


def test_a_template_that_will_not_do(mine: Path, tmp_path: Path) -> None:
    done = rehearse(mine, "push", "--template", str(tmp_path / "nowhere"))
    assert done.returncode == 3 and "`git clone" in done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "README.md").write_text("No rehearsal.\n")
    committed(empty)
    done = rehearse(mine, "push", "--template", str(empty))
    assert done.returncode == 2 and "this template has no rehearsal" in done.stderr
    kept = tmp_path / "home" / ".cache" / "mlops"
    assert list(kept.iterdir()) == [], "nothing half made is left"


def test_a_template_of_the_old_layout_says_what_to_do(
    mine: Path, tmp_path: Path
) -> None:
    there = tmp_path / "template"
    (there / "tests" / "rehearsal").mkdir(parents=True)
    (there / "tests" / "rehearsal" / "play.py").write_text('"""Of another time."""\n')
    committed(there)
    done = rehearse(mine, "push", "--template", str(there))
    assert done.returncode == 2
    assert "the template is older than the engine of this repository" in done.stderr
    assert "cruft update" in done.stderr


def test_a_folder_of_the_template_is_used_as_it_is(mine: Path, tmp_path: Path) -> None:
    """Also one that cannot be set up says so."""
    there = tmp_path / "template"
    (there / "rehearsal").mkdir(parents=True)
    shutil.copy(ROOT / "rehearsal" / "play.py", there / "rehearsal")
    (there / "Makefile").write_text("setup:\n\t@echo no space left; exit 1\n")
    done = rehearse(mine, "push", "--template", str(there))
    assert done.returncode == 3
    assert (
        "no space left" in done.stderr
        and "the template could not be set up" in done.stderr
    )

"""An event is played on a copy of a repository, and what came of it is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.play import main
from rehearsal.runner.trees import ENVIRONMENT
from rehearsal.worktree import copy_as_it_lies

ROOT = Path(__file__).parents[2]

TOY = """
name: toy
on:
  push:
    branches: [main]
  pull_request:
  schedule:
    - cron: "7 4 * * *"
  workflow_dispatch:
    inputs:
      colour: { type: choice, options: [red, blue], required: true }
  repository_dispatch:
    types: [hello]
permissions: {}
jobs:
  say:
    runs-on: ubuntu-latest
    steps:
      - env:
          EVENT: ${{ toJSON(github.event) }}
        run: |
          echo "$GITHUB_EVENT_NAME by $GITHUB_ACTOR"
          [ "${EVENT/fail-please/}" = "$EVENT" ] || { sleep 1; exit 1; }
  never:
    if: github.event_name == 'release'
    runs-on: ubuntu-latest
    steps:
      - run: exit 1
"""


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


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Return a repository with one workflow that starts on everything."""
    root = tmp_path / "toy"
    (root / ".github" / "workflows").mkdir(parents=True)
    (root / ".github" / "workflows" / "toy.yml").write_text(TOY)
    (root / "README.md").write_text("A toy.\n")
    (root / ".gitignore").write_text("ignored\n")
    committed(root)
    return root


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (["pull-request", "--touch", "README.md"], "pull_request"),
        (["push", "--touch", "README.md"], "push"),
        (["schedule", "toy"], "schedule"),
        (["dispatch", "toy", "-f", "colour=red"], "workflow_dispatch"),
        (
            ["repository-dispatch", "hello", "-f", "actor=churn"],
            "repository_dispatch",
        ),
        (["message", "hello"], "repository_dispatch"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_each_event_starts_what_github_would_start(
    toy: Path, event: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(toy), *event, "--json"]) == 0
    said = capsys.readouterr()
    (run,) = json.loads(said.out)["runs"]
    assert (run["workflow"], run["event"], run["conclusion"]) == (
        "toy",
        name,
        "success",
    )
    assert [(job["name"], job["result"]) for job in run["jobs"]] == [
        ("say", "success"),
        ("never", "skipped"),
    ]
    assert "✓ toy" in said.err and "say" in said.err


def test_a_job_that_fails_is_named_with_the_end_of_its_log(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a step says just before it fails act may lose: the toy waits a second."""
    kept = tmp_path / "kept"
    asked = [str(toy), "message", "hello", "-f", "say=fail-please", "--out", str(kept)]
    assert main(asked) == 1
    said = capsys.readouterr().out
    assert (
        "✗ toy" in said
        and "failed:   toy: say" in said
        and "skipped:  toy: never" in said
    )
    assert "The last lines of toy: say" in said and "repository_dispatch by you" in said
    (log,) = kept.rglob("log.txt")
    assert "say | repository_dispatch by you" in log.read_text()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (["pull-request"], "nothing differs from main"),
        (["push", "--touch", "none.txt"], "none.txt cannot be touched"),
        (["push", "--model", "churn"], "model.yaml cannot be touched"),
        (["schedule", "other"], "'other' has no schedule; toy has"),
        (["dispatch", "other"], "there is no workflow 'other.yml'; there are toy.yml"),
        (["dispatch", "toy"], "input `colour` is required"),
        (["dispatch", "toy", "-f", "colour=green"], "one of red, blue"),
        (
            ["repository-dispatch", "bye"],
            "no workflow listens to a repository_dispatch 'bye'",
        ),
    ],
    ids=" ".join,
)
def test_what_github_would_refuse_is_refused_before_anything_runs(
    toy: Path, asked: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(toy), *asked, "--json"]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["exit_code"] == 2
    assert why in said.err and "✓" not in said.err


def test_what_cannot_be_rehearsed_is_neither_green_nor_red(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = toy / ".github" / "workflows" / "toy.yml"
    path.write_text(TOY.replace("- run: exit 1", "- uses: somebody/something@v1"))
    assert main([str(toy), "push"]) == 3
    assert "somebody/something: not in action-inputs.json" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing_behind(toy: Path, tmp_path: Path) -> None:
    path = toy / ".github" / "workflows" / "toy.yml"
    waits = f"sleep {1_000_000 + os.getpid()}"
    path.write_text(TOY.replace("run: |", f"run: |\n          {waits}"))
    command = [sys.executable, "-m", "rehearsal.play", str(toy), "push", "--json"]
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever starts the tests in the background has SIGINT ignored, and children
        # inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while waits not in processes():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, (b"", b""))
    assert waits not in processes()
    assert not list(tmp_path.glob("mlops-rehearsal-*"))


def processes() -> str:
    """Return the command lines of all that runs."""
    return subprocess.run(
        ["ps", "-A", "-o", "args="], capture_output=True, text=True
    ).stdout


def test_the_copy_is_the_work_tree_copy_as_it_lies(toy: Path, tmp_path: Path) -> None:
    (toy / "README.md").write_text("Changed.\n")
    (toy / "new.txt").write_text("Nobody has added this.\n")
    (toy / "link").symlink_to("new.txt")
    (toy / "ignored").write_text("A secret.\n")
    (toy / ".github" / "workflows" / "toy.yml").unlink()
    copy_as_it_lies(toy, tmp_path / "copy")
    found = {path.name for path in (tmp_path / "copy").rglob("*") if not path.is_dir()}
    assert found == {"README.md", ".gitignore", "new.txt", "link"}
    assert (tmp_path / "copy" / "README.md").read_text() == "Changed.\n"

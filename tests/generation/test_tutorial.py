"""The tutorial's commands work in a new repository, as far as they need no GitHub.

`make setup` and `make demo` are run by test_checks.py and test_demo.py. What the
workflows do between a push and the next command is done by the commands that they run;
the stories run the workflows themselves.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from generation.baking import TEMPLATE, TREE, Bake, git

PAGE = TEMPLATE / "docs" / "tutorial" / "first-model.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
SAID = re.findall(r"^```text\n(.*?)\n```", PAGE.read_text("utf-8"), re.M | re.S)

MODEL = "employment"

# Run by other tests: the demo, and the set-up of an environment.
ELSEWHERE = ("make", "pipx", "source", "cd")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_on_standby: Path
) -> Path:
    """Put `mlops` on PATH, as the environment of a generated repository has it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "mlops"
    command.write_text(f'#!/bin/sh\nexec "{python_on_standby}" -P -m mlops "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(TEMPLATE / TREE / "vendor/mlops/src"))
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", "ana@example.org")
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", "ana@example.org")
    return folder


def run(repository: Path, command: str) -> str:
    """Run a command of the tutorial and return what it prints; it must succeed."""
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=repository,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def released(repository: Path) -> str:
    """Do what release.yml does after a push to main."""
    lines = [
        "mlops run employment",
        "mlops register employment",
        "mlops promote employment@latest staging -m delivered",
        "mlops promote employment@latest production -m delivered",
    ]
    return run(repository, "\n".join(lines))


def merged(repository: Path) -> str:
    """Do what merging a pull request does."""
    git(repository, "switch", "--quiet", "main")
    git(repository, "merge", "--quiet", "--no-edit", "boosting")
    return released(repository)


def commands() -> Iterator[str]:
    """Yield the commands of the page in order; one may take several lines."""
    for block in BLOCKS:
        yield from re.split(r"\n(?! )", block.strip())


def served(repository: Path, serve: str, request: str) -> dict[str, object]:
    """Start the service, send the tutorial's request, and return the response."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = shlex.split(serve.replace("8000", port))
    with subprocess.Popen(
        command, cwd=repository, stdout=subprocess.DEVNULL
    ) as service:
        try:
            for _ in range(600):
                time.sleep(0.1)
                with socket.socket() as attempt:
                    if attempt.connect_ex(("127.0.0.1", int(port))) == 0:
                        break
            response = run(repository, request.replace("8000", port))
        finally:
            service.terminate()
    return dict(json.loads(response))


@pytest.mark.slow
def test_the_commands_of_the_tutorial_do_what_it_says(bake: Bake, shell: Path) -> None:
    repository = bake(github_owner="ana", author_email="ana@example.org")
    assert repository.name == "my-ml-project"
    printed = ""
    serve = ""
    response: dict[str, object] = {}
    for command in commands():
        program = command.split()[0]
        if program in ELSEWHERE or command.startswith("git push"):
            continue
        if command.startswith("gh repo create"):
            printed += released(repository)
        elif command.startswith("gh pr merge"):
            printed += merged(repository)
        elif command.startswith("mlops serve"):
            serve = command
        elif program == "curl":
            response = served(repository, serve, command)
        elif program != "gh":
            printed += run(repository, command)
    for sentence in SAID:
        assert sentence in printed, sentence
    assert response["version"] == "v1.1.0"
    assert len((repository / "predictions.csv").read_text().splitlines()) > 1000
    listed = json.loads(run(repository, "mlops registry list --json"))
    assert {one["version"]: one["stages"] for one in listed} == {
        f"{MODEL}@v1.1.0": "staging",
        f"{MODEL}@v1.0.0": "production",
    }

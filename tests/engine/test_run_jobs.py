"""Several models at once: the same bytes, readable output, none ends another."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from mlops.cli.at_once import at_once
from mlops.config.project import Project
from mlops.runlog.query import records

from .conftest import ENGINE

Make = Callable[..., Project]

MODELS = ("ant", "bee", "churn")


def run(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `mlops run` in a project, as from a terminal."""
    command = [sys.executable, "-m", "mlops", "run", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ENGINE / "vendor/mlops/src")}
    return subprocess.run(
        command, cwd=project.root, env=env, check=False, capture_output=True, text=True
    )


def three(project: Project) -> Project:
    """Make three models of one."""
    for name in MODELS[:2]:
        shutil.copytree(project.folder("churn"), project.root / "models" / name)
    return project


def made(project: Project) -> dict[str, str]:
    """Return the digest of each model file and of what was measured."""
    digests = {}
    for name in MODELS:
        for file in ("model.skops", "evaluation.json", "verdict.json"):
            path = project.build(name) / file
            digests[f"{name}/{file}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def test_several_at_once_make_the_same_bytes_as_one_after_the_other(
    make_project: Make, tmp_path: Path
) -> None:
    one = three(make_project(n=200))
    other = three(make_project(n=200, root=tmp_path / "other"))
    first = run(one)
    second = run(other, "--jobs", "3")
    assert second.returncode == first.returncode, second.stderr
    models = {name: digest for name, digest in made(one).items() if "skops" in name}
    assert {name: made(other)[name] for name in models} == models
    assert len(set(models.values())) >= 1 and len(models) == 3
    assert {len(records(other, name)) for name in MODELS} == {1}
    lines = [line for line in second.stdout.splitlines() if line.startswith("--- ")]
    assert sorted(lines) == [f"--- {name}" for name in MODELS]
    blocks = second.stdout.split("--- ")[1:]
    for block in blocks:
        name = block.split("\n", 1)[0]
        assert f"build/{name}/report.md" in block
        assert not any(f"build/{o}/" in block for o in MODELS if o != name)


def test_one_that_fails_ends_no_other_and_is_the_exit_code(make_project: Make) -> None:
    project = three(make_project(n=200))
    ant = project.folder("ant") / "model.yaml"
    ant.write_text(ant.read_text() + "nonsense: 1\n")
    done = run(project, "--jobs", "2", "--json")
    assert done.returncode == 2
    facts = json.loads(done.stdout)
    assert list(facts) == list(MODELS)
    assert facts["churn"]["ok"] is True and facts["bee"]["ok"] is True
    assert facts["ant"]["ok"] is False and facts["ant"]["exit_code"] == 2
    assert "nonsense" in json.dumps(facts["ant"]["error"])
    assert "1 of 3 failed: ant" in done.stderr


def test_one_that_is_killed_is_named_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "python"
    printing = 'echo "{\\"$4\\": {\\"ok\\": true}}"'
    program.write_text(f'#!/bin/sh\ntest "$4" = bee && kill -9 $$\n{printing}\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(typer.Exit) as caught:
        at_once(MODELS, lambda name: ["run", name], 1, as_json=True)
    assert caught.value.exit_code == 3
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert facts["ant"] == facts["churn"] == {"ok": True}
    assert facts["bee"]["error"] == [{"what": "killed by signal 9"}]
    assert "1 of 3 failed: bee" in printed.err


@pytest.mark.parametrize("jobs", ["0", "-2", "1025"])
def test_a_number_of_jobs_that_makes_no_sense_is_refused(
    make_project: Make, jobs: str
) -> None:
    done = run(make_project(n=200), "--jobs", jobs)
    assert done.returncode == 2 and "not a number of jobs" in done.stderr

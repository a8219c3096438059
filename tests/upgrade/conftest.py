"""The kept repository of template 0.1.0, updated to the present template."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TEMPLATE = HERE.parents[1]
TREE = "{{cookiecutter.project_slug}}"
ENGINE = TEMPLATE / TREE / "vendor" / "mlops" / "src"
LEFTOVERS = shutil.ignore_patterns(
    "__pycache__", ".mlops", ".venv", ".*_cache", ".hypothesis", "*.egg-info", "*.pyc"
)


@dataclass(frozen=True)
class Kept:
    """A restored repository, its template beside it, and a home without settings.

    Attributes
    ----------
    root : Path
        The repository.
    template : Path
        The template: its first commit is 0.1.0, its newest the present one.
    environment : dict[str, str]
        What a process sees.
    """

    root: Path
    template: Path
    environment: dict[str, str]

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        """Run git and return what it prints."""
        return self._run("git", *arguments, folder=folder or self.root).stdout.strip()

    def mlops(self, *arguments: str, engine: Path = ENGINE, code: int = 0) -> str:
        """Run an engine in the repository and return what it prints."""
        done = self._run(
            sys.executable,
            *("-P", "-m", "mlops", *arguments),
            folder=self.root,
            engine=engine,
            code=code,
        )
        return done.stdout

    def said(self, *arguments: str, engine: Path = ENGINE, code: int = 0) -> str:
        """Run an engine and return all that it says, also on standard error."""
        done = self._run(
            sys.executable,
            *("-P", "-m", "mlops", *arguments),
            folder=self.root,
            engine=engine,
            code=code,
        )
        return done.stdout + done.stderr

    def _run(
        self,
        *command: str,
        folder: Path,
        engine: Path | None = None,
        code: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        environment = dict(self.environment)
        if engine is not None:
            environment["PYTHONPATH"] = str(engine)
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


def restore(folder: Path) -> Kept:
    """Unpack the kept repository and set its template up beside it."""
    home = folder / "home"
    home.mkdir(parents=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ana",
        "GIT_AUTHOR_EMAIL": "ana@example.com",
        "GIT_COMMITTER_NAME": "Ana",
        "GIT_COMMITTER_EMAIL": "ana@example.com",
        "MLOPS_CACHE": str(folder / "cache"),
        "OMP_WAIT_POLICY": "passive",
    }
    root = folder / "acme-models"
    template = folder / "template"
    kept = Kept(root, template, environment)
    bundle = str(HERE / "repository.bundle")
    kept.git("clone", "--quiet", "--mirror", bundle, f"{root}/.git", folder=folder)
    kept.git("config", "core.bare", "false")
    kept.git("config", "--unset", "remote.origin.mirror")
    kept.git("remote", "remove", "origin")
    kept.git("checkout", "--quiet", "--force", "main")
    with tarfile.open(HERE / "releases.tar.xz") as archive:
        archive.extractall(root, filter="data")

    clone = ("clone", "--quiet", "--branch=template", "--single-branch")
    kept.git(*clone, bundle, str(template), folder=folder)
    first = kept.git("rev-parse", "HEAD", folder=template)
    kept.git("rm", "-rq", ".", folder=template)
    for part in ("hooks", TREE):
        shutil.copytree(TEMPLATE / part, template / part, ignore=LEFTOVERS)
    shutil.copy(TEMPLATE / "cookiecutter.json", template)
    kept.git("add", "--all", folder=template)
    kept.git("commit", "--quiet", "--message", "Present", folder=template)

    state_file = root / ".cruft.json"
    state = json.loads(state_file.read_text(encoding="utf-8"))
    assert state["commit"] == first
    old_address = json.dumps(state["template"])
    text = state_file.read_text(encoding="utf-8")
    state_file.write_text(text.replace(old_address, json.dumps(str(template))))
    kept.git("commit", "--quiet", "--all", "--message", "The template moved")
    return kept


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The repository as it was left, not updated."""
    return restore(tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="session")
def updated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, str]:
    """The repository after the update, committed; and what the update said."""
    kept = restore(tmp_path_factory.mktemp("updated"))
    kept.git("commit", "--quiet", "--amend", "--no-edit", "--all")
    said = kept.said("github", "update")
    kept.git("commit", "--quiet", "--message", "Update from the template")
    return kept, said

"""A repository generated from this template, whatever this machine's settings are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rehearsal.errors import RehearsalError

ROOT = Path(__file__).resolve().parents[2]
TREE = "{{cookiecutter.project_slug}}"

# What tools leave behind in a work tree, and no clone of the template would have.
_LEFTOVERS = shutil.ignore_patterns(
    "__pycache__",
    ".mlops",
    ".venv",
    ".*_cache",
    ".hypothesis",
    "*.egg-info",
    "*.pyc",
    "build",
)
# Settings of this machine that would change what is generated.
_SETTINGS = ("GIT_", "COOKIECUTTER", "XDG_", "GITHUB_")


def generate(where: Path, **answers: str) -> Path:
    """Generate a repository.

    Parameters
    ----------
    where : Path
        A folder; below it are a copy of the template, and `made` with the repository.
    **answers : str
        Of cookiecutter.json; the defaults fill the rest.

    Returns
    -------
    Path
        The repository.

    Raises
    ------
    RehearsalError
        When cookiecutter fails.
    """
    template = where / "template"
    template.mkdir(parents=True)
    shutil.copy(ROOT / "cookiecutter.json", template)
    for folder in ("hooks", TREE):
        shutil.copytree(ROOT / folder, template / folder, ignore=_LEFTOVERS)
    config = where / "cookiecutter.yaml"
    config.write_text(
        f"replay_dir: '{where}/replay'\ncookiecutters_dir: '{where}/kept'\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "cookiecutter", "--no-input"]
    command += ["--config-file", str(config), "--output-dir", str(where / "made")]
    command.append(str(template))
    command += [f"{name}={value}" for name, value in answers.items()]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_SETTINGS)
    }
    environment["HOME"] = str(where)
    environment["GIT_CONFIG_NOSYSTEM"] = "1"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RehearsalError(f"cookiecutter failed: {done.stdout}{done.stderr}")
    (made,) = (where / "made").iterdir()
    return made

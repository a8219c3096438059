"""What the generation tests share: where the template is, and git."""

import subprocess
from collections.abc import Callable
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[2]
TREE = "{{cookiecutter.project_slug}}"

Bake = Callable[..., Path]


def git(repository: Path, *arguments: str) -> str:
    """Run git in a repository and return what it prints."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip()

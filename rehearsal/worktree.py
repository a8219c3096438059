"""Copies of somebody's work tree: as it lies, and as it was on main."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from rehearsal.errors import UsageError

# Where a comment begins with #; elsewhere a blank line is added.
_COMMENTED = (".py", ".sh", ".toml", ".yaml", ".yml")


def git(repository: Path, *arguments: str) -> str:
    """Return what git says of a repository.

    Raises
    ------
    UsageError
        When the command fails.
    """
    done = subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True
    )
    if done.returncode:
        raise UsageError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def copy_as_it_lies(repository: Path, to: Path) -> None:
    """Copy a work tree with uncommitted changes, without what git ignores."""
    options = ("-z", "--cached", "--others", "--exclude-standard")
    names = git(repository, "ls-files", *options).split("\0")
    for name in dict.fromkeys(names):
        source = repository / name
        copy = to / name
        if source.is_file() or source.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)


def copy_as_on_main(repository: Path, to: Path) -> None:
    """Copy what main held when the present work branched off; origin's main, if any.

    Raises
    ------
    UsageError
        When there is no main.
    """
    names = git(repository, "for-each-ref", "--format=%(refname:short)").split()
    mains = [name for name in ("origin/main", "main") if name in names]
    if not mains:
        raise UsageError("there is no branch `main` to compare with")
    start = git(repository, "merge-base", mains[0], "HEAD").strip()
    git(repository, "clone", "--quiet", "--shared", "--no-checkout", ".", str(to))
    git(to, "checkout", "--quiet", start)
    shutil.rmtree(to / ".git")


def touch(path: Path) -> None:
    """Change a file in a way that changes no meaning.

    Raises
    ------
    UsageError
        When it is not there, or no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{path.name} cannot be touched: {error}") from error
    changed = f"# Touched.\n{text}" if path.suffix in _COMMENTED else f"{text}\n"
    path.write_text(changed, encoding="utf-8")


def becomes(tree: Path) -> Callable[[Path], None]:
    """Return an edit after which a work tree holds what another tree does."""

    def edit(root: Path) -> None:
        for path in root.iterdir():
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.name != ".git":
                shutil.rmtree(path)
        shutil.copytree(tree, root, symlinks=True, dirs_exist_ok=True)

    return edit

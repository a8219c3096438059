"""Make the first commit and say what comes next.

Standard library only, on Linux, macOS and Windows. No network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# `tojson` leaves ASCII on one line, and JSON never has three quotes in a row: whatever
# the answers are, they cannot end this literal.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

HERE = Path.cwd()
MESSAGE = "Start from cookiecutter-mlops-actions"

# Answers that cookiecutter.json offers and that are nobody's.
PLACEHOLDERS = {
    "github_owner": "your-github-name",
    "author_email": "you@example.com",
}


class GitError(Exception):
    """Git is missing or refused; the message says what it said."""


def git(*arguments: str) -> str:
    """Run git here, deaf to a repository around us and to the user's global habits."""
    # Variables such as GIT_DIR (set where we run inside another repository's hook)
    # would send our commit there. What says who commits, and with which configuration,
    # stays.
    kept = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG", "GIT_EXEC_PATH", "GIT_SSL")
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("GIT_") or key.startswith(kept)
    }
    options = {
        "commit.gpgSign": "false",
        "core.excludesFile": "",  # a global ignore list must not leave out data
        "core.fsmonitor": "false",
        "core.hooksPath": str(HERE / ".git" / "no-hooks"),
        "core.safecrlf": "false",
    }
    command = ["git"]
    for key, value in options.items():
        command += ["-c", f"{key}={value}"]
    try:
        done = subprocess.run(
            [*command, *arguments],
            cwd=HERE,
            env=environment,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise GitError(f"git could not be started ({error.strerror})") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(f"`git {arguments[0]}` failed: {said}")
    return done.stdout.decode(errors="replace").strip()


def identity() -> list[str]:
    """Options that name the committer where git knows none."""
    stand_ins = {"name": ANSWERS["github_owner"], "email": ANSWERS["author_email"]}
    options = []
    for part, value in stand_ins.items():
        keys = (f"GIT_{who}_{part.upper()}" for who in ("AUTHOR", "COMMITTER"))
        named = all(os.environ.get(key) for key in keys) or git(
            "config", "--default", "", "--get", f"user.{part}"
        )
        if not named:
            options += ["-c", f"user.{part}={value}"]
    return options


def commit() -> None:
    """Make a repository on `main` with everything in its first commit."""
    git("init", "--quiet", "--template=")
    git("symbolic-ref", "HEAD", "refs/heads/main")  # `--initial-branch` needs git 2.28
    git("add", "--all")
    git(*identity(), "commit", "--quiet", "--no-verify", "--message", MESSAGE)


def enclosing_repository() -> Path | None:
    """Find the repository that this folder was generated into, if any."""
    return next((folder for folder in HERE.parents if (folder / ".git").exists()), None)


def is_cruft_comparison() -> bool:
    """Tell whether `cruft update` or `check` renders a throw-away copy to compare."""
    # cruft answers `_commit`; its copies are in a fresh folder in the temporary one.
    scratch = HERE.parent.parent == Path(tempfile.gettempdir()).resolve()
    return "_commit" in ANSWERS and scratch and HERE.parent.name.startswith("tmp")


def next_steps(first: list[str]) -> str:
    """Return the commands that lead to a first trained model."""
    bin_folder = r".venv\Scripts" if os.name == "nt" else ".venv/bin"
    commands = [f"cd {ANSWERS['project_slug']}", *first, "make setup"]
    commands.append(os.path.join(bin_folder, "mlops") + " run")
    return "Next:\n" + "\n".join(f"  {command}" for command in commands)


def files_with(texts: list[str]) -> list[str]:
    """Return the paths of files that hold one of some texts, sorted."""
    found = []
    for folder, folders, names in os.walk(HERE):
        folders[:] = [
            name for name in folders if name not in (".git", "vendor", "data")
        ]
        for name in names:
            path = Path(folder, name)
            content = path.read_text(encoding="utf-8", errors="replace")
            if any(text in content for text in texts):
                found.append(path.relative_to(HERE).as_posix())
    return sorted(found)


def placeholders() -> str:
    """Return a note about answers that are still the template's own, if any."""
    values = [v for name, v in PLACEHOLDERS.items() if ANSWERS[name] == v]
    if not values:
        return ""
    which = " and ".join(values)
    are = "is a placeholder" if len(values) == 1 else "are placeholders"
    files = ", ".join(files_with(values))
    return f"Note: {which} {are}. Before you push, replace what stands in\n  {files}"


def main() -> int:
    """Finish the generated repository."""
    if is_cruft_comparison():
        return 0
    slug = ANSWERS["project_slug"]
    first: list[str] = []
    by_hand = ["git init -b main", "git add --all", f'git commit -m "{MESSAGE}"']
    print()
    if "_commit" in ANSWERS:
        # cruft writes .cruft.json after this hook, and compares whole folders: a .git
        # made here would be part of each comparison. The first commit is the user's.
        print("cruft adds .cruft.json now, so the first commit is yours to make.")
        first = by_hand
    else:
        try:
            commit()
            print(f"{slug} is ready: a git repository on main, one commit.")
            around = enclosing_repository()
            if around:
                print(
                    f"It is inside the repository {str(around)!a}, and separate from "
                    "it."
                )
        except GitError as error:
            print(f"{slug} is written, but has no commit yet: {str(error)!a}")
            first = by_hand
    print(next_steps(first))
    note = placeholders()
    if note:
        print(note)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`mlops doctor`: what is missing on this machine or wrong in this repository, and how to mend it.

Each check is a function whose docstring is what the user reads; it returns an empty text when all
is well, else what was found.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

from mlops import git
from mlops.errors import MlopsError, listed
from mlops.project import Project

Check = Callable[[Project], str]


def python(project: Project) -> str:
    """Python is 3.11, 3.12 or 3.13."""
    return "" if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"this is {sys.version.split()[0]}"


def packages(project: Project) -> str:
    """The installed packages are those of requirements.txt."""
    from mlops.registry.sbom import not_installed

    if not project.lock.is_file():
        return "there is no requirements.txt"
    wrong = not_installed(project.lock)
    return f"{listed(wrong, 4)}; `make setup` mends it" if wrong else ""


def repository(project: Project) -> str:
    """A git repository with a commit is here, and git knows who you are."""
    try:
        git.require_repository(project.root)
    except MlopsError as error:
        return str(error)
    try:
        git.git(project.root, "var", "GIT_AUTHOR_IDENT")
    except git.GitError:
        return "`git config --global user.name NAME`, and user.email, say who you are"
    return ""


def settings(project: Project) -> str:
    """project.yaml is valid and every stage comes after one that exists."""
    try:
        names = [stage.name for stage in project.spec.stages]
    except MlopsError as error:
        return str(error)
    lost = [s.name for s in project.spec.stages if s.after and s.after not in names]
    return f"no such stage before: {listed(lost)}" if lost else ""


def specifications(project: Project) -> str:
    """Every models/NAME/model.yaml is valid, and its files are there."""
    found = []
    for name in project.models():
        try:
            project.model(name)
        except MlopsError as error:
            found.append(str(error))
        for file in ("contract.py", "features.py", "estimator.py"):
            if not (project.folder(name) / file).is_file():
                found.append(f"models/{name}/{file} is missing")
    return "\n".join(found) if project.models() else "there is no model yet; `mlops new` makes one"


def registry(project: Project) -> str:
    """The tags of the registry can be read, and each version's files are in the store."""
    from mlops.cli.context import release_store
    from mlops.registry.api import problems

    try:
        return "\n".join(problems(project, release_store(project)))
    except MlopsError as error:
        return error.problems[0].what


def disk(project: Project) -> str:
    """There is 1 GB of free disk, and this folder can be written."""
    if not os.access(project.root, os.W_OK):
        return f"{project.root} is read-only for you"
    free = shutil.disk_usage(project.root).free / 1e9
    return "" if free >= 1 else f"{free:.2f} GB are free"


def pre_commit(project: Project) -> str:
    """The checks before a commit are switched on."""
    hook = project.root / ".git" / "hooks" / "pre-commit"
    return "" if hook.is_file() else "`pre-commit install` switches them on"


CHECKS: tuple[Check, ...] = (
    python,
    packages,
    disk,
    repository,
    pre_commit,
    settings,
    specifications,
    registry,
)


def examine(project: Project) -> list[dict[str, str | bool]]:
    """Return a row for each check: name, ok, what it looks at, what it found."""
    rows: list[dict[str, str | bool]] = []
    for check in CHECKS:
        found = check(project)
        rows.append(
            {
                "check": check.__name__.replace("_", "-"),
                "ok": not found,
                "looks_at": (check.__doc__ or "").strip(),
                "found": found,
            }
        )
    return rows

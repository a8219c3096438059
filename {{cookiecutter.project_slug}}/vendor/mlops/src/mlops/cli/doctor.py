"""The command `mlops doctor`: what is wrong here, and how to fix it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.cli.app import app
from mlops.cli.context import current_context, release_store
from mlops.cli.output import Json, emit
from mlops.errors import MlopsError, listed
from mlops.io.engine import EngineState, engine_state
from mlops.io.git import GitError, git, require_repository
from mlops.reporting.terminal import paint

if TYPE_CHECKING:
    from mlops.config.project import Project


def python(project: Project) -> str:
    """Python is 3.11, 3.12 or 3.13."""
    return (
        ""
        if (3, 11) <= sys.version_info[:2] <= (3, 13)
        else f"this is {sys.version.split()[0]}"
    )


def packages(project: Project) -> str:
    """The installed packages are those that are locked in requirements/."""
    from mlops.registry.sbom import not_installed

    kind = installed_kind(Path(sys.prefix))
    lock = project.root / "requirements" / f"{kind}.txt"
    if not lock.is_file():
        return f"there is no requirements/{kind}.txt; `make lock` writes it"
    wrong = not_installed(lock)
    if not wrong:
        return ""
    choice = "" if kind == "all" else f" KIND={kind}"
    return f"{listed(wrong, 4)}; `make setup{choice}` fixes it"


def installed_kind(environment: Path) -> str:
    """Return which file of requirements/ an environment was set up from.

    `make setup` leaves a mark with its name; without one, or with several, it is `all`.
    """
    marks = [path.name for path in environment.glob(".ready-*")]
    return marks[0].removeprefix(".ready-") if len(marks) == 1 else "all"


def repository(project: Project) -> str:
    """A git repository with a commit is here, and git knows who you are."""
    require_repository(project.root)
    try:
        git(project.root, "var", "GIT_AUTHOR_IDENT")
    except GitError:
        return "`git config --global user.name NAME`, and user.email, say who you are"
    return ""


def settings(project: Project) -> str:
    """project.yaml is valid and every stage comes after one that exists."""
    names = [stage.name for stage in project.spec.stages]
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
    return (
        "\n".join(found)
        if project.models()
        else "there is no model yet; `mlops new` makes one"
    )


def registry(project: Project) -> str:
    """The tags of the registry can be read, and every version has its files."""
    from mlops.registry.health import problems

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


def engine_text(state: EngineState) -> tuple[str, list[str]]:
    """Return what is known of the engine: a headline, and a line for each other file.

    A change of the engine is yours to make, so that it is a note and not a failure.
    """
    if not state.recorded:
        return f"engine {state.version}, without a record of its release", []
    if not state.modified:
        return f"engine {state.version}, unmodified", []
    files = [f"changed  {name}" for name in state.changed]
    files += [f"missing  {name}" for name in state.missing]
    files += [f"added    {name}" for name in state.added]
    headline = f"engine {state.version}, modified: {len(files)} of its files differ"
    return headline, files


_CHECKS = (
    python,
    packages,
    disk,
    repository,
    pre_commit,
    settings,
    specifications,
    registry,
)


@app.command(rich_help_panel="Look")
def doctor(as_json: Json = False) -> None:
    """Say what is missing or wrong here, and how to fix it.

    Example: `mlops doctor`
    """
    project, rows, lines = current_context().project, [], []
    for check in _CHECKS:
        try:
            found = check(project)
        except MlopsError as error:
            found = str(error)
        name = check.__name__.replace("_", "-")
        rows.append(
            {"check": name, "ok": not found, "looks_at": check.__doc__, "found": found}
        )
        mark = paint("mend", "bad") if found else paint("ok  ", "good")
        lines.append(f"{mark}  {check.__doc__}")
        lines += [f"      {line}" for line in found.splitlines()]
    state = engine_state()
    headline, files = engine_text(state)
    found = "\n".join(files)
    rows.append({"check": "engine", "ok": True, "looks_at": headline, "found": found})
    mark = paint("note", "unsure") if state.modified else paint("ok  ", "good")
    lines += [f"{mark}  {headline}", *(f"      {line}" for line in files)]
    emit(rows, "\n".join(lines), as_json, yes=all(row["ok"] for row in rows))

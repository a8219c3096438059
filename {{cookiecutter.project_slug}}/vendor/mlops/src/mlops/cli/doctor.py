"""The command `mlops doctor`: what is wrong here, and how to fix it."""

from __future__ import annotations

import fnmatch
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from mlops.cli.app import app
from mlops.cli.context import current_context, release_store
from mlops.cli.output import Json, emit
from mlops.cli.selection import Owner, Stale, only_stale, owners_of, select
from mlops.errors import MlopsError, listed
from mlops.github import client
from mlops.io.engine import EngineState, engine_state
from mlops.io.git import (
    GitError,
    git,
    hooks_folder,
    is_repository,
    require_repository,
)
from mlops.reporting.terminal import paint

if TYPE_CHECKING:
    from datetime import datetime

    from mlops.config.project import Project


def python(project: Project) -> str:
    """Python is 3.11, 3.12 or 3.13."""
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return ""
    return f"this is {sys.version.split()[0]}"


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
    """project.yaml is valid; its stages are in order, its approvers have keys."""
    names = [stage.name for stage in project.spec.stages]
    lost = [s.name for s in project.spec.stages if s.after and s.after not in names]
    if lost:
        return f"unknown stage in `after`: {listed(lost)}"
    models = project.models()
    idle = [
        f"{stage.name}: {pattern}"
        for stage in project.spec.stages
        for pattern in stage.approvers_of
        if not fnmatch.filter(models, pattern)
    ]
    if idle:
        return f"approvers of no model, in `approvers_of`: {listed(idle)}"
    return _keys(project)


def _keys(project: Project) -> str:
    """Return who could not sign where approvals have to be signed."""
    from mlops.registry.signing import without_key

    path = project.spec.allowed_signers
    if not path:
        return ""
    if shutil.which("ssh-keygen") is None:
        return "allowed_signers is set, and ssh-keygen is not installed"
    try:
        content = (project.root / path).read_bytes()
    except OSError:
        return f"{path} cannot be read, and project.yaml names it as allowed_signers"
    approvers = [one for stage in project.spec.stages for one in stage.everybody]
    lost = without_key(content, dict.fromkeys(approvers))
    return f"{path} has no key of {listed(lost)}" if lost else ""


def code_owners(project: Project) -> str:
    """What judges models has a code owner, and so has each model: its own owner."""
    from mlops.github.code_owners import (
        PLACES,
        judging,
        lines_to_add,
        parse,
        without_owner,
    )

    tracked = git(project.root, "ls-files", "-z").split("\0")
    files = judging(tracked)
    file = next((name for name in PLACES if (project.root / name).is_file()), None)
    if file is None:
        missing = f"there is no {PLACES[0]}: a change of what judges models needs one"
        return missing if (project.root / ".github").is_dir() else ""
    rules = parse((project.root / file).read_text(encoding="utf-8", errors="replace"))
    lost = without_owner(rules, files)
    problems = [f"{file} gives no owner to {listed(lost, 4)}"] if lost else []
    lines = lines_to_add(rules, owners_of(project))
    if lines:
        problems.append(f"{file} lacks owners of model.yaml; add to it:")
        problems += lines
    return "\n".join(problems)


def specifications(project: Project) -> str:
    """Every models/NAME/model.yaml is valid, and its files are there."""
    names = project.models()
    if not names:
        return "there is no model yet; `mlops new` makes one"
    wrong = []
    for name in names:
        try:
            project.model(name)
        except MlopsError as error:
            wrong.append(str(error))
        for file in ("contract.py", "features.py", "estimator.py"):
            if not (project.folder(name) / file).is_file():
                wrong.append(f"models/{name}/{file} is missing")
    return "\n".join(wrong)


def disk(project: Project) -> str:
    """There is 1 GB of free disk, and this folder can be written."""
    if not os.access(project.root, os.W_OK):
        return f"{project.root} cannot be written"
    free = shutil.disk_usage(project.root).free / 1e9
    return "" if free >= 1 else f"{free:.2f} GB are free"


def pre_commit(project: Project) -> str:
    """The checks before a commit are switched on."""
    hook = hooks_folder(project.root) / "pre-commit"
    return "" if hook.is_file() else "`pre-commit install` switches them on"


def data(project: Project) -> str:
    """Each file with data in git has at most 50 MB; larger data are in a bucket."""
    from mlops.data.sources import MOST_IN_GIT

    tracked = git(project.root, "ls-files", "-z", "--", "models").split("\0")
    large = []
    for name in filter(None, tracked):
        path = project.root / name
        if path.is_file() and path.stat().st_size > MOST_IN_GIT:
            large.append(name)
    if not large:
        return ""
    return (
        f"{listed(large, 4)}: put it into a bucket, and let data.source name it "
        "(s3://BUCKET/FOLDER/*.parquet), or save it as Parquet or in parts"
    )


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


_CHECKS: dict[str, Callable[[Project], str]] = {
    "python": python,
    "packages": packages,
    "disk": disk,
    "repository": repository,
    "pre-commit": pre_commit,
    "settings": settings,
    "code owners": code_owners,
    "specifications": specifications,
    "data": data,
}

_REGISTRY = "The tags of the registry can be read, and every version has its files."

_ON_GITHUB = "What the workflows need on GitHub is switched on."

_WATCHED = "What is in the last stage and was watched was checked lately."

# What they look at is in git.
_IN_GIT = {"pre-commit", "code owners", "data"}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    looks_at : str
        What holds where nothing is wrong.
    found : str
        What is wrong, in lines.
    mark : str
        Before it on a terminal, four characters wide.
    """

    check: str
    looks_at: str
    found: str
    mark: str
    ok: bool = True


@app.command(rich_help_panel="Look")
def doctor(
    everything: Annotated[
        bool,
        Option("--all", help="Ask GitHub for every release, a request each."),
    ] = False,
    owner: Owner = None,
    stale: Stale = None,
    as_json: Json = False,
) -> None:
    """Say what is missing or wrong here and how to fix it.

    Example: `mlops doctor`
    """
    at = current_context()
    project = at.project
    in_git = _in_git(project)
    names = select(project, owner=owner) if owner or stale else None
    if stale and in_git:
        names = only_stale(project, names or [], stale, at.now())
    findings = []
    for name, check in _CHECKS.items():
        if in_git or name not in _IN_GIT:
            findings.append(_finding(name, check, project))
        else:
            findings.append(_not_looked_at(name, check.__doc__ or ""))
    if in_git:
        findings.append(_registry_finding(project, everything, names))
        findings.append(_monitor_finding(project, at.now(), names))
        findings.append(_github_finding(project, at.now()))
    else:
        findings.append(_not_looked_at("registry", _REGISTRY))
        findings.append(_not_looked_at("monitor", _WATCHED))
        findings.append(_not_looked_at("GitHub", _ON_GITHUB))
    findings.append(_engine_finding())
    text = "\n".join(_shown(finding) for finding in findings)
    rows = [
        {"check": f.check, "ok": f.ok, "looks_at": f.looks_at, "found": f.found}
        for f in findings
    ]
    emit(rows, text, as_json, yes=all(f.ok for f in findings))


def _finding(name: str, check: Callable[[Project], str], project: Project) -> Finding:
    """Return what a check found; its docstring says what it looks at."""
    try:
        problem = check(project)
    except MlopsError as error:
        problem = str(error)
    mark = paint("fix ", "bad") if problem else paint("ok  ", "good")
    return Finding(name, check.__doc__ or "", problem, mark, ok=not problem)


def _in_git(project: Project) -> bool:
    """Return whether git can be asked; the check of the repository says why not."""
    try:
        return is_repository(project.root)
    except MlopsError:
        return False


def _not_looked_at(name: str, looks_at: str) -> Finding:
    """Return that a check of what is in git could not be made."""
    found = "not looked at: git knows no work tree here"
    return Finding(name, looks_at, found, paint("fix ", "bad"), ok=False)


def _registry_finding(
    project: Project, everything: bool, names: list[str] | None
) -> Finding:
    """Return what is wrong in the registry; what was not looked at is only a note."""
    from mlops.registry.health import MOST_REQUESTS, health

    notes: tuple[str, ...] = ()
    try:
        most = None if everything else MOST_REQUESTS
        problems, notes = health(project, release_store(project), names, most)
    except MlopsError as error:
        problems = (error.problems[0].what,)
    mark = paint("ok  ", "good")
    if problems:
        mark = paint("fix ", "bad")
    elif notes:
        mark = paint("note", "unsure")
    found = "\n".join([*problems, *notes])
    return Finding("registry", _REGISTRY, found, mark, ok=not problems)


def _monitor_finding(
    project: Project, now: datetime, names: list[str] | None
) -> Finding:
    """Return which models are no longer checked; one that never was is a note."""
    from mlops.registry.tags import read_registry
    from mlops.registry.watched import watched

    try:
        found = watched(project, read_registry(project.root), now, names)
    except MlopsError as error:
        problem = error.problems[0].what
        mark = paint("fix ", "bad")
        return Finding("monitor", _WATCHED, problem, mark, ok=False)
    silent = [one.text() for one in found if one.silent]
    never = [one.text() for one in found if one.until is None]
    lines = "\n".join([*silent, *never])
    if silent:
        return Finding("monitor", _WATCHED, lines, paint("fix ", "bad"), ok=False)
    mark = paint("note", "unsure") if never else paint("ok  ", "good")
    return Finding("monitor", _WATCHED, lines, mark)


def _github_finding(project: Project, now: datetime) -> Finding:
    """Return what is not switched on at GitHub; what cannot be asked is a note."""
    from mlops.cli.switches import to_switch_on

    good = paint("ok  ", "good")
    unsure = paint("note", "unsure")
    if not client.current_repository(project.root):
        return Finding("GitHub", _ON_GITHUB, "origin is not on GitHub", unsure)
    try:
        missing, unseen = to_switch_on(project, client.repository(), now)
    except MlopsError as error:
        return Finding("GitHub", _ON_GITHUB, str(error), unsure)
    lines = [one.text() for one in missing]
    if unseen:
        lines.append(f"this token may not see: {listed(unseen)}")
    if any(one.blocks for one in missing):
        mark = paint("fix ", "bad")
        return Finding("GitHub", _ON_GITHUB, "\n".join(lines), mark, ok=False)
    return Finding("GitHub", _ON_GITHUB, "\n".join(lines), unsure if lines else good)


def _engine_finding() -> Finding:
    state = engine_state()
    headline, files = engine_text(state)
    mark = paint("note", "unsure") if state.modified else paint("ok  ", "good")
    return Finding("engine", headline, "\n".join(files), mark)


def _shown(finding: Finding) -> str:
    lines = [f"{finding.mark}  {finding.looks_at}"]
    lines += [f"      {line}" for line in finding.found.splitlines()]
    return "\n".join(lines)

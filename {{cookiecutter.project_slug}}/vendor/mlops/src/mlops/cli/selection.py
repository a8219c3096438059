"""Which models a command is about: by name, pattern, owner, and age."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from typer import Option

from mlops.cli.output import ago
from mlops.errors import MlopsError, UsageError, did_you_mean, listed

if TYPE_CHECKING:
    from datetime import datetime

    from mlops.config.project import Project
    from mlops.registry.tags import State

Owner = Annotated[
    str | None,
    Option(metavar="OWNER", help="Only models of this `owner` of model.yaml."),
]

Stale = Annotated[
    str | None,
    Option(
        metavar="PERIOD",
        help="Only models without a new version for so long: 12h, 30d, 2w.",
    ),
]

_WILD = frozenset("*?[")


def select(
    project: Project, names: Iterable[str] | None = None, owner: str | None = None
) -> list[str]:
    """Return the models of a project that are chosen, sorted where nobody orders them.

    Parameters
    ----------
    names : iterable of str, optional
        Names, and patterns such as ``price_*``; none: all models.
    owner : str, optional
        Only models with this owner; ``@ana`` and ``Ana`` are one.

    Raises
    ------
    UsageError
        For a pattern that no model matches, and an owner who has no model. A name
        that is none is left as it is: whoever uses it says so.
    """
    chosen = _named(project, list(names or ()))
    if owner is None:
        return chosen
    owners = owners_of(project)
    mine = [name for name in chosen if _same(owners.get(name, ""), owner)]
    if not mine:
        known = sorted({value for value in owners.values() if value})
        raise UsageError(
            "no model that is meant has this owner",
            key="--owner",
            found=owner,
            allowed=listed(known) or "none yet",
            do=did_you_mean(owner, known),
        )
    return mine


def stale_models(names: Iterable[str], state: State, before: datetime) -> list[str]:
    """Return those of some models whose newest version is older, or that have none.

    Parameters
    ----------
    state : State
        Of the registry.
    before : datetime
        With a time zone.
    """
    limit = before.timestamp()
    stale = []
    for name in names:
        latest = state.model(name).latest
        if latest is None or latest.event.time < limit:
            stale.append(name)
    return stale


def only_stale(
    project: Project, names: Iterable[str], period: str, now: datetime
) -> list[str]:
    """Return those of some models that `--stale PERIOD` means.

    Raises
    ------
    UsageError
        When this is no period.
    """
    from mlops.registry.tags import read_registry

    before = ago(period, now, "--stale")
    return stale_models(names, read_registry(project.root), before)


def _named(project: Project, names: list[str]) -> list[str]:
    """Return names and what patterns stand for, each once."""
    every = project.models()
    if not names:
        return every
    chosen: list[str] = []
    for name in names:
        if not is_wild(name):
            chosen.append(name)
            continue
        matching = [model for model in every if fnmatchcase(model, name)]
        if not matching:
            raise UsageError(
                "no model matches this pattern",
                found=name,
                allowed=listed(every) or "none yet",
            )
        chosen += matching
    return list(dict.fromkeys(chosen))


def is_wild(name: str) -> bool:
    """Return whether a name is a pattern."""
    return bool(_WILD & set(name))


def owners_of(project: Project) -> dict[str, str]:
    """Return whose each model is."""
    return {name: _owner(project, name) for name in project.models()}


def _owner(project: Project, name: str) -> str:
    """Return whose a model is; nobody's where its model.yaml cannot be read."""
    try:
        return project.model(name).owner
    except MlopsError:
        return ""


def _same(one: str, other: str) -> bool:
    return one.strip().lstrip("@").casefold() == other.strip().lstrip("@").casefold()

"""Who approves for a model: the people of a stage, or those of the model's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple


class Demand(NamedTuple):
    """Who may approve for one model.

    Attributes
    ----------
    handles : tuple of str
        If empty, no approval is needed.
    narrow : bool
        Whether a pattern of the model's name says so, and not the stage for all.
    """

    handles: tuple[str, ...] = ()
    narrow: bool = False


def people_for(
    model: str, people: Sequence[str], by_pattern: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return who approves for a model.

    Parameters
    ----------
    model : str
    people : sequence of str
        Who approves for models that match no pattern.
    by_pattern : mapping of str to sequence of str
        Who approves instead, by patterns of names; the first that matches counts.
    """
    return demand_for(model, people, by_pattern).handles


def demand_for(
    model: str, people: Sequence[str], by_pattern: Mapping[str, Sequence[str]]
) -> Demand:
    """Return as `people_for` does, and whether a pattern says so."""
    for pattern, handles in by_pattern.items():
        if fnmatchcase(model, pattern):
            return Demand(tuple(handles), narrow=True)
    return Demand(tuple(people))


def same_person(one: str, other: str) -> bool:
    """Return whether two handles are one person: ``@Ana`` and ``ana`` are."""
    return one.strip().lstrip("@").casefold() == other.strip().lstrip("@").casefold()


def without_own_change(now: Demand, after: Demand, before: Demand) -> tuple[str, ...]:
    """Return who may approve a version, as far as its own change does not say so.

    Those who were listed before the change; where nobody was, its list is the first and
    counts. A later change of the list counts at once, except for whom the version's
    change had added. Where no list is narrow, that of the stage counts as it is.

    Parameters
    ----------
    now : Demand
        Of the project.yaml by which it is decided.
    after, before : Demand
        Of that with and without the change from which the version was made.
    """
    if not before.handles or not (now.narrow or after.narrow or before.narrow):
        return now.handles
    if now.handles == after.handles:
        return before.handles
    if not now.handles:
        return ()
    added = _without(after.handles, before.handles)
    return _without(now.handles, added) or before.handles


def _without(handles: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Return the handles that are none of the others."""
    names = list(others)
    return tuple(
        handle
        for handle in handles
        if not any(same_person(handle, name) for name in names)
    )

"""Who approves for a model: the people of a stage, or those of the model's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase


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
    for pattern, handles in by_pattern.items():
        if fnmatchcase(model, pattern):
            return tuple(handles)
    return tuple(people)

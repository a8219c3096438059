"""Where data lie that are not in the repository: what every such store can do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from mlops.errors import EnvironmentFailure

# More than these are no source of one model, but a pattern that went wrong.
MOST_OBJECTS = 10_000


class Found(NamedTuple):
    """One object, as a store lists it.

    Parameters
    ----------
    address : str
        Without credentials and query.
    size : int
        Bytes; -1 where the store does not say.
    version : str
        What changes with the content: the ETag, else the time of the last change; empty
        where the store says neither.
    """

    address: str
    size: int
    version: str


class Store(Protocol):
    """A store of objects that is read."""

    def look(self) -> list[Found]:
        """Return the objects that a pattern names, sorted by address; none is read.

        Raises
        ------
        OutOfReach
            When nothing answers.
        EnvironmentFailure
            When the store refuses.
        """

    def read(self, one: Found) -> Iterator[bytes]:
        """Yield the content of an object.

        Raises
        ------
        EnvironmentFailure
            As `look`, and when the object is gone.
        """

    def version(self, one: Found) -> str:
        """Return the version that an object has now; empty where it is gone."""


class OutOfReach(EnvironmentFailure):
    """A store does not answer, or not in time; another attempt may help."""


Opener = Callable[[str], Store]


def matcher(pattern: str) -> re.Pattern[str]:
    """Return a regular expression of the keys that a glob names.

    `*` and `?` stand for characters of one folder's name, `**` for any folders.
    """
    parts = []
    for part in pattern.split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
            continue
        words = re.split(r"([*?]|\[[^\]/]+\])", part)
        parts.append("".join(map(_expression, words)) + "/")
    return re.compile("".join(parts).removesuffix("/"))


def _expression(word: str) -> str:
    """Return the regular expression of a piece of a glob."""
    if word == "*":
        return "[^/]*"
    if word == "?":
        return "[^/]"
    if len(word) > 2 and word[0] == "[" and word[-1] == "]":
        inside = re.escape(word[1:-1]).replace(r"\-", "-")
        if inside.startswith("!"):
            inside = f"^{inside[1:]}"
        return f"[{inside}]"
    return re.escape(word)


def opener(address: str) -> Store:
    """Return the store that an address names."""
    if address.startswith("s3://"):
        from mlops.data.buckets import BucketSource

        return BucketSource(address)
    from mlops.data.web import WebSource

    return WebSource(address)

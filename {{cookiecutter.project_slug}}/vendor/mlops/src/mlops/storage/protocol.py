"""What a release store is, and what is known of an asset."""

from __future__ import annotations

import builtins
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from pydantic import Field

from mlops.results.base import Result

ASSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

RELEASE_NAME = re.compile(r"v\d+\.\d+\.\d+|draft-[0-9a-f]{64}")

log = logging.getLogger("mlops.registry")


class Asset(Result):
    """One file of a release."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="Bytes.")

    def __str__(self) -> str:
        return f"{self.sha256} ({self.size} bytes)"


def asset_of(
    content: Iterable[bytes], most: float = inf, out: BinaryIO | None = None
) -> Asset:
    """Return digest and size of content, read at most a piece beyond `most` bytes.

    It is written to `out` on its way, where that is given.
    """
    digest = hashlib.sha256()
    size = 0
    for piece in content:
        digest.update(piece)
        size += len(piece)
        if out:
            out.write(piece)
        if size > most:
            break
    return Asset(sha256=digest.hexdigest(), size=size)


class Listing(NamedTuple):
    """The published releases that a store lists.

    Attributes
    ----------
    refs : frozenset of str
        ``MODEL@VERSION`` of each.
    whole : bool
        Whether these are all; else the newest.
    """

    refs: frozenset[str]
    whole: bool


class ReleaseStore(Protocol):
    """Releases of assets: made as a draft, checked, then published under a version.

    A release is named by its version or, before that, ``draft-`` and the digest of its
    manifest. Every operation may be repeated: what is done already is no error. Files
    pass in pieces, so that memory does not grow with the model. What a store that is
    `far` sends is kept in the cache.
    """

    far: bool

    def draft(self, model: str, digest: str) -> None:
        """Begin a draft, or resume one that is there."""

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Put a file into a draft, in place of one of the same name.

        Whole or not at all.
        """

    def publish(self, model: str, digest: str, version: str) -> None:
        """Turn a draft into the release of a version, in one step."""

    def discard(self, model: str, digest: str) -> None:
        """Remove a draft and all that is in it."""
        self.remove(model, f"draft-{digest}")

    def read(
        self, model: str, release: str, asset: str, start: int = 0
    ) -> Iterator[bytes]:
        """Yield an asset from a byte on, in pieces of at most 1 MiB.

        Refused where there is none.

        What breaks off is resumed where it broke, as often as the store thinks
        sensible.
        """

    def digest(self, model: str, release: str, asset: str) -> str | None:
        """Return the SHA-256 that the store itself has for an asset.

        None where it has none.

        Refused where the store does not hold the asset.
        """

    def remove(self, model: str, release: str) -> None:
        """Remove a published release and all that is in it."""

    def holds(self, model: str, version: str) -> bool:
        """Return whether a version is published here."""

    def list(self, model: str, versions: Iterable[str] = ()) -> list[str]:
        """Return all releases of a model.

        Versions, and drafts as ``draft-DIGEST``, sorted. A store whose listing ends
        somewhere looks for each of `versions` that is not in it.
        """

    def drafts(self, model: str) -> builtins.list[str]:
        """Return the digests of a model's drafts, sorted.

        A store with many releases looks among the newest: a draft that is older than
        these is made anew by whoever needs it.
        """

    def listing(self) -> Listing:
        """Return the published releases of all models, by few requests."""

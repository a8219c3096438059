"""Places where rows lie outside of git: a folder, or what else keeps named files.

A place has files whose names are paths with `/`. It can list them, hand one out as a
file of this machine, and write one as a whole. `data.buckets` has the one of buckets;
another store becomes another class with these three methods, and one line in
`cli.places.place_at`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mlops.errors import Refused, UsageError
from mlops.io.files import reaching, write_bytes

# A file's name: parts that no system reads as something else. None begins with a dot:
# those are half-written files and `..`.
_PART = r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}"
NAME = re.compile(rf"{_PART}(?:/{_PART}){{0,9}}")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


class PlacedFile(NamedTuple):
    """A file of a place: its name and its size in bytes."""

    name: str
    size: int


class Place(Protocol):
    """Named files that are written as a whole and not changed by others.

    Attributes
    ----------
    notes : sequence of str
        What could not be listed, such as what has expired, a sentence each.
    """

    notes: Sequence[str]

    def entries(self, under: str, first: str = "") -> list[PlacedFile]:
        """Return the files in and below a folder, by name; none where it is absent.

        Parameters
        ----------
        under : str
        first : str, optional
            A day, such as ``2026-11-23``: files that were written on earlier days may
            be left out.

        Raises
        ------
        EnvironmentFailure
            When the place cannot be reached.
        """

    def local(self, name: str) -> Path:
        """Return a file of this machine with the content of a file of the place.

        Raises
        ------
        EnvironmentFailure
            When the place cannot be reached, or has no such file.
        """

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in place of one of the same name; it appears whole or not.

        Raises
        ------
        EnvironmentFailure
            When the place cannot be written.
        """

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""


class FolderPlace(Place):
    """A folder of this machine, or one that several machines share."""

    notes: Sequence[str] = ()

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def entries(self, under: str, first: str = "") -> list[PlacedFile]:
        """Return the files in and below a folder; half-written ones are left out."""
        folder = self._path(under)
        found = []
        with reaching("list", folder):
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(self.root).as_posix()
                if NAME.fullmatch(name) and path.is_file():
                    found.append(PlacedFile(name, path.stat().st_size))
        return found

    def local(self, name: str) -> Path:
        """Return the file itself."""
        return self._path(name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file beside, and rename it."""
        write_bytes(self._path(name), content)

    def remove(self, name: str) -> None:
        """Remove a file."""
        path = self._path(name)
        with reaching("remove", path):
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        """Return the path of a file, never outside of the folder."""
        return self.root / checked(name)


def checked(name: str) -> str:
    """Return a name that a file of a place may have.

    Raises
    ------
    Refused
        For any other.
    """
    if not NAME.fullmatch(name):
        raise Refused("not a name that a file may have", found=repr(name)[:120])
    return name


def safe_name(text: str) -> str:
    """Return a text as a part of a name, with `_` for what no name has."""
    plain = re.sub(r"[^A-Za-z0-9._=-]", "_", text)[:80]
    return plain.lstrip(".-=") or "_"


def folder_of(text: str, root: Path, key: str) -> Path:
    """Return the folder that a setting names.

    Parameters
    ----------
    root : Path
        What a relative path is relative to.
    key : str
        Where the setting stands, for the error.

    Raises
    ------
    UsageError
        For an address of a kind that is not supported.
    """
    scheme = _SCHEME.match(text)
    if scheme:
        raise UsageError(
            "a place of this kind is not supported",
            key=key,
            found=f"{scheme[1]}://",
            allowed="a folder, or s3://BUCKET/PREFIX",
            do="mount it as a folder, or copy it to one",
        )
    return root / text

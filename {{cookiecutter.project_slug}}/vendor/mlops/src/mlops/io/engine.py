"""Which engine this is: its version, its digest, and its files that were changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlops import __version__
from mlops.io.digests import sha256, sha256_file

PACKAGE = Path(__file__).parents[1]

# As `sha256sum` writes it, so that `sha256sum --check ENGINE.sha256` in the folder of
# the package says the same. `make engine-digest` of the template records it.
RECORD = "ENGINE.sha256"


@dataclass(frozen=True)
class EngineState:
    """What the engine is, beside what was recorded when it was released.

    Parameters
    ----------
    version : str
        Its semantic version.
    sha256 : str
        The digest of all its files as they are now.
    changed : tuple of str
        Files that differ from the record.
    missing : tuple of str
        Files that the record has and are gone.
    added : tuple of str
        Files that the record does not have.
    recorded : bool
        Whether there is a record to compare with.
    """

    version: str
    sha256: str
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    recorded: bool = True

    @property
    def modified(self) -> bool:
        """Whether any file differs from the record."""
        return bool(self.changed or self.missing or self.added)


def listing(package: Path = PACKAGE) -> str:
    """Return a line for each file of a package, sorted by path: SHA-256 and path.

    Left out are the record itself and what Python caches.
    """
    names = sorted(path.relative_to(package).as_posix() for path in _files(package))
    return "".join(f"{sha256_file(package / name)}  {name}\n" for name in names)


def _files(package: Path) -> Iterator[Path]:
    for path in package.rglob("*"):
        cached = "__pycache__" in path.parts or path.suffix == ".pyc"
        if path.is_file() and not cached and path != package / RECORD:
            yield path


@cache
def engine_digest(package: Path = PACKAGE) -> str:
    """Return the SHA-256 of the listing: that of the record, if nothing differs."""
    return sha256(listing(package).encode("utf-8"))


def engine_state(package: Path = PACKAGE) -> EngineState:
    """Compare the files of the engine with the record of its release."""
    text = listing(package)
    digest = sha256(text.encode("utf-8"))
    record = package / RECORD
    if not record.is_file():
        return EngineState(__version__, digest, recorded=False)
    now = _parsed(text)
    then = _parsed(record.read_text(encoding="utf-8"))
    return EngineState(
        version=__version__,
        sha256=digest,
        changed=tuple(n for n in now if n in then and now[n] != then[n]),
        missing=tuple(name for name in then if name not in now),
        added=tuple(name for name in now if name not in then),
    )


def _parsed(text: str) -> dict[str, str]:
    """Return the digest of each path of a listing."""
    lines = [line.partition("  ") for line in text.splitlines()]
    return {path: digest for digest, _, path in lines if path}

"""Files, written atomically."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlops.errors import EnvironmentFailure, UsageError

_ADVICE = {
    errno.ENOSPC: "free some disk space and run the command again; nothing was half "
    "written",
    errno.EACCES: "make the folder writable for you, or run in a copy that you own",
    errno.EPERM: "make the folder writable for you, or run in a copy that you own",
    errno.EROFS: "the file system is mounted read-only: run in a writable copy",
}

# Where the classes of errors are defined that the network makes.
_OF_THE_NETWORK = ("http", "requests", "socket", "ssl", "urllib", "urllib3")

# NaN and infinity are not JSON: writing them is an error, so every file can be read.
JSON: dict[str, Any] = {"sort_keys": True, "ensure_ascii": False, "allow_nan": False}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`, which replaces it if the block succeeds.

    Raises
    ------
    EnvironmentFailure
        When the disk is full, or the folder is read-only or not ours; the old file is
        untouched. Errors of whatever else the block does are left as they are.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if is_of_the_network(error):
            raise
        raise cannot("write", path, error) from error
    finally:
        with suppress(OSError):  # such a folder cannot be made, and has none to remove
            temporary.unlink(missing_ok=True)


def is_of_the_network(error: OSError) -> bool:
    """Return whether an OSError is none of a file's: the network failed.

    Errors of sockets are OSErrors, and by inheritance those of requests and urllib.
    """
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return type(error).__module__.partition(".")[0] in _OF_THE_NETWORK


def sweep(path: Path) -> None:
    """Remove the temporary siblings of `path` that killed processes left.

    Only while nobody else writes this file.
    """
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}")
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    for sibling in siblings:
        if pattern.fullmatch(sibling.name):
            with reaching("remove", sibling):
                sibling.unlink(missing_ok=True)


@contextmanager
def reaching(verb: str, path: Path) -> Iterator[None]:
    """Turn a refusal of the operating system into an error with file and advice."""
    try:
        yield
    except OSError as error:
        if is_of_the_network(error):
            raise
        raise cannot(verb, path, error) from error


def cannot(verb: str, path: Path, error: OSError) -> EnvironmentFailure:
    """Return the error for an operation that the operating system refused."""
    return EnvironmentFailure(
        f"cannot {verb} this file: {(error.strerror or str(error)).lower()}",
        file=str(path),
        do=_ADVICE.get(error.errno or 0, "check the path and its permissions"),
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_folder(files: Mapping[str, bytes], out: Path, mark: tuple[str, str]) -> None:
    """Write a folder, as a whole, where nothing or an older one is.

    The older one is known by its `mark`: a file, and words that this begins with.

    Raises
    ------
    UsageError
        Where something else is, which would be lost.
    """
    out = out.resolve()
    if not _may_replace(out, mark):
        raise UsageError(
            "this folder holds something else",
            file=str(out),
            do="name a folder that does not exist yet",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        new = Path(temporary, "new")
        old = Path(temporary, "old")
        for name, content in files.items():
            write_bytes(new / name, content)
        if out.exists():
            out.rename(old)
        new.rename(out)


def _may_replace(out: Path, mark: tuple[str, str]) -> bool:
    """Return whether nothing is lost with a folder: it is absent, empty or marked."""
    if not out.exists():
        return True
    if out.is_dir() and not any(out.iterdir()):
        return True
    name, words = mark
    known = out / name
    return known.is_file() and words in known.read_text("utf-8", "replace")[:2000]


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with Unix line ends on every system."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, sorted and indented, to be read and compared."""
    write_text(path, json.dumps(value, indent=2, **JSON) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    EnvironmentFailure
        When it is missing or is not JSON (cut short by another program, say).
    """
    try:
        with reaching("read", path):
            return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EnvironmentFailure(
            f"this file is not JSON: {error}",
            file=str(path),
            do="delete it and run again",
        ) from error

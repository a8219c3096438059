"""Digests of bytes, files and JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlops.io.files import JSON, reaching


def canonical_json(value: Any) -> bytes:
    """Return the one byte string that stands for a JSON value, for digests."""
    return json.dumps(value, separators=(",", ":"), **JSON).encode("utf-8")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, never all of it in memory."""
    with reaching("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pieces(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield the content of a file from a byte on, in pieces of 1 MiB."""
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(1 << 20):
            yield piece


def digest_of(paths: Iterable[Path], root: Path) -> str:
    """Return one digest of files: of names, relative to `root`, and contents."""
    names = sorted(
        (path.relative_to(root).as_posix(), sha256_file(path)) for path in paths
    )
    return sha256(canonical_json(names))

"""The files that a source names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops.errors import UsageError
from mlops.io.digests import sha256_file
from mlops.results.data import SourceFile

if TYPE_CHECKING:
    import pandas as pd


Form = Literal["parquet", "json", "csv"]

_PARQUET = {".parquet", ".pq"}
_JSON_LINES = {".jsonl", ".ndjson"}

# Compressed text, by the end of its name; the rest of the name says what is in it.
COMPRESSED = (".gz", ".bz2", ".zst")

_LFS_POINTER = b"version https://git-lfs."

# How a file begins that its name calls something else, what it is, and what to do.
_STARTS = (
    (b"PK\x03\x04", (), "a zip archive or an Excel workbook", "unpack it, or save CSV"),
    (b"\x1f\x8b", (".gz",), "compressed by gzip", "let its name end in .gz"),
    (b"BZh", (".bz2",), "compressed by bzip2", "let its name end in .bz2"),
    (b"\x28\xb5\x2f\xfd", (".zst",), "compressed by zstd", "let its name end in .zst"),
    (b"PAR1", tuple(_PARQUET), "a Parquet file", "let its name end in .parquet"),
)


@dataclass(frozen=True)
class Source:
    """Rows as they were read.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        The declared columns that are there; text columns as pandas ``str``.
    files : tuple of SourceFile
    missing : tuple of str
        Declared columns that a file lacks.
    extra : tuple of str
        Columns that nobody declared.
    """

    frame: pd.DataFrame
    files: tuple[SourceFile, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def form_of(path: Path) -> Form:
    """Return how a table is written, as the name of its file says; else it is CSV."""
    name = path
    if path.suffix in COMPRESSED:
        name = path.with_suffix("")
    if path.suffix in _PARQUET:
        return "parquet"
    return "json" if name.suffix in _JSON_LINES else "csv"


def source_files(pattern: str, folder: Path, key: str = "data.source") -> list[Path]:
    """Return the files that a path or glob names, sorted.

    Raises
    ------
    UsageError
        When there is none.
    """
    path = Path(pattern)
    root = folder / path.anchor  # of the disk, or the folder itself
    relative = path.relative_to(path.anchor)
    files = sorted(p for p in root.glob(relative.as_posix()) if p.is_file())
    if not files:
        shown = f"models/{folder.name}"
        raise UsageError(
            "no file matches",
            file=f"{shown}/model.yaml",
            key=key,
            found=pattern,
            do=f"put the data there, or fix {key} (relative to {shown}/)",
        )
    return files


def shown_path(path: Path, root: Path) -> str:
    """Return a path as errors and records name it: below `root` from there."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return shown.as_posix()


def hash_files(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """Return the SHA-256 of files by the paths that records name.

    Raises
    ------
    OSError
        When a file cannot be read.
    """
    return {shown_path(path, root): sha256_file(path) for path in paths}


def refuse_other_content(path: Path, shown: str) -> None:
    """Raise UsageError where a file is not what its name says.

    Git may have left a pointer of Git LFS in place of the data.
    """
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise UsageError(
            "this is a Git LFS pointer, not the data that it stands for",
            file=shown,
            do="run `git lfs install` and `git lfs pull` "
            "(on GitHub: `lfs: true` for actions/checkout)",
        )
    for first, ends, what, do in _STARTS:
        if start.startswith(first) and path.suffix not in ends:
            raise UsageError(f"this is {what}", file=shown, do=do)

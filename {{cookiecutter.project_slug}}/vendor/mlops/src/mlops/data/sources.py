"""The files that a source names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import UsageError
from mlops.io.digests import sha256_file
from mlops.results.data import SourceFile

if TYPE_CHECKING:
    import pandas as pd


PARQUET = {".parquet", ".pq"}

_LFS_POINTER = b"version https://git-lfs."


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


def refuse_lfs_pointer(path: Path, shown: str) -> None:
    """Raise UsageError where git left a pointer of Git LFS in place of the data."""
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise UsageError(
            "this is a Git LFS pointer, not the data that it stands for",
            file=shown,
            do="run `git lfs install` and `git lfs pull` "
            "(on GitHub: `lfs: true` for actions/checkout)",
        )

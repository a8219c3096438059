"""The files that a source names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import Problem, UsageError
from mlops.results.data import SourceFile

if TYPE_CHECKING:
    import pandas as pd


PARQUET = {".parquet", ".pq"}


@dataclass(frozen=True)
class Source:
    """Rows as they were read."""

    frame: pd.DataFrame  # declared columns that are there; text columns as pandas `str`
    files: tuple[SourceFile, ...]
    missing: tuple[str, ...]  # declared columns that a file lacks
    extra: tuple[str, ...]  # columns that nobody declared


def source_files(pattern: str, folder: Path, key: str = "data.source") -> list[Path]:
    """Return the files that a path or glob names, sorted; UsageError when there is none."""
    path = Path(pattern)
    relative = path.relative_to(path.anchor)  # to the root of the disk, or itself
    found = sorted(
        p for p in (folder / path.anchor).glob(relative.as_posix()) if p.is_file()
    )
    if not found:
        place = f"models/{folder.name}"
        do = f"put the data there, or mend {key} (relative to {place}/)"
        raise UsageError(
            Problem("no file matches", f"{place}/model.yaml", key, pattern, do=do)
        )
    return found

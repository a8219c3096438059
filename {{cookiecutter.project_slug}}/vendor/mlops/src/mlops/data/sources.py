"""The files that a source names."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlops.config.fields import ADDRESS, without_secrets
from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, MlopsError, UsageError
from mlops.io.digests import sha256, sha256_file
from mlops.results.data import LockedObject, SourceFile, SourceLock

if TYPE_CHECKING:
    import pandas as pd


Form = Literal["parquet", "json", "csv"]

_PARQUET = {".parquet", ".pq"}
_JSON_LINES = {".jsonl", ".ndjson"}

# Compressed text, by the end of its name; the rest of the name says what is in it.
COMPRESSED = (".gz", ".bz2", ".zst")

# Labels as a check of predictions reads them: of any time, not as a run had them.
MONITOR_LABELS = "monitor.labels"

_OWN_LOCKS = {"batch.input": "batch", MONITOR_LABELS: "monitor"}

MOST_IN_GIT = 50 << 20  # bytes; the hook `large-data` of pre-commit refuses more

_LFS_POINTER = b"version https://git-lfs."

# How a file begins that its name calls something else, what it is, and what to do.
_STARTS = (
    (b"PK\x03\x04", (), "a zip archive or an Excel workbook", "unpack it, or save CSV"),
    (b"\x1f\x8b", (".gz",), "compressed by gzip", "let its name end in .gz"),
    (b"BZh", (".bz2",), "compressed by bzip2", "let its name end in .bz2"),
    (b"\x28\xb5\x2f\xfd", (".zst",), "compressed by zstd", "let its name end in .zst"),
    (b"PAR1", tuple(_PARQUET), "a Parquet file", "let its name end in .parquet"),
)

# Text that its name calls a table, by how it begins, what it is, and what to do.
_NO_TABLES = (
    (
        re.compile(rb"(\[\s*)?\{\s*\""),
        "JSON, and its name does not say so",
        "write one object a line, and let its name end in .jsonl",
    ),
    (
        re.compile(rb"<(!doctype|html|\?xml)\b", re.IGNORECASE),
        "a web page or XML",
        "download the table itself, and save it as CSV",
    ),
)
_ENOUGH_TO_TELL = 512  # bytes


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


class DataFile(NamedTuple):
    """A file of a source on this machine.

    Parameters
    ----------
    path : Path
    shown : str
        What errors and records call it: its path in the repository, or the address
        that it was read from.
    elsewhere : LockedObject, optional
        What it is a copy of.
    """

    path: Path
    shown: str
    elsewhere: LockedObject | None = None

    @property
    def sha256(self) -> str:
        """The digest of its content; that of a copy is in the lock."""
        if self.elsewhere is not None:
            return self.elsewhere.sha256
        return sha256_file(self.path)

    def require_intact(self) -> None:
        """Raise EnvironmentFailure where a copy is not what was fetched."""
        if self.elsewhere is None:
            return
        if self.path.is_file() and sha256_file(self.path) == self.elsewhere.sha256:
            return
        raise EnvironmentFailure(
            "the copy of this object is missing or corrupt",
            file=self.shown,
            found=str(self.path),
            do="`mlops data fetch` reads it again",
        )

    @property
    def record(self) -> dict[str, str | int]:
        """What records say of an object that lies elsewhere."""
        if self.elsewhere is None:
            return {}
        return {"size": self.elsewhere.size, "version": self.elsewhere.version}


def source_patterns(spec: ModelSpec) -> dict[str, str]:
    """Return what names the data of a model, by key of model.yaml."""
    patterns = {"data.source": spec.data.source}
    if spec.data.labels:
        patterns["data.labels"] = spec.data.labels
    return patterns


def is_elsewhere(pattern: str) -> bool:
    """Return whether a source is an address: of a bucket or a web server."""
    return ADDRESS.match(pattern) is not None


def patterns_elsewhere(spec: ModelSpec) -> dict[str, str]:
    """Return what has to be brought here before a run, by key of model.yaml."""
    return {
        key: pattern
        for key, pattern in source_patterns(spec).items()
        if is_elsewhere(pattern)
    }


def has_data_elsewhere(project: Project, name: str) -> bool:
    """Return whether data of a model have to be fetched before a run.

    A model.yaml with a mistake is for the run to report.
    """
    try:
        return bool(patterns_elsewhere(project.model(name)))
    except MlopsError:
        return False


def lock_folder(folder: Path, key: str = "data.source") -> Path:
    """Return the folder of a model's lock of sources.

    Batches and checks have one of their own: what they read is not what a run reads.
    """
    build = folder.parent.parent / "build" / folder.name
    return build / _OWN_LOCKS.get(key, "")


def copies(build: Path) -> Path:
    """Return the folder, beside a lock, with the copies of what lies elsewhere."""
    return build / "sources"


def files_of(spec: ModelSpec, folder: Path) -> list[DataFile]:
    """Return all files with data of a model: rows, then labels."""
    return [
        file
        for key, pattern in source_patterns(spec).items()
        for file in source_files(pattern, folder, key)
    ]


def source_files(
    pattern: str, folder: Path, key: str = "data.source"
) -> list[DataFile]:
    """Return the files that a path, glob or address names, sorted.

    Of an address these are the copies that the model's lock of sources names, whether
    they are still there or not; nothing is fetched.

    Raises
    ------
    UsageError
        When there is none.
    """
    if is_elsewhere(pattern):
        return _copied_files(pattern, folder, key)
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
    root = folder.parent.parent
    return [DataFile(path, shown_path(path, root)) for path in files]


def lock_note(spec: ModelSpec, folder: Path) -> str:
    """Return why the rows are not the newest ones; empty where they are."""
    if not patterns_elsewhere(spec):
        return ""
    return SourceLock.load(lock_folder(folder)).note


def _copied_files(pattern: str, folder: Path, key: str) -> list[DataFile]:
    """Return the copies of what an address names, as the lock of sources has them."""
    build = lock_folder(folder, key)
    files = []
    if (build / SourceLock.FILE).is_file():
        lock = SourceLock.load(build)
        if lock.patterns.get(key) == sha256(pattern.encode()):
            objects = [one for one in lock.objects if one.key == key]
            for one in objects:
                files.append(DataFile(copies(build) / one.file, one.address, one))
    if not files:
        raise UsageError(
            "this source was not fetched",
            file=f"models/{folder.name}/model.yaml",
            key=key,
            found=without_secrets(pattern),
            do=f"`mlops data fetch {folder.name}`",
        )
    return files


def shown_path(path: Path, root: Path) -> str:
    """Return a path as errors and records name it: below `root` from there."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return shown.as_posix()


def hash_files(files: Iterable[DataFile]) -> dict[str, str]:
    """Return the SHA-256 of files by the names that records have.

    Raises
    ------
    OSError
        When a file cannot be read.
    """
    return {file.shown: file.sha256 for file in files}


def refuse_other_content(path: Path, shown: str) -> None:
    """Raise UsageError where a file is not what its name says.

    Git may have left a pointer of Git LFS in place of the data.
    """
    with path.open("rb") as file:
        start = file.read(_ENOUGH_TO_TELL)
    if start.startswith(_LFS_POINTER):
        raise UsageError(
            "this is a Git LFS pointer, not the data that it stands for",
            file=shown,
            do="run `git lfs install` and `git lfs pull` "
            "(on GitHub: `lfs: true` for actions/checkout)",
        )
    for first, ends, what, do in _STARTS:
        if start.startswith(first) and path.suffix not in ends:
            raise UsageError(f"this is {what}", file=shown, do=do)
    if form_of(path) != "csv":
        return
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    for pattern, what, do in _NO_TABLES:
        if pattern.match(text):
            raise UsageError(f"this is {what}", file=shown, do=do)

"""What a batch has written in a job without credentials, brought to where it belongs.

The job that predicts runs code of a model, so it has no role; it leaves output and log
in folders. Another job, which runs none, writes them to the buckets. Files that are
there already stay as they are: whoever was stopped writes only the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import Refused
from mlops.io.places import FolderPlace, Place

# The folder, below a batch's own, of what belongs into a bucket.
HANDED_ON = "made"

# The names that a batch writes, below a model's folder: another job may run any code.
_OUTPUT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}-[0-9a-f]{16}/\d{5}\.parquet")
_LOG = re.compile(r"\d{4}-\d{2}-\d{2}/\d{2}-([0-9a-f]{16}-\d{5}\.parquet)")


@dataclass(frozen=True)
class FilesWritten:
    """What was written to a place.

    Parameters
    ----------
    files : int
    size : int
        Bytes.
    present : int
        Files that were there before.
    """

    files: int = 0
    size: int = 0
    present: int = 0


def write_log_files(made: Path, target: Place, model: str) -> FilesWritten:
    """Write the parts of a prediction log that a batch has left.

    A part that was written at another hour is the same part.

    Parameters
    ----------
    made : Path
        The folder that the batch wrote to.
    target : Place
        Of the prediction log.
    model : str

    Raises
    ------
    Refused
        For a file that no batch writes; nothing is written then.
    EnvironmentFailure
        When the place cannot be written. What is written so far stays.
    """
    folder = f"predictions/{model}"
    parts = _left(made, folder, _LOG)
    present = {_part(file.name) for file in target.entries(folder)}
    wanted = [name for name in parts if _part(name) not in present]
    return _write(made, target, wanted, len(parts))


def write_output_files(made: Path, target: Place, model: str) -> FilesWritten:
    """Write the predictions that a batch has left, likewise."""
    parts = _left(made, model, _OUTPUT)
    present = {file.name for file in target.entries(model)}
    wanted = [name for name in parts if name not in present]
    return _write(made, target, wanted, len(parts))


def _left(made: Path, folder: str, names: re.Pattern[str]) -> list[str]:
    """Return the files that a batch has left, by name."""
    found = []
    for path in sorted(made.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        name = path.relative_to(made).as_posix()
        is_known = name.startswith(f"{folder}/")
        rest = name.removeprefix(f"{folder}/")
        if not is_known or not names.fullmatch(rest) or path.is_symlink():
            raise Refused(
                "a batch writes no such file",
                file=str(made),
                found=repr(name)[:200],
                do="look at what the code of this model does",
            )
        found.append(name)
    return found


def _part(name: str) -> str:
    """Return what names a part at whatever hour it was written: batch and number."""
    return name.rpartition("/")[2][3:]


def _write(made: Path, target: Place, names: list[str], total: int) -> FilesWritten:
    """Write files to a place."""
    source = FolderPlace(made)
    size = 0
    for name in names:
        content = source.local(name).read_bytes()
        target.write(name, content)
        size += len(content)
    return FilesWritten(len(names), size, total - len(names))

"""The prediction log: inputs, outputs, and the labels that arrived later.

One JSON object per line, one file per model and UTC day:
`predictions/MODEL/2026-11-23.jsonl` and `feedback/MODEL/2026-11-23.jsonl` in the
project's state folder, and below `shadow/MODEL/` what a candidate predicted. Where
several processes serve together each has its own, such as
`2026-11-23.worker-2.jsonl`. Columns that the specification calls sensitive are never
written.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from io import FileIO
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from mlops.errors import EnvironmentFailure
from mlops.io.files import cannot
from mlops.io.places import FolderPlace
from mlops.serving.log_reader import FEEDBACK, SHADOW, Window, read_log, stamp
from mlops.serving.log_retention import first_day, forget
from mlops.serving.log_rows import in_sample, is_prediction, loaded

if TYPE_CHECKING:
    import pandas as pd

    from mlops.serving.log_backlog import Backlog

_ROWS_PER_WRITE = 10_000

_log = logging.getLogger("mlops.serving")


def new_id(now: datetime) -> str:
    """Return a UUID of version 7 (RFC 9562), which sorts by its millisecond."""
    chance = secrets.token_hex(9)
    return str(UUID(f"{int(now.timestamp() * 1000):012x}7{chance[:3]}8{chance[3:]}"))


@dataclass(frozen=True)
class PredictionLog:
    """The log of one model in the project's state folder.

    Parameters
    ----------
    hidden : collection of str
        Columns that are never written.
    writer : str
        Names the files of this process, where several write one log.
    backlog : Backlog, optional
        Where the log is delivered elsewhere: says whether there is room for more.
    share : float
        Of the predictions that are logged, by a hash of the id.
    days : int
        What is older is removed when a day begins; 0: nothing is.
    """

    state: Path
    model: str
    hidden: Collection[str] = ()
    writer: str = ""
    backlog: Backlog | None = None
    share: float = 1.0
    days: int = 0

    def hiding(self, columns: Collection[str]) -> PredictionLog:
        """Return the log with further columns that are never written."""
        if not columns or columns == self.hidden:
            return self
        return replace(self, hidden=frozenset(self.hidden) | frozenset(columns))

    def write(
        self,
        features: pd.DataFrame,
        outputs: pd.DataFrame,
        ids: Sequence[str],
        version: str,
        at: datetime,
    ) -> None:
        """Append predictions, one line each; all of them, or none.

        Parameters
        ----------
        features : DataFrame, shape (n_rows, n_features)
            The signature's features and nothing else.
        outputs : DataFrame, shape (n_rows, n_outputs)
            What `Model.predict` returned, and ``row_id`` where rows have an id of their
            own, by which labels of label files are joined.
        ids : sequence of str, length n_rows
            Prediction ids.

        Raises
        ------
        EnvironmentFailure
            When the disk is full or the folder is not writable, or when too much waits
            to be delivered.
        """
        path = self._path("predictions", at)
        begin = path.stat().st_size if path.exists() else 0
        written = 0
        try:
            for first in range(0, len(ids), _ROWS_PER_WRITE):
                part = slice(first, first + _ROWS_PER_WRITE)
                inputs = records(features.iloc[part])
                predicted = records(outputs.iloc[part])
                written += self.write_rows(inputs, predicted, ids[part], version, at)
        except EnvironmentFailure:
            if written:
                _cut_back(path, begin, written)
            raise

    def write_rows(
        self,
        features: Sequence[Mapping[str, Any]],
        outputs: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
        version: str,
        at: datetime,
    ) -> int:
        """Append predictions, one line each, all by a single write.

        Parameters
        ----------
        features, outputs : sequence of mapping, length n_rows
            As `write`, with values that JSON has.

        Returns
        -------
        int
            Bytes that were written.

        Raises
        ------
        EnvironmentFailure
            When the disk is full or the folder is not writable.
        """
        common = self._common(version, at)
        lines = []
        for key, output, row in zip(ids, outputs, features, strict=True):
            if not in_sample(key, self.share):
                continue
            shown = {name: row[name] for name in row if name not in self.hidden}
            lines.append({"id": key, **common, **output, "features": shown})
        return self._append("predictions", at, lines)

    def write_shadow(
        self,
        outputs: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
        version: str,
        at: datetime,
    ) -> None:
        """Append what a candidate predicted in the shadow, in a log of its own.

        Parameters
        ----------
        ids : sequence of str, length n_rows
            Of the predictions that were answered: those have the features.

        Raises
        ------
        EnvironmentFailure
            When the disk is full or the folder is not writable.
        """
        common = self._common(version, at)
        pairs = zip(ids, outputs, strict=True)
        lines = [
            {"id": key, **common, **out, "features": {}}
            for key, out in pairs
            if in_sample(key, self.share)
        ]
        self._append(SHADOW, at, lines)

    def feedback(self, labels: Sequence[tuple[str, str | float]], at: datetime) -> None:
        """Append labels by prediction id; of several for one id the last one counts."""
        lines = [{"id": key, "label": label, "at": stamp(at)} for key, label in labels]
        self._append(FEEDBACK, at, lines)

    def waiting(self) -> int | None:
        """Return how many bytes wait to be delivered; None where the log stays here."""
        return self.backlog.waiting() if self.backlog else None

    def window(
        self,
        since: datetime,
        until: datetime,
        version: str | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> Window:
        """Read the predictions of ``[since, until)``, and the labels that have come.

        Parameters
        ----------
        version : str, optional
            Only the predictions of this one.
        known : mapping, optional
            Labels by ``row_id``, from label files; feedback goes before them.
        """
        log_place = FolderPlace(self.state)
        return read_log(log_place, self.model, (since, until), version, known)

    def _path(self, kind: str, at: datetime) -> Path:
        """Return the file that lines of a day are appended to."""
        name = stamp(at)[:10]
        if self.writer:
            name += f".{self.writer}"
        return self.state / kind / self.model / f"{name}.jsonl"

    def _common(self, version: str, at: datetime) -> dict[str, Any]:
        """Return what every line of a batch has."""
        common: dict[str, Any] = {"at": stamp(at), "model": self.model}
        common["version"] = version
        if self.share < 1:
            common["share"] = self.share
        return common

    def _append(
        self, kind: str, at: datetime, lines: Sequence[Mapping[str, Any]]
    ) -> int:
        """Append lines by a single write, which the system keeps whole.

        Return how many bytes were written.

        A line that an earlier writer left unfinished is ended first, so that only it
        is lost. Where the disk is full nothing of these lines stays, so that whoever
        writes them again doubles none.
        """
        path = self._path(kind, at)
        if not lines:
            return 0
        text = "".join(json.dumps(line, default=str) + "\n" for line in lines)
        content = text.encode("ascii")
        if self.backlog:
            self.backlog.add(len(content))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+", buffering=0) as file:
                if _is_unfinished(file):
                    content = b"\n" + content
                written = file.write(content) or 0
                if written != len(content):
                    _take_back(file, written)
                    raise OSError(ENOSPC, "no space left on device")
                is_new_day = file.tell() == len(content)
        except OSError as error:
            raise cannot("write", path, error) from error
        if is_new_day and self.days:
            self._forget(at)
        return written

    def _forget(self, at: datetime) -> None:
        """Remove what is too old; where that fails, what was written stays written."""
        try:
            forget(FolderPlace(self.state), self.model, first_day(at, self.days))
        except EnvironmentFailure as error:
            _log.warning("what is too old was not removed: %s", error)


def find_prediction(state: Path, key: str) -> dict[str, Any] | None:
    """Return what was logged under a prediction id, of whichever model.

    None where nothing was. The id holds the time, so only the file of that day is read,
    or of the one that began since.
    """
    made = datetime.fromtimestamp(int(key.replace("-", "")[:12], 16) / 1000, UTC)
    for day in (made, made + timedelta(days=1)):
        for path in sorted((state / "predictions").glob(f"*/{stamp(day)[:10]}*.jsonl")):
            with path.open("rb") as file:
                lines = [loaded(line) for line in file if key.encode() in line]
            for logged in lines:
                if is_prediction(logged) and logged["id"] == key:
                    return cast("dict[str, Any]", logged)
    return None


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values; what is missing or infinite is None."""
    finite = frame.notna() & ~frame.isin([inf, -inf])
    known = frame.astype("object").where(finite, None)
    return cast("list[dict[str, Any]]", known.to_dict("records"))


def _cut_back(path: Path, begin: int, written: int) -> None:
    """Remove several writes from the end of a file, unless others wrote meanwhile."""
    with suppress(OSError), path.open("rb+", buffering=0) as file:
        if file.seek(0, 2) == begin + written:
            file.truncate(begin)


def _take_back(file: FileIO, written: int) -> None:
    """Remove the start of a write that ended early, unless others wrote after it."""
    end = file.tell()
    if file.seek(0, 2) == end:
        file.truncate(end - written)


def _is_unfinished(file: FileIO) -> bool:
    """Return whether a file's last line has no end."""
    if not file.seek(0, 2):
        return False
    file.seek(-1, 2)
    return file.read(1) != b"\n"

"""The prediction log: inputs, outputs, and the labels that arrived later.

One JSON object per line, one file per model and UTC day:
`predictions/MODEL/2026-11-23.jsonl` and `feedback/MODEL/2026-11-23.jsonl` in the
project's state folder. Columns that the specification calls sensitive are never
written.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from uuid import UUID

from mlops.data.known import respell, spellings
from mlops.data.types import as_text
from mlops.io.files import cannot

if TYPE_CHECKING:
    import pandas as pd

_ROWS_PER_WRITE = 10_000

_ALWAYS = ("id", "at", "version", "row_id")

_LAST_DAY = "9999"  # sorts after every day


def new_id(now: datetime) -> str:
    """Return a UUID of version 7 (RFC 9562), which sorts by its millisecond."""
    chance = secrets.token_hex(9)
    return str(UUID(f"{int(now.timestamp() * 1000):012x}7{chance[:3]}8{chance[3:]}"))


@dataclass(frozen=True)
class Window:
    """Predictions of a period, the two frames aligned row by row.

    Parameters
    ----------
    features : DataFrame, shape (n_rows, n_features)
        As they were sent, not cast.
    log : DataFrame, shape (n_rows, n_columns)
        ``id``, ``at``, ``version``, ``row_id``, the outputs of the model and ``label``
        (missing where none has come).
    damaged : int
        Lines that a crash cut short, and that were left out.
    """

    features: pd.DataFrame
    log: pd.DataFrame
    damaged: int


@dataclass(frozen=True)
class PredictionLog:
    """The log of one model in the project's state folder.

    Parameters
    ----------
    hidden : collection of str
        Columns that are never written.
    """

    state: Path
    model: str
    hidden: Collection[str] = ()

    def write(
        self,
        features: pd.DataFrame,
        outputs: pd.DataFrame,
        ids: Sequence[str],
        version: str,
        at: datetime,
    ) -> None:
        """Append predictions, one line each.

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
            When the disk is full or the folder is not writable.
        """
        for first in range(0, len(ids), _ROWS_PER_WRITE):
            part = slice(first, first + _ROWS_PER_WRITE)
            inputs = records(features.iloc[part])
            predicted = records(outputs.iloc[part])
            self.write_rows(inputs, predicted, ids[part], version, at)

    def write_rows(
        self,
        features: Sequence[Mapping[str, Any]],
        outputs: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
        version: str,
        at: datetime,
    ) -> None:
        """Append predictions, one line each, all by a single write.

        Parameters
        ----------
        features, outputs : sequence of mapping, length n_rows
            As `write`, with values that JSON has.

        Raises
        ------
        EnvironmentFailure
            When the disk is full or the folder is not writable.
        """
        common = {"at": _stamp(at), "model": self.model, "version": version}
        lines = []
        for key, output, row in zip(ids, outputs, features, strict=True):
            shown = {name: row[name] for name in row if name not in self.hidden}
            lines.append({"id": key, **common, **output, "features": shown})
        self._append("predictions", at, lines)

    def feedback(self, labels: Sequence[tuple[str, str | float]], at: datetime) -> None:
        """Append labels by prediction id; of several for one id the last one counts."""
        lines = [{"id": key, "label": label, "at": _stamp(at)} for key, label in labels]
        self._append("feedback", at, lines)

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
        import pandas as pd

        low = _stamp(since)
        high = _stamp(until)
        logs = [pd.DataFrame(columns=_ALWAYS)]
        features = [pd.DataFrame()]
        damaged = 0
        for lines, cut in self._read("predictions", low, high):
            damaged += cut
            within = [line for line in lines if low <= line["at"] < high]
            wanted = [line for line in within if version in (None, line["version"])]
            features.append(pd.DataFrame([line.pop("features") for line in wanted]))
            logs.append(pd.DataFrame(wanted).drop(columns="model", errors="ignore"))
        log = pd.concat(logs, ignore_index=True)
        labels: dict[str, Any] = {}
        # No label is older than its prediction.
        for lines, cut in self._read("feedback", low, _LAST_DAY):
            damaged += cut
            for line in lines:
                labels[line["id"]] = line["label"]
        by_id = log["id"].map(labels).astype("object")
        log["label"] = by_id.fillna(_by_row(log["row_id"], known or {}))
        return Window(pd.concat(features, ignore_index=True), log, damaged)

    def _read(
        self, kind: str, low: str, high: str
    ) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Yield the objects of each day, and how many lines were cut short."""
        for path in sorted((self.state / kind / self.model).glob("????-??-??.jsonl")):
            if not low[:10] <= path.stem <= high[:10]:
                continue
            try:
                lines = [line for line in path.read_bytes().splitlines() if line]
            except OSError as error:
                raise cannot("read", path, error) from error
            objects = _objects(lines)
            yield objects, len(lines) - len(objects)

    def _append(
        self, kind: str, at: datetime, lines: Sequence[Mapping[str, Any]]
    ) -> None:
        """Append lines by a single write, which the system keeps whole.

        A line that an earlier writer left unfinished is ended first, so that only it
        is lost.
        """
        path = self.state / kind / self.model / f"{_stamp(at)[:10]}.jsonl"
        text = "".join(json.dumps(line, default=str) + "\n" for line in lines)
        content = text.encode("ascii")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+", buffering=0) as file:
                if _is_unfinished(file):
                    content = b"\n" + content
                if file.write(content) != len(content):
                    raise OSError(ENOSPC, "no space left on device")
        except OSError as error:
            raise cannot("write", path, error) from error


def find_prediction(state: Path, key: str) -> dict[str, Any] | None:
    """Return what was logged under a prediction id, of whichever model.

    None where nothing was. The id holds the time, so only the file of that day is read,
    or of the one that began since.
    """
    made = datetime.fromtimestamp(int(key.replace("-", "")[:12], 16) / 1000, UTC)
    for day in (made, made + timedelta(days=1)):
        for path in sorted((state / "predictions").glob(f"*/{_stamp(day)[:10]}.jsonl")):
            with path.open("rb") as file:
                lines = [line for line in file if key.encode() in line]
            for logged in _objects(lines):
                if logged["id"] == key:
                    return logged
    return None


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values; what is missing or infinite is None."""
    finite = frame.notna() & ~frame.isin([inf, -inf])
    known = frame.astype("object").where(finite, None)
    return cast("list[dict[str, Any]]", known.to_dict("records"))


def _by_row(row_ids: pd.Series, known: Mapping[str, Any]) -> pd.Series:
    """Return the labels of label files, by the row's id."""
    spelled = respell(as_text(row_ids), spellings(known))
    return spelled.map(dict(known)).astype("object")


def _is_unfinished(file: BinaryIO) -> bool:
    """Return whether a file's last line has no end."""
    if not file.seek(0, 2):
        return False
    file.seek(-1, 2)
    return file.read(1) != b"\n"


def _objects(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return what lines hold; one that a crash cut short is not JSON, and left out."""
    objects = []
    for line in lines:
        with suppress(ValueError):
            objects.append(json.loads(line))
    return objects


def _stamp(at: datetime) -> str:
    """Return a time as UTC text of fixed width, so that texts compare as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")

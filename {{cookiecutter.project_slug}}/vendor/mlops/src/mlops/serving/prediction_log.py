"""The prediction log: what was asked, what was answered, and the labels that came back later.

One JSON object per line, one file per model and UTC day: `predictions/MODEL/2026-11-23.jsonl` and
`feedback/MODEL/2026-11-23.jsonl` in the project's state folder. Columns that the specification
calls sensitive are never written.
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
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from mlops.data.known import respell, spellings
from mlops.data.types import as_text
from mlops.io.files import cannot

if TYPE_CHECKING:
    import pandas as pd


_ROWS_PER_WRITE = 10_000

_ALWAYS = ("id", "at", "version", "row_id")


def new_id(now: datetime) -> str:
    """Return a UUID of version 7 (RFC 9562): sorted by the millisecond in which it was made."""
    chance = secrets.token_hex(9)
    return str(UUID(f"{int(now.timestamp() * 1000):012x}7{chance[:3]}8{chance[3:]}"))


@dataclass(frozen=True)
class Window:
    """Predictions of a stretch of time, the two frames aligned row by row.

    `features` are as they were sent, not cast. `log` has ``id``, ``at``, ``version``, ``row_id``,
    the outputs of the model and ``label`` (missing where none has come). `damaged` counts lines
    that were cut short by a crash, and were left out.
    """

    features: pd.DataFrame
    log: pd.DataFrame
    damaged: int


@dataclass(frozen=True)
class PredictionLog:
    """The log of one model in the project's state folder; `hidden` columns are never written."""

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
            What `Model.predict` answered, and ``row_id`` where rows have an id of their own, by
            which labels in label files are joined.
        ids : sequence of str, length n_rows
            Prediction ids.

        Raises
        ------
        WorldError
            When the disk is full or the folder is not writable.
        """
        shown = features.drop(columns=list(self.hidden), errors="ignore")
        common = {"at": _stamp(at), "model": self.model, "version": version}
        for first in range(0, len(ids), _ROWS_PER_WRITE):
            part = slice(first, first + _ROWS_PER_WRITE)
            asked, answered = records(shown.iloc[part]), records(outputs.iloc[part])
            rows = zip(ids[part], answered, asked, strict=True)
            lines = [
                {"id": key, **common, **said, "features": row}
                for key, said, row in rows
            ]
            self._append("predictions", at, lines)

    def feedback(self, labels: Sequence[tuple[str, str | float]], at: datetime) -> None:
        """Append labels by prediction id; the last label of an id is the one that counts."""
        lines = [{"id": key, "label": label, "at": _stamp(at)} for key, label in labels]
        self._append("feedback", at, lines)

    def window(
        self,
        since: datetime,
        until: datetime,
        version: str | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> Window:
        """Read the predictions with ``since <= at < until``, and whatever labels have come so far.

        `known` are labels by `row_id`, from label files; feedback by prediction id goes first.
        """
        import pandas as pd

        low, high = _stamp(since), _stamp(until)
        logs, features, damaged = [pd.DataFrame(columns=_ALWAYS)], [pd.DataFrame()], 0
        for lines, cut in self._read("predictions", low, high):
            damaged += cut
            within = [line for line in lines if low <= line["at"] < high]
            kept = [line for line in within if version in (None, line["version"])]
            features.append(pd.DataFrame([line.pop("features") for line in kept]))
            logs.append(pd.DataFrame(kept).drop(columns="model", errors="ignore"))
        labels: dict[str, Any] = {}
        for lines, cut in self._read(
            "feedback", low, "9999"
        ):  # none is older than its prediction
            damaged += cut
            labels |= {line["id"]: line["label"] for line in lines}
        log = pd.concat(logs, ignore_index=True)
        row_ids = respell(as_text(log["row_id"]), spellings(known or ()))
        by_row = row_ids.map(dict(known or {})).astype("object")
        log["label"] = log["id"].map(labels).astype("object").fillna(by_row)
        return Window(pd.concat(features, ignore_index=True), log, damaged)

    def _read(
        self, kind: str, low: str, high: str
    ) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Yield the objects of each day, and how many lines were cut (never valid JSON)."""
        for path in sorted((self.state / kind / self.model).glob("????-??-??.jsonl")):
            if not low[:10] <= path.stem <= high[:10]:
                continue
            try:
                lines = [line for line in path.read_bytes().splitlines() if line]
            except OSError as error:
                raise cannot("read", path, error) from error
            found = _objects(lines)
            yield found, len(lines) - len(found)

    def _append(
        self, kind: str, at: datetime, lines: Sequence[Mapping[str, Any]]
    ) -> None:
        """Append lines by a single write, which the system keeps apart from other writers'.

        A line that an earlier writer left unfinished is ended first, so that it spoils no other.
        """
        path = self.state / kind / self.model / f"{_stamp(at)[:10]}.jsonl"
        content = "".join(
            json.dumps(line, default=str) + "\n" for line in lines
        ).encode("ascii")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+", buffering=0) as file:
                if file.seek(0, 2):
                    file.seek(-1, 2)
                    if file.read(1) != b"\n":
                        content = b"\n" + content
                if file.write(content) != len(content):
                    raise OSError(ENOSPC, "no space left on device")
        except OSError as error:
            raise cannot("write", path, error) from error


def find(state: Path, key: str) -> dict[str, Any] | None:
    """Return what was logged under a prediction id, of whichever model; None where nothing was.

    The id holds the time, so only the file of that day is read, or of the one that began since.
    """
    made = datetime.fromtimestamp(int(key.replace("-", "")[:12], 16) / 1000, UTC)
    for day in (made, made + timedelta(days=1)):
        for path in sorted((state / "predictions").glob(f"*/{_stamp(day)[:10]}.jsonl")):
            with path.open("rb") as file:
                lines = [line for line in file if key.encode() in line]
            for found in _objects(lines):
                if found["id"] == key:
                    return found
    return None


def _objects(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return what lines hold; one that a crash has cut short is no JSON, and is left out."""
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values; what is missing or infinite is None."""
    finite = frame.notna() & ~frame.isin([inf, -inf])
    known = frame.astype("object").where(finite, None)
    return cast("list[dict[str, Any]]", known.to_dict("records"))


def _stamp(at: datetime) -> str:
    """Return a time as UTC text of fixed width, so that texts compare as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")

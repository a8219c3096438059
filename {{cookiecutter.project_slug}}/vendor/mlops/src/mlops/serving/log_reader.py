"""Reading the prediction log of a place: a service's lines and a batch's parts.

Below `predictions/MODEL/` lie `DAY.jsonl`, with a line for each prediction, and
`DAY/HOUR-BATCH-NUMBER.parquet`, written once by a batch, or
`DAY/HOUR-DIGEST.WRITER.parquet`, delivered by a service; below `feedback/MODEL/` lies
`DAY.jsonl`.
Where several processes serve together, each has its own `DAY.WRITER.jsonl`.
Each file is a source of its own, which only grows at its end. How far a source was
read is a position in it: by that, a row that comes late is still a new one.

Others may have written what is read. A row that is not what a log holds is left out
and counted, and so is a part that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

from mlops.data.known import respell, spellings
from mlops.data.types import as_text
from mlops.io.files import reaching
from mlops.io.places import Place, PlacedFile
from mlops.serving.log_parts import line_of_part, rows_of_part
from mlops.serving.log_rows import is_label, is_prediction, is_stamp, loaded

if TYPE_CHECKING:
    import pandas as pd

_ALWAYS = ("id", "at", "version", "row_id", "source", "position")

# Kinds of logs, by the folder that they lie in.
PREDICTIONS = "predictions"
SHADOW = "shadow"

FEEDBACK = "feedback"

# The writer of the predictions of a canary: `DAY.canary.jsonl`.
CANARY = "canary"

_BATCH_ID = 8  # the version of its UUIDs

_ROWS_AT_ONCE = 10_000

_MOST_IN_LINE = 1 << 24  # bytes; a service takes no larger request

_LAST_DAY = "9999"  # sorts after every day

_DAY = r"\d{4}-\d{2}-\d{2}"
_LINES = re.compile(rf"({_DAY})(?:\.[\w-]{{1,100}})?\.jsonl")
_OF_BATCH = r"-\d{5}"
_OF_SERVICE = r"\.[\w-]{1,100}"
_PART = re.compile(
    rf"({_DAY})/(\d{{2}})-[0-9a-f]{{16}}({_OF_BATCH}|{_OF_SERVICE})\.parquet"
)


@dataclass(frozen=True)
class Window:
    """Predictions of a period, the two frames aligned row by row.

    Parameters
    ----------
    features : DataFrame, shape (n_rows, n_features)
        As they were sent, not cast.
    log : DataFrame, shape (n_rows, n_columns)
        ``id``, ``at``, ``version``, ``row_id``, the outputs of the model, ``label``
        (missing where none has come), and ``source`` and ``position``: the file, and
        how far it has to be read to have this row.
    damaged : int
        Rows and parts that are not what a log holds, and that were left out.
    first_damaged : str
        Where the first of them is.
    positions : dict of str to int
        How far each source was read.
    notes : tuple of str
        What could not be read, a sentence each.
    """

    features: pd.DataFrame
    log: pd.DataFrame
    damaged: int = 0
    first_damaged: str = ""
    positions: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class _Damage:
    """What was left out so far."""

    count: int = 0
    first: str = ""

    def add(self, where: str, count: int = 1) -> None:
        self.count += count
        self.first = self.first or where


def read_log(
    log_place: Place,
    model: str,
    period: tuple[datetime, datetime],
    version: str | None = None,
    known: Mapping[str, Any] | None = None,
    kind: str = PREDICTIONS,
) -> Window:
    """Read the predictions of ``[since, until)``, and the labels that have come.

    A source is read up to its first row that is not before `until`.

    Parameters
    ----------
    log_place : Place
    model : str
    period : tuple of datetime
        `since` and `until`.
    version : str, optional
        Only the predictions of this one.
    known : mapping, optional
        Labels by ``row_id``, from label files; feedback goes before them.
    kind : {"predictions", "shadow"}
        Which log.
    """
    import pandas as pd

    low = stamp(period[0])
    high = stamp(period[1])
    damage = _Damage()
    logs = []
    features = []
    sources = []
    folder = f"{kind}/{model}"
    for sent, log in _predictions(log_place, folder, (low, high), damage):
        wanted = (log["at"] >= low).to_numpy()
        if version is not None:
            wanted = wanted & (log["version"] == version).to_numpy()
        if wanted.any():
            sources.append((log["source"].iloc[0], int(wanted.sum())))
            features.append(sent[wanted])
            logs.append(log[wanted].drop(columns=["model", "source"], errors="ignore"))
    log = _together(logs, sources)
    logs.clear()  # else the rows are held twice
    labels = _feedback(log_place, model, low, damage)
    log["label"] = log["id"].map(labels).astype("object")
    if known:
        log["label"] = log["label"].fillna(_by_row(log["row_id"], known))
    furthest = log.groupby("source", observed=True)["position"].max()
    return Window(
        features=pd.concat(features or [pd.DataFrame()], ignore_index=True),
        log=log,
        damaged=damage.count,
        first_damaged=damage.first,
        positions={str(name): int(last) for name, last in furthest.items()},
        notes=(*log_place.notes, *_sampled(log)),
    )


def _sampled(log: pd.DataFrame) -> list[str]:
    """Return the sentence on a log that has a share of the predictions."""
    if "share" not in log or log["share"].isna().all():
        return []
    share = float(log["share"].min())
    return [f"the log is a sample: {share:.4g} of the predictions, by a hash of the id"]


def _together(logs: list[pd.DataFrame], sources: list[tuple[str, int]]) -> pd.DataFrame:
    """Return blocks of a log as one, with the source of each row as a category.

    Texts stay Arrow's: as Python's they would be most of what a check holds.

    Parameters
    ----------
    logs : list of DataFrame
    sources : list of (str, int)
        The source of each block, and how many rows it has.
    """
    import numpy as np
    import pandas as pd

    if not logs:
        return pd.DataFrame(columns=list(_ALWAYS))
    log = pd.concat(logs, ignore_index=True)
    log = log.reindex(columns=list(dict.fromkeys([*_ALWAYS, *log.columns])))
    names = list(dict.fromkeys(name for name, _ in sources))
    number = {name: at for at, name in enumerate(names)}
    codes = [number[name] for name, _ in sources]
    of_rows = np.repeat(codes, [rows for _, rows in sources])
    log["source"] = pd.Categorical.from_codes(of_rows, categories=names)
    return log


def find_logged(log_place: Place, model: str, key: str) -> dict[str, Any] | None:
    """Return what was logged under a prediction id; None where nothing was.

    The id of a service, or of `mlops predict FILE`, holds the time, so only the parts
    of that hour and the files of that day are read, or of the one that began since,
    line by line. That of a batch does not: each of its parts is looked at.
    """
    try:
        uuid = UUID(key)
        made = datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError):
        return None
    if uuid.version == _BATCH_ID:
        return _find_in_batches(log_place, model, key)
    days = {stamp(day)[:10] for day in (made, made + timedelta(days=1))}
    hours = {stamp(hour)[:13] for hour in (made, made + timedelta(hours=1))}
    folder = f"{PREDICTIONS}/{model}"
    damage = _Damage()
    for entry in log_place.entries(folder, min(days)):
        source = entry.name.removeprefix(f"{folder}/")
        part = _PART.fullmatch(source)
        if part and f"{part[1]}T{part[2]}" in hours and is_of_service(source):
            found = line_of_part(log_place.local(entry.name), key)
            if found:
                return found
        match = _LINES.fullmatch(source)
        if not match or match[1] not in days:
            continue
        path = log_place.local(entry.name)
        for line, _ in _lines(path, entry, is_prediction, damage, key.encode()):
            if line["id"] == key:
                return line
    return None


def _find_in_batches(log_place: Place, model: str, key: str) -> dict[str, Any] | None:
    """Return what a batch logged under an id, looking at the newest part first."""
    folder = f"{PREDICTIONS}/{model}"
    for entry in reversed(log_place.entries(folder)):
        source = entry.name.removeprefix(f"{folder}/")
        if _PART.fullmatch(source) and not is_of_service(source):
            found = line_of_part(log_place.local(entry.name), key)
            if found:
                return found
    return None


def stamp(at: datetime) -> str:
    """Return a time as UTC text of fixed width, so that texts compare as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def is_of_canary(source: str) -> bool:
    """Return whether a source has what a canary answered."""
    name = source.rpartition(".")[0]
    return name.endswith((f".{CANARY}", f"-{CANARY}"))


def is_of_service(source: str) -> bool:
    """Return whether a source has what a service answered, and not a batch."""
    match = _PART.fullmatch(source)
    return match is None or not match[3].startswith("-")


def day_of(source: str) -> str:
    """Return the day of a source; empty where its name has none."""
    match = _LINES.fullmatch(source) or _PART.fullmatch(source)
    return match[1] if match else ""


def _predictions(
    log_place: Place, folder: str, period: tuple[str, str], damage: _Damage
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield features and log of the sources of a period, some rows at a time."""
    low, high = period
    for entry in log_place.entries(folder, low[:10]):
        source = entry.name.removeprefix(f"{folder}/")
        if not low[:10] <= day_of(source) <= high[:10]:
            continue
        path = log_place.local(entry.name)
        if _PART.fullmatch(source):
            rows = _of_part(path, entry, damage)
        else:
            rows = _of_lines(path, entry, damage)
        for features, log in rows:
            log["source"] = source
            beyond = (log["at"] >= high).to_numpy()
            if beyond.any():
                first = int(beyond.argmax())
                yield features[:first], log[:first]
                break
            yield features, log


def _of_part(
    path: Path, entry: PlacedFile, damage: _Damage
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the rows of a part, nothing of one that cannot be read."""
    part = rows_of_part(path)
    if part is None:
        damage.add(entry.name)
        return
    if part.damaged:
        damage.add(entry.name, part.damaged)
    if len(part.log):
        yield part.features, part.log


def _of_lines(
    path: Path, entry: PlacedFile, damage: _Damage
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the predictions in a file of lines."""
    import pandas as pd

    lines = _lines(path, entry, is_prediction, damage)
    while block := list(islice(lines, _ROWS_AT_ONCE)):
        features = pd.DataFrame([line.pop("features") for line, _ in block])
        log = pd.DataFrame([line for line, _ in block])
        log["position"] = [end for _, end in block]
        yield features, log


def _lines(
    path: Path,
    entry: PlacedFile,
    is_sound: Any,
    damage: _Damage,
    wanted: bytes = b"",
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the objects of a file of lines, and where each line ends in bytes.

    Lines without the wanted text are passed over unread.
    """
    with reaching("read", path), path.open("rb") as file:
        for number, (raw, end) in enumerate(_raw_lines(file), start=1):
            if wanted not in raw or not raw.strip():
                continue
            line = loaded(raw)
            if is_sound(line):
                yield line, end
            else:
                damage.add(f"{entry.name}, line {number}")


def _raw_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield lines and their ends; one that is far too long comes in pieces."""
    end = 0
    while raw := file.readline(_MOST_IN_LINE):
        end += len(raw)
        yield raw, end


def _feedback(
    log_place: Place, model: str, low: str, damage: _Damage
) -> dict[str, Any]:
    """Return labels by prediction id; of several for one id the last one counts.

    That is the one with the latest time: each process that serves has a file. Of one
    time, and where a line has none, it is the one that is read last.
    """
    folder = f"{FEEDBACK}/{model}"
    labels: dict[str, Any] = {}
    times: dict[str, str] = {}
    for entry in log_place.entries(folder, low[:10]):
        match = _LINES.fullmatch(entry.name.removeprefix(f"{folder}/"))
        # No label is older than its prediction.
        if not match or not low[:10] <= match[1] <= _LAST_DAY:
            continue
        for line, _ in _lines(log_place.local(entry.name), entry, is_label, damage):
            key = line["id"]
            sent = line["at"] if is_stamp(line.get("at")) else times.get(key, "")
            if sent >= times.get(key, ""):
                times[key] = sent
                labels[key] = line["label"]
    return labels


def _by_row(row_ids: pd.Series, known: Mapping[str, Any]) -> pd.Series:
    """Return the labels of label files, by the row's id."""
    spelled = respell(as_text(row_ids), spellings(known))
    return spelled.map(dict(known)).astype("object")

"""Reading the prediction log: odd rows are left out, and parts are safe to read."""

from __future__ import annotations

import errno
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.errors import EnvironmentFailure, Refused, UsageError
from mlops.io.places import FolderPlace, folder_of
from mlops.serving import prediction_log
from mlops.serving.log_parts import part_of, rows_of_part
from mlops.serving.log_reader import read_log, stamp
from mlops.serving.prediction_log import PredictionLog

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = (NOW - 3 * DAY, NOW + 3 * DAY)
FILE = "predictions/churn/2026-11-23.jsonl"
PART = "predictions/churn/2026-11-23/12-0123456789abcdef-00000.parquet"

SOUND: dict[str, Any] = {
    "id": "a",
    "at": stamp(NOW),
    "model": "churn",
    "version": "v1.0.0",
    "row_id": "1",
    "prediction": "yes",
    "score": 0.5,
    "features": {"tenure": 1.0, "plan": "plus", "loyal": True, "spend": None},
}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in SOUND.items() if name != key}


ODD = [
    b"",
    b"{",
    b"{}",
    b"null",
    b"[1]",
    b"1",
    b'"text"',
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"id": ' + b"9" * 5000 + b"}",
    *(
        json.dumps(line).encode()
        for line in (
            *(without(key) for key in ("id", "at", "version", "features")),
            SOUND | {"id": None},
            SOUND | {"id": 7},
            SOUND | {"id": ["a"]},
            SOUND | {"id": "\ud800"},
            SOUND | {"id": "x" * 201},
            SOUND | {"at": None},
            SOUND | {"at": 17.5},
            SOUND | {"at": "yesterday"},
            SOUND | {"at": "2026-11-23"},
            SOUND | {"at": "2026-13-45T99:00:00.000000+00:00"},
            SOUND | {"at": "2026-11-23T12:00:00+02:00"},
            SOUND | {"version": 1},
            SOUND | {"version": None},
            SOUND | {"row_id": {"a": 1}},
            SOUND | {"unit": 3},
            SOUND | {"prediction": ["yes"]},
            SOUND | {"score": "high"},
            SOUND | {"score": {}},
            SOUND | {"score": 10**400},
            SOUND | {"features": None},
            SOUND | {"features": []},
            SOUND | {"features": "tenure"},
            SOUND | {"features": {"tenure": [1]}},
            SOUND | {"features": {"tenure": {"x": 1}}},
            SOUND | {"features": {"tenure": 10**400}},
            SOUND | {"features": {"plan": "half \ud800"}},
        )
    ),
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_odd_line_is_left_out_counted_and_named(tmp_path: Path, odd: bytes) -> None:
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    lines = [json.dumps(SOUND).encode(), odd, json.dumps(SOUND | {"id": "b"}).encode()]
    path.write_bytes(b"\n".join(lines) + b"\n")
    window = read_log(FolderPlace(tmp_path), "churn", WEEK)
    assert list(window.log["id"]) == ["a", "b"]
    assert list(window.features["tenure"]) == [1.0, 1.0]
    assert window.damaged == (1 if odd else 0)
    assert window.first_damaged == (f"{FILE}, line 2" if odd else "")


@pytest.mark.parametrize(
    "odd",
    ["{}", "null", '{"id": "a"}', '{"id": 1, "label": "yes"}']
    + [json.dumps({"id": "a", "label": label}) for label in (None, [1], {}, 10**400)],
)
def test_an_odd_label_is_left_out_and_counted(tmp_path: Path, odd: str) -> None:
    PredictionLog(tmp_path, "churn").feedback([("a", "yes")], NOW)
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SOUND) + "\n")
    with (tmp_path / "feedback" / "churn" / "2026-11-23.jsonl").open("a") as file:
        file.write(odd + "\n")
    window = read_log(FolderPlace(tmp_path), "churn", WEEK)
    assert list(window.log["label"]) == ["yes"]
    assert window.damaged == 1
    assert window.first_damaged == "feedback/churn/2026-11-23.jsonl, line 2"


def frames(n: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    features = pd.DataFrame(
        {"tenure": np.arange(n) * 1.0, "plan": ["plus", None, "basic"][:n]}
    )
    log = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(n)],
            "at": stamp(NOW),
            "version": "v1.0.0",
            "prediction": "yes",
            "score": np.linspace(0, 1, n),
        }
    )
    return features, log


def test_a_part_comes_back_as_it_was_written(tmp_path: Path) -> None:
    features, log = frames()
    content = part_of(features, log)
    assert content == part_of(features, log)
    place = FolderPlace(tmp_path)
    place.write(PART, content)
    window = read_log(place, "churn", WEEK)
    assert list(window.log["id"]) == ["p0", "p1", "p2"]
    assert list(window.log["score"]) == [0.0, 0.5, 1.0]
    assert list(window.features["tenure"]) == [0.0, 1.0, 2.0]
    assert window.features["plan"].isna().tolist() == [False, True, False]
    source = PART.removeprefix("predictions/churn/")
    assert (window.damaged, window.positions) == (0, {source: 3})


def test_texts_of_a_window_are_not_python_objects(tmp_path: Path) -> None:
    """As such they would be most of what a check of millions of rows holds."""
    features, log = frames()
    place = FolderPlace(tmp_path)
    place.write(PART, part_of(features, log.assign(row_id=["r0", "r1", "r2"])))
    other = PART.replace("-00000.", "-00001.")
    place.write(other, part_of(features, log.assign(row_id=["r3", "r4", None])))
    window = read_log(place, "churn", WEEK)
    kinds = {name: str(window.log[name].dtype) for name in window.log}
    texts = ("id", "at", "version", "row_id")
    assert {name: kinds[name] for name in texts} == dict.fromkeys(texts, "str")
    assert (kinds["source"], kinds["position"]) == ("category", "int64")
    folder = "predictions/churn/"
    parts = [name.removeprefix(folder) for name in (PART, other)]
    assert list(window.log["source"]) == [parts[0]] * 3 + [parts[1]] * 3
    assert window.positions == dict.fromkeys(parts, 3)


def test_lines_and_parts_of_a_day_are_read_together(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SOUND) + "\n")
    FolderPlace(tmp_path).write(PART, part_of(*frames()))
    window = read_log(FolderPlace(tmp_path), "churn", WEEK)
    assert sorted(window.log["id"]) == ["a", "p0", "p1", "p2"]
    assert len(window.features) == 4


def table(**columns: Any) -> pa.Table:
    """Return a part with other columns than a batch writes."""
    features = pa.array([{"tenure": 1.0}])
    sound = {
        "id": pa.array(["a"]),
        "at": pa.array([stamp(NOW)]),
        "version": pa.array(["v1.0.0"]),
        "features": features,
    }
    chosen = {name: col for name, col in (sound | columns).items() if col is not None}
    return pa.table(chosen)


def named(columns: dict[str, Any]) -> str:
    """Return a name without an address, which each process has another of."""
    ((name, values),) = columns.items()
    return f"{name}: {None if values is None else values.type}"


@pytest.mark.parametrize(
    "columns",
    [
        {"id": None},
        {"features": None},
        {"features": pa.array(["tenure"])},
        {"features": pa.array([{"tenure": [1.0]}])},
        {"features": pa.array([{"tenure": {"x": 1}}])},
        {"id": pa.array([7])},
        {"at": pa.array([NOW])},
        {"version": pa.array([1.0])},
        {"score": pa.array(["high"])},
        {"score": pa.array([[0.5]])},
        {"row_id": pa.array([{"x": 1}])},
        {"more": pa.array([b"bytes"])},
        {"more": pa.array(["a"]).dictionary_encode()},
    ],
    ids=named,
)
def test_a_part_with_other_columns_is_left_out_whole_and_named(
    tmp_path: Path, columns: dict[str, Any]
) -> None:
    path = tmp_path / PART
    path.parent.mkdir(parents=True)
    pq.write_table(table(**columns), path)
    window = read_log(FolderPlace(tmp_path), "churn", WEEK)
    assert (len(window.log), window.damaged, window.first_damaged) == (0, 1, PART)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_no_part(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(content)
    assert rows_of_part(path) is None


def test_a_part_whose_rows_are_too_many_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(part_of(*frames()))
    assert rows_of_part(path) is not None
    monkeypatch.setattr("mlops.serving.log_parts._MOST_ROWS", 2)
    assert rows_of_part(path) is None


def test_rows_of_a_part_without_an_id_or_a_time_are_left_out(tmp_path: Path) -> None:
    features, log = frames()
    log.loc[0, "id"] = None
    log.loc[1, "at"] = "2026-13-45T99:00:00.000000+00:00"
    FolderPlace(tmp_path).write(PART, part_of(features, log))
    window = read_log(FolderPlace(tmp_path), "churn", WEEK)
    assert (list(window.log["id"]), window.damaged) == (["p2"], 2)


def test_a_source_is_read_up_to_its_first_row_after_the_period(tmp_path: Path) -> None:
    """What lies behind it waits: a position says that all before it was read."""
    log = PredictionLog(tmp_path, "churn")
    for number, hours in enumerate((0, 2, 1)):
        sent = frames(1)[0]
        outputs = pd.DataFrame({"prediction": ["yes"], "score": [0.5]})
        at = NOW + timedelta(hours=hours)
        log.write(sent, outputs, [str(number)], "v1.0.0", at)
    until = NOW + timedelta(minutes=90)
    before = log.window(NOW, until)
    assert list(before.log["id"]) == ["0"]
    after = log.window(NOW, NOW + DAY)
    assert list(after.log["id"]) == ["0", "1", "2"]
    assert before.positions.keys() == after.positions.keys() == {"2026-11-23.jsonl"}
    assert before.positions["2026-11-23.jsonl"] < after.positions["2026-11-23.jsonl"]


def test_a_write_that_the_full_disk_cut_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes the rows again doubles none of them."""
    log = PredictionLog(tmp_path, "churn")
    outputs = pd.DataFrame({"prediction": ["yes"] * 3, "score": [0.5] * 3})
    log.write(frames()[0], outputs, ["a", "b", "c"], "v1.0.0", NOW)
    before = (tmp_path / FILE).read_bytes()
    real_open = Path.open

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        file = real_open(path, *arguments, **options)
        return Full(file) if path.suffix == ".jsonl" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(EnvironmentFailure, match="no space left on device"):
            log.write(frames()[0], outputs, ["d", "e", "f"], "v1.0.0", NOW)
    assert (tmp_path / FILE).read_bytes() == before
    log.write(frames()[0], outputs, ["d", "e", "f"], "v1.0.0", NOW)
    assert list(log.window(*WEEK).log["id"]) == ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize("others", [False, True], ids=["only these", "others too"])
def test_a_disk_that_is_full_after_some_writes_of_a_file_leaves_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    """Unless another process wrote in between: what is its own is never removed."""
    monkeypatch.setattr(prediction_log, "_ROWS_PER_WRITE", 2)
    log = PredictionLog(tmp_path, "churn")
    outputs = pd.DataFrame({"prediction": ["yes"] * 5, "score": [0.5] * 5})
    log.write(frames()[0], outputs[:3], ["a", "b", "c"], "v1.0.0", NOW)
    before = (tmp_path / FILE).read_bytes()
    real_open = Path.open
    opened = []

    def open_some(path: Path, *arguments: Any, **options: Any) -> Any:
        file = real_open(path, *arguments, **options)
        if path.suffix != ".jsonl" or arguments != ("ab+",):
            return file
        opened.append(path)
        if len(opened) == 2 and others:
            file.write(b'{"by": "another process"}\n')
        return Full(file) if len(opened) == 3 else file

    sent = pd.concat([frames()[0]] * 2, ignore_index=True)[:5]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_some)
        with pytest.raises(EnvironmentFailure, match="no space left on device"):
            log.write(sent, outputs, ["d", "e", "f", "g", "h"], "v1.0.0", NOW)
    content = (tmp_path / FILE).read_bytes()
    assert (content == before) is not others
    assert (b"another process" in content) is others
    if not others:
        log.write(sent, outputs, ["d", "e", "f", "g", "h"], "v1.0.0", NOW)
        assert list(log.window(*WEEK).log["id"]) == list("abcdefgh")


class Full:
    """A file on a disk that has space for half of what is written."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> int:
        return int(self._file.write(content[: len(content) // 2]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


# -- places


@pytest.mark.parametrize(
    "name",
    ["", "..", "../x", "/x", "a//b", "a/../b", "a/.b", "a\\b", "a\nb", "a/" * 30],
)
def test_a_place_takes_no_name_that_leads_out_of_it(tmp_path: Path, name: str) -> None:
    place = FolderPlace(tmp_path)
    with pytest.raises(Refused, match="not a name that a file may have"):
        place.write(name, b"x")
    with pytest.raises(Refused):
        place.local(name)


def test_a_place_lists_what_was_written_and_nothing_half_written(
    tmp_path: Path,
) -> None:
    place = FolderPlace(tmp_path)
    assert place.entries("predictions/churn") == []
    place.write("predictions/churn/b.parquet", b"22")
    place.write("predictions/churn/a/c.parquet", b"1")
    place.write("predictions/other/d.parquet", b"1")
    (tmp_path / "predictions" / "churn" / ".b.parquet.0a1b2c3d").write_bytes(b"half")
    assert place.entries("predictions/churn") == [
        ("predictions/churn/a/c.parquet", 1),
        ("predictions/churn/b.parquet", 2),
    ]
    assert place.local("predictions/churn/b.parquet").read_bytes() == b"22"


def test_a_disk_that_is_full_leaves_a_file_of_a_place_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "place"
    place = FolderPlace(root)
    place.write("part.parquet", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentFailure, match="no space left"):
        place.write("part.parquet", b"new and longer")
    assert place.local("part.parquet").read_bytes() == b"old"
    assert [path.name for path in root.iterdir()] == ["part.parquet"]


@pytest.mark.parametrize("address", ["s3://bucket/x", "https://host/x", "gs://b"])
def test_a_place_that_is_not_supported_is_named_with_its_key(
    tmp_path: Path, address: str
) -> None:
    with pytest.raises(UsageError, match="not supported") as raised:
        folder_of(address, tmp_path, "predictions.store")
    assert "predictions.store" in str(raised.value)
    assert folder_of("logs", tmp_path, "predictions.store") == tmp_path / "logs"

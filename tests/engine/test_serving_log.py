"""The prediction log: nothing lost, nothing shown that must not be, labels joined."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import EnvironmentFailure
from mlops.serving.prediction_log import PredictionLog, new_id

DAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEEK = (DAY - timedelta(days=3), DAY + timedelta(days=3))


def rows(n: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    features = pd.DataFrame(
        {"tenure": np.arange(n) * 1.0, "plan": ["plus"] * n, "sex": ["f"] * n}
    )
    outputs = pd.DataFrame({"prediction": ["yes"] * n, "score": np.linspace(0, 1, n)})
    return features, outputs


def test_ids_sort_by_time_and_are_uuids_of_version_7() -> None:
    times = [DAY + timedelta(milliseconds=i) for i in range(50)]
    ids = [new_id(t) for t in times]
    assert ids == sorted(ids)
    assert {UUID(i).version for i in ids} == {7}
    assert {UUID(i).variant for i in ids} == {"specified in RFC 4122"}
    assert int(ids[0].replace("-", "")[:12], 16) == int(DAY.timestamp() * 1000)
    assert new_id(DAY) != new_id(DAY)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "churn", {"sex"})
    features, outputs = rows()
    features.loc[1, "plan"] = None
    log.write(
        features, outputs.assign(row_id=["1", "2", "3"]), ["a", "b", "c"], "v1.0.0", DAY
    )
    window = log.window(*WEEK)
    assert list(window.log["id"]) == ["a", "b", "c"]
    assert list(window.log["row_id"]) == ["1", "2", "3"]
    assert list(window.log["score"]) == [0.0, 0.5, 1.0]
    assert list(window.features["tenure"]) == [0.0, 1.0, 2.0]
    assert window.features["plan"].isna().tolist() == [False, True, False]
    assert window.damaged == 0
    text = (tmp_path / "predictions" / "churn" / "2026-11-23.jsonl").read_text()
    assert set(json.loads(text.splitlines()[0])) == {
        *("id", "at", "model", "version", "row_id", "prediction", "score", "features")
    }
    assert "sex" not in text


def test_a_window_is_half_open_and_of_one_version(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "churn")
    for days, version in ((0, "v1.0.0"), (1, "v1.1.0"), (2, "v1.1.0")):
        at = DAY + timedelta(days=days)
        log.write(*rows(1), [f"{days}"], version, at)
    two = DAY + timedelta(days=2)
    assert list(log.window(DAY, two).log["id"]) == ["0", "1"]
    assert list(log.window(DAY, two, "v1.1.0").log["id"]) == ["1"]
    assert list(log.window(two, two + timedelta(microseconds=1)).log["id"]) == ["2"]
    nothing = log.window(two, two)
    assert len(nothing.log) == 0 and "label" in nothing.log.columns


def test_the_last_label_counts_and_feedback_goes_before_label_files(
    tmp_path: Path,
) -> None:
    log = PredictionLog(tmp_path, "churn")
    features, outputs = rows(3)
    log.write(
        features, outputs.assign(row_id=["x", "y", "z"]), ["a", "b", "c"], "v1.0.0", DAY
    )
    log.feedback([("a", "no"), ("other", "no")], DAY + timedelta(hours=1))
    log.feedback([("a", "yes")], DAY + timedelta(days=40))
    window = log.window(*WEEK, known={"x": "no", "y": "no"})
    assert window.log["label"].tolist()[:2] == ["yes", "no"]
    assert pd.isna(window.log["label"].iloc[2])


def test_a_line_cut_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "churn")
    log.write(*rows(2), ["a", "b"], "v1.0.0", DAY)
    path = tmp_path / "predictions" / "churn" / "2026-11-23.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert list(log.window(*WEEK).log["id"]) == ["a"]
    assert log.window(*WEEK).damaged == 1
    log.write(*rows(1), ["c"], "v1.0.0", DAY)
    window = log.window(*WEEK)
    assert list(window.log["id"]) == ["a", "c"]
    assert window.damaged == 1


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        log = PredictionLog(tmp_path, "churn")
        for batch in range(20):
            ids = [f"{writer}-{batch}-{i}" for i in range(30)]
            log.write(*rows(30), ids, "v1.0.0", DAY)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    window = PredictionLog(tmp_path, "churn").window(*WEEK)
    assert window.damaged == 0
    assert len(window.log) == window.log["id"].nunique() == 6 * 20 * 30


def test_a_log_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "predictions").write_text("a file where a folder should be")
    with pytest.raises(EnvironmentFailure, match="cannot write this file"):
        PredictionLog(tmp_path, "churn").write(*rows(1), ["a"], "v1.0.0", DAY)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    log = PredictionLog(tmp_path_factory.mktemp("log"), "churn")
    features = pd.DataFrame({"line\nbreak": pd.Series(texts, dtype=object)})
    outputs = pd.DataFrame({"prediction": ["yes"] * len(texts)})
    log.write(features, outputs, [str(i) for i in range(len(texts))], "v1.0.0", DAY)
    window = log.window(*WEEK)
    assert window.damaged == 0
    assert window.features["line\nbreak"].tolist() == texts

"""A logged row on another version: what differs, or why nobody can know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.io.places import FolderPlace
from mlops.serving.log_delivery import Delivery
from mlops.serving.log_reader import find_logged
from mlops.serving.prediction_log import PredictionLog

from .conftest import Trained
from .serving_world import NOW, release
from .test_serving_run import second_version

ABSENT = "019ab8f2-0000-7000-8000-000000000000"


@pytest.fixture(name="run")
def run_fixture(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    release(trained)
    monkeypatch.chdir(trained.project.root)
    return lambda *asked: CliRunner().invoke(app, list(asked))


def predicted(trained: Trained, tmp_path: Path, batch: bool = False) -> Path:
    """Have the version in production predict five rows of a file."""
    path = tmp_path / "rows.csv"
    trained.dataset.frame.head(5).to_csv(path, index=False)
    asked = ["--input", str(path)] if batch else [str(path)]
    done = CliRunner().invoke(app, ["predict", "churn@production", *asked])
    assert done.exit_code == 0, done.output
    return path


def logged_ids(state: Path) -> list[str]:
    text = next(state.glob("predictions/churn/*.jsonl")).read_text()
    return [json.loads(line)["id"] for line in text.splitlines()]


def facts(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_version_that_predicted_predicts_the_same_and_another_differs(
    trained: Trained, run: Callable[..., Result], tmp_path: Path
) -> None:
    predicted(trained, tmp_path)
    key = logged_ids(trained.project.state)[2]
    second = second_version(trained)
    same = facts(run("replay", key, "--on", "v1.0.0", "--json"))
    assert same["same"] and same["logged"] == same["replayed"]
    assert same["difference"] == {"score": 0.0}
    assert (same["id"], same["model"]) == (key, "churn")
    for on in (second, "production"):
        other = facts(run("replay", key, "--on", on, "--model", "churn", "--json"))
        assert (other["logged_version"], other["replayed_version"]) == (
            "v1.0.0",
            second,
        )
        assert other["logged"] == same["logged"]
        assert not other["same"]
        first = trained.model.predict(trained.dataset.frame.iloc[[2]])
        apart = other["replayed"]["score"] - first["score"].iloc[0]
        assert other["difference"]["score"] == pytest.approx(apart, abs=1e-12)
        assert apart != 0
    page = run("replay", key, "--on", second).stdout
    assert page.startswith("Another prediction of churn, logged at ")
    assert "logged: v1.0.0" in page and f"{apart:+.6g}" in page
    assert run("replay", key, "--on", "v1.0.0").stdout.startswith("The same prediction")


@pytest.mark.parametrize("batch", [False, True], ids=["delivered", "of a batch"])
def test_a_row_of_a_part_is_replayed(
    trained: Trained,
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: bool,
) -> None:
    there = FolderPlace(tmp_path / "there")
    monkeypatch.setenv("MLOPS_PREDICTIONS", str(there.root))
    predicted(trained, tmp_path, batch)
    assert list(there.root.rglob("*.jsonl")) == []
    (part,) = there.root.rglob("*.parquet")
    for key in pd.read_parquet(part)["id"]:
        assert facts(run("replay", key, "--on", "v1.0.0", "--json"))["same"]
    assert find_logged(there, "churn", "00000000-0000-8000-a000-000000000000") is None


def test_a_part_has_one_version_so_that_no_column_is_made_up(tmp_path: Path) -> None:
    """A row of a version that did not take a column has no empty value of it."""
    log = PredictionLog(tmp_path / "state", "churn")
    output = [{"prediction": "no", "score": 0.5}]
    keys = [f"{number:08x}-0000-7000-8000-000000000000" for number in range(2)]
    log.write_rows([{"a": 1}], output, keys[:1], "v1.0.0", NOW)
    log.write_rows([{"a": 1, "b": None}], output, keys[1:], "v1.1.0", NOW)
    there = FolderPlace(tmp_path / "there")
    done = Delivery(log.state, "churn", there, 10**9).deliver(NOW)
    assert done is not None and done.parts == 2
    texts = [path.read_bytes() for path in there.root.rglob("*.parquet")]
    assert len(texts) == 2


def test_a_row_that_lacks_a_sensitive_column_is_refused(
    trained: Trained, run: Callable[..., Result], tmp_path: Path
) -> None:
    path = trained.project.folder("churn") / "model.yaml"
    yaml = YAML(pure=True)
    spec = yaml.load(path)
    spec["sensitive"] = ["plan"]
    yaml.dump(spec, path)
    predicted(trained, tmp_path)
    done = run("replay", logged_ids(trained.project.state)[0], "--on", "v1.0.0")
    assert done.exit_code == 1, done.output
    assert "lacks columns that this version needs" in done.output
    assert "sensitive columns are never logged: plan" in done.output


def test_a_row_of_a_version_that_took_fewer_columns_is_refused(
    trained: Trained, run: Callable[..., Result]
) -> None:
    log = PredictionLog(trained.project.state, "churn")
    key = f"{int(NOW.timestamp() * 1000):012x}70008000000000000000"
    key = f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
    row = {"tenure": 3.0, "plan": "pro"}
    log.write_rows([row], [{"score": 0.5}], [key], "v0.9.0", NOW)
    done = run("replay", key, "--on", "v1.0.0")
    assert done.exit_code == 1
    assert "spend" in done.output
    assert "did not take them" in done.output


def test_what_was_not_logged_is_said(
    trained: Trained, run: Callable[..., Result]
) -> None:
    wrong = run("replay", "nothing", "--on", "v1.0.0")
    assert wrong.exit_code == 2
    assert "not the id of a prediction" in wrong.output
    absent = run("replay", ABSENT, "--on", "v1.0.0")
    assert absent.exit_code == 1
    assert "no log has this prediction" in absent.output
    project = trained.project.root / "project.yaml"
    project.write_text(f"{project.read_text()}\npredictions: {{share: 0.0001}}\n")
    sampled = run("replay", ABSENT, "--on", "v1.0.0")
    assert sampled.exit_code == 1
    assert "the log is a sample" in sampled.output
    gone = run("replay", ABSENT, "--on", "v1.0.0", "--model", "other")
    assert gone.exit_code == 1

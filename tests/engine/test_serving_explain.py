"""Explanations add up, show nothing sensitive, and never hold a prediction up."""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from mlops.cli.main import app as cli
from mlops.config.project import Project
from mlops.errors import UsageError
from mlops.io.places import FolderPlace
from mlops.registry.chain import fetch
from mlops.serving.app import Options, create_app
from mlops.serving.explain import Explainer, background_of
from mlops.serving.log_reader import find_logged
from mlops.serving.prediction_log import PredictionLog
from mlops.serving.server import follow
from mlops.serving.shapley import background_rows, shapley_values

from .conftest import Trained, rows_of, train_in
from .serving_world import release
from .test_serving_run import second_version

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROW = {"tenure": 12, "spend": 50.5, "plan": "plus"}
COLUMNS = ("a", "b", "c", "d")


def curved(rows: pd.DataFrame) -> np.ndarray:
    """Return something with interactions, in which `d` does not occur."""
    return (rows["a"] * rows["b"] + np.maximum(rows["b"], rows["c"])).to_numpy()


def exact(row: pd.DataFrame, background: pd.DataFrame) -> dict[str, float]:
    """Return Shapley values by their definition, group by group."""

    def worth(group: tuple[str, ...]) -> float:
        mixed = background.assign(**{name: row[name].iloc[0] for name in group})
        return float(curved(mixed).mean())

    values = {}
    count = len(COLUMNS)
    for name in COLUMNS:
        others = [other for other in COLUMNS if other != name]
        values[name] = 0.0
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1)
            for group in itertools.combinations(others, size):
                added = worth((*group, name)) - worth(group)
                values[name] += weight / math.factorial(count) * added
    return values


def numbers(rows: int, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(rows, len(COLUMNS)))
    return pd.DataFrame(values, columns=list(COLUMNS))


# -- the values ------------------------------------------------------------------------


def test_values_add_up_and_are_those_of_the_definition() -> None:
    row, background = numbers(1, seed=1), numbers(100)
    found = shapley_values(curved, row, background, COLUMNS)
    assert found.mean == pytest.approx(curved(background).mean(), abs=1e-12)
    assert found.value == pytest.approx(curved(row)[0], abs=1e-12)
    total = found.contributions.sum()
    assert total == pytest.approx(found.value - found.mean, abs=1e-12)
    for name, value, error in zip(
        COLUMNS, found.contributions, found.errors, strict=True
    ):
        assert abs(value - exact(row, background)[name]) <= max(2 * error, 1e-12), name
    assert found.contributions[3] == 0  # it is not used


def test_of_a_sum_the_values_are_exact() -> None:
    row, background = numbers(1, seed=1), numbers(20)

    def total(rows: pd.DataFrame) -> np.ndarray:
        return rows.sum(axis=1).to_numpy()

    found = shapley_values(total, row, background, COLUMNS)
    expected = row.iloc[0] - background.mean()
    assert np.allclose(found.contributions, expected, rtol=0, atol=1e-12)


def test_columns_without_a_value_are_those_of_the_row_throughout() -> None:
    row, background = numbers(1, seed=1), numbers(20)
    found = shapley_values(curved, row, background, ("a", "b"))
    with_row = background.assign(c=row["c"].iloc[0], d=row["d"].iloc[0])
    assert found.mean == pytest.approx(curved(with_row).mean(), abs=1e-12)
    assert found.contributions.sum() == pytest.approx(found.value - found.mean)


@pytest.mark.parametrize("columns", [("a",), ()])
def test_one_column_or_none_has_all_or_nothing(columns: tuple[str, ...]) -> None:
    row, background = numbers(1, seed=1), numbers(5)
    found = shapley_values(curved, row, background, columns)
    assert len(found.contributions) == len(columns)
    if columns:
        assert found.contributions[0] == pytest.approx(found.value - found.mean)


@pytest.mark.parametrize("columns", [1, 3, 10, 99, 300])
def test_the_cost_is_bounded(columns: int) -> None:
    rows = background_rows(columns)
    assert 10 <= rows <= 100
    predicted: list[int] = []

    def count(frame: pd.DataFrame) -> np.ndarray:
        predicted.append(frame.size)
        return np.zeros(len(frame))

    names = [f"x{number}" for number in range(columns)]
    background = pd.DataFrame(np.zeros((rows, columns)), columns=names)
    shapley_values(count, background.head(1), background, names)
    assert len(predicted) == 1 and predicted[0] <= 2_100_000


# -- a version -------------------------------------------------------------------------


def explainer(project: Project, **changes: Any) -> Explainer:
    bundle = fetch(project, "churn@production")
    made = Explainer(bundle.version.number, bundle.model(), background_of(bundle))
    return replace(made, **changes)


def test_a_prediction_is_explained_step_by_step(trained: Trained) -> None:
    release(trained)
    found = explainer(trained.project).explain(ROW)
    expected = trained.model.predict(pd.DataFrame([ROW]))
    assert found.version == "v1.0.0" and found.row == ROW
    assert found.features == {**ROW, "long": 0.0}
    assert found.prediction["prediction"] == expected["prediction"][0]
    assert found.output == "score" and found.explained == expected["score"][0]
    parts = {part.feature: part for part in found.contributions}
    assert set(parts) == set(ROW) and found.background == 100
    total = sum(part.contribution for part in found.contributions)
    assert total == pytest.approx(found.explained - found.mean, abs=1e-12)
    sizes = [abs(part.contribution) for part in found.contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert parts["tenure"].contribution > 5 * abs(parts["spend"].contribution)
    assert found == explainer(trained.project).explain(ROW)  # the same each time


def test_missing_and_unknown_values_are_explained_too(trained: Trained) -> None:
    release(trained)
    row = {"tenure": None, "spend": None, "plan": "never seen"}
    found = explainer(trained.project).explain(row)
    assert found.row == row
    total = sum(part.contribution for part in found.contributions)
    assert total == pytest.approx(found.explained - found.mean, abs=1e-12)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_each_task_has_an_output_to_explain(
    make_project: Callable[..., Project], task: str
) -> None:
    trained = train_in(make_project(task))
    bundle_free = Explainer(
        "v1.0.0",
        trained.model,
        trained.dataset.part("test")[list(ROW)].head(50).reset_index(drop=True),
    )
    found = bundle_free.explain(ROW)
    wanted = "prediction"
    if task == "multiclass":
        wanted = f"p_{found.prediction['prediction']}"
    assert found.output == wanted and found.explained == found.prediction[wanted]
    total = sum(part.contribution for part in found.contributions)
    assert total == pytest.approx(found.explained - found.mean, abs=1e-9)


def test_a_sensitive_column_is_nowhere_in_an_explanation(
    make_project: Callable[..., Project],
) -> None:
    kinds = {"tenure": "number", "plan": "category", "sex": "category"}
    trained = train_in(make_project(features=kinds, n=400))
    background = trained.dataset.part("test")[["tenure", "plan"]].head(50)
    one = Explainer("v1.0.0", trained.model, background.reset_index(drop=True), {"sex"})
    row = {"tenure": 12, "plan": "plus", "sex": "female"}
    found = one.explain(row)
    assert "female" not in found.model_dump_json()
    assert found.features is None and found.fixed == ("sex",)
    score = trained.model.predict(pd.DataFrame([row]))["score"][0]
    assert found.explained == score  # and still it is the prediction of this row
    total = sum(part.contribution for part in found.contributions)
    assert total == pytest.approx(found.explained - found.mean, abs=1e-12)


def test_too_many_features_are_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained)
    monkeypatch.setattr("mlops.serving.shapley._MOST_CELLS", 200)
    with pytest.raises(UsageError, match="bounded time"):
        explainer(trained.project)


# -- the service -----------------------------------------------------------------------


def service(project: Project, explain: bool = True) -> TestClient:
    follower = follow(project, "churn", "production", explains=explain)
    assert follower.refresh(), follower.failure
    log = PredictionLog(project.state, "churn")
    options = Options(explain=explain)
    made = create_app(follower, log, lambda: NOW, options)
    return TestClient(made, raise_server_exceptions=False)


def test_a_service_explains_where_it_was_told_to(trained: Trained) -> None:
    release(trained)
    client = service(trained.project)
    answer = client.post("/explain", json=ROW)
    assert answer.status_code == 200, answer.text
    predicted = client.post("/predict", json=ROW).json()["predictions"][0]
    assert answer.json()["explained"] == predicted["score"]
    assert client.post("/explain", json={"rows": [ROW]}).json() == answer.json()
    wrong = client.post("/explain", json={"rows": [ROW, ROW]})
    assert wrong.status_code == 422 and "one row" in wrong.json()["errors"][0]["what"]
    assert client.post("/explain", json={"tenure": 1}).status_code == 422
    large = b" " * (1 << 20) + json.dumps(ROW).encode()
    assert client.post("/explain", content=large).status_code == 413
    described = client.get("/openapi.json").json()["paths"]["/explain"]["post"]
    sent = described["requestBody"]["content"]["application/json"]
    assert set(sent["schema"]["properties"]) == set(ROW)
    assert client.post("/explain", json=sent["example"]).status_code == 200
    logged = PredictionLog(trained.project.state, "churn").window(
        NOW.replace(hour=0), NOW.replace(hour=23)
    )
    assert len(logged.log) == 1  # the prediction; an explanation is none


def test_without_the_option_there_is_no_explanation(trained: Trained) -> None:
    release(trained)
    client = service(trained.project, explain=False)
    assert client.post("/explain", json=ROW).status_code == 404
    assert "/explain" not in client.get("/openapi.json").json()["paths"]


def test_an_explanation_holds_no_prediction_up_and_has_none_beside_it(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained)
    client = service(trained.project)
    begun, go_on = threading.Event(), threading.Event()
    original = Explainer.explain

    def slow(self: Explainer, *arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return original(self, *arguments)

    monkeypatch.setattr(Explainer, "explain", slow)
    with client:
        found: list[int] = []

        def ask() -> None:
            found.append(client.post("/explain", json=ROW).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        assert begun.wait(20)
        busy = client.post("/explain", json=ROW)
        assert busy.status_code == 429 and busy.headers["Retry-After"]
        assert client.post("/predict", json=ROW).status_code == 200
        go_on.set()
        thread.join(20)
        assert found == [200]
        assert client.post("/explain", json=ROW).status_code == 200


def test_what_the_models_own_code_says_stays_inside(
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    release(trained)
    client = service(trained.project)

    def broken(*_: Any) -> Any:
        raise ValueError("secret value 50.5")

    monkeypatch.setattr(Explainer, "explain", broken)
    answer = client.post("/explain", json=ROW)
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "ValueError at" in caplog.text and "secret" not in caplog.text


def test_a_version_that_cannot_be_explained_serves_all_the_same(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained)
    monkeypatch.setattr("mlops.serving.explain._FEWEST_ROWS", 1_000)
    client = service(trained.project)
    assert client.post("/predict", json=ROW).status_code == 200
    assert client.post("/explain", json=ROW).status_code == 503


# -- the command -----------------------------------------------------------------------


@pytest.fixture
def run(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    release(trained)
    monkeypatch.chdir(trained.project.root)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["explain", *arguments], prog_name="mlops")

    return call


def logged_id(project: Project) -> str:
    answer = service(project, explain=False).post("/predict", json=ROW)
    return str(answer.json()["predictions"][0]["id"])


def test_a_logged_prediction_is_explained_by_the_version_that_made_it(
    trained: Trained, run: Callable[..., Result]
) -> None:
    key = logged_id(trained.project)
    second = second_version(trained)
    assert second != "v1.0.0"  # production has another version now
    done = run("churn@production", key, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["version"] == "v1.0.0" and found["row"] == ROW
    assert found["logged"]["id"] == key
    assert found["logged"]["prediction"] == found["prediction"]
    named = json.loads(run(f"churn@{second}", key, "--json").stdout)
    assert named["version"] == second and named["logged"]["version"] == "v1.0.0"


def test_the_page_for_people_has_every_step(
    trained: Trained, run: Callable[..., Result]
) -> None:
    text = run("churn@production", logged_id(trained.project)).output
    steps = ("Row", "Features, of features.py", "Prediction of v1.0.0", "Logged at")
    positions = [text.index(step) for step in (*steps, "Contributions to score")]
    assert positions == sorted(positions)
    assert "mean of the background" in text and "100 rows" in text


def test_a_row_of_a_file_is_explained(
    trained: Trained, run: Callable[..., Result], tmp_path: Path
) -> None:
    rows = rows_of(n=3).drop(columns="churn")
    path = tmp_path / "people.csv"
    rows.to_csv(path, index=False)
    done = run("churn@production", "--file", str(path), "--row", "3", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["row"]["tenure"] == rows["tenure"][2]
    score = trained.model.predict(rows)["score"][2]
    assert found["explained"] == pytest.approx(score, abs=1e-12)
    beyond = run("churn@production", "--file", str(path), "--row", "4")
    assert beyond.exit_code == 2 and "no such row" in beyond.output


def test_what_cannot_be_explained_is_said(run: Callable[..., Result]) -> None:
    neither = run("churn@production")
    assert neither.exit_code == 2 and "--file" in neither.output
    for unknown in ("019ab8f2-0000-7000-8000-000000000000", "nothing", "f" * 32):
        absent = run("churn@production", unknown)
        assert absent.exit_code == 1, absent.output
        assert "no service logged this prediction" in absent.output


def test_an_id_is_found_in_whichever_file_of_its_day(tmp_path: Path) -> None:
    late = datetime(2026, 11, 23, 23, 59, 59, 999_500, tzinfo=UTC)
    key = f"{int(late.timestamp() * 1000):012x}7abc8def01234567"
    key = f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}".ljust(36, "0")
    log = PredictionLog(tmp_path, "churn", writer="worker-2")
    after = late.replace(day=24, hour=0, minute=0, second=0)
    log.write_rows([ROW], [{"score": 0.5}], [key], "v1.0.0", after)
    found = find_logged(FolderPlace(tmp_path), "churn", key)
    assert found and found["features"] == ROW
    assert find_logged(FolderPlace(tmp_path), "other", key) is None

"""A trial is compared as the gate compares: by pairs, or as two samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app as cli
from mlops.errors import Refused
from mlops.evaluation.compare import independent_difference, paired_difference
from mlops.evaluation.outcome import Outcome, outcome
from mlops.gate.rules import Rule
from mlops.io.places import FolderPlace
from mlops.monitoring.trial import (
    TrialRows,
    _require_same_outputs,
    compare_canary,
    compare_shadow,
    rows_of_canary,
    rows_of_shadow,
    sound_rows,
)
from mlops.results.training import Signature
from mlops.serving.log_reader import CANARY, SHADOW, read_log
from mlops.serving.prediction_log import PredictionLog

from .conftest import Trained
from .serving_world import release
from .test_serving_run import second_version

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PERIOD = (NOW - timedelta(days=1), NOW + timedelta(days=1))
SIGNATURE = Signature(
    task="binary", target="churn", features=(), classes=("no", "yes"), positive="yes"
)
RULE = Rule("non-inferiority", ("roc_auc", "accuracy"), margin=0.02)


def logged(count: int, seed: int = 0, noise: float = 1.0) -> pd.DataFrame:
    """Return predictions with labels; more noise is a worse model."""
    rng = np.random.default_rng(seed)
    latent = np.random.default_rng(99).normal(size=count)
    score = 1 / (1 + np.exp(-latent - noise * rng.normal(size=count)))
    return pd.DataFrame(
        {
            "id": [f"id-{number}" for number in range(count)],
            "at": "2026-11-23T12:00:00.000000+00:00",
            "source": "2026-11-23.jsonl",
            "prediction": np.where(score >= 0.5, "yes", "no"),
            "score": score,
            "label": np.where(latent > 0, "yes", "no"),
        }
    )


def binary(truth: list[int]) -> Outcome:
    """Return an outcome whose decision is always 1."""
    return Outcome(
        task="binary",
        truth=np.array(truth),
        decision=np.ones(len(truth), dtype=np.int64),
        score=np.ones(len(truth)),
        classes=("no", "yes"),
    )


# -- two samples -----------------------------------------------------------------------


def test_the_difference_of_two_shares_is_newcombes() -> None:
    """Newcombe 1998, table II, case (a): 56/70 against 48/80, method 10."""
    of_56 = binary([1] * 56 + [0] * 14)
    of_48 = binary([1] * 48 + [0] * 32)
    found = independent_difference("accuracy", of_48, of_56)
    assert found.difference == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0524, abs=0.005)
    assert found.high == pytest.approx(0.3339, abs=0.005)
    # Wider than the table's: the gate's intervals allow for an estimated spread.
    assert found.low < 0.0524 and found.high > 0.3339
    back = independent_difference("accuracy", of_56, of_48)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_where_all_rows_agree_no_difference_is_certain() -> None:
    right, wrong = binary([1] * 10), binary([0] * 10)
    same = independent_difference("accuracy", right, right)
    assert same.low < -0.2 and same.high > 0.2
    apart = independent_difference("accuracy", wrong, right)
    assert 0.4 < apart.low < 1 and apart.high == pytest.approx(1)


def test_an_error_that_is_lower_is_better() -> None:
    def regression(spread: float, seed: int) -> Outcome:
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=400)
        guess = truth + rng.normal(0, spread, 400)
        return Outcome("regression", truth, guess, guess)

    found = independent_difference("mae", regression(1, 0), regression(0.5, 1))
    assert found.champion > found.challenger
    assert 0 < found.low < found.difference < found.high


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        old = binary(list(rng.binomial(1, 0.8, 120)))
        new = binary(list(rng.binomial(1, 0.7, 60)))
        found = independent_difference("accuracy", old, new)
        held += found.low <= -0.1 <= found.high
    assert 0.92 <= held / 400 <= 0.985


# -- shadow and canary -----------------------------------------------------------------


def test_the_shadow_is_compared_by_pairs_as_the_gate_does() -> None:
    old, new = logged(400), logged(400, seed=1, noise=0.5)
    part = compare_shadow(TrialRows(old, new), SIGNATURE, RULE)
    expected = paired_difference(
        "roc_auc",
        outcome(SIGNATURE, old["label"], old),
        outcome(SIGNATURE, new["label"], new),
        RULE.confidence,
    )
    assert part.metrics[0] == expected and part.finding == "better"
    assert [one.metric for one in part.metrics] == ["roc_auc", "accuracy"]
    assert part.labelled == 400
    assert part.other_class == (old["prediction"] != new["prediction"]).mean()
    (score,) = part.outputs
    assert score.difference == pytest.approx((new["score"] - old["score"]).mean())
    assert score.low < score.difference < score.high


def test_without_labels_the_predictions_are_compared() -> None:
    old = logged(50).assign(label=None)
    new = logged(50, seed=1).assign(label=None)
    part = compare_shadow(TrialRows(old, new), SIGNATURE, RULE)
    assert part.problem == "no labels yet" and part.finding is None
    assert part.outputs and part.other_class and not part.metrics


def test_a_canary_that_is_worse_is_found_worse() -> None:
    old, new = logged(1000), logged(1000, seed=1, noise=4)
    part = compare_canary(TrialRows(old, new.head(400)), SIGNATURE, RULE)
    assert part.finding == "worse" and part.metrics[0].p_value is None
    assert part.labelled == 1000 and part.candidate_labelled == 400
    one_class = new[new["label"] == "yes"]
    undefined = compare_canary(TrialRows(old, one_class), SIGNATURE, RULE)
    assert undefined.problem == "roc_auc: all rows are of one class"
    assert undefined.finding is None


def test_only_sound_rows_count_and_each_once(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "churn")
    outputs: list[dict[str, Any]] = [
        {"prediction": "yes", "score": 0.7},
        {"prediction": "perhaps", "score": 0.5},
        {"prediction": "no", "score": None},
        {"prediction": "no"},
    ]
    ids = [f"id-{number}" for number in range(4)]
    log.write_shadow(outputs, ids, "v1.1.0", NOW)
    log.write_shadow(outputs[:1], ids[:1], "v1.1.0", NOW)
    log.feedback([("id-0", "yes")], NOW)
    window = read_log(FolderPlace(tmp_path), "churn", PERIOD, "v1.1.0", kind=SHADOW)
    rows = sound_rows(window, SIGNATURE)
    assert rows["id"].tolist() == ["id-0"] and rows["label"].tolist() == ["yes"]
    empty = read_log(FolderPlace(tmp_path), "churn", PERIOD, "v1.1.0")
    assert sound_rows(empty, SIGNATURE).empty


def test_pairs_are_joined_by_their_id() -> None:
    old = logged(5)
    new = logged(5, seed=1).iloc[[4, 1]]
    pairs = rows_of_shadow(old, new)
    assert pairs.champion["id"].tolist() == pairs.candidate["id"].tolist()
    assert set(pairs.champion["id"]) == {"id-1", "id-4"}


def test_a_canary_is_what_was_logged_as_one_and_the_rest_of_its_time() -> None:
    times = [f"2026-11-23T12:00:0{number}.000000+00:00" for number in range(5)]
    served = logged(5).assign(at=times)
    served.loc[2, "source"] = "2026-11-23/12-0123456789abcdef-00000.parquet"
    tried = logged(5).assign(at=times, source=f"2026-11-23.{CANARY}.jsonl")
    tried.loc[0, "source"] = "2026-11-23.jsonl"  # of a service of its own
    found = rows_of_canary(served, tried)
    assert found.candidate["at"].tolist() == times[1:]
    assert found.champion["at"].tolist() == [times[1], times[3], times[4]]


# -- the command -----------------------------------------------------------------------


@pytest.fixture
def report(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(trained.project.root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp()) + 7200))

    def call(*arguments: str) -> Any:
        words = ["canary", "report", "churn", *arguments]
        return CliRunner().invoke(cli, words, prog_name="mlops")

    return call


def test_the_report_reads_shadow_canary_and_labels(
    trained: Trained, report: Callable[..., Any]
) -> None:
    candidate, champion = release(trained), second_version(trained)
    rows = logged(200)
    outputs = rows[["prediction", "score"]].to_dict("records")
    features: list[dict[str, Any]] = [{} for _ in outputs]
    ids = rows["id"].tolist()
    mine = [f"canary-{number}" for number in range(200)]
    log = PredictionLog(trained.project.state, "churn")
    log.write_rows(features, outputs, ids, champion, NOW)
    log.write_shadow(outputs, ids, candidate, NOW)
    of_canary = PredictionLog(trained.project.state, "churn", writer=CANARY)
    of_canary.write_rows(features, outputs, mine, candidate, NOW)
    labels = rows["label"].tolist()
    log.feedback(list(zip([*ids, *mine], [*labels, *labels], strict=True)), NOW)
    done = report("--candidate", candidate, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["champion"], found["candidate"]) == (champion, candidate)
    shadow, canary = found["parts"]
    assert shadow["kind"] == "shadow" and shadow["finding"] == "identical"
    assert shadow["rows"] == shadow["labelled"] == 200
    assert canary["kind"] == "canary" and canary["finding"] == "undecided"
    assert canary["metrics"][0]["difference"] == 0
    text = report("--candidate", candidate).output
    assert "Shadow: 200 rows that both predicted." in text
    assert "The predictions are identical (non-inferiority" in text
    assert f"Canary: 200 rows, and 200 of {champion} in that time." in text
    assert "No significant difference yet (non-inferiority, margin 0.01)." in text


def test_a_trial_that_has_not_begun_says_how_to_begin(
    trained: Trained, report: Callable[..., Any]
) -> None:
    candidate = release(trained)
    same = report()
    assert same.exit_code == 1 and "is the version that serves" in same.output
    second_version(trained)
    done = report("--candidate", candidate)
    assert done.exit_code == 0 and "--shadow or --canary" in done.output


def test_another_target_is_not_compared() -> None:
    other = SIGNATURE.model_copy(update={"classes": ("a", "b")})
    with pytest.raises(Refused, match="something else"):
        _require_same_outputs(SIGNATURE, other)

"""The detectors' state: the same whatever the schedule, and counts, never values."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

from mlops.config.model_spec import Monitor
from mlops.monitoring import detector
from mlops.monitoring.baseline import baseline_of_columns
from mlops.monitoring.history import last_state, references_watched
from mlops.monitoring.labels import labelling
from mlops.monitoring.martingale import SLOTS
from mlops.monitoring.watch import Rows, watch
from mlops.results.baseline import Baseline, LossBaseline
from mlops.results.monitoring import DetectorState

HOUR = 3600.0
KINDS = {"age": "number", "plan": "category"}


def frame(rng: np.random.Generator, n: int, shift: float = 0.0) -> pd.DataFrame:
    plans = rng.choice(["basic", "plus", "secret plan"], n, p=[0.6, 0.3, 0.1])
    ages = rng.normal(40 + shift, 10, n).round()
    return pd.DataFrame({"age": ages, "plan": pd.Series(plans, dtype="str")})


@pytest.fixture(name="baseline")
def baseline_fixture() -> Baseline:
    rng = np.random.default_rng(1)
    return baseline_of_columns(frame(rng, 2000), frame(rng, 600), KINDS, {})


@pytest.fixture(name="log")
def log_fixture() -> pd.DataFrame:
    """Return rows of twenty days, one every half an hour, that drift from day 12 on."""
    rng = np.random.default_rng(2)
    rows = pd.concat([frame(rng, 12 * 48), frame(rng, 8 * 48, 6)], ignore_index=True)
    return rows.assign(at=np.arange(len(rows)) * HOUR / 2)


def counted(
    baseline: Baseline, log: pd.DataFrame, until: Iterable[float]
) -> DetectorState:
    """Return the state after checks at these hours, each of the last four days."""
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    ids = [str(i) for i in range(len(log))]
    ties = detector.ties(ids, "key")
    watermark = -1.0
    rule = Monitor(min_rows=20)
    for hour in until:
        end = hour * HOUR
        begin = min(end - 96 * HOUR, watermark + 1)
        seen = ((log["at"] >= begin) & (log["at"] < end)).to_numpy()
        rows = Rows(
            frame=log.loc[seen, list(KINDS)].reset_index(drop=True),
            seconds=log.loc[seen, "at"].to_numpy(),
            ties=ties[seen],
            units=np.array(ids, dtype=object)[seen],
            recent=np.ones(seen.sum(), dtype=bool),
            new=(log.loc[seen, "at"] > watermark).to_numpy(),
        )
        state = watch(baseline, rows, state, rule, by_unit=False).state
        watermark = float(log.loc[seen, "at"].max())
    return state


def assert_alike(one: DetectorState, other: DetectorState) -> None:
    assert (one.rows, one.slot) == (other.rows, other.slot)
    for name, column in one.columns.items():
        twin = other.columns[name]
        assert column.counts == twin.counts
        # What is stored is rounded to four digits at each check.
        np.testing.assert_allclose(column.cells, twin.cells, atol=0.01)
        np.testing.assert_allclose(column.order, twin.order, atol=0.01)


DAILY = [24.0 * day for day in range(1, 11)]

SCHEDULES = {
    "every hour": [float(hour) for hour in range(1, 241)],
    "skipped for days": [24.0, 48.0, 192.0, 240.0],
    "late": [24.0 * day + 7.3 for day in range(1, 10)] + [240.0],
    "twice": sorted(DAILY + DAILY),
    "once": [240.0],
}


@pytest.mark.parametrize("hours", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_the_state_does_not_depend_on_the_schedule(
    baseline: Baseline, log: pd.DataFrame, hours: list[float]
) -> None:
    assert_alike(counted(baseline, log, hours), counted(baseline, log, DAILY))


def test_a_drift_is_found_by_every_schedule(
    baseline: Baseline, log: pd.DataFrame
) -> None:
    for every in (6.0, 24.0, 60.0, 120.0):
        hours = np.arange(every, 481, every)
        assert counted(baseline, log, hours).drifted == ("age",)


def test_more_checks_do_not_use_up_more_of_alpha(
    baseline: Baseline, log: pd.DataFrame
) -> None:
    """Bets start with the slots of a calendar: 520 in a year, whatever is checked."""
    assert detector.slot_of(365 * 24 * HOUR) == SLOTS
    hourly = counted(baseline, log, [float(hour) for hour in range(1, 241)])
    daily = counted(baseline, log, DAILY)
    for name, chance in detector.chances(daily, baseline).items():
        assert detector.chances(hourly, baseline)[name] == pytest.approx(
            chance, rel=0.35
        )


def test_the_state_holds_counts_and_no_values(
    baseline: Baseline, log: pd.DataFrame
) -> None:
    state = counted(baseline, log, DAILY)
    text = state.model_dump_json()
    assert "secret plan" not in text
    for column in state.columns.values():
        numbers = len(column.counts) + sum(map(len, column.cells)) + len(column.order)
        assert numbers <= 256
    assert DetectorState.model_validate_json(text) == state


def test_ties_are_fixed_by_the_id_and_the_key() -> None:
    ids = [str(i) for i in range(2000)]
    one = detector.ties(ids, "a")
    assert (one == detector.ties(ids, "a")).all()
    assert not (one == detector.ties(ids, "b")).any()
    assert one.min() > 0 and one.max() < 1
    assert abs(one.mean() - 0.5) < 0.03


def test_an_alarm_lasts_while_the_period_shows_it_and_then_starts_anew(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(4)
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    alarms = []
    for day, shift in enumerate([0, 0, 8, 8, 8, 0, 0, 0]):
        n = 300
        every = np.ones(n, dtype=bool)
        rows = Rows(
            frame=frame(rng, n, shift),
            seconds=np.full(n, day * 24 * HOUR),
            ties=rng.random(n),
            units=np.array([f"{day} {i}" for i in range(n)], dtype=object),
            recent=every,
            new=every,
        )
        watched = watch(baseline, rows, state, Monitor(), by_unit=False)
        state = watched.state
        alarms.append([c.name for c in watched.columns if c.alarm])
    assert alarms == [[], [], ["age"], ["age"], ["age"], [], [], []]
    assert detector.chances(state, baseline)["age"] == 1


def test_labels_that_come_late_count_once() -> None:
    loss = LossBaseline(name="x", mean=0.2, error=0.001, freedom=1e6, rows=10**6)
    baseline = Baseline(columns=(), losses=(loss,), rows=1)
    rng = np.random.default_rng(5)
    monday = rng.uniform(0.2, 0.6, 200)
    start = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)

    def checked(parts: list[int]) -> DetectorState:
        state = start
        for known in parts:
            rows = {"2026-11-23": monday[:known]}
            state = detector.count_labels(state, loss, rows, 0.0, 0.025)
            state = state.model_copy(update={"label_slot": 0})
        return state

    at_once = checked([200]).losses["x"]
    for parts in ([50, 200], [50, 50, 120, 200, 200]):
        late = checked(parts).losses["x"]
        np.testing.assert_allclose(late.won, at_once.won, atol=0.01)


def test_the_newest_state_of_a_version_counts_and_older_engines_left_none() -> None:
    state = DetectorState(version="v1.0.0", rows=5).model_dump(mode="json")
    later = DetectorState(version="v1.0.0", rows=9).model_dump(mode="json")
    checks = [
        {"version": "v0.9.0"},
        {"version": "v1.0.0", "state": state},
        {"version": "v1.0.0", "state": later},
        {"version": "v1.0.0"},
        {"version": "v1.1.0", "state": None},
    ]
    found = last_state(checks, "v1.0.0")
    assert found is not None and found.rows == 9
    assert last_state(checks, "v1.1.0") is None
    assert references_watched(checks, "v1.1.0", 0) == 3
    assert references_watched(checks, "v2.0.0", 0) == 4
    assert json.dumps(later)


@pytest.mark.parametrize(
    ("rates", "selective", "overlap"),
    [
        ((0.5, 0.5, 0.5), False, True),
        ((0.9, 0.5, 0.3), True, True),
        ((0.9, 0.5, 0.0), True, False),
    ],
)
def test_labels_that_come_for_some_scores_only_are_noticed(
    rates: tuple[float, ...], selective: bool, overlap: bool
) -> None:
    rng = np.random.default_rng(6)
    cells = rng.integers(0, 3, 6000)
    labelled = rng.random(6000) < np.array(rates)[cells]
    found = labelling(cells, ("low", "mid", "high"), labelled, rng.random(6000))
    assert (found.selective, found.overlap) == (selective, overlap)
    assert [share.rows for share in found.shares] == list(np.bincount(cells))
    if overlap:
        # The labelled rows that are used have the mix of scores of all rows.
        mix = np.bincount(cells[found.used], minlength=3) / found.used.sum()
        assert np.abs(mix - 1 / 3).max() < 0.04


def test_performance_is_not_biased_by_which_scores_have_labels() -> None:
    """The error grows with the score, and so does the share of labels."""
    rng = np.random.default_rng(7)
    cells = rng.integers(0, 10, 20_000)
    loss = cells / 20 + rng.uniform(0, 0.1, 20_000)
    labelled = rng.random(20_000) < 0.1 + 0.08 * cells
    names = tuple(str(i) for i in range(10))
    found = labelling(cells, names, labelled, rng.random(20_000))
    assert abs(loss[labelled].mean() - loss.mean()) > 0.05
    assert abs(loss[found.used].mean() - loss.mean()) < 0.015


def test_a_late_row_starts_no_slot_again(baseline: Baseline) -> None:
    """A year has as many bets as slots, whatever order the rows come in."""
    ids = [str(i) for i in range(60)]
    new = detector.codes_of(baseline, frame(np.random.default_rng(3), 60))
    ties = detector.ties(ids, "key")
    slot = 365 * 24 * HOUR / SLOTS

    def after(state: DetectorState, rows: slice, seconds: float) -> DetectorState:
        codes = {name: of_rows[rows] for name, of_rows in new.items()}
        times = np.full(20, seconds)
        return detector.count(
            state, baseline, detector.NewRows(times, ties[rows], codes)
        )

    start = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    first = after(start, slice(0, 20), 10.5 * slot)
    late = after(first, slice(20, 40), 3.5 * slot)
    same = after(first, slice(20, 40), 10.5 * slot)
    assert late == same
    assert late.slot == 10
    assert after(late, slice(40, 60), 11.5 * slot).slot == 11

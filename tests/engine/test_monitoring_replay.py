"""A change of the monitor's settings on past checks, from what was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.config.model_spec import Monitor
from mlops.monitoring.replay import replayed_checks
from mlops.results.evaluation import Metric
from mlops.results.monitoring import (
    CellChange,
    ColumnDrift,
    PastCheck,
    Performance,
    QuietPeriod,
    RetrainingRequest,
)
from mlops.results.replay import ReplayedCheck


def column(effect: float, chance: float | None, **update: Any) -> ColumnDrift:
    facts: dict[str, Any] = {
        "name": "age",
        "kind": "number",
        "chance": chance,
        "p_value": 1e-9,
        "q_value": 1e-9,
        "effect": effect,
        "alarm": False,
        "missing": 0.0,
        "reference_missing": 0.0,
        "unseen": 0,
    }
    return ColumnDrift(**facts | update)


def check(day: int, *columns: ColumnDrift, **update: Any) -> PastCheck:
    facts: dict[str, Any] = {
        "alarm": any(c.alarm for c in columns),
        "until": f"2026-11-{day:02}T06:00+00:00",
        "version": "v1.0.0",
        "rows": 500,
        "columns": columns,
    }
    return PastCheck(**facts | update)


def asked(day: int) -> RetrainingRequest:
    return RetrainingRequest(
        model="churn",
        version="v1.0.0",
        at=f"2026-11-{day:02}T06:10:00+00:00",
        check=f"2026-11-{day:02}T06:00+00:00",
        policy="gate",
    )


def replay(
    past: list[PastCheck], *requests: RetrainingRequest, **rules: Any
) -> tuple[ReplayedCheck, ...]:
    keys = tuple(f"monitor.{key}" for key in rules)
    return replayed_checks(past, requests, Monitor.model_validate(rules), keys)


def results(found: tuple[ReplayedCheck, ...]) -> list[str]:
    return [one.replayed for one in found]


RAISED = column(0.2, 1e-3, alarm=True)
BELOW = column(0.08, 1e-3, changed=True)
WEAK = column(0.2, 0.04, changed=True)


def test_another_smallest_effect_raises_and_ends_alarms() -> None:
    past = [check(1, RAISED), check(2, BELOW)]
    found = replay(past, min_effect=0.05)
    assert results(found) == ["alarm", "alarm"]
    assert [one.differs for one in found] == [False, True]
    assert found[1].because == ("monitor.min_effect",)
    assert results(replay(past, min_effect=0.3)) == ["no alarm", "no alarm"]


def test_another_alpha_goes_by_the_recorded_evidence() -> None:
    past = [check(1, WEAK)]
    assert results(replay(past, alpha=0.1)) == ["alarm"]
    assert results(replay(past, alpha=0.05)) == ["no alarm"]
    assert results(replay([check(1, RAISED)], alpha=0.001)) == ["no alarm"]


def test_a_cell_or_a_mean_can_matter_as_the_distance_does() -> None:
    cell = CellChange(name="x", share=0.2, reference=0.1, relative_risk=2.0)
    by_cell = column(0.01, 1e-3, cell=cell, alarm=True)
    by_mean = column(0.01, 1e-3, standardised=-0.4, alarm=True)
    for raised in (by_cell, by_mean):
        assert results(replay([check(1, raised)], min_effect=0.35)) == ["alarm"]


def test_an_alarm_lasts_while_the_period_shows_the_change() -> None:
    """The evidence of a later check is of bets that may have started anew."""
    lasts = column(0.2, 0.9, alarm=True, p_value=0.01)
    ended = column(0.2, 0.9, p_value=0.2)
    past = [check(1, RAISED), check(2, lasts), check(3, ended)]
    assert results(replay(past, min_effect=0.15)) == ["alarm", "alarm", "no alarm"]
    other = check(2, lasts, version="v1.1.0")
    found = replay([check(1, RAISED), other], min_effect=0.15)
    assert results(found)[1] == "no alarm", "of another version nothing lasts"


def test_more_rows_needed_and_fewer() -> None:
    small = check(1, RAISED, rows=150)
    waited = check(2, rows=100, enough=False)
    found = replay([small, waited], min_rows=300)
    assert results(found) == ["no alarm", "no alarm"]
    found = replay([small, waited], min_rows=50)
    assert results(found) == ["alarm", "no alarm"]
    assert found[1].not_recorded == (
        "monitor.min_rows: the columns of a check that waited for rows",
    )


def test_worse_predictions_stay_an_alarm_and_their_level_is_not_recorded() -> None:
    metric = Metric(name="roc_auc", value=0.7, low=0.6, high=0.8)
    worse = Performance(rows=300, window=metric, reference=metric, alarm=True)
    past = [check(1, alarm=True, performance=(worse,))]
    found = replay(past, alpha=0.2)
    assert results(found) == ["alarm"]
    assert found[0].not_recorded == (
        "monitor.alpha: the evidence of worse predictions at another level",
    )
    assert replay(past, min_effect=0.3)[0].not_recorded == ()


def test_a_check_of_an_older_engine_stays_as_it_was() -> None:
    old = column(0.2, None, alarm=True)
    (found,) = replay([check(1, old)], min_effect=0.5)
    assert (found.replayed, found.differs) == ("alarm", False)
    assert found.not_recorded == (
        "monitor: the evidence, as an older engine made the check",
    )


def test_a_quiet_period_and_its_end() -> None:
    days = [{"from": "2026-11-02", "to": "2026-11-03", "reason": "sale"}]
    past = [check(1, RAISED), check(2, RAISED), check(3)]
    found = replay(past, asked(1), asked(2), quiet=days)
    assert results(found) == ["alarm, retraining requested", "alarm, quiet", "no alarm"]
    assert [one.differs for one in found] == [False, True, False]
    period = QuietPeriod(since="2026-11-01", until="2026-11-01", reason="sale")
    (found_now,) = replay([check(1, RAISED, quiet=period)], quiet=[])
    assert (found_now.recorded, found_now.replayed) == ("alarm, quiet", "alarm")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"cool_down": 5}, [True, False, False, True]),
        ({"retrainings_per_month": 2}, [True, True, False, False]),
        ({"on_alarm": "never"}, [False, False, False, False]),
        ({"cool_down": 1}, [True, True, True, True]),
    ],
)
def test_which_retrainings_limits_would_have_held(
    rules: dict[str, Any], expected: list[bool]
) -> None:
    days = (1, 3, 5, 7)
    past = [check(day, RAISED) for day in days]
    found = replay(past, *[asked(day) for day in days], **rules)
    wanted = [
        "alarm, retraining requested" if retrains else "alarm" for retrains in expected
    ]
    assert results(found) == wanted
    assert [one.differs for one in found] == [not retrains for retrains in expected]

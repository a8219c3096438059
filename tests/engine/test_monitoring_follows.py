"""What follows an alarm: cool-down, the budget of a month, and quiet periods."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from mlops.config.model_spec import Monitor
from mlops.monitoring.follows import held, quiet_period
from mlops.reporting import wording
from mlops.results.monitoring import Held, QuietPeriod, RetrainingRequest

NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)
CHECK = "2026-11-30T05:41+00:00"


def asked(at: datetime, check: str = "earlier") -> RetrainingRequest:
    return RetrainingRequest(
        model="churn",
        version="v1.0.0",
        at=at.isoformat(),
        check=check,
        policy="gate",
    )


def days_ago(*days: float) -> list[RetrainingRequest]:
    return [asked(NOW - timedelta(days=number)) for number in days]


@pytest.mark.parametrize(
    ("rules", "requests", "expected"),
    [
        pytest.param({}, days_ago(0.1, 1, 2), None, id="by default nothing holds"),
        pytest.param({"cool_down": 7}, [], None, id="nothing was asked for"),
        pytest.param(
            {"cool_down": 7},
            days_ago(9, 3),
            Held(why="cool-down", allowed=7, until=date(2026, 12, 5)),
            id="within the cool-down",
        ),
        pytest.param({"cool_down": 7}, days_ago(7), None, id="the cool-down ends"),
        pytest.param(
            {"retrainings_per_month": 2},
            days_ago(1, 20),
            Held(why="budget", allowed=2, until=date(2026, 12, 1)),
            id="the budget is spent",
        ),
        pytest.param(
            {"retrainings_per_month": 2},
            days_ago(1, 30, 31),
            None,
            id="those of the month before do not count",
        ),
        pytest.param(
            {"cool_down": 7, "retrainings_per_month": 1},
            days_ago(1),
            Held(why="cool-down", allowed=7, until=date(2026, 12, 7)),
            id="the one that holds longer",
        ),
        pytest.param(
            {"cool_down": 7},
            days_ago(-1),
            None,
            id="a clock that went ahead holds nothing",
        ),
    ],
)
def test_cool_down_and_budget_hold_a_retraining(
    rules: dict[str, Any], requests: list[RetrainingRequest], expected: Held | None
) -> None:
    assert held(Monitor(**rules), requests, CHECK, NOW) == expected


def test_a_job_that_is_run_again_is_not_held_by_what_it_asked_for() -> None:
    rules = Monitor(cool_down=7, retrainings_per_month=1)
    own = [asked(NOW - timedelta(hours=1), CHECK)]
    assert held(rules, own, CHECK, NOW) is None
    assert held(rules, own, "the next day", NOW) is not None


def test_months_and_days_are_those_of_utc() -> None:
    """In Auckland it is December already."""
    auckland = timezone(timedelta(hours=13))
    now = datetime(2026, 12, 1, 1, tzinfo=auckland)
    earlier = asked(datetime(2026, 11, 2, 1, tzinfo=auckland))
    found = held(Monitor(retrainings_per_month=1), [earlier], CHECK, now)
    assert found == Held(why="budget", allowed=1, until=date(2026, 12, 1))


@pytest.mark.parametrize(
    ("why", "sentence"),
    [
        (
            "cool-down",
            "No retraining is requested: an alarm asked for one less than 7 days ago "
            "(monitor.cool_down). If the alarm lasts, the first check from 2026-12-05 "
            "on asks for it.",
        ),
        (
            "budget",
            "No retraining is requested: alarms asked for 7 retrainings this month, "
            "which is all that monitor.retrainings_per_month allows. If the alarm "
            "lasts, the first check from 2026-12-05 on asks for it.",
        ),
    ],
)
def test_the_issue_says_until_when_and_why(why: Any, sentence: str) -> None:
    found = Held(why=why, allowed=7, until=date(2026, 12, 5))
    assert wording.held(found) == sentence


def quiet(first: str, last: str, reason: str) -> dict[str, str]:
    return {"from": first, "to": last, "reason": reason}


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2026-12-23", None),
        ("2026-12-24", "sale"),
        ("2026-12-26", "holidays"),
        ("2027-01-02", "holidays"),
        ("2027-01-03", None),
    ],
)
def test_first_and_last_day_of_a_quiet_period_belong_to_it(
    day: str, reason: str | None
) -> None:
    rules = Monitor.model_validate(
        {
            "quiet": [
                quiet("2026-12-26", "2027-01-02", "holidays"),
                quiet("2026-12-24", "2026-12-27", "sale"),
            ]
        }
    )
    found = quiet_period(rules, date.fromisoformat(day))
    assert (found.reason if found else None) == reason


def test_what_is_quiet_says_so_in_one_sentence() -> None:
    period = QuietPeriod(since="2026-12-24", until="2027-01-02", reason="sale.")
    assert wording.quiet(period) == [
        "quiet from 2026-12-24 to 2027-01-02 (sale): an alarm starts nothing and opens "
        "no issue"
    ]
    assert wording.quiet(None) == []

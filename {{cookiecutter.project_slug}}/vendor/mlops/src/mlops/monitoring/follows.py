"""What follows an alarm: whether a retraining may be asked for now, and what is quiet.

Data in, data out: who asks, and where that is written, is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from mlops.config.model_spec import Monitor
from mlops.results.monitoring import Held, QuietPeriod, RetrainingRequest


def held(
    rules: Monitor, requests: Sequence[RetrainingRequest], check: str, now: datetime
) -> Held | None:
    """Return why no retraining may be asked for now; None where one may be.

    Parameters
    ----------
    rules : Monitor
    requests : sequence of RetrainingRequest
        What alarms of this model have asked for.
    check : str
        The end of the period of the check that would ask. What it asked for itself does
        not hold it: a job that is run again asks again.
    now : datetime
        With a time zone.
    """
    others = [_moment(one.at) for one in requests if one.check != check]
    before = [moment for moment in others if moment <= now]
    found = []
    if before and rules.cool_down:
        until = max(before) + timedelta(days=rules.cool_down)
        if now < until:
            days = rules.cool_down
            one = Held(why="cool-down", allowed=days, until=_day_from(until))
            found.append(one)
    most = rules.retrainings_per_month
    today = now.astimezone(UTC)
    month = [m for m in before if (m.year, m.month) == (today.year, today.month)]
    if most is not None and len(month) >= most:
        until_day = _next_month(today.date())
        found.append(Held(why="budget", allowed=most, until=until_day))
    return max(found, key=lambda one: one.until, default=None)


def quiet_period(rules: Monitor, day: date) -> QuietPeriod | None:
    """Return the quiet period that a day is in; of several the one that ends last."""
    within = [one for one in rules.quiet if one.first <= day <= one.last]
    if not within:
        return None
    longest = max(within, key=lambda one: one.last)
    return QuietPeriod(
        since=longest.first.isoformat(),
        until=longest.last.isoformat(),
        reason=longest.reason,
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _day_from(moment: datetime) -> date:
    """Return the first day of which every moment is at or after a moment."""
    utc = moment.astimezone(UTC)
    begin = datetime(utc.year, utc.month, utc.day, tzinfo=UTC)
    return utc.date() if utc == begin else utc.date() + timedelta(days=1)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)

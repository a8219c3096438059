"""Past checks of the monitor under other settings, from what the run log has of them.

The evidence is taken as it was recorded: after an alarm that other settings would not
have raised, the bets would have gone on, and may have won more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mlops.config.model_spec import Monitor
from mlops.monitoring.follows import held, quiet_period
from mlops.monitoring.levels import LASTS, matters, share_of_drift
from mlops.results.monitoring import ColumnDrift, PastCheck, RetrainingRequest
from mlops.results.replay import ReplayedCheck

# Keys of `monitor` that a past check can be judged by again.
_RAISE = ("monitor.alpha", "monitor.min_effect", "monitor.min_rows")


def replayed_checks(
    past: Sequence[PastCheck],
    requests: Sequence[RetrainingRequest],
    new: Monitor,
    keys: Sequence[str],
) -> tuple[ReplayedCheck, ...]:
    """Return the past checks under other settings, oldest first.

    Parameters
    ----------
    past : sequence of PastCheck
        Oldest first, each time once.
    requests : sequence of RetrainingRequest
        What alarms asked for, oldest first.
    keys : sequence of str
        That differ between the settings, such as `monitor.alpha`.
    """
    alarms = _alarms_of(past, new, keys)
    by_check = {(one.version, one.check): one for one in requests}
    earlier: list[RetrainingRequest] = []
    found = []
    for check, (alarm, missing) in zip(past, alarms, strict=True):
        request = by_check.get((check.version, check.until))
        quiet = quiet_period(new, _moment(check.until).date()) is not None
        retrains = False
        if request is not None and alarm and not quiet:
            retrains = _asks(new, earlier, request)
        if request is not None and retrains:
            earlier.append(request)
        recorded = _result(check.alarm, check.quiet is not None, request is not None)
        replayed = _result(alarm, quiet, retrains)
        one = ReplayedCheck(
            until=check.until,
            version=check.version,
            recorded=recorded,
            replayed=replayed,
            because=tuple(keys) if replayed != recorded else (),
            not_recorded=missing,
        )
        found.append(one)
    return tuple(found)


def _asks(
    rules: Monitor,
    earlier: Sequence[RetrainingRequest],
    request: RetrainingRequest,
) -> bool:
    """Return whether an alarm would ask for a retraining as it did."""
    if rules.on_alarm == "never":
        return False
    return held(rules, earlier, request.check, _moment(request.at)) is None


def _alarms_of(
    past: Sequence[PastCheck], new: Monitor, keys: Sequence[str]
) -> list[tuple[bool, tuple[str, ...]]]:
    """Return of each check whether it has an alarm, and what is not recorded of it."""
    if not set(keys) & set(_RAISE):
        return [(check.alarm, ()) for check in past]
    lasting: set[str] = set()
    version = ""
    found = []
    for check in past:
        if check.version != version:
            lasting = set()
            version = check.version
        lasting, missing = _drifted(check, new, keys, lasting)
        alarm = bool(lasting) or _is_worse(check)
        found.append((alarm, missing))
    return found


def _is_worse(check: PastCheck) -> bool:
    """Return whether predictions were worse, as the check itself found."""
    drifted = any(column.alarm for column in check.columns)
    if any(p.alarm for p in check.performance):
        return True
    if any(p.alarm for p in check.slices):
        return True
    return check.alarm and not drifted


def _result(alarm: bool, quiet: bool, retrains: bool) -> str:
    """Return the result of a check, and what followed, in a few words."""
    if not alarm:
        return "no alarm"
    if quiet:
        return "alarm, quiet"
    return "alarm, retraining requested" if retrains else "alarm"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _drifted(
    check: PastCheck,
    new: Monitor,
    keys: Sequence[str],
    lasting: set[str],
) -> tuple[set[str], tuple[str, ...]]:
    """Return the columns with an alarm, and what is not recorded of the check."""
    missing = []
    if "monitor.alpha" in keys and check.performance:
        missing.append(
            "monitor.alpha: the evidence of worse predictions at another level"
        )
    if not check.enough and check.rows >= new.min_rows and "monitor.min_rows" in keys:
        missing.append("monitor.min_rows: the columns of a check that waited for rows")
        return set(), tuple(missing)
    if check.rows < new.min_rows:
        return set(), tuple(missing)
    if any(column.chance is None for column in check.columns):
        missing.append("monitor: the evidence, as an older engine made the check")
        return {c.name for c in check.columns if c.alarm}, tuple(missing)
    names = {c.name for c in check.columns if _alarms(c, new, c.name in lasting)}
    return names, tuple(missing)


def _alarms(column: ColumnDrift, rules: Monitor, lasts: bool) -> bool:
    """Return whether a column has an alarm: a new one, or one that has not ended."""
    if not matters(column.effect, column.standardised, column.cell, rules.min_effect):
        return False
    if lasts:
        return column.p_value <= LASTS
    return column.chance is not None and column.chance <= share_of_drift(rules.alpha)

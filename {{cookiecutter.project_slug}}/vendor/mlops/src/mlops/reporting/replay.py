"""What other rules would have changed in the past, for terminal and comment."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.reporting import words
from mlops.reporting.blocks import Row, Section, Table
from mlops.reporting.terminal import table
from mlops.results.replay import Replay, ReplayedCheck, ReplayedRun

_MOST = 50  # rows of a table

_RUN_COLUMNS = (
    "Run",
    "Began (UTC)",
    "Decision",
    "Would be",
    "Because of",
    "Not recorded",
)

_CHECK_COLUMNS = ("Until (UTC)", "Version", "Result", "Would be", "Not recorded")

_AS_RECORDED = (
    "What was recorded is judged again, nothing is trained. Where what a key judges is "
    "not recorded, the recorded result counts."
)

_EVIDENCE = (
    "The evidence for drift is taken as it was recorded: after an alarm that these "
    "settings would not have raised, more of it would have been gathered."
)


def replay_summary(replay: Replay) -> str:
    """Return how much of the past would have come out differently, in a sentence."""
    keys = words.clean(", ".join(replay.keys), 300)
    decisions = sum(one.differs for one in replay.decisions)
    alarms = sum(one.differs for one in replay.alarms)
    of_runs = words.count(replay.runs, "past decision")
    of_checks = words.count(replay.checks, "past check")
    return (
        f"With the new {keys}, {decisions} of {of_runs} and {alarms} of {of_checks} of "
        "the monitor would have come out differently."
    )


def replay_section(replay: Replay) -> Section:
    """Return what other rules would have changed, as a section of a comment."""
    text = [replay_summary(replay), _AS_RECORDED]
    if replay.alarms:
        text.append(_EVIDENCE)
    runs = _runs(replay.decisions)
    checks = _checks(replay.alarms)
    tables = (
        Table("Decisions", _RUN_COLUMNS, "llllll", runs, folded=True),
        Table("Checks of the monitor", _CHECK_COLUMNS, "lllll", checks, folded=True),
    )
    title = f"{words.clean(replay.model, 60)}: the new rules on the past"
    return Section("replay", title, text, tables)


def replay_text(replay: Replay) -> str:
    """Return the same for a terminal."""
    section = replay_section(replay)
    parts = [f"{section.title}", *section.text]
    for one in section.tables:
        if one.rows:
            rows = [[str(cell) for cell in cells] for _, cells in one.rows]
            parts += [f"\n{one.title}", table(rows, list(one.columns))]
    return "\n".join(parts)


def _runs(decisions: Sequence[ReplayedRun]) -> list[Row]:
    """Return past decisions, those that differ first."""
    rows: list[Row] = []
    for one in sorted(decisions, key=lambda one: not one.differs)[:_MOST]:
        pull = f" (#{one.pull_request})" if one.pull_request else ""
        cells = (
            f"{words.clean(one.run, 40)}{pull}",
            words.clean(one.started, 60)[:16].replace("T", " "),
            words.clean(one.recorded, 20),
            words.clean(one.replayed, 20) if one.differs else "the same",
            ", ".join(one.because) or words.NONE,
            words.clean("; ".join(one.not_recorded), 300) or words.NONE,
        )
        rows.append(("unsure" if one.differs else "unmeasured", cells))
    return rows


def _checks(alarms: Sequence[ReplayedCheck]) -> list[Row]:
    rows: list[Row] = []
    for one in sorted(alarms, key=lambda one: not one.differs)[:_MOST]:
        cells = (
            words.clean(one.until, 60)[:16].replace("T", " "),
            words.clean(one.version, 20) or words.NONE,
            one.recorded,
            one.replayed if one.differs else "the same",
            words.clean("; ".join(one.not_recorded), 300) or words.NONE,
        )
        rows.append(("unsure" if one.differs else "unmeasured", cells))
    return rows

"""The page of a check of the monitor: verdict, what changed, performance, quality."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from mlops.reporting import wording, words
from mlops.reporting.blocks import Chart, Link, Row, Section, Table, Tone
from mlops.reporting.check_history import checks_section, performance_charts
from mlops.reporting.drawings import not_drawn, shares
from mlops.reporting.html import fill
from mlops.results.monitoring import (
    AcceptedReference,
    ColumnDrift,
    DriftCheck,
    PastCheck,
)

_MOST_DRAWN = 12  # columns

_APPENDIX = (
    "Evidently draws a sample of the same rows, with bins of its own, so its bars are "
    "not the cells of this page. The score and the word “detected” in it are those of "
    "this page. It is an appendix: where the two seem to differ, this page counts."
)


def alarm_page(
    check: DriftCheck,
    past: Sequence[PastCheck],
    about: str,
    appendix: str = "",
    home: str = "",
) -> str:
    """Return the page of a check as one HTML file.

    Parameters
    ----------
    past : sequence of PastCheck
        The checks of the model up to this one, oldest first.
    about : str
        What the model is for.
    appendix : str
        Where Evidently's report lies, from the page; empty where there is none.
    home : str
        Where the model's part of a site is, from the page; empty where it is in none.
    """
    parts = [
        _changed(check),
        _performance(check),
        checks_section(past),
        _quality(check),
        _columns(check),
        _to_do(check),
    ]
    if appendix:
        parts.append(_appendix(appendix))
    return fill(
        name=check.model,
        home=home,
        about=about,
        summary=wording.check_summary(check),
        origin=_origin(check),
        figures_of=_figures(check),
        sections=parts,
        charts=[
            *_column_charts(check),
            *performance_charts(past, "performance", _accepted(check)),
        ],
    )


def _accepted(check: DriftCheck) -> list[AcceptedReference]:
    return [check.accepted] if check.accepted else []


def _origin(check: DriftCheck) -> str:
    since = check.since[:16].replace("T", " ")
    until = check.until[:16].replace("T", " ")
    parts = [
        f"{check.version} in {check.stage}, predictions of {since} to {until} UTC",
        *wording.accepted(check.accepted),
    ]
    return "; ".join(parts)


def _figures(check: DriftCheck) -> list[tuple[str, str]]:
    """Return the figures below the verdict, with their names."""
    drifted = sum(column.alarm for column in check.columns)
    changed = sum(column.changed for column in check.columns)
    return [
        ("rows in this period", f"{check.rows:,}"),
        ("of them with a label", f"{check.labelled:,}"),
        ("columns with an alarm", f"{drifted} of {len(check.columns)}"),
        ("changed, below the alarm level", f"{changed}"),
    ]


# -- what changed ----------------------------------------------------------------------


def _changed(check: DriftCheck) -> Section:
    """Return the columns that changed, those with an alarm first."""
    columns = ("Column", "This period", "Reference", "Size of the change", "How sure")
    rows: list[Row] = []
    for c in _ranked(check.columns):
        tone: Tone = "bad" if c.alarm else "unsure"
        below = "" if c.alarm else "changed, below the alarm level: "
        cells = (
            _name(c),
            _side(c, now=True),
            _side(c, now=False),
            below + wording.change(c),
            _sure(c),
        )
        rows.append((tone, cells))
    text: tuple[str, ...] = ()
    if not rows:
        text = ("No column changed by more than chance.",)
        if not check.columns:
            text = ("Columns are compared when there are enough rows.",)
    return Section(
        "changed", "What changed", text, (Table("Columns", columns, "lllll", rows),)
    )


def _ranked(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Return the columns that changed, alarms first, then by size."""
    changed = [c for c in columns if c.alarm or c.changed]
    return sorted(changed, key=lambda c: (not c.alarm, -c.effect))


def _name(c: ColumnDrift) -> str:
    name = words.clean(c.name, 60)
    return f"{name} (output of the model)" if c.output else name


def _side(c: ColumnDrift, now: bool) -> str:
    """Return what a column was like on one side: moments, or the share of a cell."""
    parts = []
    mean = c.mean if now else c.reference_mean
    deviation = c.deviation if now else c.reference_deviation
    if mean is not None and deviation is not None:
        parts.append(_moments(c.kind, mean, deviation))
    if c.cell is not None:
        share = c.cell.share if now else c.cell.reference
        parts.append(f"{words.quoted(c.cell.name)} {words.share(share)}")
    missing = c.missing if now else c.reference_missing
    if c.missing or c.reference_missing:
        parts.append(f"missing {words.share(missing)}")
    return ", ".join(parts) or words.NONE


def _moments(kind: str, mean: float, deviation: float) -> str:
    if kind != "date":
        return f"mean {words.number(mean)}, SD {words.number(deviation)}"
    try:
        day = (date(1970, 1, 1) + timedelta(days=mean)).isoformat()
    except OverflowError:
        day = f"{words.number(mean)} days after 1970"
    return f"mean {day}, SD {words.number(deviation)} days"


def _sure(c: ColumnDrift) -> str:
    if not c.alarm or c.chance is None:
        return words.NONE
    return wording.how_sure(c.chance)


def _column_charts(check: DriftCheck) -> list[Chart]:
    """Return drawings of columns that changed, and of what the model predicts."""
    drawn = [c for c in _ranked(check.columns) if c.cells]
    drawn += [c for c in check.columns if c.output and c.cells and c not in drawn]
    charts = []
    for at, c in enumerate(drawn[:_MOST_DRAWN]):
        title_id = f"column-{at + 1}"
        alt = f"{wording.change(c)[0].upper()}{wording.change(c)[1:]}."
        left = not_drawn(c.cells)
        if left:
            alt += f" {words.count(left, 'more cell')} changed less."
        chart = Chart(title_id, "changed", _name(c), alt, shares(c.cells, title_id))
        charts.append(chart)
    return charts


# -- performance -----------------------------------------------------------------------


def _performance(check: DriftCheck) -> Section:
    """Return what is measured, what is estimated, and what explains it."""
    columns = ("Metric", "This period", "Registered", "How it is known", "Evidence")
    rows: list[Row] = []
    for p in check.performance:
        now = p.window
        ends = words.interval(now.low, now.high)
        cells = (
            words.label(now.name),
            f"{words.number(now.value)} ({ends})",
            words.number(p.reference.value),
            f"measured on {words.count(p.rows, 'labelled row')}",
            _evidence(p.alarm, p.chance),
        )
        rows.append(("bad" if p.alarm else "good", cells))
        if p.mean_loss is not None:
            mean = (
                f"{p.loss}, per row",
                words.number(p.mean_loss),
                words.number(p.registered_loss),
                "what is watched",
                words.NONE,
            )
            rows.append(("", mean))
    for e in check.estimates:
        cells = (
            words.label(e.metric),
            words.number(e.value),
            words.number(e.registered),
            f"estimated without labels on {words.count(e.rows, 'row')} ({e.method})",
            "an estimate raises no alarm",
        )
        rows.append(("", cells))
    text = []
    if check.estimates:
        text.append(
            "An estimate without labels cannot see concept drift: that the same "
            "features come to mean something else."
        )
    if any(e.undone for e in check.estimates):
        text.append(
            "The shift of a column is undone by weights: rows count such that the "
            "column is distributed as in the reference. Columns that move together "
            "share what each of them explains."
        )
    if check.labelled and not check.performance:
        text.append("Labels have come, and allow no verdict yet: see Data quality.")
    elif not rows:
        text.append("Nothing was measured: too few labels have come.")
    tables = (
        Table("Performance", columns, "lllll", rows),
        _slices(check),
        _explained(check),
        _labels(check),
    )
    return Section("performance", "Performance", text, tables)


def _slices(check: DriftCheck) -> Table:
    """Return each group of rows, measured and estimated."""
    columns = ("Slice", "What", "This period", "Before", "How it is known", "Evidence")
    rows: list[Row] = []
    for p in check.slices:
        cells = (
            words.clean(p.title, 80),
            f"{p.loss}, per row",
            words.number(p.mean_loss),
            words.number(p.registered_loss),
            f"measured on {words.count(p.rows, 'labelled row')}",
            _evidence(p.alarm, p.chance),
        )
        rows.append(("bad" if p.alarm else "good", cells))
    for e in check.estimates:
        for one in e.slices:
            cells = (
                words.clean(one.title, 80),
                words.label(e.metric),
                words.number(one.estimate),
                words.number(one.reference),
                f"estimated without labels on {words.count(one.rows, 'row')}",
                "an estimate raises no alarm",
            )
            rows.append(("", cells))
    return Table("Slices", columns, "llllll", rows)


def _evidence(alarm: bool, chance: float | None) -> str:
    if not alarm:
        return "not shown to be worse"
    return words.NONE if chance is None else wording.how_sure(chance)


def _explained(check: DriftCheck) -> Table:
    """Return which column explains a change of the estimates."""
    title = "Which column explains it: the estimate, with the shift of one undone"
    columns = ("Column", "Estimate without its shift", "Change")
    rows: list[Row] = []
    for e in check.estimates:
        for shift in e.undone:
            cells = (
                words.clean(shift.column, 60),
                f"{words.label(e.metric)} {words.number(shift.value)}",
                wording.explained(e.metric, shift),
            )
            rows.append(("", cells))
    return Table(title, columns, "lll", rows)


def _labels(check: DriftCheck) -> Table:
    """Return the share of labels by score, where labels are selective."""
    rows: list[Row] = []
    for found in check.labels:
        share = words.share(found.labelled / max(found.rows, 1))
        rows.append(("", (found.scores, f"{found.rows:,}", share)))
    title = "Labels come more often for some scores"
    return Table(title, ("Score", "Rows", "With a label"), "lrr", rows)


# -- quality, all columns, what to do --------------------------------------------------


def _quality(check: DriftCheck) -> Section:
    """Return missing and unseen values, and what the log lacks."""
    columns = (
        "Column",
        "Missing",
        "Missing in the reference",
        "New since training",
        "New in the reference",
    )
    size = max(check.compared[0], 1)
    rows: list[Row] = []
    for c in sorted(check.columns, key=lambda c: c.reference_missing - c.missing):
        if not (c.missing or c.reference_missing or c.unseen):
            continue
        before = words.NONE
        if c.reference_unseen is not None:
            before = words.share(c.reference_unseen)
        cells = (
            words.clean(c.name, 60),
            words.share(c.missing),
            words.share(c.reference_missing),
            words.share(min(1.0, c.unseen / size)),
            before,
        )
        rows.append(("", cells))
    text = list(check.notes)
    if not rows and check.columns:
        text.append("No value is missing, and none is new since training.")
    return Section(
        "quality", "Data quality", text, (Table("Values", columns, "lrrrr", rows),)
    )


def _columns(check: DriftCheck) -> Section:
    """Return every column with its sizes, folded."""
    columns = ("Column", "Kind", "Distance", "Mean, in SD", "Missing", "Result")
    rows: list[Row] = []
    for c in check.columns:
        result = "no alarm"
        tone: Tone = ""
        if c.alarm:
            result = "alarm"
            tone = "bad"
        elif c.changed:
            result = "changed, below the alarm level"
            tone = "unsure"
        mean = words.signed(c.standardised)
        cells = (
            _name(c),
            c.kind,
            words.number(c.effect),
            mean,
            words.share(c.missing),
            result,
        )
        rows.append((tone, cells))
    text = (
        "The distance is Jensen-Shannon's, 0 (the same) to 1 (nothing shared), less "
        "what chance makes.",
    )
    title = f"All {words.count(len(rows), 'column')}"
    table = Table(title, columns, "llrrrl", rows, folded=True)
    return Section("columns", "All columns", text if rows else (), (table,))


def _to_do(check: DriftCheck) -> Section:
    """Return what can be done, as commands."""
    if not check.alarm:
        text = ("Nothing has to be done.",)
        return Section("do", "What to do", text)
    text = (
        "If the source of the data is broken, fix it: the alarm ends when the data are "
        "as before. If the world has changed, train on fresh data. If the new data are "
        "fine for this version, accept them as the reference. If predictions harm, "
        "take the version before.",
    )
    commands = (
        f"mlops run {check.model}",
        f"mlops monitor accept {check.model} --reason WHY",
        f"mlops rollback {check.model} {check.stage} --reason WHY",
    )
    return Section("do", "What to do", text, commands=commands)


def _appendix(path: str) -> Section:
    row: Row = ("", ((Link("Evidently's report", path),), "4 MB, needs scripts"))
    table = Table("Appendix", ("File", "Size"), "ll", (row,))
    return Section("appendix", "Appendix: Evidently's report", (_APPENDIX,), (table,))

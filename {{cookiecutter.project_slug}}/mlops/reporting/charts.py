"""The charts of a report: against production, by slice, by group, and those of the test rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlops.reporting.canvas import (
    BAD,
    GOOD,
    INK,
    MUTED,
    NEW,
    Chart,
    axes,
    forest,
    named_rows,
    room,
    svg,
)
from mlops.reporting.curves import curves
from mlops.reporting.facts import Everything
from mlops.reporting.words import capital, clean, count, label, number, signed

_OWN_UNIT = ("mae", "rmse", "value", "log_loss", "r2")  # metrics that share no axis with others


def charts(facts: Everything) -> list[tuple[Chart, str]]:
    """Return the charts that these facts allow, each with its SVG; some 50 ms each."""
    import matplotlib

    with matplotlib.rc_context(fname=Path(__file__).with_name("report.mplstyle")):
        found = [*_differences(facts), *_slices(facts), *_fairness(facts), *curves(facts)]
        return [(chart, svg(chart, index)) for index, chart in enumerate(found)]


def _differences(facts: Everything) -> Iterator[Chart]:
    """Draw challenger minus champion by metric."""
    verdict = facts.verdict
    if not verdict or not verdict.comparison:
        return
    everyone = (verdict.comparison, *verdict.others)
    shared = [c for c in everyone if c.metric not in _OWN_UNIT]
    panels = [p for p in (shared, *([c] for c in everyone if c.metric in _OWN_UNIT)) if p]
    heights = [len(p) + 1.0 for p in panels]
    names = [label(c.metric) for c in everyone]
    ratios = {"nrows": len(panels), "gridspec_kw": {"height_ratios": heights, "hspace": 0.75}}
    height = 0.7 + 0.36 * sum(heights)
    figure, grid = axes(height, room(names), 0.12, squeeze=False, **ratios)
    for panel, part in zip(grid[:, 0], panels, strict=True):
        rows = []
        for c in part:
            colour = GOOD if c.low > 0 else BAD if c.high < 0 else MUTED
            rows.append((capital(label(c.metric)), c.low, c.difference, c.high, colour))
        panel.axvline(0, color=INK, linewidth=1)
        forest(panel, rows)
        reach = [abs(x) for c in part for x in (c.low, c.high)]
        if verdict.comparison in part and verdict.rule == "non-inferiority":
            y, margin = part.index(verdict.comparison), facts.spec.gate.margin
            panel.plot([-margin] * 2, [y - 0.45, y + 0.45], color=BAD, linestyle=":")
            reach.append(margin)
        limit = max(reach) * 1.15 or 1
        panel.set_xlim(-limit, limit)
    below = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "top",
        "color": MUTED,
    }
    grid[-1, 0].annotate("\u2190 production is better", (0, 0), (0, -22), ha="left", **below)
    grid[-1, 0].annotate("this model is better \u2192", (1, 0), (0, -22), ha="right", **below)
    likely = [
        f"{label(c.metric)} {signed(c.difference)} ({signed(c.low)} to {signed(c.high)})"
        for c in everyone
    ]
    alt = f"{capital('; '.join(likely))}."
    yield Chart("quality", "Difference to the model in production", figure, alt)


def _slices(facts: Everything) -> Iterator[Chart]:
    """Draw the primary metric by slice against that of all rows, those that fall off first."""
    result = facts.evaluation
    known = [(s, s.metric) for s in (result.slices if result else ()) if s.metric]
    known = sorted(known, key=lambda pair: pair[0].ok)[:30]
    if not result or not known:
        return
    names = [f"{s.column} = {s.value}" for s, _ in known]
    figure, panel = axes(0.75 + 0.29 * len(known), room(names), 0.12)
    panel.axvline(result.primary.value, color=INK, linewidth=1)
    colours = [NEW if s.ok else BAD for s, _ in known]
    bars = [
        (n, m.low, m.value, m.high, k) for n, (_, m), k in zip(names, known, colours, strict=True)
    ]
    forest(panel, bars)
    name, values = capital(label(result.primary.name)), [m.value for _, m in known]
    panel.set_xlabel(f"{name}; the line is that of all test rows")
    failed = sum(not s.ok for s, _ in known)
    span = f"{number(min(values))} to {number(max(values))}"
    alt = f"{name} of {count(len(known), 'slice')}: {span}; on all test rows "
    alt += f"{number(result.primary.value)}; {failed or 'none'} of them below what is allowed."
    yield Chart("slices", "Quality by slice", figure, alt)


def _fairness(facts: Everything) -> Iterator[Chart]:
    """Draw bars of the groups that are large enough to count, a chart per limit."""
    for f in facts.evaluation.fairness[:8] if facts.evaluation else ():
        large = [g for g in f.groups if g.rows >= facts.spec.slices.min_rows]
        known = [(g.value, g.name) for g in large if g.value is not None]
        groups = sorted(known, key=lambda g: (-g[0], g[1]))[:12]
        if not groups:
            continue
        names = [name for _, name in groups]
        figure, panel = axes(0.75 + 0.34 * len(groups), room(names), 0.12)
        colour = NEW if f.difference <= f.limit else BAD
        panel.barh(range(len(groups)), [g[0] for g in groups], height=0.62, color=colour)
        for y, (value, _) in enumerate(groups):
            place = {"textcoords": "offset points", "va": "center"}
            panel.annotate(number(value), (value, y), (4, 0), **place)
        named_rows(panel, names)
        panel.set_xlim(0, groups[0][0] * 1.18 or 1)
        title = f"{capital(label(f.metric))} by {clean(f.column, 30)}"
        gap = f"largest gap {number(f.difference)}, allowed {number(f.limit)}"
        panel.set_xlabel(capital(gap))
        values = ", ".join(f"{clean(name, 30)} {number(value)}" for value, name in groups)
        yield Chart("fairness", title, figure, f"{values}; {gap}.")

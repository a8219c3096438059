"""The charts of a report: SVG in the colours of the page.

They show aggregates, never a row. GitHub drops pictures that stand in a card's text, and no folder
travels with a card everywhere; characters show there, on the Hugging Face hub and on a terminal.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from mlops.reporting.calibration import calibration_parts, positive_scores, tenths
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import interval
from mlops.reporting.words import clean, count, label, number, share, signed
from mlops.results.evaluation import Metric
from mlops.results.runs import Record

# Placeholders, replaced by the CSS variables of these names: one drawing is for light, dark, paper.
_VARIABLES = ("ink", "muted", "line", "new", "old", "good", "bad")

INK, MUTED, LINE, NEW, OLD, GOOD, BAD = _COLOURS = [f"#00000{i}" for i in range(1, 8)]

_DROP = r'<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->| id="[\w.]*[a-z]_\d+"|xlink:|\n\s+'

_LINES: dict[str, Any] = {NEW: "-", OLD: "--"}

_THIN: dict[str, Any] = {"color": MUTED, "linewidth": 1, "linestyle": ":"}

# On top of matplotlib's own defaults, whatever the user has configured. The font comes with it, so
# that the layout is the same everywhere.
_STYLE: Any = {
    **{
        "figure.constrained_layout.use": True,
        "figure.figsize": (6.4, 3.9),
        "svg.fonttype": "none",
    },
    **{
        "font.family": "DejaVu Sans",
        "font.size": 12,
        "text.parse_math": False,
        "text.color": INK,
    },
    **{"axes.labelcolor": MUTED, "axes.edgecolor": LINE, "axes.facecolor": "none"},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True},
    **{
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "lines.linewidth": 2,
    },
    **{"xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED},
    **{"ytick.labelcolor": MUTED, "legend.frameon": False, "legend.handlelength": 1.6},
}


class Chart(NamedTuple):
    """An SVG element, the section it belongs to, its title, and what it shows in a sentence."""

    id: str
    section: str
    title: str
    alt: str
    svg: str


def charts(facts: RunReport) -> list[Chart]:
    """Return the charts that these facts allow; some 50 ms each."""
    with style.context(["default", _STYLE]):
        parts = (_differences, _slices, _binary, _regression)
        return [chart for part in parts for chart in part(facts)]


def side_by_side(records: Sequence[Record]) -> list[Chart]:
    """Return a chart per metric: the interval of each run, and a line at the value of the first."""
    found: dict[str, list[tuple[str, Metric]]] = {}
    for record in records:
        for metric in record.metrics:
            found.setdefault(metric.name, []).append((record.id, metric))
    drawn = []
    with style.context(["default", _STYLE]):
        for name, known in found.items():
            first, m = known[0]
            panel = _forest(
                [(run, m.low, m.value, m.high, NEW) for run, m in known], m.value
            )
            panel.locator_params(axis="x", nbins=6)
            better = "higher" if m.higher_is_better else "lower"
            alt = f"With its {share(m.confidence)} interval; {better} is better. "
            alt += f"The line is at {number(m.value)}, the value of {first}."
            drawn.append(_chart("metrics", label(name), panel, alt))
    return drawn


def _axes(height: float = 3.9, **labels: Any) -> Axes:
    """Return the axes of an empty figure 6.4 inches wide."""
    return Figure(figsize=(6.4, height)).subplots(subplot_kw=labels)


def _chart(section: str, title: str, panel: Axes, alt: str) -> Chart:
    """Return a drawing as an element without metadata and unused ids, described by its caption."""
    if panel.get_legend_handles_labels()[
        0
    ]:  # above the drawing, where it covers nothing
        panel.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, ncols=3
        )
    own, file, figure = (
        title.lower().replace(" ", "-"),
        io.StringIO(),
        cast(Figure, panel.figure),
    )
    # The salt makes the ids inside the drawing the same each time, and those of this chart alone.
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": title}):
        warnings.filterwarnings(
            "ignore", "Glyph"
        )  # the reader's fonts draw it, not ours
        figure.savefig(file, format="svg", transparent=True)
    text = re.sub(_DROP, "", file.getvalue(), flags=re.DOTALL)
    root = rf'<svg \1 role="img" aria-labelledby="{own}">'
    text = re.sub(
        r'^.*?<svg[^>]*?(viewBox="[^"]+")[^>]*>', root, text, count=1, flags=re.DOTALL
    )
    for colour, variable in zip(_COLOURS, _VARIABLES, strict=True):
        text = text.replace(colour, f"var(--{variable})")
    return Chart(own, section, title, alt, text)


def _forest(rows: Sequence[tuple[str, float, float, float, str]], line: float) -> Axes:
    """Draw an interval per row, the first on top: name, low, value, high, colour."""
    panel = _axes(0.8 + 0.33 * len(rows), ylim=(len(rows) - 0.5, -0.5))
    panel.axvline(line, color=INK, linewidth=1)
    for y, (_, low, value, high, colour) in enumerate(rows):
        panel.plot([low, high], [y, y], color=colour, solid_capstyle="butt")
        panel.plot(
            [value], [y], "s" if colour == BAD else "o", color=colour, markersize=6.5
        )
    panel.set_yticks(range(len(rows)), [clean(row[0], 30) for row in rows])
    panel.tick_params(axis="y", length=0, labelcolor=INK)
    panel.grid(axis="y", visible=False)
    return panel


def _differences(facts: RunReport) -> Iterator[Chart]:
    """Draw challenger minus champion by metric, each on its own scale: units differ."""
    verdict = facts.verdict
    if not verdict or not verdict.comparison:
        return
    everyone = (verdict.comparison, *verdict.others)
    margin = facts.spec.gate.margin if verdict.rule == "non-inferiority" else 0.0
    reach = [max(abs(c.low), abs(c.high)) or 1 for c in everyone]
    reach[0] = max(reach[0], margin)
    rows = []
    for c, most in zip(everyone, reach, strict=True):
        colour = GOOD if c.low > 0 else BAD if c.high < 0 else MUTED
        rows.append(
            (label(c.metric), c.low / most, c.difference / most, c.high / most, colour)
        )
    panel = _forest(rows, 0)
    panel.set(xlim=(-1.12, 1.12), xticks=[])
    panel.set_xlabel(
        "\u2190 production is better\u2003\u2003this model is better \u2192"
    )
    for y, c in enumerate(everyone):
        text = f"{signed(c.difference)} ({interval(c)})"
        panel.text(1.18, y, text, va="center", color=MUTED, fontsize=11)
    alt = "Each metric on a scale of its own, with its interval; right of the line is better."
    if margin:
        panel.vlines(-margin / reach[0], -0.45, 0.45, color=BAD, linestyle=":")
        alt += f" Dotted: the loss of {number(margin)} that is accepted."
    yield _chart("quality", "Difference to the model in production", panel, alt)


def _slices(facts: RunReport) -> Iterator[Chart]:
    """Draw the primary metric by slice against that of all rows, those that fall off first."""
    result = facts.evaluation
    known = [(s, s.metric) for s in (result.slices if result else ()) if s.metric]
    if not result or not known:
        return
    known = sorted(known, key=lambda pair: pair[0].ok)[:30]
    rows = [
        (f"{s.column} = {s.value}", m.low, m.value, m.high, NEW if s.ok else BAD)
        for s, m in known
    ]
    panel = _forest(rows, result.primary.value)
    panel.set_xlabel(f"{label(result.primary.name)}; the line is that of all test rows")
    failed = sum(not s.ok for s, _ in known)
    alt = f"{failed or 'None'} of {count(len(known), 'slice')} below what is allowed."
    yield _chart("slices", "Quality by slice", panel, alt)


def _binary(facts: RunReport) -> Iterator[Chart]:
    """Draw ROC, precision against recall, calibration, and scores by outcome."""
    rows, threshold = facts.rows, facts.spec.metrics.threshold
    if facts.spec.task != "binary" or rows is None or rows.score is None:
        return
    yes, score = positive_scores(facts, rows), rows.score.astype(float)
    if yes.all() or not yes.any():
        return
    yield from _ranking(yes, score, rows.champion, threshold)

    parts = tenths(facts)
    _, predicted, happened, low, high = zip(*parts, strict=True)
    panel = _axes(xlabel="Predicted probability", ylabel="Happened")
    panel.plot([0, 1], [0, 1], **_THIN)
    panel.vlines(predicted, low, high, NEW)
    panel.plot(predicted, happened, "o-", color=NEW)
    worst = max(parts, key=lambda t: abs(t.predicted - t.happened))
    alt = f"In tenths of the rows, by score: furthest off where {share(worst.predicted)} was "
    alt += f"predicted and {share(worst.happened)} happened."
    yield _chart("quality", "Calibration", panel, alt)

    panel = _axes(xlabel="Score", ylabel="Share of the rows", xlim=(0, 1))
    for part, colour, name in (
        (score[~yes], OLD, "negative"),
        (score[yes], NEW, "positive"),
    ):
        heights, edges = np.histogram(part, 40, (0, 1))
        look: dict[str, Any] = {
            "edgecolor": colour,
            "linestyle": _LINES[colour],
            "label": name,
        }
        look |= {"facecolor": (colour, 0.22), "linewidth": 1.6}
        panel.stairs(heights / len(part), edges, fill=True, **look)
    panel.axvline(threshold, color=INK, linewidth=1, label="threshold")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    negative, positive = (
        number(float(np.median(part))) for part in (score[~yes], score[yes])
    )
    alt = f"The median is {positive} for positive and {negative} for negative rows."
    yield _chart("quality", "Scores by outcome", panel, alt)


def _ranking(
    yes: NDArray[Any],
    score: NDArray[Any],
    champion: NDArray[Any] | None,
    threshold: float,
) -> Iterator[Chart]:
    roc = _axes(xlabel="Negative rows called positive", ylabel="Positive rows found")
    curve = _axes(
        xlabel="Recall: positive rows found", ylabel="Precision", ylim=(0, 1.03)
    )
    for values, colour, name in (
        (champion, OLD, "in production"),
        (score, NEW, "this model"),
    ):
        if values is not None:
            wrong, found, _ = roc_curve(yes, values)
            roc.plot(*_few(wrong, found), _LINES[colour], color=colour, label=name)
            precision, recall, _ = precision_recall_curve(yes, values)
            curve.plot(
                *_few(recall[:-1], precision[:-1]),
                _LINES[colour],
                color=colour,
                label=name,
            )
    called, rate = score >= threshold, float(yes.mean())
    hit, false = float(called[yes].mean()), float(called[~yes].mean())
    roc.plot([0, 1], [0, 1], **_THIN)
    roc.plot(
        [false], [hit], "o", color=NEW, label=f"threshold {threshold:g}", markersize=8
    )
    alt = f"Of {count(len(yes), 'test row')}, at the threshold {threshold:g}: {share(hit)} of the "
    alt += f"positive are found, {share(false)} of the negative are called positive by mistake."
    yield _chart("quality", "ROC curve", roc, alt)
    curve.axhline(rate, **_THIN)
    half = share(precision[recall >= 0.5][-1])
    alt = f"Where half of the positive are found, precision is {half}; "
    alt += f"{share(rate)} of all rows are positive (dotted)."
    yield _chart("quality", "Precision and recall", curve, alt)


def _few(*axes: NDArray[Any]) -> list[NDArray[Any]]:
    """Return 200 points of a curve, both ends among them."""
    return [x[np.linspace(0, len(x) - 1, 200).astype(int)] for x in axes]


def _regression(facts: RunReport) -> Iterator[Chart]:
    """Draw what happened by twentieths of the prediction."""
    rows = facts.rows if facts.spec.task == "regression" else None
    parts = calibration_parts(rows.predicted, rows.actual, 20) if rows else []
    if len(parts) < 2:
        return
    x = [part[:, 0].mean() for part in parts]
    low, middle, high = np.transpose(
        [np.quantile(p[:, 1], [0.1, 0.5, 0.9]) for p in parts]
    )
    panel = _axes(xlabel="Predicted", ylabel="Actual")
    panel.plot(x, x, **_THIN, label="as predicted")
    panel.fill_between(
        x, low, high, color=NEW, alpha=0.2, linewidth=0, label="middle 80%"
    )
    panel.plot(x, middle, "o-", color=NEW, markersize=4, label="median")
    both = np.concatenate(parts)
    span, off = np.median(high - low), np.median(both[:, 0] - both[:, 1])
    alt = f"In twentieths of the prediction: the middle 80% of the rows span {number(span)}. "
    alt += f"The median of predicted minus actual is {signed(off)}."
    yield _chart("quality", "Predicted and actual", panel, alt)

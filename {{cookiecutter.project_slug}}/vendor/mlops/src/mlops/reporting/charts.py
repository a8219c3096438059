"""The charts of a report: SVG in the colours of the page.

They show aggregates, never a row. A chart that cannot be drawn is left out, with a
note: a report does not fail for a picture.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from mlops.reporting import words
from mlops.reporting.blocks import Chart
from mlops.reporting.calibration import equal_parts, positive_rows, tenths
from mlops.reporting.curves import precision_recall, roc
from mlops.reporting.run_report import RunReport
from mlops.reporting.words import clean, count, label, number, share, signed
from mlops.results.evaluation import Metric
from mlops.results.runs import Record

# Placeholders, replaced by the CSS variables of these names: one drawing is for light,
# dark, paper.
INK = "#000001"
MUTED = "#000002"
LINE = "#000003"
NEW = "#000004"
OLD = "#000005"
GOOD = "#000006"
BAD = "#000007"

_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    NEW: "new",
    OLD: "old",
    GOOD: "good",
    BAD: "bad",
}

_DROP = (
    r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    r'| id="[\w.]*[a-z]_\d+"|xlink:|\n\s+'
)

_THIN: dict[str, Any] = {"color": MUTED, "linewidth": 1, "linestyle": ":"}

# On top of matplotlib's own defaults, whatever the user has configured. The font comes
# with it, so that the layout is the same everywhere.
_STYLE: Any = {
    "figure.figsize": (6.4, 3.9),
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 2,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
}

# A drawing of larger numbers overflows in matplotlib's transforms.
_LARGEST = 1e150

_MOST_SLICES = 30
_MOST_FEATURES = 20


class Bar(NamedTuple):
    """One row of a forest plot: a value with its interval."""

    name: str
    low: float
    value: float
    high: float
    colour: str = NEW


Draw = Callable[[RunReport], Iterator[Chart]]


def charts(facts: RunReport) -> list[Chart]:
    """Return the charts that these facts allow; some 50 ms each."""
    parts: tuple[tuple[str, str, Draw], ...] = (
        ("quality", "Difference to the model in production", _differences),
        ("slices", "Quality by slice", _slices),
        ("importance", "What each feature adds", _importance),
        ("versions", "From version to version", _versions),
        ("quality", "ROC curve", _roc),
        ("quality", "Precision and recall", _precision_recall),
        ("quality", "Calibration", _calibration),
        ("quality", "Scores by outcome", _scores),
        ("quality", "Predicted and actual", _regression),
    )
    drawn: list[Chart] = []
    with style.context(["default", _STYLE]):
        for section, title, draw in parts:
            drawn += _safely(section, title, partial(_drawn, draw, facts))
    return drawn


def _safely(section: str, title: str, draw: Callable[[], list[Chart]]) -> list[Chart]:
    """Return drawings, or a note in the place of one that numbers made impossible."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return draw()
    except (ArithmeticError, ValueError, np.linalg.LinAlgError, MemoryError):
        note = "This chart could not be drawn: its numbers are out of range."
        return [Chart(_id(title), section, title, note, "")]


def side_by_side(records: Sequence[Record], names: Sequence[str]) -> list[Chart]:
    """Return a chart per metric: each run's interval, and a line at the first value.

    Parameters
    ----------
    names : sequence of str
        What each run is called.
    """
    by_name: dict[str, list[tuple[str, Metric]]] = {}
    for record, name in zip(records, names, strict=True):
        for metric in record.metrics:
            by_name.setdefault(metric.name, []).append((name, metric))
    drawn: list[Chart] = []
    with style.context(["default", _STYLE]):
        for metric_name, known in by_name.items():
            title = label(metric_name)
            drawn += _safely("metrics", title, partial(_runs, title, known))
    return drawn


def _drawn(draw: Draw, facts: RunReport) -> list[Chart]:
    return list(draw(facts))


def _runs(title: str, known: Sequence[tuple[str, Metric]]) -> list[Chart]:
    """Draw one metric of several runs."""
    first, metric = known[0]
    bars = [Bar(name, m.low, m.value, m.high) for name, m in known]
    panel = _forest(bars, metric.value)
    panel.locator_params(axis="x", nbins=6)
    better = "higher" if metric.higher_is_better else "lower"
    alt = (
        f"With its {share(metric.confidence)} CI; {better} is better. "
        f"The line is at {number(metric.value)}, the value of {first}."
    )
    return [_chart("metrics", title, panel, alt)]


# -- drawing ---------------------------------------------------------------------------


def _axes(height: float = 3.9, **labels: Any) -> Axes:
    """Return the axes of an empty figure 6.4 inches wide."""
    return Figure(figsize=(6.4, height)).subplots(subplot_kw=labels)


def _id(title: str) -> str:
    return title.lower().replace(" ", "-")


def _chart(section: str, title: str, panel: Axes, alt: str) -> Chart:
    """Return a drawing as one element with its caption, without unused ids."""
    if panel.get_legend_handles_labels()[0]:
        # Above the drawing, where it covers nothing.
        panel.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, ncols=3
        )
    figure = cast(Figure, panel.figure)
    file = io.StringIO()
    # The salt makes the ids inside the drawing the same each time, and those of this
    # chart alone.
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": title}):
        # The reader's fonts draw it, not ours.
        warnings.filterwarnings("ignore", "Glyph")
        _lay_out(figure)
        figure.savefig(file, format="svg", transparent=True)
    text = re.sub(_DROP, "", file.getvalue(), flags=re.DOTALL)
    root = rf'<svg \1 role="img" aria-labelledby="{_id(title)}">'
    head = r'^.*?<svg[^>]*?(viewBox="[^"]+")[^>]*>'
    text = re.sub(head, root, text, count=1, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return Chart(_id(title), section, title, alt, text)


def _lay_out(figure: Figure) -> None:
    """Find the place of everything, measured as an SVG writes it.

    A figure that has a layout engine of its own is drawn once more when it is saved.
    """
    FigureCanvasSVG(figure)
    ConstrainedLayoutEngine().execute(figure)


def _forest(bars: Sequence[Bar], line: float) -> Axes:
    """Draw an interval per row, the first on top."""
    _require_drawable([x for bar in bars for x in (bar.low, bar.value, bar.high)])
    panel = _axes(0.8 + 0.33 * len(bars), ylim=(len(bars) - 0.5, -0.5))
    panel.axvline(line, color=INK, linewidth=1)
    for y, bar in enumerate(bars):
        panel.plot([bar.low, bar.high], [y, y], color=bar.colour, solid_capstyle="butt")
        mark = "s" if bar.colour == BAD else "o"
        panel.plot([bar.value], [y], mark, color=bar.colour, markersize=6.5)
    panel.set_yticks(range(len(bars)), [clean(bar.name, 30) for bar in bars])
    panel.tick_params(axis="y", length=0, labelcolor=INK)
    panel.grid(axis="y", visible=False)
    return panel


def _require_drawable(numbers: Any) -> None:
    """Raise OverflowError where a number is too large for a drawing."""
    values = np.asarray(numbers, dtype=float)
    if not np.isfinite(values).all() or (np.abs(values) > _LARGEST).any():
        raise OverflowError("numbers that cannot be drawn")


# -- against production, and by slice --------------------------------------------------


def _differences(facts: RunReport) -> Iterator[Chart]:
    """Draw challenger minus champion by metric, each on its own scale: units differ."""
    verdict = facts.verdict
    if not verdict or not verdict.comparison:
        return
    every = (verdict.comparison, *verdict.others)
    margin = 0.0
    if verdict.rule == "non-inferiority":
        margin = facts.spec.gate.margin if verdict.margin is None else verdict.margin
    reach = [max(abs(c.low), abs(c.high)) or 1.0 for c in every]
    reach[0] = max(reach[0], margin)
    bars = []
    for c, most in zip(every, reach, strict=True):
        colour = MUTED
        if c.low > 0:
            colour = GOOD
        elif c.high < 0:
            colour = BAD
        low, middle, high = (x / most for x in (c.low, c.difference, c.high))
        bars.append(Bar(label(c.metric), low, middle, high, colour))
    panel = _forest(bars, 0)
    panel.set(xlim=(-1.12, 1.12), xticks=[])
    panel.set_xlabel(
        "\u2190 production is better\u2003\u2003this model is better \u2192"
    )
    for y, c in enumerate(every):
        ends = words.difference_interval(c.low, c.high)
        text = f"{signed(c.difference)} ({ends})"
        panel.text(1.18, y, text, va="center", color=MUTED, fontsize=11)
    alt = (
        "Each metric on a scale of its own, with its interval; right of the line is "
        "better."
    )
    if margin:
        panel.vlines(-margin / reach[0], -0.45, 0.45, color=BAD, linestyle=":")
        alt += f" Dotted: the loss of {number(margin)} that is accepted."
    yield _chart("quality", "Difference to the model in production", panel, alt)


def _slices(facts: RunReport) -> Iterator[Chart]:
    """Draw the primary metric by slice, those below the threshold first."""
    result = facts.evaluation
    if not result:
        return
    known = [(part, part.metric) for part in result.slices if part.metric]
    if not known:
        return
    known = sorted(known, key=lambda pair: pair[0].ok)[:_MOST_SLICES]
    bars = []
    for part, m in known:
        colour = NEW if part.ok else BAD
        name = f"{part.column} = {part.value}"
        bars.append(Bar(name, m.low, m.value, m.high, colour))
    panel = _forest(bars, result.primary.value)
    metric = label(result.primary.name, facts.spec.metrics.unit)
    panel.set_xlabel(f"{metric}; the line is that of all {result.part} rows")
    failed = sum(not part.ok for part, _ in known)
    alt = f"{failed or 'None'} of {count(len(known), 'slice')} below the threshold."
    yield _chart("slices", "Quality by slice", panel, alt)


def _importance(facts: RunReport) -> Iterator[Chart]:
    """Draw what shuffling a feature costs, the dearest first."""
    found = facts.evaluation.importance if facts.evaluation else None
    if found is None or not found.features:
        return
    shown = found.features[:_MOST_FEATURES]
    bars = [Bar(one.feature, one.low, one.loss, one.high) for one in shown]
    panel = _forest(bars, 0)
    metric = label(found.metric, facts.spec.metrics.unit)
    panel.set_xlabel(f"{metric} lost when it is shuffled")
    first = shown[0]
    alt = f"Most: {clean(first.feature, 30)}, {signed(first.loss)}."
    if len(found.features) > len(shown):
        alt += f" The first {len(shown)} of {len(found.features)} features."
    yield _chart("importance", "What each feature adds", panel, alt)


def _versions(facts: RunReport) -> Iterator[Chart]:
    """Draw the primary metric of the versions before, and of this run."""
    tests = facts.evaluation
    if not facts.versions or tests is None or not tests.metrics:
        return
    last = tests.primary
    bars = [
        Bar(one.version, one.metric.low, one.metric.value, one.metric.high, OLD)
        for one in facts.versions
    ]
    bars.append(Bar("this run", last.low, last.value, last.high))
    panel = _forest(bars, last.value)
    panel.set_xlabel(f"{label(last.name, facts.spec.metrics.unit)}; the line: this run")
    better = "higher" if last.higher_is_better else "lower"
    alt = f"Each on its own test rows, with its interval; {better} is better."
    yield _chart("versions", "From version to version", panel, alt)


# -- binary ----------------------------------------------------------------------------


class _Scored(NamedTuple):
    """Test rows of a binary model: which are positive, and both models' scores."""

    positive: NDArray[np.bool_]
    score: NDArray[np.float64]
    champion: NDArray[Any] | None
    threshold: float


def _scored(facts: RunReport) -> _Scored | None:
    """Return the scores of the test rows; None where there is nothing to draw."""
    rows = facts.rows
    if facts.spec.task != "binary" or rows is None or rows.score is None:
        return None
    positive = positive_rows(facts, rows)
    if positive.all() or not positive.any():
        return None
    score = rows.score.astype(float)
    return _Scored(positive, score, rows.champion, facts.spec.metrics.threshold)


def _roc(facts: RunReport) -> Iterator[Chart]:
    scored = _scored(facts)
    if scored is None:
        return
    positive, score, champion, threshold = scored
    panel = _axes(xlabel="Negative rows called positive", ylabel="Positive rows found")
    if champion is not None:
        wrong, hits = roc(positive, champion)
        points = _few(wrong, hits)
        panel.plot(*points, "--", color=OLD, label="in production")
    wrong, hits = roc(positive, score)
    panel.plot(*_few(wrong, hits), "-", color=NEW, label="this model")
    panel.plot([0, 1], [0, 1], **_THIN)
    called = score >= threshold
    hit = float(called[positive].mean())
    false = float(called[~positive].mean())
    name = f"threshold {threshold:g}"
    panel.plot([false], [hit], "o", color=NEW, label=name, markersize=8)
    alt = (
        f"Of {count(len(positive), 'test row')}, at the threshold {threshold:g}: "
        f"{share(hit)} of the positive are found, {share(false)} of the negative are "
        "called positive by mistake."
    )
    yield _chart("quality", "ROC curve", panel, alt)


def _precision_recall(facts: RunReport) -> Iterator[Chart]:
    scored = _scored(facts)
    if scored is None:
        return
    positive, score, champion, _ = scored
    panel = _axes(
        xlabel="Recall: positive rows found", ylabel="Precision", ylim=(0, 1.03)
    )
    if champion is not None:
        precision, recall = precision_recall(positive, champion)
        points = _few(recall, precision)
        panel.plot(*points, "--", color=OLD, label="in production")
    precision, recall = precision_recall(positive, score)
    points = _few(recall, precision)
    panel.plot(*points, "-", color=NEW, label="this model")
    rate = float(positive.mean())
    panel.axhline(rate, **_THIN)
    half = share(precision[recall >= 0.5][-1])
    alt = (
        f"Where half of the positive are found, precision is {half}; "
        f"{share(rate)} of all rows are positive (dotted)."
    )
    yield _chart("quality", "Precision and recall", panel, alt)


def _calibration(facts: RunReport) -> Iterator[Chart]:
    if _scored(facts) is None:
        return
    parts = tenths(facts)
    predicted = [t.predicted for t in parts]
    panel = _axes(xlabel="Predicted probability", ylabel="Happened")
    panel.plot([0, 1], [0, 1], **_THIN)
    panel.vlines(predicted, [t.low for t in parts], [t.high for t in parts], NEW)
    panel.plot(predicted, [t.happened for t in parts], "o-", color=NEW)
    worst = max(parts, key=lambda t: abs(t.predicted - t.happened))
    alt = (
        "In tenths of the rows, by score: furthest off where "
        f"{share(worst.predicted)} was predicted and {share(worst.happened)} happened."
    )
    yield _chart("quality", "Calibration", panel, alt)


def _scores(facts: RunReport) -> Iterator[Chart]:
    scored = _scored(facts)
    if scored is None:
        return
    positive, score, _, threshold = scored
    panel = _axes(xlabel="Score", ylabel="Share of the rows", xlim=(0, 1))
    _histogram(panel, score[~positive], OLD, "--", "negative")
    _histogram(panel, score[positive], NEW, "-", "positive")
    panel.axvline(threshold, color=INK, linewidth=1, label="threshold")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    low = number(float(np.median(score[~positive])))
    high = number(float(np.median(score[positive])))
    alt = f"The median is {high} for positive and {low} for negative rows."
    yield _chart("quality", "Scores by outcome", panel, alt)


def _histogram(
    panel: Axes, score: NDArray[Any], colour: str, dashes: str, name: str
) -> None:
    heights, edges = np.histogram(score, 40, (0, 1))
    panel.stairs(
        heights / len(score),
        edges,
        fill=True,
        facecolor=(colour, 0.22),
        edgecolor=colour,
        linestyle=dashes,
        linewidth=1.6,
        label=name,
    )


def _few(*axes: NDArray[Any]) -> list[NDArray[Any]]:
    """Return 200 points of a curve, both ends among them."""
    return [x[np.linspace(0, len(x) - 1, 200).astype(int)] for x in axes]


# -- regression ------------------------------------------------------------------------


def _regression(facts: RunReport) -> Iterator[Chart]:
    """Draw what happened by twentieths of the prediction."""
    if facts.spec.task != "regression" or facts.rows is None:
        return
    parts = equal_parts(facts.rows.predicted, facts.rows.actual, 20)
    if len(parts) < 2:
        return
    _require_drawable(np.concatenate(parts))
    x = [part[:, 0].mean() for part in parts]
    quantiles = [np.quantile(part[:, 1], [0.1, 0.5, 0.9]) for part in parts]
    low, middle, high = np.transpose(quantiles)
    panel = _axes(xlabel="Predicted", ylabel="Actual")
    panel.plot(x, x, label="as predicted", **_THIN)
    panel.fill_between(
        x, low, high, color=NEW, alpha=0.2, linewidth=0, label="middle 80%"
    )
    panel.plot(x, middle, "o-", color=NEW, markersize=4, label="median")
    both = np.concatenate(parts)
    width = float(np.median(high - low))
    off = float(np.median(both[:, 0] - both[:, 1]))
    alt = (
        "In twentieths of the prediction: the middle 80% of the rows span "
        f"{number(width)}. The median of predicted minus actual is {signed(off)}."
    )
    yield _chart("quality", "Predicted and actual", panel, alt)

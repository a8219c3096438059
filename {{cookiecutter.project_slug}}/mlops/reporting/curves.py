"""Charts of the test rows, one kind per task. Only aggregates are drawn, never a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops.reporting.canvas import BAD, INK, MUTED, NEW, OLD, Chart, axes, key, named_rows
from mlops.reporting.facts import Everything, Rows
from mlops.reporting.words import clean, count, number, share, signed

if TYPE_CHECKING:
    from numpy.typing import NDArray


def curves(facts: Everything) -> Iterator[Chart]:
    """Draw what the task allows; nothing where there are no rows."""
    draw = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
    if facts.rows is not None and len(facts.rows.actual) > 1:
        yield from draw[facts.spec.task](facts, facts.rows)


def _binary(facts: Everything, rows: Rows) -> Iterator[Chart]:
    """Draw ROC, precision against recall, calibration, and scores by outcome."""
    import numpy as np

    signature = facts.training.signature if facts.training else None
    label_ = signature.positive if signature else str(facts.spec.data.positive)
    yes = np.asarray(rows.actual).astype(str) == label_
    if rows.score is None or not 0 < yes.sum() < len(yes):
        return
    score = np.asarray(rows.score, dtype=float)
    threshold, rate = facts.spec.metrics.threshold, float(yes.mean())
    roc, left = axes()
    curve, right = axes()
    for values, colour, name in ((rows.champion, OLD, "in production"), (score, NEW, "this model")):
        if values is not None:
            style = {"color": colour, "label": name, "linestyle": "--" if colour == OLD else "-"}
            hits, wrong = _ranked(yes, np.asarray(values, dtype=float))
            left.plot([0, *wrong / (~yes).sum()], [0, *hits / yes.sum()], **style)
            recall, precision = hits / yes.sum(), hits / (hits + wrong)
            right.plot(recall, precision, **style)
    called = score >= threshold
    found, false = float(called[yes].mean()), float(called[~yes].mean())
    left.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    left.plot([false], [found], "o", color=NEW, label=f"threshold {threshold:g}", markersize=8)
    left.set(xlabel="Negative rows called positive", ylabel="Positive rows found")
    key(left)
    alt = (
        f"Of {count(len(yes), 'test row')}, at the threshold {threshold:g}: {share(found)} of the "
    )
    alt += f"positive are found, {share(false)} of the negative are called positive by mistake."
    yield Chart("quality", "ROC curve", roc, alt)

    right.axhline(rate, color=MUTED, linewidth=1, linestyle=":")
    right.set(xlabel="Recall: positive rows found", ylabel="Precision", ylim=(0, 1.03))
    key(right)
    half = float(precision[min(np.searchsorted(recall, 0.5), len(recall) - 1)])
    alt = f"Where half of the positive are found, precision is {share(half)}; "
    alt += f"{share(rate)} of all rows are positive (dotted)."
    yield Chart("quality", "Precision and recall", curve, alt)
    yield _calibration(score, yes, "Calibration")

    figure, panel = axes()
    edges = np.linspace(0, 1, 41)
    for chosen, colour, name in ((~yes, OLD, "negative"), (yes, NEW, "positive")):
        heights = np.histogram(score[chosen], edges)[0] / chosen.sum()
        panel.stairs(heights, edges, fill=True, color=colour, alpha=0.22)
        line = "--" if colour == OLD else "-"
        panel.stairs(heights, edges, color=colour, linewidth=1.6, label=name, linestyle=line)
    panel.axvline(threshold, color=INK, linewidth=1, label="threshold")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    panel.set(xlabel="Score", ylabel="Share of the rows", xlim=(0, 1))
    key(panel)
    low, high = (number(float(np.median(score[chosen]))) for chosen in (~yes, yes))
    alt = f"The median is {high} for positive and {low} for negative rows."
    yield Chart("quality", "Scores by outcome", figure, alt)


def _ranked(yes: NDArray[Any], score: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return true and false positives at up to 200 thresholds, from the highest score on."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, 200).astype(int))]
    hits = np.cumsum(yes[order])[ends]
    return hits, ends + 1 - hits


def _calibration(score: NDArray[Any], happened: NDArray[Any], title: str) -> Chart:
    """Draw what was promised against what happened in ten bins, with Wilson's 95% intervals."""
    import numpy as np

    bins = np.clip((score * 10).astype(int), 0, 9)
    counts = np.bincount(bins, minlength=10)
    n = counts[counts > 0]
    promised = np.bincount(bins, score, 10)[counts > 0] / n
    rate = np.bincount(bins, happened, 10)[counts > 0] / n
    z = 1.96
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    figure, (panel, below) = axes(nrows=2, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    panel.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    panel.vlines(promised, middle - half, middle + half, color=NEW, linewidth=1.5)
    panel.plot(promised, rate, "o-", color=NEW, markersize=5)
    panel.set(ylabel="Happened", ylim=(-0.03, 1.03))
    below.bar(np.arange(10) / 10 + 0.05, counts, width=0.085, color=NEW, alpha=0.55)
    below.set(xlabel="Predicted probability", ylabel="Rows", xlim=(0, 1))
    below.yaxis.set_major_formatter(lambda v, _: f"{v / 1000:g}k" if v >= 1000 else f"{v:g}")
    below.locator_params(axis="y", nbins=2)
    below.grid(axis="x", visible=False)
    worst = int(np.argmax(np.abs(promised - rate)))
    alt = f"In ten bins, with counts: furthest off where {share(promised[worst])} was "
    alt += f"predicted and {share(rate[worst])} happened ({count(int(n[worst]), 'row')})."
    return Chart("quality", title, figure, alt)


def _multiclass(facts: Everything, rows: Rows) -> Iterator[Chart]:
    """Draw which share of each class is taken for which (the ten largest), and calibration."""
    import numpy as np

    actual, predicted = (np.asarray(x).astype(str) for x in (rows.actual, rows.predicted))
    names, counts = np.unique(actual, return_counts=True)
    names = np.sort(names[np.argsort(-counts, kind="stable")[:10]])
    figure, panel = axes(max(3.9, 1.1 + 0.42 * len(names)), 0.26)
    for y, name in enumerate(names):
        for x, other in enumerate(names):
            part = float((predicted[actual == name] == other).mean())
            colour, depth = NEW if x == y else BAD, 0.55 * part + 0.04
            panel.bar(x, 0.94, 0.94, y - 0.47, color=colour, alpha=depth)
            panel.text(x, y, share(round(part, 2)), ha="center", va="center", fontsize=11)
    named_rows(panel, [clean(name, 16) for name in names])
    panel.set_xticks(range(len(names)), [clean(name, 50 // len(names) + 3) for name in names])
    panel.set(xlabel="Predicted", ylabel="Actual")
    panel.grid(visible=False)
    panel.tick_params(axis="x", length=0, labelcolor=INK)
    right = [f"{clean(n, 30)} {share(float((predicted[actual == n] == n).mean()))}" for n in names]
    alt = f"Share of each class that is recognised: {', '.join(right)}."
    yield Chart("quality", "Which class is taken for which", figure, alt)
    if rows.score is not None:
        score = np.asarray(rows.score, dtype=float)
        yield _calibration(score, actual == predicted, "Calibration of the chosen class")


def _regression(facts: Everything, rows: Rows) -> Iterator[Chart]:
    """Draw what happened by twentieths of the prediction, and how the errors lie."""
    import numpy as np

    both = np.column_stack([rows.actual, rows.predicted]).astype(float)
    actual, predicted = both[np.isfinite(both).all(axis=1)].T
    if len(actual) < 2:
        return
    parts = np.array_split(np.argsort(predicted, kind="stable"), min(20, len(actual)))
    x = [predicted[part].mean() for part in parts]
    low, middle, high = np.array([np.quantile(actual[part], [0.1, 0.5, 0.9]) for part in parts]).T
    figure, panel = axes(left=0.16)
    ends = [min(x), max(x)]
    panel.plot(ends, ends, color=INK, linewidth=1, linestyle=":", label="as predicted")
    panel.fill_between(x, low, high, color=NEW, alpha=0.2, linewidth=0, label="middle 80%")
    panel.plot(x, middle, "o-", color=NEW, markersize=4, label="median")
    panel.set(xlabel="Predicted", ylabel="Actual")
    key(panel)
    span = number(float(np.median(high - low)))
    alt = f"In twentieths of the prediction: the middle 80% of the rows span {span}."
    yield Chart("quality", "Predicted and actual", figure, alt)

    errors = predicted - actual
    low, middle, high = (float(q) for q in np.quantile(errors, [0.005, 0.5, 0.995]))
    figure, panel = axes(left=0.16)
    heights, edges = np.histogram(errors[(errors >= low) & (errors <= high)], 40)
    panel.stairs(heights, edges, fill=True, color=NEW, alpha=0.55)
    panel.axvline(0, color=INK, linewidth=1)
    panel.set(xlabel="Predicted minus actual (99% of the rows)", ylabel="Rows")
    alt = f"The median is {signed(middle)}, 99% lie in {signed(low)} to {signed(high)}."
    yield Chart("quality", "Errors", figure, alt)

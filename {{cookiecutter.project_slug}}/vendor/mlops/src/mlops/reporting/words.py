"""Numbers, labels and dates as text.

Nothing is escaped here, and nothing heavy is imported.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from mlops.errors import counted

count = counted

# What a metric is called, and what it means to somebody who does not program.
METRICS = {
    "roc_auc": ("ROC AUC", "how often a positive row is scored above a negative one"),
    "average_precision": ("Average precision", "precision, averaged over all recalls"),
    "accuracy": ("Accuracy", "share of right answers"),
    "balanced_accuracy": (
        "Balanced accuracy",
        "share of right answers, each class counting alike",
    ),
    "f1": ("F1", "balance of precision and recall"),
    "f2": ("F2", "balance of precision and recall, recall counting more"),
    "f0_5": ("F0.5", "balance of precision and recall, precision counting more"),
    "mcc": (
        "Matthews correlation",
        "how far decisions and truth go together: 0 by chance, 1 always",
    ),
    "precision": ("Precision", "share of those called positive that are"),
    "recall": ("Recall", "share of the positive that are found"),
    "macro_f1": (
        "Macro F1",
        "balance of precision and recall, each class counting alike",
    ),
    "roc_auc_ovr": (
        "ROC AUC, one class against the rest",
        "how often a row of a class is scored above one of another class",
    ),
    "roc_auc_ovo": (
        "ROC AUC, class against class",
        "how often the scores put two rows of two classes in the right order",
    ),
    "top_2_accuracy": (
        "Top-2 accuracy",
        "share of rows whose class is among the two most probable ones",
    ),
    "top_3_accuracy": (
        "Top-3 accuracy",
        "share of rows whose class is among the three most probable ones",
    ),
    "top_5_accuracy": (
        "Top-5 accuracy",
        "share of rows whose class is among the five most probable ones",
    ),
    "log_loss": ("Log loss", "penalty for probabilities that were wrong"),
    "brier": ("Brier score", "mean squared error of the probabilities"),
    "mae": ("Mean absolute error", "how far off a prediction is on average"),
    "median_ae": ("Median absolute error", "half of the predictions are less far off"),
    "mape": (
        "Mean absolute percentage error",
        "how far off a prediction is on average, as a share of the true value",
    ),
    "smape": (
        "Symmetric percentage error",
        "how far off a prediction is on average, as a share of the mean of both values",
    ),
    "pinball_10": (
        "Pinball loss at 10 %",
        "penalty for a value that one in ten should lie below",
    ),
    "pinball_90": (
        "Pinball loss at 90 %",
        "penalty for a value that nine in ten should lie below",
    ),
    "rmse": ("Root mean squared error", "how far off, large errors counting more"),
    "r2": ("R²", "share of the variation that is explained"),
    "value": (
        "Value per row",
        "what the decisions are worth, by the amounts, or the function, in model.yaml",
    ),
}

# What happened, by what a tag decides.
EVENTS = {
    "register": "registered {version}",
    "deregister": "withdrew {version}",
    "assign": "put {version} into {stage}",
    "unassign": "took {version} out of {stage}",
    "reject": "rejected {version} for {stage}",
    "deprecate": "retired the model",
}

NONE = "\u2013"

MINUS = "\u2212"

_CUT_AT_MOST = 5  # a fifth of a line may be given up for its end to be a word's


def marked(happened: str, problem: str) -> str:
    """Return what happened, marked where the engine has something against it.

    Parameters
    ----------
    problem : str
        As `mlops.registry.approvals` says it; empty where there is none.
    """
    if not problem:
        return happened
    mark = "not verified"
    if "approval" in problem:
        mark = "without approval"
    elif "by hand" in problem:
        mark = "made by hand"
    return f"{happened} ({mark})"


def clean(text: object, most: int = 300) -> str:
    """Return text as one printable line of at most `most` characters.

    Line breaks become spaces; what controls a terminal or the direction of text is
    dropped. What is too long ends after a whole word, where one ends near the limit.
    """
    line = " ".join(str(text)[: 4 * most].split())
    if not line.isprintable():
        line = " ".join("".join(c for c in line if c.isprintable()).split())
    if len(line) <= most:
        return line
    ends = line.rfind(" ", most - 1 - most // _CUT_AT_MOST, most)
    cut = line[: ends if ends > 0 else most - 1]
    return f"{cut.rstrip()}…"


def quoted(text: object, most: int = 40) -> str:
    """Return a name or a value of the data in quotation marks.

    Backticks are no marks: each output escapes them, and a reader sees them raw.
    """
    return f"\u201c{clean(text, most)}\u201d"


def label(metric: str, unit: str = "") -> str:
    """Return what a metric is called, with a capital first letter.

    Parameters
    ----------
    metric : str
    unit : str
        Of the metric `value`, as model.yaml names it; the others have none.
    """
    if metric == "value" and unit:
        return f"{METRICS[metric][0]} ({clean(unit, 20)})"
    if metric in METRICS:
        return METRICS[metric][0]
    return metric.replace("_", " ").capitalize()


# Decimals by size: a reader uses about three digits.
_DECIMALS = ((1000.0, 0), (100.0, 1), (10.0, 2), (0.0, 3))

_SMALLEST = 0.0005  # below it, three decimals would be none

_LARGEST = 1e15  # from here on the digits of a float are not its own


def number(value: float | None) -> str:
    """Return a figure with the digits that a reader can use."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    if 0 < size < _SMALLEST:
        return f"{value:.1g}".replace("-", MINUS)
    if size >= _LARGEST:
        return f"{value:.3g}".replace("-", MINUS)
    digits = next(decimals for least, decimals in _DECIMALS if size >= least)
    if size >= 10 and float(value).is_integer():
        digits = 0
    shown = value + 0.0  # there is no minus before nothing
    return f"{shown:,.{digits}f}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """Return a difference, with its sign."""
    text = number(value)
    if value is not None and 0 < value < math.inf:
        return f"+{text}"
    return text


def interval(low: float, high: float) -> str:
    """Return the ends of an interval of a figure."""
    return f"{number(low)} to {number(high)}"


FEW = "rests on few rows"


def caution(few: bool) -> str:
    """Return what stands beside an interval that few rows decide."""
    return f", {FEW}" if few else ""


def difference_interval(low: float, high: float) -> str:
    """Return the ends of an interval of a difference, with their signs."""
    return f"{signed(low)} to {signed(high)}"


def share(value: float) -> str:
    """Return a share as a percentage; never 0% or 100% for what is only near it."""
    if 0 < value < 0.001:
        return "<0.1%"
    if 0.999 < value < 1:
        return ">99.9%"
    return f"{value:.1%}".replace(".0%", "%")


def when(seconds: int) -> str:
    """Return a moment in UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "minutes")[:16]


def duration(seconds: float) -> str:
    """Return a time span, such as ``0.4 s`` or ``3 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest} s"


def money(amount: float, currency: str) -> str:
    """Return an amount; what is less than a cent says so."""
    if 0 < amount < 0.01:
        return f"under 0.01 {currency}"
    return f"{amount:,.2f} {currency}"


def span(ends: tuple[str, str]) -> str:
    """Return a period; one day or year only once, and no hours where there are none."""
    return " to ".join(dict.fromkeys(end.removesuffix("T00:00:00") for end in ends))


def listed(texts: list[str], most: int = 3, length: int = 240) -> str:
    """Return sentences as one, the tail counted.

    Parameters
    ----------
    most : int
        Of the sentences.
    length : int
        Of one of them, in characters.
    """
    parts = [clean(text, length).rstrip(".") for text in texts[:most]]
    if len(texts) > most:
        parts.append(f"and {len(texts) - most} more")
    sentence = "; ".join(parts)
    return sentence if sentence.endswith("\u2026") else f"{sentence}."

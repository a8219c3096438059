"""Performance on the rows of the window that have a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from scipy.stats import norm

from mlops.config.model_spec import ModelSpec
from mlops.errors import UsageError
from mlops.evaluation.intervals import measure
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import outcome
from mlops.results.evaluation import Metric
from mlops.results.monitoring import Performance
from mlops.results.training import Signature


class Performed(NamedTuple):
    """The metrics that could be compared, and why others could not."""

    compared: list[Performance]
    notes: list[str]


def perform(
    spec: ModelSpec,
    signature: Signature,
    registered: Sequence[Metric],
    log: pd.DataFrame,
) -> Performed:
    """Compare the primary metric, and the business value, with what was registered.

    The alarm takes the error of both figures into account: every second window is
    merely below the registered value. With two metrics each is tested at half of alpha.

    Parameters
    ----------
    registered : sequence of Metric
        As the version had them when it was registered.
    log : DataFrame, shape (n_rows, n_columns)
        Outputs and ``label``.

    Returns
    -------
    Performed
        Empty below `monitor.min_rows` labels, or where these do not define a metric
        (one class only).
    """
    known = log[log["label"].notna()].reset_index(drop=True)
    if len(known) < spec.monitor.min_rows:
        return Performed([], [])
    kind = "float64" if spec.task == "regression" else "str"
    labels = known["label"].astype(kind)
    seen = outcome(signature, labels, known, amounts=spec.metrics.value)
    wanted = (spec.metrics.primary, "value")
    watched = [
        m for m in registered if m.name in wanted and not undefined(m.name, seen)
    ]
    compared = []
    notes = []
    for then in watched:
        try:
            now = measure(then.name, seen)
        except UsageError as error:  # a label of 1e308: no reason to lose the rest
            notes.append(f"{then.name} of the window: {error.problems[0].what}")
            continue
        p = worse(now, then)
        compared.append(
            Performance(
                rows=len(known),
                window=now,
                reference=then,
                p_value=p,
                alarm=p <= spec.monitor.alpha / len(watched),
            )
        )
    return Performed(compared, notes)


def worse(now: Metric, then: Metric) -> float:
    """Return the one-sided p-value of `now` being no worse than `then`.

    The standard errors are those of their intervals, taken as normal.
    """
    gain = now.value - then.value
    if not now.higher_is_better:
        gain = -gain
    error = (_standard_error(now) ** 2 + _standard_error(then) ** 2) ** 0.5
    if not error:
        return 1.0 if gain >= 0 else 0.0
    return float(norm.cdf(gain / error))


def _standard_error(metric: Metric) -> float:
    quantile = norm.ppf(0.5 + metric.confidence / 2)
    return float((metric.high - metric.low) / (2 * quantile))

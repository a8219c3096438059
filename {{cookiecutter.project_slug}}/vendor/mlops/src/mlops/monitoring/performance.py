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

    The alarm takes the error of both figures into account: a window that is merely below the
    registered value would be one in two. With two metrics each is tested at half of alpha. There
    is no answer below `monitor.min_rows` labels, or where these cannot give one (one class only).
    """
    known = log[log["label"].notna()].reset_index(drop=True)
    if len(known) < spec.monitor.min_rows:
        return Performed([], [])
    kind = "float64" if spec.task == "regression" else "str"
    found = outcome(
        signature, known["label"].astype(kind), known, amounts=spec.metrics.value
    )
    watched = [m for m in registered if m.name in (spec.metrics.primary, "value")]
    watched = [m for m in watched if not undefined(m.name, found)]
    out = []
    notes = []
    for then in watched:
        try:
            now = measure(then.name, found)
        except UsageError as error:  # a label of 1e308: no reason to lose the rest
            notes.append(f"{then.name} of the window: {error.problems[0].what}")
            continue
        p = worse(now, then)
        alarm = p <= spec.monitor.alpha / len(watched)
        out.append(
            Performance(
                rows=len(known), window=now, reference=then, p_value=p, alarm=alarm
            )
        )
    return Performed(out, notes)


def worse(now: Metric, then: Metric) -> float:
    """Return the one-sided p-value of `now` being no worse than `then`, from both intervals."""
    loss = now.value - then.value if now.higher_is_better else then.value - now.value
    widths = [
        (m.high - m.low) / (2 * norm.ppf(0.5 + m.confidence / 2)) for m in (now, then)
    ]
    if not any(widths):
        return 1.0 if loss >= 0 else 0.0
    return float(norm.cdf(loss / sum(width**2 for width in widths) ** 0.5))

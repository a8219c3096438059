"""How much each feature matters: permutation importance on test rows.

For people who read a report; no check and no verdict uses it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import EvaluationContext, Outcome, sample
from mlops.results.evaluation import FeatureImportance, Importance
from mlops.training.model import Model

# Cells that are predicted at most: the time is about linear in them.
_MOST_CELLS = 500_000
_MOST_ROWS = 1_000
_FEWEST_ROWS = 100  # with fewer an interval says nothing


def importance(context: EvaluationContext, model: Model) -> Importance:
    """Return how much worse the primary metric is when one feature is shuffled.

    Each feature of `model.yaml` is shuffled among a sample of the test rows, the others
    stay (Breiman 2001). The interval is that of the paired difference on these rows,
    for this one shuffle. Features that say the same share their importance: either
    alone looks less important than it is.

    Parameters
    ----------
    context : EvaluationContext
        Its test rows; at most 1,000 are drawn, the same each time, and fewer where
        there are many features.
    model : Model

    Returns
    -------
    Importance
        The most important feature first. Without features, and with the reason, where
        there are too many of them for the test rows, or the model cannot predict rows
        that were shuffled.
    """
    names = list(context.spec.features)
    metric = context.spec.metrics.primary
    most = min(_MOST_ROWS, _MOST_CELLS // len(names) ** 2)
    rows = sample(len(context.test), most, context.spec.train.seed)
    if most < _FEWEST_ROWS:
        return Importance(metric=metric, problem="too many features")
    test = context.test.iloc[rows].reset_index(drop=True)
    as_it_is = context.predicted(model).iloc[rows].set_axis(test.index)
    before = context.outcome_of(model, test, as_it_is)
    if undefined(metric, before):
        return Importance(metric=metric, problem="too few test rows")
    try:
        found = _losses(context, model, test, before)
    except Exception as error:  # the model's own code, on rows that never were
        return Importance(metric=metric, problem=type(error).__name__)
    found.sort(key=lambda one: -one.loss)
    return Importance(metric=metric, rows=len(test), features=tuple(found))


def _losses(
    context: EvaluationContext, model: Model, test: pd.DataFrame, before: Outcome
) -> list[FeatureImportance]:
    """Return what shuffling each feature costs, in the order of `model.yaml`."""
    names = list(context.spec.features)
    rows = len(test)
    with threadpool_limits(1):
        predicted = model.predict(_shuffled(test, names, context.spec.train.seed))
    found = []
    for number, name in enumerate(names):
        part = predicted.iloc[number * rows : (number + 1) * rows]
        without = context.outcome_of(model, test, part.set_axis(test.index))
        lost = paired_difference(context.spec.metrics.primary, without, before)
        found.append(
            FeatureImportance(
                feature=name,
                loss=lost.difference,
                low=lost.low,
                high=lost.high,
                confidence=lost.confidence,
            )
        )
    return found


def _shuffled(test: pd.DataFrame, names: list[str], seed: int) -> pd.DataFrame:
    """Return the rows again for each feature, with that feature shuffled.

    One frame for all: a prediction costs most of its time per call.
    """
    rows = len(test)
    order = np.random.default_rng(seed).permutation(rows)
    positions = np.tile(np.arange(rows), len(names))
    columns = {}
    for number, name in enumerate(names):
        mine = positions.copy()
        mine[number * rows : (number + 1) * rows] = order
        columns[name] = test[name].take(mine).reset_index(drop=True)
    return pd.DataFrame(columns)

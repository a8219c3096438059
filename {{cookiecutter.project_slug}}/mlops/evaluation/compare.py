"""Two models on the same rows: the difference, its interval, its p-value; and two baselines."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.evaluation.intervals import quantile, standard_error, unseen_share
from mlops.evaluation.metrics import estimate, undefined
from mlops.evaluation.outcome import Bench, Outcome, sample
from mlops.results import Comparison
from mlops.spec import METRICS
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20_000  # that train a baseline, and that judge it
_POWER = 0.8416212335729143  # normal quantile of 80 % power


def compare(
    metric: str, champion: Outcome, challenger: Outcome, confidence: float = 0.95
) -> Comparison:
    """Compare two models by one metric on the same rows in the same order.

    The standard error of the difference comes from the rows' paired influence values, summed over
    clusters where there are any: for the AUC that is DeLong's test (1988; Obuchowski 1997). For
    the accuracy of independent rows p is that of the exact McNemar test and the interval that of
    Bonett and Price (2012), widened to hold 0 where the exact test does not reject it.

    Parameters
    ----------
    metric : str
        A name of `spec.METRICS` that is defined on these rows (see `metrics.undefined`).
    confidence : float
        Two-sided confidence of the interval: ``1 - alpha`` to decide about superiority (a useless
        change is promoted with a chance of alpha / 2), ``1 - 2 alpha`` to decide about
        non-inferiority (a loss as large as the margin passes with a chance of alpha).
    """
    from scipy.special import stdtr

    old, new = estimate(metric, champion), estimate(metric, challenger)
    difference = (1 if METRICS[metric][1] else -1) * (new.value - old.value)
    error, freedom = standard_error(new.influence - old.influence, champion.unit, old.scale)
    units = min(old.scarce, new.scarce, champion.units)
    unseen = unseen_share(confidence, units) * old.scale
    method = "DeLong" if metric == "roc_auc" else "paired influence values"
    if champion.unit is not None:
        method += f", {champion.units:,} clusters"
    centre = difference
    if all(
        np.array_equal(getattr(champion, said), getattr(challenger, said))
        for said in ("decision", "score")
    ):
        centre = difference = reach = 0.0
        p_value, detectable, method = 1.0, unseen, "identical predictions"
    elif metric == "accuracy" and champion.unit is None:
        centre, error, p_value = _mcnemar(champion, challenger)
        reach = quantile(confidence) * error
        detectable = reach + _POWER * error
        if p_value > 1 - confidence:
            reach = max(reach, abs(centre))
        method = "McNemar exact, interval of Bonett and Price"
    elif not error or units < 2:
        p_value, reach, detectable = 1.0, unseen, unseen
        method += ", no spread to be seen: bound by the rule of three"
    else:
        p_value = min(1.0, 2 * float(stdtr(freedom, -abs(difference / error))))
        reach = quantile(confidence, freedom) * error
        detectable = reach + _POWER * error
    return Comparison(
        metric=metric,
        champion=old.value,
        challenger=new.value,
        difference=difference,
        low=min(centre - reach, difference),
        high=max(centre + reach, difference),
        confidence=confidence,
        p_value=p_value,
        smallest_detectable=detectable,
        method=f"{method}; {confidence:.0%} interval",
    )


def _mcnemar(champion: Outcome, challenger: Outcome) -> tuple[float, float, float]:
    """Return Bonett and Price's centre and standard error, and McNemar's exact p."""
    from scipy.special import bdtr

    old, new = champion.truth == champion.decision, challenger.truth == challenger.decision
    lost, won = int(np.sum(old & ~new)), int(np.sum(new & ~old))
    n = len(old) + 2
    down, up = (lost + 1) / n, (won + 1) / n
    error = float(np.sqrt((up + down - (up - down) ** 2) / n))
    p_value = min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))
    return up - down, error, p_value


def baselines(bench: Bench, model: Model) -> tuple[dict[str, Comparison], str]:
    """Compare the model with `dummy` and `simple` by the primary metric.

    At most 20,000 rows, drawn with the seed of the specification, train them, and as many test
    rows judge them: enough to tell, and quick whatever the data's size.

    Returns
    -------
    dict of str to Comparison
        The baseline is the champion. Empty where the rows that were drawn cannot tell.
    str
        On how many rows they were trained and compared.
    """
    spec, train, test = bench.spec, bench.train, bench.test
    drawn = sample(len(train), MOST_ROWS, spec.train.seed)
    rows = sample(len(test), MOST_ROWS, spec.train.seed)
    target, judged = train[spec.data.target].to_numpy()[drawn], test.iloc[rows]
    ours, metric, compared = bench.outcome(model).take(rows), spec.metrics.primary, {}
    note = f"trained on {len(drawn):,} of {len(train):,} rows, compared on {len(rows):,}"
    if undefined(metric, ours) or len(np.unique(target)) < 2:
        return {}, note
    inputs = model.features(train.iloc[drawn])
    for name, pipeline in _pipelines(spec.task, metric).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that stops early is still a baseline
            pipeline.fit(inputs, target)
            classes = tuple(str(c) for c in getattr(pipeline, "classes_", ()))
            signature = model.signature.model_copy(update={"classes": classes})
            baseline = Model(model.name, signature, pipeline, model.features_source)
            theirs = bench.outcome_of(baseline, judged, baseline.predict(judged))
        compared[name] = compare(metric, theirs, ours)
    return compared, note


def _pipelines(task: str, metric: str) -> dict[str, Any]:
    """Return both baselines, not fitted; they see what the model's own features.py makes."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    words = OneHotEncoder(max_categories=30, handle_unknown="infrequent_if_exist")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    middle = "median" if metric == "mae" else "mean"
    dummy, learner = DummyClassifier(strategy="prior"), LogisticRegression(max_iter=200)
    if task == "regression":
        dummy, learner = DummyRegressor(strategy=middle), Ridge()
    return {"dummy": dummy, "simple": make_pipeline(FunctionTransformer(_plain), columns, learner)}


def _plain(features: pd.DataFrame) -> pd.DataFrame:
    """Return features as numbers and text: dates in years, infinities as missing."""
    plain = features.copy()
    for name, dates in features.select_dtypes(["datetime", "datetimetz"]).items():
        plain[name] = dates.dt.year + dates.dt.dayofyear / 366
    words = plain.select_dtypes(exclude="number").columns
    plain[words] = plain[words].astype("str")
    return plain.replace([np.inf, -np.inf], np.nan)

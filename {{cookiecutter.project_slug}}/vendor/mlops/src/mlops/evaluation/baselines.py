"""What a model is compared with: dummies and a plain pipeline."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from mlops.evaluation.compare import compare
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import EvaluationContext, sample
from mlops.evaluation.sweep import MOST_ROWS
from mlops.results.verdict import Comparison
from mlops.training.model import Model


def baselines(
    bench: EvaluationContext, model: Model
) -> tuple[dict[str, Comparison], str]:
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
    note = (
        f"trained on {len(drawn):,} of {len(train):,} rows, compared on {len(rows):,}"
    )
    if undefined(metric, ours) or len(np.unique(target)) < 2:
        return {}, note
    inputs = model.features(train.iloc[drawn])
    for name, pipeline in _pipelines(spec.task, metric).items():
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # a fit that stops early is still a baseline
            pipeline.fit(inputs, target)
            classes = tuple(str(c) for c in getattr(pipeline, "classes_", ()))
            signature = model.signature.model_copy(update={"classes": classes})
            baseline = Model(model.name, signature, pipeline, model.code)
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

    known = SimpleImputer(strategy="median", keep_empty_features=True)
    numbers = make_pipeline(known, StandardScaler())
    words = OneHotEncoder(max_categories=30, handle_unknown="infrequent_if_exist")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    middle = "median" if metric == "mae" else "mean"
    dummy, learner = DummyClassifier(strategy="prior"), LogisticRegression(max_iter=200)
    if task == "regression":
        dummy, learner = DummyRegressor(strategy=middle), Ridge()
    return {
        "dummy": dummy,
        "simple": make_pipeline(FunctionTransformer(_plain), columns, learner),
    }


def _plain(features: pd.DataFrame) -> pd.DataFrame:
    """Return features as numbers and text: dates in years, infinities as missing."""
    plain = features.copy()
    for name, dates in features.select_dtypes(["datetime", "datetimetz"]).items():
        plain[name] = dates.dt.year + dates.dt.dayofyear / 366
    words = plain.select_dtypes(exclude="number").columns
    plain[words] = plain[words].astype("str")
    return plain.replace([np.inf, -np.inf], np.nan)

"""What a model has to beat: a constant, and a linear model on the same features."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.evaluation.bench import Bench, sample
from mlops.evaluation.compare import compare
from mlops.evaluation.metrics import undefined
from mlops.results import Comparison
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20_000


@dataclass(frozen=True)
class Baseline:
    """A baseline and how the model compares with it.

    Parameters
    ----------
    name : {"dummy", "simple"}
    comparison : Comparison or None
        The baseline is the champion in it. None where the primary metric is not defined.
    note : str
        On how many rows it was trained and compared.
    """

    name: str
    comparison: Comparison | None
    note: str


def baselines(bench: Bench, model: Model) -> tuple[Baseline, ...]:
    """Compare the model with both baselines by the primary metric.

    At most 20,000 rows, drawn with the seed of the specification, train the linear model, and as
    many test rows judge it: enough to tell, and quick whatever the data's size.
    """
    seed = bench.spec.train.seed
    train, test = bench.train, bench.test
    learnt = train.iloc[sample(len(train), MOST_ROWS, seed)]
    rows = sample(len(test), MOST_ROWS, seed)
    judged = test.iloc[rows]
    ours = bench.outcome(model).take(rows)
    metric = bench.spec.metrics.primary
    note = f"trained on {len(learnt):,} of {len(train):,} rows, compared on {len(judged):,}"
    out = []
    for name, predict in (("dummy", _dummy), ("simple", _simple)):
        theirs = bench.outcome_of(model, judged, predict(bench, model, learnt, judged))
        known = not undefined(metric, ours)
        out.append(Baseline(name, compare(metric, theirs, ours) if known else None, note))
    return tuple(out)


def _dummy(bench: Bench, model: Model, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Predict the same for every row: shares of the classes; the median for mae, else the mean."""
    target = bench.train[bench.spec.data.target]
    if model.signature.task == "regression":
        middle = target.median() if bench.spec.metrics.primary == "mae" else target.mean()
        return _frame(model, np.full(len(test), middle), ())
    shares = target.value_counts(normalize=True).sort_index()
    return _frame(model, np.tile(shares.to_numpy(), (len(test), 1)), tuple(shares.index))


def _simple(bench: Bench, model: Model, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Fit logistic or ridge regression on what the model's own features.py makes."""
    from sklearn.linear_model import LogisticRegression, Ridge

    regression = model.signature.task == "regression"
    linear = _pipeline(Ridge() if regression else LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that stops early is still a baseline
        linear.fit(_plain(model.features(train)), train[bench.spec.data.target].to_numpy())
        inputs = _plain(model.features(test))
        if regression:
            return _frame(model, linear.predict(inputs), ())
        return _frame(model, linear.predict_proba(inputs), tuple(linear.classes_))


def _plain(features: pd.DataFrame) -> pd.DataFrame:
    """Return features as float and object columns: dates in days, infinities as missing."""
    import pandas as pd

    out = {}
    for name, column in features.items():
        if pd.api.types.is_datetime64_any_dtype(column):
            days = (column - pd.Timestamp(0, tz=column.dt.tz)) / pd.Timedelta(days=1)
            out[str(name)] = days.astype("float64")
        elif pd.api.types.is_numeric_dtype(column):
            numbers = column.astype("float64")
            out[str(name)] = numbers.where(np.isfinite(numbers))
        else:
            out[str(name)] = column.astype("object").where(column.notna(), "(missing)").map(str)
    return pd.DataFrame(out, index=features.index)


def _pipeline(learner: Any) -> Any:
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    words = OneHotEncoder(max_categories=30, handle_unknown="infrequent_if_exist")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, learner)


def _frame(model: Model, values: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return values in the shape of `Model.predict`; classes that were not learnt get 0."""
    import pandas as pd

    signature = model.signature
    if signature.task == "regression":
        return pd.DataFrame({"prediction": values})
    at = {label: i for i, label in enumerate(classes)}
    none = np.zeros(len(values))
    chances = {c: values[:, at[c]] if c in at else none for c in signature.classes}
    if signature.task == "multiclass":
        best = np.array(signature.classes, dtype=object)[
            np.argmax(np.column_stack(list(chances.values())), axis=1)
        ]
        return pd.DataFrame({"prediction": best, **{f"p_{c}": p for c, p in chances.items()}})
    positive = str(signature.positive)
    negative = next(c for c in signature.classes if c != positive)
    yes = chances[positive] >= signature.threshold
    return pd.DataFrame(
        {"prediction": np.where(yes, positive, negative), "score": chances[positive]}
    )

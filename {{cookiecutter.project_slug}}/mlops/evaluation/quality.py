"""How good a model is: on the test rows and groups of them, or, in a sweep, by cross-validation."""

from __future__ import annotations

import json
import time
import timeit
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mlops import UsageError
from mlops.data.dataset import Dataset
from mlops.evaluation.checks import Subject, own_tests, standard_checks
from mlops.evaluation.gate import compare
from mlops.evaluation.metrics import measure, undefined
from mlops.evaluation.outcome import Bench, Outcome, draw, sample
from mlops.project import Project, blaming
from mlops.results import Comparison, Evaluation, FairnessResult, Group, Metric, Slice, Training
from mlops.spec import METRICS, Fairness, ModelSpec, Scalar
from mlops.training.model import Model, fit

MOST_ROWS = 20_000  # that train a baseline, and that judge it
_MOST = 50  # groups of one column that are listed by name
FOLDS = 3


def evaluate(
    project: Project,
    name: str,
    spec: ModelSpec,
    dataset: Dataset,
    model: Model,
    champion: Model | None = None,
    bench: Bench | None = None,
) -> Evaluation:
    """Judge a trained model on the test part; write ``evaluation.json`` and the samples.

    The champion, the version in production, is for the model's own tests. A `bench` of the same
    specification and data, handed to `gate.decide` as well, saves predicting twice.

    Raises
    ------
    UsageError
        When the test part cannot carry a judgement (a class is absent, fewer than two rows or
        groups), or the model predicts something that is no number.
    """
    started = time.perf_counter()
    bench = bench or Bench(spec, dataset)
    names = dict.fromkeys((*spec.metric_names, *sorted(spec.checks.floor)))
    outcome = bench.outcome(model)
    # Few rows at a time: on a busy machine many threads only wait for each other.
    with threadpool_limits(1):
        compared, note = baselines(bench, model)
        found = Evaluation(
            ok=True,
            rows=len(outcome),
            metrics=tuple(measure(metric, outcome) for metric in names),
            baselines={baseline: c.champion for baseline, c in compared.items()},
            slices=slices(bench, model),
            fairness=fairness(bench, model),
            latency_ms=latency(model, bench.test.head(1)),
        )
        size = Training.load(project.build(name)).model_bytes / 1e6
        checks = standard_checks(Subject(bench, model, found, compared, note, size))
    checks += own_tests(project.root, project.folder(name) / "tests", bench, model, champion)
    ok, seconds = all(check.ok for check in checks), round(time.perf_counter() - started, 3)
    evaluation = found.model_copy(update={"ok": ok, "checks": tuple(checks), "seconds": seconds})
    draw(spec, model, bench.test, bench.predicted(model), project.build(name))
    evaluation.save(project.build(name))
    return evaluation


def latency(model: Model, row: pd.DataFrame) -> float:
    """Return the median time of a one-row prediction in milliseconds.

    A busy machine only ever adds time: of three medians the smallest counts.
    """
    times = timeit.repeat(lambda: model.predict(row), number=1, repeat=21)
    medians = np.median(np.reshape(times, (3, 7)), axis=1)
    return round(1000 * float(medians.min()), 2)


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
    return {"dummy": dummy, "simple": make_pipeline(FunctionTransformer(_plain), columns, learner)}


def _plain(features: pd.DataFrame) -> pd.DataFrame:
    """Return features as numbers and text: dates in years, infinities as missing."""
    plain = features.copy()
    for name, dates in features.select_dtypes(["datetime", "datetimetz"]).items():
        plain[name] = dates.dt.year + dates.dt.dayofyear / 366
    words = plain.select_dtypes(exclude="number").columns
    plain[words] = plain[words].astype("str")
    return plain.replace([np.inf, -np.inf], np.nan)


def slices(bench: Bench, model: Model) -> tuple[Slice, ...]:
    """Return the primary metric on every group of every slice column, largest group first.

    A slice is not ok when even the better end of its interval is worse than all rows together by
    more than `slices.max_drop`. Groups below `slices.min_rows`, and those on which the metric is
    not defined, are listed without a figure.
    """
    spec, metric = bench.spec.slices, bench.spec.metrics.primary
    everything, out = bench.outcome(model), []
    overall = measure(metric, everything).value
    for column in spec.columns:
        labels = group(bench.test[column])
        for value, rows in labels.value_counts().items():
            part = everything.take((labels == value).to_numpy())
            figure, ok = None, True
            if rows >= spec.min_rows and not undefined(metric, part):
                figure = measure(metric, part)
                drop = overall - figure.high if figure.higher_is_better else figure.low - overall
                ok = drop <= spec.max_drop
            out.append(Slice(column=column, value=value, rows=rows, metric=figure, ok=ok))
    return tuple(out)


def group(column: pd.Series) -> pd.Series:
    """Return the name of each row's group, as a categorical.

    Numbers and dates of more than ten values are cut at their quartiles; of text, the 50 most
    frequent values keep their names.
    """
    if column.dtype.kind in "fiMm" and column.nunique() > 10:
        shown = "{:%Y-%m-%d}" if column.dtype.kind == "M" else "{:g}"
        quarter, edges = pd.qcut(column, 4, labels=False, duplicates="drop", retbins=True)
        ends = [shown.format(edge) for edge in edges]
        spans = dict(enumerate(f"{a} to {b}" for a, b in pairwise(ends)))
        column = quarter.map(spans, na_action="ignore")
    elif column.dtype.kind == "f":
        column = column.map("{:g}".format, na_action="ignore")
    labels = column.astype("str").where(column.notna(), "(missing)")
    counts = labels.value_counts()
    if len(counts) > _MOST:
        rest = f"({len(counts) - _MOST:,} other values)"
        labels = labels.where(labels.isin(counts.index[:_MOST]), rest)
    return labels.astype("category")


def fairness(bench: Bench, model: Model) -> tuple[FairnessResult, ...]:
    """Return every limit of the specification with the figure of each group.

    The difference is that between the highest and the lowest group among those with at least
    `slices.min_rows` rows that count for the rate (positives for the true positive rate, say);
    smaller groups are listed, with that number of rows.

    Raises
    ------
    UsageError
        When a rate is not one of the model's task.
    """
    return tuple(_limit(bench, bench.outcome(model), limit) for limit in bench.spec.fairness)


def _limit(bench: Bench, o: Outcome, limit: Fairness) -> FairnessResult:
    tasks = METRICS[limit.metric][0] if limit.metric in METRICS else ("binary",)
    if o.task not in tasks:
        what, key = f"this rate does not exist for a {o.task} model", "fairness.metric"
        rates = "mae" if o.task == "regression" else "accuracy"
        raise UsageError(what, file="model.yaml", key=key, found=limit.metric, allowed=rates)
    groups = _rates(limit.metric, o, group(bench.test[limit.column]))
    fewest = bench.spec.slices.min_rows
    large = [g.value for g in groups if g.value is not None and g.rows >= fewest]
    difference = max(large) - min(large) if large else 0.0
    return FairnessResult(
        column=limit.column,
        metric=limit.metric,
        difference=difference,
        limit=limit.max_difference,
        ok=difference <= limit.max_difference or bool(limit.exception),
        measured=len(large) > 1,
        exception=limit.exception,
        groups=groups,
    )


def _rates(metric: str, o: Outcome, labels: pd.Series) -> tuple[Group, ...]:
    """Return a rate for each group, and how many rows it rests on (0: it has no meaning).

    fairlearn is handed each kind of row once with its number as a weight (for errors: each
    group's mean once): the figures are the same, at a hundredth of the time.
    """
    from fairlearn import metrics as fair
    from sklearn.metrics import accuracy_score, mean_absolute_error

    rows = pd.DataFrame({"group": labels, "truth": o.truth, "said": o.decision})
    if metric == "mae":
        error = (rows["said"] - rows["truth"]).abs()
        said = error.groupby(rows["group"], observed=True).transform("mean")
        rows = rows.assign(truth=0.0, said=said)
    elif metric.endswith("positive_rate"):
        rows = rows[rows["truth"] == int(metric == "true_positive_rate")]
    kinds = rows.value_counts().reset_index(name="rows").query("rows > 0")
    others = {"accuracy": accuracy_score, "mae": mean_absolute_error}
    values = fair.MetricFrame(
        metrics=others.get(metric) or getattr(fair, metric),
        y_true=kinds["truth"],
        y_pred=kinds["said"],
        sensitive_features=kinds["group"].astype("str"),
        sample_params={"sample_weight": kinds["rows"]},
    ).by_group
    counts = rows["group"].value_counts()
    return tuple(
        Group(name=name, rows=counts[name], value=values[name] if counts[name] else None)
        for name in labels.cat.categories
    )


def combinations(options: Sequence[str], most: int) -> list[dict[str, Scalar]]:
    """Return every combination of ``name=value,value`` options, the last one changing fastest."""
    grid: dict[str, list[Scalar]] = {}
    for option in options:
        name, _, values = option.partition("=")
        if not name or not values or name in grid:
            allowed = "NAME=VALUE,VALUE,..., each name once"
            raise UsageError("not parameters to try", key="-p", found=option, allowed=allowed)
        grid[name] = [_scalar(value) for value in values.split(",")]
    every = [dict(zip(grid, chosen, strict=True)) for chosen in product(*grid.values())]
    if len(every) > most:
        do = "leave some out, or raise --max"
        raise UsageError("too many combinations", found=str(len(every)), allowed=str(most), do=do)
    return every


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float) and not isfinite(value):
        raise UsageError("a parameter that is no finite number", key="-p", found=text)
    return text if isinstance(value, dict | list) else value


def cross_validate(
    project: Project, name: str, spec: ModelSpec, dataset: Dataset
) -> tuple[Training, tuple[Metric, ...]]:
    """Return how good `spec` is on the training part, and the training on all of that part.

    Each row is predicted by a model that has not seen it, nor its group (by time: nor anything
    later); all predictions are measured together. Nothing is written.
    """
    bench, digest = Bench(spec, dataset), dataset.snapshot.digest
    rows = bench.train
    with blaming(f"models/{name}/model.yaml"):  # too few groups to part them, say
        folds = list(_folds(spec, rows))
    model, training, _ = fit(project, name, spec, rows, digest)
    columns, said = list(model.predict(rows.head(1))), []
    for learn, ask in folds:
        part, *_ = fit(project, name, spec, rows.iloc[learn].reset_index(drop=True), digest)
        # A class that a fold's model never saw has no column there: its probability is zero.
        said.append(part.predict(rows.iloc[ask]).reindex(columns=columns, fill_value=0.0))
    predicted = pd.concat(said).sort_index()
    outcome = bench.outcome_of(model, rows.loc[predicted.index], predicted)
    return training, tuple(measure(metric, outcome) for metric in spec.metric_names)


def _folds(spec: ModelSpec, rows: pd.DataFrame) -> Iterator[Iterable[Any]]:
    """Yield positions to learn from and to predict, parted as `split` parts the test."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    if spec.split.by == "time":
        order = rows[spec.data.time].argsort(kind="stable").to_numpy()
        yield from ((order[a], order[b]) for a, b in TimeSeriesSplit(FOLDS).split(order))
    elif spec.split.by == "group":
        yield from GroupKFold(FOLDS).split(rows, groups=rows[spec.split.column].factorize()[0])
    else:
        kind = KFold if spec.task == "regression" else StratifiedKFold
        shuffled = kind(FOLDS, shuffle=True, random_state=spec.split.seed)
        yield from shuffled.split(rows, rows[spec.data.target])

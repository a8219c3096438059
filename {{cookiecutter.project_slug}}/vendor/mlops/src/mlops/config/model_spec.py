"""The specification of a model: `models/NAME/model.yaml` as a frozen object.

All mistakes are reported at once, each with file, key, what was found and what is
allowed. `model.schema.json` beside this file is the JSON Schema of the same classes,
for editors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlops.config.fields import (
    Amount,
    Encoding,
    Fraction,
    Label,
    Name,
    NotNegative,
    Param,
    Positive,
    Scalar,
    Seed,
    Source,
    Words,
)
from mlops.errors import Problem, UsageError, did_you_mean, listed

Task = Literal["binary", "multiclass", "regression"]

Kind = Literal["number", "category", "boolean", "date", "text"]


# By name: the tasks, and whether a higher value is better. `evaluation` computes them.
METRICS: dict[str, tuple[tuple[str, ...], bool]] = {
    "roc_auc": (("binary",), True),
    "average_precision": (("binary",), True),
    "accuracy": (("binary", "multiclass"), True),
    "balanced_accuracy": (("binary", "multiclass"), True),
    "f1": (("binary",), True),
    "precision": (("binary",), True),
    "recall": (("binary",), True),
    "macro_f1": (("multiclass",), True),
    "log_loss": (("binary", "multiclass"), False),
    "brier": (("binary", "multiclass"), False),
    "mae": (("regression",), False),
    "rmse": (("regression",), False),
    "r2": (("regression",), True),
    "value": (("binary",), True),
}


def outputs(task: Task, classes: Iterable[str] = ()) -> set[str]:
    """Return the names of a model's outputs, which no column of the data may have."""
    chances = {
        "binary": ["score"],
        "multiclass": [f"p_{c}" for c in classes],
        "regression": [],
    }
    return {"prediction", *chances[task]}


class Strict(BaseModel):
    """Frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Strict):
    """Where the rows come from and what their columns are."""

    source: Source = Field(description="Path or glob, relative to the model's folder.")
    labels: Source | None = Field(
        default=None,
        description="Path or glob of files with `id` and `target`, where labels arrive "
        "later.",
    )
    id: Name | None = Field(
        default=None, description="Column that identifies a row; never a feature."
    )
    target: Name = Field(description="Column that is predicted.")
    positive: Label = Field(
        default=None,
        description="Binary only: the value of the target that counts as positive.",
    )
    time: Name | None = Field(
        default=None, description="Column that orders rows in time."
    )
    ignore: tuple[Name, ...] = Field(
        default=(), description="Columns of the source that are not used."
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="CSV delimiter; detected where absent.",
    )
    encoding: Encoding = Field(default="utf-8", description="Encoding of text files.")
    decimal: Literal[".", ","] = Field(
        default=".", description="Decimal sign of numbers in text files."
    )
    formats: dict[Name, Name] = Field(
        default_factory=dict,
        description="Date column: how its text is written, such as %d.%m.%Y; ISO 8601 "
        "where absent. The same for training, prediction, labels and monitoring.",
    )
    drop_duplicates: bool = Field(
        default=True, description="Remove identical rows, and count them."
    )
    keep: bool = Field(
        default=False,
        description="Put the rows into each release where git does not hold the files; "
        "who may see the release may see them.",
    )


class Split(Strict):
    """Which rows are kept for the test; stable when rows are added."""

    by: Literal["random", "group", "time"] = "random"
    column: Name | None = Field(
        default=None, description="The group column; for `time`, `data.time`."
    )
    test: Fraction = Field(
        default=0.25, description="Share of the rows in the test part."
    )
    seed: Seed = 0

    @property
    def remedy(self) -> str:
        """What helps where a part has too few rows; by time no seed takes part."""
        seed = "" if self.by == "time" else " or split.seed"
        return f"add rows with a label, or change split.test{seed}"


class Train(Strict):
    """What `build(params)` in estimator.py is given."""

    params: dict[Name, Param] = Field(default_factory=dict)
    seed: Seed = 0


class Value(Strict):
    """What each outcome of a binary decision is worth, per row, in `unit`."""

    unit: Annotated[str, Field(min_length=1, max_length=20)] = "USD"
    true_positive: Amount = 0
    false_positive: Amount = 0
    true_negative: Amount = 0
    false_negative: Amount = 0


class Metrics(Strict):
    """What is measured."""

    primary: Name
    others: tuple[Name, ...] = ()
    threshold: Fraction = Field(
        default=0.5, description="Binary: score from which a row is positive."
    )
    value: Value | None = Field(
        default=None, description="Turns on the metric `value`."
    )


class Gate(Strict):
    """When a challenger replaces the champion."""

    rule: Literal["auto", "superiority", "non-inferiority"] = Field(
        default="auto",
        description="auto: non-inferiority when only the data changed, else "
        "superiority.",
    )
    margin: NotNegative = Field(
        default=0.01,
        description="Largest loss of the primary metric that non-inferiority accepts.",
    )
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05


class Slices(Strict):
    """Groups of rows on which quality must hold."""

    columns: tuple[Name, ...] = ()
    max_drop: NotNegative = Field(
        default=0.1,
        description="Largest loss of the primary metric against all rows, beyond its "
        "interval.",
    )
    min_rows: Annotated[int, Field(ge=2, le=10**9)] = 100


class Fairness(Strict):
    """One limit on the difference between groups of a sensitive column."""

    column: Name
    metric: Literal[
        "selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "mae"
    ]
    max_difference: NotNegative
    exception: Words | None = Field(
        default=None, description="Why a breach is accepted, in writing."
    )


class Directional(Strict):
    """Changing one column should move the score one way, on average over the test."""

    column: Name
    low: Scalar
    high: Scalar
    expect: Literal["increase", "decrease"]


class Checks(Strict):
    """The standard model checks; each can be tuned, none is silently absent."""

    floor: dict[Name, Amount] = Field(
        default_factory=dict, description="Metric: the worst value that is acceptable."
    )
    better_than: tuple[Literal["dummy", "simple"], ...] = ("dummy", "simple")
    invariant: tuple[Name, ...] = Field(
        default=(), description="Columns whose value must not change a prediction."
    )
    directional: tuple[Directional, ...] = ()
    latency_ms: Positive = Field(default=250, description="Median for one row.")
    size_mb: Positive = 100


class Monitor(Strict):
    """When the drift check raises an alarm."""

    alpha: Fraction = Field(
        default=0.05, description="Chance of a false alarm per check."
    )
    min_effect: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="Smallest Jensen-Shannon distance that matters."
    )
    min_rows: Annotated[int, Field(ge=20, le=10**9)] = 200
    sample: int = Field(
        default=5000, ge=100, le=10**9, description="Rows compared at the most."
    )


class ModelSpec(Strict):
    """Everything that one model is, apart from its code and data."""

    description: Words = ""
    task: Task
    owner: Name
    intended_use: Words
    limits: Words = Field(
        default="", description="What the model must not be used for."
    )
    risk: Literal["minimal", "limited", "high"] = "minimal"
    risk_reason: Words = ""
    data: Data
    features: dict[Name, Kind] = Field(min_length=1)
    sensitive: tuple[Name, ...] = Field(
        default=(), description="Columns for fairness; never shown in the clear."
    )
    split: Split = Split()
    train: Train = Train()
    metrics: Metrics
    gate: Gate = Gate()
    checks: Checks = Checks()
    slices: Slices = Slices()
    fairness: tuple[Fairness, ...] = ()
    monitor: Monitor = Monitor()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the source must have, labels of files of their own left out."""
        special = (self.data.id, self.data.time, self.split.column)
        names = [*(c for c in special if c), *self.features, *self.sensitive]
        if self.data.labels is None:
            names.append(self.data.target)
        return tuple(dict.fromkeys(names))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The primary metric, then the others, then `value` where it is declared."""
        declared = ("value",) if self.metrics.value else ()
        return tuple(
            dict.fromkeys((self.metrics.primary, *self.metrics.others, *declared))
        )

    @model_validator(mode="after")
    def _sense(self) -> Self:
        problems = list(_contradictions(self))
        if problems:
            raise UsageError(*problems)
        return self


def _contradictions(spec: ModelSpec) -> Iterator[Problem]:
    """Yield what is well-formed and yet makes no sense together."""
    yield from _features_that_tell(spec)
    yield from _names_of_outputs(spec)
    yield from _keys_that_others_need(spec)
    yield from _date_problems(spec)
    yield from _unknown_metrics(spec)
    yield from _unknown_columns(spec)


def _features_that_tell(spec: ModelSpec) -> Iterator[Problem]:
    """Yield the target and the identifier where they are features."""
    if spec.data.target in spec.features:
        yield Problem(
            "the target is also a feature: the model would see the answer",
            key="features",
            found=spec.data.target,
            do=f"remove `{spec.data.target}` from features",
        )
    if spec.data.id is not None and spec.data.id in spec.features:
        yield Problem(
            "data.id is also a feature: an identifier teaches nothing",
            key="features",
            found=spec.data.id,
            do=f"remove `{spec.data.id}` from features",
        )


def _names_of_outputs(spec: ModelSpec) -> Iterator[Problem]:
    """Yield columns that are named like an output of the model."""
    columns = {*spec.features, spec.data.target} - {*spec.sensitive}
    for column in sorted(outputs(spec.task) & columns):
        yield Problem(
            "this column is named like an output of the model",
            key="data.target" if column == spec.data.target else "features",
            found=column,
            do="rename the column",
        )


def _keys_that_others_need(spec: ModelSpec) -> Iterator[Problem]:
    """Yield the keys that what is there makes necessary."""
    data = spec.data
    metrics = (spec.metrics.primary, *spec.metrics.others)
    missing = []
    if spec.task == "binary" and data.positive is None:
        missing.append(("data.positive", "a binary model"))
    if "value" in metrics and spec.metrics.value is None:
        missing.append(("metrics.value", "`value`"))
    if spec.split.by == "group" and spec.split.column is None:
        missing.append(("split.column", "a split by group"))
    if spec.split.by == "time" and data.time is None:
        missing.append(("data.time", "a split by time"))
    if data.labels is not None and data.id is None:
        missing.append(("data.id", "joining labels that arrive apart"))
    for key, who in missing:
        yield Problem(
            f"{who} needs this key", key=key, found="nothing", do=f"add `{key}`"
        )


def _unknown_metrics(spec: ModelSpec) -> Iterator[Problem]:
    """Yield names that are not a metric of this kind of model."""
    allowed = [name for name, (tasks, _) in METRICS.items() if spec.task in tasks]
    for name in (*spec.metric_names, *spec.checks.floor):
        if name not in allowed:
            message = f"no metric of this name for a {spec.task} model"
            yield _unknown(message, "metrics", name, allowed)


def _unknown_columns(spec: ModelSpec) -> Iterator[Problem]:
    """Yield columns that something refers to and that the model does not have."""
    features = tuple(spec.features)
    checks = spec.checks
    uses: tuple[tuple[str, Iterable[str], tuple[str, ...]], ...] = (
        ("slices.columns", spec.slices.columns, spec.columns),
        ("fairness.column", (f.column for f in spec.fairness), spec.columns),
        ("checks.invariant", checks.invariant, features),
        ("checks.directional", (d.column for d in checks.directional), features),
    )
    undeclared: dict[str, list[str]] = {}
    for key, columns, known in uses:
        for column in columns:
            if column not in known:
                undeclared.setdefault(column, []).append(key)
    for column, keys in undeclared.items():
        yield _undeclared(spec, column, list(dict.fromkeys(keys)))


def _undeclared(spec: ModelSpec, column: str, keys: list[str]) -> Problem:
    """Return the problem of a column that keys name and that is not declared for them.

    Either name can be the wrong one: a slip under features (`agee`) shows first where
    the right name (`age`) is used.
    """
    pool = sorted(spec.columns)
    if any(key.startswith("checks") for key in keys):
        pool = sorted(spec.features)
    do = did_you_mean(column, pool)
    near = do.removeprefix("did you mean `").removesuffix("`?")
    if near:
        do += f" If the data has `{column}`, fix `{near}` where it is declared."
    else:
        do = f"declare `{column}` under features, or fix the name"
    return Problem(
        "no such column is declared",
        key=", ".join(keys),
        found=column,
        allowed=listed(pool, 20),
        do=do,
    )


def _date_problems(spec: ModelSpec) -> Iterator[Problem]:
    """Yield date formats that are none, or of no date, and a time that is not one."""
    time = spec.data.time
    kind = spec.features.get(time) if time else None
    if kind not in (None, "date", "number"):
        yield Problem(
            "the column that orders rows in time is not a date or a number",
            key="data.time",
            found=f"{time}: {kind} (features)",
            allowed="date, number",
            do=f"declare `{time}: date` under features, and its format under "
            "data.formats where it is not ISO 8601",
        )
    for column, written in spec.data.formats.items():
        key = f"data.formats.{column}"
        if column != time and spec.features.get(column) != "date":
            dates = [name for name, kind in spec.features.items() if kind == "date"]
            dates += [time] if time and time not in dates else []
            yield _unknown("this column is not a date", key, column, dates)
        if not _is_date_format(written):
            yield Problem(
                "this format does not give a date",
                key=key,
                found=written,
                allowed="directives of datetime.strptime with day, month and year, "
                "such as %d.%m.%Y",
            )


def _is_date_format(written: str) -> bool:
    """Return whether a day survives being written in this format and read again."""
    day = datetime(2001, 2, 3, tzinfo=UTC)
    try:
        read = datetime.strptime(day.strftime(written), written)
    except (ValueError, UnicodeError):
        return False
    return read.date() == day.date()


def _unknown(message: str, key: str, name: str, allowed: list[str]) -> Problem:
    """Return the problem of a name that is not one of those allowed."""
    return Problem(
        message,
        key=key,
        found=name,
        allowed=listed(allowed, 20),
        do=did_you_mean(name, allowed),
    )

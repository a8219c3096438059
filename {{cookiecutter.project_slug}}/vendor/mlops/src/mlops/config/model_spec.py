"""The specification of a model, `models/NAME/model.yaml`, read once into a frozen object.

A mistake is reported with file, key, what was found and what is allowed, all mistakes at once.
`model.schema.json` beside this file is the JSON Schema of the same classes, for editors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from mlops.errors import Problem, UsageError, did_you_mean, listed

Task = Literal["binary", "multiclass", "regression"]

Kind = Literal["number", "category", "boolean", "date", "text"]


def _finite(value: object) -> object:
    """Refuse what JSON cannot hold, before each type of the union has its own complaint."""
    if isinstance(value, float) and not isfinite(value):
        raise PydanticKnownError("finite_number")
    return value


Scalar = Annotated[bool | int | float | str | None, BeforeValidator(_finite)]

Fraction = Annotated[float, Field(gt=0, lt=1)]

# name -> (tasks, is a higher value better). The one list of metrics; evaluation computes them.
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
    """Return how the columns of a model's answers are named; no column of the data may be."""
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

    source: str = Field(description="Path or glob, relative to the model's folder.")
    labels: str | None = Field(
        default=None,
        description="Path or glob of files with `id` and `target`, where labels arrive later.",
    )
    id: str | None = Field(
        default=None, description="Column that identifies a row; never a feature."
    )
    target: str = Field(description="Column that is predicted.")
    positive: bool | int | str | None = Field(
        default=None,
        description="Binary only: the value of the target that counts as positive.",
    )
    time: str | None = Field(
        default=None, description="Column that orders rows in time."
    )
    ignore: tuple[str, ...] = Field(
        default=(), description="Columns of the source that are not used."
    )
    delimiter: str | None = Field(
        default=None, description="CSV delimiter; inferred where absent."
    )
    encoding: str = Field(default="utf-8", description="Encoding of text files.")
    decimal: Literal[".", ","] = Field(
        default=".", description="Decimal sign of numbers in text files."
    )
    formats: dict[str, str] = Field(
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
    column: str | None = Field(
        default=None, description="The group column; for `time`, `data.time`."
    )
    test: Fraction = Field(
        default=0.25, description="Share of the rows in the test part."
    )
    seed: int = 0

    @property
    def remedy(self) -> str:
        """What helps where a part has too few rows; by time no seed takes part."""
        seed = "" if self.by == "time" else " or split.seed"
        return f"add rows with a label, or change split.test{seed}"


class Train(Strict):
    """What `build(params)` in estimator.py is given."""

    params: dict[str, Scalar] = Field(default_factory=dict)
    seed: int = 0


class Value(Strict):
    """What each outcome of a binary decision is worth, per row, in `unit`."""

    unit: str = "USD"
    true_positive: float = 0
    false_positive: float = 0
    true_negative: float = 0
    false_negative: float = 0


class Metrics(Strict):
    """What is measured."""

    primary: str
    others: tuple[str, ...] = ()
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
        description="auto: non-inferiority when only the data changed, else superiority.",
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        default=0.01,
        description="Largest loss of the primary metric that non-inferiority accepts.",
    )
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05


class Slices(Strict):
    """Groups of rows on which quality must hold."""

    columns: tuple[str, ...] = ()
    max_drop: Annotated[float, Field(ge=0)] = Field(
        default=0.1,
        description="Largest loss of the primary metric against all rows, beyond its interval.",
    )
    min_rows: Annotated[int, Field(ge=2)] = 100


class Fairness(Strict):
    """One limit on the difference between groups of a sensitive column."""

    column: str
    metric: Literal[
        "selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "mae"
    ]
    max_difference: Annotated[float, Field(ge=0)]
    exception: str | None = Field(
        default=None, description="Why a breach is accepted, in writing."
    )


class Directional(Strict):
    """Changing one column should move the score one way (on average over the test rows)."""

    column: str
    low: Scalar
    high: Scalar
    expect: Literal["increase", "decrease"]


class Checks(Strict):
    """The standard model checks; each can be tuned, none is silently absent."""

    floor: dict[str, float] = Field(
        default_factory=dict, description="Metric: the worst value that is acceptable."
    )
    better_than: tuple[Literal["dummy", "simple"], ...] = ("dummy", "simple")
    invariant: tuple[str, ...] = Field(
        default=(), description="Columns whose value must not change a prediction."
    )
    directional: tuple[Directional, ...] = ()
    latency_ms: float = Field(default=250, gt=0, description="Median for one row.")
    size_mb: Annotated[float, Field(gt=0)] = 100


class Monitor(Strict):
    """When the drift check raises an alarm."""

    alpha: Fraction = Field(
        default=0.05, description="Chance of a false alarm per check."
    )
    min_effect: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="Smallest Jensen-Shannon distance that matters."
    )
    min_rows: Annotated[int, Field(ge=20)] = 200
    sample: int = Field(default=5000, ge=100, description="Rows compared at the most.")


class ModelSpec(Strict):
    """Everything that one model is, apart from its code and data."""

    description: str = ""
    task: Task
    owner: str
    intended_use: str
    limits: str = Field(default="", description="What the model must not be used for.")
    risk: Literal["minimal", "limited", "high"] = "minimal"
    risk_reason: str = ""
    data: Data
    features: dict[str, Kind] = Field(min_length=1)
    sensitive: tuple[str, ...] = Field(
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
        """Columns that the source must have (the target too, unless labels come apart)."""
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
    data, metrics, split = spec.data, spec.metrics, spec.split
    for column, role, why in (
        (data.target, "the target", "the model would see the answer"),
        (data.id, "data.id", "an identifier teaches nothing"),
    ):
        if column in spec.features:
            what, do = (
                f"{role} is also a feature: {why}",
                f"remove `{column}` from features",
            )
            yield Problem(what, key="features", found=str(column), do=do)
    for column in sorted(
        outputs(spec.task) & {*spec.features, data.target} - {*spec.sensitive}
    ):
        key = "data.target" if column == data.target else "features"
        what, do = (
            "this column is named like an answer of the model",
            "rename the column",
        )
        yield Problem(what, key=key, found=column, do=do)
    needs = (
        (spec.task == "binary", data.positive, "data.positive", "a binary model"),
        (
            "value" in (metrics.primary, *metrics.others),
            metrics.value,
            "metrics.value",
            "`value`",
        ),
        (split.by == "group", split.column, "split.column", "a split by group"),
        (split.by == "time", data.time, "data.time", "a split by time"),
        (data.labels, data.id, "data.id", "joining labels that arrive apart"),
    )
    for asked, given, key, what in needs:
        if asked and given is None:
            yield Problem(
                f"{what} needs this key", key=key, found="nothing", do=f"add `{key}`"
            )
    yield from _date_problems(spec)
    for name in (*spec.metric_names, *spec.checks.floor):
        allowed = [m for m, (tasks, _) in METRICS.items() if spec.task in tasks]
        if name not in allowed:
            what = f"no metric of this name for a {spec.task} model"
            yield _unknown(what, "metrics", name, allowed)
    used = (
        ("slices.columns", spec.slices.columns, spec.columns),
        ("fairness.column", [f.column for f in spec.fairness], spec.columns),
        ("checks.invariant", spec.checks.invariant, spec.features),
        (
            "checks.directional",
            [d.column for d in spec.checks.directional],
            spec.features,
        ),
    )
    undeclared: dict[str, list[str]] = {}
    for key, columns, pool in used:
        for column in columns:
            if column not in pool:
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


def _unknown(what: str, key: str, found: str, allowed: list[str]) -> Problem:
    """Return the problem of a name that is not one of those allowed."""
    hint = did_you_mean(found, allowed)
    return Problem(what, key=key, found=found, allowed=listed(allowed, 20), do=hint)

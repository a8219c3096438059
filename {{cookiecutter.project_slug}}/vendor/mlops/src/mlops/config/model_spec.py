"""The specification of a model: `models/NAME/model.yaml` as a frozen object.

All mistakes are reported at once, each with file, key, what was found and what is
allowed. `model.schema.json` beside this file is the JSON Schema of the same classes,
for editors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from mlops.config.fields import (
    Amount,
    Day,
    Encoding,
    Fraction,
    Label,
    Name,
    NotNegative,
    NotPositive,
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
    "f2": (("binary",), True),
    "f0_5": (("binary",), True),
    "mcc": (("binary", "multiclass"), True),
    "precision": (("binary",), True),
    "recall": (("binary",), True),
    "macro_f1": (("multiclass",), True),
    "roc_auc_ovr": (("multiclass",), True),
    "roc_auc_ovo": (("multiclass",), True),
    "top_2_accuracy": (("multiclass",), True),
    "top_3_accuracy": (("multiclass",), True),
    "top_5_accuracy": (("multiclass",), True),
    "log_loss": (("binary", "multiclass"), False),
    "brier": (("binary", "multiclass"), False),
    "mae": (("regression",), False),
    "median_ae": (("regression",), False),
    "mape": (("regression",), False),
    "smape": (("regression",), False),
    "pinball_10": (("regression",), False),
    "pinball_90": (("regression",), False),
    "rmse": (("regression",), False),
    "r2": (("regression",), True),
    "value": (("binary", "multiclass", "regression"), True),
}


def outputs(task: Task, classes: Iterable[str] = ()) -> set[str]:
    """Return the names of a model's outputs, which no column of the data may have."""
    chances = {
        "binary": ["score"],
        "multiclass": [f"p_{c}" for c in classes],
        "regression": [],
    }
    return {"prediction", *chances[task]}


def _metrics_by_task() -> str:
    """Return the names of the metrics of each task, for the documentation."""
    tasks = ("binary", "multiclass", "regression")
    names = {
        task: [n for n, (of, _) in METRICS.items() if task in of] for task in tasks
    }
    return "; ".join(f"{task}: {', '.join(names[task])}" for task in tasks) + "."


class Strict(BaseModel):
    """Frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Strict):
    """Where the rows come from and what their columns are."""

    source: Source = Field(
        description="Path or glob of the data files, relative to the model's folder, "
        "or s3://BUCKET/*.parquet or https://HOST/FILE: CSV (also `.gz`, `.bz2`, "
        "`.zst`), Parquet or JSON lines."
    )
    labels: Source | None = Field(
        default=None,
        description="Path, glob or address of files with the columns of `data.id` "
        "and `data.target`, for labels that arrive later.",
    )
    id: Name | None = Field(
        default=None, description="Column that identifies a row; never a feature."
    )
    target: Name = Field(description="Column to predict.")
    positive: Label = Field(
        default=None,
        description="Binary models only: the value of the target that is positive.",
    )
    time: Name | None = Field(
        default=None, description="Column that orders rows in time."
    )
    ignore: tuple[Name, ...] = Field(
        default=(), description="Columns of the source that the model does not use."
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="Delimiter of CSV files; detected by default.",
    )
    encoding: Encoding = Field(default="utf-8", description="Encoding of text files.")
    decimal: Literal[".", ","] = Field(
        default=".", description="Decimal separator of numbers in text files."
    )
    formats: dict[Name, Name] = Field(
        default_factory=dict,
        description="Date format of each column that is not in ISO 8601, such as "
        "`%d.%m.%Y`; used for training, prediction, labels and monitoring.",
    )
    drop_duplicates: bool = Field(
        default=True, description="Remove identical rows and count them."
    )
    keep: bool = Field(
        default=False,
        description="Store the rows in each release if git does not hold the files. "
        "Whoever can see the release can then see the rows.",
    )


class Split(Strict):
    """Which rows are held out; stable when rows are added."""

    by: Literal["random", "group", "time"] = Field(
        default="random",
        description="Split rows at random, by group (a group is never divided) or by "
        "time (the latest rows are the test).",
    )
    column: Name | None = Field(
        default=None, description="The group column of a split by group."
    )
    test: Fraction = Field(
        default=0.25, description="Share of the rows in the test part."
    )
    validation: Fraction | None = Field(
        default=None,
        description="Share of the rows in the validation part, on which laptops and "
        "pull requests compare; the test part is asked at the merge only. Default: "
        "there is none, and everything is compared on the test part.",
    )
    seed: Seed = 0

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a validation part that there is not.

        The digest of a model's code has the split in it: that of a model that never
        heard of the key stays as it is.
        """
        out: dict[str, Any] = dump(self)
        if self.validation is None:
            out.pop("validation", None)
        return out

    @property
    def judged_on(self) -> Literal["test", "validation"]:
        """The part on which laptops and pull requests compare."""
        return "test" if self.validation is None else "validation"

    @property
    def remedy(self) -> str:
        """What helps where a part has too few rows; by time no seed takes part."""
        seed = "" if self.by == "time" else " or split.seed"
        return f"add rows with a label, or change split.test{seed}"


class Train(Strict):
    """What `build(params)` in estimator.py is given."""

    params: dict[Name, Param] = Field(
        default_factory=dict, description="Parameters of the estimator, by name."
    )
    seed: Seed = 0


class Pair(Strict):
    """What one confusion of two classes is worth."""

    actual: Label = Field(description="The class that a row is of.")
    predicted: Label = Field(description="The class that is predicted.")
    worth: Amount = Field(description="Worth of such a row.")


class Value(Strict):
    """What a prediction is worth, per row, in `unit`."""

    unit: Annotated[str, Field(min_length=1, max_length=20)] = Field(
        default="USD", description="Unit of the amounts below."
    )
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None,
        description="Function of value.py in the model's folder, instead of amounts: "
        "`def NAME(rows, label, predicted)` returns the worth of each row.",
    )
    true_positive: Amount = Field(
        default=0,
        description="Binary models: worth of a positive row that is predicted "
        "positive.",
    )
    false_positive: Amount = Field(
        default=0,
        description="Binary models: worth of a negative row that is predicted "
        "positive.",
    )
    true_negative: Amount = Field(
        default=0,
        description="Binary models: worth of a negative row that is predicted "
        "negative.",
    )
    false_negative: Amount = Field(
        default=0,
        description="Binary models: worth of a positive row that is predicted "
        "negative.",
    )
    right: Amount = Field(
        default=0,
        description="Worth of a row whose class is predicted (multiclass), or whose "
        "number is predicted exactly (regression).",
    )
    wrong: Amount = Field(
        default=0,
        description="Multiclass models: worth of a row of which another class is "
        "predicted.",
    )
    pairs: tuple[Pair, ...] = Field(
        default=(),
        description="Multiclass models: confusions that are worth something else.",
    )
    too_high: NotPositive = Field(
        default=0,
        description="Regression: worth of each unit of the target that a prediction is "
        "too high; what it costs has a minus.",
    )
    too_low: NotPositive = Field(
        default=0,
        description="Regression: worth of each unit of the target that a prediction is "
        "too low; what it costs has a minus.",
    )


# The amounts of `metrics.value` that each task has.
_AMOUNTS: dict[Task, tuple[str, ...]] = {
    "binary": (
        "true_positive",
        "false_positive",
        "true_negative",
        "false_negative",
    ),
    "multiclass": ("right", "wrong", "pairs"),
    "regression": ("right", "too_high", "too_low"),
}


class Metrics(Strict):
    """What is measured."""

    primary: Name = Field(
        description="The metric that the gate compares: " + _metrics_by_task()
    )
    others: tuple[Name, ...] = Field(
        default=(), description="Further metrics to report."
    )
    threshold: Fraction = Field(
        default=0.5,
        description="Binary models only: the lowest score that is predicted positive.",
    )
    value: Value | None = Field(
        default=None,
        description="What predictions are worth; turns on the metric `value`.",
    )

    @property
    def unit(self) -> str:
        """The unit of the metric `value`; empty where it is off."""
        return self.value.unit if self.value else ""


class Gate(Strict):
    """When the new model may replace the version in production."""

    rule: Literal["auto", "superiority", "non-inferiority"] = Field(
        default="auto",
        description="`auto` is non-inferiority if only data or libraries changed, "
        "otherwise superiority.",
    )
    margin: NotNegative = Field(
        default=0.01,
        description="Largest loss of the primary metric that non-inferiority accepts.",
    )
    alpha: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.05, description="Significance level of the comparison."
    )


class Slices(Strict):
    """Groups of rows in which quality must hold."""

    columns: tuple[Name, ...] = Field(
        default=(), description="Columns whose values define the groups."
    )
    max_drop: NotNegative = Field(
        default=0.1,
        description="Largest loss of the primary metric compared with all rows, beyond "
        "the interval of the group.",
    )
    min_rows: Annotated[int, Field(ge=2, le=10**9)] = Field(
        default=100, description="Groups with fewer test rows are not judged."
    )


class Fairness(Strict):
    """One limit on the difference between groups of a sensitive column."""

    column: Name = Field(description="The sensitive column.")
    metric: Literal[
        "selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "mae"
    ] = Field(description="What is compared between the groups.")
    max_difference: NotNegative = Field(
        description="Largest difference between two groups."
    )
    exception: Words | None = Field(
        default=None, description="Why a larger difference is accepted, in writing."
    )


class Directional(Strict):
    """A change of one feature must move the score in one direction, on average."""

    column: Name = Field(description="The feature that is changed.")
    low: Scalar = Field(description="The value that it is changed from.")
    high: Scalar = Field(description="The value that it is changed to.")
    expect: Literal["increase", "decrease"] = Field(
        description="How the score should change."
    )


class Checks(Strict):
    """Limits of the standard checks; one without a limit is reported as not run."""

    floor: dict[Name, Amount] = Field(
        default_factory=dict, description="The worst acceptable value of each metric."
    )
    better_than: tuple[Literal["dummy", "simple"], ...] = Field(
        default=("dummy", "simple"),
        description="Baselines that the model must beat: `dummy` ignores the features, "
        "`simple` is a linear model.",
    )
    invariant: tuple[Name, ...] = Field(
        default=(), description="Columns whose value must not change a prediction."
    )
    directional: tuple[Directional, ...] = Field(
        default=(), description="Changes that must move the score in one direction."
    )
    latency_ms: Positive = Field(
        default=250, description="Longest median time for one row, in milliseconds."
    )
    size_mb: Positive = Field(
        default=100, description="Largest model file, in megabytes."
    )


class Quiet(Strict):
    """Days in which an alarm of the drift check starts nothing."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    first: Day = Field(alias="from", description="The first day, in UTC.")
    last: Day = Field(alias="to", description="The last day, in UTC.")
    reason: Words = Field(min_length=1, description="Why; shown with the alarm.")


class Monitor(Strict):
    """When the drift check raises an alarm."""

    alpha: Fraction = Field(
        default=0.05,
        description="Probability of any false alarm within a year, however often it is "
        "checked; drift and performance have half each.",
    )
    min_effect: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="Smallest Jensen-Shannon distance, or difference of the means in "
        "standard deviations, that matters; so does a share that is 1.5 times as large "
        "or as small.",
    )
    min_rows: Annotated[int, Field(ge=20, le=10**9)] = Field(
        default=200, description="With fewer rows they wait for the next check."
    )
    on_alarm: Literal["never", "propose", "gate"] = Field(
        default="gate",
        description="What follows an alarm beside its issue: nothing; a pull request "
        "that retrains on fresh data and has the verdict, about which people decide; "
        "or retraining, about which the gate decides.",
    )
    cool_down: Annotated[int, Field(ge=0, le=3650)] = Field(
        default=0,
        description="Days after a retraining that an alarm asked for in which no alarm "
        "asks for another.",
    )
    retrainings_per_month: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        description="Most retrainings that alarms ask for in a month of the calendar; "
        "without it, as many as there are alarms.",
    )
    quiet: Annotated[tuple[Quiet, ...], Field(max_length=100)] = Field(
        default=(),
        description="Periods in which an alarm is recorded and shown, and starts "
        "nothing and opens no issue.",
    )
    silent_after: Annotated[int, Field(ge=1, le=3650)] = Field(
        default=3,
        description="Days after the last check of a model in the last stage from which "
        "on silence is an alarm.",
    )
    sample: int = Field(
        default=5000,
        ge=100,
        le=10**9,
        description="Largest number of rows on Evidently's page; more are sampled. The "
        "detectors count every row.",
    )


class Serving(Strict):
    """How the service runs the model."""

    compile: bool = Field(
        default=True,
        description="Whether the test step compiles the pipeline for the service, "
        "which is used where it is proven to predict the same.",
    )
    tolerance: Annotated[float, Field(gt=0, le=0.01)] = Field(
        default=1e-5,
        description="Largest difference between the two: of a probability; for "
        "regression relative to the prediction where that is larger than 1.",
    )


class Batch(Strict):
    """Rows that are predicted file by file, without a service."""

    input: Source = Field(
        description="Path or glob of files to predict, relative to the model's folder, "
        "or an address. A file is scored once; one whose content changes is scored "
        "again."
    )
    output: Annotated[str, Field(max_length=1000)] = Field(
        default="",
        description="Folder of the predictions, relative to the repository, or "
        "s3://BUCKET/PREFIX; if empty, "
        "`build/MODEL/batch/output`, which `predict.yml` uploads.",
    )
    schedule: bool = Field(
        default=True, description="Whether the schedule of `predict.yml` scores it."
    )


class ModelSpec(Strict):
    """Everything that one model is, apart from its code and data."""

    description: Words = Field(default="", description="What the model predicts.")
    task: Task = Field(description="Kind of model.")
    owner: Name = Field(description="Who answers for the model.")
    intended_use: Words = Field(description="What the model is for.")
    limits: Words = Field(
        default="", description="What the model must not be used for."
    )
    risk: Literal["minimal", "limited", "high"] = Field(
        default="minimal", description="Level of risk, shown on the model card."
    )
    risk_reason: Words = Field(default="", description="Why the risk is at this level.")
    data: Data
    features: dict[Name, Kind] = Field(
        min_length=1, description="Columns that the model learns from, and their types."
    )
    sensitive: tuple[Name, ...] = Field(
        default=(),
        description="Columns for fairness; their values are never shown in reports.",
    )
    split: Split = Split()
    train: Train = Train()
    metrics: Metrics
    gate: Gate = Gate()
    checks: Checks = Checks()
    slices: Slices = Slices()
    fairness: tuple[Fairness, ...] = Field(
        default=(), description="Limits on differences between groups."
    )
    monitor: Monitor = Monitor()
    serving: Serving = Serving()
    batch: Batch | None = Field(
        default=None, description="What `mlops predict MODEL@STAGE` scores by default."
    )

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
    yield from _nothing_left_to_train(spec)
    yield from _date_problems(spec)
    yield from _quiet_problems(spec)
    yield from _unknown_metrics(spec)
    yield from _amounts_of_other_tasks(spec)
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
            "data.id is also a feature: nothing can be learned from an identifier",
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


def _amounts_of_other_tasks(spec: ModelSpec) -> Iterator[Problem]:
    """Yield amounts of no use to this kind of model, and what is said twice."""
    value = spec.metrics.value
    if value is None:
        return
    allowed = _AMOUNTS[spec.task]
    written = [name for name in allowed if getattr(value, name)]
    if value.function is not None and written:
        yield Problem(
            "a function and amounts say what a prediction is worth",
            key="metrics.value.function",
            found=f"{value.function}, and {listed(written)}",
            do="keep one of them",
        )
    if value.function is None and not written:
        yield Problem(
            "no prediction is worth anything",
            key="metrics.value",
            found="no amount, or 0 alone",
            allowed=listed(allowed),
            do="write what a prediction is worth, or remove `value`",
        )
    # A spec that was written down has all amounts, those of other tasks as 0.
    others = [name for names in _AMOUNTS.values() for name in names]
    for name in sorted({*others} - {*allowed}):
        if not getattr(value, name):
            continue
        yield Problem(
            f"a {spec.task} model has no such amount",
            key=f"metrics.value.{name}",
            found=getattr(value, name),
            allowed=listed(allowed),
            do=f"remove `{name}`",
        )
    named = Counter((str(pair.actual), str(pair.predicted)) for pair in value.pairs)
    for (actual, predicted), times in named.items():
        if times > 1:
            yield Problem(
                "a confusion has more than one worth",
                key="metrics.value.pairs",
                found=f"actual {actual}, predicted {predicted}: {times} times",
                do="keep one of them",
            )


def _nothing_left_to_train(spec: ModelSpec) -> Iterator[Problem]:
    """Yield that the parts which are held out are all rows, or more."""
    split = spec.split
    if split.validation is not None and split.test + split.validation >= 1:
        yield Problem(
            "validation and test part leave no row for training",
            key="split.validation",
            found=f"{split.validation:g}, with split.test {split.test:g}",
            allowed="together below 1",
            do="lower split.validation",
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


def _quiet_problems(spec: ModelSpec) -> Iterator[Problem]:
    """Yield quiet periods that end before they begin."""
    for at, quiet in enumerate(spec.monitor.quiet):
        if quiet.last < quiet.first:
            yield Problem(
                "this quiet period ends before it begins",
                key=f"monitor.quiet.{at}.to",
                found=f"{quiet.last}, with from {quiet.first}",
                allowed=f"{quiet.first} or later",
                do="write the last day of the period, which belongs to it",
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

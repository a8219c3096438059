"""The specification of a model, `models/NAME/model.yaml`, read once into a frozen object.

A mistake is reported with file, key, what was found and what is allowed, all mistakes at once.
`model.schema.json` beside this file is the JSON Schema of the same classes, for editors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlops.errors import Problem, UsageError, did_you_mean, listed

Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["number", "category", "boolean", "date"]
Scalar = bool | int | float | str | None
Fraction = Annotated[float, Field(gt=0, lt=1)]
T = TypeVar("T", bound=BaseModel)

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


class Strict(BaseModel):
    """Frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        default=None, description="Binary only: the value of the target that counts as positive."
    )
    time: str | None = Field(default=None, description="Column that orders rows in time.")
    ignore: tuple[str, ...] = Field(
        default=(), description="Columns of the source that are not used."
    )
    delimiter: str | None = Field(
        default=None, description="CSV delimiter; found out where absent."
    )
    encoding: str = Field(default="utf-8", description="Encoding of text files.")
    drop_duplicates: bool = Field(
        default=True, description="Remove identical rows, and count them."
    )


class Split(Strict):
    """Which rows are kept for the test; stable when rows are added."""

    by: Literal["random", "group", "time"] = "random"
    column: str | None = Field(
        default=None, description="The group column; for `time`, `data.time`."
    )
    test: Fraction = Field(default=0.25, description="Share of the rows in the test part.")
    seed: int = 0


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
    value: Value | None = Field(default=None, description="Turns on the metric `value`.")


class Gate(Strict):
    """When a challenger replaces the champion."""

    rule: Literal["auto", "superiority", "non-inferiority"] = Field(
        default="auto",
        description="auto: non-inferiority when only the data changed, else superiority.",
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        default=0.01, description="Largest loss of the primary metric that non-inferiority accepts."
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
    exception: str | None = Field(default=None, description="Why a breach is accepted, in writing.")


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
    latency_ms: Annotated[float, Field(gt=0)] = Field(
        default=250, description="Median for one row."
    )
    size_mb: Annotated[float, Field(gt=0)] = 100


class Monitor(Strict):
    """When the drift check raises an alarm."""

    alpha: Fraction = Field(default=0.05, description="Chance of a false alarm per check.")
    min_effect: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="Smallest Jensen-Shannon distance that matters."
    )
    min_rows: Annotated[int, Field(ge=20)] = 200
    sample: Annotated[int, Field(ge=100)] = Field(
        default=5000, description="Rows compared at the most."
    )


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
        return tuple(dict.fromkeys((self.metrics.primary, *self.metrics.others, *declared)))

    @model_validator(mode="after")
    def _sense(self) -> Self:
        problems = list(_contradictions(self))
        if problems:
            raise UsageError(*problems)
        return self


def _contradictions(spec: ModelSpec) -> list[Problem]:
    """Return what is well-formed and yet makes no sense together."""
    out: list[Problem] = []
    data, features = spec.data, spec.features
    if data.target in features:
        out.append(
            Problem(
                "the target is also a feature: the model would see the answer",
                key="features",
                found=data.target,
                do=f"remove `{data.target}` from features",
            )
        )
    for role, column in (("data.id", data.id),):
        if column and column in features:
            out.append(
                Problem(
                    f"`{column}` is {role} and also a feature",
                    key="features",
                    found=column,
                    do=f"remove `{column}` from features: an identifier teaches nothing",
                )
            )
    if spec.task == "binary" and data.positive is None:
        out.append(
            Problem(
                "a binary model must say which value of the target is positive",
                key="data.positive",
                found="nothing",
                allowed="one of the two values of the target",
            )
        )
    for name in spec.metric_names + tuple(spec.checks.floor):
        if name not in METRICS or spec.task not in METRICS[name][0]:
            allowed = [m for m, (tasks, _) in METRICS.items() if spec.task in tasks]
            out.append(
                Problem(
                    f"no metric of this name for a {spec.task} model",
                    key="metrics",
                    found=name,
                    allowed=", ".join(allowed),
                    do=did_you_mean(name, allowed),
                )
            )
    if "value" in (spec.metrics.primary, *spec.metrics.others) and not spec.metrics.value:
        out.append(
            Problem("the metric `value` needs its amounts", key="metrics.value", found="nothing")
        )
    if spec.split.by == "group" and not spec.split.column:
        out.append(
            Problem("a split by group needs its column", key="split.column", found="nothing")
        )
    if spec.split.by == "time" and not data.time:
        out.append(Problem("a split by time needs a time column", key="data.time", found="nothing"))
    if data.labels and not data.id:
        out.append(
            Problem("labels that arrive apart are joined by an id", key="data.id", found="nothing")
        )
    known = set(spec.columns)
    used = {
        "slices.columns": spec.slices.columns,
        "fairness.column": tuple(f.column for f in spec.fairness),
        "checks.invariant": spec.checks.invariant,
        "checks.directional": tuple(d.column for d in spec.checks.directional),
    }
    for key, columns in used.items():
        pool = set(features) if key.startswith("checks") else known
        for column in columns:
            if column not in pool:
                out.append(
                    Problem(
                        "no such column" if key[0] != "c" else "not a feature",
                        key=key,
                        found=column,
                        allowed=listed(sorted(pool), 20),
                        do=did_you_mean(column, pool),
                    )
                )
    return out


def load_yaml(path: Path) -> Any:
    """Read a YAML 1.2 file; a key that stands twice is an error.

    Raises
    ------
    UsageError
        When the file is missing, is not UTF-8, or is not YAML; with the line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(Problem("there is no such file", file=str(path))) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            Problem(f"cannot be read: {error}", file=str(path), do="save it as UTF-8")
        ) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        text = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(Problem(f"not valid YAML: {text}", file=str(path), key=place)) from error


def parse(cls: type[T], raw: Any, file: str) -> T:
    """Return `raw` as an instance of `cls`.

    Raises
    ------
    UsageError
        With one Problem for every mistake.
    """
    if not isinstance(raw, dict):
        raise UsageError(
            Problem("this file must hold keys and values", file=file, found=type(raw).__name__)
        )
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        raise UsageError(*(_problem(cls, item, file) for item in error.errors())) from error
    except UsageError as error:
        raise UsageError(*(Problem(**{**vars(p), "file": file}) for p in error.problems)) from error


def _problem(cls: type[BaseModel], item: Any, file: str) -> Problem:
    """Return one pydantic error in our words."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    found = item["input"]
    if item["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(cls, location[:-1]))
        return Problem(
            "unknown key",
            file=file,
            key=key,
            found=location[-1],
            allowed=", ".join(allowed),
            do=did_you_mean(location[-1], allowed),
        )
    if item["type"] == "missing":
        return Problem("this key is missing", file=file, key=key, do=f"add `{location[-1]}`")
    expected = str(item.get("ctx", {}).get("expected", ""))
    return Problem(
        item["msg"][0].lower() + item["msg"][1:],
        file=file,
        key=key,
        found=repr(found)[:80],
        allowed=expected,
    )


def _fields_at(cls: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys that are allowed at a place of the document."""
    schema = cls.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = _resolve(schema, node)
        node = node.get("properties", {}).get(part) or node.get("items") or {}
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref` and the first object of `anyOf`."""
    for option in node.get("anyOf", []):
        if "$ref" in option:
            node = option
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def load_spec(path: Path, shown: str | None = None) -> ModelSpec:
    """Read `model.yaml`; `shown` is the path that errors name."""
    return parse(ModelSpec, load_yaml(path), shown or str(path))

"""Results of training: signature and model digest."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.config.fields import Param
from mlops.config.model_spec import Kind, Split, Task
from mlops.results.base import Result, StoredResult

# The modules that the fitted model needs beside features.py, where it needs any.
MODULES = "modules.json"


class Feature(Result):
    """One column of the input, as training saw it."""

    name: str
    kind: Kind
    missing: bool
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = Field(
        default=None, description="None above 1,000 values."
    )
    format: str | None = Field(
        default=None, description="How a date is written; None for ISO 8601."
    )


class Signature(Result):
    """What a model takes and gives."""

    task: Task
    target: str
    features: tuple[Feature, ...]
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float = 0.5


class Training(StoredResult):
    """The result of `mlops train`."""

    FILE: ClassVar[str] = "training.json"

    signature: Signature
    params: dict[str, Param]
    seed: int
    split: Split | None = None
    split_by: tuple[str, ...] = Field(
        default=(), description="Columns that separate the rows."
    )
    rows: int
    snapshot: str = Field(description="Digest of the data.")
    code: str = Field(description="Digest of the model's code and specification.")
    lock: str = Field(
        description="SHA-256 of the lock that it was trained with, "
        "requirements/train.txt."
    )
    model_sha256: str = Field(
        description="Of model.skops; empty where a sweep only cross-validated."
    )
    model_bytes: int
    features_sha256: str
    modules_sha256: str = Field(
        default="", description="Of modules.json; empty where the model needs none."
    )
    estimator: str = Field(description="Class of the estimator, for people.")
    seconds: float = 0

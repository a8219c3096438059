"""The record of one run, and what a combination of parameters came to."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from mlops.config.fields import Param
from mlops.results.base import Result, StoredResult
from mlops.results.data import Snapshot
from mlops.results.evaluation import EvaluationRecord, Metric
from mlops.results.training import Signature, Training
from mlops.results.verdict import Verdict


class Record(StoredResult):
    """One run, as the run log keeps it."""

    FILE: ClassVar[str] = "record.json"

    id: str
    model: str
    started: str = Field(description="ISO 8601, UTC.")
    seconds: float
    stages: dict[str, str] = Field(
        description="Stage: ran, skipped, failed or not reached."
    )
    outcome: str = Field(
        description="promote, reject, inconclusive, or the stage that failed."
    )
    commit: str | None = None
    dirty: bool = False
    actor: str = ""
    pull_request: int | None = None
    group: str | None = Field(
        default=None, description="A sweep, or a pull request: pr-12."
    )
    run_url: str | None = None
    engine: str = Field(default="", description="Version of the engine.")
    engine_sha256: str = Field(
        default="", description="Over the engine's files; empty before 0.2.0."
    )
    python: str = ""
    platform: str = ""
    cost: float = 0
    currency: str = "USD"
    data: Snapshot | None = None
    training: Training | None = None
    metrics: tuple[Metric, ...] = ()
    measured_on: str = Field(
        default="test", description="Rows that the metrics are of."
    )
    verdict: Verdict | None = None
    rules: dict[str, Any] | None = Field(
        default=None,
        description="Sections of model.yaml that judged it; None: an older engine.",
    )
    judged: EvaluationRecord | None = Field(
        default=None, description="What else they judged; None: an older engine."
    )
    extra: dict[str, Any] = Field(default_factory=dict)


class CombinationResult(Result):
    """One combination of parameters by cross-validation on the training part."""

    params: dict[str, Param]
    metrics: tuple[Metric, ...]
    signature: Signature
    estimator: str = Field(description="Class of the estimator, for people.")
    rows: int = Field(description="Number of training rows.")
    seconds: float


class SweepRequest(StoredResult):
    """What `mlops sweep` asks the process of user code for.

    Parameters
    ----------
    params : tuple of dict
        The combinations to try.
    backend : str
        Of joblib: where they are tried; empty: one after the other, in that process.
    jobs : int
        How many are tried at once; -1: as many as there are processors or workers.
    whole : bool
        Whether to fit them on the whole training part instead.
    """

    FILE: ClassVar[str] = "trials.json"

    params: tuple[dict[str, Param], ...]
    backend: str = ""
    jobs: int = 1
    whole: bool = False


class CrossValidation(StoredResult):
    """What came of combinations, as one process tells another.

    Parameters
    ----------
    results : tuple of dict
        For each a `CombinationResult` (a `Training`, where it was fitted on the whole
        training part), the facts of an error, or ``defect``.
    """

    FILE: ClassVar[str] = "cross-validation.json"

    results: tuple[dict[str, Any], ...]

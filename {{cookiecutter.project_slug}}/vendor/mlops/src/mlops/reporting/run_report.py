"""All that is known of one run, for every kind of report.

Nothing is escaped here. Values of sensitive columns do not get past this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops.config.model_spec import ModelSpec
from mlops.config.project_spec import Cost
from mlops.results.compilation import Compilation
from mlops.results.data import Validation
from mlops.results.evaluation import Evaluation, Metric
from mlops.results.since_production import Change, SliceDifference, VersionMetric
from mlops.results.training import Training
from mlops.results.verdict import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RunInfo:
    """Where, when and by whom a run was made.

    Parameters
    ----------
    commit : str, optional
        The commit that was checked out; `dirty` where files differed from it.
    seconds : mapping of str to float
        How long each step took that was not skipped.
    price : Cost
        What an hour of this machine costs, and its watts.
    started, actor, change : str
        When it began (as people read it), who began it, what changed since production.
    pull_request : int, optional
        Its number, where the run is for one.
    """

    commit: str | None = None
    dirty: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    price: Cost = field(default_factory=Cost)
    started: str = ""
    actor: str = ""
    pull_request: int | None = None
    change: str = ""


@dataclass(frozen=True)
class PredictedRows:
    """What charts are drawn from: arrays of shape (n,), one element per test row.

    Labels are text, or numbers for regression; scores are probabilities of the positive
    class.
    """

    actual: NDArray[Any]
    predicted: NDArray[Any]
    score: NDArray[Any] | None = None
    champion: NDArray[Any] | None = None


@dataclass(frozen=True)
class RunReport:
    """All that is known about one run of one model; what it did not reach is None.

    Parameters
    ----------
    champion : tuple of Metric
        Of the version in production, as it was registered.
    slices : tuple of SliceDifference
        Challenger against champion on groups of the test rows.
    changes : tuple of Change, optional
        What is not as in the version in production; None where there is none.
    versions : tuple of VersionMetric
        Of the versions before this run, the oldest first.
    """

    model: str
    spec: ModelSpec
    validation: Validation | None = None
    training: Training | None = None
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    compilation: Compilation | None = None
    run: RunInfo = field(default_factory=RunInfo)
    rows: PredictedRows | None = None
    champion: tuple[Metric, ...] = ()
    slices: tuple[SliceDifference, ...] = ()
    changes: tuple[Change, ...] | None = None
    versions: tuple[VersionMetric, ...] = ()

"""Results that set a model beside the versions before it, for a report."""

from __future__ import annotations

from typing import Literal

from mlops.results.base import Result
from mlops.results.evaluation import Metric
from mlops.results.verdict import Comparison


class SliceDifference(Result):
    """Challenger against champion on one group of test rows."""

    column: str
    value: str
    comparison: Comparison


class Change(Result):
    """One thing that is not as in the version in production; empty: it is not there."""

    kind: Literal["estimator", "parameter", "feature", "data", "code", "library"]
    name: str
    before: str = ""
    after: str = ""


class VersionMetric(Result):
    """The primary metric of a version, on the test rows that it had."""

    version: str
    metric: Metric
    rows: int

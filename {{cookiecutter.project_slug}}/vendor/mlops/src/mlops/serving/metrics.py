"""The metrics of the service, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4"

_LIMITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # nobody asks when counting began


def share_between_workers(number: int) -> None:
    """Have this process count in files, which every worker of a service sums up.

    To be called before metrics are made. PROMETHEUS_MULTIPROC_DIR names the folder. The
    worker that takes the place of one that ended counts on in its files.

    Parameters
    ----------
    number : int
        Of the worker; no two that run have the same.
    """
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def forget_worker(number: int, folder: Path) -> None:
    """Drop what was true of a worker only while it ran; what it has counted stays."""
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class ServiceState(Collector):
    """What every worker of a service knows: the version, and how it follows its stage.

    Parameters
    ----------
    version : str
        Empty where none serves.
    refresh_failed : bool
        Whether the version of the stage could not be taken up.
    registry_seen : float
        When the registry last answered, in seconds since 1970; 0: never.
    candidate : tuple of str
        Stage and version of what is tried; empty where nothing is.
    checked : float
        Up to when the monitor last looked at predictions, in seconds since 1970; 0:
        not known.
    alarm : bool
        Whether that check raised an alarm.
    waiting : int, optional
        Bytes of the prediction log that wait to be delivered; None where it stays here.
    delivery : mapping
        What `read_status` returns.
    """

    model: str
    stage: str
    version: str
    refresh_failed: bool
    registry_seen: float
    candidate: tuple[str, str] = ("", "")
    checked: float = 0
    alarm: bool = False
    waiting: int | None = None
    delivery: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def collect(self) -> Iterator[Metric]:
        """Yield the state as gauges."""
        yield GaugeMetricFamily(
            "mlops_refresh_failed",
            "1 where the version of the stage could not be taken up.",
            value=self.refresh_failed,
        )
        yield GaugeMetricFamily(
            "mlops_registry_seen_timestamp_seconds",
            "When the registry last answered, in seconds since 1970; 0: never.",
            value=self.registry_seen,
        )
        yield GaugeMetricFamily(
            "mlops_monitor_checked_timestamp_seconds",
            "Up to when the monitor looked, in seconds since 1970; 0: not known.",
            value=self.checked,
        )
        yield GaugeMetricFamily(
            "mlops_monitor_alarm",
            "1 where the last check of the monitor raised an alarm.",
            value=self.alarm,
        )
        info = GaugeMetricFamily(
            "mlops_model_info",
            "1 for the version that serves.",
            labels=["model", "stage", "version"],
        )
        info.add_metric([self.model, self.stage, self.version], bool(self.version))
        yield info
        stage, version = self.candidate
        tried = GaugeMetricFamily(
            "mlops_candidate_info",
            "1 for the version that is tried in the shadow or as a canary.",
            labels=["model", "stage", "version"],
        )
        if stage:
            tried.add_metric([self.model, stage, version], bool(version))
        yield tried
        if self.waiting is not None:
            yield from self._of_delivery(self.waiting)

    def _of_delivery(self, waiting: int) -> Iterator[Metric]:
        """Yield how the delivery of the prediction log stands."""
        yield GaugeMetricFamily(
            "mlops_log_waiting_bytes",
            "Bytes of the prediction log that were not delivered to its place.",
            value=waiting,
        )
        yield GaugeMetricFamily(
            "mlops_log_delivered_timestamp_seconds",
            "When all of the prediction log was last delivered, in seconds since 1970; "
            "0: never.",
            value=self.delivery["delivered"],
        )
        yield CounterMetricFamily(
            "mlops_log_delivered_rows",
            "Rows of the prediction log that were delivered, from its first start on.",
            value=self.delivery["rows"],
        )
        yield CounterMetricFamily(
            "mlops_log_delivery_failures",
            "Attempts to deliver the prediction log that failed.",
            value=self.delivery["failures"],
        )


class ServiceMetrics:
    """Counts and latencies of one service, in a registry of their own.

    Parameters
    ----------
    shared : Path, optional
        The folder in which the workers of a service count; without it there is one.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "mlops_requests_total",
            "Requests, by route and status.",
            ["path", "status"],
            registry=self._registry,
        )
        self.client_requests = Counter(
            "mlops_client_requests_total",
            "Requests with a token, by the client's name and status.",
            ["client", "status"],
            registry=self._registry,
        )
        self.rows = Counter(
            "mlops_rows_total", "Rows predicted.", registry=self._registry
        )
        self.pipeline_rows = Counter(
            "mlops_pipeline_rows_total",
            "Rows that the pipeline predicted because the compiled one could not.",
            registry=self._registry,
        )
        self.unlogged_rows = Counter(
            "mlops_unlogged_rows_total",
            "Rows predicted that the prediction log could not take.",
            registry=self._registry,
        )
        self.predict_seconds = Histogram(
            "mlops_predict_seconds",
            "Seconds that the model takes for the rows of one batch.",
            buckets=_LIMITS,
            registry=self._registry,
        )
        self.batch_requests = Histogram(
            "mlops_batch_requests",
            "Requests that were predicted together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self._registry,
        )
        self.pending_rows = Gauge(
            "mlops_pending_rows",
            "Rows that wait or are being predicted.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self.pending_rows.set(0)  # a worker finds what one that was killed has left
        workers = Gauge(
            "mlops_workers",
            "Processes that serve.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        workers.set(1)
        self.unseen = Counter(
            "mlops_unseen_values_total",
            "Values that training never saw, by field and problem.",
            ["field", "problem"],
            registry=self._registry,
        )
        self.shadow_rows = Counter(
            "mlops_shadow_rows_total",
            "Rows for the candidate in the shadow: predicted, failed or dropped.",
            ["result"],
            registry=self._registry,
        )
        self.canary_requests = Counter(
            "mlops_canary_requests_total",
            "Requests for the canary: answered, or failed and answered without it.",
            ["result"],
            registry=self._registry,
        )
        self._sums = self._registry
        if shared is not None:
            self._sums = CollectorRegistry()
            MultiProcessCollector(self._sums, str(shared))  # type: ignore[no-untyped-call]

    def unlogged(self) -> int:
        """Return how many rows the prediction log could not take, of all workers."""
        return int(self._sums.get_sample_value("mlops_unlogged_rows_total") or 0)

    def text(self, state: ServiceState) -> str:
        """Return every metric in the text format of Prometheus."""
        known = CollectorRegistry()
        known.register(state)
        return (generate_latest(self._sums) + generate_latest(known)).decode()

"""The metrics of the service, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4"

_LIMITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # nobody asks when counting began


class ServiceMetrics:
    """Counts and latencies of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "mlops_requests_total",
            "Requests, by route and status.",
            ["path", "status"],
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
            registry=self._registry,
        )
        self.unseen = Counter(
            "mlops_unseen_values_total",
            "Values that training never saw, by field and problem.",
            ["field", "problem"],
            registry=self._registry,
        )
        self.refresh_failed = Gauge(
            "mlops_refresh_failed",
            "1 where the version of the stage could not be taken up.",
            registry=self._registry,
        )
        self.registry_seen = Gauge(
            "mlops_registry_seen_timestamp_seconds",
            "When the registry last answered, in seconds since 1970; 0: never.",
            registry=self._registry,
        )
        self.model_info = Gauge(
            "mlops_model_info",
            "1 for the version that serves.",
            ["model", "stage", "version"],
            registry=self._registry,
        )

    def text(self) -> str:
        """Return every metric in the text format of Prometheus."""
        return generate_latest(self._registry).decode()

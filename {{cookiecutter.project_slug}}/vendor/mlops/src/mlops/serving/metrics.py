"""The metrics of the service in the Prometheus format."""

from __future__ import annotations

from collections.abc import Mapping

METRICS = {
    "requests_total": "counter",
    "rows_total": "counter",
    "unlogged_rows_total": "counter",
    "predict_seconds": "histogram",
    "refresh_failed": "gauge",
    "model_info": "gauge",
}

LIMITS = (
    "0.005",
    "0.01",
    "0.025",
    "0.05",
    "0.1",
    "0.25",
    "0.5",
    "1.0",
    "2.5",
    "10.0",
    "+Inf",
)

BUCKETS = {limit: f'predict_seconds_bucket{{le="{limit}"}}' for limit in LIMITS}

SUMS = (
    "rows_total",
    "unlogged_rows_total",
    "predict_seconds_sum",
    "predict_seconds_count",
)


def exposition(samples: Mapping[str, float]) -> str:
    """Return samples in the text format of Prometheus, each metric below its type."""
    lines = []
    for name, kind in METRICS.items():
        lines.append(f"# TYPE mlops_{name} {kind}")
        lines += [
            f"mlops_{s} {value}" for s, value in samples.items() if s.startswith(name)
        ]
    return "\n".join(lines) + "\n"

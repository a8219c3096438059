"""The alerting rules of the documentation ask for metrics that a service has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mlops.serving.metrics import ServiceMetrics, ServiceState

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "how-to"
GROUPS = YAML(typ="safe", pure=True).load(DOCS / "alerts.yaml")["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]

# What PromQL itself has.
WORDS = {"sum", "by", "rate", "increase", "time", "histogram_quantile", "le", "and"}


def exposed() -> dict[str, set[str]]:
    """Return the names in /metrics with their labels, those of counters too."""
    metrics = ServiceMetrics()
    metrics.requests.labels(path="/predict", status="200").inc()
    metrics.client_requests.labels(client="shop", status="200").inc()
    metrics.unseen.labels(field="plan", problem="unknown").inc()
    metrics.predict_seconds.observe(0.1)
    metrics.batch_requests.observe(1)
    state = ServiceState("churn", "production", "v1.0.0", False, 0.0)
    names: dict[str, set[str]] = {}
    for line in metrics.text(state).splitlines():
        found = re.match(r"(\w+)(?:\{(.*)\})? ", line)
        if found and not line.startswith("#"):
            labels = set(re.findall(r"(\w+)=", found[2] or ""))
            names.setdefault(found[1], set()).update(labels)
    return names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_and_labels_that_there_are(
    rule: dict[str, Any],
) -> None:
    known = exposed()
    expression = re.sub(r'"[^"]*"', "", rule["expr"])
    used = set(re.findall(r"mlops_\w+", expression))
    assert used and used <= known.keys()
    labels = set().union(*(known[name] for name in used)) | {"instance", "le"}
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    matched = re.findall(r"\{(\w+)", expression)
    asked = {one.strip() for group in grouped for one in group.split(",")}
    assert asked | set(matched) <= labels
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    kept = asked | {"instance"} if grouped else labels
    assert shown <= kept, "an aggregation drops other labels"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_how_urgent_it_is_what_happened_and_what_to_do(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "do"} <= rule["annotations"].keys()
    left = re.sub(r"mlops_\w+|\{[^}]*\}|\[\w+\]|\"[^\"]*\"", "", rule["expr"])
    words = set(re.findall(r"[a-z_]{2,}", left)) - {"instance", "field"}
    assert words <= WORDS, "a function that PromQL does not have"
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_names_of_the_rules_differ_and_a_page_of_the_docs_has_them() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    assert "alerts.yaml" in (DOCS / "alerts.md").read_text(encoding="utf-8")

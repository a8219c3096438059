"""The model card: markdown with the metadata block of the Hugging Face hub."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from mlops.reporting.facts import Everything
from mlops.reporting.markdown import escape, render
from mlops.reporting.sections import Row, Section, Table, sections
from mlops.reporting.words import capital, clean, count, label

_ROWS = 100  # per table


def card(facts: Everything, info: Mapping[str, str]) -> str:
    """Return the model card of a version.

    Parameters
    ----------
    facts : Everything
        The run that made the version.
    info : mapping
        What the registry knows, as label: text (version, date, manifest digest), shown in order.
    """
    spec, own = facts.spec, {s.key: s for s in sections(facts)}
    about = {**info, "Owner": spec.owner, "Task": f"{spec.task}: predicts {spec.data.target}"}
    if facts.training:
        about["Estimator"] = f"{facts.training.estimator}, {count(facts.training.rows, 'row')}"
    about["Source of the data"] = spec.data.source
    rows: list[Row] = [("", (capital(name), str(text))) for name, text in about.items()]
    parts = [
        _metadata(facts),
        f"# {escape(facts.model)}",
        escape(spec.description, 1000),
        render(Section("about", "", (), (Table("About", ("", ""), "ll", tuple(rows)),)), _ROWS, ""),
        f"## Intended use\n\n{escape(spec.intended_use, 2000)}",
        f"## Risk: {spec.risk}\n\n{escape(spec.risk_reason or 'No reason is given.', 2000)}",
        "## Limits\n\n" + "\n".join(f"- {escape(line, 1000)}" for line in _limits(facts)),
        *(render(own[k], _ROWS, "##") for k in ("quality", "data", "tests") if k in own),
        *(render(own[k], _ROWS, "##") for k in ("slices", "fairness", "reproduce") if k in own),
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _limits(facts: Everything) -> list[str]:
    """Return what the owner says, and what the results themselves say against the model."""
    found = [facts.spec.limits] if facts.spec.limits else []
    result = facts.evaluation
    small = [f"{s.column} = {s.value}" for s in (result.slices if result else ()) if not s.metric]
    weak = [f"{s.column} = {s.value}" for s in (result.slices if result else ()) if not s.ok]
    if weak:
        found.append(f"It is clearly worse than on average for: {', '.join(weak[:20])}.")
    if small:
        found.append(f"Too few rows to say how good it is for: {', '.join(small[:20])}.")
    for f in result.fairness if result else ():
        if f.exception and f.difference > f.limit:
            found.append(
                f"{capital(label(f.metric))} differs by {f.column}, accepted: {f.exception}"
            )
    snapshot = facts.validation.snapshot if facts.validation else None
    if snapshot and snapshot.period:
        found.append(f"It has seen data of {' to '.join(snapshot.period)} only.")
    found.append("Figures hold for rows like those of the test part.")
    return found


def _metadata(facts: Everything) -> str:
    """Return the front matter; values are JSON, which every version of YAML reads the same way."""
    kind = "regression" if facts.spec.task == "regression" else "classification"
    measured = [
        {"type": m.name, "name": capital(label(m.name)), "value": round(m.value, 6)}
        for m in (facts.evaluation.metrics if facts.evaluation else ())
        if math.isfinite(m.value)
    ]
    values: dict[str, Any] = {
        "library_name": "sklearn",
        "pipeline_tag": f"tabular-{kind}",
        "tags": ["sklearn", "skops", "tabular", facts.spec.task],
        "metrics": [m["type"] for m in measured],
    }
    if measured:
        task = {"type": f"tabular-{kind}"}
        dataset = {"name": clean(facts.spec.data.source, 100), "type": "tabular"}
        result = {"task": task, "dataset": dataset, "metrics": measured}
        values["model-index"] = [{"name": clean(facts.model), "results": [result]}]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---"])

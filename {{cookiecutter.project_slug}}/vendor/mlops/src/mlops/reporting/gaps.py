"""What nobody has written or declared in a specification yet."""

from __future__ import annotations

from mlops.config.model_spec import ModelSpec

NOT_WRITTEN = "Not written yet"  # how `mlops new` begins what only a person can say


def is_written(text: str) -> bool:
    """Return whether a person has written this text of model.yaml."""
    return bool(text.strip()) and not text.strip().startswith(NOT_WRITTEN)


def not_written(spec: ModelSpec) -> tuple[str, ...]:
    """Return what an approver needs to read and nobody has written, by its name."""
    texts = {
        "intended use": spec.intended_use,
        "limits": spec.limits,
        "reason for the risk": spec.risk_reason,
    }
    return tuple(name for name, text in texts.items() if not is_written(text))


def not_declared(spec: ModelSpec) -> tuple[str, ...]:
    """Return what the gate could test and nobody has declared, by its name."""
    missing = []
    if not spec.checks.floor:
        missing.append("a floor (checks.floor)")
    if not spec.slices.columns:
        missing.append("slices (slices.columns)")
    if not spec.fairness:
        missing.append("a limit between groups (fairness)")
    return tuple(missing)

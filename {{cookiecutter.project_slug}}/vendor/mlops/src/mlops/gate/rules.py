"""Which rule a comparison is judged by."""

from __future__ import annotations

from mlops.config.model_spec import ModelSpec
from mlops.evaluation.compare import Rule


def which_rule(spec: ModelSpec, code_changed: bool) -> Rule:
    """Return the rule that `gate.rule` asks for."""
    if spec.gate.rule == "auto":
        return "superiority" if code_changed else "non-inferiority"
    return spec.gate.rule

"""What nobody has written, declared or measured yet: an approver has to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlops.config.model_spec import ModelSpec
from mlops.results.evaluation import FairnessResult
from mlops.results.verdict import Condition

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


def not_measured(
    conditions: Sequence[Condition], fairness: Sequence[FairnessResult] = ()
) -> tuple[str, ...]:
    """Return what was asked for and not measured, or only in part.

    What nobody asked for is `not_declared`.
    """
    names = []
    for c in conditions:
        if c.asked and not c.measured:
            names.append(f"{c.name} (0 of {c.asked})")
        elif c.answered < c.asked:
            names.append(f"{c.name} (only {c.answered} of {c.asked})")
    for gap in fairness:
        if not gap.measured:
            names.append(f"{gap.metric} by {gap.column} (too few rows)")
    return tuple(names)


@dataclass(frozen=True)
class Gaps:
    """What an approver cannot know of a version.

    Parameters
    ----------
    not_written : tuple of str
        Texts of model.yaml that only a person can write.
    not_declared : tuple of str
        What the gate could have tested.
    not_measured : tuple of str
        What was asked for and could not be measured.
    """

    not_written: tuple[str, ...] = ()
    not_declared: tuple[str, ...] = ()
    not_measured: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.not_written or self.not_declared or self.not_measured)

    def lines(self) -> list[str]:
        """Return a line for each kind of gap that there is."""
        kinds = {
            "Not written in model.yaml": self.not_written,
            "Not declared in model.yaml": self.not_declared,
            "Not measured": self.not_measured,
        }
        return [
            f"{kind}: {', '.join(names)}." for kind, names in kinds.items() if names
        ]

    def facts(self) -> dict[str, Any]:
        """Return the gaps as `--json` shows them."""
        return asdict(self)

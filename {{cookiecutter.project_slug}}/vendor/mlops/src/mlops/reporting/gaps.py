"""What nobody has written, declared or measured yet: an approver has to know.

Each condition of a verdict is in one place: met, inconclusive, partly measured, not
measured, or not declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlops.config.model_spec import ModelSpec
from mlops.reporting.wording import standing
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


@dataclass(frozen=True)
class Gaps:
    """What an approver cannot know of a version.

    Parameters
    ----------
    not_written : tuple of str
        Texts of model.yaml that only a person can write.
    not_declared : tuple of str
        What the gate could have tested.
    inconclusive : tuple of str
        Conditions of which the test rows decide only a part.
    partly_measured : tuple of str
        Conditions that hold as far as they could be measured.
    not_measured : tuple of str
        What was asked for and could not be measured at all.
    """

    not_written: tuple[str, ...] = ()
    not_declared: tuple[str, ...] = ()
    partly_measured: tuple[str, ...] = ()
    not_measured: tuple[str, ...] = ()
    inconclusive: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def lines(self) -> list[str]:
        """Return a line for each kind of gap that there is."""
        kinds = {
            "Inconclusive": self.inconclusive,
            "Partly measured": self.partly_measured,
            "Not measured": self.not_measured,
            "Not declared in model.yaml": self.not_declared,
            "Not written in model.yaml": self.not_written,
        }
        return [
            f"{kind}: {', '.join(names)}." for kind, names in kinds.items() if names
        ]

    def facts(self) -> dict[str, Any]:
        """Return the gaps as `--json` shows them."""
        return asdict(self)


def gaps(
    spec: ModelSpec | None,
    conditions: Sequence[Condition],
    fairness: Sequence[FairnessResult] = (),
) -> Gaps:
    """Return what is missing of a version, each thing once.

    Parameters
    ----------
    spec : ModelSpec, optional
        None where this engine cannot read it.
    conditions : sequence of Condition
        Of its verdict. Those that failed are no gaps: they are answers.
    fairness : sequence of FairnessResult
        The gaps between groups; those with a limit are part of a condition.
    """
    partly = []
    nothing = []
    undecided = []
    for c in conditions:
        tone, _ = standing(c)
        if c.ok and tone == "unsure":
            undecided.append(f"{c.name} ({c.inconclusive} of {c.asked})")
        elif tone == "partly":
            partly.append(f"{c.name} ({c.answered} of {c.asked})")
        elif tone == "unmeasured" and c.asked:
            nothing.append(f"{c.name} (0 of {c.asked})")
        elif tone == "unmeasured" and not _is_undeclared(c.name, spec):
            nothing.append(c.name)
    nothing += [
        f"{found.metric} by {found.column} (too few rows)"
        for found in fairness
        if found.limit is None and not found.measured
    ]
    unwritten: tuple[str, ...] = ("all of it: this engine cannot read it",)
    undeclared: tuple[str, ...] = ()
    if spec is not None:
        unwritten = not_written(spec)
        undeclared = not_declared(spec)
    return Gaps(
        not_written=unwritten,
        not_declared=undeclared,
        partly_measured=tuple(partly),
        not_measured=tuple(nothing),
        inconclusive=tuple(undecided),
    )


def _is_undeclared(condition: str, spec: ModelSpec | None) -> bool:
    """Return whether `not_declared` says already that nobody asked for a condition."""
    if spec is None:
        return False
    if condition == "slices":
        return not spec.slices.columns
    return condition == "fairness" and not spec.fairness

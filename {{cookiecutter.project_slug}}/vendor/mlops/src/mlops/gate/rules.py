"""The rule that a comparison is judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mlops.config.model_spec import ModelSpec

RuleKind = Literal["superiority", "non-inferiority"]


@dataclass(frozen=True)
class Rule:
    """What a challenger has to show against the champion.

    Parameters
    ----------
    kind : {"superiority", "non-inferiority"}
        Superiority: the difference is above zero. Non-inferiority: it is above
        ``-margin``.
    metrics : tuple of str
        The first one decides, the others inform.
    alpha : float
        A change that does nothing is promoted by superiority with a chance of at most
        ``alpha / 2``; a loss as large as the margin passes non-inferiority with a
        chance of at most ``alpha``.
    margin : float
        Largest loss of the first metric that non-inferiority accepts, in the metric's
        unit.
    share : float
        The part of alpha that one question of several has (see `gate.ledger`). Slices
        are judged at the whole alpha: it is the chance to fail one that is not worse.
    """

    kind: RuleKind
    metrics: tuple[str, ...]
    alpha: float = 0.05
    margin: float = 0.0
    share: float = 1.0

    def of_share(self, share: float) -> Rule:
        """Return the rule of a question that has a share of alpha."""
        return replace(self, share=share)

    @property
    def confidence(self) -> float:
        """Two-sided confidence of the interval that decides."""
        if self.kind == "superiority":
            return 1 - self.alpha * self.share
        return 1 - 2 * self.alpha * self.share

    @property
    def threshold(self) -> float:
        """The difference that the challenger has to exceed."""
        if self.kind == "superiority":
            return 0.0
        return -self.margin


def rule_of(spec: ModelSpec, code_changed: bool) -> Rule:
    """Return the rule that `gate.rule` asks for.

    Parameters
    ----------
    code_changed : bool
        False where only data or libraries are new: `auto` asks for non-inferiority
        then.
    """
    kind: RuleKind
    if spec.gate.rule == "auto":
        kind = "superiority" if code_changed else "non-inferiority"
    else:
        kind = spec.gate.rule
    return Rule(kind, spec.metric_names, spec.gate.alpha, spec.gate.margin)

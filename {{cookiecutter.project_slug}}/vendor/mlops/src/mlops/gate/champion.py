"""The version in production, asked about the challenger's test rows."""

from __future__ import annotations

from mlops.config.model_spec import ModelSpec
from mlops.errors import UsageError
from mlops.evaluation.outcome import EvaluationContext, Outcome
from mlops.evaluation.slices import slice_rows
from mlops.gate.contenders import Challenger, Champion
from mlops.results.evaluation import Evaluation
from mlops.results.training import Signature, Training
from mlops.results.verdict import NotComparable, UnitName
from mlops.training.model import Model


def challenger_on(
    context: EvaluationContext, model: Model, evaluation: Evaluation
) -> Challenger:
    """Return the challenger with its predictions of the test rows."""
    unit = _unit(context.spec)
    return Challenger(evaluation, context.outcome(model), unit, slice_rows(context))


def champion_on(
    context: EvaluationContext,
    champion: Model,
    version: str,
    challenger: Signature,
    training: Training | None = None,
) -> Champion:
    """Return the champion with its predictions of the test rows, or why it has none.

    Parameters
    ----------
    challenger : Signature
        The champion has to predict the same thing.
    training : Training, optional
        The champion's: it says which test rows it may have been trained on.
    """
    outcome = _predictions(context, champion, challenger)
    seen = context.dataset.learned_by(training, context.part) if training else 0
    needs_id = context.spec.split.by == "random" and not context.spec.data.id
    return Champion(version, outcome, seen, needs_id)


def _predictions(
    context: EvaluationContext, champion: Model, challenger: Signature
) -> Outcome | NotComparable:
    old = champion.signature
    known = (old.task, old.target, old.positive)
    wanted = (challenger.task, challenger.target, challenger.positive)
    if known != wanted:
        detail = f"{old.task}: {old.target}"
        return NotComparable(obstacle="another target", detail=detail)
    try:
        return context.outcome(champion)
    except UsageError as error:
        detail = error.problems[0].what
        return NotComparable(obstacle="cannot predict", detail=detail)


def _unit(spec: ModelSpec) -> UnitName:
    names: dict[str, UnitName] = {"group": "groups", "time": "periods"}
    return names.get(spec.split.by, "rows")

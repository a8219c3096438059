"""What the models predicted for the test rows, as files.

The test step, which runs the model's own code, writes them; gate and report read them
and run none of that code.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mlops.errors import Problem, Refused, UsageError
from mlops.io.files import read_json, replacing, write_json
from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.results.training import Training

if TYPE_CHECKING:
    from mlops.evaluation.outcome import EvaluationContext, WorthOf
    from mlops.pipeline.handed_over import HandedOverModel
    from mlops.registry.chain import Bundle
    from mlops.training.model import Model

CHALLENGER = "predictions.parquet"
CHAMPION = "champion.parquet"
PROBLEMS = "champion_problems.json"
ANCHOR = "anchor.parquet"
ANCHOR_PROBLEMS = "anchor_problems.json"

FILES = (CHALLENGER, CHAMPION, PROBLEMS, ANCHOR, ANCHOR_PROBLEMS)


def write_predictions(
    state: RunState,
    context: EvaluationContext,
    challenger: Model,
    champion: Model | None,
    anchor: Model | None,
) -> None:
    """Write what the models predict for the test rows.

    A champion or an anchor that cannot predict them is no failure of the challenger:
    why it cannot is written instead.
    """
    with replacing(state.build / CHALLENGER) as temporary:
        context.handed_over(challenger).to_parquet(temporary)
    _write(state, context, champion, CHAMPION, PROBLEMS)
    _write(state, context, anchor, ANCHOR, ANCHOR_PROBLEMS)


def _write(
    state: RunState,
    context: EvaluationContext,
    model: Model | None,
    predictions: str,
    problems: str,
) -> None:
    """Write what a model predicts, or why it cannot; nothing where there is none."""
    for file in (predictions, problems):
        (state.build / file).unlink(missing_ok=True)
    if model is None:
        return
    try:
        predicted = context.handed_over(model)
    except (UsageError, Refused) as error:
        entries = [asdict(problem) for problem in error.problems]
        write_json(state.build / problems, entries)
    else:
        with replacing(state.build / predictions) as temporary:
            predicted.to_parquet(temporary)


def evaluation_context(state: RunState) -> EvaluationContext:
    """Return the test rows, with what is known of each model made once."""
    if state.evaluation is None:
        from mlops.evaluation.outcome import EvaluationContext

        state.evaluation = EvaluationContext(
            state.spec, dataset(state), state.folder, state.part
        )
        value = state.spec.metrics.value
        if value is not None and value.function is not None:
            state.evaluation.worth_of = _worth_of(state, value.function)
    return state.evaluation


def _worth_of(state: RunState, function: str) -> WorthOf:
    """Return what calls the model's function, where rows are judged that need it."""
    from mlops.evaluation.value_function import worth_function
    from mlops.training.code import ModelCode

    return worth_function(lambda: ModelCode.read(state.folder, state.name), function)


def challenger(state: RunState) -> HandedOverModel:
    """Return the trained model, as far as its files say what it predicted."""
    from mlops.pipeline.handed_over import HandedOverModel, read_predictions

    if state.challenger is None:
        signature = Training.load(state.build).signature
        path = state.build / CHALLENGER
        predicted = read_predictions(path, signature, _has_worth(state))
        state.challenger = HandedOverModel(state.name, signature, predicted)
    return state.challenger


def _has_worth(state: RunState) -> bool:
    """Return whether what was handed over says what each prediction is worth."""
    value = state.spec.metrics.value
    return value is not None and value.function is not None


def champion(state: RunState) -> HandedOverModel | None:
    """Return the model in production likewise; None where there is none."""
    release = state.production.release
    if release is None:
        return None
    if state.champion is None:
        state.champion = _read(state, release, CHAMPION, PROBLEMS)
    return state.champion


def anchor(state: RunState) -> HandedOverModel | None:
    """Return the model that the one in production is a refresh of, likewise."""
    release = state.production.anchor
    return _read(state, release, ANCHOR, ANCHOR_PROBLEMS) if release else None


def _read(
    state: RunState, release: Bundle, predictions: str, problems: str
) -> HandedOverModel:
    """Return a model of the registry, as far as files say what it predicted."""
    from mlops.pipeline.handed_over import HandedOverModel, read_predictions

    signature = release.manifest.signature
    if (state.build / problems).is_file():
        entries = read_json(state.build / problems)
        error = UsageError(*(Problem(**entry) for entry in entries))
        return HandedOverModel(state.name, signature, error)
    path = state.build / predictions
    predicted = read_predictions(path, signature, _has_worth(state))
    return HandedOverModel(state.name, signature, predicted)

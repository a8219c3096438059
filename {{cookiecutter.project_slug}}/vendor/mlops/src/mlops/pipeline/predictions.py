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
    from mlops.evaluation.outcome import EvaluationContext
    from mlops.pipeline.handed_over import HandedOverModel
    from mlops.training.model import Model

CHALLENGER = "predictions.parquet"
CHAMPION = "champion.parquet"
PROBLEMS = "champion_problems.json"

FILES = (CHALLENGER, CHAMPION, PROBLEMS)


def write_predictions(
    state: RunState,
    context: EvaluationContext,
    challenger: Model,
    champion: Model | None,
) -> None:
    """Write what both models predict for the test rows.

    A champion that cannot predict them is no failure of the challenger: why it cannot
    is written instead.
    """
    with replacing(state.build / CHALLENGER) as temporary:
        context.predicted(challenger).to_parquet(temporary)
    for file in (CHAMPION, PROBLEMS):
        (state.build / file).unlink(missing_ok=True)
    if champion is None:
        return
    try:
        predicted = context.predicted(champion)
    except (UsageError, Refused) as error:
        problems = [asdict(problem) for problem in error.problems]
        write_json(state.build / PROBLEMS, problems)
    else:
        with replacing(state.build / CHAMPION) as temporary:
            predicted.to_parquet(temporary)


def evaluation_context(state: RunState) -> EvaluationContext:
    """Return the test rows, with what is known of each model made once."""
    if state.evaluation is None:
        from mlops.evaluation.outcome import EvaluationContext

        state.evaluation = EvaluationContext(state.spec, dataset(state), state.folder)
    return state.evaluation


def challenger(state: RunState) -> HandedOverModel:
    """Return the trained model, as far as its files say what it predicted."""
    from mlops.pipeline.handed_over import HandedOverModel, read_predictions

    if state.challenger is None:
        signature = Training.load(state.build).signature
        predicted = read_predictions(state.build / CHALLENGER, signature)
        state.challenger = HandedOverModel(state.name, signature, predicted)
    return state.challenger


def champion(state: RunState) -> HandedOverModel | None:
    """Return the model in production likewise; None where there is none."""
    from mlops.pipeline.handed_over import HandedOverModel, read_predictions

    release = state.production.release
    if release is None:
        return None
    if state.champion is None:
        signature = release.manifest.signature
        problems = state.build / PROBLEMS
        if problems.is_file():
            error = UsageError(*(Problem(**entry) for entry in read_json(problems)))
            state.champion = HandedOverModel(state.name, signature, error)
        else:
            predicted = read_predictions(state.build / CHAMPION, signature)
            state.champion = HandedOverModel(state.name, signature, predicted)
    return state.champion

"""The test step: measure the model on the test rows and check how it behaves."""

from __future__ import annotations

from mlops.pipeline.model_files import is_test
from mlops.pipeline.models import load_challenger, load_champion
from mlops.pipeline.predictions import FILES, evaluation_context, write_predictions
from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step, keys


def run(state: RunState) -> bool:
    """Write evaluation, predictions and the rows that travel with a version."""
    from mlops.evaluation.evaluate import evaluate

    challenger = load_challenger(state)
    champion = load_champion(state)
    context = evaluation_context(state)
    evaluation = evaluate(
        state.project,
        state.name,
        state.spec,
        dataset(state),
        challenger,
        champion,
        context,
    )
    write_predictions(state, context, challenger, champion)
    return evaluation.ok


STEP = Step(
    name="test",
    run=run,
    keys=keys(
        "task",
        "data",
        "features",
        "metrics",
        "checks",
        "slices",
        "fairness",
        "split",
        "sensitive",
        train=("seed",),
    ),
    code=is_test,
    reads=("snapshot.json", "snapshot.parquet", "training.json", "model.skops"),
    writes=("evaluation.json", "reference.parquet", "examples.json", *FILES),
    runs_user_code=True,
    asks_production=True,
)

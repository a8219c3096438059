"""The test step: measure the model on the test rows and check how it behaves."""

from __future__ import annotations

from mlops.pipeline.model_files import is_test
from mlops.pipeline.models import challenger, champion, evaluation_context
from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step, keys


def run(state: RunState) -> bool:
    """Write the evaluation, and the rows that travel with a version."""
    from mlops.evaluation.evaluate import evaluate

    evaluation = evaluate(
        state.project,
        state.name,
        state.spec,
        dataset(state),
        challenger(state),
        champion(state),
        evaluation_context(state),
    )
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
    writes=("evaluation.json", "reference.parquet", "examples.json"),
    asks_production=True,
)

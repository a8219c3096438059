"""The test step: measure the model on rows it never saw, and check how it behaves."""

from __future__ import annotations

import time

from mlops.pipeline import compiling
from mlops.pipeline.model_files import is_test
from mlops.pipeline.models import load_anchor, load_challenger, load_champion
from mlops.pipeline.predictions import FILES, evaluation_context, write_predictions
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step, keys
from mlops.results.baseline import Baseline
from mlops.results.training import Training


def run(state: RunState) -> bool:
    """Write evaluation, predictions, the compiled model and the rows that travel."""
    from mlops.evaluation.evaluate import evaluate, with_own_tests
    from mlops.evaluation.samples import draw
    from mlops.evaluation.user_tests import own_tests
    from mlops.monitoring.baseline import draw_baseline

    begun = time.perf_counter()
    context = evaluation_context(state)
    model = load_challenger(state)
    production = load_champion(state)
    size_mb = Training.load(state.build).model_bytes / 1e6
    measured = evaluate(context, model, size_mb)
    own = own_tests(
        state.project.root,
        state.project.folder(state.name) / "tests",
        context,
        model,
        production,
    )
    evaluation = with_own_tests(measured, own)
    seconds = round(time.perf_counter() - begun, 3)
    draw(state.spec, model, context.test, context.predicted(model), state.build)
    draw_baseline(context, model).save(state.build)
    evaluation.model_copy(update={"seconds": seconds}).save(state.build)
    write_predictions(state, context, model, production, load_anchor(state))
    compiling.write_compiled(state, context, model)
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
        "serving",
        train=("seed",),
    ),
    code=is_test,
    reads=("snapshot.json", "snapshot.parquet", "training.json", "model.skops"),
    writes=(
        "evaluation.json",
        "reference.parquet",
        "examples.json",
        Baseline.FILE,
        *FILES,
        *compiling.FILES,
    ),
    runs_user_code=True,
    asks_production=True,
    asks_part=True,
)

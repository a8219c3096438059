"""Cross-validation of one combination of parameters: what `mlops sweep` asks for."""

from __future__ import annotations

from mlops.pipeline.model_files import is_model
from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step
from mlops.results.runs import CrossValidation


def run(state: RunState) -> bool:
    """Write how good the model is on the training part, each row predicted unseen."""
    from mlops.evaluation.sweep import cross_validate

    training, metrics = cross_validate(
        state.project, state.name, state.spec, dataset(state)
    )
    CrossValidation(training=training, metrics=metrics).save(state.build)
    return True


# No step of `mlops run`, and so never cached: it reads as the train step does.
STEP = Step(
    name="cross-validation",
    run=run,
    keys=None,
    code=is_model,
    reads=("snapshot.json", "snapshot.parquet"),
    writes=(CrossValidation.FILE,),
    runs_user_code=True,
)

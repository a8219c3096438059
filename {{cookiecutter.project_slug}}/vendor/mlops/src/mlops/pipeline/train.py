"""The train step: fit the model on the training part of the snapshot."""

from __future__ import annotations

from mlops.pipeline.model_files import is_model
from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step, keys


def run(state: RunState) -> bool:
    """Write the model file, its features.py and the facts of the training."""
    from mlops.training.fit import train

    rows = dataset(state)
    train(state.project, state.name, state.spec, rows)
    return True


STEP = Step(
    name="train",
    run=run,
    keys=keys("task", "data", "features", "split", "train", "metrics"),
    code=is_model,
    reads=("snapshot.json", "snapshot.parquet"),
    writes=("training.json", "model.skops", "features.py", "modules.json"),
    runs_user_code=True,
)

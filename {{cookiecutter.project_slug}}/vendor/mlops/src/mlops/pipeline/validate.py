"""The validate step: read the data, take the snapshot, ask the data contract."""

from __future__ import annotations

from mlops.pipeline.model_files import is_contract
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step, keys


def run(state: RunState) -> bool:
    """Write the snapshot and what the contract says of it."""
    from mlops.data.validation import validate

    dataset, validation = validate(
        state.project, state.name, state.spec, state.meanwhile
    )
    state.dataset = dataset
    return validation.ok


STEP = Step(
    name="validate",
    run=run,
    keys=keys("task", "data", "features", "sensitive", "split"),
    code=is_contract,
    reads=(),
    writes=("validation.json", "snapshot.json", "snapshot.parquet"),
    reads_data=True,
)

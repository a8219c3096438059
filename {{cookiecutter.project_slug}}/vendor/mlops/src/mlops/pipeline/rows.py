"""The rows of a run: made by validate, read back where that was skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.pipeline.state import RunState

if TYPE_CHECKING:
    from mlops.data.snapshot import Dataset


def dataset(state: RunState) -> Dataset:
    """Return the snapshot of a run."""
    if state.dataset is None:
        from mlops.data.snapshot import Dataset

        state.dataset = Dataset.load(state.build, state.spec)
    return state.dataset

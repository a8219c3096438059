"""The models of a run, challenger and champion, and what they predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState

if TYPE_CHECKING:
    from mlops.evaluation.outcome import EvaluationContext
    from mlops.training.model import Model


def challenger(state: RunState) -> Model:
    """Return the model that was trained, read back where training was skipped."""
    if state.challenger is None:
        from mlops.training.model import Model

        trusted = state.project.spec.trusted_types
        state.challenger = Model.load(state.build, state.name, trusted)
    return state.challenger


def champion(state: RunState) -> Model | None:
    """Return the model in production; None where there is none."""
    if state.champion is None:
        release = state.production.release
        state.champion = release.model() if release else None
    return state.champion


def evaluation_context(state: RunState) -> EvaluationContext:
    """Return the test rows, and what each model predicts for them, made once."""
    if state.evaluation is None:
        from mlops.evaluation.outcome import EvaluationContext

        state.evaluation = EvaluationContext(state.spec, dataset(state), state.folder)
    return state.evaluation

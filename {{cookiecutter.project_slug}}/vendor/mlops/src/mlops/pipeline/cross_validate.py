"""Cross-validation of combinations of parameters: what `mlops sweep` asks for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mlops.errors import MlopsError, error_facts
from mlops.pipeline.model_files import is_model
from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step
from mlops.results.data import Snapshot
from mlops.results.runs import CrossValidation, SweepRequest

if TYPE_CHECKING:
    from mlops.evaluation.trial import TrialCode, TrialData


def run(state: RunState) -> bool:
    """Write how good each combination is on the training part, rows predicted unseen.

    Whatever goes wrong with one of them is its result, and the others are tried.
    """
    request = SweepRequest.load(state.build)
    if request.whole:
        results = [_fitted(state, params) for params in request.params]
    elif request.backend:
        results = _spread(state, request)
    else:
        results = _in_turn(state, request)
    CrossValidation(results=tuple(results)).save(state.build)
    return True


def code_of(state: RunState) -> TrialCode:
    """Return what is tried, but for rows and parameters."""
    from mlops.evaluation.trial import TrialCode
    from mlops.training.code import ModelCode

    snapshot = Snapshot.load(state.build).digest
    code = ModelCode.read(state.folder, state.name)
    return TrialCode(state.name, state.spec, code, snapshot)


def _in_turn(state: RunState, request: SweepRequest) -> list[dict[str, Any]]:
    """Return what comes of combinations, tried here one after the other."""
    from mlops.evaluation.trial import outcome_of

    tried = code_of(state)
    make = partial(_data, state, tried)
    return [outcome_of(make, tried.digest, params) for params in request.params]


def _data(state: RunState, tried: TrialCode) -> TrialData:
    """Return what is the same for each combination."""
    from mlops.evaluation.trial import TrialData

    return TrialData.of(state.name, tried.code, dataset(state))


def _spread(state: RunState, request: SweepRequest) -> list[dict[str, Any]]:
    """Return what comes of combinations, tried by workers."""
    from mlops.evaluation.trial import attempt
    from mlops.pipeline.workers import spread

    tried = code_of(state)
    task = partial(attempt, tried.digest)
    package = tried.packed(state.build)
    return spread(task, request.params, request.backend, request.jobs, package)


def _fitted(state: RunState, params: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a training on the whole training part, or of an error."""
    from mlops.training.fit import fit

    rows = dataset(state)
    train = state.spec.train.model_copy(update={"params": params})
    spec = state.spec.model_copy(update={"train": train})
    digest = rows.snapshot.digest
    try:
        fitted = fit(state.project, state.name, spec, rows.part("train"), digest)
    except MlopsError as error:
        return error_facts(error)
    return fitted.training.model_dump(mode="json")


# No step of `mlops run`, and so never cached: it reads as the train step does.
STEP = Step(
    name="cross-validation",
    run=run,
    keys=None,
    code=is_model,
    reads=("snapshot.json", "snapshot.parquet", SweepRequest.FILE),
    writes=(CrossValidation.FILE,),
    runs_user_code=True,
)

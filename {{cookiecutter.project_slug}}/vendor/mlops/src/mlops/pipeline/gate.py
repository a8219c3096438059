"""The gate step: compare challenger and champion and write the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.pipeline.model_files import is_nothing
from mlops.pipeline.predictions import (
    FILES,
    challenger,
    champion,
    evaluation_context,
)
from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step, keys
from mlops.results.evaluation import Evaluation
from mlops.results.training import Training

if TYPE_CHECKING:
    from mlops.registry.chain import Bundle


def run(state: RunState) -> bool:
    """Write the verdict; the step passes where it says promote."""
    from mlops.gate.verdict import decide

    release = state.production.release
    before = None
    code_changed = True
    if release:
        before = Training.model_validate_json(release.read("training.json"))
        code_changed = _code_changed(release, Training.load(state.build))
    verdict = decide(
        state.project,
        state.name,
        state.spec,
        dataset(state),
        challenger(state),
        champion(state),
        state.production.version,
        Evaluation.load(state.build),
        code_changed,
        evaluation_context(state),
        before,
    )
    return verdict.decision == "promote"


def _code_changed(release: Bundle, training: Training) -> bool:
    """Return whether more than data and libraries differs from the champion."""
    from mlops.registry.version_numbers import change

    lock = release.manifest.environment.lock_sha256
    with_its_lock = training.model_copy(update={"lock": lock})
    kind, _ = change(release.manifest, with_its_lock)
    return kind != "patch"


STEP = Step(
    name="gate",
    run=run,
    keys=keys("task", "data", "features", "metrics", "gate", "split"),
    code=is_nothing,
    reads=(
        "snapshot.json",
        "snapshot.parquet",
        "training.json",
        *FILES,
        "evaluation.json",
    ),
    writes=("verdict.json",),
    asks_production=True,
)

"""The gate step: compare challenger and champion and write the verdict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlops.pipeline.model_files import is_nothing
from mlops.pipeline.predictions import (
    FILES,
    anchor,
    challenger,
    champion,
    evaluation_context,
)
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step, keys
from mlops.results.evaluation import Evaluation
from mlops.results.training import Training

if TYPE_CHECKING:
    from mlops.gate.contenders import Champion
    from mlops.pipeline.handed_over import HandedOverModel
    from mlops.registry.chain import Bundle


def run(state: RunState) -> bool:
    """Write the verdict; the step passes where it says promote."""
    from mlops.gate.champion import challenger_on
    from mlops.gate.ledger import question_rule
    from mlops.gate.rules import rule_of
    from mlops.gate.verdict import compare
    from mlops.pipeline.ledger import ledger_of, with_ledger

    begun = time.perf_counter()
    release = state.production.release
    code_changed = True
    if release:
        code_changed = _code_changed(release, Training.load(state.build))
    context = evaluation_context(state)
    evaluation = Evaluation.load(state.build)
    rule = rule_of(state.spec, code_changed)
    ledger = ledger_of(state)
    verdict = compare(
        challenger_on(context, challenger(state), evaluation),
        _champion(state),
        question_rule(rule, ledger) if ledger and state.part == "test" else rule,
        _anchor(state),
    )
    if ledger:
        verdict = with_ledger(state, verdict, rule, ledger)
    seconds = round(time.perf_counter() - begun, 3)
    update = {"seconds": seconds, "code_changed": code_changed}
    verdict.model_copy(update=update).save(state.build)
    return verdict.decision == "promote"


def _champion(state: RunState) -> Champion | None:
    """Return what the version in production answers on the test rows."""
    release = state.production.release
    model = champion(state)
    if release is None or model is None:
        return None
    return _contender(state, release, model)


def _anchor(state: RunState) -> Champion | None:
    """Return what the version that production is a refresh of answers on them."""
    release = state.production.anchor
    model = anchor(state)
    if release is None or model is None:
        return None
    return _contender(state, release, model)


def _contender(state: RunState, release: Bundle, model: HandedOverModel) -> Champion:
    """Return what a version of the registry answers on the test rows."""
    from mlops.gate.champion import champion_on

    training = Training.model_validate_json(release.read("training.json"))
    context = evaluation_context(state)
    version = release.manifest.version
    return champion_on(context, model, version, challenger(state).signature, training)


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
    keys=keys("task", "data", "features", "metrics", "gate", "split", "slices"),
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
    asks_part=True,
    reads_ledger=True,
)

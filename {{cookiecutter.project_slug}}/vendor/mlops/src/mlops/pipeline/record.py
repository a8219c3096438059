"""The record that is kept of a run in the run log."""

from __future__ import annotations

import platform
import secrets

from mlops import __version__
from mlops.gate.replay import rules_of
from mlops.io.engine import engine_digest
from mlops.pipeline.report import run_report
from mlops.pipeline.run_context import RunContext
from mlops.pipeline.state import RunState
from mlops.results.evaluation import Evaluation, EvaluationRecord
from mlops.results.runs import Record

_MOST_SLICES = 200


def record_of(context: RunContext, state: RunState, group: str | None = None) -> Record:
    """Return a run as the run log keeps it.

    Parameters
    ----------
    context : RunContext
    state : RunState
    group : str, optional
        What the run belongs to; by default its pull request.
    """
    known = run_report(state)
    snapshot = known.validation.snapshot if known.validation else None
    if snapshot:
        # What is in each column is in the report; records need not repeat it.
        snapshot = snapshot.model_copy(update={"columns": ()})
    seconds = sum(known.run.seconds.values())
    price = state.project.spec.cost
    pull_request = context.pull_request
    if group is None and pull_request:
        group = f"pr-{pull_request}"
    return Record(
        id=f"{state.started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        model=state.name,
        started=state.started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        stages=state.states,
        outcome=known.verdict.decision if known.verdict else _outcome_so_far(state),
        commit=state.commit,
        dirty=state.dirty,
        actor=context.actor,
        pull_request=pull_request,
        group=group,
        run_url=context.run_url,
        engine=__version__,
        engine_sha256=engine_digest(),
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
        cost=round(seconds / 3600 * price.per_hour, 6),
        currency=price.currency,
        data=snapshot,
        training=known.training,
        metrics=known.evaluation.metrics if known.evaluation else (),
        measured_on=known.evaluation.part if known.evaluation else "test",
        verdict=known.verdict,
        rules=rules_of(known.spec),
        judged=_judged(known.evaluation) if known.evaluation else None,
    )


def _judged(evaluation: Evaluation) -> EvaluationRecord:
    """Return what other rules could judge later; no value of the data is in it."""
    measured = [part for part in evaluation.slices if part.metric is not None]
    return EvaluationRecord(
        latency_ms=evaluation.latency_ms,
        slices=tuple(
            part.model_copy(update={"value": ""}) for part in measured[:_MOST_SLICES]
        ),
        fairness=tuple(
            found.model_copy(update={"groups": ()})
            for found in evaluation.fairness
            if found.measured
        ),
    )


def _outcome_so_far(state: RunState) -> str:
    """Return the step that failed first, or `trained`."""
    for step, ended in state.states.items():
        if ended == "failed":
            return step
    return "trained"

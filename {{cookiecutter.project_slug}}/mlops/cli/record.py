"""What comes of a run: the facts for its report, and the record for the journal."""

from __future__ import annotations

import platform
import secrets
from typing import TYPE_CHECKING

from mlops import __version__
from mlops.reporting.facts import Everything, Rows
from mlops.reporting.facts import Run as Made
from mlops.results import Evaluation, Record, Training, Validation, Verdict

if TYPE_CHECKING:
    from mlops.cli.run import Run


def facts(run: Run, rows: bool = False) -> Everything:
    """Return all that is known of a run; with `rows` also what charts are drawn from."""
    ran = {s: t for s, t in run.seconds.items() if run.states.get(s) != "skipped"}
    champion = run.champion_release if "test" in run.seconds else None
    return Everything(
        model=run.name,
        spec=run.spec,
        validation=run.result("validate", Validation),
        training=run.result("train", Training),
        evaluation=run.result("test", Evaluation),
        verdict=run.result("gate", Verdict),
        run=Made(run.commit, run.dirty, ran, run.project.spec.cost),
        rows=_rows(run) if rows and "test" in run.seconds else None,
        champion=champion.manifest.metrics if champion else (),
    )


def _rows(run: Run) -> Rows:
    """Return the test rows' targets and predictions as arrays."""
    predicted = run.bench.predicted(run.model)
    score = predicted["score"].to_numpy() if "score" in predicted else None
    if run.spec.task == "multiclass":
        score = predicted.filter(like="p_").to_numpy(dtype=float).max(axis=1)
    old = run.bench.predicted(run.champion) if run.champion else None
    return Rows(
        actual=run.bench.test[run.spec.data.target].to_numpy(),
        predicted=predicted["prediction"].to_numpy(),
        score=score,
        champion=old["score"].to_numpy() if old is not None and "score" in old else None,
    )


def record(run: Run) -> Record:
    """Return a run as the journal keeps it, and write it into the build folder."""
    known = facts(run)
    failed = next((s for s, state in run.states.items() if state == "failed"), "")
    seconds, price = sum(known.run.seconds.values()), run.project.spec.cost
    made = Record(
        id=f"{run.started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        model=run.name,
        started=run.started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        stages=run.states,
        outcome=known.verdict.decision if known.verdict else failed or "trained",
        commit=run.commit,
        dirty=run.dirty,
        actor=run.context.actor,
        pull_request=run.context.pull_request,
        run_url=run.context.run_url,
        engine=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
        cost=round(seconds / 3600 * price.per_hour, 6),
        currency=price.currency,
        data=known.validation.snapshot if known.validation else None,
        training=known.training,
        metrics=known.evaluation.metrics if known.evaluation else (),
        verdict=known.verdict,
    )
    made.save(run.folder)
    return made

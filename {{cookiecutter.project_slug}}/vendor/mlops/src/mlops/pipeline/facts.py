"""What a report needs to know of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.reporting.run_report import Rows, RunReport
from mlops.reporting.run_report import RunInfo as Made
from mlops.results.data import Validation
from mlops.results.evaluation import Evaluation
from mlops.results.training import Training
from mlops.results.verdict import Verdict

if TYPE_CHECKING:
    from mlops.pipeline.run import Run


def facts(run: Run, rows: bool = False) -> RunReport:
    """Return all that is known of a run; with `rows` also what charts are drawn from."""
    ran = {s: t for s, t in run.seconds.items() if run.states.get(s) != "skipped"}
    champion = run.champion_release if "test" in run.seconds else None
    return RunReport(
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
    said = run.result("gate", Verdict)
    old = (
        run.bench.predicted(run.champion)
        if run.champion and said and said.comparison
        else None
    )
    return Rows(
        actual=run.bench.test[run.spec.data.target].to_numpy(),
        predicted=predicted["prediction"].to_numpy(),
        score=score,
        champion=old["score"].to_numpy()
        if old is not None and "score" in old
        else None,
    )

"""The report step: all that is known of a run, as markdown, a page and a model card."""

from __future__ import annotations

from typing import TypeVar

from mlops.io import files
from mlops.pipeline.model_files import is_nothing
from mlops.pipeline.predictions import (
    FILES,
    challenger,
    champion,
    evaluation_context,
)
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step
from mlops.reporting.run_report import PredictedRows, RunInfo, RunReport
from mlops.results.base import StoredResult
from mlops.results.compilation import Compilation
from mlops.results.data import Snapshot, Validation
from mlops.results.evaluation import Evaluation
from mlops.results.since_production import Change, SliceDifference, VersionMetric
from mlops.results.training import Training
from mlops.results.verdict import Verdict

Kind = TypeVar("Kind", bound=StoredResult)

_MOST_VERSIONS = 12  # in a chart that can be read


def run(state: RunState) -> bool:
    """Write specification, report, page and card; this step always passes."""
    from mlops.reporting.card import card
    from mlops.reporting.html import html
    from mlops.reporting.markdown import markdown

    report = run_report(state, rows=True)
    made = {
        "Commit": state.commit or "",
        "Made": f"{state.started:%Y-%m-%d %H:%M} UTC",
    }
    files.write_json(state.build / "spec.json", state.spec.model_dump(mode="json"))
    files.write_text(state.build / "report.md", markdown(report))
    files.write_text(state.build / "report.html", html(report))
    files.write_text(state.build / "card.md", card(report, made))
    return True


def run_report(state: RunState, rows: bool = False) -> RunReport:
    """Return all that is known of a run.

    Parameters
    ----------
    state : RunState
    rows : bool
        Whether to add what only the report shows: what charts are drawn from, slices
        against production, what changed, and the versions before.
    """
    tested = "test" in state.seconds
    release = state.production.release if tested else None
    return RunReport(
        model=state.name,
        spec=state.spec,
        validation=_result(state, "validate", Validation),
        training=_result(state, "train", Training),
        evaluation=_result(state, "test", Evaluation),
        verdict=_result(state, "gate", Verdict),
        compilation=_result(state, "test", Compilation),
        run=_info(state),
        rows=_rows(state) if rows and tested else None,
        champion=release.manifest.metrics if release else (),
        slices=_slices(state) if rows and tested else (),
        changes=_changes(state) if rows and tested else None,
        versions=_versions(state) if rows and tested else (),
    )


def _info(state: RunState) -> RunInfo:
    """Return who made a run, when, and for which change."""
    return RunInfo(
        commit=state.commit,
        dirty=state.dirty,
        seconds=_seconds_spent(state),
        price=state.project.spec.cost,
        started=f"{state.started:%Y-%m-%d %H:%M} UTC",
        actor=state.actor,
        pull_request=state.pull_request,
        change=_change(state),
    )


def _change(state: RunState) -> str:
    """Return what changed since the version in production; empty where that is unknown.

    A run that only trains does not ask the registry: an old version is trained again
    in a folder that has none.
    """
    from mlops.registry.version_numbers import change

    release = state.production.release if state.reached("test") else None
    if release is None:
        return ""
    _, reason = change(release.manifest, Training.load(state.build))
    return f"{reason} since {state.production.version}"


def _slices(state: RunState) -> tuple[SliceDifference, ...]:
    """Return challenger against champion by slice, where both could be asked."""
    from mlops.evaluation.slices import slice_differences

    verdict = _result(state, "gate", Verdict)
    old = champion(state)
    if old is None or verdict is None or verdict.comparison is None:
        return ()
    return slice_differences(evaluation_context(state), challenger(state), old)


def _changes(state: RunState) -> tuple[Change, ...] | None:
    """Return what is not as in the version in production, None without one."""
    from mlops.registry.changes import changes, lock_of, packages

    release = state.production.release
    if release is None:
        return None
    project = state.project
    locks = None
    before = lock_of(project.root, release.manifest, project.lock)
    if before is not None and project.lock.is_file():
        locks = (before, packages(project.lock.read_text(encoding="utf-8")))
    training = Training.load(state.build)
    snapshot = Snapshot.load(state.build)
    return changes(release.manifest, training, snapshot, locks)


def _versions(state: RunState) -> tuple[VersionMetric, ...]:
    """Return the primary metric of the newest versions, the oldest of them first."""
    from mlops.errors import Refused
    from mlops.registry.manifest import manifests
    from mlops.registry.tags import read_registry

    if state.production.version is None:
        return ()
    known = read_registry(state.project.root).model(state.name)
    active = [version for version in known.versions.values() if version.active]
    found = []
    for number, manifest in manifests(state.project.root, active[-_MOST_VERSIONS:]):
        if isinstance(manifest, Refused):
            continue
        for metric in manifest.metrics:
            if metric.name == state.spec.metrics.primary:
                rows = manifest.verdict.rows
                found.append(VersionMetric(version=number, metric=metric, rows=rows))
    return tuple(found)


def _result(state: RunState, step: str, kind: type[Kind]) -> Kind | None:
    """Return the result of a step, None where this run did not reach it."""
    return kind.load(state.build) if state.reached(step) else None


def _seconds_spent(state: RunState) -> dict[str, float]:
    """Return how long each step took that this run did."""
    return {
        step: seconds
        for step, seconds in state.seconds.items()
        if state.states.get(step) != "skipped"
    }


def _rows(state: RunState) -> PredictedRows:
    """Return targets and predictions of the test rows as arrays."""
    context = evaluation_context(state)
    predicted = context.predicted(challenger(state))
    score = predicted["score"].to_numpy() if "score" in predicted else None
    if state.spec.task == "multiclass":
        chances = predicted.filter(like="p_").to_numpy(dtype=float)
        score = chances.max(axis=1)
    champion_score = None
    verdict = _result(state, "gate", Verdict)
    old = champion(state)
    if old is not None and verdict is not None and verdict.comparison:
        before = context.predicted(old)
        if "score" in before:
            champion_score = before["score"].to_numpy()
    return PredictedRows(
        actual=context.test[state.spec.data.target].to_numpy(),
        predicted=predicted["prediction"].to_numpy(),
        score=score,
        champion=champion_score,
    )


STEP = Step(
    name="report",
    run=run,
    keys=None,
    code=is_nothing,
    reads=(
        "validation.json",
        "snapshot.json",
        "snapshot.parquet",
        "training.json",
        *FILES,
        "evaluation.json",
        "verdict.json",
    ),
    writes=("spec.json", "report.md", "report.html", "card.md"),
    asks_production=True,
    shows_commit=True,
)

"""The decision to take the rows of a check as the reference.

It stands on the run log beside the checks, and not in a tag: it moves no version.
"""

from __future__ import annotations

from typing import Any

from mlops.config.project import Project
from mlops.errors import Refused, UsageError, listed
from mlops.registry import tags
from mlops.registry.decisions import Decision, require_stage_approver
from mlops.results.monitoring import Acceptance, AcceptedColumn, DriftCheck
from mlops.runlog.query import checks


def accept(project: Project, name: str, stage: str, **decision: Any) -> Acceptance:
    """Return the acceptance of the last check of the version in a stage.

    Parameters
    ----------
    stage : str
        Where it names approvers, one of them has to accept, as for a promotion.
    **decision
        As `Decision`.

    Raises
    ------
    UsageError
        Where there is no check that could be accepted.
    Refused
        Where this person may not accept, nothing has drifted, or approvals have to be
        signed: the run log has no signatures.
    """
    by = Decision(**decision)
    if not by.reason.strip():
        raise UsageError("an acceptance needs a reason", key="--reason", found="''")
    state = tags.read_registry(project.root)
    version = tags.resolve(state, f"{name}@{stage}")
    last = _last_check(project, name, stage, version.number)
    _require_drift(last)
    _require_unsigned(project, stage, name)
    require_stage_approver(project, stage, version, by.decider)
    approvers = project.stage(stage).approvers_for(name)
    columns = tuple(
        AcceptedColumn(
            name=column.name,
            counts=column.counts,
            mean=column.mean,
            deviation=column.deviation,
        )
        for column in last.columns
    )
    return Acceptance(
        model=name,
        version=version.number,
        stage=stage,
        at=by.now.isoformat(timespec="seconds"),
        actor=by.actor,
        approver=by.decider if approvers else None,
        reason=by.reason.strip(),
        run_url=by.run,
        since=last.since,
        until=last.until,
        rows=last.rows,
        columns=columns,
    )


def _last_check(project: Project, name: str, stage: str, version: str) -> DriftCheck:
    """Return the newest check of a version, which must have counts."""
    own = [raw for raw in checks(project, name) if raw.get("version") == version]
    do = f"`mlops monitor {name}@{stage}` makes one"
    if not own:
        raise UsageError(
            "there is no check whose rows could be accepted",
            found=f"no check of {name}@{version} on the run log",
            do=do,
        )
    last = DriftCheck.model_validate(own[-1])
    if not last.columns or not all(column.counts for column in last.columns):
        problem = "too few rows" if not last.enough else "an older engine made it"
        raise UsageError(
            "the rows of the last check cannot be accepted", found=problem, do=do
        )
    return last


def _require_drift(last: DriftCheck) -> None:
    """Raise Refused where no column has drifted: there is no new normal."""
    if any(column.alarm or column.changed for column in last.columns):
        return
    worse = [p.window.name for p in last.performance if p.alarm]
    worse += [f"{p.loss} where {p.title}" for p in last.slices if p.alarm]
    if worse:
        raise Refused(
            "predictions are worse, and no column has drifted: no reference ends that",
            found=listed(worse),
            do="`mlops run` on fresh data, or `mlops rollback`",
        )
    raise Refused(
        "the last check found nothing to accept", found="no column has changed"
    )


def _require_unsigned(project: Project, stage: str, model: str) -> None:
    """Raise Refused where project.yaml demands signatures of approvers."""
    people = project.stage(stage).approvers_for(model)
    if project.spec.allowed_signers and people:
        raise Refused(
            "approvals have to be signed, and the run log has no signatures",
            file="project.yaml",
            key="allowed_signers",
            do="train a version on the new data, and promote it with a signature",
        )

"""What came of a run, and what the files say of how it had to come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.event import Event
from rehearsal.runner.concurrency import filled, github
from rehearsal.runner.joblog import pattern_of_name
from rehearsal.workflow import Workflow, as_list


@dataclass(frozen=True)
class Run:
    """A workflow that ran.

    Parameters
    ----------
    workflow : str
        The file's name without its suffix.
    jobs : dict
        ``success``, ``failure``, ``skipped`` or ``cancelled`` of every job in the file; those of a
        matrix as ``train (employment)``.
    seconds : dict
        Wall time of each job that ran; `wall` is that of all, with what act needs to start.
    log : str
        ``job | line``.
    artifacts : dict
        The folder of each.
    outputs, summaries : dict
        By job.
    annotations : list
        (level, text) as shown on the run's page.
    """

    id: int
    workflow: str
    event: Event
    jobs: dict[str, str]
    conclusion: str
    log: str = ""
    artifacts: dict[str, Path] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summaries: dict[str, str] = field(default_factory=dict)
    annotations: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0

    @property
    def summary(self) -> str:
        """What all jobs wrote into the run's summary."""
        return "\n".join(self.summaries.values())


def declared(workflow: Workflow) -> dict[str, tuple[str, list[str]] | None]:
    """Return the ids of jobs; for a call, what its name looks like and the ids of the other's."""
    called = workflow.called
    return {
        key: (pattern_of_name(str(job.get("name", key))), list(called[key].jobs))
        if key in called
        else None
        for key, job in workflow.jobs.items()
    }


def given_up(workflow: Workflow, results: Mapping[str, str]) -> list[str]:
    """Return the jobs that did not begin, after others failed, though their turn would come."""
    outcome: dict[str, str] = {}
    for key, call in declared(workflow).items():
        names = [n for n in results if n == key or n.startswith(f"{key} (")]
        if call:
            names += [n for n in results if re.match(f"{call[0]} / ", n)]
        found = {results[name] for name in names}
        outcome[key] = next(
            (one for one in ("failure", "success") if one in found), "skipped"
        )
    if not any(outcome[key] == "failure" for key in workflow.called):
        # Nor does it go on after a matrix that cannot be made of the outputs of a job that failed.
        return [
            key
            for key, job in workflow.jobs.items()
            if _always(job) and outcome[key] == "skipped"
        ]

    def excused(key: str) -> bool:
        job = workflow.jobs[key]
        if re.search(r"\b(always|failure|cancelled)\(\)", str(job.get("if", ""))):
            return False
        needs = as_list(job.get("needs"))
        return any(
            outcome[one] == "failure" or outcome[one] == "skipped" for one in needs
        )

    idle = [
        key
        for key in outcome
        if outcome[key] == "skipped" and key not in workflow.called
    ]
    return [
        key
        for key in idle
        if as_list(workflow.jobs[key].get("needs")) and not excused(key)
    ]


def _always(job: Mapping[str, object]) -> bool:
    return str(job.get("if", "")).strip("${} ") == "always()"


def environment_of(
    workflow: Workflow,
    key: str,
    event: Event,
    matrix: Mapping[str, object] | None = None,
) -> str:
    """Return the name of a job's `environment:`; empty when it has none."""
    said = workflow.job(key).get("environment")
    named = said["name"] if isinstance(said, Mapping) else said
    context = {
        "github": github(workflow, event),
        "inputs": event.payload.get("inputs") or {},
        "matrix": matrix or {},
    }
    return str(filled(named, context)) if named else ""


def is_fork(event: Event) -> bool:
    """Say whether a run has a fork's rights: read-only token, no secrets."""
    pull = event.payload.get("pull_request") or {}
    head = ((pull.get("head") or {}).get("repo") or {}).get("full_name")
    base = ((pull.get("base") or {}).get("repo") or {}).get("full_name")
    return event.name == "pull_request" and (
        head != base or event.actor == "dependabot[bot]"
    )

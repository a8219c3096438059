"""What came of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.event import Event
from rehearsal.runner.expressions import fill, github_context
from rehearsal.runner.joblog import pattern_of_name
from rehearsal.workflow import Workflow

# A run's conclusion is the first of these that one of its jobs has.
_CONCLUSIONS = ("failure", "cancelled", "success")


@dataclass(frozen=True)
class Run:
    """A workflow that ran.

    Parameters
    ----------
    id : int
        GITHUB_RUN_ID.
    workflow : str
        The file's name without its suffix.
    event : Event
        What started it.
    jobs : dict
        ``success``, ``failure``, ``skipped`` or ``cancelled`` of every job in the file;
        those of a matrix as ``train (employment)``.
    conclusion : str
        Of the whole run.
    log : str
        ``job | line``.
    artifacts : dict
        The folder of each.
    outputs, summaries : dict
        By job.
    matrix : dict
        By job, what it has of a matrix.
    annotations : list
        (level, text) as shown on the run's page.
    seconds : dict
        Wall time of each job that ran.
    wall : float
        Wall time of the run in seconds, with what act needs to start.
    attempt : int
        Which one it is; what is said of jobs that did not run again is from before.
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
    matrix: dict[str, dict[str, Any]] = field(default_factory=dict)
    annotations: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    attempt: int = 1

    @property
    def summary(self) -> str:
        """What all jobs wrote into the run's summary."""
        return "\n".join(self.summaries.values())


def conclusion(jobs: Mapping[str, str]) -> str:
    """Return how a run ended whose jobs ended so."""
    results = set(jobs.values())
    for one in _CONCLUSIONS:
        if one in results:
            return one
    return "skipped"


def environment_of(
    workflow: Workflow,
    key: str,
    event: Event,
    matrix: Mapping[str, object] | None = None,
    call: str = "",
) -> str:
    """Return the name of a job's `environment:`; empty when it has none.

    Parameters
    ----------
    workflow : Workflow
    key : str
        The job's id, in the workflow or in one that it calls.
    event : Event
    matrix : mapping, optional
    call : str
        The id of the job that calls the other workflow, whose inputs are then its own.
    """
    declared = workflow.job(key).get("environment")
    name = declared["name"] if isinstance(declared, Mapping) else declared
    if not name:
        return ""
    context = {
        "github": github_context(workflow, event),
        "inputs": event.payload.get("inputs") or {},
        "matrix": matrix or {},
    }
    if call:
        context["inputs"] = workflow.jobs[call].get("with") or {}
    return str(fill(name, context))


def environments_of(workflow: Workflow, event: Event) -> set[str]:
    """Return the environments that the jobs of a workflow, and of its calls, name."""
    called = workflow.called
    names = {
        environment_of(workflow, key, event)
        for key in workflow.jobs
        if key not in called
    }
    for call, other in called.items():
        names |= {environment_of(workflow, k, event, call=call) for k in other.jobs}
    return names


def call_of(workflow: Workflow, caller: str) -> str:
    """Return the id of the job that a called workflow's jobs are shown under."""
    for key in workflow.called:
        pattern = pattern_of_name(str(workflow.jobs[key].get("name", key)))
        if re.fullmatch(pattern, caller):
            return key
    return ""


def is_fork(event: Event) -> bool:
    """Say whether a run has a fork's rights: read-only token, no secrets."""
    of_dependabot = event.name == "pull_request" and event.actor == "dependabot[bot]"
    return of_dependabot or from_fork(event)


def from_fork(event: Event) -> bool:
    """Say whether an event is about a pull request from a fork: it has no `vars`."""
    if event.name != "pull_request":
        return False
    pull = event.payload.get("pull_request") or {}
    head = (pull.get("head") or {}).get("repo") or {}
    base = (pull.get("base") or {}).get("repo") or {}
    return bool(head.get("full_name") != base.get("full_name"))

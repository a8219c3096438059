"""Which jobs a workflow file declares, and which of them act has left out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rehearsal.runner.joblog import Call, pattern_of_name
from rehearsal.workflow import Workflow, as_list

# A job whose `if:` names one of these runs after failures too.
_AFTER_FAILURE = re.compile(r"\b(always|failure|cancelled)\(\)")


def declared(workflow: Workflow) -> dict[str, Call | None]:
    """Return a workflow's jobs by id; of one that calls another workflow, the call."""
    called = workflow.called
    jobs: dict[str, Call | None] = {}
    for key, job in workflow.jobs.items():
        if key in called:
            pattern = pattern_of_name(str(job.get("name", key)))
            jobs[key] = Call(pattern, list(called[key].jobs))
        else:
            jobs[key] = None
    return jobs


def given_up(workflow: Workflow, results: Mapping[str, str]) -> list[str]:
    """Return the jobs that act left out after others failed and GitHub would have run.

    Parameters
    ----------
    workflow : Workflow
    results : mapping
        How each job ended, by its shown name.
    """
    outcomes = {
        key: _outcome(key, call, results) for key, call in declared(workflow).items()
    }
    idle = [
        key
        for key, outcome in outcomes.items()
        if outcome == "skipped" and key not in workflow.called
    ]
    if any(outcomes[key] == "failure" for key in workflow.called):
        return [key for key in idle if _would_run(workflow, key, outcomes)]
    # act also stops at a matrix that depends on the outputs of a job that failed.
    return [
        key
        for key, job in workflow.jobs.items()
        if _always(job) and outcomes[key] == "skipped"
    ]


def _outcome(key: str, call: Call | None, results: Mapping[str, str]) -> str:
    """Return how a job ended, with all of its matrix and of the workflow it calls."""
    names = [name for name in results if name == key or name.startswith(f"{key} (")]
    if call:
        names += [name for name in results if re.match(f"{call.pattern} / ", name)]
    found = {results[name] for name in names}
    for outcome in ("failure", "success"):
        if outcome in found:
            return outcome
    return "skipped"


def _would_run(workflow: Workflow, key: str, outcomes: Mapping[str, str]) -> bool:
    """Say whether GitHub would have run a job that needs others."""
    job = workflow.jobs[key]
    needs = as_list(job.get("needs"))
    if not needs:
        return False
    if _AFTER_FAILURE.search(str(job.get("if", ""))):
        return True
    return all(outcomes[one] == "success" for one in needs)


def _always(job: Mapping[str, object]) -> bool:
    return str(job.get("if", "")).strip("${} ") == "always()"

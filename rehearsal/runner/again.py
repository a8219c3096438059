"""Which jobs of a run run again, and the workflow that holds no others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rehearsal.runner.expected import declared
from rehearsal.runner.run import Run, conclusion
from rehearsal.workflow import NEWER_THAN_ACT, Workflow, as_list, without

# How a job ends that "Re-run failed jobs" begins with.
_FAILED = ("failure", "cancelled")
_OF_MATRIX = re.compile(r"\$\{\{\s*matrix\.(\w+)\s*\}\}")


def jobs_again(workflow: Workflow, earlier: Run) -> set[str]:
    """Return the ids of the jobs that failed, and of all that depend on them.

    References
    ----------
    https://docs.github.com/actions/how-tos/manage-workflow-runs/re-run-workflows-and-jobs
    """
    again = {
        key
        for key in workflow.jobs
        if any(
            earlier.jobs[name] in _FAILED for name in names_of(workflow, key, earlier)
        )
    }
    grows = True
    while grows:
        more = {
            key
            for key, job in workflow.jobs.items()
            if again & set(as_list(job.get("needs")))
        }
        grows = not more <= again
        again |= more
    return again


def names_of(workflow: Workflow, key: str, earlier: Run) -> list[str]:
    """Return the names under which a run shows a job, its matrix or what it calls."""
    call = declared(workflow)[key]
    pattern = rf"{re.escape(key)}( \(.*\))?"
    if call:
        pattern = f"{pattern}|{call.pattern} / .*"
    return [name for name in earlier.jobs if re.fullmatch(pattern, name)]


def with_failed_only(workflow: Workflow, earlier: Run) -> Workflow:
    """Return a workflow whose jobs that do not run again stand for what came of them.

    Of a matrix only the jobs that failed run again, and so it is with calls of another
    workflow. Of a call all jobs do here, where GitHub begins those that failed: no
    workflow that a generated repository calls has several.

    References
    ----------
    https://github.com/orgs/community/discussions/52505
    """
    again = jobs_again(workflow, earlier)
    jobs: dict[str, Any] = {}
    for key, job in workflow.jobs.items():
        remaining = without(job, NEWER_THAN_ACT)
        failed = _failed_of_matrix(workflow, key, earlier)
        if key not in again:
            remaining = _ended(names_of(workflow, key, earlier), earlier)
        elif failed:
            values = list(failed.values())
            strategy = {**remaining["strategy"], "matrix": {"include": values}}
            remaining = {**remaining, "strategy": strategy}
        jobs[key] = remaining
    document = {**without(workflow.document, NEWER_THAN_ACT), "jobs": jobs}
    return replace(workflow, document=document, text=json.dumps(document))


def with_earlier(workflow: Workflow, earlier: Run, run: Run) -> Run:
    """Return an attempt with what the jobs that did not run again came to before."""
    again = jobs_again(workflow, earlier)
    old: list[str] = []
    new: list[str] = []
    for key in workflow.jobs:
        names = names_of(workflow, key, earlier)
        failed = _failed_of_matrix(workflow, key, earlier)
        if key not in again:
            old += names
            continue
        if failed:
            old += [name for name in names if name not in failed]
        new += names_of(workflow, key, run)
    jobs = {name: earlier.jobs[name] for name in old}
    jobs |= {name: run.jobs[name] for name in new}
    return replace(
        run,
        jobs=jobs,
        conclusion=conclusion(jobs),
        outputs=_of_names(old, earlier.outputs) | _of_names(new, run.outputs),
        matrix=_of_names(old, earlier.matrix) | _of_names(new, run.matrix),
    )


def _of_names(names: list[str], mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}


def _failed_of_matrix(
    workflow: Workflow, key: str, earlier: Run
) -> dict[str, Mapping[str, Any]]:
    """Return the jobs of a matrix that failed, and what each has of the matrix.

    None where no matrix is narrowed.
    """
    job = workflow.jobs[key]
    failed: dict[str, Mapping[str, Any]] = {}
    for name in names_of(workflow, key, earlier):
        values = earlier.matrix.get(name)
        if "uses" in job:
            values = _values_of_call(str(job.get("name", key)), name)
        if values and earlier.jobs[name] in _FAILED:
            failed[name] = values
    return failed


def _values_of_call(title: str, shown: str) -> dict[str, str]:
    """Return what a call has of a matrix, as the name says under which it is shown.

    act does not tell. `checks` sees that the name of such a call has the matrix.
    """
    parts = _OF_MATRIX.split(title)
    pattern = "".join(
        f"(?P<{part}>[^/]+?)" if place % 2 else re.escape(part)
        for place, part in enumerate(parts)
    )
    match = re.match(f"{pattern} / ", shown)
    return match.groupdict() if match else {}


def _ended(names: list[str], earlier: Run) -> dict[str, Any]:
    """Return a job that does nothing and has the result and the outputs of another."""
    outputs: dict[str, str] = {}
    for name in names:
        outputs |= {k: v for k, v in earlier.outputs.get(name, {}).items() if v}
    skipped = all(earlier.jobs[name] == "skipped" for name in names)
    return {
        "runs-on": "ubuntu-latest",
        "permissions": {},
        "if": "${{ false }}" if skipped else "${{ true }}",
        "outputs": {key: _literal(value) for key, value in outputs.items()},
        "steps": [{"run": ":"}],
    }


def _literal(text: str) -> str:
    """Return an expression whose value is a text."""
    quoted = text.replace("'", "''")
    return f"${{{{ '{quoted}' }}}}"

"""Which calls the jobs of generated workflows make, read off the hub of a story.

`tests/workflows/calls.json` has those of all jobs, and `test_rights.py` compares them
with the rights of each. A story fails where a job makes a call that is not in it;
RECORD_CALLS=1 writes it there instead. A run of every story fails for calls on file
that none of them has made: a right could rest on one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rehearsal.hub import Hub
from rehearsal.stories.template import ROOT, TREE
from rehearsal.workflow import Workflow

FILE = Path(__file__).resolve().parents[1] / "workflows" / "calls.json"
WORKFLOWS = ROOT / TREE / ".github" / "workflows"

Calls = dict[str, set[str]]

# Names the folder in which the processes of a run of tests note the calls.
FOLDER = "NOTED_CALLS"

_OF_GIT = {"git-upload-pack": "git fetch", "git-receive-pack": "git push"}
# What the hub answers to a job that may not, and to faults that a story plants.
_NOT_ANSWERED = (0, 401, 403, 429)


def calls_of(hub: Hub) -> Calls:
    """Return the calls of each job that the hub has answered, as ``FILE:JOB``.

    Only those with the job's own token: a secret has rights of its own.
    """
    found: Calls = {}
    for exchange in hub.exchanges:
        run, _, job = exchange.job.partition("/")
        refused = exchange.status in _NOT_ANSWERED or exchange.status >= 500
        about = hub.state.runs.get(int(run)) if run.isdigit() else None
        own = exchange.kind == "GITHUB_TOKEN"
        if about is None or refused or not own:
            continue
        call = _call(exchange.method, exchange.template, exchange.path)
        name = _job(Path(about["path"]).name, job)
        if call and name:
            found.setdefault(name, set()).add(call)
    return found


def _call(method: str, template: str, path: str) -> str:
    """Return a call as calls.json names it; empty for one that nothing depends on."""
    if template:
        return f"{method} {template}"
    return _OF_GIT.get(path.rpartition("/")[2], "") if method == "POST" else ""


def _job(file: str, job: str) -> str:
    """Return the name of a job: of a workflow, or of one that it calls."""
    path = WORKFLOWS / file
    if not path.is_file():  # a story's own
        return ""
    workflow = Workflow.read(path)
    for one in (workflow, *workflow.called.values()):
        if job in one.jobs and "uses" not in one.jobs[job]:
            return f"{one.path.name}:{job}"
    return ""


def recorded() -> Calls:
    """Return the calls that are on file."""
    content: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return {job: set(calls) for job, calls in content.items()}


def record(calls: Calls) -> None:
    """Add calls to those on file."""
    every = recorded()
    for job, more in calls.items():
        every.setdefault(job, set()).update(more)
    text = {job: sorted(calls) for job, calls in sorted(every.items())}
    FILE.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def note(calls: Calls, folder: Path) -> None:
    """Note in a file of this process which calls were made; several may share it."""
    path = folder / f"{os.getpid()}.json"
    every = noted([path])
    for job, made in calls.items():
        every.setdefault(job, set()).update(made)
    text = {job: sorted(made) for job, made in every.items()}
    path.write_text(json.dumps(text), encoding="utf-8")


def noted(paths: Iterable[Path]) -> Calls:
    """Return the calls that processes have noted."""
    every: Calls = {}
    for path in paths:
        if path.exists():
            for job, made in json.loads(path.read_text(encoding="utf-8")).items():
                every.setdefault(job, set()).update(made)
    return every


def never_made(made: Calls, on_file: Calls) -> list[str]:
    """Return the calls on file that no job has made, as ``FILE:JOB METHOD PATH``."""
    return [
        f"{job} {call}"
        for job, calls in sorted(on_file.items())
        for call in sorted(calls - made.get(job, set()))
    ]


def compare_or_record(hub: Hub) -> None:
    """Demand that each call is on file, or put it there.

    Raises
    ------
    AssertionError
        For calls that are not.
    """
    calls = calls_of(hub)
    if FOLDER in os.environ:
        note(calls, Path(os.environ[FOLDER]))
    if os.environ.get("RECORD_CALLS"):
        record(calls)
        return
    known = recorded()
    new = {
        job: sorted(made - known.get(job, set()))
        for job, made in calls.items()
        if made - known.get(job, set())
    }
    assert not new, f"calls.json lacks them; RECORD_CALLS=1 records them: {new}"

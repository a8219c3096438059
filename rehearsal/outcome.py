"""What came of an event, for programs and for people."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rehearsal.runner.run import Run
from rehearsal.stories.teller import Teller, excerpt
from rehearsal.stories.world import World

# How much of a failed job's log is shown.
_LAST_LINES = 15


def outcome(world: World, runs: list[Run]) -> dict[str, Any]:
    """Return the runs, and what else people would find on GitHub now."""
    state = world.hub.state
    return {
        "runs": [_run(run) for run in runs],
        "comments": [comment["body"] for comment in state.thread_comments.values()],
        "issues": [
            {key: issue[key] for key in ("title", "body", "state")}
            for issue in state.issues.values()
        ],
        "releases": world.releases(),
        "tags": world.tags(),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "workflow": run.workflow,
        "event": run.event.name,
        "conclusion": run.conclusion,
        "seconds": round(run.wall, 1),
        "jobs": [_job(run, name, result) for name, result in run.jobs.items()],
    }


def _job(run: Run, name: str, result: str) -> dict[str, Any]:
    """Return how a job ended, and of one that failed the last lines of its log."""
    job = {
        "name": name,
        "result": result,
        "seconds": round(run.seconds.get(name, 0.0), 1),
    }
    if result == "failure":
        start = f"{name} | "
        lines = [line for line in run.log.splitlines() if line.startswith(start)]
        job["log"] = [line.removeprefix(start) for line in lines[-_LAST_LINES:]]
    return job


def keep(runs: list[Run], folder: Path) -> None:
    """Keep log and artifacts of each run in a folder of its own."""
    for run in runs:
        place = folder / f"{run.id}-{run.workflow}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "log.txt").write_text(run.log, encoding="utf-8")
        for name, artifact in run.artifacts.items():
            shutil.copytree(artifact, place / name, dirs_exist_ok=True)


def jobs_that(result: str, found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the jobs with a result, by workflow and name."""
    jobs = {}
    for run in found["runs"]:
        for job in run["jobs"]:
            if job["result"] == result:
                jobs[f"{run['workflow']}: {job['name']}"] = job
    return jobs


def tell(found: dict[str, Any], teller: Teller) -> None:
    """Tell what came of it; how each job ended was told while they ran."""
    failed = jobs_that("failure", found)
    for name, job in failed.items():
        teller.say()
        teller.say(f"The last lines of {name}")
        teller.quote(*job["log"])
    texts = list(found["comments"])
    for issue in found["issues"]:
        texts.append(f"## Issue, {issue['state']}: {issue['title']}\n\n{issue['body']}")
    for text in texts:
        teller.say()
        teller.quote(*excerpt(text))
    teller.say()
    named = {
        "releases": found["releases"],
        "tags": found["tags"],
        "skipped": jobs_that("skipped", found),
        "failed": failed,
    }
    for title, names in named.items():
        if names:
            teller.prose(f"{title + ':':<10}{', '.join(names)}")
    if not found["runs"]:
        teller.prose("No workflow starts on this.")
    elif not failed:
        workflows = ", ".join(run["workflow"] for run in found["runs"])
        teller.prose(f"All is green: {workflows}.")

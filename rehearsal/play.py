"""`mlops rehearse`: an event is played on a copy of somebody's repository, by its own workflows.

The verb of the generated repository starts this in the template's environment, so that nothing of
the rehearsal has to be generated. Exit codes are the verb's: 0 all is green, 1 something failed,
2 wrong usage, 3 it cannot be rehearsed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rehearsal.event import Event
from rehearsal.router import Router, inputs
from rehearsal.runner.run import Run
from rehearsal.stories.teller import Teller, excerpt
from rehearsal.stories.world import World, world
from rehearsal.workflow import RehearsalError

EVENTS = ("pull-request", "push", "schedule", "dispatch", "message")
# Where a comment begins with #; elsewhere a blank line is added.
_COMMENTED = (".py", ".sh", ".toml", ".yaml", ".yml")
_LAST_LINES = 15
_ACTOR = "you"


class UsageError(Exception):
    """What was asked for cannot be done; the text says why."""


# ----- the copy


def git(repository: Path, *arguments: str) -> str:
    """Ask git about a repository."""
    done = subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True
    )
    if done.returncode:
        raise UsageError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def as_it_lies(repository: Path, to: Path) -> None:
    """Copy a work tree, changes that nobody has committed included; not what git ignores."""
    listed = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in dict.fromkeys(git(repository, *listed).split("\0")):
        source, copy = repository / name, to / name
        if source.is_file() or source.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)


def as_on_main(repository: Path, to: Path) -> None:
    """Copy what main held when the present work branched off from it; origin's main, if any."""
    names = git(repository, "for-each-ref", "--format=%(refname:short)").split()
    main = next((name for name in ("origin/main", "main") if name in names), None)
    if main is None:
        raise UsageError("there is no branch `main` to compare with")
    start = git(repository, "merge-base", main, "HEAD").strip()
    git(repository, "clone", "--quiet", "--shared", "--no-checkout", ".", str(to))
    git(to, "checkout", "--quiet", start)
    shutil.rmtree(to / ".git")


def touch(path: Path) -> None:
    """Change a file in a way that changes no meaning."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{path.name} cannot be touched: {error}") from error
    commented = path.suffix in _COMMENTED
    path.write_text(
        f"# Touched.\n{text}" if commented else f"{text}\n", encoding="utf-8"
    )


def becomes(tree: Path) -> Callable[[Path], None]:
    """Return an edit after which a work tree holds what another tree does."""

    def edit(root: Path) -> None:
        for path in root.iterdir():
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.name != ".git":
                shutil.rmtree(path)
        shutil.copytree(tree, root, symlinks=True, dirs_exist_ok=True)

    return edit


# ----- the event


def play(asked: argparse.Namespace, root: Path, teller: Teller) -> dict[str, Any]:
    """Play an event below a folder; return what came of it.

    Raises
    ------
    UsageError
        Before anything runs.
    RehearsalError
        When something cannot be rehearsed.
    """
    before, after = root / "before", root / "after"
    as_it_lies(asked.repository, after)
    for name in [
        *asked.touch,
        *(f"models/{model}/model.yaml" for model in asked.model),
    ]:
        touch(after / name)
    refuse(asked, Router(after / ".github" / "workflows"))
    changes = asked.event in ("pull-request", "push")
    if changes:
        as_on_main(asked.repository, before)
        compared = ["git", "diff", "--quiet", "--no-index", str(before), str(after)]
        if subprocess.run(compared).returncode == 0:
            raise UsageError(
                "nothing differs from main: give --model NAME or --touch PATH"
            )
    about = {"repository": f"{_ACTOR}/{asked.repository.name}", "python": asked.python}
    with world(root / "world", before if changes else after, **about) as there:
        there.runner.tell = teller.job
        runs = there.dispatch("release", actor=_ACTOR) if asked.released else []
        runs += happen(there, asked, becomes(after))
        if asked.out:
            keep(runs, asked.out)
        return outcome(there, runs)


def refuse(asked: argparse.Namespace, router: Router) -> None:
    """Raise UsageError for an event that GitHub would refuse, or nothing would follow."""
    if asked.event == "dispatch":
        event = Event(
            "workflow_dispatch",
            {"workflow": f"{asked.what}.yml", "inputs": asked.field},
        )
        try:
            inputs(router.dispatched(event), event)
        except RehearsalError as error:
            raise UsageError(str(error)) from error
    if asked.event == "schedule" and asked.what not in (crons := router.schedules()):
        raise UsageError(
            f"{asked.what!r} has no schedule; {', '.join(crons) or 'nothing'} has"
        )
    if asked.event == "message":
        event = Event("repository_dispatch", {"action": asked.what})
        if not router.starts(event):
            raise UsageError(f"no workflow listens to a message {asked.what!r}")


def happen(
    there: World, asked: argparse.Namespace, edit: Callable[[Path], None]
) -> list[Run]:
    """Let the event happen; return the runs that follow."""
    if asked.event == "pull-request":
        return there.open_pull_request(
            "rehearsal", edit, "Rehearsal", actor=_ACTOR
        ).runs
    if asked.event == "push":
        return there.push(edit, "Rehearsal", actor=_ACTOR)
    if asked.event == "schedule":
        return there.calendar(asked.what)
    if asked.event == "dispatch":
        path, body = (
            f"/actions/workflows/{asked.what}.yml/dispatches",
            {"inputs": asked.field},
        )
        there.api("POST", path, {"ref": "main", **body}, _ACTOR)
    else:
        body = {"event_type": asked.what, "client_payload": asked.field}
        there.api("POST", "/dispatches", body, _ACTOR)
    return there.settle()


# ----- what came of it


def outcome(there: World, runs: list[Run]) -> dict[str, Any]:
    """Return the runs, and what else people would find on GitHub now."""
    state = there.hub.state
    return {
        "runs": [
            {
                "workflow": run.workflow,
                "event": run.event.name,
                "conclusion": run.conclusion,
                "seconds": round(run.wall, 1),
                "jobs": [job(run, name, result) for name, result in run.jobs.items()],
            }
            for run in runs
        ],
        "comments": [comment["body"] for comment in state.thread_comments.values()],
        "issues": [
            {k: one[k] for k in ("title", "body", "state")}
            for one in state.issues.values()
        ],
        "releases": there.releases(),
        "tags": there.tags(),
    }


def job(run: Run, name: str, result: str) -> dict[str, Any]:
    """Return how a job ended, and of one that failed the last lines of its log."""
    told = {
        "name": name,
        "result": result,
        "seconds": round(run.seconds.get(name, 0.0), 1),
    }
    if result != "failure":
        return told
    lines = [line for line in run.log.splitlines() if line.startswith(f"{name} | ")]
    return {
        **told,
        "log": [line.removeprefix(f"{name} | ") for line in lines[-_LAST_LINES:]],
    }


def keep(runs: list[Run], folder: Path) -> None:
    """Keep log and artifacts of each run."""
    for run in runs:
        place = folder / f"{run.id}-{run.workflow}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "log.txt").write_text(run.log, encoding="utf-8")
        for name, artifact in run.artifacts.items():
            shutil.copytree(artifact, place / name, dirs_exist_ok=True)


def of_result(found: dict[str, Any], result: str) -> dict[str, dict[str, Any]]:
    """Return the jobs that ended so, by workflow and name."""
    return {
        f"{run['workflow']}: {job['name']}": job
        for run in found["runs"]
        for job in run["jobs"]
        if job["result"] == result
    }


def tell(found: dict[str, Any], teller: Teller) -> None:
    """Tell what came of it; how each job ended was told while they ran."""
    failed = of_result(found, "failure")
    for name, one in failed.items():
        teller.say()
        teller.say(f"The last lines of {name}")
        teller.quote(*one["log"])
    issues = [
        f"## Issue, {one['state']}: {one['title']}\n\n{one['body']}"
        for one in found["issues"]
    ]
    for text in [*found["comments"], *issues]:
        teller.say()
        teller.quote(*excerpt(text))
    teller.say()
    said = {"skipped": of_result(found, "skipped"), "failed": failed}
    for what, names in {**{k: found[k] for k in ("releases", "tags")}, **said}.items():
        if names:
            teller.prose(f"{what + ':':<10}{', '.join(names)}")
    if not found["runs"]:
        teller.prose("No workflow starts on this.")
    elif not failed:
        teller.prose(
            f"All is green: {', '.join(run['workflow'] for run in found['runs'])}."
        )


def pair(text: str) -> tuple[str, str]:
    """Read ``key=value``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value")
    return key, value


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="mlops rehearse")
    parser.add_argument("repository", type=Path)
    parser.add_argument("event", choices=EVENTS)
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("-f", "--field", type=pair, action="append", default=[])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--touch", action="append", default=[])
    parser.add_argument("--released", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    asked = parser.parse_args(given)
    asked.field = dict(asked.field)
    return asked


def main(given: list[str] | None = None) -> int:
    """Play what the command line asks for."""
    asked = arguments(given)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]  # set in a hook of git, and about the user's repository
    teller = Teller(sys.stderr if asked.json else sys.stdout)
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-rehearsal-") as root:
            found = play(asked, Path(root), teller)
    except (UsageError, RehearsalError) as error:
        code = 2 if isinstance(error, UsageError) else 3
        if asked.json:
            print(json.dumps({"error": [{"what": str(error)}], "exit_code": code}))
        print(f"error: {error}", file=sys.stderr)
        return code
    except KeyboardInterrupt:
        return 130
    if asked.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        tell(found, teller)
    return 0 if found["runs"] and not of_result(found, "failure") else 1


if __name__ == "__main__":
    sys.exit(main())

"""`mlops rehearse`: an event, played on a copy of somebody's repository.

The command of the generated repository starts this in the template's environment, so
that nothing of the rehearsal has to be generated. The exit codes are the command's: 0
all is green, 1 something failed, 2 wrong usage, 3 it cannot be rehearsed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rehearsal.errors import RehearsalError, UsageError
from rehearsal.event import Event
from rehearsal.inputs import inputs
from rehearsal.outcome import jobs_that, keep, outcome, tell
from rehearsal.router import Router
from rehearsal.runner.run import Run
from rehearsal.stories.teller import Teller
from rehearsal.stories.world import World, world
from rehearsal.worktree import becomes, copy_as_it_lies, copy_as_on_main, touch

EVENTS = ("pull-request", "push", "schedule", "dispatch", "repository-dispatch")
# What an event was called before.
_ALIASES = {"message": "repository-dispatch"}
_ACTOR = "you"


def play(request: argparse.Namespace, root: Path, teller: Teller) -> dict[str, Any]:
    """Play an event below a folder; return what came of it.

    Raises
    ------
    UsageError
        Before anything runs.
    RehearsalError
        When something cannot be rehearsed.
    """
    before = root / "before"
    after = root / "after"
    copy_as_it_lies(request.repository, after)
    models = [f"models/{model}/model.yaml" for model in request.model]
    for name in [*request.touch, *models]:
        touch(after / name)
    refuse(request, Router(after / ".github" / "workflows"))
    source = after
    if request.event in ("pull-request", "push"):
        copy_as_on_main(request.repository, before)
        refuse_no_change(before, after)
        source = before
    about = {
        "repository": f"{_ACTOR}/{request.repository.name}",
        "python": request.python,
    }
    with world(root / "world", source, **about) as there:
        there.runner.tell = teller.job
        runs = []
        if request.released:
            runs += there.dispatch("release", actor=_ACTOR)
        runs += happen(there, request, becomes(after))
        if request.out:
            keep(runs, request.out)
        return outcome(there, runs)


def refuse(request: argparse.Namespace, router: Router) -> None:
    """Refuse an event that GitHub would refuse, or that starts nothing.

    Raises
    ------
    UsageError
        With the reason.
    """
    if request.event == "dispatch":
        payload = {"workflow": f"{request.what}.yml", "inputs": request.field}
        event = Event("workflow_dispatch", payload)
        try:
            inputs(router.dispatched(event), event)
        except RehearsalError as error:
            raise UsageError(str(error)) from error
    elif request.event == "schedule":
        crons = router.schedules()
        if request.what not in crons:
            known = ", ".join(crons) or "nothing"
            raise UsageError(f"{request.what!r} has no schedule; {known} has")
    elif request.event == "repository-dispatch":
        event = Event("repository_dispatch", {"action": request.what})
        if not router.starts(event):
            raise UsageError(
                f"no workflow listens to a repository_dispatch {request.what!r}"
            )


def refuse_no_change(before: Path, after: Path) -> None:
    """Refuse a pull request or push without a change.

    Raises
    ------
    UsageError
        When both trees are the same.
    """
    compared = ["git", "diff", "--quiet", "--no-index", str(before), str(after)]
    if subprocess.run(compared).returncode == 0:
        raise UsageError("nothing differs from main: give --model NAME or --touch PATH")


def happen(
    there: World, request: argparse.Namespace, edit: Callable[[Path], None]
) -> list[Run]:
    """Let the event happen; return the runs that follow."""
    if request.event == "pull-request":
        pull = there.open_pull_request("rehearsal", edit, "Rehearsal", actor=_ACTOR)
        return pull.runs
    if request.event == "push":
        return there.push(edit, "Rehearsal", actor=_ACTOR)
    if request.event == "schedule":
        return there.schedule(request.what)
    if request.event == "dispatch":
        path = f"/actions/workflows/{request.what}.yml/dispatches"
        body = {"ref": "main", "inputs": request.field}
    else:
        path = "/dispatches"
        body = {"event_type": request.what, "client_payload": request.field}
    there.api("POST", path, body, _ACTOR)
    return there.settle()


def pair(text: str) -> tuple[str, str]:
    """Read ``key=value``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value")
    return key, value


def _event(text: str) -> str:
    return _ALIASES.get(text, text)


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="mlops rehearse")
    parser.add_argument("repository", type=Path)
    parser.add_argument("event", type=_event, choices=EVENTS)
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("-f", "--field", type=pair, action="append", default=[])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--touch", action="append", default=[])
    parser.add_argument("--released", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    request = parser.parse_args(given)
    request.field = dict(request.field)
    return request


def main(given: list[str] | None = None) -> int:
    """Play what the command line says; return the exit code."""
    request = arguments(given)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]  # set in a hook of git, and about the user's repository
    teller = Teller(sys.stderr if request.json else sys.stdout)
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-rehearsal-") as root:
            found = play(request, Path(root), teller)
    except (UsageError, RehearsalError) as error:
        code = 2 if isinstance(error, UsageError) else 3
        if request.json:
            print(json.dumps({"error": [{"what": str(error)}], "exit_code": code}))
        print(f"error: {error}", file=sys.stderr)
        return code
    except KeyboardInterrupt:
        return 130
    if request.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        tell(found, teller)
    green = found["runs"] and not jobs_that("failure", found)
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())

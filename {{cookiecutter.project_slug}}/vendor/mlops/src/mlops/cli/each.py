"""One command for each of several models, as a job of a matrix runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from mlops import settings
from mlops.cli.arguments import model_names
from mlops.errors import UsageError

if TYPE_CHECKING:
    from mlops.config.project import Project


def matrix(
    project: Project, models: Sequence[str], by_time: bool = True
) -> dict[str, Any]:
    """Return what a workflow needs to make a matrix of some models.

    Parameters
    ----------
    by_time : bool
        Whether a model takes as long as its last run; otherwise all count the same.

    Returns
    -------
    dict
        ``jobs``: the names of the jobs; ``members``: the models of each;
        ``at_once``: how many run at the same time.
    """
    from mlops.pipeline.jobs import shared
    from mlops.runlog.query import latest_seconds

    limits = project.spec.jobs
    has_to_share = by_time and len(models) > limits.at_once
    seconds = latest_seconds(project) if has_to_share else {}
    members = shared(models, seconds, limits)
    return {"jobs": list(members), "members": members, "at_once": limits.at_once}


def require_one(given: object, models: str | None, name: str) -> None:
    """Demand an argument or `--models`, and not both.

    Raises
    ------
    UsageError
        With neither or both.
    """
    if bool(given) == (models is not None):
        raise UsageError(f"name {name} or --models, and not both", key="--models")


def flags(given: dict[str, bool]) -> list[str]:
    """Return the options that are on."""
    return [option for option, is_on in given.items() if is_on]


def each(models: str, command: Callable[[str], Sequence[str]]) -> None:
    """Run a command for each model, in a process of its own; all have their turn.

    Parameters
    ----------
    models : str
        A JSON list of names.
    command : callable
        Takes a name and returns the words of the command after `mlops`.

    Raises
    ------
    typer.Exit
        With the worst exit code, where one is not 0.
    """
    names = model_names(models)
    now = settings.current()
    codes = {}
    for name in names:
        if len(names) > 1:
            print(f"\n--- {name}", flush=True)
        words = [sys.executable, "-m", "mlops", *command(name)]
        done = subprocess.run(
            words, cwd=now.folder, env=now.child_environment(), check=False
        )
        codes[name] = done.returncode if 0 <= done.returncode <= 3 else 3
        if done.returncode < 0:
            print(f"error: {name}: killed by signal {-done.returncode}", flush=True)
    failed = [name for name, code in codes.items() if code]
    if failed and len(names) > 1:
        print(f"\n{len(failed)} of {len(names)} failed: {', '.join(failed)}")
    if failed:
        raise typer.Exit(max(codes.values()))


def each_live(command: str, models: str, options: Sequence[str] = ()) -> None:
    """Run a command for the version that each model has in the last stage."""
    from mlops.cli.context import current_context

    last = current_context().project.spec.stages[-1].name
    each(models, lambda name: [command, f"{name}@{last}", *options])

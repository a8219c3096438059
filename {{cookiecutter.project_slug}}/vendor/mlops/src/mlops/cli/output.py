"""What a command prints: its result as text or JSON, progress, the next step."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from mlops.cli.actions_env import in_actions, summary
from mlops.errors import UsageError

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def ago(text: str, now: datetime, key: str = "--since") -> datetime:
    """Return the time that is ``12h``, ``30d`` or ``2w`` before now.

    Raises
    ------
    UsageError
        When the text is not a period.
    """
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if match is None:
        raise UsageError("not a period", key=key, found=text, allowed="12h, 30d, 2w")
    return now - timedelta(hours=int(match[1]) * _HOURS[match[2]])


# -- what it prints --------------------------------------------------------------------


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def progress(prefix: str = "") -> Callable[[str], None]:
    """Return a function that prints one line of progress to standard error.

    A line that ends in `…` says what is under way: on a terminal the next one takes its
    place.
    """

    def say(line: str) -> None:
        under_way = line.endswith("…")
        if sys.stderr.isatty():
            end = "\r" if under_way else "\n"
            print(f"{prefix}{line:<30}", end=end, file=sys.stderr, flush=True)
        elif not under_way:
            print(f"{prefix}{line}", file=sys.stderr, flush=True)

    return say


def somebody_is_there() -> bool:
    """Return whether a question would reach a person: never in a workflow."""
    return is_terminal() and not in_actions()


def is_terminal() -> bool:
    """Return whether standard input is a terminal."""
    return sys.stdin.isatty()


def hint(text: str) -> None:
    """Say what comes next; a workflow knows it."""
    if not in_actions():
        progress()(f"Next: {text}")


def emit(
    value: Any, text: str, as_json: bool, *, page: str = "", yes: bool = True
) -> None:
    """Print the result of a command.

    Parameters
    ----------
    value : object
        Printed as JSON where programs asked, else `text` is.
    page : str
        Markdown for the page of a workflow's run.
    yes : bool
        Otherwise the command failed, and ends with 1.
    """
    if as_json:
        text = json.dumps(
            value, indent=2, ensure_ascii=False, allow_nan=False, default=str
        )
    if text:
        print(text)
    if page:
        summary(page)
    if not yes:
        raise typer.Exit(1)

"""What a command prints: one answer as text or JSON, progress, the next step."""

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


def ago(text: str, now: datetime) -> datetime:
    """Return the moment that ``30d``, ``12h`` or ``2w`` before now is."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if not match:
        what, allowed = "not a stretch of time", "12h, 30d, 2w"
        raise UsageError(what, key="--since", found=text, allowed=allowed)
    unit = {"h": "hours", "d": "days", "w": "weeks"}[match[2]]
    return now - timedelta(**{unit: int(match[1])})


# -- what it prints --------------------------------------------------------------------------------


Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]


def progress(prefix: str = "") -> Callable[[str], None]:
    """Return a function that prints one line of progress to standard error.

    A line that ends in `…` says what is under way: the next one takes its place on a terminal.
    """

    def say(line: str) -> None:
        terminal, under_way = sys.stderr.isatty(), line.endswith("…")
        text = f"{prefix}{line:<30}" if terminal else f"{prefix}{line}"
        if terminal or not under_way:
            print(text, end="\r" if under_way else "\n", file=sys.stderr, flush=True)

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
    """Give the answer of a verb.

    Parameters
    ----------
    value : object
        Printed as JSON where programs asked, else `text` is.
    page : str
        Markdown for the page of a workflow's run.
    yes : bool
        Else the answer is no, and the command ends with 1.
    """
    if as_json:
        print(
            json.dumps(
                value, indent=2, ensure_ascii=False, allow_nan=False, default=str
            )
        )
    elif text:
        print(text)
    if page:
        summary(page)
    if not yes:
        raise typer.Exit(1)

"""What a verb prints: text for people or JSON for programs, progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]


def progress(prefix: str = "") -> Callable[[str], None]:
    """Return a function that prints one line of progress to standard error.

    A line that ends in `…` says what is under way: the next one takes its place on a terminal.
    """

    def say(line: str) -> None:
        under_way = line.endswith("…")
        if not under_way or sys.stderr.isatty():
            print(
                f"{prefix}{line:<30}", end="\r" if under_way else "\n", file=sys.stderr, flush=True
            )

    return say


def emit(value: Any, text: str, as_json: bool) -> None:
    """Print `value` as JSON, or `text`."""
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    elif text:
        print(text)


def leave(yes: bool) -> None:
    """End the command with 1 where the answer is no."""
    if not yes:
        raise typer.Exit(1)

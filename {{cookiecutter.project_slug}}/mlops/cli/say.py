"""What a verb prints: text for people or JSON for programs, progress on standard error."""

from __future__ import annotations

import json
import os
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
        terminal, under_way = sys.stderr.isatty(), line.endswith("…")
        text = f"{prefix}{line:<30}" if terminal else f"{prefix}{line}"
        if terminal or not under_way:
            print(text, end="\r" if under_way else "\n", file=sys.stderr, flush=True)

    return say


def emit(value: Any, text: str, as_json: bool) -> None:
    """Print `value` as JSON, or `text`."""
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    elif text:
        print(text)


def outputs(**values: Any) -> None:
    """Hand values on to later steps and jobs of a workflow, where one runs this."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    _append("GITHUB_OUTPUT", "".join(f"{key}={text}\n" for key, text in texts.items()))


def summary(markdown: str) -> None:
    """Add to the page of a workflow's run, where one runs this."""
    _append("GITHUB_STEP_SUMMARY", f"{markdown[:200_000]}\n")


def as_markdown(head: str, *lines: str) -> str:
    """Return a heading and a list whose text does nothing but be seen."""
    from mlops.reporting.markdown import escape

    return "\n".join([f"**{escape(head)}**\n" if head else "", *(f"- {escape(x)}" for x in lines)])


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def leave(yes: bool) -> None:
    """End the command with 1 where the answer is no."""
    if not yes:
        raise typer.Exit(1)

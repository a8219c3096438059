"""What GitHub Actions tells a job, and what a job tells the jobs after it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mlops.errors import EnvironmentFailure
from mlops.io.files import read_json


def event() -> dict[str, Any]:
    """Return GitHub's event, nothing where no workflow runs this."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    found: Any = read_json(Path(path)) if path else {}
    if not isinstance(found, dict):
        raise EnvironmentFailure(
            "this is no event of GitHub", file=path or "", key="GITHUB_EVENT_PATH"
        )
    return found


def in_actions() -> bool:
    """Return whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


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

    return "\n".join(
        [f"**{escape(head)}**\n" if head else "", *(f"- {escape(x)}" for x in lines)]
    )


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)

"""What GitHub Actions tells a job, and what a job tells the jobs after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlops import settings
from mlops.errors import EnvironmentFailure, Refused
from mlops.io.files import read_json


def event() -> dict[str, Any]:
    """Return GitHub's event, nothing where no workflow runs this."""
    path = settings.current().github.event_path
    if path is None:
        return {}
    payload: Any = read_json(path)
    if not isinstance(payload, dict):
        raise EnvironmentFailure(
            "this is not an event of GitHub", file=str(path), key="GITHUB_EVENT_PATH"
        )
    return payload


def in_actions() -> bool:
    """Return whether this is a job of GitHub Actions."""
    return settings.current().github.active


def require_default_branch() -> None:
    """Refuse to go on in a job of another branch than the default one.

    "Use workflow from" offers every branch, and what is not merged was not reviewed.

    Raises
    ------
    Refused
        In a job that was started for another branch or for a tag.
    """
    if not in_actions() or settings.current().github.scheduled:
        return  # a schedule runs on the default branch, and its event does not name it
    default = (event().get("repository") or {}).get("default_branch")
    ref = settings.current().github.ref
    if ref == f"refs/heads/{default}":
        return
    raise Refused(
        "only the default branch registers versions",
        key="GITHUB_REF",
        found=ref,
        allowed=f"refs/heads/{default}",
        do="merge it by a pull request; release.yml then registers what it changed",
    )


def outputs(**values: Any) -> None:
    """Hand values on to later steps and jobs of a workflow, where one runs this."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    _append(
        settings.current().github.output_path,
        "".join(f"{key}={text}\n" for key, text in texts.items()),
    )


# GitHub shows nothing of a step whose summary has more than a mebibyte.
_MOST_SUMMARY = 1_000_000

_NO_ROOM = "The rest is left out here: it is in the run's artifacts.\n"


def summary(markdown: str) -> None:
    """Add to the page of a workflow's run, where one runs this and has room."""
    path = settings.current().github.summary_path
    text = f"{markdown[:200_000]}\n"
    written = path.read_text(encoding="utf-8") if path and path.exists() else ""
    if written.endswith(_NO_ROOM):
        return
    if len(f"{written}{text}{_NO_ROOM}".encode()) > _MOST_SUMMARY:
        text = _NO_ROOM
    _append(path, text)


def as_markdown(head: str, *lines: str) -> str:
    """Return a heading and a list whose text does nothing but be seen."""
    from mlops.reporting.markdown import escape

    return "\n".join(
        [f"**{escape(head)}**\n" if head else "", *(f"- {escape(x)}" for x in lines)]
    )


def _append(path: Path | None, text: str) -> None:
    if path is None:
        return
    with path.open("a", encoding="utf-8") as file:
        file.write(text)

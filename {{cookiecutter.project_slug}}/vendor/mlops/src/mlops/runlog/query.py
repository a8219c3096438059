"""Reading the run log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError, did_you_mean
from mlops.io import git_objects
from mlops.io.git import git, is_repository
from mlops.results.runs import Record
from mlops.runlog import conditions
from mlops.runlog.journal import journal_refs

KNOWN = (
    *Record.model_fields,
    "params",
    "seed",
    "decision",
)  # what a condition may begin with


def records(project: Project, model: str | None = None, **chosen: Any) -> list[Record]:
    """Return run records, oldest first; `chosen` as for `runs`."""
    return [Record.model_validate(raw) for raw in runs(project, model, **chosen)]


def runs(
    project: Project,
    model: str | None = None,
    *,
    where: str | None = None,
    since: datetime | None = None,
    group: str | None = None,
    limit: int = 0,
) -> list[dict[str, Any]]:
    """Return run records as JSON objects, oldest first: in a third of the time of `records`.

    Parameters
    ----------
    where : str, optional
        Conditions such as ``metrics.roc_auc>0.9 and outcome=promote``.
    since : datetime, optional
        With a time zone.
    group : str, optional
        A sweep, or a pull request (``pr-12``).
    limit : int, optional
        Only so many, the newest; 0: all.
    """
    test = conditions.condition(where, KNOWN) if where else None
    enough = 0 if test or group else limit
    found = [
        raw
        for raw in _read(project.root, "runs", model, "started", since, enough)
        if (not group or raw.get("group") == group) and (not test or test(raw))
    ]
    return found[-limit:] if limit else found


def find(project: Project, starts: Iterable[str]) -> list[Record]:
    """Return the run records whose ids begin like this, in this order; UsageError otherwise."""
    files = {
        Path(path).stem: blob for path, blob in _files(project.root, "runs/").items()
    }
    blobs = []
    for start in starts:
        match = (
            [start]
            if start in files
            else [name for name in files if name.startswith(start)]
        )
        if len(match) != 1:
            what = (
                "several runs begin like this"
                if match
                else "there is no run of this id"
            )
            do = did_you_mean(start, files) or "see `mlops runs list`"
            raise UsageError(what, found=start, do=do)
        blobs.append(files[match[0]])
    return [
        Record.model_validate_json(raw)
        for raw in git_objects.contents(project.root, blobs)
        if raw
    ]


def checks(
    project: Project, model: str | None = None, since: datetime | None = None
) -> list[dict[str, Any]]:
    """Return drift checks as `append_check` took them, oldest first."""
    return _read(project.root, "monitor", model, "until", since)


def _files(root: Path, under: str) -> dict[str, str]:
    """Return path and blob of every file, also of those that still wait."""
    blobs: dict[str, str] = {}
    for oid in sorted(set(journal_refs(root).values())) if is_repository(root) else ():
        listing = git(root, "ls-tree", "-r", "-z", "--full-tree", oid, under)
        rows = (line.split("\t", 1) for line in listing.split("\0") if line)
        blobs |= {path: facts.split(" ")[2] for facts, path in rows}
    return blobs


def _read(
    root: Path,
    kind: str,
    model: str | None,
    at: str,
    since: datetime | None,
    enough: int = 0,
) -> list[dict[str, Any]]:
    """Return files of one kind by time, opening no more months than asked for.

    With `enough`, whole months are left out that are older than so many files.
    """
    months: dict[str, dict[str, str]] = defaultdict(dict)
    for path, blob in _files(root, f"{kind}/{model}/" if model else f"{kind}/").items():
        months["/".join(path.split("/")[2:4])][path] = blob
    wanted: dict[str, str] = {}
    for month in sorted(months, reverse=True):
        if (since and month < f"{since.astimezone(UTC):%Y/%m}") or 0 < enough <= len(
            wanted
        ):
            break
        wanted |= months[month]
    found = []
    for path, content in zip(
        wanted, git_objects.contents(root, wanted.values()), strict=True
    ):
        try:
            raw = json.loads(content or b"")
            found.append((datetime.fromisoformat(raw[at]), path, raw))
        except (KeyError, TypeError, ValueError) as error:
            what, do = (
                "this file of the journal is not what the engine wrote",
                "mend it there",
            )
            raise EnvironmentFailure(
                what, file=f"{path} (branch journal)", do=do
            ) from error
    return [raw for when, _, raw in sorted(found) if since is None or when >= since]

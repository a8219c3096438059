"""The journal: one JSON file per run on the orphan branch `journal`, by many writers at once.

The branch moves by compare-and-swap. Where origin has moved on, the two are merged: files are
written once and never changed, so the union is the merge and nothing is ever lost.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlops.errors import UsageError, WorldError, did_you_mean
from mlops.files import canonical_json
from mlops.git import GitError, git, has_remote, require_repository
from mlops.project import Project
from mlops.registry import objects
from mlops.results import Record

LOCAL, REMOTE = "refs/heads/journal", "refs/remotes/origin/journal"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CONTENDED = re.compile(r"\[rejected\]|lock ref|failed to update ref|incorrect old value")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION = re.compile(rf"\s*([\w.-]+)\s*({'|'.join(_COMPARE)})\s*(.+?)\s*")


def append(project: Project, record: Record) -> tuple[str, ...]:
    """Write a run record; return warnings (the record is safe here, origin did not take it)."""
    root, when = project.root, datetime.fromisoformat(record.started)
    require_repository(root)
    if not _ID.fullmatch(record.id):
        raise UsageError("not an id that a run may have", found=repr(record.id)[:120])
    path = f"runs/{record.model}/{when:%Y/%m}/{record.id}.json"
    files = {path: canonical_json(record.model_dump(mode="json")) + b"\n"}
    title = objects.one_line(f"{record.model} {record.id}: {record.outcome}")
    env = objects.identity(root, record.actor, int(when.timestamp()))
    remote = has_remote(root)
    online = remote and _fetch(root)
    objects.retry(lambda: _advance(root, files, title, env) or None)
    try:
        if online:
            objects.retry(lambda: _push(root, env))
    except WorldError:
        online = False
    if remote and not online:
        return ("the journal was not pushed to origin; the next run tries again",)
    return ()


def _advance(root: Path, files: objects.Files, title: str, env: objects.Env) -> bool:
    """Let the local journal hold origin's and some files more; False where others were faster."""
    local = objects.value(root, LOCAL)
    tips = [tip for ref in (LOCAL, REMOTE) if (tip := objects.value(root, ref))]
    parents = git(root, "merge-base", "--independent", *tips).split() if tips else []
    parents.sort(key=lambda tip: tip != local)
    if files or len(parents) > 1:
        parents = [objects.commit(root, parents, files, title, env)]
    return parents == [local] or objects.move(root, LOCAL, parents[0], local or "")


def _push(root: Path, env: objects.Env) -> bool | None:
    """Push the journal; where origin has moved on, merge and say so by None."""
    try:
        git(root, "push", "--quiet", "origin", f"{LOCAL}:{LOCAL}")
        return True
    except GitError as error:
        if not _CONTENDED.search(error.stderr):
            raise
    _fetch(root)
    _advance(root, {}, "Merge origin's journal", env)
    return None


def _fetch(root: Path) -> bool:
    """Fetch origin's journal; True also where origin has none yet."""
    try:
        git(root, "fetch", "--quiet", "--no-tags", "origin", f"+{LOCAL}:{REMOTE}")
    except GitError as error:
        return "couldn't find remote ref" in error.stderr
    return True


def records(
    project: Project,
    model: str | None = None,
    where: str | None = None,
    since: datetime | None = None,
) -> list[Record]:
    """Return run records, oldest first.

    Parameters
    ----------
    where : str, optional
        Conditions such as ``metrics.roc_auc>0.9 and outcome=promote``.
    since : datetime, optional
        With a time zone.
    """
    test = condition(where) if where else lambda record: True
    blobs: dict[str, str] = {}
    for ref in (LOCAL, REMOTE):
        blobs |= _files(project.root, ref, f"runs/{model}/" if model else "runs/")
    found = [json.loads(raw) for raw in objects.contents(project.root, blobs.values()) if raw]
    chosen = [Record.model_validate(raw) for raw in found if test(raw)]

    def begun(record: Record) -> datetime:
        return datetime.fromisoformat(record.started)

    chosen = [record for record in chosen if since is None or begun(record) >= since]
    return sorted(chosen, key=lambda record: (begun(record), record.id))


def _files(root: Path, ref: str, under: str) -> dict[str, str]:
    """Return path and blob of every file of a journal."""
    try:
        listing = git(root, "ls-tree", "-r", "-z", "--full-tree", ref, under)
    except GitError:  # no such branch yet
        return {}
    rows = (line.split("\t", 1) for line in listing.split("\0") if line)
    return {path: facts.split(" ")[2] for facts, path in rows}


def ago(text: str, now: datetime) -> datetime:
    """Return the moment that ``30d``, ``12h`` or ``2w`` before now is."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if not match:
        allowed = "12h, 30d, 2w"
        raise UsageError(
            "not a stretch of time", file="", key="--since", found=text, allowed=allowed
        )
    unit = {"h": "hours", "d": "days", "w": "weeks"}[match[2]]
    return now - timedelta(**{unit: int(match[1])})


def condition(text: str) -> Callable[[dict[str, Any]], bool]:
    """Return a test of records for conditions joined by ``and``: ``PATH OPERATOR VALUE``.

    A path names keys (``training.seed``, ``params.C``) or things by name (``metrics.roc_auc``).
    What is not there fulfils no condition.
    """
    tests = []
    for part in re.split(r"\s+and\s+", text):
        match = _CONDITION.fullmatch(part)
        first = match[1].split(".")[0] if match else ""
        known = [*Record.model_fields, "params", "seed", "decision"]
        if not match or first not in known:
            allowed = "PATH, one of > >= < <= = !=, VALUE; such as metrics.roc_auc>0.9"
            near = did_you_mean(first, known)
            raise UsageError(
                "not a condition on runs",
                file="",
                key="--where",
                found=part,
                allowed=allowed,
                do=near,
            )
        try:
            wanted = json.loads(match[3])
        except ValueError:
            wanted = match[3].strip("\"'")
        tests.append((match[1], _COMPARE[match[2]], wanted))

    def holds(record: dict[str, Any]) -> bool:
        facts = dict(_flat(record))
        return all(_true(compare, facts.get(path), wanted) for path, compare, wanted in tests)

    return holds


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a record holds by its path, and by the short one where there is one."""
    if isinstance(value, list):
        value = {x["name"]: x for x in value if isinstance(x, dict) and "name" in x}
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
        value = value.get("value", value.get("decision"))
    yield path, value
    for long in ("training.", "verdict."):
        if path.startswith(long):
            yield path.removeprefix(long), value


def _true(compare: Callable[[Any, Any], bool], found: Any, wanted: Any) -> bool:
    try:
        return found is not None and compare(found, wanted)
    except TypeError:  # a number is not above a word
        return False

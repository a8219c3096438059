"""The journal: one JSON file per run on the orphan branch `journal`, by many writers at once.

A writer appends a commit with `git fast-import`, which moves the branch only if the new commit
holds the old one. Where origin has moved on, the two are merged: files are written once and never
changed, so the union is the merge and nothing is ever lost.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops.errors import Problem, UsageError, did_you_mean
from mlops.files import canonical_json
from mlops.git import GitError, git, git_bytes, has_remote, require_repository
from mlops.project import Project
from mlops.registry.objects import attempts, contended, contents, identity, one_line, value
from mlops.results import Record

LOCAL, REMOTE = "refs/heads/journal", "refs/remotes/origin/journal"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def append(project: Project, record: Record) -> tuple[str, ...]:
    """Write a run record; return warnings (the record is safe here, origin did not take it).

    Raises
    ------
    UsageError
        Outside a repository, or for an id that is no file name.
    WorldError
        When git cannot write.
    """
    root = project.root
    require_repository(root)
    when = datetime.fromisoformat(record.started)
    if not _ID.fullmatch(record.id):
        raise UsageError(Problem("not an id that a run may have", found=repr(record.id)[:120]))
    path = f"runs/{record.model}/{when:%Y/%m}/{record.id}.json"
    content = canonical_json(record.model_dump(mode="json")) + b"\n"
    remote = has_remote(root)
    fetched = remote and _fetch(root)
    title = one_line(f"{record.model} {record.id}: {record.outcome}")
    seconds = int(when.timestamp())
    if not any(
        _commit(root, title, {path: content}, None, record.actor, seconds) for _ in attempts()
    ):
        raise contended()
    if not remote or (fetched and any(_push(root, record.actor, seconds) for _ in attempts())):
        return ()
    return ("the journal was not pushed to origin; the next run tries again",)


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

    Raises
    ------
    UsageError
        For conditions that cannot be understood.
    """
    test = condition(where) if where else lambda record: True
    paths: dict[str, str] = {}
    for ref in (LOCAL, REMOTE):
        paths |= _files(project.root, ref, f"runs/{model}/" if model else "runs/")
    if since:
        month = since.astimezone(UTC).strftime("%Y/%m")
        paths = {p: oid for p, oid in paths.items() if "/".join(p.split("/")[2:4]) >= month}
    found = [json.loads(content) for content in contents(project.root, paths.values()) if content]
    chosen = [
        Record.model_validate(raw)
        for raw in found
        if test(raw) and (since is None or datetime.fromisoformat(raw["started"]) >= since)
    ]
    return sorted(chosen, key=lambda r: (datetime.fromisoformat(r.started), r.id))


def ago(text: str, now: datetime) -> datetime:
    """Return the moment that ``30d``, ``12h`` or ``2w`` before now is."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if not match:
        raise UsageError(
            Problem("not a stretch of time", key="--since", found=text, allowed="12h, 30d, 2w")
        )
    hours = {"h": 1, "d": 24, "w": 168}[match[2]] * int(match[1])
    return now - timedelta(hours=hours)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"\s*([\w.-]+)\s*(>=|<=|!=|>|<|==?)\s*(.+?)\s*")
_SHORT = {"params": "training.params", "seed": "training.seed", "decision": "verdict.decision"}


def condition(text: str) -> Callable[[dict[str, Any]], bool]:
    """Return a test of records for conditions joined by ``and``: ``PATH OPERATOR VALUE``.

    A path names keys (``training.seed``, ``params.C``) or things by name (``metrics.roc_auc``).
    What is not there fulfils no condition.
    """
    tests = []
    for part in re.split(r"\s+and\s+", text):
        match = _CONDITION.fullmatch(part)
        first = match[1].split(".")[0] if match else ""
        known = [*Record.model_fields, *_SHORT]
        if not match or first not in known:
            raise UsageError(
                Problem(
                    "not a condition on runs",
                    key="--where",
                    found=part,
                    allowed="PATH, one of > >= < <= = !=, VALUE; such as metrics.roc_auc>0.9",
                    do=did_you_mean(first, known),
                )
            )
        path = _SHORT.get(first, first) + match[1][len(first) :]
        tests.append((path.split("."), _COMPARE[match[2].replace("==", "=")], _value(match[3])))
    return lambda record: all(_holds(record, *test) for test in tests)


def _value(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _holds(
    record: dict[str, Any], path: list[str], compare: Callable[[Any, Any], bool], wanted: Any
) -> bool:
    found: Any = record
    for place, step in enumerate(path):
        if isinstance(found, list):
            found = next((x for x in found if isinstance(x, dict) and x.get("name") == step), None)
        elif isinstance(found, dict):
            rest = ".".join(path[place:])
            if rest in found:  # a parameter such as model.depth
                found = found[rest]
                break
            found = found.get(step)
    if isinstance(found, dict):
        found = found.get("value", found.get("decision"))
    try:
        return found is not None and compare(found, wanted)
    except TypeError:
        return False


def _files(root: Path, ref: str, under: str) -> dict[str, str]:
    """Return path and blob of every file of a journal."""
    try:
        listing = git(root, "ls-tree", "-r", "-z", "--full-tree", ref, under)
    except GitError:  # no such branch yet
        return {}
    rows = (line.split("\t", 1) for line in listing.split("\0") if line)
    return {path: facts.split(" ")[2] for facts, path in rows}


def _commit(
    root: Path,
    title: str,
    files: dict[str, bytes | str],
    merge: str | None,
    actor: str,
    seconds: int,
) -> bool:
    """Append a commit to the local journal; a file is content, or the id of a blob."""
    env = identity(root, actor, seconds)
    committer = git(root, "var", "GIT_COMMITTER_IDENT", env=env)
    parent = next((p for ref in (LOCAL, REMOTE) if (p := value(root, ref))), None)
    stream = f"commit {LOCAL}\ncommitter {committer}\n".encode() + _data(title.encode())
    stream += f"from {parent}\n".encode() if parent else b""
    stream += f"merge {merge}\n".encode() if merge else b""
    for path, content in files.items():
        if isinstance(content, str):
            stream += f"M 100644 {content} {path}\n".encode()
        else:
            stream += f"M 100644 inline {path}\n".encode() + _data(content)
    try:
        git_bytes(root, "fast-import", "--quiet", "--done", stdin=stream + b"done\n")
    except GitError:
        if value(root, LOCAL) == parent:
            raise
        return False
    return True


def _push(root: Path, actor: str, seconds: int) -> bool:
    """Push the journal; where origin has moved on, fetch, merge and say so by False."""
    try:
        git(root, "push", "--quiet", "origin", f"{LOCAL}:{LOCAL}")
        return True
    except GitError:
        before = value(root, REMOTE)
        _fetch(root)
        theirs = value(root, REMOTE)
        if theirs is None:
            return False
    mine = _files(root, LOCAL, "runs/")
    missing = {p: oid for p, oid in _files(root, REMOTE, "runs/").items() if p not in mine}
    if missing or theirs != before:
        _commit(root, "Merge origin's journal", dict(missing), theirs, actor, seconds)
    return False


def _fetch(root: Path) -> bool:
    """Fetch origin's journal; True also where origin has none yet."""
    try:
        git(root, "fetch", "--quiet", "--no-tags", "origin", f"+{LOCAL}:{REMOTE}")
    except GitError as error:
        return "couldn't find remote ref" in error.stderr
    return True


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)

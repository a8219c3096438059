"""The journal: one JSON file per run and per drift check on the orphan branch `journal`.

Many write at once. So a file first waits as a commit under a ref of its own, where nobody is in its
way, and then all that waits is taken to the branch together, by compare-and-swap. Who is too slow
lets it wait at origin: whoever comes next takes it along, so that nobody is too slow three times.
Files are written once and never changed; what a killed writer left waiting is taken by the next.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlops.errors import UsageError, WorldError, did_you_mean
from mlops.files import canonical_json, sha256
from mlops.git import GitError, git, has_remote, is_repository, require_repository
from mlops.project import Project
from mlops.registry import mlflow, objects
from mlops.registry.where import condition
from mlops.results import Record

T = TypeVar("T")
KNOWN = (*Record.model_fields, "params", "seed", "decision")  # what a condition may begin with
LOCAL, REMOTE = "refs/heads/journal", "refs/remotes/origin/journal"
WAITING, THEIRS = "refs/mlops/waiting/", "refs/mlops/origin/"  # here, and at origin when last seen
_FETCHED = (f"+{LOCAL}*:{REMOTE}*", f"+{WAITING}*:{THEIRS}*")  # a pattern may match nothing
NOT_PUSHED = "the journal was not pushed to origin; the next run tries again"
_ATTEMPTS = 12
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CONTENDED = re.compile(
    r"\[rejected\]|lock ref|failed to update ref|incorrect old value|ref does not exist"
)


def append(project: Project, record: Record) -> tuple[str, ...]:
    """Write a run record, and copy it to MLflow where there is one.

    Returns warnings: that origin did not take it (it is safe here), or MLflow.
    """
    named(record.id, "an id that a run may have")
    title = f"{record.model} {record.id}: {record.outcome}"
    where = ("runs", record.model, record.id)
    content = record.model_dump(mode="json")
    warnings = _write(project.root, where, record.started, content, title, record.actor)
    return warnings + mlflow.copy(record)


def append_check(project: Project, check: dict[str, Any], actor: str) -> tuple[str, ...]:
    """Write a drift check, as `mlops monitor --json` prints it; return warnings as `append`."""
    until = datetime.fromisoformat(check["until"])
    name = f"{until:%Y%m%d-%H%M}-{sha256(canonical_json(check))[:6]}"
    title = f"{check['model']} {check['version']}: {'alarm' if check['alarm'] else 'no alarm'}"
    where = ("monitor", check["model"], name)
    return _write(project.root, where, check["until"], check, title, actor)


def named(text: str, what: str) -> str:
    """Return a text that can be part of a path or an option; UsageError where it cannot."""
    if not _ID.fullmatch(text):
        allowed = "letters, digits, `.`, `_` and `-`; 100 at most"
        raise UsageError(f"not {what}", found=repr(text)[:120], allowed=allowed)
    return text


def _write(
    root: Path, where: tuple[str, str, str], at: str, content: Any, title: str, actor: str
) -> tuple[str, ...]:
    """Write one file: what it is, model and name give its path, with the month."""
    require_repository(root)
    (kind, model, name), when = where, datetime.fromisoformat(at).astimezone(UTC)
    env, title = objects.identity(root, actor, int(when.timestamp())), objects.one_line(title)
    files = {f"{kind}/{model}/{when:%Y/%m}/{name}.json": canonical_json(content) + b"\n"}
    own = objects.commit(root, [], files, title, env)
    git(root, "update-ref", WAITING + own, own)
    remote, tip = has_remote(root), ""
    if remote:
        try:
            tip = _again(partial(_publish, root, title, env))
        except WorldError:
            tip = ""
    _again(partial(_settle, root, title, env, tip))
    if remote and not tip:
        return (NOT_PUSHED,)
    return ()


def _again(attempt: Callable[[int], T]) -> T:
    """Return what an attempt gives; where others were faster, let them finish and try again."""
    for number in range(_ATTEMPTS):
        begun = time.monotonic()
        try:
            return attempt(number)
        except GitError as error:
            if not _CONTENDED.search(error.stderr):
                raise
        # The pace of origin is the measure: a few of many wake up early, and do it for the others.
        time.sleep(random.uniform(0, 2 * min(time.monotonic() - begun, 10)))
    raise WorldError("others were faster, again and again", do="run it again")


def _publish(root: Path, title: str, env: objects.Env, number: int) -> str:
    """Take all that waits, here and at origin, to origin's journal; return its commit."""
    git(root, "fetch", "--quiet", "--no-tags", "--prune", "origin", *_FETCHED)
    refs = _refs(root)
    waiting = [oid for ref, oid in refs.items() if ref.startswith((WAITING, THEIRS))]
    tip = _fold(root, refs.get(REMOTE) or refs.get(LOCAL), refs, waiting, title, env)
    gone = [f":{WAITING}{Path(ref).name}" for ref in refs if ref.startswith(THEIRS)]
    if gone or tip != refs.get(REMOTE):
        try:
            git(root, "push", "--quiet", "--atomic", "origin", f"{tip}:{LOCAL}", *gone)
        except GitError as error:
            if number == 0 and _CONTENDED.search(error.stderr):
                git(root, "push", "--quiet", "origin", f"{WAITING}*:{WAITING}*")
            raise
    return tip


def _settle(root: Path, title: str, env: objects.Env, tip: str, number: int) -> None:
    """Let the journal here be `tip` (or stay what it was) and all that waits here."""
    refs = _refs(root)
    waiting = {ref: oid for ref, oid in refs.items() if ref.startswith(WAITING)}
    new = _fold(root, tip or refs.get(LOCAL), refs, waiting.values(), title, env)
    lines = [f"update {LOCAL} {new} {refs.get(LOCAL) or '0' * len(new)}"]
    lines += [f"delete {ref} {oid}" for ref, oid in waiting.items()]
    git(root, "update-ref", "--stdin", stdin="\n".join(lines) + "\n")


def _refs(root: Path) -> dict[str, str]:
    """Return every ref that may hold files of the journal, and its commit."""
    known = (LOCAL, REMOTE, WAITING, THEIRS)
    out = git(root, "for-each-ref", "--format=%(refname) %(objectname)", *known)
    rows = (line.split(" ") for line in out.splitlines())
    return {ref: oid for ref, oid in rows}


def _fold(
    root: Path,
    base: str | None,
    refs: dict[str, str],
    waiting: Iterable[str],
    title: str,
    env: objects.Env,
) -> str:
    """Return a commit of what `base`, the journal here and the waiting commits hold."""
    options = ("-r", "-z", "--no-renames", "--diff-filter=A")
    found, local = {}, refs.get(LOCAL)
    if base and local and base != local:
        found = _rows(git(root, "diff-tree", *options, base, local))
    if commits := "".join(f"{oid}\n" for oid in waiting):
        rooted = ("--stdin", "--root", "--no-commit-id")
        rows = _rows(git(root, "diff-tree", *rooted, *options, stdin=commits))
        there = objects.contents(root, [f"{base}:{path}" for path in rows]) if base else []
        known = {path for path, content in zip(rows, there, strict=False) if content is not None}
        found |= {path: blob for path, blob in rows.items() if path not in known}
    if base and not found:
        return base
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return objects.commit(root, [base] if base else [], {}, title + more, env, found)


def _rows(listing: str) -> dict[str, str]:
    """Return path and blob of the files that `git diff-tree -z` lists as added."""
    parts = listing.split("\0")
    return {path: facts.split(" ")[3] for facts, path in zip(parts[::2], parts[1::2], strict=False)}


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
    test = condition(where, KNOWN) if where else None
    enough = 0 if test or group else limit
    found = _read(project.root, "runs", model, "started", since, enough)
    if group:
        found = [raw for raw in found if raw.get("group") == group]
    if test:
        found = [raw for raw in found if test(raw)]
    return found[-limit:] if limit else found


def find(project: Project, starts: Iterable[str]) -> list[Record]:
    """Return the run records whose ids begin like this, in this order; UsageError otherwise."""
    files = {Path(path).stem: blob for path, blob in _files(project.root, "runs/").items()}
    blobs = []
    for start in starts:
        match = [start] if start in files else [name for name in files if name.startswith(start)]
        if len(match) != 1:
            what = "several runs begin like this" if match else "there is no run of this id"
            do = did_you_mean(start, files) or "see `mlops runs list`"
            raise UsageError(what, found=start, do=do)
        blobs.append(files[match[0]])
    found = objects.contents(project.root, blobs)
    return [Record.model_validate_json(raw) for raw in found if raw]


def checks(
    project: Project, model: str | None = None, since: datetime | None = None
) -> list[dict[str, Any]]:
    """Return drift checks as `append_check` took them, oldest first."""
    return _read(project.root, "monitor", model, "until", since)


def _files(root: Path, under: str) -> dict[str, str]:
    """Return path and blob of every file, also of those that still wait."""
    blobs: dict[str, str] = {}
    for oid in sorted(set(_refs(root).values())) if is_repository(root) else ():
        listing = git(root, "ls-tree", "-r", "-z", "--full-tree", oid, under)
        rows = (line.split("\t", 1) for line in listing.split("\0") if line)
        blobs |= {path: facts.split(" ")[2] for facts, path in rows}
    return blobs


def _read(
    root: Path, kind: str, model: str | None, at: str, since: datetime | None, enough: int = 0
) -> list[dict[str, Any]]:
    """Return files of one kind by time, opening no more months than asked for.

    With `enough`, whole months are left out that are older than so many files.
    """
    months: dict[str, dict[str, str]] = defaultdict(dict)
    for path, blob in _files(root, f"{kind}/{model}/" if model else f"{kind}/").items():
        months["/".join(path.split("/")[2:4])][path] = blob
    wanted: dict[str, str] = {}
    for month in sorted(months, reverse=True):
        if (since and month < f"{since.astimezone(UTC):%Y/%m}") or 0 < enough <= len(wanted):
            break
        wanted |= months[month]
    found = []
    for path, content in zip(wanted, objects.contents(root, wanted.values()), strict=True):
        try:
            raw = json.loads(content or b"")
            found.append((datetime.fromisoformat(raw[at]), path, raw))
        except (KeyError, TypeError, ValueError) as error:
            what, do = "this file of the journal is not what the engine wrote", "mend it there"
            raise WorldError(what, file=f"{path} (branch journal)", do=do) from error
    return [raw for when, _, raw in sorted(found) if since is None or when >= since]


def ago(text: str, now: datetime) -> datetime:
    """Return the moment that ``30d``, ``12h`` or ``2w`` before now is."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if not match:
        what, allowed = "not a stretch of time", "12h, 30d, 2w"
        raise UsageError(what, key="--since", found=text, allowed=allowed)
    unit = {"h": "hours", "d": "days", "w": "weeks"}[match[2]]
    return now - timedelta(**{unit: int(match[1])})

"""Writing to the run log: any number of writers at once, nothing lost.

Many write at once. So a file first waits as a commit under a ref of its own, where nobody is in its
way, and then all that waits is taken to the branch together, by compare-and-swap. Who is too slow
lets it wait at origin: whoever comes next takes it along, so that nobody is too slow three times.
Files are written once and never changed; what a killed writer left waiting is taken by the next.

Where MLFLOW_TRACKING_URI names a server, each run is copied there too, by MLflow's REST API and in
no more than a few seconds: the journal is the record, this a courtesy.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io import git_objects
from mlops.io.digests import canonical_json, sha256
from mlops.io.git import GitError, git, has_remote, require_repository
from mlops.io.git_objects import Env
from mlops.results.runs import Record
from mlops.runlog.mlflow import copy_to_mlflow

LOCAL, REMOTE = "refs/heads/journal", "refs/remotes/origin/journal"

WAITING, THEIRS = (
    "refs/mlops/waiting/",
    "refs/mlops/origin/",
)  # here, and at origin when last seen

_FETCHED = (
    f"+{LOCAL}*:{REMOTE}*",
    f"+{WAITING}*:{THEIRS}*",
)  # a pattern may match nothing

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
    folder, content = f"runs/{record.model}", record.model_dump(mode="json")
    said = _write(
        project.root, folder, record.id, record.started, content, title, record.actor
    )
    return said + copy_to_mlflow(record)


def append_check(
    project: Project, check: dict[str, Any], actor: str
) -> tuple[str, ...]:
    """Write a drift check, as `mlops monitor --json` prints it; return warnings as `append`."""
    until = datetime.fromisoformat(check["until"])
    name = f"{until:%Y%m%d-%H%M}-{sha256(canonical_json(check))[:6]}"
    title = f"{check['model']} {check['version']}: {'alarm' if check['alarm'] else 'no alarm'}"
    folder = f"monitor/{check['model']}"
    return _write(project.root, folder, name, check["until"], check, title, actor)


def named(text: str, what: str) -> str:
    """Return a text that can be part of a path or an option; UsageError where it cannot."""
    if not _ID.fullmatch(text):
        allowed = "letters, digits, `.`, `_` and `-`; 100 at most"
        raise UsageError(f"not {what}", found=repr(text)[:120], allowed=allowed)
    return text


def _write(
    root: Path, folder: str, name: str, at: str, content: Any, title: str, actor: str
) -> tuple[str, ...]:
    """Write one file into the month of a folder; return warnings."""
    require_repository(root)
    when = datetime.fromisoformat(at).astimezone(UTC)
    env, title = (
        git_objects.identity(root, actor, int(when.timestamp())),
        git_objects.one_line(title),
    )
    files = {f"{folder}/{when:%Y/%m}/{name}.json": canonical_json(content) + b"\n"}
    own = git_objects.commit(root, [], files, title, env)
    git(root, "update-ref", WAITING + own, own)
    remote, tip = has_remote(root), ""
    if remote:
        with suppress(EnvironmentFailure):
            tip = _again(partial(_publish, root, title, env))
    _again(partial(_settle, root, title, env, tip))
    return (NOT_PUSHED,) if remote and not tip else ()


def _again(attempt: Callable[[int], str]) -> str:
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
    raise EnvironmentFailure("others were faster, again and again", do="run it again")


def _publish(root: Path, title: str, env: Env, number: int) -> str:
    """Take all that waits, here and at origin, to origin's journal; return its commit."""
    git(root, "fetch", "--quiet", "--no-tags", "--prune", "origin", *_FETCHED)
    refs = journal_refs(root)
    waiting = [oid for ref, oid in refs.items() if ref.startswith((WAITING, THEIRS))]
    local = refs.get(LOCAL)
    tip = _fold(root, refs.get(REMOTE) or local, local, waiting, title, env)
    gone = [f":{WAITING}{Path(ref).name}" for ref in refs if ref.startswith(THEIRS)]
    if gone or tip != refs.get(REMOTE):
        try:
            git(root, "push", "--quiet", "--atomic", "origin", f"{tip}:{LOCAL}", *gone)
        except GitError as error:
            if number == 0 and _CONTENDED.search(error.stderr):
                git(root, "push", "--quiet", "origin", f"{WAITING}*:{WAITING}*")
            raise
    return tip


def _settle(root: Path, title: str, env: Env, tip: str, number: int) -> str:
    """Let the journal here be `tip` (or stay what it was) and all that waits here."""
    refs = journal_refs(root)
    local = refs.get(LOCAL)
    waiting = {ref: oid for ref, oid in refs.items() if ref.startswith(WAITING)}
    new = _fold(root, tip or local, local, list(waiting.values()), title, env)
    lines = [f"update {LOCAL} {new} {local or '0' * len(new)}"]
    lines += [f"delete {ref} {oid}" for ref, oid in waiting.items()]
    git(root, "update-ref", "--stdin", stdin="\n".join(lines) + "\n")
    return new


def journal_refs(root: Path) -> dict[str, str]:
    """Return every ref that may hold files of the journal, and its commit."""
    known = (LOCAL, REMOTE, WAITING, THEIRS)
    lines = git(
        root, "for-each-ref", "--format=%(refname) %(objectname)", *known
    ).splitlines()
    return {ref: oid for ref, oid in (line.split(" ") for line in lines)}


def _fold(
    root: Path,
    base: str | None,
    local: str | None,
    waiting: list[str],
    title: str,
    env: Env,
) -> str:
    """Return a commit of what `base`, the journal here and the waiting commits hold."""
    found = _added(root, base, local) if base and local and base != local else {}
    if commits := "".join(f"{oid}\n" for oid in waiting):
        rows = _added(root, "--stdin", "--root", "--no-commit-id", stdin=commits)
        there = (
            git_objects.contents(root, [f"{base}:{path}" for path in rows])
            if base
            else []
        )
        known = {
            path
            for path, content in zip(rows, there, strict=False)
            if content is not None
        }
        found |= {path: blob for path, blob in rows.items() if path not in known}
    if base and not found:
        return base
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return git_objects.commit(
        root, [base] if base else [], {}, title + more, env, found
    )


def _added(root: Path, *commits: str, stdin: str | None = None) -> dict[str, str]:
    """Return path and blob of the files that commits add, as `git diff-tree` takes commits."""
    options = ("-r", "-z", "--no-renames", "--diff-filter=A")
    parts = git(root, "diff-tree", *options, *commits, stdin=stdin).split("\0")
    return {
        path: facts.split(" ")[3]
        for facts, path in zip(parts[::2], parts[1::2], strict=False)
    }

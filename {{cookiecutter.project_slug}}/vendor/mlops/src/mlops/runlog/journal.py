"""Writing to the run log: any number of writers at once, nothing lost.

Many write at once. So a file first waits as a commit under a ref of its own, where
nobody is in its way, and then all that waits is taken to the branch together, by
compare-and-swap. Whoever is too slow lets it wait at origin: whoever comes next takes
it along, so that nobody is too slow three times. Files are written once and never
changed; what a killed writer left waiting is taken by the next.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError, counted
from mlops.io import git_objects
from mlops.io.digests import canonical_json, sha256
from mlops.io.git import GitError, git, git_remote, has_remote, require_repository
from mlops.io.git_objects import Env
from mlops.results.batch import BatchRun
from mlops.results.ledger import Question
from mlops.results.monitoring import Acceptance, RetrainingRequest
from mlops.results.runs import Record
from mlops.runlog.mlflow import copy_to_mlflow

if TYPE_CHECKING:
    import tenacity

LOCAL = "refs/heads/journal"
REMOTE = "refs/remotes/origin/journal"

WAITING = "refs/mlops/waiting/"  # here
THEIRS = "refs/mlops/origin/"  # at origin, when last seen

# Patterns, because a pattern may match nothing.
_FETCHED = (f"+{LOCAL}*:{REMOTE}*", f"+{WAITING}*:{THEIRS}*")

NOT_PUSHED = "the run log was not pushed to origin; the next run tries again"

_ATTEMPTS = 12

_MOST_SECONDS = 10.0  # of an attempt, when the wait after it is reckoned

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_CONTENDED = re.compile(
    r"\[rejected\]|lock ref|failed to update ref|incorrect old value|ref does not exist"
)


def append(project: Project, record: Record) -> tuple[str, ...]:
    """Write a run record, and copy it to MLflow where there is one.

    Returns warnings: that origin did not take it (it is safe here), or MLflow.
    """
    return append_all(project, [record])


def append_all(project: Project, records: Sequence[Record]) -> tuple[str, ...]:
    """Write run records as `append` does, by one push for all of them."""
    entries = []
    for record in records:
        named(record.id, "an id that a run may have")
        entry = _Entry(
            folder=f"runs/{record.model}",
            name=record.id,
            time=datetime.fromisoformat(record.started).astimezone(UTC),
            content=record.model_dump(mode="json"),
            title=f"{record.model} {record.id}: {record.outcome}",
        )
        entries.append(entry)
    if not entries:
        return ()
    warnings = _write(project.root, entries, records[0].actor)
    for record in records:
        warnings += copy_to_mlflow(record)
    return tuple(dict.fromkeys(warnings))


def append_check(
    project: Project, check: dict[str, Any], actor: str
) -> tuple[str, ...]:
    """Write a drift check, as `mlops monitor --json` prints it.

    Return warnings as `append`.
    """
    until = datetime.fromisoformat(check["until"])
    outcome = "alarm" if check["alarm"] else "no alarm"
    entry = _Entry(
        folder=f"monitor/{check['model']}",
        name=f"{until:%Y%m%d-%H%M}-{sha256(canonical_json(check))[:6]}",
        time=until.astimezone(UTC),
        content=check,
        title=f"{check['model']} {check['version']}: {outcome}",
    )
    return _write(project.root, [entry], actor)


def append_acceptance(project: Project, acceptance: Acceptance) -> tuple[str, ...]:
    """Write that people took a period as the reference; return warnings as `append`."""
    moment = datetime.fromisoformat(acceptance.at).astimezone(UTC)
    content = acceptance.model_dump(mode="json")
    entry = _Entry(
        folder=f"accepted/{acceptance.model}",
        name=f"{moment:%Y%m%d-%H%M%S}-{sha256(canonical_json(content))[:6]}",
        time=moment,
        content=content,
        title=f"{acceptance.model} {acceptance.version}: a reference was accepted",
    )
    return _write(project.root, [entry], acceptance.actor)


def append_retraining(
    project: Project, request: RetrainingRequest, actor: str
) -> tuple[str, ...]:
    """Write that an alarm asks for a retraining; return warnings as `append`."""
    moment = datetime.fromisoformat(request.at).astimezone(UTC)
    content = request.model_dump(mode="json")
    entry = _Entry(
        folder=f"retraining/{request.model}",
        name=f"{moment:%Y%m%d-%H%M%S}-{sha256(canonical_json(content))[:6]}",
        time=moment,
        content=content,
        title=f"{request.model} {request.version}: an alarm asks for a retraining",
    )
    return _write(project.root, [entry], actor)


def append_question(project: Project, question: Question) -> tuple[str, ...]:
    """Write a question to a test part; one that was written already stays as it is.

    Return warnings as `append`.
    """
    moment = datetime.fromisoformat(question.time).astimezone(UTC)
    content = question.model_dump(mode="json")
    outcome = "passed" if question.passed else "failed"
    entry = _Entry(
        folder=f"questions/{question.model}",
        name=f"{moment:%Y%m%d-%H%M%S}-{sha256(canonical_json(content))[:6]}",
        time=moment,
        content=content,
        title=f"{question.model}: the test part was asked, {outcome}",
    )
    return _write(project.root, [entry], question.actor)


def fetch(root: Path) -> None:
    """Bring what origin's run log holds, where there is an origin."""
    if has_remote(root):
        git_remote(root, "fetch", "--no-tags", "--prune", "origin", *_FETCHED)


def append_batch(project: Project, batch: BatchRun, actor: str) -> tuple[str, ...]:
    """Write what a batch has scored; return warnings as `append`."""
    at = datetime.fromisoformat(batch.at).astimezone(UTC)
    content = batch.model_dump(mode="json")
    entry = _Entry(
        folder=f"batch/{batch.model}",
        name=f"{at:%Y%m%d-%H%M}-{sha256(canonical_json(content))[:6]}",
        time=at,
        content=content,
        title=f"{batch.model} {batch.version}: {counted(batch.rows, 'row')} scored",
    )
    return _write(project.root, [entry], actor)


def named(text: str, expected: str) -> str:
    """Return a text that can be part of a path or an option.

    UsageError where it cannot.
    """
    if not _ID.fullmatch(text):
        allowed = "letters, digits, `.`, `_` and `-`; 100 at most"
        raise UsageError(f"not {expected}", found=repr(text)[:120], allowed=allowed)
    return text


@dataclass(frozen=True)
class _Entry:
    """A file of the run log; `time` in UTC says in which month it lies."""

    folder: str
    name: str
    time: datetime
    content: Any
    title: str

    @property
    def path(self) -> str:
        """Where it lies on the branch."""
        return f"{self.folder}/{self.time:%Y/%m}/{self.name}.json"


@dataclass(frozen=True)
class _Author:
    """What commits to the run log are made with: their title, and who and when."""

    title: str
    env: Env


def _write(root: Path, entries: Sequence[_Entry], actor: str) -> tuple[str, ...]:
    """Write files, all or none; return warnings."""
    require_repository(root)
    first = entries[0]
    env = git_objects.identity(root, actor, int(first.time.timestamp()))
    author = _Author(git_objects.one_line(first.title), env)
    files = {entry.path: canonical_json(entry.content) + b"\n" for entry in entries}
    own = git_objects.commit(root, [], files, author.title, env)
    git(root, "update-ref", WAITING + own, own)
    remote = has_remote(root)
    tip = ""
    if remote:
        with suppress(EnvironmentFailure):
            tip = _again(partial(_publish, root, author))
    _again(partial(_settle, root, author, tip))
    return (NOT_PUSHED,) if remote and not tip else ()


def _again(
    attempt: Callable[[int], str],
    sleep: Callable[[float], None] = time.sleep,
    draw: Callable[[float, float], float] = random.uniform,
) -> str:
    """Return what an attempt gives.

    Where others were faster, let them finish and try again.

    The pace of origin is the measure of the wait: a few of many wake up early, and do
    it for the others.

    Parameters
    ----------
    attempt : callable
        Is given its number, from zero on.
    sleep, draw : callable
        Wait, and draw between two numbers.
    """
    import tenacity

    begun = time.monotonic()

    def wait(_: tenacity.RetryCallState) -> float:
        return draw(0, 2 * min(time.monotonic() - begun, _MOST_SECONDS))

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_contended),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=wait,
        sleep=sleep,
    )
    try:
        for number, trial in enumerate(retrying):
            begun = time.monotonic()
            with trial:
                return attempt(number)
    except tenacity.RetryError as error:
        raise git_objects.overtaken() from error
    raise AssertionError("the last attempt returns or raises")


def _contended(error: BaseException) -> bool:
    """Return whether another writer was in the way."""
    return isinstance(error, GitError) and bool(_CONTENDED.search(error.stderr))


def _publish(root: Path, author: _Author, number: int) -> str:
    """Take all that waits, here and at origin, to origin's journal.

    Return its commit.
    """
    git_remote(root, "fetch", "--no-tags", "--prune", "origin", *_FETCHED)
    refs = journal_refs(root)
    waiting = [oid for ref, oid in refs.items() if ref.startswith((WAITING, THEIRS))]
    local = refs.get(LOCAL)
    tip = _merged(root, refs.get(REMOTE) or local, local, waiting, author)
    taken = [f":{WAITING}{Path(ref).name}" for ref in refs if ref.startswith(THEIRS)]
    if taken or tip != refs.get(REMOTE):
        try:
            git_remote(root, "push", "--atomic", "origin", f"{tip}:{LOCAL}", *taken)
        except GitError as error:
            if number == 0 and _contended(error):
                git_remote(root, "push", "origin", f"{WAITING}*:{WAITING}*")
            raise
    return tip


def _settle(root: Path, author: _Author, tip: str, number: int) -> str:
    """Let the journal here be `tip` (or stay what it was) and all that waits here."""
    refs = journal_refs(root)
    local = refs.get(LOCAL)
    waiting = {ref: oid for ref, oid in refs.items() if ref.startswith(WAITING)}
    new = _merged(root, tip or local, local, list(waiting.values()), author)
    lines = [f"update {LOCAL} {new} {local or '0' * len(new)}"]
    lines += [f"delete {ref} {oid}" for ref, oid in waiting.items()]
    git(root, "update-ref", "--stdin", stdin="\n".join(lines) + "\n")
    return new


def journal_refs(root: Path) -> dict[str, str]:
    """Return every ref that may hold files of the journal, and its commit."""
    known = (LOCAL, REMOTE, WAITING, THEIRS)
    options = ("for-each-ref", "--format=%(refname) %(objectname)")
    lines = git(root, *options, *known).splitlines()
    pairs = (line.split(" ") for line in lines)
    return {ref: oid for ref, oid in pairs}


def _merged(
    root: Path,
    base: str | None,
    local: str | None,
    waiting: list[str],
    author: _Author,
) -> str:
    """Return a commit of what `base`, the journal here and the waiting commits hold."""
    files: dict[str, bytes | str] = {}
    if base and local and base != local:
        files |= _added(root, base, local)
    files |= _new(root, base, waiting)
    if base and not files:
        return base
    title = author.title
    if len(files) > 1:
        title = f"{title}, and {len(files) - 1} more"
    parents = [base] if base else []
    return git_objects.commit(root, parents, files, title, author.env)


def _new(root: Path, base: str | None, waiting: list[str]) -> dict[str, str]:
    """Return path and blob of the waiting files that `base` does not hold."""
    if not waiting:
        return {}
    commits = "".join(f"{oid}\n" for oid in waiting)
    files = _added(root, "--stdin", "--root", "--no-commit-id", stdin=commits)
    if not base:
        return files
    held = git_objects.contents(root, [f"{base}:{path}" for path in files])
    pairs = zip(files.items(), held, strict=True)
    return {path: blob for (path, blob), content in pairs if content is None}


def _added(root: Path, *commits: str, stdin: str | None = None) -> dict[str, str]:
    """Return path and blob of the files that commits add."""
    options = ("-r", "-z", "--no-renames", "--diff-filter=A")
    parts = git(root, "diff-tree", *options, *commits, stdin=stdin).split("\0")
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return {path: facts.split(" ")[3] for facts, path in pairs}

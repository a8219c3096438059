"""The journal: one JSON file per run and per drift check on the orphan branch `journal`.

Many write at once. So a file first waits as a commit under a ref of its own, where nobody is in its
way, and then all that waits is taken to the branch together, by compare-and-swap. Who is too slow
lets it wait at origin: whoever comes next takes it along, so that nobody is too slow three times.
Files are written once and never changed; what a killed writer left waiting is taken by the next.

Where MLFLOW_TRACKING_URI names a server, each run is copied there too, by MLflow's REST API and in
no more than a few seconds: the journal is the record, this a courtesy.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mlops import UsageError, WorldError, did_you_mean
from mlops.files import (
    GitError,
    canonical_json,
    git,
    has_remote,
    is_repository,
    require_repository,
    sha256,
)
from mlops.project import Project
from mlops.registry import objects
from mlops.registry.objects import Env
from mlops.results import Record

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
    folder, content = f"runs/{record.model}", record.model_dump(mode="json")
    said = _write(project.root, folder, record.id, record.started, content, title, record.actor)
    return said + copy_to_mlflow(record)


def append_check(project: Project, check: dict[str, Any], actor: str) -> tuple[str, ...]:
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
    env, title = objects.identity(root, actor, int(when.timestamp())), objects.one_line(title)
    files = {f"{folder}/{when:%Y/%m}/{name}.json": canonical_json(content) + b"\n"}
    own = objects.commit(root, [], files, title, env)
    git(root, "update-ref", WAITING + own, own)
    remote, tip = has_remote(root), ""
    if remote:
        with suppress(WorldError):
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
    raise WorldError("others were faster, again and again", do="run it again")


def _publish(root: Path, title: str, env: Env, number: int) -> str:
    """Take all that waits, here and at origin, to origin's journal; return its commit."""
    git(root, "fetch", "--quiet", "--no-tags", "--prune", "origin", *_FETCHED)
    refs = _refs(root)
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
    refs = _refs(root)
    local = refs.get(LOCAL)
    waiting = {ref: oid for ref, oid in refs.items() if ref.startswith(WAITING)}
    new = _fold(root, tip or local, local, list(waiting.values()), title, env)
    lines = [f"update {LOCAL} {new} {local or '0' * len(new)}"]
    lines += [f"delete {ref} {oid}" for ref, oid in waiting.items()]
    git(root, "update-ref", "--stdin", stdin="\n".join(lines) + "\n")
    return new


def _refs(root: Path) -> dict[str, str]:
    """Return every ref that may hold files of the journal, and its commit."""
    known = (LOCAL, REMOTE, WAITING, THEIRS)
    lines = git(root, "for-each-ref", "--format=%(refname) %(objectname)", *known).splitlines()
    return {ref: oid for ref, oid in (line.split(" ") for line in lines)}


def _fold(
    root: Path, base: str | None, local: str | None, waiting: list[str], title: str, env: Env
) -> str:
    """Return a commit of what `base`, the journal here and the waiting commits hold."""
    found = _added(root, base, local) if base and local and base != local else {}
    if commits := "".join(f"{oid}\n" for oid in waiting):
        rows = _added(root, "--stdin", "--root", "--no-commit-id", stdin=commits)
        there = objects.contents(root, [f"{base}:{path}" for path in rows]) if base else []
        known = {path for path, content in zip(rows, there, strict=False) if content is not None}
        found |= {path: blob for path, blob in rows.items() if path not in known}
    if base and not found:
        return base
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return objects.commit(root, [base] if base else [], {}, title + more, env, found)


def _added(root: Path, *commits: str, stdin: str | None = None) -> dict[str, str]:
    """Return path and blob of the files that commits add, as `git diff-tree` takes commits."""
    options = ("-r", "-z", "--no-renames", "--diff-filter=A")
    parts = git(root, "diff-tree", *options, *commits, stdin=stdin).split("\0")
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
    test = objects.condition(where, KNOWN) if where else None
    enough = 0 if test or group else limit
    found = [
        raw
        for raw in _read(project.root, "runs", model, "started", since, enough)
        if (not group or raw.get("group") == group) and (not test or test(raw))
    ]
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
    return [Record.model_validate_json(raw) for raw in objects.contents(project.root, blobs) if raw]


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


# -- the copy in MLflow --------------------------------------------------------------------------

# By this tag a run is found again, so that no record is copied twice.
MLFLOW_TAG = "mlops.run"
_SECONDS = 5.0  # for all requests of one record together


def copy_to_mlflow(record: Record) -> tuple[str, ...]:
    """Copy a record; return a warning where that is not possible, never an error."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return ()
    if not uri.startswith(("http://", "https://")):
        return ("no copy to MLflow: MLFLOW_TRACKING_URI is not the address of a server",)
    import requests

    try:
        _copy(_asker(uri), record)
    except (requests.RequestException, LookupError, TypeError, ValueError) as error:
        return (f"no copy to MLflow: {' '.join(str(error).split())[:200]}",)
    return ()


def _asker(uri: str) -> Callable[..., Any]:
    """Return what asks a server, with the credentials that MLflow's own client takes."""
    import requests

    end, session, env = time.monotonic() + _SECONDS, requests.Session(), os.environ
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        session.headers["Authorization"] = f"Bearer {token}"
    elif user := env.get("MLFLOW_TRACKING_USERNAME"):
        session.auth = (user, env.get("MLFLOW_TRACKING_PASSWORD", ""))

    def ask(path: str, **body: Any) -> Any:
        """Return the answer to a request; in time or not at all."""
        url, left = f"{uri.rstrip('/')}/api/2.0/mlflow", max(end - time.monotonic(), 0.001)
        answer = session.post(f"{url}/{path}", json=body, timeout=left)
        answer.raise_for_status()
        return answer.json()

    return ask


def _copy(ask: Callable[..., Any], record: Record) -> None:
    """Write one run into the experiment of its model; one that died half way is completed."""
    training, data = record.training, record.data
    begun = int(datetime.fromisoformat(record.started).timestamp() * 1000)
    ended = begun + int(record.seconds * 1000)
    known = ask("experiments/search", filter=f"name = '{record.model}'", max_results=1)
    experiments = known.get("experiments") or [ask("experiments/create", name=record.model)]
    where, mine = experiments[0]["experiment_id"], f"tags.`{MLFLOW_TAG}` = '{record.id}'"
    found = ask("runs/search", experiment_ids=[where], filter=mine, max_results=1).get("runs")
    if found and found[0]["info"]["status"] == "FINISHED":
        return
    if not found:
        start = {"experiment_id": where, "run_name": record.id, "start_time": begun}
        found = [ask("runs/create", **start, tags=_pairs({MLFLOW_TAG: record.id}))["run"]]
    run = found[0]["info"]["run_id"]
    values = {"seconds": record.seconds}
    for m in record.metrics:
        values |= {m.name: m.value, f"{m.name}_low": m.low, f"{m.name}_high": m.high}
    tags = {
        "mlflow.user": record.actor,
        "mlflow.source.git.commit": record.commit,
        "mlops.outcome": record.outcome,
        "mlops.group": record.group,
        "mlops.url": record.run_url,
        "mlops.data": data and data.digest,
        "mlops.model": training and training.model_sha256,
    }
    metrics = [{"key": key, "value": value, "timestamp": ended} for key, value in values.items()]
    facts = {"estimator": training.estimator, **training.params} if training else {}
    params = _pairs(facts)[:100]  # no more in one request
    ask("runs/log-batch", run_id=run, metrics=metrics, params=params, tags=_pairs(tags))
    ask("runs/update", run_id=run, status="FINISHED", end_time=ended)


def _pairs(facts: dict[str, Any]) -> list[dict[str, str]]:
    """Return names and values as MLflow allows them."""
    return [
        {"key": re.sub(r"[^\w. :/-]", "_", key)[:250], "value": str(value)[:5000]}
        for key, value in facts.items()
        if value is not None
    ]

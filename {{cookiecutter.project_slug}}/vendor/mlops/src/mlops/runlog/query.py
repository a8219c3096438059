"""Reading the run log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError, did_you_mean
from mlops.io import git_objects
from mlops.io.git import git, is_repository
from mlops.results.batch import BatchRun
from mlops.results.ledger import Question
from mlops.results.monitoring import Acceptance, RetrainingRequest
from mlops.results.runs import Record
from mlops.runlog.conditions import Condition, matching
from mlops.runlog.journal import journal_refs

# What a condition may begin with.
KNOWN = (*Record.model_fields, "params", "seed", "decision")


def records(project: Project, model: str | None = None, **chosen: Any) -> list[Record]:
    """Return run records, oldest first; `chosen` as for `runs`."""
    return [Record.model_validate(raw) for raw in runs(project, model, **chosen)]


def runs(
    project: Project,
    model: str | Collection[str] | None = None,
    *,
    where: Sequence[Condition] = (),
    since: datetime | None = None,
    group: str | None = None,
    limit: int = 0,
) -> list[dict[str, Any]]:
    """Return run records as JSON objects, oldest first.

    In a third of the time of `records`.

    Parameters
    ----------
    model : str or collection of str, optional
        Only this model, or these.
    where : sequence of (str, str, str)
        Conditions such as ``("metrics.roc_auc", "gt", "0.9")``, all to be met.
    since : datetime, optional
        With a time zone.
    group : str, optional
        A sweep, or a pull request (``pr-12``).
    limit : int, optional
        Only so many, the newest; 0: all.
    """
    one = model if isinstance(model, str) else None
    several = None if isinstance(model, str) else model
    enough = 0 if where or group or several is not None else limit
    selected = _read(project.root, _Kind("runs", "started"), one, since, enough)
    if where:
        met = matching(selected, where, KNOWN)
        selected = [raw for raw, fits in zip(selected, met, strict=True) if fits]
    if several is not None:
        selected = [raw for raw in selected if raw.get("model") in several]
    if group:
        selected = [raw for raw in selected if raw.get("group") == group]
    return selected[-limit:] if limit else selected


def find_runs(project: Project, starts: Iterable[str]) -> list[Record]:
    """Return the run records whose ids begin like this, in this order.

    UsageError otherwise.
    """
    files = {}
    for path, blob in _files(project.root, "runs/").items():
        files[Path(path).stem] = blob
    blobs = []
    for start in starts:
        matches = [name for name in files if name.startswith(start)]
        if start in files:
            matches = [start]
        if len(matches) != 1:
            problem = "there is no run of this id"
            if matches:
                problem = "several run ids begin like this"
            advice = did_you_mean(start, files) or "see `mlops runs list`"
            raise UsageError(problem, found=start, do=advice)
        blobs.append(files[matches[0]])
    contents = git_objects.contents(project.root, blobs)
    return [Record.model_validate_json(raw) for raw in contents if raw]


def checks(
    project: Project, model: str | None = None, since: datetime | None = None
) -> list[dict[str, Any]]:
    """Return drift checks as `append_check` took them, oldest first."""
    return _read(project.root, _Kind("monitor", "until"), model, since)


def acceptances(
    project: Project, model: str, since: datetime | None = None
) -> tuple[Acceptance, ...]:
    """Return which periods of a model people took as the reference, oldest first."""
    entries = _read(project.root, _Kind("accepted", "at"), model, since)
    return tuple(Acceptance.model_validate(raw) for raw in entries)


def retraining_requests(
    project: Project, model: str, since: datetime | None = None
) -> tuple[RetrainingRequest, ...]:
    """Return which retrainings alarms of a model have asked for, oldest first."""
    entries = _read(project.root, _Kind("retraining", "at"), model, since)
    return tuple(RetrainingRequest.model_validate(raw) for raw in entries)


def questions(project: Project, model: str) -> tuple[Question, ...]:
    """Return what test parts of a model were asked, oldest first."""
    entries = _read(project.root, _Kind("questions", "time"), model, None)
    return tuple(Question.model_validate(raw) for raw in entries)


def batches(project: Project, model: str) -> list[BatchRun]:
    """Return what batches of a model have scored, oldest first."""
    found = _read(project.root, _Kind("batch", "at"), model, None)
    return [BatchRun.model_validate(raw) for raw in found]


def latest_runs(project: Project, most: int) -> dict[str, list[Record]]:
    """Return the last run records of every model, the newest first."""
    kind = _Kind("runs", "started")
    wanted: dict[str, str] = {}
    for blobs in _by_model(_files(project.root, "runs/")).values():
        wanted |= _of_months(blobs, None, most)
    latest: dict[str, list[Record]] = {}
    for raw in reversed(_entries(project.root, kind, wanted, None)):
        records = latest.setdefault(raw["model"], [])
        if len(records) < most:
            records.append(Record.model_validate(raw))
    return latest


def latest_seconds(project: Project) -> dict[str, float]:
    """Return how many seconds the last whole run of each model took."""
    last = latest_whole_runs(project)
    return {model: float(raw["seconds"]) for model, raw in last.items()}


def latest_whole_runs(project: Project) -> dict[str, dict[str, Any]]:
    """Return the last record of each model whose run trained it.

    A run that skipped the training because nothing had changed says nothing of time
    and cost.
    """
    kind = _Kind("runs", "started")
    wanted: dict[str, str] = {}
    for blobs in _by_model(_files(project.root, "runs/")).values():
        wanted |= _of_months(blobs, None, 1)
    last = {}
    for raw in _entries(project.root, kind, wanted, None):
        if raw.get("stages", {}).get("train") == "ran":
            last[raw["model"]] = raw
    return last


def latest_checks(
    project: Project, model: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return the last drift check of every model; empty for one that is corrupt.

    Parameters
    ----------
    model : str, optional
        Only this one.
    """
    recent = recent_checks(project, 1, model)
    return {name: found[-1] for name, found in recent.items()}


def recent_checks(
    project: Project, most: int, model: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return the last drift checks of every model, oldest first.

    One that is corrupt is empty.

    Parameters
    ----------
    model : str, optional
        Only this one.
    """
    names = []
    blobs = []
    under = f"monitor/{model}/" if model else "monitor/"
    for name, files in _by_model(_files(project.root, under)).items():
        for path in sorted(files)[-most:]:  # the path begins with the time
            names.append(name)
            blobs.append(files[path])
    contents = git_objects.contents(project.root, blobs)
    recent: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, content in zip(names, contents, strict=True):
        recent[name].append(_object(content))
    return dict(recent)


def _object(content: bytes | None) -> dict[str, Any]:
    """Return what a file holds; empty where that is no object."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _by_model(blobs: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return files of one kind by model."""
    models: dict[str, dict[str, str]] = defaultdict(dict)
    for path, blob in blobs.items():
        models[path.split("/")[1]][path] = blob
    return models


class _Kind(NamedTuple):
    """A kind of file: its folder, and the key of its time."""

    folder: str
    time: str


def _files(root: Path, under: str) -> dict[str, str]:
    """Return path and blob of every file, also of those that still wait."""
    if not is_repository(root):
        return {}
    blobs: dict[str, str] = {}
    for oid in sorted(set(journal_refs(root).values())):
        listing = git(root, "ls-tree", "-r", "-z", "--full-tree", oid, under)
        for line in listing.split("\0"):
            if line:
                facts, path = line.split("\t", 1)
                blobs[path] = facts.split(" ")[2]
    return blobs


def _read(
    root: Path,
    kind: _Kind,
    model: str | None,
    since: datetime | None,
    enough: int = 0,
) -> list[dict[str, Any]]:
    """Return files of one kind by time, opening no more months than requested.

    With `enough`, whole months are left out that are older than so many files.
    """
    under = f"{kind.folder}/{model}/" if model else f"{kind.folder}/"
    wanted = _of_months(_files(root, under), since, enough)
    return _entries(root, kind, wanted, since)


def _entries(
    root: Path, kind: _Kind, wanted: dict[str, str], since: datetime | None
) -> list[dict[str, Any]]:
    """Return what files of one kind hold, by time."""
    entries = []
    contents = git_objects.contents(root, wanted.values())
    for path, content in zip(wanted, contents, strict=True):
        try:
            raw = json.loads(content or b"")
            moment = datetime.fromisoformat(raw[kind.time])
        except (KeyError, TypeError, ValueError) as error:
            raise EnvironmentFailure(
                "this file of the run log is corrupt",
                file=f"{path} (branch journal)",
                do="fix it on that branch",
            ) from error
        if since is None or moment >= since:
            entries.append((moment, path, raw))
    entries.sort(key=lambda item: item[:2])
    return [raw for _, _, raw in entries]


def _of_months(
    blobs: dict[str, str], since: datetime | None, enough: int
) -> dict[str, str]:
    """Return the files of the newest months.

    Back to a time, or until there are enough.
    """
    months: dict[str, dict[str, str]] = defaultdict(dict)
    for path, blob in blobs.items():
        month = "/".join(path.split("/")[2:4])
        months[month][path] = blob
    first = f"{since.astimezone(UTC):%Y/%m}" if since else ""
    wanted: dict[str, str] = {}
    for month in sorted(months, reverse=True):
        if month < first or 0 < enough <= len(wanted):
            break
        wanted |= months[month]
    return wanted

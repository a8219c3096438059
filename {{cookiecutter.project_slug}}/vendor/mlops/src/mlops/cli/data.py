"""Commands about data that lie elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, Typer

from mlops.cli.actions_env import as_markdown, event, in_actions, outputs
from mlops.cli.app import app
from mlops.cli.arguments import Model, model_names
from mlops.cli.context import Context, current_context, is_private
from mlops.cli.each import matrix
from mlops.cli.output import Json, ago, emit, progress
from mlops.cli.pipeline import fetching
from mlops.cli.places import place_at
from mlops.cli.selection import select
from mlops.errors import (
    MlopsError,
    Refused,
    UsageError,
    counted,
    error_facts,
    megabytes,
)

if TYPE_CHECKING:
    from mlops.data.pieces import Stored
    from mlops.io.places import Place
    from mlops.monitoring.log_copy import CopiedLog
    from mlops.results.data import SourceLock, StoredSnapshot

Snapshot = Annotated[
    str,
    Argument(metavar="SNAPSHOT", help="A version, or how a snapshot's name begins."),
]

data = Typer(
    no_args_is_help=True,
    help="Data: fetch, store, copy, list, show, diff, pull, prune; log.",
)

app.add_typer(data, name="data", rich_help_panel="Look")


@data.command()
def fetch(
    names: Annotated[
        list[str] | None,
        Argument(metavar="MODEL", help="Default: all whose data lie elsewhere."),
    ] = None,
    models: Annotated[
        str, Option(help="Models of the plan, as a JSON list of names.")
    ] = "",
    due: Annotated[
        bool, Option("--due", help="Only models of which nothing was made yet.")
    ] = False,
    base: Annotated[
        Path | None,
        Option(help="Folder of the base branch: its project.yaml has data.public."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the data of models from where they lie, for `mlops run --locked`.

    Objects that did not change are not read again. No code of a model runs: the job
    that has the credentials can run it. For a schedule, models with nothing new are
    left out. Where one of several cannot be read the others are, and its run says why.

    Example: `mlops data fetch employment`
    """
    at = current_context()
    chosen = model_names(models) if models else names
    if models and not chosen:
        chosen = []
    else:
        chosen = select(at.project, chosen) if at.project.models() else []
    locks, failed = _fetch_each(at, chosen, _may_be_public(at, base))
    lines = [f"{name}: {described(lock)}" for name, lock in locks.items()]
    lines += [f"{name}: not read: {error}" for name, error in failed.items()]
    unchanged = []
    if due or "schedule" in event():
        unchanged = _not_due(at, list(locks))
        lines += [f"{name}: nothing new" for name in unchanged]
    remaining = [name for name in chosen if name not in unchanged]
    has_files = bool(locks or failed)
    outputs(models=remaining, read=has_files, **matrix(at.project, remaining))
    if failed and not locks:
        raise together(failed)
    facts = {
        "models": remaining,
        "failed": {name: error_facts(error) for name, error in failed.items()},
        "sources": {name: lock.model_dump(mode="json") for name, lock in locks.items()},
    }
    text = "\n".join(lines) or "No model has data elsewhere."
    emit(facts, text, as_json, page=as_markdown("Data", *lines))
    if failed:
        raise Exit(together(failed).exit_code)


def _may_be_public(at: Context, base: Path | None) -> bool:
    """Return `data.public`, of the base branch where its folder is given.

    A pull request then cannot allow its own rows to be published.
    """
    from mlops.config.project import Project

    if base is None:
        return at.project.spec.data.public
    return Project.find(at.settings.folder / base).spec.data.public


def _fetch_each(
    at: Context, names: list[str], may_be_public: bool
) -> tuple[dict[str, SourceLock], dict[str, MlopsError]]:
    """Fetch the data of models; return what was read, and of which it could not be."""
    from mlops.pipeline.sources import note_failure

    locks = {}
    failed = {}
    for name in names:
        try:
            lock = _fetch_one(at, name, may_be_public)
        except MlopsError as error:
            note_failure(at.project, name, error)
            failed[name] = error
            continue
        if lock is not None:
            locks[name] = lock
    return locks, failed


def together(failed: dict[str, MlopsError]) -> MlopsError:
    """Return the errors of several models as one, of the worst kind."""
    worst = max(failed.values(), key=lambda error: error.exit_code)
    problems = [problem for error in failed.values() for problem in error.problems]
    return type(worst)(*problems)


def _fetch_one(at: Context, name: str, may_be_public: bool) -> SourceLock | None:
    """Fetch the data of a model; None where nothing of them lies elsewhere."""
    from mlops.data.sources import patterns_elsewhere
    from mlops.pipeline.lock import only_run
    from mlops.pipeline.sources import bring

    if not patterns_elsewhere(at.project.model(name)):
        return None
    require_private("data.public", may_be_public)
    say = progress()
    with only_run(at.project.build(name), say):
        return bring(at.project, name, fetching(at))


def require_private(key: str, is_allowed: bool) -> None:
    """Raise Refused in a job whose artifacts anybody can download.

    Unless project.yaml says that the rows may be public.
    """
    if not in_actions() or is_allowed or is_private():
        return
    raise Refused(
        "the rows would be handed on as an artifact, which anybody can download from "
        "a public repository",
        file="project.yaml",
        key=key,
        found="false",
        do=f"if these rows may be public, set {key}; else make the repository private",
    )


def _not_due(at: Context, names: list[str]) -> list[str]:
    """Return the models of which a run would make nothing new."""
    from mlops.pipeline.due import due
    from mlops.registry.tags import read_registry

    wanted = due(at.project, names, read_registry(at.project.root))
    return [name for name in names if name not in wanted]


def described(lock: SourceLock) -> str:
    """Return what was fetched in a few words."""
    size = sum(one.size for one in lock.objects)
    text = f"{counted(len(lock.objects), 'object')}, {megabytes(size)}"
    return f"{text}; {lock.note}" if lock.note else text


@data.command("log")
def copy_log_now(
    out: Annotated[Path, Option(help="Folder to write to.")],
    names: Annotated[
        list[str] | None,
        Argument(metavar="MODEL", help="Default: all in the last stage."),
    ] = None,
    models: Annotated[
        str, Option(help="Models of the plan, as a JSON list of names.")
    ] = "",
    since: Annotated[str, Option(help="How far back: 12h, 30d, 2w.")] = "7d",
    as_json: Json = False,
) -> None:
    """Copy the prediction log of a period, for `mlops monitor --fetched`.

    Labels that lie elsewhere are read, too. No code of a model runs: the job that has
    the credentials can run it. Where one of several cannot be copied the others are,
    and its check says why.

    Example: `mlops data log employment --since 7d --out build/_log`
    """
    from mlops.cli.places import prediction_place
    from mlops.data.handed_on import note_copies
    from mlops.monitoring.log_copy import copy_log
    from mlops.monitoring.window import Period
    from mlops.pipeline.sources import bring_labels
    from mlops.registry.tags import read_registry

    at = current_context()
    at.catch_up()
    require_private("predictions.public", at.project.spec.predictions.public)
    last = at.project.spec.stages[-1].name
    chosen = model_names(models) if models else list(names or ())
    if not models and not chosen:
        state = read_registry(at.project.root)
        chosen = [n for n in at.project.models() if last in state.model(n).stages]
    now = at.now()
    period = Period(ago(since, now), now)
    source = prediction_place(at.project)
    folder = at.settings.folder / out
    copied = {}
    failed = {}
    for name in chosen:
        try:
            bring_labels(at.project, name, fetching(at))
            copied[name] = copy_log(source, at.project, name, last, period, folder)
        except MlopsError as error:
            failed[name] = error
    logs = {name: asdict(log) for name, log in copied.items()}
    note_copies(folder, logs, failed)
    outputs(read=bool(copied))  # else there is nothing to check
    if failed and not copied:
        raise together(failed)
    lines = [f"{name}: {_copied(log)}" for name, log in copied.items()]
    lines += [f"{name}: not copied: {error}" for name, error in failed.items()]
    facts: dict[str, object] = dict(logs)
    facts |= {name: error_facts(error) for name, error in failed.items()}
    text = "\n".join(lines) or f"No model is in {last}."
    emit(facts, text, as_json, page=as_markdown("Prediction log", *lines))
    if failed:
        raise Exit(together(failed).exit_code)


def _copied(log: CopiedLog) -> str:
    """Return what was copied in a few words."""
    files = counted(log.files, "file")
    return f"{files}, {megabytes(log.size)}, from {log.first} on"


@data.command("store")
def store_now(
    names: Annotated[
        list[str] | None,
        Argument(metavar="MODEL", help="Default: all whose data lie elsewhere."),
    ] = None,
    models: Annotated[
        str, Option(help="Models of the plan, as a JSON list of names.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Store what was read, by content, where `data.store` of project.yaml says.

    Only pieces that are not there yet are written. Where the rows of one of several
    models cannot be stored, those of the others are.

    Example: `mlops data store employment`
    """
    from mlops.data.sources import has_data_elsewhere

    at = current_context()
    if not at.project.spec.data.store:
        text = "Nothing is stored: data.store of project.yaml names no place."
        emit([], text, as_json, page=as_markdown("", text))
        return
    target = _store_of(at)
    chosen = names or []
    if not chosen:
        planned = model_names(models) if models else at.project.models()
        chosen = [name for name in planned if has_data_elsewhere(at.project, name)]
    rows = []
    lines = []
    failed = {}
    for name in chosen:
        try:
            done = _store_one(at, target, name)
        except MlopsError as error:
            failed[name] = error
            lines.append(f"{name}: not stored: {error}")
            continue
        rows.append({"model": name, "snapshot": done.snapshot.name})
        new = counted(done.written, "new piece")
        lines.append(f"{name}: {done.snapshot.name}: {new}, {megabytes(done.size)}")
    if failed and not rows:
        raise together(failed)
    emit(rows, "\n".join(lines), as_json, page=as_markdown("Stored rows", *lines))
    if failed:
        raise Exit(together(failed).exit_code)


def _store_one(at: Context, target: Place, name: str) -> Stored:
    """Store what was read of a model, or what lies in the repository."""
    from mlops.data.pieces import store

    spec = at.project.model(name)
    return store(target, name, spec, at.project.folder(name), at.now())


@data.command("list")
def list_snapshots(name: Model, as_json: Json = False) -> None:
    """List the stored snapshots of a model, and the versions that need them.

    Example: `mlops data list employment`
    """
    from mlops.data.pieces import snapshots
    from mlops.reporting.terminal import table

    at = current_context()
    at.project.folder(name)
    needed = _needed(at, name)
    rows = [
        {
            "snapshot": one.name,
            "stored": one.stored_at[:16].replace("T", " "),
            "files": len(one.files),
            "rows": sum(file.rows for file in one.files),
            "versions": ", ".join(needed.get(one.name, ())),
        }
        for one in reversed(snapshots(_store_of(at), name))
    ]
    text = table(rows, list(rows[0])) if rows else "Nothing is stored yet."
    emit(rows, text, as_json)


@data.command("show")
def show_snapshot(name: Model, snapshot: Snapshot, as_json: Json = False) -> None:
    """Show the files of a stored snapshot.

    Example: `mlops data show employment v1.2.0`
    """
    from mlops.reporting.terminal import table

    at = current_context()
    found = _snapshot_of(at, name, snapshot)
    rows = [
        {
            "file": file.path,
            "rows": file.rows,
            "size": megabytes(file.size),
            "piece": file.piece[:12],
        }
        for file in found.files
    ]
    facts = found.model_dump(mode="json")
    emit(facts, table(rows, list(rows[0])), as_json)


@data.command("diff")
def diff_snapshots(
    name: Model, old: Snapshot, new: Snapshot, as_json: Json = False
) -> None:
    """Say which files two stored snapshots do not share.

    Example: `mlops data diff employment v1.1.0 v1.2.0`
    """
    at = current_context()
    before = {f.path: f for f in _snapshot_of(at, name, old).files}
    after = {f.path: f for f in _snapshot_of(at, name, new).files}
    lines = []
    for path in sorted(before.keys() | after.keys()):
        if path not in before:
            lines.append(f"added    {path}: {counted(after[path].rows, 'row')}")
        elif path not in after:
            lines.append(f"removed  {path}: {counted(before[path].rows, 'row')}")
        elif before[path].sha256 != after[path].sha256:
            rows = after[path].rows - before[path].rows
            lines.append(f"changed  {path}: {rows:+,} rows")
    emit(lines, "\n".join(lines) or "They have the same files.", as_json)


@data.command("pull")
def pull_snapshot(
    name: Model,
    snapshot: Snapshot,
    out: Annotated[Path, Option(help="Folder to write to.")],
    as_json: Json = False,
) -> None:
    """Write a stored snapshot into a folder as Parquet files, verified.

    Example: `mlops data pull employment v1.2.0 --out old-rows`
    """
    from mlops.data.pieces import pull

    at = current_context()
    found = _snapshot_of(at, name, snapshot)
    patterns = pull(_store_of(at), found, at.settings.folder / out)
    lines = [f"{key}: {out / pattern}" for key, pattern in patterns.items()]
    emit(patterns, "\n".join(lines), as_json)


@data.command("copy")
def copy_stored(
    out: Annotated[Path, Option(help="Folder to write to.")],
    names: Annotated[
        list[str] | None,
        Argument(metavar="MODEL", help="Default: all in the last stage."),
    ] = None,
    models: Annotated[
        str, Option(help="Models of the plan, as a JSON list of names.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Copy the stored rows of what is in the last stage, for `reproduce --stored`.

    Versions whose rows are in their commit or their release need none. No code of a
    model runs: the job that has the credentials can run it. Where those of one of
    several cannot be copied the others are, and its `reproduce` says why.

    Example: `mlops data copy employment --out build/_stored`
    """
    from mlops.data.handed_on import note_copies
    from mlops.registry.tags import read_registry

    at = current_context()
    at.catch_up()
    require_private("data.public", at.project.spec.data.public)
    last = at.project.spec.stages[-1].name
    chosen = model_names(models) if models else list(names or ())
    if not models and not chosen:
        state = read_registry(at.project.root)
        chosen = [n for n in at.project.models() if last in state.model(n).stages]
    folder = at.settings.folder / out
    copied = {}
    failed = {}
    for name in chosen:
        try:
            copied[name] = _copy_stored(at, f"{name}@{last}", folder)
        except MlopsError as error:
            failed[name] = error
    note_copies(folder, copied, failed)
    outputs(read=bool(copied))  # else there is nothing to compare
    if failed and not copied:
        raise together(failed)
    lines = [f"{name}: {megabytes(size)}" for name, size in copied.items()]
    lines += [f"{name}: not copied: {error}" for name, error in failed.items()]
    facts: dict[str, object] = dict(copied)
    facts |= {name: error_facts(error) for name, error in failed.items()}
    text = "\n".join(lines) or f"No model is in {last}."
    emit(facts, text, as_json, page=as_markdown("Stored rows", *lines))
    if failed:
        raise Exit(together(failed).exit_code)


def _copy_stored(at: Context, ref: str, folder: Path) -> int:
    """Copy the snapshot that a version needs; return its size, 0 where it needs none.

    One that is not stored is for `reproduce` to say, which may find the rows elsewhere.
    """
    from mlops.data.pieces import copy, snapshot_name, snapshots
    from mlops.io.places import FolderPlace
    from mlops.registry.reproduce import needs_stored_rows
    from mlops.registry.tags import read_registry, resolve

    version = resolve(read_registry(at.project.root), ref)
    manifest = needs_stored_rows(at.project, version)
    if manifest is None:
        return 0
    name = snapshot_name(manifest.data.files)
    source = _store_of(at)
    for snapshot in snapshots(source, version.model):
        if snapshot.name == name:
            return copy(source, FolderPlace(folder), snapshot)
    return 0


@data.command("prune")
def prune_snapshots(
    name: Model,
    days: Annotated[
        int, Option(help="Keep what was stored in so many days.", min=1)
    ] = 90,
    yes: Annotated[
        bool, Option("--yes", help="Prune; without it, snapshots are only listed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List stored snapshots that no version needs; --yes prunes them.

    Pieces that no snapshot has any more go a day later, by the next prune.

    Example: `mlops data prune employment --days 90`
    """
    from mlops.data.pieces import prune, unneeded

    at = current_context(fetch=True)
    at.project.folder(name)
    needed = frozenset(_needed(at, name))
    which = (name, needed, at.now(), days)
    act = prune if yes else unneeded
    pruned = [one.name for one in act(_store_of(at), *which)]
    outcome = "pruned" if yes else "to prune: add --yes"
    text = "Nothing can be pruned."
    if pruned:
        text = "\n".join([*pruned, f"{counted(len(pruned), 'snapshot')} {outcome}"])
    emit({"snapshots": pruned, "done": yes}, text, as_json)


def _store_of(at: Context) -> Place:
    """Return the place of snapshots that project.yaml names."""
    text = at.project.spec.data.store
    if text:
        return place_at(text, at.project.root, "data.store")
    raise UsageError(
        "no place for snapshots is named",
        file="project.yaml",
        key="data.store",
        allowed="a folder, or s3://BUCKET/PREFIX",
        do="add `data: {store: s3://BUCKET/PREFIX}`",
    )


def _needed(at: Context, name: str) -> dict[str, list[str]]:
    """Return the snapshots of a model's versions by name, with the versions."""
    from mlops.data.pieces import snapshot_name
    from mlops.registry.manifest import manifests
    from mlops.registry.tags import read_registry

    needed: dict[str, list[str]] = {}
    versions = read_registry(at.project.root).model(name).versions.values()
    for number, manifest in manifests(at.project.root, versions):
        if isinstance(manifest, Refused):
            raise manifest  # what it needs is not known
        needed.setdefault(snapshot_name(manifest.data.files), []).append(number)
    return needed


def _snapshot_of(at: Context, name: str, text: str) -> StoredSnapshot:
    """Return the snapshot that a version has, or that a name begins like."""
    from mlops.data.pieces import snapshots

    at.project.folder(name)
    by_version = {
        number: snapshot
        for snapshot, numbers in _needed(at, name).items()
        for number in numbers
    }
    wanted = by_version.get(text.rpartition("@")[2], text)
    stored = snapshots(_store_of(at), name)
    found = [one for one in stored if one.name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        "there is no such snapshot" if not found else "several snapshots begin so",
        found=text,
        allowed="a version such as v1.2.0, or the name of a snapshot",
        do=f"`mlops data list {name}` lists them",
    )

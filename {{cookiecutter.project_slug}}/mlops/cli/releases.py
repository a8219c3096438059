"""The verbs of the registry and the journal: register, promote, rollback, registry, runs, pull."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import app
from mlops.cli.say import Json, emit, leave, progress

Ref = Annotated[
    str, typer.Argument(metavar="VERSION", help="MODEL@v1.2.0, MODEL@STAGE or MODEL@latest.")
]
Model = Annotated[str, typer.Argument(metavar="MODEL")]
StageName = Annotated[str, typer.Argument(metavar="STAGE", help="As project.yaml names it.")]
Approver = Annotated[str | None, typer.Option(help="Who approved; the actor where absent.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the tag.")]
Actor = Annotated[str | None, typer.Option(help="Who does it; found out where absent.")]

registry = typer.Typer(no_args_is_help=True, help="Versions and stages.")
runs = typer.Typer(no_args_is_help=True, help="What was tried: the journal.")
app.add_typer(registry, name="registry", rich_help_panel="Look")
app.add_typer(runs, name="runs", rich_help_panel="Look")


def _here(actor: str | None = None) -> tuple[Any, str, Any]:
    """Return the project, who acts, and the time."""
    from mlops.cli.context import Context
    from mlops.project import Project

    project = Project.find()
    context = Context.here(project.root)
    return project, actor or context.actor, context.now()


@app.command(rich_help_panel="Release")
def register(name: Model, actor: Actor = None, as_json: Json = False) -> None:
    """Make a version of what was run: a commit, a git tag and a release.

    Example: `mlops register employment`
    """
    from mlops.registry.publish import register as do
    from mlops.results import Record

    project, who, now = _here(actor)
    _require_fresh(project, name)
    record = project.build(name) / "record.json"
    run = Record.load(record.parent).id if record.is_file() else ""
    done = do(project, name, actor=who, run=run, now=now)
    say = progress()
    for note in done.notes:
        say(f"note: {note}")
    text = f"{done.version.ref} {'is registered' if done.created else 'was registered already'}"
    emit(
        {"version": done.version.number, "ref": done.version.ref, "created": done.created},
        text,
        as_json,
    )


def _require_fresh(project: Any, name: str) -> None:
    """Raise Refused where `mlops run` would not skip: what it said is not said of this tree."""
    from mlops.cli.context import Context
    from mlops.cli.run import Run
    from mlops.errors import Problem, Refused

    build = project.build(name)
    stale = Run(project, name, Context.here(project.root), progress()).stale()
    if stale and (build / "verdict.json").is_file():
        raise Refused(
            Problem(
                "the results are not of what is checked out, or production has moved on since",
                file=str(build),
                found=f"out of date: {', '.join(stale)}",
                do=f"run `mlops run {name}`",
            )
        )


@app.command(rich_help_panel="Release")
def promote(
    ref: Ref,
    stage: StageName,
    reason: Reason = "",
    approver: Approver = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Put a version into a stage, where the services that follow the stage take it up.

    Example: `mlops promote employment@v1.1.0 production -m "better on the new census"`
    """
    from mlops.registry.stages import promote as do

    project, who, now = _here(actor)
    done = do(project, ref, stage, actor=who, approver=approver, reason=reason, now=now)
    _assigned(done, as_json)


@app.command(rich_help_panel="Release")
def rollback(
    name: Model,
    stage: StageName,
    reason: Reason = "",
    approver: Approver = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Put back the version that was in a stage before.

    Example: `mlops rollback employment production -m "complaints since Monday"`
    """
    from mlops.registry.stages import rollback as do

    project, who, now = _here(actor)
    done = do(project, name, stage, actor=who, approver=approver, reason=reason, now=now)
    _assigned(done, as_json)


def _assigned(done: Any, as_json: bool) -> None:
    before = f" (before: {done.replaced.number})" if done.replaced else ""
    text = f"{done.version.ref} {'is now' if done.created else 'is already'} in {done.stage}"
    replaced = done.replaced.number if done.replaced else None
    emit(
        {
            "version": done.version.number,
            "stage": done.stage,
            "created": done.created,
            "replaced": replaced,
        },
        text + (before if done.created else ""),
        as_json,
    )


@registry.command("list")
def registry_list(
    name: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None, as_json: Json = False
) -> None:
    """List versions, newest first, with the stages they are in.

    Example: `mlops registry list employment`
    """
    from mlops.registry.api import versions
    from mlops.reporting.terminal import listing

    project, _, _ = _here()
    rows = [
        {
            "version": version.ref,
            "stages": ", ".join(version.stages),
            "registered": _when(version.event.time),
            "by": version.event.actor,
            "reason": version.event.trailers.get("Reason"),
        }
        for version in versions(project, name)
    ]
    columns = tuple(rows[0]) if rows else ()
    emit(rows, listing(rows, columns, "Nothing is registered yet: `mlops register MODEL`"), as_json)


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


@registry.command()
def show(ref: Ref, as_json: Json = False) -> None:
    """Show one version: metrics, data, code, verdict, assets.

    Example: `mlops registry show employment@production`
    """
    from mlops.registry.api import show as do
    from mlops.reporting.terminal import pairs

    project, _, _ = _here()
    version, manifest = do(project, ref)
    facts = {
        "version": version.ref,
        "stages": ", ".join(version.stages),
        "registered": f"{_when(version.event.time)} UTC by {version.event.actor}",
        "previous": manifest.previous,
        "change": manifest.change,
        "verdict": f"{manifest.verdict.decision}: {' '.join(manifest.verdict.reasons)}",
        **{m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in manifest.metrics},
        "data": f"{manifest.data.digest[:12]}, {manifest.data.rows:,} rows",
        "period": " to ".join(manifest.data.period or ()),
        "code": manifest.code.commit[:12],
        "params": ", ".join(f"{k}={v}" for k, v in manifest.params.items()),
        "run": manifest.run,
        "assets": ", ".join(manifest.assets),
    }
    emit(manifest.model_dump(mode="json"), pairs(facts), as_json)


@registry.command()
def history(name: Model, as_json: Json = False) -> None:
    """Show who did what, when and why.

    Example: `mlops registry history employment`
    """
    from mlops.registry.api import history as events
    from mlops.reporting.terminal import listing

    project, _, _ = _here()
    rows = [
        {
            "at": _when(event.time),
            "event": _EVENTS[event.kind].format(version=event.version, stage=event.stage),
            "actor": event.actor,
            "approver": event.trailers.get("Approver"),
            "reason": event.trailers.get("Reason"),
            "tag": event.tag,
        }
        for event in events(project, name)
    ]
    emit(rows, listing(rows, tuple(rows[0]) if rows else (), "Nothing has happened."), as_json)


_EVENTS = {
    "register": "registered {version}",
    "deregister": "withdrew {version}",
    "assign": "put {version} into {stage}",
    "unassign": "took {version} out of {stage}",
    "deprecate": "retired the model",
}


@runs.command("list")
def runs_list(
    name: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None,
    where: Annotated[
        str | None, typer.Option(help="Conditions: 'metrics.roc_auc>0.8 and outcome=promote'.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="12h, 30d, 2w")] = None,
    as_json: Json = False,
) -> None:
    """List runs, oldest first.

    Example: `mlops runs list employment --where 'metrics.roc_auc>0.8' --since 30d`
    """
    from mlops.registry.journal import ago, records
    from mlops.reporting.terminal import listing

    project, _, now = _here()
    found = records(project, name, where, ago(since, now) if since else None)
    rows = [
        {
            "id": r.id,
            "model": r.model,
            "outcome": r.outcome,
            "metric": f"{r.metrics[0].name} {r.metrics[0].value:.4f}" if r.metrics else None,
            "estimator": r.training.estimator if r.training else None,
            "seconds": round(r.seconds, 1),
            "actor": r.actor,
        }
        for r in found
    ]
    text = listing(rows, tuple(rows[0]) if rows else (), "No run is recorded: `mlops run MODEL`")
    emit([r.model_dump(mode="json") for r in found], text, as_json)


def _find(ids: list[str]) -> list[Any]:
    """Return the records whose ids begin with the given ones."""
    from mlops.errors import Problem, UsageError, did_you_mean
    from mlops.registry.journal import records

    project, _, _ = _here()
    every = {record.id: record for record in records(project)}
    found = []
    for wanted in ids:
        match = [record for key, record in every.items() if key.startswith(wanted)]
        if len(match) != 1:
            what = "several runs begin like this" if match else "there is no run of this id"
            raise UsageError(
                Problem(
                    what, found=wanted, do=did_you_mean(wanted, every) or "see `mlops runs list`"
                )
            )
        found.append(match[0])
    return found


def _flat(record: Any) -> dict[str, object]:
    """Return a run's facts in one level, for people."""
    training, data = record.training, record.data
    return {
        "model": record.model,
        "started": record.started,
        "outcome": record.outcome,
        "commit": f"{(record.commit or '')[:12]}{' and changes' if record.dirty else ''}",
        "actor": record.actor,
        "seconds": round(record.seconds, 1),
        "data": f"{data.digest[:12]} ({data.rows:,} rows)" if data else None,
        "estimator": training.estimator if training else None,
        **({f"params.{k}": v for k, v in training.params.items()} if training else {}),
        **{m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in record.metrics},
        "reasons": "; ".join(record.verdict.reasons) if record.verdict else None,
    }


@runs.command("show")
def runs_show(run: Annotated[str, typer.Argument(metavar="RUN")], as_json: Json = False) -> None:
    """Show one run; the first letters of its id are enough.

    Example: `mlops runs show 20261123-10`
    """
    from mlops.reporting.terminal import pairs

    record = _find([run])[0]
    emit(record.model_dump(mode="json"), pairs({"id": record.id, **_flat(record)}), as_json)


@runs.command("compare")
def runs_compare(
    chosen: Annotated[list[str], typer.Argument(metavar="RUN RUN...")], as_json: Json = False
) -> None:
    """Show runs side by side, only where they differ.

    Example: `mlops runs compare 20261123-101500 20261123-113000`
    """
    from mlops.reporting.terminal import compare

    records = {record.id: _flat(record) for record in _find(chosen)}
    emit(records, compare(records), as_json)


@app.command(rich_help_panel="Release")
def pull(
    ref: Ref,
    out: Annotated[
        Path, typer.Option(help="Folder; default: build/pulled/MODEL-VERSION.")
    ] = Path(),
    as_json: Json = False,
) -> None:
    """Fetch the files of a version, each verified against its tag.

    Example: `mlops pull employment@production --out ./model`
    """
    from mlops.registry.verify import fetch

    project, _, _ = _here()
    bundle = fetch(project, ref)
    name = f"{bundle.version.model}-{bundle.version.number}"
    folder = out if out != Path() else project.root / "build" / "pulled" / name
    paths = [str(path) for path in bundle.save(folder)]
    emit({"version": bundle.version.ref, "files": paths}, "\n".join(paths), as_json)


@app.command(rich_help_panel="Release")
def reproduce(ref: Ref, as_json: Json = False) -> None:
    """Train a released version again from its tag, and compare the bytes.

    Example: `mlops reproduce employment@v1.0.0`
    """
    from mlops.registry.reproduce import reproduce as again

    project, _, _ = _here()
    progress()(f"training {ref} again in a worktree of its own …")
    done = again(project, ref)
    word = "the same bytes" if done.same else "OTHER BYTES"
    text = [f"{done.version}: {word}", f"  then  {done.expected}", f"  now   {done.found}"]
    emit(vars(done), "\n".join([*text, *(f"  {d}" for d in done.differences)]), as_json)
    leave(done.same)

"""The verbs of a version: register it, decide about it, fetch and use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlops import Refused, UsageError
from mlops.cli import (
    Context,
    Json,
    app,
    as_markdown,
    attests,
    emit,
    here,
    hint,
    in_actions,
    kept,
    outputs,
    progress,
    registry_of,
)

if TYPE_CHECKING:
    from mlops.registry.stages import Assigned

Ref = Annotated[str, Argument(metavar="VERSION", help="MODEL@v1.2.0, MODEL@STAGE or MODEL@latest.")]
Followed = Annotated[str, Argument(metavar="MODEL@STAGE", help="Such as churn@production.")]
Model = Annotated[str, Argument(metavar="MODEL")]
StageName = Annotated[str, Argument(metavar="STAGE", help="As project.yaml names it.")]
Approver = Annotated[str | None, Option(help="Who approved; the actor where absent.")]
Reason = Annotated[str, Option("--reason", "-m", help="Why; kept in the tag.")]
Why = Annotated[str, Option("--reason", "-m", metavar="WHY", help="Kept in the tag.")]
Actor = Annotated[str | None, Option(help="Who does it; found out where absent.")]


@app.command(rich_help_panel="Release")
def register(
    name: Annotated[
        str | None,
        Argument(metavar="MODEL", help="None: all that were built and may be promoted."),
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Make a version of what was run: commit, git tag and release.

    Example: `mlops register employment`
    """
    from mlops.results import Verdict

    at = here(fetch=True)
    project = at.project
    built = [n for n in project.models() if (project.build(n) / "verdict.json").is_file()]
    good = [n for n in built if Verdict.load(project.build(n)).decision == "promote"]
    models = [name] if name else good
    answers = [_register(at, n, actor or at.actor) for n in models]
    texts = [
        f"{a['ref']} {'is registered' if a['created'] else 'was registered already'}"
        for a in answers
    ]
    attest = [f"build/{n}/model.skops" for n in models if attests()]
    if in_actions() and models and not attest:
        texts.append("not attested: GitHub does not sign here; the chain of digests holds")
    outputs(models=models, attest=",".join(attest))
    page = as_markdown("", *texts, *(note for answer in answers for note in answer["notes"]))
    said = "\n".join(texts) or "nothing to register"
    emit(answers[0] if name else answers, said, as_json, page=page)
    for answer in answers:
        if answer["created"]:
            hint(f"mlops promote {answer['ref']} {project.spec.stages[0].name}")


def _register(at: Context, name: str, who: str) -> dict[str, Any]:
    from mlops.registry.journal import append
    from mlops.registry.publish import register as do
    from mlops.results import Record

    _require_fresh(at, name)
    build = at.project.build(name)
    record = Record.load(build) if (build / "record.json").is_file() else None
    run = record.id if record else ""
    done = do(at.project, name, actor=who, run=run, now=at.now(), store=at.store)
    notes = list(done.notes)
    if record and in_actions():  # the job that ran it may not push
        notes += kept(append(at.project, record))
    for note in notes:
        progress()(f"note: {note}")
    number, ref = done.version.number, done.version.ref
    return {"version": number, "ref": ref, "created": done.created, "notes": notes}


def _require_fresh(at: Context, name: str) -> None:
    """Raise Refused where `mlops run` would not skip: what it said is not said of this tree."""
    from mlops.cli.run import Run

    build = at.project.build(name)
    stale = Run(at, name, progress()).stale()
    if stale and (build / "verdict.json").is_file():
        what = "the results are not of what is checked out, or production has moved on since"
        found, do = f"out of date: {', '.join(stale)}", f"run `mlops run {name}`"
        raise Refused(what, file=str(build), found=found, do=do)


@app.command(rich_help_panel="Release")
def promote(
    ref: Ref,
    stage: StageName,
    reason: Reason = "",
    approver: Approver = None,
    actor: Actor = None,
    again: Annotated[
        bool, Option("--again", help="Decide anew where it was rejected; say why.")
    ] = False,
    ask: Annotated[
        bool, Option("--ask", help="Where nobody has approved: say who may, and go on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a version into a stage; services that follow it take it up.

    Example: `mlops promote employment@v1.1.0 production -m "better on the new census"`
    """
    from mlops.registry.stages import promote as do

    at, act = _act(actor, reason, approver, stage)
    if ask and not act["approver"] and (able := at.project.stage(stage).approvers):
        text = f"{ref} waits: {', '.join(able)} may put it into {stage}, by the workflow promote"
        emit({"version": ref, "stage": stage, "created": False}, text, as_json, page=text)
        return
    done = do(at.project, ref, stage, store=at.store, again=again, **act)
    _assigned(done, as_json)
    if done.created:
        later = next((s.name for s in at.project.spec.stages if s.after == stage), None)
        name = done.version.model
        hint(f"mlops promote {name}@{stage} {later}" if later else f"mlops serve {name}@{stage}")


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

    at, act = _act(actor, reason, approver, stage)
    _assigned(do(at.project, name, stage, store=at.store, **act), as_json)


@app.command(rich_help_panel="Release")
def reject(
    ref: Ref,
    stage: StageName,
    reason: Why,
    approver: Approver = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Keep a version out of a stage; the last approved comes back.

    Example: `mlops reject employment@production production -m "unfair to the disabled"`
    """
    from mlops.registry.stages import reject as do
    from mlops.registry.tags import read

    at, act = _act(actor, reason, approver, stage)
    done = do(at.project, ref, stage, store=at.store, **act)
    holder = read(at.project.root).model(done.version.model).stages.get(stage)
    serves = f"; {holder.number if holder else 'no version'} is in it"
    _said(done, done.version.ref, f"rejected for {stage}", as_json, serves)


@app.command(rich_help_panel="Release")
def withdraw(ref: Ref, reason: Why, actor: Actor = None, as_json: Json = False) -> None:
    """Take back a version that is in no stage: nobody can use it.

    Example: `mlops withdraw employment@v1.1.0 -m "trained on wrong labels"`
    """
    from mlops.registry.stages import withdraw as do

    at, act = _act(actor, reason)
    done = do(at.project, ref, **act)
    _said(done, done.version.ref, "withdrawn", as_json)


@app.command(rich_help_panel="Release")
def deprecate(name: Model, reason: Why, actor: Actor = None, as_json: Json = False) -> None:
    """Retire a model, until a new version of it is registered.

    Until then nothing of it enters a stage; what is in one serves on.

    Example: `mlops deprecate employment -m "replaced by workforce"`
    """
    from mlops.registry.stages import deprecate as do

    at, act = _act(actor, reason)
    _said(do(at.project, name, **act), name, "retired", as_json)


def _act(
    actor: str | None, reason: str, approver: str | None = None, stage: str | None = None
) -> tuple[Context, dict[str, Any]]:
    """Return where this is, and who does something to a registry, why, when and in which run.

    In a job of GitHub Actions, the approver is whoever approved it, where anybody was asked.
    """
    from mlops.github.client import approved_by, repository

    at = here()
    if stage and not approver and in_actions() and at.project.stage(stage).approvers:
        approver = approved_by(repository(), stage)
    who, run = actor or at.decider, at.run_url
    return at, {"actor": who, "reason": reason, "now": at.now(), "approver": approver, "run": run}


def _assigned(done: Assigned, as_json: bool) -> None:
    """Print which version is in a stage now."""
    replaced = done.replaced.number if done.replaced else None
    text = f"{done.version.ref} {'is now' if done.created else 'is already'} in {done.stage}"
    facts = {"version": done.version.number, "stage": done.stage, "created": done.created}
    before = f" (before: {replaced})" if replaced and done.created else ""
    emit({**facts, "replaced": replaced}, text + before, as_json, page=text)


def _said(done: Assigned, name: str, what: str, as_json: bool, more: str = "") -> None:
    """Print that something was done to a version, or to a model."""
    text = f"{name} is {what}" if done.created else f"{name} was {what} already"
    facts = {"version": done.version.ref, "created": done.created}
    emit(facts, text + more, as_json, page=text)


@app.command(rich_help_panel="Release")
def pull(
    ref: Ref,
    out: Annotated[
        Path | None,
        Option(help="Folder; default: MODEL-VERSION, in a repository in build/pulled."),
    ] = None,
    source: Annotated[
        str | None,
        Option("--from", help="Another repository: OWNER/REPO on GitHub, or its folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a version's files, verified; with --from in any folder.

    Example: `mlops pull employment@production --from acme/census --out ./model`
    """
    from mlops.registry.manifest import chain

    root, store, folder = registry_of(source, ref.replace("#", "@").partition("@")[0])
    bundle = chain(root, ref, store)
    folder = out or folder / f"{bundle.version.model}-{bundle.version.number}"
    paths = [str(path) for path in bundle.save(folder, progress())]
    emit({"version": bundle.version.ref, "files": paths}, "\n".join(paths), as_json)


@app.command(rich_help_panel="Release")
def reproduce(ref: Ref, as_json: Json = False) -> None:
    """Train a version again in its own environment; compare bytes.

    Example: `mlops reproduce employment@v1.0.0`
    """
    from mlops.registry.environment import reproduce as again

    at = here(fetch=True)
    done = again(at.project, ref, at.store, progress())
    word = "the same bytes" if done.same else "OTHER BYTES"
    text = [f"{done.version}: {word}", f"  then  {done.expected}", f"  now   {done.found}"]
    text += [f"  in    {done.environment}", *(f"  {part}" for part in done.differences)]
    emit(vars(done), "\n".join(text), as_json, page="\n".join(text), yes=done.same)


@app.command(rich_help_panel="Use")
def predict(
    ref: Ref,
    data: Annotated[Path, Argument(metavar="FILE", help="CSV or Parquet, with the features.")],
    out: Annotated[Path | None, Option(help="CSV file to write; default: the screen.")] = None,
    log: Annotated[bool, Option(help="Log the predictions, for monitoring.")] = True,
    as_json: Json = False,
) -> None:
    """Predict the rows of a file with a released version.

    Example: `mlops predict employment@production people.csv --out answers.csv`
    """
    from mlops.files import write_text
    from mlops.serving.log import records
    from mlops.serving.run import predict_file

    at = here(fetch=True)
    answers, version = predict_file(at.project, ref, data, at.now(), log, at.store)
    if out is None:
        text = answers.head(20).to_string(index=False)
        # JSON has finite numbers alone; the others are missing, as NaN is.
        rows = records(answers.replace([float("inf"), float("-inf")], None))
    else:
        write_text(out, answers.to_csv(index=False, lineterminator="\n"))
        text, rows = f"{len(answers):,} rows predicted by {version}: {out}", []
    emit({"version": version, "rows": len(answers), "predictions": rows}, text, as_json)


@app.command(rich_help_panel="Use")
def serve(
    ref: Followed,
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(help="0: any free one.", min=0, max=65535)] = 8000,
    interval: Annotated[float, Option(help="Seconds between looks at the stage.", min=0.01)] = 10.0,
) -> None:
    """Serve a stage over HTTP, through its promotions and rollbacks.

    Example: `mlops serve employment@production --port 8000`
    """
    from mlops.serving.run import serve as run

    at = here()
    name, _, stage = ref.partition("@")
    if not stage:
        what, do = "a service follows a stage", f"`mlops serve {name}@production`"
        raise UsageError(what, found=ref, do=do)
    run(at.project, name, at.project.stage(stage).name, host, port, interval, at.store)

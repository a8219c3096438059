"""The verbs of a release: register it, decide about it."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from mlops.cli import app
from mlops.cli.context import Json, as_markdown, emit, hint, outputs, progress, summary

Ref = Annotated[
    str, typer.Argument(metavar="VERSION", help="MODEL@v1.2.0, MODEL@STAGE or MODEL@latest.")
]
Model = Annotated[str, typer.Argument(metavar="MODEL")]
StageName = Annotated[str, typer.Argument(metavar="STAGE", help="As project.yaml names it.")]
Approver = Annotated[str | None, typer.Option(help="Who approved; the actor where absent.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the tag.")]
Why = Annotated[str, typer.Option("--reason", "-m", metavar="WHY", help="Kept in the tag.")]
Actor = Annotated[str | None, typer.Option(help="Who does it; found out where absent.")]


def here(actor: str | None = None) -> tuple[Any, str, Any]:
    """Return the project, who acts, and the time."""
    from mlops.cli.context import Context
    from mlops.project import Project

    project = Project.find()
    context = Context.here(project.root)
    return project, actor or context.actor, context.now()


@app.command(rich_help_panel="Release")
def register(
    name: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="None: all that were built and may be promoted."),
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Make a version of what was run: commit, git tag and release.

    Example: `mlops register employment`
    """
    from mlops.cli.context import catch_up, in_actions
    from mlops.results import Verdict

    project, who, now = here(actor)
    catch_up(project)
    built = [n for n in project.models() if (project.build(n) / "verdict.json").is_file()]
    good = [n for n in built if Verdict.load(project.build(n)).decision == "promote"]
    answers = [_register(project, n, who, now) for n in ([name] if name else good)]
    texts = [
        f"{a['ref']} {'is registered' if a['created'] else 'was registered already'}"
        for a in answers
    ]
    models = [answer["ref"].split("@")[0] for answer in answers]
    attest = [f"build/{n}/model.skops" for n in models if _attests()]
    if in_actions() and models and not attest:
        texts.append("not attested: GitHub does not sign here; the chain of digests holds")
    outputs(models=models, attest=",".join(attest))
    summary(as_markdown("", *texts, *(note for answer in answers for note in answer["notes"])))
    emit(answers[0] if name else answers, "\n".join(texts) or "nothing to register", as_json)
    for answer in answers:
        if answer["created"]:
            hint(f"mlops promote {answer['ref']} {project.spec.stages[0].name}")


def _attests() -> bool:
    """Return whether GitHub signs what is released; the variable ATTESTATIONS (on, off) knows best.

    It does in public repositories; in private ones on Enterprise Cloud alone, on no server of
    one's own (whose API is below /api/v3).
    """
    from mlops.cli.context import event

    private = event().get("repository", {}).get("private", False)
    server = os.environ.get("GITHUB_API_URL", "").endswith("/api/v3")
    said = os.environ.get("ATTESTATIONS")
    return said == "on" or (said != "off" and not private and not server)


def _register(project: Any, name: str, who: str, now: Any) -> dict[str, Any]:
    from mlops.cli.context import in_actions, kept, release_store
    from mlops.registry.publish import register as do
    from mlops.results import Record

    _require_fresh(project, name)
    build = project.build(name)
    record = Record.load(build) if (build / "record.json").is_file() else None
    run, store = record.id if record else "", release_store(project)
    done = do(project, name, actor=who, run=run, now=now, store=store)
    notes = list(done.notes)
    if record and in_actions():  # the job that ran it may not push
        from mlops.registry.journal import append

        notes += kept(append(project, record))
    for note in notes:
        progress()(f"note: {note}")
    number, ref = done.version.number, done.version.ref
    return {"version": number, "ref": ref, "created": done.created, "notes": notes}


def _require_fresh(project: Any, name: str) -> None:
    """Raise Refused where `mlops run` would not skip: what it said is not said of this tree."""
    from mlops import git
    from mlops.cli.context import Context
    from mlops.cli.run import Run
    from mlops.errors import Refused

    build = project.build(name)
    git.require_repository(project.root)
    stale = Run(project, name, Context.here(project.root), progress()).stale()
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
        bool, typer.Option("--again", help="Decide anew where it was rejected; say why.")
    ] = False,
    ask: Annotated[
        bool, typer.Option("--ask", help="Where nobody has approved: say who may, and go on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a version into a stage; services that follow it take it up.

    Example: `mlops promote employment@v1.1.0 production -m "better on the new census"`
    """
    from mlops.cli.context import release_store
    from mlops.registry.stages import promote as do

    project, act = _act(actor, reason, approver, stage)
    if ask and not act["approver"] and (able := project.stage(stage).approvers):
        text = f"{ref} waits: {', '.join(able)} may put it into {stage}, by the workflow promote"
        summary(text)
        emit({"version": ref, "stage": stage, "created": False}, text, as_json)
        return
    done = do(project, ref, stage, store=release_store(project), again=again, **act)
    _assigned(done, as_json)
    if done.created:
        later = next((s.name for s in project.spec.stages if s.after == stage), None)
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
    from mlops.cli.context import release_store
    from mlops.registry.stages import rollback as do

    project, act = _act(actor, reason, approver, stage)
    _assigned(do(project, name, stage, store=release_store(project), **act), as_json)


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
    from mlops.cli.context import release_store
    from mlops.registry.stages import reject as do
    from mlops.registry.tags import read

    project, act = _act(actor, reason, approver, stage)
    done = do(project, ref, stage, store=release_store(project), **act)
    holder = read(project.root).model(done.version.model).stages.get(stage)
    serves = f"; {holder.number} is in it" if holder else "; no version is in it"
    _said(done, f"rejected for {stage}", as_json, serves)


@app.command(rich_help_panel="Release")
def withdraw(ref: Ref, reason: Why, actor: Actor = None, as_json: Json = False) -> None:
    """Take back a version that is in no stage: nobody can use it.

    Example: `mlops withdraw employment@v1.1.0 -m "trained on wrong labels"`
    """
    from mlops.registry.stages import withdraw as do

    project, act = _act(actor, reason)
    _said(do(project, ref, **act), "withdrawn", as_json)


@app.command(rich_help_panel="Release")
def deprecate(name: Model, reason: Why, actor: Actor = None, as_json: Json = False) -> None:
    """Retire a model, until a new version of it is registered.

    Until then nothing of it enters a stage; what is in one serves on.

    Example: `mlops deprecate employment -m "replaced by workforce"`
    """
    from mlops.registry.stages import deprecate as do

    project, act = _act(actor, reason)
    _said(do(project, name, **act), "retired", as_json)


def _act(
    actor: str | None, reason: str, approver: str | None = None, stage: str | None = None
) -> tuple[Any, dict[str, Any]]:
    """Return the project, and who does something to its registry, why, when and in which run."""
    from mlops.cli.context import Context

    project, _, now = here()
    context = Context.here(project.root)
    who, run = actor or context.decider, context.run_url
    approver = approver or (_reviewer(project, stage) if stage else None)
    return project, {"actor": who, "reason": reason, "now": now, "approver": approver, "run": run}


def _said(done: Any, what: str, as_json: bool, more: str = "") -> None:
    """Print that something was done to a version, or to a model."""
    name = done.version.model if what == "retired" else done.version.ref
    text = f"{name} {'is' if done.created else 'was'} {what}{'' if done.created else ' already'}"
    summary(text)
    emit({"version": done.version.ref, "created": done.created}, text + more, as_json)


def _reviewer(project: Any, stage: str) -> str | None:
    """Return who approved this job's deployment, where GitHub Actions runs it and asked anybody."""
    from mlops.cli.context import in_actions

    if not in_actions() or not project.stage(stage).approvers:
        return None
    from mlops.github.client import approved_by, repository

    return approved_by(repository(), stage)


def _assigned(done: Any, as_json: bool) -> None:
    replaced = done.replaced.number if done.replaced else None
    text = f"{done.version.ref} {'is now' if done.created else 'is already'} in {done.stage}"
    summary(text)
    facts = {"version": done.version.number, "stage": done.stage, "created": done.created}
    before = f" (before: {replaced})" if replaced and done.created else ""
    emit({**facts, "replaced": replaced}, text + before, as_json)

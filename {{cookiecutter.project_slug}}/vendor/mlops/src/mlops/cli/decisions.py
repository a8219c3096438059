"""Commands that decide about a version: promote, rollback, reject, withdraw, deprecate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from mlops.cli.actions_env import in_actions
from mlops.cli.app import app
from mlops.cli.arguments import Actor, Approver, Model, Reason, Ref, StageName, Why
from mlops.cli.context import Context, current_context
from mlops.cli.output import Json, emit, hint

if TYPE_CHECKING:
    from mlops.registry.decisions import Assigned


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
    from mlops.registry.decisions import promote as do

    at, act = _act(actor, reason, approver, stage)
    if ask and not act["approver"] and (able := at.project.stage(stage).approvers):
        text = f"{ref} waits: {', '.join(able)} may put it into {stage}, by the workflow promote"
        emit(
            {"version": ref, "stage": stage, "created": False}, text, as_json, page=text
        )
        return
    done = do(at.project, ref, stage, store=at.store, again=again, **act)
    _assigned(done, as_json)
    if done.created:
        later = next((s.name for s in at.project.spec.stages if s.after == stage), None)
        name = done.version.model
        hint(
            f"mlops promote {name}@{stage} {later}"
            if later
            else f"mlops serve {name}@{stage}"
        )


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
    from mlops.registry.decisions import rollback as do

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
    from mlops.registry.decisions import reject as do
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
    from mlops.registry.decisions import withdraw as do

    at, act = _act(actor, reason)
    done = do(at.project, ref, **act)
    _said(done, done.version.ref, "withdrawn", as_json)


@app.command(rich_help_panel="Release")
def deprecate(
    name: Model, reason: Why, actor: Actor = None, as_json: Json = False
) -> None:
    """Retire a model, until a new version of it is registered.

    Until then nothing of it enters a stage; what is in one serves on.

    Example: `mlops deprecate employment -m "replaced by workforce"`
    """
    from mlops.registry.decisions import deprecate as do

    at, act = _act(actor, reason)
    _said(do(at.project, name, **act), name, "retired", as_json)


def _act(
    actor: str | None,
    reason: str,
    approver: str | None = None,
    stage: str | None = None,
) -> tuple[Context, dict[str, Any]]:
    """Return where this is, and who does something to a registry, why, when and in which run.

    In a job of GitHub Actions, the approver is whoever approved it, where anybody was asked.
    """
    from mlops.github.client import approved_by, repository

    at = current_context()
    if stage and not approver and in_actions() and at.project.stage(stage).approvers:
        approver = approved_by(repository(), stage)
    who, run = actor or at.decider, at.run_url
    return at, {
        "actor": who,
        "reason": reason,
        "now": at.now(),
        "approver": approver,
        "run": run,
    }


def _assigned(done: Assigned, as_json: bool) -> None:
    """Print which version is in a stage now."""
    replaced = done.replaced.number if done.replaced else None
    text = f"{done.version.ref} {'is now' if done.created else 'is already'} in {done.stage}"
    facts = {
        "version": done.version.number,
        "stage": done.stage,
        "created": done.created,
    }
    before = f" (before: {replaced})" if replaced and done.created else ""
    emit({**facts, "replaced": replaced}, text + before, as_json, page=text)


def _said(done: Assigned, name: str, what: str, as_json: bool, more: str = "") -> None:
    """Print that something was done to a version, or to a model."""
    text = f"{name} is {what}" if done.created else f"{name} was {what} already"
    facts = {"version": done.version.ref, "created": done.created}
    emit(facts, text + more, as_json, page=text)

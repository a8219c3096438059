"""Commands that decide about a version.

Promote, rollback, reject, withdraw, deprecate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, confirm

from mlops.cli.actions_env import as_markdown, in_actions
from mlops.cli.app import app
from mlops.cli.arguments import (
    Actor,
    Approver,
    Model,
    Override,
    Reason,
    Ref,
    Sign,
    StageName,
    Why,
)
from mlops.cli.context import Context, current_context
from mlops.cli.output import Json, emit, hint, progress, somebody_is_there
from mlops.errors import Refused

if TYPE_CHECKING:
    from mlops.config.project import Project
    from mlops.registry.decisions import Assigned
    from mlops.registry.tags import Version
    from mlops.reporting.gaps import Gaps


@app.command(rich_help_panel="Release")
def promote(
    ref: Ref,
    stage: StageName,
    reason: Reason = "",
    approver: Approver = None,
    actor: Actor = None,
    override: Override = False,
    sign: Sign = False,
    again: Annotated[bool, Option("--again", hidden=True)] = False,
    ask: Annotated[
        bool,
        Option("--ask", help="If nobody has approved: say who can, and exit with 0."),
    ] = False,
    keep_newer: Annotated[
        bool, Option("--keep-newer", help="Where the stage has a newer version: go on.")
    ] = False,
    yes: Annotated[
        bool,
        Option(
            "--yes", "-y", help="Accept what was not measured, without being asked."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a version into a stage; its services switch to it.

    Example: `mlops promote employment@v1.1.0 production -m "better on the new census"`
    """
    from mlops.registry.decisions import promote as do

    at, decision = decided_by(ref, actor, reason, approver, stage, sign)
    if ask:
        waits = _waits(at, ref, stage, decision["approver"] or "", sign)
        if waits:
            facts = {"version": ref, "stage": stage, "created": False}
            emit(facts, waits, as_json, page=waits)
            return
    review = _Review(at, stage, ask=not (yes or as_json), keep_newer=keep_newer)
    try:
        done = do(
            at.project,
            ref,
            stage,
            store=at.store,
            override=override or again,
            review=review,
            **decision,
        )
    except _NewerThere as newer:
        facts = {"version": newer.holder, "stage": stage, "created": False}
        text = f"{newer.holder} is in {stage}, which is newer than {ref}: it stays"
        emit(facts, text, as_json, page=text)
        return
    _assigned(done, as_json, review.gaps)
    if not done.created:
        return
    name = done.version.model
    following = [other.name for other in at.project.spec.stages if other.after == stage]
    if following:
        hint(f"mlops promote {name}@{stage} {following[0]}")
    else:
        hint(f"mlops serve {name}@{stage}")


def _waits(at: Context, ref: str, stage: str, approver: str, sign: bool) -> str:
    """Return what a version waits for before it can come into a stage; empty if not.

    Where it waits in front of the stage that comes first, it waits for this one too.
    """
    from mlops.config.approvers import same_person
    from mlops.registry.decisions import awaits_approval, model_of

    target = at.project.stage(stage)
    model = model_of(ref)
    people = target.approvers_for(model)
    signed = bool(at.project.spec.allowed_signers)
    approved = any(same_person(one, approver) for one in people)
    if people and not sign and (signed or not approved):
        how = "by the workflow promote"
        if signed:
            how = f"on their own machine: `mlops promote {ref} {stage} --sign`"
        who = ", ".join(people)
        if approver and not approved:
            who += f" (not {approver})"
        return f"{ref} waits: {who} may put it into {stage}, {how}"
    before = target.after
    while before is not None:
        first = at.project.stage(before)
        if awaits_approval(at.project.root, ref, first):
            who = ", ".join(first.approvers_for(model))
            return f"{ref} waits: {who} may put it into {before}; {stage} comes after"
        before = first.after
    return ""


class _NewerThere(Exception):
    """A stage holds a newer version than the one that was to come into it."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class _Review:
    """What an approver is shown of a version, before it is put into a stage.

    Parameters
    ----------
    at : Context
    stage : str
    ask : bool
        Whether somebody at a terminal is asked; a workflow never is.
    keep_newer : bool
        Whether a newer version in the stage stays: a run that waited for a reviewer, or
        was slow, puts nothing older in its place.
    """

    def __init__(
        self, at: Context, stage: str, ask: bool, keep_newer: bool = False
    ) -> None:
        self._at = at
        self._stage = stage
        self._keep_newer = keep_newer
        self._ask = ask and somebody_is_there()
        self._shown: set[str] = set()
        self.gaps: Gaps | None = None

    def __call__(self, version: Version) -> None:
        """Show the gaps of a version.

        Raises
        ------
        Refused
            When somebody was asked, and does not accept them.
        _NewerThere
            When the stage has a newer version, and that is to stay.
        """
        if self._keep_newer:
            self._require_older(version)
        self.gaps = gaps_of(self._at.project, version)
        if not self.gaps or version.ref in self._shown:
            return
        self._shown.add(version.ref)
        say = progress()
        say(f"Before {version.ref} is put into {self._stage}:")
        for line in self.gaps.lines():
            say(f"  {line}")
        is_last = self._stage == self._at.project.spec.stages[-1].name
        if is_last and self._ask and not confirm("Promote it anyway?", err=True):
            raise Refused(
                "the gaps were not accepted",
                found=version.ref,
                do="write what is missing in model.yaml, and register a new version",
            )

    def _require_older(self, version: Version) -> None:
        from mlops.registry.manifest import manifest_of
        from mlops.registry.publish import newer_version
        from mlops.registry.tags import read_registry, version_key

        root = self._at.project.root
        holder = read_registry(root).model(version.model).stages.get(self._stage)
        if holder is None:
            return
        ours = manifest_of(root, version)[0].code.commit
        theirs = manifest_of(root, holder)[0].code.commit
        # Of two runs at once the one of the older commit may have the higher number.
        if newer_version(root, version, theirs):
            return
        by_number = version_key(holder.number) > version_key(version.number)
        if by_number or newer_version(root, holder, ours):
            raise _NewerThere(holder.ref)


def gaps_of(project: Project, version: Version) -> Gaps:
    """Return what nobody has written, declared or measured of a version."""
    from mlops.registry.manifest import manifest_of
    from mlops.registry.queries import spec_of
    from mlops.reporting.gaps import gaps

    manifest, _ = manifest_of(project.root, version)
    spec = spec_of(project, version)
    return gaps(spec, manifest.verdict.conditions, manifest.fairness)


@app.command(rich_help_panel="Release")
def rollback(
    name: Model,
    stage: StageName,
    reason: Reason = "",
    approver: Approver = None,
    actor: Actor = None,
    sign: Sign = False,
    as_json: Json = False,
) -> None:
    """Put back the version that was in a stage before.

    Example: `mlops rollback employment production -m "complaints since Monday"`
    """
    from mlops.registry.decisions import rollback as do

    at, decision = decided_by(name, actor, reason, approver, stage, sign)
    _assigned(do(at.project, name, stage, store=at.store, **decision), as_json)


@app.command(rich_help_panel="Release")
def reject(
    ref: Ref,
    stage: StageName,
    reason: Why,
    approver: Approver = None,
    actor: Actor = None,
    sign: Sign = False,
    as_json: Json = False,
) -> None:
    """Keep a version out of a stage; the last approved returns.

    Example: `mlops reject employment@production production -m "unfair by disability"`
    """
    from mlops.registry.decisions import reject as do
    from mlops.registry.tags import read_registry

    at, decision = decided_by(ref, actor, reason, approver, stage, sign)
    done = do(at.project, ref, stage, store=at.store, **decision)
    holder = read_registry(at.project.root).model(done.version.model).stages.get(stage)
    serving = f"; {holder.number if holder else 'no version'} is in it"
    _done(done, done.version.ref, f"rejected for {stage}", as_json, serving)


@app.command(rich_help_panel="Release")
def withdraw(
    ref: Ref,
    reason: Why,
    approver: Approver = None,
    actor: Actor = None,
    sign: Sign = False,
    as_json: Json = False,
) -> None:
    """Withdraw a version that is in no stage; nobody can use it.

    Example: `mlops withdraw employment@v1.1.0 -m "trained on wrong labels"`
    """
    from mlops.registry.decisions import withdraw as do

    at, decision = decided_by(ref, actor, reason, approver, sign=sign)
    done = do(at.project, ref, **decision)
    _done(done, done.version.ref, "withdrawn", as_json)


@app.command(rich_help_panel="Release")
def deprecate(
    name: Model,
    reason: Why,
    approver: Approver = None,
    actor: Actor = None,
    sign: Sign = False,
    as_json: Json = False,
) -> None:
    """Retire a model until a new version of it is registered.

    Until then, none of its versions can enter a stage; those in one keep serving.

    Example: `mlops deprecate employment -m "replaced by workforce"`
    """
    from mlops.registry.decisions import deprecate as do

    at, decision = decided_by(name, actor, reason, approver, sign=sign)
    _done(do(at.project, name, **decision), name, "retired", as_json)


def decided_by(
    about: str,
    actor: str | None,
    reason: str,
    approver: str | None = None,
    stage: str | None = None,
    sign: bool = False,
) -> tuple[Context, dict[str, Any]]:
    """Return where this is, and who decides, why, when and in which run.

    In a job of GitHub Actions, the approver is whoever approved it, where anybody was
    asked.

    Parameters
    ----------
    about : str
        ``NAME`` or ``NAME@VERSION``.
    stage : str, optional
        Whose approvers are asked; default: the last stage that names any.
    sign : bool
        The approver is whose key git signs with.
    """
    at = current_context()
    model, _, _ = about.partition("@")
    if sign and not approver:
        approver = signing_approver(at, model, stage)
    approver = approver or approver_of_job(at, model, stage)
    return at, {
        "actor": actor or at.decider,
        "reason": reason,
        "now": at.now(),
        "approver": approver,
        "run": at.run_url,
        "sign": sign,
    }


def signing_approver(at: Context, model: str, stage: str | None = None) -> str | None:
    """Return the approver whose key git signs with.

    None where no key has to be found, because nobody has to sign.

    Parameters
    ----------
    model : str
    stage : str, optional
        Default: the last stage that names approvers.

    Raises
    ------
    UsageError
        Where the key is nobody's who may approve.
    """
    from mlops.registry.decisions import guard
    from mlops.registry.signing import signer

    guarded = at.project.stage(stage) if stage else guard(at.project, model)
    path = at.project.spec.allowed_signers
    people = guarded.approvers_for(model) if guarded else ()
    if not people or not path:
        return None
    return signer(at.project.root, path, people)


def approver_of_job(at: Context, model: str, stage: str | None = None) -> str | None:
    """Return who approved this job of GitHub Actions.

    None elsewhere or where nobody did.
    """
    from mlops.github.client import approved_by, repository
    from mlops.registry.decisions import guard

    guarded = at.project.stage(stage) if stage else guard(at.project, model)
    if guarded is None or not guarded.approvers_for(model) or not in_actions():
        return None
    return approved_by(repository(), guarded.name)


def _assigned(done: Assigned, as_json: bool, gaps: Gaps | None = None) -> None:
    """Print which version is in a stage now, and what was not known of it."""
    replaced = done.replaced.number if done.replaced else None
    state = "is now" if done.created else "is already"
    text = f"{done.version.ref} {state} in {done.stage}"
    before = f" (before: {replaced})" if replaced and done.created else ""
    facts = {
        "version": done.version.number,
        "stage": done.stage,
        "created": done.created,
        "replaced": replaced,
    }
    page = text
    if gaps is not None:
        facts["gaps"] = gaps.facts()
        page += as_markdown("", *gaps.lines())
    emit(facts, text + before, as_json, page=page)


def _done(
    done: Assigned, name: str, decided: str, as_json: bool, more: str = ""
) -> None:
    """Print that something was done to a version, or to a model."""
    text = f"{name} is {decided}" if done.created else f"{name} was {decided} already"
    facts = {"version": done.version.ref, "created": done.created}
    emit(facts, text + more, as_json, page=text)

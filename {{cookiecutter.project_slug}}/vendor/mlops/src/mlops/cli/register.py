"""The command `mlops register`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlops.cli.actions_env import (
    as_markdown,
    in_actions,
    outputs,
    require_default_branch,
)
from mlops.cli.app import app
from mlops.cli.arguments import (
    Actor,
    Approver,
    Expect,
    Override,
    Reason,
    model_names,
)
from mlops.cli.context import (
    Context,
    attests,
    current_context,
    require_pushed,
    require_results,
)
from mlops.cli.output import Json, emit, hint, progress
from mlops.cli.pipeline import run_context
from mlops.cli.questions import log_question
from mlops.errors import Refused, UsageError
from mlops.github.client import MERGE_QUEUE, author_of, repository
from mlops.io.files import write_text
from mlops.io.git import has_remote, head

if TYPE_CHECKING:
    from mlops.config.project import Project
    from mlops.results.verdict import Part


@app.command(rich_help_panel="Release")
def register(
    name: Annotated[
        str | None,
        Argument(
            metavar="MODEL", help="Default: every built model whose verdict is promote."
        ),
    ] = None,
    decided: Annotated[
        bool,
        Option(
            "--decided",
            help="Register against the verdict; an approver says why.",
        ),
    ] = False,
    override: Override = False,
    expect: Expect = "[]",
    reason: Reason = "",
    approver: Approver = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Make a version of the last run: commit, git tag, release.

    Example: `mlops register employment`
    """
    at = current_context(fetch=True)
    if decided and name is None:
        raise UsageError(
            "a decision needs the name of the model", do="mlops register MODEL"
        )
    require_default_branch()
    require_results(at.project, model_names(expect, "--expect"), "verdict.json")
    models = [name] if name else _promotable(at.project)
    decision = {
        "actor": actor or _actor(at),
        "reason": reason,
        "approver": approver,
        "decided": decided,
        "override": override,
    }
    unattended = in_actions() and name is None
    skipped = _not_registered(at, models) if unattended else {}
    models = [model for model in models if model not in skipped]
    results = [_register(at, model, decision) for model in models]
    attested = [f"build/{model}/model.skops" for model in models] if attests() else []
    refs = {model: one["ref"] for model, one in zip(models, results, strict=True)}
    outputs(models=models, refs=refs, attest=",".join(attested))
    texts = [_text(result) for result in results] + list(skipped.values())
    if in_actions() and models and not attested:
        texts.append(
            "not attested: GitHub does not sign here; the chain of digests holds"
        )
    notes = [note for result in results for note in result["notes"]]
    emit(
        results[0] if name else results,
        "\n".join(texts) or "nothing to register",
        as_json,
        page=as_markdown("", *texts, *notes),
    )
    if not in_actions() and not has_remote(at.project.root):
        progress()(
            "note: this clone alone has it, as there is no origin. Once there is one: "
            "`mlops registry adopt --yes` brings it there, `--drop --yes` deletes it"
        )
    first = at.project.spec.stages[0].name
    for result in results:
        if result["created"]:
            hint(f"mlops promote {result['ref']} {first}")


def _actor(at: Context) -> str:
    """Return who registers; for what a merge queue pushed, whose change it is.

    The queue is nobody: as its versions, authors could approve their own.
    """
    if at.actor != MERGE_QUEUE:
        return at.actor
    author = None
    commit = head(at.project.root)
    if commit:
        author = author_of(repository(), commit)
    if author is None:
        progress()(
            "note: registered in the name of the merge queue: this commit is the merge "
            "of no pull request"
        )
    return author or at.actor


def _text(result: dict[str, Any]) -> str:
    """Return what became of one model in a sentence."""
    if result["created"]:
        return f"{result['ref']} is registered"
    return f"{result['ref']} was registered already"


def _not_registered(at: Context, models: list[str]) -> dict[str, str]:
    """Return the models that this run does not register, and why.

    Runs train beside each other and register one after the other. A newer commit may
    have been faster, or the version that this one was compared with is no longer the
    one in production. Nothing older overwrites what is newer, and nothing is delivered
    that was compared with something else.
    """
    from mlops.github.client import repository
    from mlops.github.issues import retrain
    from mlops.pipeline.run import Run

    skipped = {}
    for model in models:
        newer = _newer(at, model)
        if newer:
            skipped[model] = (
                f"{newer} exists and is of a newer commit: nothing to register"
            )
            continue
        part = _judged_on(at.project.build(model))
        stale = Run(run_context(at), model, progress(), part=part).stale()
        if stale and "train" not in stale:
            retrain(repository(), model)
            skipped[model] = (
                f"{model}: the version in production has changed since the comparison; "
                "it is trained and compared again, by a run of its own"
            )
    return skipped


def _newer(at: Context, model: str) -> str:
    """Return the newest version if its commit comes after HEAD, else nothing."""
    from mlops.io.git import head, is_ancestor
    from mlops.registry.manifest import manifest_of
    from mlops.registry.tag_writes import sync
    from mlops.registry.tags import read

    root = at.project.root
    sync(root)
    latest = read(root).model(model).latest
    if latest is None or not latest.manifest_sha256:
        return ""
    manifest, _ = manifest_of(root, latest)
    ours = head(root) or ""
    theirs = manifest.code.commit
    overtaken = ours != theirs and is_ancestor(root, ours, theirs)
    return latest.ref if overtaken else ""


def _promotable(project: Project) -> list[str]:
    """Return the models whose last run ended with a verdict that says promote."""
    from mlops.results.verdict import Verdict

    promotable = []
    for model in project.models():
        build = project.build(model)
        if not (build / "verdict.json").is_file():
            continue
        if Verdict.load(build).decision == "promote":
            promotable.append(model)
    return promotable


def _register(at: Context, name: str, decision: dict[str, Any]) -> dict[str, Any]:
    """Register one model and return what became of it."""
    from mlops.registry.publish import register as publish
    from mlops.results.runs import Record
    from mlops.runlog.journal import append

    build = at.project.build(name)
    _require_fresh(at, name, build, decision["decided"])
    logged = log_question(at, build)
    has_record = (build / "record.json").is_file()
    record = Record.load(build) if has_record else None
    if decision["decided"]:
        _note_on_card(build / "card.md", decision)
    done = publish(
        at.project,
        name,
        run=record.id if record else "",
        now=at.now(),
        store=at.store,
        **decision,
    )
    notes = [*logged, *done.notes]
    if record and in_actions():  # the job that ran it may not push
        notes += require_pushed(append(at.project, record))
    for note in notes:
        progress()(f"note: {note}")
    return {
        "version": done.version.number,
        "ref": done.version.ref,
        "created": done.created,
        "notes": notes,
    }


_DECIDED = "## Decided by a person"


def _note_on_card(card: Path, decision: dict[str, Any]) -> None:
    """Say on the model card that a person decided, and why; once."""
    from mlops.reporting.markdown import escape

    if not card.is_file():
        return
    text = card.read_text(encoding="utf-8").split(f"\n{_DECIDED}")[0].rstrip()
    who = escape(decision["approver"] or decision["actor"])
    why = escape(decision["reason"])
    note = f"{who} decided to register this: {why}"
    write_text(card, f"{text}\n\n{_DECIDED}\n\n{note}\n")


def _judged_on(build: Path) -> Part:
    """Return the rows that the verdict in a build folder rests on."""
    from mlops.results.verdict import Verdict

    if not (build / Verdict.FILE).is_file():
        return "test"
    return Verdict.load(build).part


def _require_fresh(at: Context, name: str, build: Path, decided: bool) -> None:
    """Raise Refused where `mlops run` would do a step again.

    What that step found is not about what is checked out. Where there is a validation
    part, the test part has to be asked, unless a person decides.
    """
    from mlops.pipeline.run import Run
    from mlops.results.verdict import Verdict

    part = _judged_on(build)
    waits = part == "validation" and not decided
    if waits and Verdict.load(build).decision == "promote":
        raise Refused(
            "the test part was not asked: the verdict is that of the validation part",
            file=str(build),
            do=f"run `mlops run {name} --test`",
        )
    stale = Run(run_context(at), name, progress(), part=part).stale()
    if stale and (build / "verdict.json").is_file():
        raise Refused(
            "the results do not match what is checked out, or the version in "
            "production has changed since",
            file=str(build),
            found=f"out of date: {', '.join(stale)}",
            do=f"run `mlops run {name}`",
        )

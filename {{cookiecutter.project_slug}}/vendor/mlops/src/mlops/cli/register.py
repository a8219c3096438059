"""The command `mlops register`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from mlops.cli.actions_env import as_markdown, in_actions, outputs
from mlops.cli.app import app
from mlops.cli.arguments import Actor
from mlops.cli.context import Context, attests, current_context, require_pushed
from mlops.cli.output import Json, emit, hint, progress
from mlops.cli.pipeline import run_context
from mlops.config.project import Project
from mlops.errors import Refused


@app.command(rich_help_panel="Release")
def register(
    name: Annotated[
        str | None,
        Argument(
            metavar="MODEL", help="None: all that were built and may be promoted."
        ),
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Make a version of what was run: commit, git tag and release.

    Example: `mlops register employment`
    """
    at = current_context(fetch=True)
    models = [name] if name else _promotable(at.project)
    answers = [_register(at, model, actor or at.actor) for model in models]
    attested = [f"build/{model}/model.skops" for model in models] if attests() else []
    outputs(models=models, attest=",".join(attested))
    texts = [_told(answer) for answer in answers]
    if in_actions() and models and not attested:
        texts.append(
            "not attested: GitHub does not sign here; the chain of digests holds"
        )
    notes = [note for answer in answers for note in answer["notes"]]
    emit(
        answers[0] if name else answers,
        "\n".join(texts) or "nothing to register",
        as_json,
        page=as_markdown("", *texts, *notes),
    )
    first = at.project.spec.stages[0].name
    for answer in answers:
        if answer["created"]:
            hint(f"mlops promote {answer['ref']} {first}")


def _told(answer: dict[str, Any]) -> str:
    """Return what became of one model in a sentence."""
    if answer["created"]:
        return f"{answer['ref']} is registered"
    return f"{answer['ref']} was registered already"


def _promotable(project: Project) -> list[str]:
    """Return the models whose last run ended with a verdict that says promote."""
    from mlops.results.verdict import Verdict

    found = []
    for model in project.models():
        build = project.build(model)
        if not (build / "verdict.json").is_file():
            continue
        if Verdict.load(build).decision == "promote":
            found.append(model)
    return found


def _register(at: Context, name: str, actor: str) -> dict[str, Any]:
    """Register one model and return what became of it."""
    from mlops.registry.publish import register as publish
    from mlops.results.runs import Record
    from mlops.runlog.journal import append

    build = at.project.build(name)
    _require_fresh(at, name, build)
    has_record = (build / "record.json").is_file()
    record = Record.load(build) if has_record else None
    done = publish(
        at.project,
        name,
        actor=actor,
        run=record.id if record else "",
        now=at.now(),
        store=at.store,
    )
    notes = list(done.notes)
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


def _require_fresh(at: Context, name: str, build: Path) -> None:
    """Raise Refused where `mlops run` would do a step again.

    What that step answered is not about what is checked out.
    """
    from mlops.pipeline.run import Run

    stale = Run(run_context(at), name, progress()).stale()
    if stale and (build / "verdict.json").is_file():
        raise Refused(
            "the results are not about what is checked out, or the version in "
            "production has changed since",
            file=str(build),
            found=f"out of date: {', '.join(stale)}",
            do=f"run `mlops run {name}`",
        )

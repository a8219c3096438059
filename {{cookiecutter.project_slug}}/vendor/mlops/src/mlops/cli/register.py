"""The command `mlops register`."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument

from mlops.cli.actions_env import as_markdown, in_actions, outputs
from mlops.cli.app import app
from mlops.cli.arguments import Actor
from mlops.cli.context import Context, attests, current_context, require_pushed
from mlops.cli.output import Json, emit, hint, progress
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
    from mlops.results.verdict import Verdict

    at = current_context(fetch=True)
    project = at.project
    built = [
        n for n in project.models() if (project.build(n) / "verdict.json").is_file()
    ]
    good = [n for n in built if Verdict.load(project.build(n)).decision == "promote"]
    models = [name] if name else good
    answers = [_register(at, n, actor or at.actor) for n in models]
    texts = [
        f"{a['ref']} {'is registered' if a['created'] else 'was registered already'}"
        for a in answers
    ]
    attest = [f"build/{n}/model.skops" for n in models if attests()]
    if in_actions() and models and not attest:
        texts.append(
            "not attested: GitHub does not sign here; the chain of digests holds"
        )
    outputs(models=models, attest=",".join(attest))
    page = as_markdown(
        "", *texts, *(note for answer in answers for note in answer["notes"])
    )
    said = "\n".join(texts) or "nothing to register"
    emit(answers[0] if name else answers, said, as_json, page=page)
    for answer in answers:
        if answer["created"]:
            hint(f"mlops promote {answer['ref']} {project.spec.stages[0].name}")


def _register(at: Context, name: str, who: str) -> dict[str, Any]:
    from mlops.registry.publish import register as do
    from mlops.results.runs import Record
    from mlops.runlog.journal import append

    _require_fresh(at, name)
    build = at.project.build(name)
    record = Record.load(build) if (build / "record.json").is_file() else None
    run = record.id if record else ""
    done = do(at.project, name, actor=who, run=run, now=at.now(), store=at.store)
    notes = list(done.notes)
    if record and in_actions():  # the job that ran it may not push
        notes += require_pushed(append(at.project, record))
    for note in notes:
        progress()(f"note: {note}")
    number, ref = done.version.number, done.version.ref
    return {"version": number, "ref": ref, "created": done.created, "notes": notes}


def _require_fresh(at: Context, name: str) -> None:
    """Raise Refused where `mlops run` would not skip: what it said is not said of this tree."""
    from mlops.pipeline.run import Run

    build = at.project.build(name)
    stale = Run(at, name, progress()).stale()
    if stale and (build / "verdict.json").is_file():
        what = "the results are not of what is checked out, or production has moved on since"
        found, do = f"out of date: {', '.join(stale)}", f"run `mlops run {name}`"
        raise Refused(what, file=str(build), found=found, do=do)

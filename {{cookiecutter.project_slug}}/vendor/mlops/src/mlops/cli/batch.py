"""Commands for a batch whose files lie elsewhere: `data input` and `data output`.

They are for the jobs that have credentials, and run no code of a model; `mlops predict
--fetched` is for the job between them, which does.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from mlops.cli.actions_env import as_markdown, outputs
from mlops.cli.arguments import Expect, model_names
from mlops.cli.context import (
    Context,
    current_context,
    predictions_store,
    require_results,
)
from mlops.cli.data import data, require_private, together
from mlops.cli.output import Json, emit
from mlops.cli.pipeline import fetching
from mlops.cli.places import place_at, prediction_place
from mlops.errors import MlopsError, counted, error_facts

if TYPE_CHECKING:
    from mlops.serving.batch_files import FilesWritten


@data.command("input")
def fetch_input(
    names: Annotated[
        list[str] | None,
        Argument(metavar="MODEL", help="Default: all that declare a batch."),
    ] = None,
    models: Annotated[
        str, Option(help="Models of the plan, as a JSON list of names.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Read the files that batches score from where they lie, for `predict --fetched`.

    Objects that did not change are not read again. No code of a model runs: the job
    that has the credentials can run it. Batches with nothing new are left out. Where
    one of several cannot be read, the others are.

    Example: `mlops data input employment`
    """
    from mlops.pipeline.batches import is_input_elsewhere

    at = current_context()
    at.catch_up()
    project = at.project
    chosen = model_names(models) if models else list(names or ())
    if not models and not chosen:
        chosen = [name for name in project.models() if project.model(name).batch]
    waiting: dict[str, int] = {}
    failed = {}
    for name in chosen:
        try:
            waiting[name] = _fetch_input(at, name)
        except MlopsError as error:
            failed[name] = error
    due = [name for name, files in waiting.items() if files]
    has_files = any(is_input_elsewhere(project, name) for name in due)
    outputs(batch=due, read=bool(due), files=has_files)
    if failed and not waiting:
        raise together(failed)
    lines = [f"{name}: {counted(files, 'new file')}" for name, files in waiting.items()]
    lines += [f"{name}: not read: {error}" for name, error in failed.items()]
    facts: dict[str, object] = {name: {"files": n} for name, n in waiting.items()}
    facts |= {name: error_facts(error) for name, error in failed.items()}
    text = "\n".join(lines) or "No model declares a batch."
    emit(facts, text, as_json, page=as_markdown("Files to score", *lines))
    if failed:
        raise Exit(together(failed).exit_code)


def _fetch_input(at: Context, name: str) -> int:
    """Fetch what a batch reads; return how many of its files are not scored yet."""
    from mlops.data.sources import is_elsewhere
    from mlops.pipeline.batches import input_files, is_input_elsewhere, not_scored
    from mlops.pipeline.batches import is_output_elsewhere as is_away
    from mlops.pipeline.sources import bring_batch
    from mlops.registry.tags import read_registry, resolve
    from mlops.runlog.query import batches

    project = at.project
    last = project.spec.stages[-1].name
    version = resolve(read_registry(project.root), f"{name}@{last}")
    if is_input_elsewhere(project, name):
        require_private("data.public", project.spec.data.public)
    if is_away(project, name) or is_elsewhere(predictions_store(project)):
        require_private("predictions.public", project.spec.predictions.public)
    bring_batch(project, name, "", fetching(at))
    files = input_files(project, name, "", at.settings.folder)
    return len(not_scored(files, batches(project, name), version.number))


@data.command("output")
def deliver_made(expect: Expect = "[]", as_json: Json = False) -> None:
    """Write what `predict --fetched` has made to the buckets where it belongs.

    These are the predictions, and the prediction log. What is there already stays as it
    is. No code of a model runs: the job that has the credentials can run it. Where that
    of one of several models cannot be written, that of the others is.

    Example: `mlops data output --expect '["employment"]'`
    """
    from mlops.results.batch import BatchRun

    at = current_context()
    require_results(at.project, model_names(expect, "--expect"), BatchRun.FILE)
    lines = []
    facts: dict[str, object] = {}
    failed = {}
    for name in at.project.models():
        if not (at.project.build(name) / BatchRun.FILE).is_file():
            continue
        try:
            done = _deliver(at, name)
        except MlopsError as error:
            failed[name] = error
            facts[name] = error_facts(error)
            lines.append(f"{name}: not written: {error}")
            continue
        facts[name] = {label: asdict(one) for label, one in done.items()}
        lines += [_delivered(name, label, one) for label, one in done.items()]
    delivered = [name for name in facts if name not in failed]
    outputs(models=delivered)
    if failed and not delivered:
        raise together(failed)
    text = "\n".join(lines) or "There is nothing for a bucket."
    emit(facts, text, as_json, page=as_markdown("Written", *lines))
    if failed:
        raise Exit(together(failed).exit_code)


def _deliver(at: Context, name: str) -> dict[str, FilesWritten]:
    """Write what a batch has left to the buckets; the log first, as a batch does."""
    from mlops.data.sources import is_elsewhere
    from mlops.pipeline.batches import is_output_elsewhere
    from mlops.serving.batch_files import HANDED_ON, write_log_files, write_output_files

    project = at.project
    made = project.build(name) / "batch" / HANDED_ON
    done = {}
    if is_elsewhere(predictions_store(project)):
        log_place = prediction_place(project)
        done["prediction log"] = write_log_files(made / "log", log_place, name)
    batch = project.model(name).batch
    if batch is not None and is_output_elsewhere(project, name):
        target = place_at(batch.output, project.root, "batch.output")
        done["predictions"] = write_output_files(made / "output", target, name)
    return done


def _delivered(name: str, label: str, done: FilesWritten) -> str:
    """Return what was written in a few words."""
    text = f"{name}: {label}: {counted(done.files, 'part')} written"
    if done.present:
        text += f", {counted(done.present, 'part')} there before"
    return text

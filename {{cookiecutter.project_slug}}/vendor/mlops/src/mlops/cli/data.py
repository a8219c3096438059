"""Commands about data that lie elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

from mlops.cli.actions_env import as_markdown, event, in_actions, outputs
from mlops.cli.app import app
from mlops.cli.arguments import model_names
from mlops.cli.context import Context, current_context, is_private
from mlops.cli.each import matrix
from mlops.cli.output import Json, emit, progress
from mlops.cli.pipeline import fetching
from mlops.cli.selection import select
from mlops.errors import Refused, counted, megabytes

if TYPE_CHECKING:
    from mlops.results.data import SourceLock

data = Typer(
    no_args_is_help=True,
    help="Data in buckets and on web servers: fetch.",
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
    as_json: Json = False,
) -> None:
    """Read the data of models from where they lie, for `mlops run --locked`.

    Objects that did not change are not read again. No code of a model runs: the job
    that has the credentials can run it. For a schedule, models with nothing new are
    left out.

    Example: `mlops data fetch employment`
    """
    at = current_context()
    chosen = model_names(models) if models else names
    if models and not chosen:
        chosen = []
    else:
        chosen = select(at.project, chosen) if at.project.models() else []
    locks = {}
    lines = []
    for name in chosen:
        lock = _fetch_one(at, name)
        if lock is not None:
            locks[name] = lock
            lines.append(f"{name}: {_described(lock)}")
    unchanged = []
    if due or "schedule" in event():
        unchanged = _not_due(at, list(locks))
        lines += [f"{name}: nothing new" for name in unchanged]
    remaining = [name for name in chosen if name not in unchanged]
    outputs(models=remaining, **matrix(at.project, remaining))
    facts = {
        "models": remaining,
        "sources": {name: lock.model_dump(mode="json") for name, lock in locks.items()},
    }
    text = "\n".join(lines) or "No model has data elsewhere."
    emit(facts, text, as_json, page=as_markdown("Data", *lines))


def _fetch_one(at: Context, name: str) -> SourceLock | None:
    """Fetch the data of a model; None where nothing of them lies elsewhere."""
    from mlops.data.sources import patterns_elsewhere
    from mlops.pipeline.lock import only_run
    from mlops.pipeline.sources import bring

    if not patterns_elsewhere(at.project.model(name)):
        return None
    _require_private(at)
    say = progress()
    with only_run(at.project.build(name), say):
        return bring(at.project, name, fetching(at))


def _require_private(at: Context) -> None:
    """Raise Refused in a job whose artifacts anybody can download.

    Unless project.yaml says that the rows may be public.
    """
    if not in_actions() or at.project.spec.data.public or is_private():
        return
    raise Refused(
        "the data would be handed on as an artifact, which anybody can download from "
        "a public repository",
        file="project.yaml",
        key="data.public",
        found="false",
        do="if these rows may be public, set data.public; else make the repository "
        "private",
    )


def _not_due(at: Context, names: list[str]) -> list[str]:
    """Return the models of which a run would make nothing new."""
    from mlops.pipeline.due import due
    from mlops.registry.tags import read

    wanted = due(at.project, names, read(at.project.root))
    return [name for name in names if name not in wanted]


def _described(lock: SourceLock) -> str:
    """Return what was fetched in a few words."""
    size = sum(one.size for one in lock.objects)
    text = f"{counted(len(lock.objects), 'object')}, {megabytes(size)}"
    return f"{text}; {lock.note}" if lock.note else text

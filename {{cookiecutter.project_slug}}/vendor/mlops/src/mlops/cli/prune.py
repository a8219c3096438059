"""The command `mlops registry prune`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from typer import Argument, Option

from mlops.cli.arguments import Actor
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit
from mlops.cli.registry import registry
from mlops.registry.tags import known, read


@registry.command()
def prune(
    name: Annotated[
        str | None, Argument(metavar="MODEL", help="None: every model.")
    ] = None,
    keep: Annotated[
        int, Option(help="So many of the newest versions stay.", min=0)
    ] = 10,
    days: Annotated[
        int, Option(help="What was in the last stage within these days stays.", min=0)
    ] = 90,
    yes: Annotated[
        bool, Option("--yes", help="Do it; without, it is a proposal.")
    ] = False,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Say which versions may go; with --yes let them go.

    Then a tag withdraws them and their files are removed. What is in a stage, or would come back
    into one by a rollback, always stays.

    Example: `mlops registry prune employment --keep 10 --days 90`
    """
    from mlops.registry import retention
    from mlops.registry.decisions import Decision

    at = current_context(fetch=not yes)
    project, now = at.project, at.now()
    state, store, since = read(project.root), at.store, now - timedelta(days=days)
    last = project.spec.stages[-1].name
    reason = f"keep {keep}, and what was in {last} within {days} days"
    act = Decision(actor or at.actor, reason, now, run=at.run_url)
    gone = []
    for model in [known(state, name)] if name else state.models.values():
        if yes:
            done = list(retention.prune(project, model.name, keep, since, act, store))
        else:
            done = retention.candidates(
                model, last, keep, since, store.list(model.name)
            )
        gone += [version.ref for version in done]
    said = f"{len(gone)} versions {'are gone' if yes else 'may go: add --yes'}"
    text = "\n".join([*gone, said]) if gone else "Nothing has to go."
    emit({"versions": gone, "done": yes}, text, as_json)

"""The command `mlops registry prune`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from typer import Argument, Option

from mlops.cli.arguments import Actor, Approver, Sign
from mlops.cli.context import current_context
from mlops.cli.decisions import signing_approver
from mlops.cli.output import Json, emit
from mlops.cli.registry import registry
from mlops.errors import counted
from mlops.registry.tags import known, read_registry


@registry.command()
def prune(
    name: Annotated[
        str | None, Argument(metavar="MODEL", help="Default: every model.")
    ] = None,
    keep: Annotated[
        int, Option(help="How many of the newest versions to keep.", min=0)
    ] = 10,
    days: Annotated[
        int, Option(help="Keep what was in the last stage in so many days.", min=0)
    ] = 90,
    yes: Annotated[
        bool, Option("--yes", help="Prune; without it, versions are only listed.")
    ] = False,
    approver: Approver = None,
    actor: Actor = None,
    sign: Sign = False,
    as_json: Json = False,
) -> None:
    """List the versions that can be pruned; --yes prunes them.

    A tag withdraws a pruned version, and its files are deleted. Versions that are in a
    stage, or that a rollback would bring back, are never pruned.

    Example: `mlops registry prune employment --keep 10 --days 90`
    """
    from mlops.registry import retention
    from mlops.registry.decisions import Decision

    at = current_context(fetch=not yes)
    project = at.project
    now = at.now()
    state = read_registry(project.root)
    since = now - timedelta(days=days)
    last = project.spec.stages[-1].name
    reason = f"keep {keep}, and what was in {last} within {days} days"
    pruned = []
    for model in [known(state, name)] if name else state.models.values():
        who = approver
        if sign and not who:
            who = signing_approver(at, model.name)
        by = Decision(actor or at.actor, reason, now, who, at.run_url, sign)
        if yes:
            versions = list(
                retention.prune(project, model.name, keep, since, by, at.store)
            )
        else:
            stored = at.store.list(model.name, model.versions)
            versions = retention.candidates(model, last, keep, since, stored)
        pruned += [version.ref for version in versions]
    outcome = "pruned" if yes else "to prune: add --yes"
    text = "Nothing can be pruned."
    if pruned:
        text = "\n".join([*pruned, f"{counted(len(pruned), 'version')} {outcome}"])
    emit({"versions": pruned, "done": yes}, text, as_json)

"""The questions that the registry answers: best, diff, lineage."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from mlops.cli.context import Json, emit, leave, progress
from mlops.cli.look import figure, look, registry
from mlops.cli.releases import Model
from mlops.errors import Refused, UsageError

_PREDICTION = re.compile(r"0[0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@registry.command()
def best(
    name: Model,
    metric: Annotated[str | None, typer.Option(help="Default: the model's primary one.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Conditions: 'risk=minimal and metrics.accuracy>0.8'.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only what is or was in this stage.")] = None,
    as_json: Json = False,
) -> None:
    """Name the best version, and the next; 1 where none fits.

    Example: `mlops registry best employment --metric roc_auc --where 'risk=limited'`
    """
    from mlops.registry.api import best as do
    from mlops.reporting.terminal import listing

    project = look()
    ranked, notes = do(project, name, metric, where, stage and project.stage(stage).name)
    rows = [
        {
            "version": version.ref,
            "metric": m.name,
            "value": m.value,
            "low": m.low,
            "high": m.high,
            "stages": ", ".join(version.stages),
            "data": digest,
        }
        for version, m, digest in ranked
    ]
    shown = [{key: figure(value) for key, value in row.items()} for row in rows[:10]]
    columns = tuple(rows[0]) if rows else ()
    emit(rows, listing(shown, columns, "No version meets the conditions."), as_json)
    if len({row["data"] for row in rows}) > 1:
        notes.append("these figures are of different data; the gate compares on the same rows")
    for note in notes:
        progress()(f"note: {note}")
    leave(bool(rows))


@registry.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="VERSION")],
    after: Annotated[str, typer.Argument(metavar="VERSION", help="The model may be left out.")],
    as_json: Json = False,
) -> None:
    """Show in what two versions differ, from data to slices.

    Example: `mlops registry diff employment@v1.1.0 employment@v1.2.0`
    """
    from mlops.registry.api import diff as do
    from mlops.reporting.terminal import table

    before, after = (ref.replace("#", "@") for ref in (before, after))
    after = after if "@" in after else f"{before.split('@')[0]}@{after}"
    old, new, rows = do(look(), before, after)
    shown = []
    for row in rows:
        change = None if row["change"] is None else f"{row['change']:+.4f}"
        shown.append([row["what"], figure(row["before"]), figure(row["after"]), change])
    text = table(shown, ("what", old.ref, new.ref, "change"))
    emit(rows, text if rows else f"{old.ref} and {new.ref} do not differ.", as_json)


@registry.command()
def lineage(
    what: Annotated[
        str, typer.Argument(metavar="VERSION|DIGEST|ID", help="Also of data, or of a prediction.")
    ],
    as_json: Json = False,
) -> None:
    """Show what is behind a version or a prediction, or used data.

    Example: `mlops registry lineage employment@production`
    """
    from mlops.registry import api
    from mlops.reporting.terminal import listing, pairs
    from mlops.serving.log import find

    project = look()
    if re.fullmatch("[0-9a-f]{6,64}", what):
        rows = api.users(project, what)
        text = listing(
            rows, ("used_by", "data", "rows"), "Nothing that is recorded used such data."
        )
        emit(rows, text, as_json)
        leave(bool(rows))
        return
    asked, ref = {}, what
    if _PREDICTION.fullmatch(what):
        if not (said := find(project.state, what)):
            raise Refused("this prediction is not in the log", file=str(project.state), found=what)
        asked = {"prediction": what, "answered": said["at"]}
        ref = f"{said['model']}@{said['version']}"
    elif "@" not in what and "#" not in what:
        allowed = "MODEL@VERSION, six letters of a data digest or more, or the id of a prediction"
        raise UsageError("not something that has a lineage", found=what, allowed=allowed)
    told = {**asked, **api.lineage(project, ref)}
    emit(told, pairs({key: figure(value) for key, value in told.items()}), as_json)

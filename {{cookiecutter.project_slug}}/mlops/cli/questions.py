"""The questions that the registry answers: best, diff, lineage."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from mlops.cli.context import Json, emit, leave, progress
from mlops.cli.registry import figure, look, registry
from mlops.cli.releases import Model

_PREDICTION = re.compile(r"0[0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@registry.command()
def best(
    name: Model,
    metric: Annotated[str | None, typer.Option(help="Default: the model's primary one.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Conditions: 'risk=minimal and metrics.accuracy>0.8'.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Only what is or was in this stage of project.yaml.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Name the version with the best figure, and the next ones; 1 where none meets the conditions.

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
            "data": digest[:12],
        }
        for version, m, digest in ranked
    ]
    shown = [{**row, **{k: f"{row[k]:.4f}" for k in ("value", "low", "high")}} for row in rows]
    columns = tuple(rows[0]) if rows else ()
    emit(rows, listing(shown[:10], columns, "No version meets the conditions."), as_json)
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
    """Show in what two versions differ: data, code, parameters, metrics, slices, signature.

    Example: `mlops registry diff employment@v1.1.0 employment@v1.2.0`
    """
    from mlops.registry.diff import diff as do
    from mlops.reporting.terminal import table

    before, after = (ref.replace("#", "@") for ref in (before, after))
    after = after if "@" in after else f"{before.split('@')[0]}@{after}"
    old, new, found = do(look(), before, after)
    same = old.model == new.model
    heads = (old.number, new.number) if same else (old.ref, new.ref)
    rows = []
    for row in found:
        change = None if row.change is None else f"{row.change:+.4f}"
        cells = [figure(value) for value in (row.before, row.after)]
        if row.what in ("digest", "commit", "lock"):
            cells = [cell[:12] for cell in cells]
        rows.append([f"{row.section}: {row.what}", *cells, change])
    text = table(rows, ("what", *heads, "change"))
    text = text if rows else f"{old.ref} and {new.ref} do not differ."
    emit([_plain(row._asdict()) for row in found], text, as_json)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a difference as data."""
    return {k: v.model_dump() if hasattr(v, "model_dump") else v for k, v in row.items()}


@registry.command()
def lineage(
    what: Annotated[
        str, typer.Argument(metavar="VERSION|DIGEST|ID", help="Also of data, or of a prediction.")
    ],
    as_json: Json = False,
) -> None:
    """Show what is behind a version or a prediction, or which versions used some data.

    Example: `mlops registry lineage employment@production`
    """
    from mlops.errors import Refused, UsageError
    from mlops.registry import api
    from mlops.reporting.terminal import listing, pairs

    project = look()
    if re.fullmatch("[0-9a-f]{6,64}", what):
        rows = api.users(project, what)
        columns = ("kind", "name", "stages", "data", "rows")
        shown = [{**row, "stages": ", ".join(row["stages"])} for row in rows]
        emit(rows, listing(shown, columns, "Nothing that is recorded used such data."), as_json)
        leave(bool(rows))
        return
    asked, ref = {}, what
    if _PREDICTION.fullmatch(what):
        from mlops.serving.log import find

        if not (said := find(project.state, what)):
            raise Refused("this prediction is not in the log", file=str(project.state), found=what)
        asked = {"prediction": what, "answered": said["at"]}
        ref = f"{said['model']}@{said['version']}"
    elif "@" not in what and "#" not in what:
        allowed = "MODEL@VERSION, six letters of a data digest or more, or the id of a prediction"
        raise UsageError("not something that has a lineage", found=what, allowed=allowed)
    told = api.lineage(project, ref)
    emit({**asked, **told}, pairs({**asked, **_lineage(told)}), as_json)


def _lineage(told: dict[str, Any]) -> dict[str, str]:
    """Return a lineage as one line each."""
    data, run = told["data"], told["run"]
    period = f", {' to '.join(data['period'])}" if data["period"] else ""
    pull = f"pull request {run['pull_request']}" if run.get("pull_request") else None
    by = [run["id"], run.get("started"), run.get("actor"), pull, run.get("run_url")]
    return {
        "version": told["version"],
        "stages": ", ".join(told["stages"]),
        "data": f"{data['digest'][:12]}, {data['rows']:,} rows{period}",
        "source": data["source"],
        **{file["path"]: file["sha256"] for file in data["files"]},
        "code": told["code"]["commit"],
        "lock": told["environment"]["lock_sha256"],
        "python": told["environment"]["python"],
        "run": ", ".join(str(part) for part in by if part),
        "registered by": told["registered_by"],
        "previous": told["previous"] or "",
        "next": ", ".join(told["next"]),
        "on the same data": ", ".join(told["same_data"]),
    }

"""The verbs on the journal: runs list, show, compare."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlops.cli import app
from mlops.cli.context import Json, emit
from mlops.cli.releases import here

runs = typer.Typer(no_args_is_help=True, help="What was tried: the journal.")
app.add_typer(runs, name="runs", rich_help_panel="Look")


@runs.command("list")
def runs_list(
    name: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None,
    where: Annotated[
        str | None, typer.Option(help="Conditions: 'metrics.roc_auc>0.8 and outcome=promote'.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="12h, 30d, 2w")] = None,
    as_json: Json = False,
) -> None:
    """List runs, oldest first.

    Example: `mlops runs list employment --where 'metrics.roc_auc>0.8' --since 30d`
    """
    from mlops.registry.journal import ago, records
    from mlops.reporting.terminal import listing

    project, _, now = here()
    found = records(project, name, where, ago(since, now) if since else None)
    rows = [
        {
            "id": r.id,
            "model": r.model,
            "outcome": r.outcome,
            "metric": f"{r.metrics[0].name} {r.metrics[0].value:.4f}" if r.metrics else None,
            "estimator": r.training.estimator if r.training else None,
            "seconds": round(r.seconds, 1),
            "actor": r.actor,
        }
        for r in found
    ]
    text = listing(rows, tuple(rows[0]) if rows else (), "No run is recorded: `mlops run MODEL`")
    emit([r.model_dump(mode="json") for r in found], text, as_json)


def _find(ids: list[str]) -> list[Any]:
    """Return the records whose ids begin with the given ones."""
    from mlops.errors import UsageError, did_you_mean
    from mlops.registry.journal import records

    project, _, _ = here()
    every = {record.id: record for record in records(project)}
    found = []
    for wanted in ids:
        match = [record for key, record in every.items() if key.startswith(wanted)]
        if len(match) != 1:
            what = "several runs begin like this" if match else "there is no run of this id"
            raise UsageError(
                what, found=wanted, do=did_you_mean(wanted, every) or "see `mlops runs list`"
            )
        found.append(match[0])
    return found


def _flat(record: Any) -> dict[str, object]:
    """Return a run's facts in one level, for people."""
    training, data = record.training, record.data
    return {
        "model": record.model,
        "started": record.started,
        "outcome": record.outcome,
        "commit": f"{(record.commit or '')[:12]}{' and changes' if record.dirty else ''}",
        "actor": record.actor,
        "seconds": round(record.seconds, 1),
        "data": f"{data.digest[:12]} ({data.rows:,} rows)" if data else None,
        "estimator": training.estimator if training else None,
        **({f"params.{k}": v for k, v in training.params.items()} if training else {}),
        **{m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in record.metrics},
        "reasons": "; ".join(record.verdict.reasons) if record.verdict else None,
    }


@runs.command("show")
def runs_show(run: Annotated[str, typer.Argument(metavar="RUN")], as_json: Json = False) -> None:
    """Show one run; the first letters of its id are enough.

    Example: `mlops runs show 20261123-10`
    """
    from mlops.reporting.terminal import pairs

    record = _find([run])[0]
    emit(record.model_dump(mode="json"), pairs({"id": record.id, **_flat(record)}), as_json)


@runs.command("compare")
def runs_compare(
    chosen: Annotated[list[str], typer.Argument(metavar="RUN RUN...")], as_json: Json = False
) -> None:
    """Show runs side by side, only where they differ.

    Example: `mlops runs compare 20261123-101500 20261123-113000`
    """
    from mlops.reporting.terminal import compare

    records = {record.id: _flat(record) for record in _find(chosen)}
    emit(records, compare(records), as_json)

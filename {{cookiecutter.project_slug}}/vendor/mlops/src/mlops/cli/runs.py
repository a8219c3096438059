"""Commands that read the run log: list, show, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from mlops.cli.app import app
from mlops.cli.arguments import Where, WithWhere
from mlops.cli.context import current_context
from mlops.cli.output import Json, ago, emit, progress
from mlops.cli.selection import Owner, Stale, is_wild, only_stale, owners_of, select
from mlops.errors import UsageError
from mlops.io.files import write_text
from mlops.reporting.terminal import pairs, table
from mlops.reporting.words import duration, money

if TYPE_CHECKING:
    from mlops.results.evaluation import Metric

runs = Typer(no_args_is_help=True, help="Runs: list, show, compare.")

app.add_typer(runs, name="runs", rich_help_panel="Look")

InGroup = Annotated[
    str | None, Option(help="Only this group, such as a sweep or pr-12.")
]


@runs.command("list", cls=WithWhere)
def runs_list(
    name: Annotated[
        str | None, Argument(metavar="MODEL", help="Or a pattern, as 'price_*'.")
    ] = None,
    model: Annotated[str | None, Option(help="The same as MODEL.")] = None,
    where: Where = None,
    since: Annotated[str | None, Option(help="How far back: 12h, 30d, 2w.")] = None,
    group: InGroup = None,
    owner: Owner = None,
    stale: Stale = None,
    limit: Annotated[int, Option(help="How many, newest first; 0: all.", min=0)] = 100,
    as_json: Json = False,
) -> None:
    """List runs, newest last.

    Example: `mlops runs list employment --where metrics.roc_auc gt 0.8 --since 30d`
    """
    from mlops.runlog import query

    at = current_context(fetch=stale is not None)
    model = name or model
    start = ago(since, at.now()) if since else None
    more = limit + 1 if limit else 0
    chosen: str | list[str] | None = model
    if owner or stale or (model and is_wild(model)):
        chosen = select(at.project, [model] if model else None, owner)
        if stale:
            chosen = only_stale(at.project, chosen, stale, at.now())
    records = query.runs(
        at.project, chosen, where=where or (), since=start, group=group, limit=more
    )
    if limit and len(records) > limit:
        records = records[1:]
        progress()(
            f"older runs exist; these are the newest {limit} (`--limit 0` for all)"
        )
    rows = _rows(records)
    filtered = any((model, where, since, group, owner, stale))
    empty = (
        "No run meets the conditions."
        if filtered
        else "No run is recorded: `mlops run MODEL`"
    )
    emit(records, table(rows, list(rows[0])) if rows else empty, as_json)


def _rows(found: list[dict[str, Any]]) -> list[dict[str, object]]:
    """Return the lines of the list: what tells each run from others of its model."""
    from mlops.reporting.runs import best_of, distinguishing

    differs: dict[str, str] = {}
    winners: set[str] = set()
    for model in dict.fromkeys(run["model"] for run in found):
        mine = [run for run in found if run["model"] == model]
        trained = [run for run in mine if run.get("training")]
        texts = distinguishing([_params(run) for run in trained])
        differs |= {run["id"]: text for run, text in zip(trained, texts, strict=True)}
        at = best_of([_metric(run) for run in mine])
        if at is not None and len(mine) > 1:
            winners.add(mine[at]["id"])
    return [
        _row(run, differs.get(run["id"], ""), run["id"] in winners) for run in found
    ]


def _params(run: dict[str, Any]) -> dict[str, object]:
    """Return what was chosen; a run log may hold records of older engines."""
    training = run["training"]
    return {"estimator": training.get("estimator"), **(training.get("params") or {})}


def _metric(run: dict[str, Any]) -> Metric | None:
    from mlops.results.evaluation import Metric

    return Metric.model_validate(run["metrics"][0]) if run.get("metrics") else None


def _row(run: dict[str, Any], differs: str, is_best: bool) -> dict[str, object]:
    """Return what one line of the list says."""
    metric = _metric(run)
    figure = None
    if metric:
        figure = f"{metric.name} {metric.value:.4f}"
        figure += " (best)" if is_best else ""
    return {
        "id": run["id"],
        "model": run["model"],
        "outcome": run["outcome"],
        "metric": figure,
        "differs by": differs or None,
        "took": duration(run["seconds"]),
        "group": run.get("group"),
        "actor": run.get("actor"),
    }


@runs.command("show")
def runs_show(
    run: Annotated[str, Argument(metavar="RUN")], as_json: Json = False
) -> None:
    """Show one run; the first letters of its id are enough.

    Example: `mlops runs show 20261123-10`
    """
    from mlops.reporting.runs import flat
    from mlops.runlog.query import find_runs

    (record,) = find_runs(current_context().project, [run])
    emit(
        record.model_dump(mode="json"),
        pairs({"id": record.id, **flat(record)}),
        as_json,
    )


@runs.command("compare")
def runs_compare(
    chosen: Annotated[list[str] | None, Argument(metavar="RUN")] = None,
    group: InGroup = None,
    html: Annotated[
        Path | None,
        Option(help="Write a page with charts to this file.", dir_okay=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare up to 20 runs side by side, where they differ.

    Example: `mlops runs compare 20261123-101500 20261123-113000 --html compare.html`
    """
    from mlops.reporting.runs import MOST_RUNS, best, flat, page, side_by_side
    from mlops.runlog import query

    project = current_context().project
    matches = query.records(project, group=group) if group else []
    matches += query.find_runs(project, chosen or [])
    records = {record.id: record for record in matches}
    if not 2 <= len(records) <= MOST_RUNS:
        raise UsageError(
            "this many runs cannot be shown side by side",
            found=str(len(records)),
            allowed=f"2 to {MOST_RUNS}",
            do="choose from `mlops runs list`",
        )
    facts = {name: flat(record) for name, record in records.items()}
    at = best(list(records.values()))
    shown = {
        f"{name} (best)" if position == at else name: known
        for position, (name, known) in enumerate(facts.items())
    }
    text = side_by_side(shown)
    if html:
        write_text(html, page(list(records.values())))
        text += f"\n\n{html}"
    emit(facts, text, as_json)


@runs.command("cost")
def runs_cost(
    names: Annotated[
        list[str] | None,
        Argument(metavar="MODEL", help="Models, or patterns; default: all."),
    ] = None,
    owner: Owner = None,
    since: Annotated[str, Option(help="How far back: 12h, 30d, 2w.")] = "52w",
    as_json: Json = False,
) -> None:
    """Say what runs cost, by month, owner and model.

    Example: `mlops runs cost --owner @ana --since 26w`
    """
    from mlops.results.costs import monthly
    from mlops.runlog import query

    at = current_context()
    chosen = select(at.project, names, owner) if names or owner else None
    found = query.runs(at.project, chosen, since=ago(since, at.now()))
    lines = monthly(found, owners_of(at.project))
    rows = [
        {
            "month": line.month,
            "owner": line.owner,
            "model": line.model,
            "runs": line.runs,
            "took": duration(line.seconds),
            "cost": money(line.cost, line.currency),
        }
        for line in lines
    ]
    totals: dict[str, float] = {}
    for line in lines:
        totals[line.currency] = totals.get(line.currency, 0.0) + line.cost
    text = "No run is recorded: `mlops run MODEL`"
    if rows:
        whole = ", ".join(money(cost, name) for name, cost in totals.items())
        text = f"{table(rows, list(rows[0]))}\n\nIn all: {whole}"
    emit([line._asdict() for line in lines], text, as_json)

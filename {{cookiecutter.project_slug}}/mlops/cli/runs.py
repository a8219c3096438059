"""The verbs on the journal: runs list, show, compare; and what is written there of a run."""

from __future__ import annotations

import platform
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops import __version__
from mlops.cli import app
from mlops.cli.context import Json, emit, progress
from mlops.cli.releases import here
from mlops.reporting.words import duration

if TYPE_CHECKING:
    from mlops.cli.run import Run
    from mlops.results import Record

runs = typer.Typer(no_args_is_help=True, help="What was tried: list, show, compare.")
app.add_typer(runs, name="runs", rich_help_panel="Look")

InGroup = Annotated[str | None, typer.Option(help="Only a sweep, or a pull request: pr-12.")]


@runs.command("list")
def runs_list(
    name: Annotated[str | None, typer.Argument(metavar="MODEL")] = None,
    model: Annotated[str | None, typer.Option(help="The same as MODEL.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Conditions: 'metrics.roc_auc>0.8 and outcome=promote'.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="12h, 30d, 2w")] = None,
    group: InGroup = None,
    limit: Annotated[int, typer.Option(help="Only the newest; 0: all.", min=0)] = 100,
    as_json: Json = False,
) -> None:
    """List runs, the newest last.

    Example: `mlops runs list --where 'metrics.roc_auc>0.8' --model employment --since 30d`
    """
    from mlops.registry import journal
    from mlops.reporting.terminal import listing

    project, _, now = here()
    start = journal.ago(since, now) if since else None
    more = limit + 1 if limit else 0
    found = journal.runs(project, name or model, where=where, since=start, group=group, limit=more)
    if limit and len(found) > limit:
        found = found[1:]
        progress()(f"there are older ones: these are the newest {limit} (`--limit 0` for all)")
    rows = [_row(run) for run in found]
    asked = any((name, model, where, since, group))
    none = "No run fits." if asked else "No run is recorded: `mlops run MODEL`"
    text = listing(rows, tuple(rows[0]) if rows else (), none)
    emit(found, text, as_json)


def _row(run: dict[str, Any]) -> dict[str, object]:
    """Return what one line of the list says; a journal may hold records of older engines."""
    metric, training = (run.get("metrics") or [None])[0], run.get("training") or {}
    return {
        "id": run["id"],
        "model": run["model"],
        "outcome": run["outcome"],
        "metric": f"{metric['name']} {metric['value']:.4f}" if metric else None,
        "estimator": training.get("estimator"),
        "took": duration(run["seconds"]),
        "group": run.get("group"),
        "actor": run.get("actor"),
    }


@runs.command("show")
def runs_show(run: Annotated[str, typer.Argument(metavar="RUN")], as_json: Json = False) -> None:
    """Show one run; the first letters of its id are enough.

    Example: `mlops runs show 20261123-10`
    """
    from mlops.registry.journal import find
    from mlops.reporting.runs import flat
    from mlops.reporting.terminal import pairs

    (record,) = find(here()[0], [run])
    emit(record.model_dump(mode="json"), pairs({"id": record.id, **flat(record)}), as_json)


@runs.command("compare")
def runs_compare(
    chosen: Annotated[list[str] | None, typer.Argument(metavar="RUN")] = None,
    group: InGroup = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one page with charts to this file.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show up to 20 runs side by side, only where they differ.

    Example: `mlops runs compare 20261123-101500 20261123-113000 --html compare.html`
    """
    from mlops.errors import UsageError
    from mlops.registry import journal
    from mlops.reporting.runs import MOST, flat, page
    from mlops.reporting.terminal import compare

    project, _, _ = here()
    found = journal.records(project, group=group) if group else []
    found += journal.find(project, chosen or [])
    records = {record.id: record for record in found}
    if not 2 <= len(records) <= MOST:
        what, do = "this many runs cannot be shown side by side", "choose from `mlops runs list`"
        raise UsageError(what, found=str(len(records)), allowed=f"2 to {MOST}", do=do)
    facts = {name: flat(record) for name, record in records.items()}
    text = compare(facts)
    if html:
        from mlops.files import write_text

        write_text(html, page(list(records.values())))
        text += f"\n\n{html}"
    emit(facts, text, as_json)


def record(run: Run, group: str | None = None) -> Record:
    """Return a run as the journal keeps it."""
    from mlops.cli.run import facts
    from mlops.results import Record

    known = facts(run)
    failed = next((s for s, state in run.states.items() if state == "failed"), "")
    snapshot, number = known.validation and known.validation.snapshot, run.context.pull_request
    seconds, price = sum(known.run.seconds.values()), run.project.spec.cost
    return Record(
        id=f"{run.started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        model=run.name,
        started=run.started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        stages=run.states,
        outcome=known.verdict.decision if known.verdict else failed or "trained",
        commit=run.commit,
        dirty=run.dirty,
        actor=run.context.actor,
        pull_request=number,
        group=group or (f"pr-{number}" if number else None),
        run_url=run.context.run_url,
        engine=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
        cost=round(seconds / 3600 * price.per_hour, 6),
        currency=price.currency,
        # What is in each column is in the report; a thousand records need not repeat it.
        data=snapshot.model_copy(update={"columns": ()}) if snapshot else None,
        training=known.training,
        metrics=known.evaluation.metrics if known.evaluation else (),
        verdict=known.verdict,
    )

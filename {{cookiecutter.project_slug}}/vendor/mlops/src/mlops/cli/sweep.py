"""The command `mlops sweep`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit, hint, progress
from mlops.cli.pipeline import run_context
from mlops.cli.workers import Backend, Jobs, workers
from mlops.errors import Refused
from mlops.reporting.terminal import table

if TYPE_CHECKING:
    from mlops.pipeline.run import Run
    from mlops.pipeline.sweep import Tried
    from mlops.results.runs import Record


@app.command(rich_help_panel="Make a model")
def sweep(
    name: Annotated[str, Argument(metavar="MODEL")],
    param: Annotated[list[str], Option("--param", "-p", help="NAME=VALUE,VALUE,...")],
    group: Annotated[str | None, Option(help="Name of the sweep.")] = None,
    most: Annotated[
        int, Option("--max", help="Largest number of combinations.", min=1)
    ] = 20,
    jobs: Jobs = None,
    backend: Backend = None,
    force: Annotated[
        bool, Option("--force", help="Try again what was tried before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try parameters by cross-validation and record each run.

    Only the training part of the data is used. A combination is tried once for the
    same data, code and libraries. With --jobs several are tried at once, with
    --backend on a cluster of Dask or Ray.

    Example: `mlops sweep employment -p C=0.01,0.1,1,10`
    """
    from mlops.evaluation.sweep import combinations
    from mlops.pipeline.run import Run
    from mlops.pipeline.sweep import Sweep
    from mlops.runlog.journal import named

    say = progress()
    combined = combinations(param, most)
    where, at_once = workers(backend, jobs)
    run = Run(run_context(current_context()), name, say)
    group = group or f"sweep-{run.state.started:%Y%m%d-%H%M%S}"
    named(group, "a name that a group may have")
    with run.file_lock():
        if not run.until("validate"):
            raise Refused("data validation failed", do=f"`mlops validate {name}`")
        try:
            tried = Sweep(run, where, at_once, force).tried(combined)
        finally:
            run.close()
        rows = _recorded(run, tried, group, say)
    text = table(rows, list(dict.fromkeys(key for row in rows for key in row)))
    recorded = any("run" in row for row in rows)
    if recorded:
        text += (
            "\n\nBy cross-validation on the training part: the best of many looks "
            "better than it is."
            f"\nSide by side: mlops runs compare --group {group}"
        )
    emit({"group": group, "tried": rows}, text, as_json, yes=recorded)
    hint(f"put the parameters into models/{name}/model.yaml, then: mlops run {name}")


def _recorded(
    run: Run, tried: Sequence[Tried], group: str, say: Callable[[str], None]
) -> list[dict[str, object]]:
    """Record all that was tried by one push; return the rows of the table, best first.

    One that was tried before is of this sweep too, and took no time.
    """
    from mlops.runlog.journal import append_all

    records = []
    rows = []
    for each in sorted(tried, key=lambda each: -each.rank):
        row: dict[str, object] = {k: str(value) for k, value in each.chosen.items()}
        if each.error is not None:
            row["failed"] = each.error.problems[0].what
        else:
            record = _record_of(run, each, group)
            records.append(record)
            metric = record.metrics[0]
            row[metric.name] = metric.value
            row |= {"low": metric.low, "high": metric.high, "run": record.id}
        rows.append(row)
    for warning in append_all(run.state.project, records):
        say(warning)
    return rows


def _record_of(run: Run, tried: Tried, group: str) -> Record:
    """Return the record of one combination."""
    from mlops.pipeline.record import record_of

    state = run.state
    assert tried.trial is not None
    seconds = tried.trial.seconds if tried.is_new else 0.0
    outcome = "ran" if tried.is_new else "skipped"
    state.seconds = {"cross-validation": seconds}
    state.states = {
        "validate": state.states["validate"],
        "cross-validation": outcome,
    }
    record = record_of(run.context, state, group)
    return record.model_copy(
        update={
            "training": tried.training,
            "metrics": tried.trial.metrics,
            "outcome": "cross-validated",
            "measured_on": "cross-validation",
        }
    )

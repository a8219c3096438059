"""The command `mlops sweep`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit, hint, progress
from mlops.cli.pipeline import run_context
from mlops.errors import MlopsError, Refused
from mlops.reporting.terminal import table

if TYPE_CHECKING:
    from mlops.config.fields import Scalar
    from mlops.pipeline.run import Run
    from mlops.results.runs import Record


@app.command(rich_help_panel="Make a model")
def sweep(
    name: Annotated[str, Argument(metavar="MODEL")],
    param: Annotated[list[str], Option("--param", "-p", help="NAME=VALUE,VALUE,...")],
    group: Annotated[str | None, Option(help="Name of the sweep.")] = None,
    most: Annotated[
        int, Option("--max", help="Largest number of combinations.", min=1)
    ] = 20,
    as_json: Json = False,
) -> None:
    """Try parameters by cross-validation and record each run.

    Only the training part of the data is used.

    Example: `mlops sweep employment -p C=0.01,0.1,1,10`
    """
    from mlops.evaluation.sweep import combinations
    from mlops.pipeline.run import Run
    from mlops.runlog.journal import named

    say = progress()
    combined = combinations(param, most)
    run = Run(run_context(current_context()), name, say)
    group = group or f"sweep-{run.state.started:%Y%m%d-%H%M%S}"
    named(group, "a name that a group may have")
    with run.file_lock():
        if not run.until("validate"):
            raise Refused("data validation failed", do=f"`mlops validate {name}`")
        try:
            tried = _tried(run, combined, group, say)
        finally:
            run.close()
    tried.sort(key=lambda pair: pair[0], reverse=True)
    rows = [row for _, row in tried]
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


def _tried(
    run: Run,
    combined: list[dict[str, Scalar]],
    group: str,
    say: Callable[[str], None],
) -> list[tuple[float, dict[str, object]]]:
    """Try each combination, record it, and return how good it is with its row."""
    from mlops.runlog.journal import append

    tried = []
    for number, chosen in enumerate(combined, 1):
        say(f"{number} of {len(combined)} …")
        row: dict[str, object] = {key: str(value) for key, value in chosen.items()}
        try:
            record = _try(run, chosen, group)
        except MlopsError as error:  # parameters that do not go together, say
            tried.append((-math.inf, {**row, "failed": error.problems[0].what}))
            continue
        for warning in append(run.state.project, record):
            say(warning)
        tried.append(_ranked(row, record))
    return tried


def _ranked(row: dict[str, object], record: Record) -> tuple[float, dict[str, object]]:
    """Return how good a combination is (higher is better) and its row of the table."""
    metric = record.metrics[0]
    rank = metric.value if metric.higher_is_better else -metric.value
    facts = {
        metric.name: metric.value,
        "low": metric.low,
        "high": metric.high,
        "run": record.id,
    }
    return rank, {**row, **facts}


def _try(run: Run, chosen: Mapping[str, Scalar], group: str) -> Record:
    """Return the record of one combination of a sweep; no file is written."""
    from mlops.pipeline.record import record_of

    state = run.state
    params = {**state.spec.train.params, **chosen}
    train = state.spec.train.model_copy(update={"params": params})
    spec = state.spec.model_copy(update={"train": train})
    state.started = run.context.now()
    begun = time.perf_counter()
    measured = run.cross_validate(spec)
    state.seconds = {"cross-validation": time.perf_counter() - begun}
    state.states = {"validate": state.states["validate"], "cross-validation": "ran"}
    record = record_of(run.context, state, group)
    return record.model_copy(
        update={
            "training": measured.training,
            "metrics": measured.metrics,
            "outcome": "cross-validated",
            "measured_on": "cross-validation",
        }
    )

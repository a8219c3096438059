"""The command `mlops sweep`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit, hint, progress
from mlops.cli.pipeline import record_run
from mlops.errors import MlopsError, Refused
from mlops.reporting.terminal import table

if TYPE_CHECKING:
    from mlops.config.model_spec import Scalar
    from mlops.pipeline.run import Run
    from mlops.results.runs import Record


@app.command(rich_help_panel="Make a model")
def sweep(
    name: Annotated[str, Argument(metavar="MODEL")],
    param: Annotated[list[str], Option("--param", "-p", help="NAME=VALUE,VALUE,...")],
    group: Annotated[str | None, Option(help="Name of the sweep.")] = None,
    most: Annotated[int, Option("--max", help="Combinations at the most.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Try parameters by cross-validation, and record each combination.

    It uses the training part alone.

    Example: `mlops sweep employment -p C=0.01,0.1,1,10`
    """
    from mlops.evaluation.sweep import combinations
    from mlops.pipeline.run import Run
    from mlops.runlog.journal import append, named

    at, say = current_context(), progress()
    every = combinations(param, most)
    run = Run(at, name, say)
    group = named(
        group or f"sweep-{run.started:%Y%m%d-%H%M%S}", "a name that a group may have"
    )
    if not run.until("validate"):
        raise Refused(
            "the data do not keep their contract", do=f"`mlops validate {name}`"
        )
    tried: list[tuple[float, dict[str, object]]] = []
    for number, chosen in enumerate(every, 1):
        say(f"{number} of {len(every)} …")
        shown: dict[str, object] = {key: str(value) for key, value in chosen.items()}
        try:
            made = _tried(run, chosen, group)
        except MlopsError as error:  # parameters that do not go together, say
            tried.append((-math.inf, {**shown, "failed": error.problems[0].what}))
            continue
        for warning in append(at.project, made):
            say(warning)
        m = made.metrics[0]
        facts = {m.name: m.value, "low": m.low, "high": m.high, "run": made.id}
        tried.append((m.value if m.higher_is_better else -m.value, {**shown, **facts}))
    rows = [row for _, row in sorted(tried, key=lambda pair: pair[0], reverse=True)]
    text = table(rows, list(dict.fromkeys(key for row in rows for key in row)))
    if some := any("run" in row for row in rows):
        text += f"""

By cross-validation on the training part: the best of many looks better than it is.
Side by side: mlops runs compare --group {group}"""
    emit({"group": group, "tried": rows}, text, as_json, yes=some)
    hint(f"put the parameters into models/{name}/model.yaml, then: mlops run {name}")


def _tried(run: Run, chosen: Mapping[str, Scalar], group: str) -> Record:
    """Return the record of one combination of a sweep; nothing is written."""
    from mlops.evaluation.sweep import cross_validate

    train = run.spec.train.model_copy(
        update={"params": {**run.spec.train.params, **chosen}}
    )
    spec = run.spec.model_copy(update={"train": train})
    run.started, begun = run.at.now(), time.perf_counter()
    training, metrics = cross_validate(run.project, run.name, spec, run.dataset)
    run.seconds = {"cross-validation": time.perf_counter() - begun}
    run.states = {"validate": run.states["validate"], "cross-validation": "ran"}
    found = {"training": training, "metrics": metrics, "outcome": "cross-validated"}
    return record_run(run, group).model_copy(
        update={**found, "measured_on": "cross-validation"}
    )

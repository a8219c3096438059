"""The command `mlops new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit, hint
from mlops.reporting.terminal import table


@app.command(rich_help_panel="Make a model")
def new(
    name: Annotated[
        str, Argument(metavar="NAME", help="Name of the model: a-z, 0-9 and _.")
    ],
    data: Annotated[Path, Option(help="CSV, Parquet or JSON lines file.")],
    target: Annotated[str, Option(help="Column to predict.")],
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None,
        Option(help="Kind of model; default: inferred."),
    ] = None,
    delimiter: Annotated[
        str | None,
        Option(help="Delimiter of the CSV file; `tab` for a tab."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the folder of a new model from your own data.

    Example: `mlops new churn --data churn.csv --target Churn`
    """
    from mlops.scaffold.infer import infer
    from mlops.scaffold.write import check_name, write

    project = current_context().project
    check_name(project, name)
    if delimiter in ("tab", "\\t"):
        delimiter = "\t"
    inferred = infer(data, target, task, delimiter)
    paths = [str(p.relative_to(project.root)) for p in write(project, name, inferred)]
    lines = [table(inferred.summary, ("column", "is", "why")), ""]
    lines += [f"check: {note}" for note in inferred.notes]
    lines.append("")
    lines += [f"  {path}" for path in paths]
    facts = {"files": paths, **inferred.model_dump(mode="json")}
    emit(facts, "\n".join(lines), as_json)
    hint(f"mlops run {name}")

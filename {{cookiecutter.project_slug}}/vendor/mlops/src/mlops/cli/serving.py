"""Commands that predict: predict and serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from mlops.cli.app import app
from mlops.cli.arguments import Followed, Ref
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit
from mlops.errors import UsageError, counted


@app.command(rich_help_panel="Use")
def predict(
    ref: Ref,
    data: Annotated[
        Path,
        Argument(metavar="FILE", help="CSV, Parquet or JSON lines with features."),
    ],
    out: Annotated[
        Path | None, Option(help="CSV file to write; default: print.")
    ] = None,
    log: Annotated[bool, Option(help="Log the predictions, for monitoring.")] = True,
    as_json: Json = False,
) -> None:
    """Predict the rows of a file with a released version.

    Example: `mlops predict employment@production people.csv --out predictions.csv`
    """
    from mlops.io.files import write_text
    from mlops.serving.batch import predict_file, without_formulas
    from mlops.serving.prediction_log import records

    at = current_context(fetch=True)
    predictions, version = predict_file(at.project, ref, data, at.now(), log, at.store)
    rows: list[dict[str, Any]] = []
    if out is None:
        text = predictions.head(20).to_string(index=False)
        # JSON has only finite numbers; the others are missing, as NaN is.
        rows = records(predictions.replace([float("inf"), float("-inf")], None))
    else:
        safe, formulas = without_formulas(predictions)
        write_text(out, safe.to_csv(index=False, lineterminator="\n"))
        text = f"{counted(len(predictions), 'row')} predicted by {version}: {out}"
        if formulas:
            cells = counted(formulas, "cell")
            text += f"\n{cells} would be run as a formula by a spreadsheet: "
            text += "they begin with ' in the file"
    unseen: dict[str, int] = predictions.attrs["unseen"]
    for column, count in unseen.items():
        text += f"\n{count:,} values of {column} were never seen in training"
    outside: dict[str, int] = predictions.attrs["outside"]
    for column, count in outside.items():
        text += f"\n{count:,} values of {column} are outside of what training saw"
    facts = {"version": version, "rows": len(predictions), "predictions": rows}
    emit({**facts, "unseen": unseen, "outside": outside}, text, as_json)


@app.command(rich_help_panel="Use")
def serve(
    ref: Followed,
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, Option(help="Port; 0: any free port.", min=0, max=65535)
    ] = 8000,
    interval: Annotated[
        float, Option(help="Seconds between checks of the stage.", min=0.01)
    ] = 10.0,
) -> None:
    """Serve a stage over HTTP and follow its promotions.

    Example: `mlops serve employment@production --port 8000`
    """
    from mlops.serving.server import Address
    from mlops.serving.server import serve as run

    at = current_context()
    name, _, stage = ref.partition("@")
    if not stage:
        raise UsageError(
            "a service follows a stage",
            found=ref,
            do=f"`mlops serve {name}@production`",
        )
    followed = at.project.stage(stage).name
    run(at.project, name, followed, Address(host, port), interval, at.store)

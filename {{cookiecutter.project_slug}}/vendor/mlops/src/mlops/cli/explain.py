"""The command `mlops explain`: why a prediction is what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlops.cli.app import app
from mlops.cli.arguments import Ref
from mlops.cli.context import Context, current_context
from mlops.cli.output import Json, emit
from mlops.cli.places import prediction_place
from mlops.errors import Refused, UsageError
from mlops.reporting.terminal import table

if TYPE_CHECKING:
    from mlops.results.explanation import Explanation


@app.command(rich_help_panel="Use")
def explain(
    ref: Ref,
    prediction: Annotated[
        str | None, Argument(metavar="ID", help="Of a prediction in the log.")
    ] = None,
    data: Annotated[
        Path | None,
        Option(
            "--file",
            help="CSV, Parquet or JSON lines: explain a row of it instead.",
        ),
    ] = None,
    row: Annotated[int, Option(help="Which row of --file.", min=1)] = 1,
    as_json: Json = False,
) -> None:
    """Explain a prediction: raw row, features, outputs, contributions.

    A logged prediction is explained with the version that made it, unless a version is
    named. Contributions are Shapley values against rows of the version's reference
    sample, and add up to the prediction minus their mean.

    Example: `mlops explain employment@production 0193a3f0-7c1e-7b2d-8a3c-5d1e2f90ab12`
    """
    from mlops.serving.explain import Explainer, background_of

    if (prediction is None) == (data is None):
        raise UsageError(
            "one prediction is explained",
            found="an ID and --file" if prediction else "neither an ID nor --file",
            allowed="an ID, or --file",
            do=f"`mlops explain {ref} ID`, or `mlops explain {ref} --file people.csv`",
        )
    at = current_context(fetch=True)
    logged: dict[str, Any] = {}
    if prediction is not None:
        logged = _logged(at, ref.partition("@")[0], prediction)
        if _is_followed(at, ref):
            ref = f"{ref.partition('@')[0]}@{logged['version']}"
    from mlops.registry.chain import fetch
    from mlops.registry.queries import sensitive_columns

    bundle = fetch(at.project, ref, at.store)
    model = bundle.model()
    if data is None:
        sent = logged["features"]
        names = [feature.name for feature in model.signature.features]
        values = {name: sent.get(name) for name in names}
    else:
        from mlops.serving.batch import row_of_file

        values = row_of_file(at.project, model, data, row)
    hidden = sensitive_columns(at.project, bundle.manifest)
    version = bundle.version.number
    explainer = Explainer(version, model, background_of(bundle), hidden)
    explanation = explainer.explain(values)
    facts = explanation.model_dump(mode="json")
    if logged:
        facts["logged"] = _as_logged(logged, explanation)
    emit(facts, _text(explanation, facts.get("logged")), as_json)


def _is_followed(at: Context, ref: str) -> bool:
    """Return whether a reference is one whose version changes, such as a stage."""
    stages = [stage.name for stage in at.project.spec.stages]
    return ref.partition("@")[2] in ("latest", *stages)


def _logged(at: Context, model: str, key: str) -> dict[str, Any]:
    """Return what was logged under the id of a prediction."""
    from mlops.serving.log_reader import find_logged

    log_place = prediction_place(at.project)
    found = find_logged(log_place, model, key)
    if found is None:
        raise Refused(
            f"no service logged this prediction of {model}",
            file=str(log_place),
            found=key[:80],
            do="to explain a row of a batch, name its file with --file",
        )
    return found


def _as_logged(logged: dict[str, Any], explanation: Explanation) -> dict[str, Any]:
    """Return what the log has beside the row."""
    outputs = {name: logged.get(name) for name in explanation.prediction}
    when = {name: logged[name] for name in ("id", "at", "version")}
    return {**when, "prediction": outputs}


def _text(explanation: Explanation, logged: dict[str, Any] | None) -> str:
    """Return an explanation for people, step by step."""
    blocks = [f"Row\n{_values(explanation.row)}"]
    if explanation.features is None:
        why = "not shown: a sensitive column is a feature"
        blocks.append(f"Features\n  {why}")
    else:
        blocks.append(f"Features, of features.py\n{_values(explanation.features)}")
    blocks.append(
        f"Prediction of {explanation.version}\n{_values(explanation.prediction)}"
    )
    if logged is not None:
        blocks.append(
            f"Logged at {logged['at']} by {logged['version']}\n"
            f"{_values(logged['prediction'])}"
        )
    rows: list[list[Any]] = []
    rows.append(["mean of the background", None, f"{explanation.mean:.4f}", None])
    for part in explanation.contributions:
        added = f"{part.contribution:+.4f}"
        rows.append([part.feature, part.value, added, f"{part.error:.4f}"])
    rows.append(["this row", None, f"{explanation.explained:.4f}", None])
    heading = f"Contributions to {explanation.output}, against "
    heading += f"{explanation.background} rows of the reference sample"
    columns = ("feature", "value", explanation.output, "std. error")
    blocks.append(f"{heading}\n{table(rows, columns)}")
    if explanation.fixed:
        names = ", ".join(explanation.fixed)
        blocks.append(f"No contribution, not in the reference sample: {names}")
    return "\n\n".join(blocks)


def _values(values: dict[str, Any]) -> str:
    """Return names and values, a line each."""
    width = max((len(name) for name in values), default=0)
    lines = []
    for name, value in values.items():
        shown = "missing" if value is None else value
        if isinstance(value, float):
            shown = f"{value:.6g}"
        lines.append(f"  {name:<{width}}  {shown}")
    return "\n".join(lines)

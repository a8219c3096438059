"""The command `mlops replay`: a logged row on another version."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from typer import Argument, Option

from mlops.cli.app import app
from mlops.cli.context import Context, current_context
from mlops.cli.output import Json, emit
from mlops.cli.places import prediction_place
from mlops.errors import Refused, UsageError
from mlops.reporting.terminal import table

if TYPE_CHECKING:
    from mlops.serving.replayed import Replayed


@app.command(rich_help_panel="Use")
def replay(
    prediction: Annotated[str, Argument(metavar="ID", help="Of a logged prediction.")],
    on: Annotated[str, Option(metavar="VERSION", help="v1.2.0, or a stage.")],
    name: Annotated[
        str | None,
        Option("--model", metavar="MODEL", help="Default: each one is looked through."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict a logged row with another version, and show what differs.

    Example: `mlops replay 0193a3f0-7c1e-7b2d-8a3c-5d1e2f90ab12 --on v1.2.0`
    """
    from mlops.registry.chain import fetch
    from mlops.registry.queries import sensitive_columns
    from mlops.serving.follower import TOLERANCE
    from mlops.serving.replayed import replay as replay_row

    at = current_context(fetch=True)
    project = at.project
    model, line = _logged(at, prediction, name)
    bundle = fetch(project, f"{model}@{on}", at.store)
    hidden = sensitive_columns(project, bundle.manifest)
    compiled = bundle.manifest.compiled
    tolerance = max(TOLERANCE, compiled.tolerance if compiled else 0)
    found = replay_row(line, bundle.model(), hidden, tolerance)
    version = bundle.version.number
    when = {key: line[key] for key in ("id", "at")}
    versions = {"logged_version": line["version"], "replayed_version": version}
    facts = {**when, "model": model, **versions, **asdict(found)}
    emit(facts, _text(line, model, version, found), as_json)


def _logged(at: Context, key: str, name: str | None) -> tuple[str, dict[str, Any]]:
    """Return the model of a logged prediction, and what was logged."""
    from mlops.serving.log_reader import find_logged
    from mlops.serving.log_rows import in_sample

    try:
        UUID(key)
    except ValueError as error:
        raise UsageError(
            "this is not the id of a prediction",
            found=key[:80],
            allowed="what /predict answers as `id`, such as "
            "0193a3f0-7c1e-7b2d-8a3c-5d1e2f90ab12",
        ) from error
    log_place = prediction_place(at.project)
    for model in [name] if name else at.project.models():
        line = find_logged(log_place, model, key)
        if line is not None:
            return model, line
    share = at.project.spec.predictions.share
    if not in_sample(key, share):
        raise Refused(
            "this prediction was not logged: the log is a sample",
            file="project.yaml",
            key="predictions.share",
            found=f"{share:.4g}",
        )
    raise Refused(
        "no log has this prediction",
        file=str(log_place),
        found=key,
        do="a service may not have delivered it yet (`mlops deliver`), or it is older "
        "than predictions.days; MLOPS_PREDICTIONS names the place of the log",
    )


def _text(line: dict[str, Any], model: str, version: str, found: Replayed) -> str:
    """Return a replay for people."""
    rows: list[list[Any]] = []
    for name, value in found.replayed.items():
        apart = found.difference.get(name)
        shown = None if apart is None else f"{apart:+.6g}"
        rows.append([name, found.logged.get(name), value, shown])
    heading = "The same prediction" if found.same else "Another prediction"
    columns = ("output", f"logged: {line['version']}", version, "difference")
    return f"{heading} of {model}, logged at {line['at']}\n{table(rows, columns)}"

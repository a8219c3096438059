"""The command `mlops verdict`, which decides whether a pull request is green."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from mlops.cli.actions_env import as_markdown
from mlops.cli.app import app
from mlops.cli.arguments import jobs_of_plan
from mlops.cli.output import Json, emit


@app.command(rich_help_panel="Workflows")
def verdict(
    models: Annotated[
        str,
        Option(help="Models of the plan, as JSON: a list, or jobs with their models."),
    ],
    reports: Annotated[
        Path, Option(help="Folder of the artifacts, one folder per artifact.")
    ],
    as_json: Json = False,
) -> None:
    """Require a verdict of promote for each planned model.

    It runs no code of the pull request and needs no repository.

    Example: `mlops verdict --models '["employment"]' --reports artifacts`
    """
    from mlops.github.verdicts import shortcomings

    lacking = shortcomings(jobs_of_plan(models), reports)
    text = "\n".join(f"{model}: {why}" for model, why in lacking.items())
    if not lacking:
        text = "Each planned model has a verdict that says promote."
    page = as_markdown("Verdict", *text.splitlines())
    emit({"refused": lacking}, text, as_json, page=page, yes=not lacking)

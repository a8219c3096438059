"""The command `mlops verdict`, which decides whether a pull request is green."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Option

from mlops.cli.actions_env import as_markdown
from mlops.cli.app import app
from mlops.cli.output import Json, emit
from mlops.errors import UsageError


@app.command(rich_help_panel="Workflows")
def verdict(
    models: Annotated[
        str, Option(help="The models of the plan, as a JSON list of names.")
    ],
    reports: Annotated[Path, Option(help="Folder of the artifacts, one folder each.")],
    as_json: Json = False,
) -> None:
    """Demand a verdict that says promote for each planned model.

    It runs nothing of what is judged, so it needs no repository.

    Example: `mlops verdict --models '["employment"]' --reports artifacts`
    """
    from mlops.github.verdicts import shortcomings

    lacking = shortcomings(_names(models), reports)
    text = "\n".join(f"{model}: {why}" for model, why in lacking.items())
    if not lacking:
        text = "Each planned model has a verdict that says promote."
    page = as_markdown("Verdict", *text.splitlines())
    emit({"refused": lacking}, text, as_json, page=page, yes=not lacking)


def _names(text: str) -> list[str]:
    """Return the names in a JSON list; UsageError where it is none."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list):
        raise UsageError(
            "not a list of models",
            key="--models",
            found=ascii(text)[:80],
            allowed='JSON, such as ["employment"]',
            do="look at the job `plan`: it did not say which models there are",
        )
    return names

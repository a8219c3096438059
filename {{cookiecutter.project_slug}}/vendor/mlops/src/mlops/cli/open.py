"""The command `mlops open`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from mlops.cli.actions_env import in_actions
from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit
from mlops.errors import UsageError

if TYPE_CHECKING:
    from mlops.config.project import Project


@app.command("open", rich_help_panel="Look")
def open_page(
    name: Annotated[
        str | None,
        Argument(
            metavar="[MODEL]",
            help="Its last report; without it what was written last, a report or the "
            "page of `mlops pages`.",
        ),
    ] = None,
    show: Annotated[
        bool, Option("--print", help="Print the path; start no browser.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Open the last report of a model, or the web page, in the browser.

    Example: `mlops open employment`
    """
    import webbrowser

    project = current_context().project
    page = report(project, name) if name else newest(project)
    opened = False
    if not (show or as_json or in_actions()):
        opened = webbrowser.open(page.as_uri())
    emit({"page": str(page), "opened": opened}, str(page), as_json)


def report(project: Project, name: str) -> Path:
    """Return the last report of a model.

    Raises
    ------
    UsageError
        When there is no such model, or it has no report yet.
    """
    project.folder(name)  # names the models that there are
    page = project.build(name) / "report.html"
    if not page.is_file():
        raise UsageError(
            f"{name} has no report yet", file=str(page), do=f"`mlops run {name}`"
        )
    return page


def newest(project: Project) -> Path:
    """Return what was written last: the web page of all models, or a report.

    Raises
    ------
    UsageError
        When there is neither.
    """
    site = project.root / "build" / "site" / "index.html"
    reports = [project.build(name) / "report.html" for name in project.models()]
    pages = [page for page in (site, *reports) if page.is_file()]
    if not pages:
        raise UsageError(
            "there is no page and no report yet", do="`mlops run`, or `mlops pages`"
        )
    return max(pages, key=lambda page: page.stat().st_mtime)

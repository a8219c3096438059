"""The command `mlops pages`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from mlops.cli.actions_env import as_markdown, in_actions, outputs
from mlops.cli.app import app
from mlops.cli.context import Context, current_context, is_private
from mlops.cli.output import Json, emit
from mlops.github.client import repository
from mlops.github.pages import publishing
from mlops.github.switches import SWITCHES
from mlops.io.files import write_folder


@app.command(rich_help_panel="Look")
def pages(
    out: Annotated[
        Path | None,
        Option(help="Folder; default: build/site. An existing site is replaced."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a web page of models, stages, versions and runs.

    Example: `mlops pages --out site`
    """
    from mlops.reporting.site import OURS, site
    from mlops.reporting.words import count

    at = current_context(fetch=True)
    run = at.settings.github
    address = f"{run.server}/{run.repository}" if run.repository else ""
    notes = _silent_schedules(at) if in_actions() else []
    made = site(at.project, at.store, at.now(), address, notes)
    folder = out or at.project.root / "build" / "site"
    write_folder(made.files, folder, OURS)
    title = made.summary.title
    lines = list(made.summary.lines)
    if in_actions():
        result = publishing(repository(), is_private(), at.settings.pages)
        lines += _UNPUBLISHED.get(result, [])
        outputs(pages=result)
    index = str(folder / "index.html")
    text = "\n".join([title, *lines, f"{index}, {count(len(made.files), 'page')}"])
    facts = {"title": title, "lines": lines, "index": index}
    emit(facts, text, as_json, page=as_markdown(title, *lines))


def _silent_schedules(at: Context) -> list[str]:
    """Return which schedules are silent: a run that never starts tells nobody."""
    from mlops.github.readiness import silent
    from mlops.github.repo_facts import read_schedules, read_workflow_files

    files = read_workflow_files(at.project.root)
    names = silent(read_schedules(repository(), files), at.now())
    if not names:
        return []
    switch = SWITCHES["schedules"]
    return [f"{switch.effect}: {'; '.join(names)}. {switch.remedy}"]


_PAGES = SWITCHES["Pages"].remedy

# Why pages.yml does not publish what it made.
_UNPUBLISHED = {
    "off": [
        f"Not published: GitHub Pages is not switched on ({_PAGES}), or this plan has "
        "none for a private repository. The page is the artifact `site`."
    ],
    "branch": [
        f"Not published: GitHub Pages is built from a branch ({_PAGES}). The page is "
        "the artifact `site`."
    ],
    "private": [
        "Not published: this repository is private, and below Enterprise anybody may "
        "read its page. The variable PAGES=on publishes it. The page is the artifact "
        "`site`."
    ],
}

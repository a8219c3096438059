"""The verbs that look at the whole: pages, doctor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import app
from mlops.cli.context import Json, emit, leave
from mlops.cli.releases import here


@app.command(rich_help_panel="Look")
def pages(
    out: Annotated[
        Path | None, typer.Option(help="Folder; default: build/site. An older site is replaced.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a web page of models, stages, versions and runs, with the reports behind it.

    Example: `mlops pages --out site`
    """
    from mlops.cli.context import as_markdown, release_store, summary
    from mlops.reporting.pages import site, write

    project, _, now = here()
    server, name = (os.environ.get(f"GITHUB_{key}", "") for key in ("SERVER_URL", "REPOSITORY"))
    address = f"{server or 'https://github.com'}/{name}" if name else ""
    made = site(project, release_store(project), now, address)
    folder = out or project.root / "build" / "site"
    write(made.files, folder)
    unpublished = _UNPUBLISHED.get(os.environ.get("PAGES", ""))
    lines = [*made.said.lines, *([unpublished] if unpublished else [])]
    summary(as_markdown(made.said.title, *lines))
    index = str(folder / "index.html")
    text = "\n".join([made.said.title, *lines, f"{index}, {len(made.files)} pages"])
    emit({"title": made.said.title, "lines": lines, "index": index}, text, as_json)


# Why pages.yml did not publish what it made, by what it says in PAGES.
_UNPUBLISHED = {
    "off": "Not published: GitHub Pages is not switched on (Settings, Pages, Source: GitHub "
    "Actions), or this plan has none for a private repository. The page is the artifact `site`.",
    "private": "Not published: this repository is private, and below Enterprise anybody may read "
    "its page. The variable PAGES=on publishes it. The page is the artifact `site`.",
}


@app.command(rich_help_panel="Look")
def doctor(as_json: Json = False) -> None:
    """Say what is missing on this machine or wrong here, and how to mend it.

    Example: `mlops doctor`
    """
    from mlops.cli.doctor import examine
    from mlops.project import Project
    from mlops.reporting.terminal import paint

    rows = examine(Project.find())
    lines = []
    for row in rows:
        mark = paint("ok  ", "good") if row["ok"] else paint("mend", "bad")
        lines.append(f"{mark}  {row['looks_at']}")
        lines += [f"      {line}" for line in str(row["found"]).splitlines()]
    emit(rows, "\n".join(lines), as_json)
    leave(all(bool(row["ok"]) for row in rows))

"""The verbs that look: registry list, show, history; pages, doctor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import app
from mlops.cli.context import Json, emit, leave
from mlops.cli.releases import Model, Ref, here
from mlops.reporting.words import EVENTS, when

registry = typer.Typer(no_args_is_help=True, help="Versions and stages.")
app.add_typer(registry, name="registry", rich_help_panel="Look")


@registry.command("list")
def registry_list(
    name: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None, as_json: Json = False
) -> None:
    """List versions, newest first, with the stages they are in.

    Example: `mlops registry list employment`
    """
    from mlops.registry.api import versions
    from mlops.reporting.terminal import listing

    project, _, _ = here()
    rows = [
        {
            "version": version.ref,
            "stages": ", ".join(version.stages),
            "registered": when(version.event.time),
            "by": version.event.actor,
            "reason": version.event.trailers.get("Reason"),
        }
        for version in versions(project, name)
    ]
    columns = tuple(rows[0]) if rows else ()
    emit(rows, listing(rows, columns, "Nothing is registered yet: `mlops register MODEL`"), as_json)


@registry.command()
def show(ref: Ref, as_json: Json = False) -> None:
    """Show one version: metrics, data, code, verdict, assets.

    Example: `mlops registry show employment@production`
    """
    from mlops.registry.api import show as do
    from mlops.reporting.terminal import pairs

    project, _, _ = here()
    version, manifest = do(project, ref)
    facts = {
        "version": version.ref,
        "stages": ", ".join(version.stages),
        "registered": f"{when(version.event.time)} UTC by {version.event.actor}",
        "previous": manifest.previous,
        "change": manifest.change,
        "verdict": f"{manifest.verdict.decision}: {' '.join(manifest.verdict.reasons)}",
        **{m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in manifest.metrics},
        "data": f"{manifest.data.digest[:12]}, {manifest.data.rows:,} rows",
        "period": " to ".join(manifest.data.period or ()),
        "code": manifest.code.commit[:12],
        "params": ", ".join(f"{k}={v}" for k, v in manifest.params.items()),
        "run": manifest.run,
        "assets": ", ".join(manifest.assets),
    }
    emit(manifest.model_dump(mode="json"), pairs(facts), as_json)


@registry.command()
def history(name: Model, as_json: Json = False) -> None:
    """Show who did what, when and why.

    Example: `mlops registry history employment`
    """
    from mlops.registry.api import history as events
    from mlops.reporting.terminal import listing

    project, _, _ = here()
    rows = [
        {
            "at": when(event.time),
            "event": EVENTS[event.kind].format(version=event.version, stage=event.stage),
            "actor": event.actor,
            "approver": event.trailers.get("Approver"),
            "reason": event.trailers.get("Reason"),
            "tag": event.tag,
        }
        for event in events(project, name)
    ]
    emit(rows, listing(rows, tuple(rows[0]) if rows else (), "Nothing has happened."), as_json)


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

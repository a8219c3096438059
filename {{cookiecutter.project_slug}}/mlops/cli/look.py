"""The verbs that look: registry list, show, history, and prune; pages, doctor."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import app
from mlops.cli.context import Json, catch_up, emit, leave, progress
from mlops.cli.releases import Actor, Model, Ref, here
from mlops.reporting.words import EVENTS, span, when

registry = typer.Typer(
    no_args_is_help=True, help="Versions: list, show, history, best, diff, lineage, prune."
)
app.add_typer(registry, name="registry", rich_help_panel="Look")


def look() -> Any:
    """Return the project with origin's tags."""
    project, _, _ = here()
    catch_up(project)
    return project


def figure(value: Any) -> str:
    """Return a value for people: figures with four decimals, digests by their first letters."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{40,64}", text) else text


@registry.command("list")
def registry_list(
    name: Annotated[str | None, typer.Argument(metavar="MODEL")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also withdrawn versions and retired models.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List versions, newest first, with the stages they are in.

    Example: `mlops registry list employment`
    """
    from mlops.registry.api import versions
    from mlops.registry.tags import read
    from mlops.reporting.terminal import listing

    state = read(look().root)
    rows = []
    for version in versions(state, name, everything):
        said = version.event.trailers
        rows.append(
            {
                "version": version.ref,
                "stages": ", ".join(version.stages) if version.active else "withdrawn",
                "registered": when(version.event.time),
                "by": said.get("Actor") or version.event.tagger,
                "reason": said.get("Reason"),
            }
        )
    columns = tuple(rows[0]) if rows else ()
    none = "Nothing is registered yet: `mlops register MODEL`"
    none = "`--all` shows what is withdrawn or retired." if state.models else none
    emit(rows, listing(rows, columns, none), as_json)
    retired = [model.name for model in state.models.values() if model.deprecated]
    for note in (
        f"retired: {', '.join(retired)}" if retired else "",
        f"{len(state.warnings)} odd tags, see `mlops doctor`" if state.warnings else "",
    ):
        if note:
            progress()(f"note: {note}")


@registry.command()
def show(ref: Ref, as_json: Json = False) -> None:
    """Show one version: metrics, data, code, verdict, assets.

    Example: `mlops registry show employment@production`
    """
    from mlops.registry.api import public
    from mlops.registry.api import show as do
    from mlops.reporting.terminal import pairs

    project = look()
    version, manifest = do(project, ref)
    facts = {
        "version": version.ref,
        "stages": ", ".join(version.stages) if version.active else "withdrawn",
        "registered": f"{when(version.event.time)} UTC by {version.event.actor}",
        "owner": manifest.owner,
        "risk": manifest.risk,
        "previous": manifest.previous,
        "change": manifest.change,
        "verdict": f"{manifest.verdict.decision}: {' '.join(manifest.verdict.reasons)}",
        **{m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in manifest.metrics},
        "data": f"{manifest.data.digest[:12]}, {manifest.data.rows:,} rows",
        "source": manifest.source,
        "period": manifest.data.period and span(manifest.data.period),
        "code": manifest.code.commit[:12],
        "params": ", ".join(f"{k}={v}" for k, v in manifest.params.items()),
        "cost": f"{manifest.train_seconds:.1f} s, {manifest.train_cost:.4f} {manifest.currency}",
        "run": manifest.run,
        "assets": ", ".join(manifest.assets),
    }
    emit(public(project, manifest), pairs(facts), as_json)


@registry.command()
def history(name: Model, as_json: Json = False) -> None:
    """Show who did what, when, why and in which run.

    Example: `mlops registry history employment`
    """
    from mlops.registry.api import history as events
    from mlops.reporting.terminal import listing

    rows = []
    for event in events(look(), name):
        said = event.trailers
        rows.append(
            {
                "at": when(event.time),
                "event": EVENTS[event.decision].format(version=event.version, stage=event.stage),
                "actor": event.actor,
                "approver": said.get("Approver"),
                "reason": said.get("Reason"),
                "run": said.get("Run"),
                "tag": event.tag,
            }
        )
    columns = tuple(rows[0])[:-1] if rows else ()
    emit(rows, listing(rows, columns, "Nothing has happened."), as_json)


@registry.command()
def prune(
    name: Annotated[str | None, typer.Argument(metavar="MODEL", help="None: every model.")] = None,
    keep: Annotated[int, typer.Option(help="So many of the newest versions stay.", min=0)] = 10,
    days: Annotated[
        int, typer.Option(help="What was in the last stage within these days stays.", min=0)
    ] = 90,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, it is a proposal.")] = False,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Say which versions may go; with --yes let them go.

    Then a tag withdraws them and their files are removed. What is in a stage, or would come back
    into one by a rollback, always stays.

    Example: `mlops registry prune employment --keep 10 --days 90`
    """
    from mlops.cli.context import Context, release_store
    from mlops.registry import retention
    from mlops.registry.stages import Act
    from mlops.registry.tags import known, read

    project, who, now = here(actor)
    if not yes:
        look()
    state, store, since = read(project.root), release_store(project), now - timedelta(days=days)
    run, last = Context.here(project.root).run_url, project.spec.stages[-1].name
    act = Act(who, f"keep {keep}, and what was in {last} within {days} days", now, run=run)
    gone = []
    for model in [known(state, name)] if name else state.models.values():
        if yes:
            done = retention.prune(project, model.name, keep, since, act, store)
        else:
            there = store.list(model.name)
            done = iter(retention.candidates(model, last, keep, since, there))
        gone += [version.ref for version in done]
    said = f"{len(gone)} versions {'are gone' if yes else 'may go: add --yes'}"
    text = "\n".join([*gone, said]) if gone else "Nothing has to go."
    emit({"versions": gone, "done": yes}, text, as_json)


@app.command(rich_help_panel="Look")
def pages(
    out: Annotated[
        Path | None, typer.Option(help="Folder; default: build/site. An older site is replaced.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a web page of models, stages, versions and runs.

    Example: `mlops pages --out site`
    """
    from mlops.cli.context import as_markdown, release_store, summary
    from mlops.files import write_folder
    from mlops.github.client import server
    from mlops.reporting.pages import OURS, site

    project, _, now = here()
    catch_up(project)
    name = os.environ.get("GITHUB_REPOSITORY")
    address = f"{server()}/{name}" if name else ""
    made = site(project, release_store(project), now, address)
    folder = out or project.root / "build" / "site"
    write_folder(made.files, folder, OURS)
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
    """Say what is missing or wrong here, and how to mend it.

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

"""The command `mlops monitor`."""

from __future__ import annotations

from typing import Annotated

from typer import Exit, Option

from mlops.cli.actions_env import as_markdown, in_actions
from mlops.cli.app import app
from mlops.cli.arguments import MaybeFollowed, Models
from mlops.cli.context import current_context
from mlops.cli.each import each_live, flags, require_one
from mlops.cli.output import Json, ago, emit, hint, progress


@app.command(rich_help_panel="Use")
def monitor(
    ref: MaybeFollowed = None,
    since: Annotated[str, Option(help="How far back: 12h, 30d, 2w.")] = "7d",
    exit_zero: Annotated[
        bool, Option("--exit-zero", help="Exit with 0 even on an alarm.")
    ] = False,
    go_on: Annotated[bool, Option("--go-on", hidden=True)] = False,
    models: Models = None,
    as_json: Json = False,
) -> None:
    """Look for drift in recent predictions; 1 is an alarm.

    Example: `mlops monitor employment@production --since 7d`
    """
    require_one(ref, models, "MODEL@STAGE")
    if ref is not None:
        _monitor(ref, since, exit_zero or go_on, as_json)
        return
    words = ["--since", since, *flags({"--exit-zero": exit_zero, "--json": as_json})]
    each_live("monitor", models or "", words)


def _monitor(ref: str, since: str, exit_zero: bool, as_json: bool) -> None:
    """Look for drift in the recent predictions of one model."""
    from mlops.monitoring.monitor import monitor as check
    from mlops.monitoring.window import CheckSources, Period
    from mlops.reporting.wording import check_summary
    from mlops.runlog.journal import append_check

    at = current_context()
    say = progress()
    now = at.now()
    period = Period(ago(since, now), now)
    name, _, stage = ref.partition("@")
    say("reading the window, comparing, drawing the page …")
    at.catch_up()
    sources = CheckSources(at.store, at.predictions)
    done = check(at.project, name, stage or "production", period, sources=sources)
    facts = done.model_dump(mode="json")
    if not in_actions():  # there `mlops alarm` does it, in a job that may push
        for warning in append_check(at.project, facts, at.actor):
            say(warning)
    summary = check_summary(done)
    lines = [*summary.lines, *done.text().splitlines()]
    emit(facts, done.text(), as_json, page=as_markdown(summary.title, *lines))
    if done.alarm:
        page = at.project.build(name) / "monitor.html"
        hint(f"look at {page}, then train on fresh data: mlops run {name}")
        raise Exit(0 if exit_zero else 1)

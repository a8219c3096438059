"""The commands of `mlops monitor`: check, accept, history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Exit, Option, Typer
from typer.core import TyperGroup

from mlops.cli.actions_env import as_markdown, in_actions
from mlops.cli.app import app
from mlops.cli.arguments import Actor, Approver, MaybeFollowed, Model, Models
from mlops.cli.context import current_context, require_pushed
from mlops.cli.decisions import decided_by
from mlops.cli.each import each_live, flags, require_one
from mlops.cli.extras import LIGHT
from mlops.cli.output import Json, ago, emit, hint, progress
from mlops.cli.selection import Owner, Stale, only_stale, select
from mlops.io.files import write_text
from mlops.io.user_code import kept_from

if TYPE_CHECKING:
    from mlops.cli.context import Context
    from mlops.io.places import Place
    from mlops.results.monitoring import Acceptance


class Monitoring(TyperGroup):
    """`mlops monitor MODEL@STAGE` is `mlops monitor check MODEL@STAGE`."""

    default = "check"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the default command before what is no name of one."""
        if args and args[0] not in {*self.commands, "--help", "-h"}:
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; all but the check are kept from the code of a model."""
        found = super().resolve_command(ctx, args)
        if ("monitor", found[0]) in LIGHT:
            ctx.with_resource(kept_from(f"monitor {found[0]}"))
        return found


commands = Typer(
    cls=Monitoring,
    no_args_is_help=True,
    help="""Watch predictions: `mlops monitor MODEL@STAGE` checks them.

Example: `mlops monitor employment@production --since 7d`
""",
)

app.add_typer(commands, name="monitor", rich_help_panel="Use")


@commands.command()
def check(
    ref: MaybeFollowed = None,
    since: Annotated[str, Option(help="How far back: 12h, 30d, 2w.")] = "7d",
    exit_zero: Annotated[
        bool, Option("--exit-zero", help="Exit with 0 even on an alarm.")
    ] = False,
    go_on: Annotated[bool, Option("--go-on", hidden=True)] = False,
    fetched: Annotated[
        str,
        Option(help="Folder that `mlops data log` wrote, instead of the log's place."),
    ] = "",
    models: Models = None,
    owner: Owner = None,
    stale: Stale = None,
    as_json: Json = False,
) -> None:
    """Look for drift in recent predictions; 1 is an alarm. `check` may be left out.

    Example: `mlops monitor check employment@production --since 7d`
    """
    if (owner or stale) and ref is None and models is None:
        live = _live_models(owner, stale)
        if stale and not live:
            emit({}, "No model is stale.", as_json)
            return
        models = json.dumps(live)
    require_one(ref, models, "MODEL@STAGE, --owner, --stale")
    if ref is not None:
        _check(ref, since, exit_zero or go_on, as_json, fetched)
        return
    words = ["--since", since, "--fetched", fetched]
    words += flags({"--exit-zero": exit_zero, "--json": as_json})
    each_live("monitor", models or "", words)


def _live_models(owner: str | None, stale: str | None) -> list[str]:
    """Return the models that are meant, of those in the last stage."""
    from mlops.registry.tags import read_registry

    at = current_context(fetch=True)
    project = at.project
    state = read_registry(project.root)
    last = project.spec.stages[-1].name
    chosen = select(project, owner=owner)
    if stale:
        chosen = only_stale(project, chosen, stale, at.now())
    return [name for name in chosen if last in state.model(name).stages]


def _check(ref: str, since: str, exit_zero: bool, as_json: bool, fetched: str) -> None:
    """Look for drift in the recent predictions of one model."""
    from mlops.cli.pipeline import fetching
    from mlops.cli.places import prediction_place
    from mlops.data.handed_on import require_copied
    from mlops.io.places import FolderPlace
    from mlops.monitoring.monitor import PAGE, monitor
    from mlops.monitoring.window import CheckSources, Period
    from mlops.pipeline.sources import bring_labels
    from mlops.reporting.wording import check_summary
    from mlops.runlog.journal import append_check

    at = current_context()
    say = progress()
    now = at.now()
    period = Period(ago(since, now), now)
    name, _, stage = ref.partition("@")
    say("reading the window, comparing, drawing the page …")
    at.catch_up()
    if fetched:
        command = f"mlops data log {name} --out {fetched}"
        require_copied(at.settings.folder / fetched, name, command)
        log_place: Place = FolderPlace(at.settings.folder / fetched)
    else:
        log_place = prediction_place(at.project)
        bring_labels(at.project, name, fetching(at))
    sources = CheckSources(at.store, log_place)
    done = monitor(at.project, name, stage or "production", period, sources=sources)
    facts = done.model_dump(mode="json")
    if not in_actions():  # there `mlops alarm` does it, in a job that may push
        for warning in append_check(at.project, facts, at.actor):
            say(warning)
    summary = check_summary(done)
    lines = [*summary.lines, *done.text().splitlines()]
    emit(facts, done.text(), as_json, page=as_markdown(summary.title, *lines))
    if done.alarm:
        page = at.project.build(name) / PAGE
        hint(f"look at {page}, then train on fresh data: mlops run {name}")
        raise Exit(0 if exit_zero else 1)


@commands.command()
def accept(
    name: Model,
    reason: Annotated[
        str, Option("--reason", "-m", help="Why; stored on the run log.")
    ],
    stage: Annotated[
        str | None, Option(help="Whose version; default: the last stage.")
    ] = None,
    approver: Approver = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Take the rows of the last check as the new reference.

    Later checks compare with them, and the alarm of drift ends. Who may promote to the
    stage may accept.

    Example: `mlops monitor accept employment --reason "new region since May"`
    """
    from mlops.registry.acceptance import accept as do

    at = current_context()
    at.catch_up()
    chosen = stage or at.project.spec.stages[-1].name
    _, by = decided_by(name, actor, reason, approver, chosen)
    done = do(at.project, name, chosen, **by)
    _settled(at, done, as_json)


def _settled(at: Context, done: Acceptance, as_json: bool) -> None:
    """Put an acceptance on the run log, and say what follows."""
    from mlops.runlog.journal import append_acceptance

    require_pushed(append_acceptance(at.project, done))
    text = (
        f"{done.model}@{done.version}: the {done.rows:,} rows of {done.since[:10]} to "
        f"{done.until[:10]} are the reference now; the next check closes the issue"
    )
    facts = done.model_dump(mode="json")
    emit(facts, text, as_json, page=text)
    hint(f"mlops monitor {done.model}@{done.stage}")


@commands.command()
def history(
    name: Model,
    since: Annotated[str, Option(help="How far back: 30d, 52w.")] = "52w",
    html: Annotated[
        Path | None,
        Option(help="Write a page with charts to this file.", dir_okay=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the checks of a model: alarms, versions, accepted references.

    Example: `mlops monitor history employment --html history.html`
    """
    from mlops.reporting.check_history import (
        history_page,
        history_rows,
        history_text,
    )
    from mlops.reporting.past_checks import history_of
    from mlops.runlog import query

    at = current_context()
    at.catch_up()
    at.project.folder(name)
    start = ago(since, at.now())
    past = history_of(query.checks(at.project, name, since=start))
    accepted = query.acceptances(at.project, name, since=start)
    text = history_text(name, past, accepted)
    if html:
        write_text(html, history_page(name, past, accepted))
        text += f"\n\n{html}"
    emit(history_rows(past, accepted), text, as_json)

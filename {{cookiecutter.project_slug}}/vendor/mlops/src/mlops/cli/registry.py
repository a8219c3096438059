"""Commands that read the registry: list, show, history, best, diff, lineage."""

from __future__ import annotations

import re
from typing import Annotated, Any

from typer import Argument, Exit, Option, Typer

from mlops.cli.app import app
from mlops.cli.arguments import Model, Ref
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit, progress
from mlops.errors import Refused, UsageError
from mlops.registry.tags import Version, read
from mlops.reporting.terminal import pairs, table
from mlops.reporting.words import EVENTS, span, when

_PREDICTION = re.compile(
    r"0[0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
)

registry = Typer(
    no_args_is_help=True,
    help="Versions: list, show, history, best, diff, lineage, prune.",
)

app.add_typer(registry, name="registry", rich_help_panel="Look")


def _stages(version: Version) -> str:
    return ", ".join(version.stages) if version.active else "withdrawn"


def _figure(value: Any) -> str:
    """Return a value for people: figures with four decimals, digests by their first letters."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = (
        f"{value:.4f}"
        if isinstance(value, float)
        else ""
        if value is None
        else str(value)
    )
    return text[:12] if re.fullmatch("[0-9a-f]{40,64}", text) else text


@registry.command("list")
def registry_list(
    name: Annotated[str | None, Argument(metavar="MODEL")] = None,
    everything: Annotated[
        bool, Option("--all", help="Also withdrawn versions and retired models.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List versions, newest first, with the stages they are in.

    Example: `mlops registry list employment`
    """
    from mlops.registry.queries import versions

    state = read(current_context(fetch=True).project.root)
    rows = [
        {
            "version": version.ref,
            "stages": _stages(version),
            "registered": when(version.event.time),
            "by": version.event.trailers.get("Actor") or version.event.tagger,
            "reason": version.event.trailers.get("Reason"),
        }
        for version in versions(state, name, everything)
    ]
    none = "`--all` shows what is withdrawn or retired."
    if not state.models:
        none = "Nothing is registered yet: `mlops register MODEL`"
    emit(rows, table(rows, list(rows[0])) if rows else none, as_json)
    if retired := [model.name for model in state.models.values() if model.deprecated]:
        progress()(f"note: retired: {', '.join(retired)}")
    if state.warnings:
        progress()(f"note: {len(state.warnings)} odd tags, see `mlops doctor`")


@registry.command()
def show(ref: Ref, as_json: Json = False) -> None:
    """Show one version: metrics, data, code, verdict, assets.

    Example: `mlops registry show employment@production`
    """
    from mlops.registry.queries import public
    from mlops.registry.queries import show as do

    project = current_context(fetch=True).project
    version, manifest = do(project, ref)
    facts = {
        "version": version.ref,
        "stages": _stages(version),
        "registered": f"{when(version.event.time)} UTC by {version.event.actor}",
        "owner": manifest.owner,
        "risk": manifest.risk,
        "previous": manifest.previous,
        "change": manifest.change,
        "verdict": f"{manifest.verdict.decision}: {' '.join(manifest.verdict.reasons)}",
        **{
            m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})"
            for m in manifest.metrics
        },
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
    from mlops.registry.queries import history as events

    rows = [
        {
            "at": when(event.time),
            "event": EVENTS[event.decision].format(
                version=event.version, stage=event.stage
            ),
            "actor": event.actor,
            "approver": event.trailers.get("Approver"),
            "reason": event.trailers.get("Reason"),
            "run": event.trailers.get("Run"),
            "tag": event.tag,
        }
        for event in events(current_context(fetch=True).project, name)
    ]
    text = table(rows, list(rows[0])[:-1]) if rows else "Nothing has happened."
    emit(rows, text, as_json)


@registry.command()
def best(
    name: Model,
    metric: Annotated[
        str | None, Option(help="Default: the model's primary one.")
    ] = None,
    where: Annotated[
        str | None, Option(help="Conditions: 'risk=minimal and metrics.accuracy>0.8'.")
    ] = None,
    stage: Annotated[
        str | None, Option(help="Only what is or was in this stage.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Name the best version, and the next; 1 where none fits.

    Example: `mlops registry best employment --metric roc_auc --where 'risk=limited'`
    """
    from mlops.registry.queries import best as do

    project = current_context(fetch=True).project
    ranked, notes = do(
        project, name, metric, where, stage and project.stage(stage).name
    )
    rows = [
        {
            "version": version.ref,
            "metric": m.name,
            "value": m.value,
            "low": m.low,
            "high": m.high,
            "stages": ", ".join(version.stages),
            "data": digest,
        }
        for version, m, digest in ranked
    ]
    shown = [{key: _figure(value) for key, value in row.items()} for row in rows[:10]]
    text = table(shown, list(rows[0])) if rows else "No version meets the conditions."
    emit(rows, text, as_json)
    if len({row["data"] for row in rows}) > 1:
        notes.append(
            "these figures are of different data; the gate compares on the same rows"
        )
    for note in notes:
        progress()(f"note: {note}")
    if not rows:
        raise Exit(1)


@registry.command()
def diff(
    before: Annotated[str, Argument(metavar="VERSION")],
    after: Annotated[
        str, Argument(metavar="VERSION", help="The model may be left out.")
    ],
    as_json: Json = False,
) -> None:
    """Show in what two versions differ, from data to slices.

    Example: `mlops registry diff employment@v1.1.0 employment@v1.2.0`
    """
    from mlops.registry.queries import diff as do

    before, after = (ref.replace("#", "@") for ref in (before, after))
    after = after if "@" in after else f"{before.split('@')[0]}@{after}"
    old, new, rows = do(current_context(fetch=True).project, before, after)
    shown = []
    for row in rows:
        change = None if row["change"] is None else f"{row['change']:+.4f}"
        shown.append(
            [row["what"], _figure(row["before"]), _figure(row["after"]), change]
        )
    text = table(shown, ("what", old.ref, new.ref, "change"))
    emit(rows, text if rows else f"{old.ref} and {new.ref} do not differ.", as_json)


@registry.command()
def lineage(
    what: Annotated[
        str,
        Argument(metavar="VERSION|DIGEST|ID", help="Also of data, or of a prediction."),
    ],
    as_json: Json = False,
) -> None:
    """Show what is behind a version or a prediction, or used data.

    Example: `mlops registry lineage employment@production`
    """
    from mlops.registry import queries
    from mlops.serving.prediction_log import find

    project = current_context(fetch=True).project
    if re.fullmatch("[0-9a-f]{6,64}", what):
        rows = queries.users(project, what)
        none = "Nothing that is recorded used such data."
        text = table(rows, ("used_by", "data", "rows")) if rows else none
        emit(rows, text, as_json, yes=bool(rows))
        return
    asked, ref = {}, what
    if _PREDICTION.fullmatch(what):
        if not (said := find(project.state, what)):
            raise Refused(
                "this prediction is not in the log", file=str(project.state), found=what
            )
        asked = {"prediction": what, "answered": said["at"]}
        ref = f"{said['model']}@{said['version']}"
    elif "@" not in what and "#" not in what:
        allowed = "MODEL@VERSION, six letters of a data digest or more, or the id of a prediction"
        raise UsageError(
            "not something that has a lineage", found=what, allowed=allowed
        )
    told = {**asked, **queries.lineage(project, ref)}
    emit(told, pairs({key: _figure(value) for key, value in told.items()}), as_json)

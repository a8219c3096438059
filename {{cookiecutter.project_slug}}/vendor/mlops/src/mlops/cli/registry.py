"""Commands about the registry: list, show, history, best, diff, lineage, adopt."""

from __future__ import annotations

import re
from typing import Annotated, Any

from typer import Argument, Exit, Option, Typer

from mlops.cli.app import app
from mlops.cli.arguments import Model, Ref, Where, WithWhere
from mlops.cli.context import current_context
from mlops.cli.output import Json, ago, emit, progress
from mlops.cli.selection import Owner, Stale, is_wild, select, stale_models
from mlops.errors import Refused, UsageError, counted
from mlops.registry.tags import Event, Version, read_registry
from mlops.reporting.terminal import pairs, table
from mlops.reporting.words import EVENTS, marked, span, when

_PREDICTION = re.compile(
    r"0[0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
)

registry = Typer(
    no_args_is_help=True,
    help="Versions: list, show, history, best, diff, lineage, adopt, prune.",
)

app.add_typer(registry, name="registry", rich_help_panel="Look")


def _stages(version: Version) -> str:
    """Return the stages that a version is in, or that it was withdrawn."""
    return ", ".join(version.stages) if version.active else "withdrawn"


def _figure(value: Any) -> str:
    """Return a value for people: four decimals, the first letters of a digest."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4f}"
    text = str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{40,64}", text) else text


@registry.command("list")
def registry_list(
    name: Annotated[
        str | None, Argument(metavar="MODEL", help="Or a pattern, as 'price_*'.")
    ] = None,
    everything: Annotated[
        bool, Option("--all", help="Include withdrawn versions and retired models.")
    ] = False,
    owner: Owner = None,
    stale: Stale = None,
    as_json: Json = False,
) -> None:
    """List versions, newest first, with the stages they are in.

    Example: `mlops registry list employment`
    """
    from mlops.registry.approvals import unexplained
    from mlops.registry.queries import versions

    at = current_context(fetch=True)
    project = at.project
    root = project.root
    state = read_registry(root)
    is_pattern = bool(name and is_wild(name))
    found = versions(state, None if is_pattern else name, everything)
    if owner or stale or is_pattern:
        mine = select(project, [name] if name else None, owner)
        if stale:
            mine = stale_models(mine, state, ago(stale, at.now(), "--stale"))
        found = [version for version in found if version.model in mine]
    rows = [
        {
            "version": version.ref,
            "stages": _stages(version),
            "registered": when(version.event.time),
            "by": version.event.actor,
            "reason": version.event.trailers.get("Reason"),
        }
        for version in found
    ]
    empty = "Nothing to show; `--all` includes what is withdrawn or retired."
    if not state.models:
        empty = "Nothing is registered yet: `mlops register MODEL`"
    emit(rows, table(rows, list(rows[0])) if rows else empty, as_json)
    say = progress()
    retired = [model.name for model in state.models.values() if model.deprecated]
    if retired:
        say(f"note: retired: {', '.join(retired)}")
    for line in state.unresolved:
        say(f"note: {line}")
    for line in unexplained(root, *state.models.values()).values():
        say(f"note: {line}")
    if state.warnings:
        unrecognised = counted(len(state.warnings), "unrecognised tag")
        say(f"note: {unrecognised}, see `mlops doctor`")


@registry.command()
def show(ref: Ref, as_json: Json = False) -> None:
    """Show one version: metrics, data, code, verdict, assets.

    Example: `mlops registry show employment@production`
    """
    from mlops.registry.queries import public
    from mlops.registry.queries import show as do
    from mlops.reporting.wording import reasons

    project = current_context(fetch=True).project
    version, manifest = do(project, ref)
    verdict = manifest.verdict
    metrics = {
        m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in manifest.metrics
    }
    cost = f"{manifest.train_cost:.4f} {manifest.currency}"
    facts = {
        "version": version.ref,
        "stages": _stages(version),
        "registered": f"{when(version.event.time)} UTC by {version.event.actor}",
        "owner": manifest.owner,
        "risk": manifest.risk,
        "previous": manifest.previous,
        "change": manifest.change,
        "verdict": f"{verdict.decision}: {' '.join(reasons(verdict))}",
        **metrics,
        "data": f"{manifest.data.digest[:12]}, {manifest.data.rows:,} rows",
        "source": manifest.source,
        "period": manifest.data.period and span(manifest.data.period),
        "code": manifest.code.commit[:12],
        "params": ", ".join(f"{k}={v}" for k, v in manifest.params.items()),
        "cost": f"{manifest.train_seconds:.1f} s, {cost}",
        "run": manifest.run,
        "assets": ", ".join(manifest.assets),
    }
    emit(public(project, manifest), pairs(facts), as_json)


@registry.command()
def history(name: Model, as_json: Json = False) -> None:
    """Show who decided what, when, why and in which run.

    Example: `mlops registry history employment`
    """
    from mlops.registry.approvals import unapproved, unexplained
    from mlops.registry.queries import history as events

    project = current_context(fetch=True).project
    happened = events(project, name)
    model = read_registry(project.root).model(name)
    missing = unapproved(project.root, model, happened)
    missing |= unexplained(project.root, model)
    rows = [
        {
            "at": when(event.time),
            "event": _event(event, missing.get(event.tag, "")),
            "actor": event.actor,
            "approver": event.trailers.get("Approver"),
            "reason": event.trailers.get("Reason"),
            "run": event.trailers.get("Run"),
            "tag": event.tag,
        }
        for event in happened
    ]
    text = table(rows, list(rows[0])[:-1]) if rows else "Nothing has been decided yet."
    emit(rows, text, as_json)
    for line in missing.values():
        progress()(f"note: {line}")


def _event(event: Event, problem: str) -> str:
    """Return what happened, and what was odd about it."""
    text = EVENTS[event.decision].format(version=event.version, stage=event.stage)
    verdict = event.trailers.get("Verdict")
    if verdict:
        text = f"{text} (decided against the verdict {verdict})"
    return marked(text, problem)


@registry.command(cls=WithWhere)
def best(
    name: Model,
    metric: Annotated[
        str | None, Option(help="Default: the model's primary metric.")
    ] = None,
    where: Where = None,
    stage: Annotated[
        str | None, Option(help="Only versions that are or were in this stage.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the best version and the runners-up; 1 if there is none.

    Example: `mlops registry best employment --metric roc_auc --where risk eq limited`
    """
    from mlops.registry.queries import best as do

    project = current_context(fetch=True).project
    stage_name = project.stage(stage).name if stage else None
    ranked, notes = do(project, name, metric, where or (), stage_name)
    rows = [
        {
            "version": version.ref,
            "metric": figure.name,
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "stages": ", ".join(version.stages),
            "data": digest,
        }
        for version, figure, digest in ranked
    ]
    shown = [{key: _figure(value) for key, value in row.items()} for row in rows[:10]]
    text = table(shown, list(rows[0])) if rows else "No version meets the conditions."
    emit(rows, text, as_json)
    if len({row["data"] for row in rows}) > 1:
        notes.append(
            "these metrics are from different data; the gate compares on the same rows"
        )
    for note in notes:
        progress()(f"note: {note}")
    if not rows:
        raise Exit(1)


@registry.command()
def diff(
    before: Annotated[str, Argument(metavar="VERSION")],
    after: Annotated[
        str, Argument(metavar="VERSION", help="The model can be left out.")
    ],
    as_json: Json = False,
) -> None:
    """Show how two versions differ, from data to slices.

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
        Argument(
            metavar="VERSION|DIGEST|ID",
            help="A version, or the digest of data, or a prediction id.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show where a version or prediction comes from.

    Given the digest of data, show which versions were trained on it.

    Example: `mlops registry lineage employment@production`
    """
    from mlops.registry import queries
    from mlops.serving.prediction_log import find_prediction

    project = current_context(fetch=True).project
    if re.fullmatch("[0-9a-f]{6,64}", what):
        rows = queries.users(project, what)
        empty = "No recorded version used this data."
        text = table(rows, ("used_by", "data", "rows")) if rows else empty
        emit(rows, text, as_json, yes=bool(rows))
        return
    facts = {}
    ref = what
    if _PREDICTION.fullmatch(what):
        logged = find_prediction(project.state, what)
        if not logged:
            raise Refused(
                "this prediction is not in the log", file=str(project.state), found=what
            )
        facts = {"prediction": what, "answered": logged["at"]}
        ref = f"{logged['model']}@{logged['version']}"
    elif "@" not in what and "#" not in what:
        raise UsageError(
            "not something that has a lineage",
            found=what,
            allowed="MODEL@VERSION, six letters of a data digest or more, "
            "or the id of a prediction",
        )
    facts |= queries.lineage(project, ref)
    text = pairs({key: _figure(value) for key, value in facts.items()})
    emit(facts, text, as_json)


@registry.command()
def adopt(
    drop: Annotated[
        bool, Option("--drop", help="Delete them here instead and take origin's.")
    ] = False,
    yes: Annotated[
        bool, Option("--yes", help="Do it; without it, they are only listed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Push versions that exist only here to origin, or drop them.

    They were registered before there was an origin. If origin has versions of its own
    with the same numbers, they can only be dropped.

    Example: `mlops registry adopt --yes`
    """
    from mlops.registry import local_tags

    at = current_context()
    root = at.project.root
    tags = local_tags.local_only(root)
    names = [*tags.missing, *tags.conflicting]
    done = yes and bool(names)
    if done and drop:
        names = local_tags.drop(root)
        text = "dropped here"
    elif done:
        names = local_tags.adopt(at.project, at.store)
        text = "pushed to origin"
    else:
        text = "only here: --yes pushes to origin, --drop --yes deletes"
        if tags.conflicting:
            text = "different from origin's: --drop --yes deletes what is here"
    lines = [*names, f"{counted(len(names), 'tag')} {text}"]
    shown = "\n".join(lines) if names else "Every tag of the registry is at origin."
    emit({"tags": names, "done": done}, shown, as_json)

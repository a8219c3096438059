"""The command `mlops canary report`: what a trial has shown so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Option, Typer

from mlops.cli.actions_env import as_markdown
from mlops.cli.app import app
from mlops.cli.arguments import Model
from mlops.cli.context import Context, current_context
from mlops.cli.output import Json, ago, emit
from mlops.cli.places import prediction_place
from mlops.errors import Refused, UsageError

if TYPE_CHECKING:
    from mlops.results.trial import TrialPart, TrialReport

commands = Typer(
    no_args_is_help=True,
    help="""Compare a candidate with the version that serves.

Example: `mlops canary report employment --since 7d`
""",
)

app.add_typer(commands, name="canary", rich_help_panel="Use")

# What a finding means for whoever decides.
_FINDINGS = {
    "identical": "The predictions are identical",
    "better": "The candidate is better",
    "not worse": "The candidate is not worse by more than the margin",
    "worse": "The candidate is worse",
    "undecided": "No significant difference yet",
}


@commands.command()
def report(
    name: Model,
    since: Annotated[str, Option(help="How far back: 12h, 30d, 2w.")] = "7d",
    stage: Annotated[
        str | None, Option(help="The stage that serves; default: the last one.")
    ] = None,
    candidate: Annotated[
        str | None,
        Option(
            metavar="STAGE|VERSION",
            help="What is tried; default: the stage before.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the shadow or the canary of `mlops serve` has shown so far.

    Where labels have come, the metrics are compared as the gate compares them; else the
    predictions are.

    Example: `mlops canary report employment --since 7d`
    """
    from mlops.monitoring.trial import report_trial
    from mlops.monitoring.window import Period
    from mlops.registry.chain import fetch

    at = current_context(fetch=True)
    at.project.folder(name)
    now = at.now()
    period = Period(ago(since, now), now)
    served, tried = _stages(at, stage, candidate)
    champion = fetch(at.project, f"{name}@{served}", at.store)
    other = fetch(at.project, f"{name}@{tried}", at.store)
    if champion.version == other.version:
        raise Refused(
            "the candidate is the version that serves",
            found=champion.version.ref,
            do="name another one: --candidate VERSION",
        )
    log_place = prediction_place(at.project)
    spec = at.project.model(name)
    done = report_trial(log_place, spec, champion, other, period)
    lines = _lines(done)
    facts = done.model_dump(mode="json")
    emit(facts, "\n".join(lines), as_json, page=as_markdown(lines[0], *lines[1:]))


def _stages(at: Context, stage: str | None, candidate: str | None) -> tuple[str, str]:
    """Return the stage that serves, and the stage or version of the candidate."""
    served = at.project.stage(stage or at.project.spec.stages[-1].name)
    tried = candidate or served.after
    if tried is None:
        raise UsageError(
            "no stage comes before the one that is served",
            file="project.yaml",
            key=f"stages.{served.name}.after",
            do="name what is tried: --candidate VERSION",
        )
    return served.name, tried


def _lines(done: TrialReport) -> list[str]:
    """Return what a trial shows, a sentence each."""
    lines = [f"{done.model} {done.candidate} beside {done.champion}"]
    if not done.parts:
        lines.append(
            "No row of the candidate is in the log: start "
            "`mlops serve` with --shadow or --canary."
        )
    for part in done.parts:
        lines += _part_lines(part, done)
    return lines


def _part_lines(part: TrialPart, done: TrialReport) -> list[str]:
    """Return what the shadow or the canary shows, a sentence each."""
    from mlops.reporting.wording import difference_ci

    if part.kind == "shadow":
        lines = [f"Shadow: {part.rows:,} rows that both predicted."]
    else:
        lines = [
            f"Canary: {part.candidate_rows:,} rows, and {part.rows:,} of "
            f"{done.champion} in that time."
        ]
    if part.other_class is not None:
        lines.append(f"The predicted class differs in {part.other_class:.2%} of rows.")
    for one in part.outputs:
        lines.append(
            f"{one.output}: {one.champion:.4f} on average, {one.candidate:.4f} of the "
            f"candidate; {one.confidence:.0%} CI of the difference: {one.low:+.4f} to "
            f"{one.high:+.4f}."
        )
    counts = f"{part.labelled:,}"
    if part.kind == "canary":
        counts += f" and {part.candidate_labelled:,}"
    lines.append(f"Labels: {counts}.")
    for metric in part.metrics:
        lines.append(
            f"{metric.metric}: {metric.champion:.4f}, {metric.challenger:.4f} of the "
            f"candidate; {difference_ci(metric)}."
        )
    if part.problem:
        lines.append(f"Not compared by metrics: {part.problem}.")
    if part.finding is not None:
        rule = done.rule
        if rule == "non-inferiority":
            rule += f", margin {done.margin:g}"
        lines.append(f"{_FINDINGS[part.finding]} ({rule}).")
    return lines

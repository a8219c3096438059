"""Commands that run the steps of the pipeline, and the record kept of a run."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from mlops import __version__, settings
from mlops.cli.actions_env import in_actions, summary
from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit, hint, progress
from mlops.errors import UsageError
from mlops.io.git import changed_files

if TYPE_CHECKING:
    from mlops.pipeline.run import Run
    from mlops.results.runs import Record


Names = Annotated[
    list[str] | None, Argument(metavar="MODEL", help="Models; none: all of them.")
]

Force = Annotated[bool, Option("--force", help="Run also what is done already.")]

# Which tables of the report a verb shows.
_SHOWN = {
    "validate": ("data",),
    "train": (),
    "test": ("quality", "tests", "slices", "fairness"),
    "gate": ("quality",),
    "report": ("quality",),
    "run": ("quality", "cost"),
}


def _go(
    verb: str,
    names: Iterable[str] | None,
    force: bool,
    as_json: bool,
    group: str | None = None,
) -> None:
    """Run the stages of some models up to a verb, print the answers, leave with the exit code."""
    from mlops.pipeline.facts import facts
    from mlops.pipeline.run import Run
    from mlops.pipeline.step import STEPS
    from mlops.reporting.outcome import outcome
    from mlops.runlog.journal import append, named

    if group:
        named(group, "a name that a group may have")
    at = current_context()
    chosen = list(names or at.project.models())
    if not chosen:
        raise UsageError(
            "there is no model yet", file="models/", do="`mlops new` makes one"
        )
    if verb not in ("validate", "train"):
        at.catch_up()  # the version in production
    answers = {}
    for name in chosen:
        say = progress(f"{name}: " if len(chosen) > 1 else "")
        run = Run(at, name, say, force)
        yes = run.until("report" if verb == "run" else verb)
        if verb == "run" and (run.fresh or not (run.folder / "record.json").is_file()):
            made = record_run(run, group)
            made.save(run.folder)
            if not in_actions():  # there a job that may push takes it to the journal
                for warning in append(at.project, made):
                    say(warning)
        known = facts(run)
        parts = (known.validation, known.training, known.evaluation, known.verdict)
        said = {
            s: p.model_dump(mode="json")
            for s, p in zip(STEPS, parts, strict=False)
            if p
        }
        answers[name] = {"ok": yes, "stages": run.states, **said}
        if not as_json:
            broken = run.states["validate"] == "failed"
            print(outcome(known, *(("data",) if broken else _SHOWN[verb])))
            if verb in {"report", "run"}:
                for file in ("report.md", "report.html", "card.md"):
                    print(f"  {(run.folder / file).relative_to(at.project.root)}")
                summary((run.folder / "report.md").read_text(encoding="utf-8"))
            if verb == "run" and yes:
                first = "commit; then open a pull request, or: " if run.dirty else ""
                hint(f"{first}mlops register {name}")
    emit(answers, "", as_json, yes=all(answer["ok"] for answer in answers.values()))


@app.command(rich_help_panel="Make a model")
def validate(
    names: Names = None,
    force: Force = False,
    changed: Annotated[
        bool, Option("--changed", help="Only models whose files git sees as changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the data against the contract, and take the snapshot.

    Example: `mlops validate employment`
    """
    if changed:
        project = current_context().project
        touched = {
            f.split("/")[1] for f in changed_files(project.root) if f[:7] == "models/"
        }
        names = [name for name in project.models() if name in touched]
        if not names:
            emit({}, "No model's files have changed.", as_json)
            return
    _go("validate", names, force, as_json)


@app.command(rich_help_panel="Make a model")
def train(names: Names = None, force: Force = False, as_json: Json = False) -> None:
    """Fit the model: the same data, code and lock give the same bytes.

    Example: `mlops train employment`
    """
    _go("train", names, force, as_json)


@app.command(rich_help_panel="Make a model")
def test(names: Names = None, force: Force = False, as_json: Json = False) -> None:
    """Check how the model behaves: standard checks, then its own tests.

    Example: `mlops test employment`
    """
    _go("test", names, force, as_json)


@app.command(rich_help_panel="Make a model")
def gate(names: Names = None, force: Force = False, as_json: Json = False) -> None:
    """Compare with production: promote, reject or inconclusive.

    Example: `mlops gate employment --json`
    """
    _go("gate", names, force, as_json)


@app.command(rich_help_panel="Make a model")
def report(names: Names = None, force: Force = False, as_json: Json = False) -> None:
    """Write the report, as markdown and HTML, and the model card.

    Example: `mlops report employment`
    """
    _go("report", names, force, as_json)


@app.command(rich_help_panel="Make a model")
def run(
    names: Names = None,
    force: Force = False,
    group: Annotated[str | None, Option(help="What its record belongs to.")] = None,
    as_json: Json = False,
) -> None:
    """Validate, train, test, gate, report; what is done is skipped.

    Example: `mlops run employment`
    """
    group = group or settings.current().group or None
    _go("run", names, force, as_json, group)


def record_run(run: Run, group: str | None = None) -> Record:
    """Return a run as the journal keeps it."""
    from mlops.io.engine import engine_digest
    from mlops.pipeline.facts import facts
    from mlops.results.runs import Record

    known = facts(run)
    failed = next((s for s, state in run.states.items() if state == "failed"), "")
    snapshot, number = (
        known.validation and known.validation.snapshot,
        run.at.pull_request,
    )
    seconds, price = sum(known.run.seconds.values()), run.project.spec.cost
    return Record(
        id=f"{run.started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        model=run.name,
        started=run.started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        stages=run.states,
        outcome=known.verdict.decision if known.verdict else failed or "trained",
        commit=run.commit,
        dirty=run.dirty,
        actor=run.at.actor,
        pull_request=number,
        group=group or (f"pr-{number}" if number else None),
        run_url=run.at.run_url,
        engine=__version__,
        engine_sha256=engine_digest(),
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
        cost=round(seconds / 3600 * price.per_hour, 6),
        currency=price.currency,
        # What is in each column is in the report; a thousand records need not repeat it.
        data=snapshot.model_copy(update={"columns": ()}) if snapshot else None,
        training=known.training,
        metrics=known.evaluation.metrics if known.evaluation else (),
        verdict=known.verdict,
    )

"""Commands that run the steps of the pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlops import settings
from mlops.cli.actions_env import in_actions, summary
from mlops.cli.app import app
from mlops.cli.arguments import Models, model_names
from mlops.cli.at_once import at_once
from mlops.cli.context import Context, current_context
from mlops.cli.each import each, flags
from mlops.cli.output import Json, emit, hint, progress
from mlops.cli.selection import Owner, Stale, only_stale, select
from mlops.cli.workers import workers
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.git import changed_files, has_remote

if TYPE_CHECKING:
    from mlops.data.fetch import Fetching
    from mlops.pipeline.run import Run
    from mlops.pipeline.run_context import RunContext
    from mlops.reporting.run_report import RunReport


Names = Annotated[
    list[str] | None,
    Argument(metavar="MODEL", help="Models, or patterns as 'price_*'; default: all."),
]

Force = Annotated[bool, Option("--force", help="Run again what has not changed.")]

# Which tables of the report a command shows.
_SHOWN = {
    "validate": ("data",),
    "train": (),
    "test": ("quality", "tests", "slices", "fairness"),
    "gate": ("quality",),
    "report": ("quality",),
    "run": ("quality", "cost"),
}


def run_context(at: Context, locked: bool = False) -> RunContext:
    """Return what a run of the pipeline is told of where a command runs.

    Parameters
    ----------
    locked : bool
        Whether data from elsewhere are those that were fetched, and nothing newer.
    """
    from mlops.pipeline.run_context import RunContext
    from mlops.pipeline.sources import RunSources
    from mlops.runlog.query import questions

    sources = RunSources(lambda: fetching(at), locked)

    return RunContext(
        project=at.project,
        actor=at.actor,
        now=at.now,
        store=lambda: at.store,
        pull_request=at.pull_request,
        run_url=at.run_url,
        questions=partial(questions, at.project),
        bring=partial(sources.bring, at.project),
    )


def fetching(at: Context) -> Fetching:
    """Return how a command fetches data that lie elsewhere."""
    from mlops.data.fetch import Fetching

    return Fetching(now=at.now(), say=progress())


def _go(
    command: str,
    names: Iterable[str] | None,
    force: bool,
    as_json: bool,
    group: str | None = None,
    owner: str | None = None,
    ask_test: bool = False,
    locked: bool = False,
) -> None:
    """Run the steps that a command stands for, and leave with the exit code.

    Parameters
    ----------
    command : str
        The name of a step, or `run` for all of them.
    names : iterable of str, optional
        Models; None or none: all.
    force : bool
        Do steps again that are done.
    as_json : bool
        Print the results as data.
    group : str, optional
        What the records of the runs belong to.
    owner : str, optional
        Only models of this owner.
    ask_test : bool
        Ask the test part, of models that have a validation part.
    locked : bool
        Read the data that were fetched, and nothing newer.
    """
    from mlops.pipeline.report import run_report
    from mlops.pipeline.run import Run
    from mlops.runlog.journal import named

    if group:
        named(group, "a name that a group may have")
    at = current_context()
    chosen = _chosen(at, names, owner)
    if command not in ("validate", "train"):
        at.catch_up()  # the version in production
    if ask_test and not in_actions():  # a job has the run log of its checkout
        _catch_up_with_questions(at)
    results: dict[str, Any] = {}
    for name in chosen:
        say = progress(f"{name}: " if len(chosen) > 1 else "")
        run = Run(run_context(at, locked), name, say, force)
        with run.file_lock():
            if ask_test and run.state.part == "validation":
                run, passed = _with_test_part(at, run, group)
            else:
                passed = run.until("report" if command == "run" else command)
                if command == "run":
                    _keep_record(run, group)
            report = run_report(run.state)
        results[name] = _facts(run, report, passed)
        if not as_json:
            _show(command, run, report, passed)
    emit(results, "", as_json, yes=all(facts["ok"] for facts in results.values()))


def _chosen(at: Context, names: Iterable[str] | None, owner: str | None) -> list[str]:
    """Return the models that are meant; UsageError where there is none yet."""
    if not at.project.models():
        raise UsageError(
            "there is no model yet", file="models/", do="`mlops new` makes one"
        )
    return select(at.project, names, owner)


def _catch_up_with_questions(at: Context) -> None:
    """Fetch what others asked; a note says where origin cannot be reached."""
    from mlops.runlog.journal import fetch

    try:
        fetch(at.project.root)
    except EnvironmentFailure:
        progress()("note: origin cannot be reached; questions of others may be missing")


def _with_test_part(at: Context, run: Run, group: str | None) -> tuple[Run, bool]:
    """Run on the validation part, then ask the test part where that is allowed.

    Return the run whose results stand, and whether the test part let the model through.
    """
    from mlops.pipeline.ask_test import ask_test_part, is_current
    from mlops.pipeline.run import Run
    from mlops.runlog.journal import append_question

    context = run_context(at)
    state = run.state
    if not run.force and is_current(context, state.name):
        tested = Run(context, state.name, run.say, part="test")
        return tested, tested.until("report")
    run.until("report")
    stands, question, passed = ask_test_part(context, run)
    stands.did_something = stands.did_something or run.did_something
    _keep_record(stands, group)
    if question is not None and not in_actions():
        for warning in append_question(state.project, question):
            run.say(warning)
    return stands, passed


def _keep_record(run: Run, group: str | None) -> None:
    """Write the record of a run that did something, or whose record is missing."""
    from mlops.pipeline.record import record_of
    from mlops.runlog.journal import append

    state = run.state
    if not run.did_something and (state.build / "record.json").is_file():
        return
    record = record_of(run.context, state, group)
    record.save(state.build)
    if in_actions():
        return  # a job that may push takes it to the run log
    for warning in append(state.project, record):
        run.say(warning)


def _facts(run: Run, report: RunReport, passed: bool) -> dict[str, Any]:
    """Return a run for programs: how each step went, and its result."""
    from mlops.reporting.wording import with_sentences

    steps = run.state.states
    # `stages` is what programs that were written for engine 0.1 read.
    facts: dict[str, Any] = {"ok": passed, "steps": steps, "stages": steps}
    verdict = with_sentences(report.verdict) if report.verdict else None
    results = {
        "validate": report.validation,
        "train": report.training,
        "test": report.evaluation,
        "gate": verdict,
        "compiled": report.compilation,
    }
    for step, result in results.items():
        if result is not None:
            facts[step] = result.model_dump(mode="json")
    return facts


def _show(command: str, run: Run, report: RunReport, passed: bool) -> None:
    """Print what a run says to a person."""
    from mlops.reporting.outcome import outcome_text
    from mlops.reporting.wording import served_by

    state = run.state
    broken = state.states["validate"] == "failed"
    tables = ("data",) if broken else _SHOWN[command]
    print(outcome_text(report, *tables))
    if command in {"test", "run"} and report.compilation:
        print(served_by(report.compilation))
    if command in {"report", "run"}:
        for file in ("report.md", "report.html", "card.md"):
            print(f"  {(state.build / file).relative_to(state.project.root)}")
        summary((state.build / "report.md").read_text(encoding="utf-8"))
    if command == "run" and passed:
        has_origin = has_remote(state.project.root)
        hint(next_step(state.name, state.dirty, has_origin, state.part))


def next_step(name: str, dirty: bool, has_origin: bool, part: str = "test") -> str:
    """Return what comes after a run that passed.

    Without an origin a version would be this clone's alone, and GitHub would later make
    one of its own under the same number: pushing comes first. On the validation part
    the test part has not been asked yet.
    """
    register = f"mlops register {name}"
    if part == "validation":
        register = f"mlops run {name} --test, and {register}"
    if has_origin:
        first = "commit; then open a pull request, or: " if dirty else ""
        return f"{first}{register}"
    first = "commit and push" if dirty else "push"
    return (
        f"{first} to a repository on GitHub, which registers it; to try that in this "
        f"clone alone: {register}"
    )


@app.command(rich_help_panel="Make a model")
def validate(
    names: Names = None,
    force: Force = False,
    changed: Annotated[
        bool,
        Option("--changed", help="Only models with files that git sees as changed."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the data against its contract; take a snapshot.

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
    """Test the model: standard checks, then its own tests.

    Example: `mlops test employment`
    """
    _go("test", names, force, as_json)


@app.command(rich_help_panel="Make a model")
def gate(
    names: Names = None,
    force: Force = False,
    replay: Annotated[
        bool,
        Option(
            "--replay",
            help="Instead, say which past decisions and alarms would have come out "
            "differently by the rules of model.yaml as it is now.",
        ),
    ] = False,
    base: Annotated[
        str | None,
        Option(
            help="With --replay: the commit with the rules before; default: where this "
            "branch left origin's default branch."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare with production: promote, reject or inconclusive.

    Example: `mlops gate employment --json`
    """
    if base and not replay:
        raise UsageError("this goes with --replay", key="--base", found=base)
    if replay:
        _replay(names, base, as_json)
        return
    _go("gate", names, force, as_json)


def _replay(names: list[str] | None, base: str | None, as_json: bool) -> None:
    """Say what the rules of model.yaml would have changed in the past."""
    from mlops.cli.replay import replay_of, spec_at
    from mlops.reporting.markdown import render
    from mlops.reporting.replay import replay_section, replay_text

    at = current_context()
    at.catch_up()
    facts = []
    texts = []
    pages = []
    for name in select(at.project, names):
        new = at.project.model(name)
        found = replay_of(at.project, name, spec_at(at.project, name, base), new)
        facts.append(found.model_dump(mode="json"))
        if found.keys:
            texts.append(replay_text(found))
            pages.append(render(replay_section(found), 50))
        else:
            texts.append(f"{name}: no rule has changed")
    emit(facts, "\n\n".join(texts), as_json, page="\n\n".join(pages))


@app.command(rich_help_panel="Make a model")
def report(names: Names = None, force: Force = False, as_json: Json = False) -> None:
    """Write the report (markdown and HTML) and the model card.

    Example: `mlops report employment`
    """
    _go("report", names, force, as_json)


@app.command(rich_help_panel="Make a model")
def run(
    names: Names = None,
    force: Force = False,
    owner: Owner = None,
    stale: Stale = None,
    group: Annotated[
        str | None, Option(help="Group of the run in the run log.")
    ] = None,
    ask_test: Annotated[
        bool,
        Option(
            "--test",
            help="Then ask the test part, once: for models with split.validation.",
        ),
    ] = False,
    models: Models = None,
    locked: Annotated[
        bool,
        Option(
            "--locked",
            help="Use the data that `mlops data fetch` read, and nothing newer.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        Option(
            "--jobs",
            "-j",
            help="How many models at once; -1: one for each processor.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Validate, train, test, gate, report; skip what is unchanged.

    With --jobs several models run at once, each in a process of its own: one that fails
    does not end the others.

    Example: `mlops run employment`
    """
    workers(None, jobs)
    group = group or settings.current().group or None
    if models is not None and (names or owner or stale):
        raise UsageError("name models or --models, and not both", key="--models")
    if stale:
        names = _stale_names(names, owner, stale)
        if not names:
            emit({}, "No model is stale.", as_json)
            return
    if models is None and jobs is None:
        _go("run", names, force, as_json, group, owner, ask_test, locked)
        return
    options = flags(
        {
            "--force": force,
            "--test": ask_test,
            "--locked": locked,
            "--json": as_json,
        }
    )
    if group:
        options += ["--group", group]

    def command(name: str) -> list[str]:
        return ["run", name, *options]

    if models is not None and jobs is None:
        each(models, command)
        return
    chosen = model_names(models) if models else _chosen(current_context(), names, owner)
    at_once(chosen, command, jobs or 1, as_json)


def _stale_names(names: list[str] | None, owner: str | None, period: str) -> list[str]:
    """Return the models that are meant and have no new version for a period."""
    at = current_context(fetch=True)
    return only_stale(at.project, select(at.project, names, owner), period, at.now())

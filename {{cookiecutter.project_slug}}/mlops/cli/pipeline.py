"""The verbs that make a model, from `new` to `run` and `sweep`; and what is recorded of a run."""

from __future__ import annotations

import math
import platform
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from mlops import MlopsError, Refused, UsageError, __version__
from mlops.cli import Json, app, emit, here, hint, in_actions, progress, summary
from mlops.files import changed_files
from mlops.reporting.words import table

if TYPE_CHECKING:
    from mlops.cli.run import Run
    from mlops.results import Record
    from mlops.spec import Scalar

Names = Annotated[list[str] | None, Argument(metavar="MODEL", help="Models; none: all of them.")]
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
    verb: str, names: Iterable[str] | None, force: bool, as_json: bool, group: str | None = None
) -> None:
    """Run the stages of some models up to a verb, print the answers, leave with the exit code."""
    from mlops.cli.run import STAGES, Run, facts
    from mlops.registry.journal import append, named
    from mlops.reporting.render import outcome

    if group:
        named(group, "a name that a group may have")
    at = here()
    chosen = list(names or at.project.models())
    if not chosen:
        raise UsageError("there is no model yet", file="models/", do="`mlops new` makes one")
    if verb not in ("validate", "train"):
        at.catch_up()  # the version in production
    answers = {}
    for name in chosen:
        say = progress(f"{name}: " if len(chosen) > 1 else "")
        run = Run(at, name, say, force)
        yes = run.until("report" if verb == "run" else verb)
        if verb == "run" and (run.fresh or not (run.folder / "record.json").is_file()):
            made = _record(run, group)
            made.save(run.folder)
            if not in_actions():  # there a job that may push takes it to the journal
                for warning in append(at.project, made):
                    say(warning)
        known = facts(run)
        parts = (known.validation, known.training, known.evaluation, known.verdict)
        said = {s: p.model_dump(mode="json") for s, p in zip(STAGES, parts, strict=False) if p}
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
def new(
    name: Annotated[str, Argument(metavar="NAME", help="Of the model: a-z, 0-9 and _.")],
    data: Annotated[Path, Option(help="CSV or Parquet file.")],
    target: Annotated[str, Option(help="Column to predict.")],
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None,
        Option(help="What to learn; found out where not given."),
    ] = None,
    delimiter: Annotated[
        str | None, Option(help="What parts the columns of the CSV; `tab` for a tab.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the folder of a new model for your own data.

    Example: `mlops new churn --data churn.csv --target Churn`
    """
    from mlops.scaffold.infer import infer
    from mlops.scaffold.write import check_name, write

    project = here().project
    check_name(project, name)
    found = infer(data, target, task, {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter))
    paths = [str(p.relative_to(project.root)) for p in write(project, name, found)]
    text = [table(found.summary, ("column", "is", "why")), ""]
    text += [f"check: {note}" for note in found.notes]
    text += ["", *(f"  {path}" for path in paths)]
    emit({"files": paths, **found.model_dump(mode="json")}, "\n".join(text), as_json)
    hint(f"mlops run {name}")


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
        project = here().project
        touched = {f.split("/")[1] for f in changed_files(project.root) if f[:7] == "models/"}
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
    group: Annotated[
        str | None, Option(help="What its record belongs to.", envvar="MLOPS_GROUP")
    ] = None,
    as_json: Json = False,
) -> None:
    """Validate, train, test, gate, report; what is done is skipped.

    Example: `mlops run employment`
    """
    _go("run", names, force, as_json, group)


@app.command(rich_help_panel="Make a model")
def sweep(
    name: Annotated[str, Argument(metavar="MODEL")],
    param: Annotated[list[str], Option("--param", "-p", help="NAME=VALUE,VALUE,...")],
    group: Annotated[str | None, Option(help="Name of the sweep.")] = None,
    most: Annotated[int, Option("--max", help="Combinations at the most.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Try parameters by cross-validation, and record each combination.

    It uses the training part alone.

    Example: `mlops sweep employment -p C=0.01,0.1,1,10`
    """
    from mlops.cli.run import Run
    from mlops.evaluation.quality import combinations
    from mlops.registry.journal import append, named

    at, say = here(), progress()
    every = combinations(param, most)
    run = Run(at, name, say)
    group = named(group or f"sweep-{run.started:%Y%m%d-%H%M%S}", "a name that a group may have")
    if not run.until("validate"):
        raise Refused("the data do not keep their contract", do=f"`mlops validate {name}`")
    tried: list[tuple[float, dict[str, object]]] = []
    for number, chosen in enumerate(every, 1):
        say(f"{number} of {len(every)} …")
        shown: dict[str, object] = {key: str(value) for key, value in chosen.items()}
        try:
            made = _tried(run, chosen, group)
        except MlopsError as error:  # parameters that do not go together, say
            tried.append((-math.inf, {**shown, "failed": error.problems[0].what}))
            continue
        for warning in append(at.project, made):
            say(warning)
        m = made.metrics[0]
        facts = {m.name: m.value, "low": m.low, "high": m.high, "run": made.id}
        tried.append((m.value if m.higher_is_better else -m.value, {**shown, **facts}))
    rows = [row for _, row in sorted(tried, key=lambda pair: pair[0], reverse=True)]
    text = table(rows, list(dict.fromkeys(key for row in rows for key in row)))
    if some := any("run" in row for row in rows):
        text += f"""

By cross-validation on the training part: the best of many looks better than it is.
Side by side: mlops runs compare --group {group}"""
    emit({"group": group, "tried": rows}, text, as_json, yes=some)
    hint(f"put the parameters into models/{name}/model.yaml, then: mlops run {name}")


def _tried(run: Run, chosen: Mapping[str, Scalar], group: str) -> Record:
    """Return the record of one combination of a sweep; nothing is written."""
    from mlops.evaluation.quality import cross_validate

    train = run.spec.train.model_copy(update={"params": {**run.spec.train.params, **chosen}})
    spec = run.spec.model_copy(update={"train": train})
    run.started, begun = run.at.now(), time.perf_counter()
    training, metrics = cross_validate(run.project, run.name, spec, run.dataset)
    run.seconds = {"cross-validation": time.perf_counter() - begun}
    run.states = {"validate": run.states["validate"], "cross-validation": "ran"}
    found = {"training": training, "metrics": metrics, "outcome": "cross-validated"}
    return _record(run, group).model_copy(update={**found, "measured_on": "cross-validation"})


def _record(run: Run, group: str | None = None) -> Record:
    """Return a run as the journal keeps it."""
    from mlops.cli.run import facts
    from mlops.results import Record

    known = facts(run)
    failed = next((s for s, state in run.states.items() if state == "failed"), "")
    snapshot, number = known.validation and known.validation.snapshot, run.at.pull_request
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

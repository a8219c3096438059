"""Commands that predict: predict and serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from typer import Argument, Option

from mlops.cli.actions_env import as_markdown, in_actions
from mlops.cli.app import app
from mlops.cli.arguments import Followed, Ref
from mlops.cli.context import Context, current_context
from mlops.cli.output import Json, emit, progress
from mlops.cli.places import delivery_place, place_at, prediction_place
from mlops.errors import UsageError, counted

if TYPE_CHECKING:
    from mlops.io.places import Place
    from mlops.results.batch import BatchRun
    from mlops.serving.scoring import Counts


@app.command(rich_help_panel="Use")
def predict(
    ref: Ref,
    data: Annotated[
        Path | None,
        Argument(metavar="FILE", help="CSV, Parquet or JSON lines with features."),
    ] = None,
    out: Annotated[
        Path | None, Option(help="CSV file to write; default: print.")
    ] = None,
    log: Annotated[bool, Option(help="Log the predictions, for monitoring.")] = True,
    source: Annotated[
        str | None,
        Option(
            "--input",
            metavar="FILES",
            help="Score these files in batch, each once: a path, a glob, a folder, "
            "https:// or s3://BUCKET/*.parquet; default, without FILE: `batch.input` "
            "of model.yaml.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        Option(
            "--output",
            metavar="FOLDER",
            help="Folder for the predictions of a batch, or s3://BUCKET/PREFIX; "
            "default: `batch.output` of model.yaml.",
        ),
    ] = None,
    fetched: Annotated[
        bool,
        Option(
            "--fetched",
            help="Score what `mlops data input` has fetched, and leave what belongs "
            "into a bucket in build/, for `mlops data output`.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict a file or a batch with a released version.

    A batch is read some rows at a time, resumed where it was stopped, and writes
    Parquet. What it has scored stands on the run log.

    Example: `mlops predict employment@production people.csv --out predictions.csv`
    """
    at = current_context(fetch=True)
    if data is not None:
        if source or target or fetched:
            raise UsageError(
                "a FILE is predicted at once, a batch is scored from --input",
                found=str(data),
                do="leave FILE out, or use --out instead of --input, --output and "
                "--fetched",
            )
        _predict_file(at, ref, data, out, log, as_json)
        return
    if out is not None or not log:
        raise UsageError(
            "a batch writes to --output and always logs",
            allowed="--input, --output",
            do="name a FILE",
        )
    _score(at, ref, _BatchPlaces(source or "", target, fetched), as_json)


def _predict_file(
    at: Context, ref: str, data: Path, out: Path | None, log: bool, as_json: bool
) -> None:
    """Predict a file at once."""
    from mlops.io.files import write_text
    from mlops.serving.batch import predict_file, without_formulas
    from mlops.serving.prediction_log import records

    predictions, version = predict_file(at.project, ref, data, at.now(), log, at.store)
    if log:
        _deliver(at, ref.partition("@")[0])
    rows: list[dict[str, Any]] = []
    if out is None:
        text = predictions.head(20).to_string(index=False)
        # JSON has only finite numbers; the others are missing, as NaN is.
        rows = records(predictions.replace([float("inf"), float("-inf")], None))
    else:
        safe, formulas = without_formulas(predictions)
        write_text(out, safe.to_csv(index=False, lineterminator="\n"))
        text = f"{counted(len(predictions), 'row')} predicted by {version}: {out}"
        if formulas:
            cells = counted(formulas, "cell")
            text += f"\n{cells} would be run as a formula by a spreadsheet: "
            text += "they begin with ' in the file"
    unseen: dict[str, int] = predictions.attrs["unseen"]
    for column, count in unseen.items():
        text += f"\n{count:,} values of {column} were never seen in training"
    outside: dict[str, int] = predictions.attrs["outside"]
    for column, count in outside.items():
        text += f"\n{count:,} values of {column} are outside of what training saw"
    facts = {"version": version, "rows": len(predictions), "predictions": rows}
    emit({**facts, "unseen": unseen, "outside": outside}, text, as_json)


def _deliver(at: Context, name: str) -> None:
    """Deliver what was logged; where that fails it stays here for the next time."""
    from mlops.cli.deliver import delivery_of

    delivery = delivery_of(at, name)
    done = delivery.deliver(at.now()) if delivery else None
    if done is not None and done.problem:
        progress()(f"the log was not delivered, the next time does it: {done.problem}")


class _BatchPlaces(NamedTuple):
    """What a batch reads and writes, as the command names it.

    Parameters
    ----------
    source : str
    target : str, optional
    fetched : bool
        Whether other jobs fetch the input and deliver what was made.
    """

    source: str
    target: str | None
    fetched: bool


def _score(at: Context, ref: str, batch: _BatchPlaces, as_json: bool) -> None:
    """Score what is new of a batch, and put it on the run log."""
    from mlops.cli.pipeline import fetching
    from mlops.pipeline.batches import input_files, not_scored
    from mlops.pipeline.sources import bring_batch
    from mlops.registry.tags import read_registry, resolve
    from mlops.runlog.journal import append_batch
    from mlops.runlog.query import batches
    from mlops.serving.scoring import Where, score

    project = at.project
    say = progress()
    version = resolve(read_registry(project.root), ref)
    name = version.model
    if not batch.fetched:
        bring_batch(project, name, batch.source, fetching(at))
    paths = input_files(project, name, batch.source, at.settings.folder)
    files = not_scored(paths, batches(project, name), version.number)
    output = _output_of(at, name, batch)
    where = Where(output, *_log_of(at, name, batch), at.store)
    run, counts = score(project, ref, files, where, at.now(), say)
    run = run.model_copy(update={"run_url": at.run_url})
    run.save(project.build(name))
    if run.files and not in_actions():  # there another job does it, which may push
        for warning in append_batch(project, run, at.actor):
            say(warning)
    lines = _scored_lines(run, counts, len(paths) - len(files))
    lines[0] += f": {output}"
    facts = run.model_dump(mode="json")
    unseen = {"unseen": dict(counts.unseen), "outside": dict(counts.outside)}
    page = as_markdown("", *lines)
    yes = not run.failed
    emit(facts | unseen, "\n".join(lines), as_json, page=page, yes=yes)


def _output_of(at: Context, name: str, batch: _BatchPlaces) -> Place:
    """Return the place of a batch's predictions."""
    from mlops.data.sources import is_elsewhere
    from mlops.io.places import FolderPlace
    from mlops.serving.batch_files import HANDED_ON

    declared = at.project.model(name).batch
    text, root, key = "", at.project.root, "batch.output"
    if batch.target is not None:
        text, root, key = batch.target, at.settings.folder, "--output"
    elif declared:
        text = declared.output
    build = at.project.build(name) / "batch"
    if batch.fetched and is_elsewhere(text):
        return FolderPlace(build / HANDED_ON / "output")
    if not text:
        return FolderPlace(build / "output")
    return place_at(text, root, key)


def _log_of(at: Context, name: str, batch: _BatchPlaces) -> tuple[Place, bool]:
    """Return the place of a batch's log, and whether the state folder outlives this."""
    from mlops.cli.context import predictions_store
    from mlops.data.sources import is_elsewhere
    from mlops.io.places import FolderPlace
    from mlops.serving.batch_files import HANDED_ON

    build = at.project.build(name) / "batch"
    if batch.fetched and is_elsewhere(predictions_store(at.project)):
        return FolderPlace(build / HANDED_ON / "log"), False
    if at.keeps_artifacts:
        return FolderPlace(build / "log"), False
    return prediction_place(at.project), True


def _scored_lines(run: BatchRun, counts: Counts, earlier: int) -> list[str]:
    """Return what a batch has done, a sentence each."""
    files = counted(len(run.files) - len(run.failed), "file")
    lines = [f"{counted(run.rows, 'row')} of {files} scored by {run.version}"]
    if earlier:
        lines.append(f"{counted(earlier, 'file')} scored before")
    lines += [f"{file.path} was not scored: {file.error}" for file in run.failed]
    for column, count in counts.unseen.items():
        lines.append(f"{count:,} values of {column} were never seen in training")
    for column, count in counts.outside.items():
        lines.append(f"{count:,} values of {column} are outside of what training saw")
    return lines


@app.command(rich_help_panel="Use")
def serve(
    ref: Followed,
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, Option(help="Port; 0: any free port.", min=0, max=65535)
    ] = 8000,
    interval: Annotated[
        float, Option(help="Seconds between checks of the stage.", min=0.01)
    ] = 10.0,
    workers: Annotated[
        int, Option(help="Processes that answer on the port.", min=1, max=64)
    ] = 1,
    rate: Annotated[
        float,
        Option(help="Requests a second that each client may send; 0: any.", min=0),
    ] = 0.0,
    explain: Annotated[
        bool,
        Option(
            "--explain",
            help="Answer at /explain, too; each explanation predicts about 200 rows "
            "for each feature.",
        ),
    ] = False,
    shadow: Annotated[
        str | None,
        Option(
            metavar="STAGE",
            help="Have the version of this stage predict what was answered, in the "
            "background, and log that.",
        ),
    ] = None,
    canary: Annotated[
        float,
        Option(
            help="Share of the requests that the version of the stage before, or of "
            "--shadow, answers.",
            min=0,
            max=0.5,
        ),
    ] = 0.0,
) -> None:
    """Serve a stage over HTTP and follow its promotions.

    Example: `mlops serve employment@production --port 8000 --workers 2`
    """
    from mlops.serving.app import Options
    from mlops.serving.server import Address
    from mlops.serving.server import serve as run

    at = current_context()
    name, _, stage = ref.partition("@")
    if not stage:
        raise UsageError(
            "a service follows a stage",
            found=ref,
            do=f"`mlops serve {name}@production`",
        )
    followed = at.project.stage(stage).name
    address = Address(host, port)
    candidate = ""
    if shadow is not None or canary:
        candidate = _candidate(at, followed, shadow, workers)
    options = Options(
        interval,
        tokens=at.settings.serve_tokens,
        rate=rate,
        explain=explain,
        candidate=candidate,
        shadow=shadow is not None,
        share=canary,
        backlog=_backlog(at),
    )
    if workers == 1:
        run(at.project, name, followed, address, options, at.store)
        return
    from mlops.serving.fleet import serve_together

    serve_together(at.project, f"{name}@{followed}", address, options, workers)


def _backlog(at: Context) -> int:
    """Return how much of the log may wait to be delivered; 0 where it stays here."""
    if delivery_place(at.project) is None:
        return 0
    return at.project.spec.predictions.backlog_bytes


def _candidate(at: Context, followed: str, shadow: str | None, workers: int) -> str:
    """Return the stage whose version is tried beside the one that serves."""
    if workers > 1:
        raise UsageError(
            "a candidate is tried by a service of one process",
            key="--workers",
            found=str(workers),
            allowed="1",
            do="leave --workers out, or --shadow and --canary",
        )
    stage = shadow or at.project.stage(followed).after
    if stage is None:
        raise UsageError(
            "no stage comes before the one that is served",
            file="project.yaml",
            key=f"stages.{followed}.after",
            do="name the stage of the candidate: --shadow STAGE",
        )
    if stage == followed:
        raise UsageError(
            "the candidate is of another stage than what is served",
            key="--shadow",
            found=stage,
        )
    return at.project.stage(stage).name


@app.command(hidden=True)
def serve_worker(
    ref: Followed,
    number: Annotated[int, Option(help="Number of this worker.")],
    counts: Annotated[Path, Option(help="Folder in which workers count together.")],
    rate: Annotated[float, Option(help="Requests a second of each client.")] = 0.0,
    explain: Annotated[bool, Option("--explain", help="Answer at /explain.")] = False,
    backlog: Annotated[int, Option(help="Bytes of the log that may wait.")] = 0,
) -> None:
    """Answer as one of the processes of `mlops serve --workers`, which starts this."""
    from mlops.serving.app import Options
    from mlops.serving.worker import work

    at = current_context()
    tokens = at.settings.serve_tokens
    options = Options(
        tokens=tokens, rate=rate, counts=counts, explain=explain, backlog=backlog
    )
    work(at.project, ref, number, options, at.store)

"""The verbs of a version that is there: pull, reproduce, predict, serve, monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import app
from mlops.cli.context import Json, as_markdown, catch_up, emit, hint, leave, progress, summary
from mlops.cli.releases import Ref, here
from mlops.errors import UsageError

Followed = Annotated[str, typer.Argument(metavar="MODEL@STAGE", help="Such as churn@production.")]


@app.command(rich_help_panel="Release")
def pull(
    ref: Ref,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; default: MODEL-VERSION, in a repository in build/pulled."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Another repository: OWNER/REPO on GitHub, or its folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a version's files, verified; with --from in any folder.

    Example: `mlops pull employment@production --from acme/census --out ./model`
    """
    from mlops.cli.context import registry_of
    from mlops.registry.verify import chain

    root, store, folder = registry_of(source, ref.replace("#", "@").partition("@")[0])
    bundle = chain(root, ref, store)
    folder = out or folder / f"{bundle.version.model}-{bundle.version.number}"
    paths = [str(path) for path in bundle.save(folder, progress())]
    emit({"version": bundle.version.ref, "files": paths}, "\n".join(paths), as_json)


@app.command(rich_help_panel="Release")
def reproduce(ref: Ref, as_json: Json = False) -> None:
    """Train a version again in its own environment; compare bytes.

    Example: `mlops reproduce employment@v1.0.0`
    """
    from mlops.cli.context import release_store
    from mlops.registry.reproduce import reproduce as again

    project, _, _ = here()
    catch_up(project)
    done = again(project, ref, release_store(project), progress())
    word = "the same bytes" if done.same else "OTHER BYTES"
    text = [f"{done.version}: {word}", f"  then  {done.expected}", f"  now   {done.found}"]
    text += [f"  in    {done.environment}", *(f"  {part}" for part in done.differences)]
    summary("\n".join(text))
    emit(vars(done), "\n".join(text), as_json)
    leave(done.same)


@app.command(rich_help_panel="Use")
def predict(
    ref: Ref,
    data: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or Parquet, with the features.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; default: the screen.")
    ] = None,
    log: Annotated[bool, typer.Option(help="Log the predictions, for monitoring.")] = True,
    as_json: Json = False,
) -> None:
    """Predict the rows of a file with a released version.

    Example: `mlops predict employment@production people.csv --out answers.csv`
    """
    from mlops.cli.context import Context, release_store
    from mlops.project import Project
    from mlops.serving.log import records
    from mlops.serving.run import predict_file

    project = Project.find()
    catch_up(project)
    now = Context.here(project.root).now
    answers, version = predict_file(project, ref, data, now(), log, release_store(project))
    if out is not None:
        from mlops.files import write_text

        write_text(out, answers.to_csv(index=False, lineterminator="\n"))
        text = f"{len(answers):,} rows predicted by {version}: {out}"
    else:
        text = answers.head(20).to_string(index=False)
    # JSON has finite numbers alone; the others are missing, as NaN is.
    rows = records(answers.replace([float("inf"), float("-inf")], None)) if out is None else []
    emit({"version": version, "rows": len(answers), "predictions": rows}, text, as_json)


@app.command(rich_help_panel="Use")
def serve(
    ref: Followed,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8000,
    interval: Annotated[
        float, typer.Option(help="Seconds between looks at the stage.", min=0.01)
    ] = 10.0,
) -> None:
    """Serve a stage over HTTP, through its promotions and rollbacks.

    Example: `mlops serve employment@production --port 8000`
    """
    from mlops.cli.context import release_store
    from mlops.project import Project
    from mlops.serving.run import serve as run

    project = Project.find()
    name, _, stage = ref.partition("@")
    if not stage:
        what, do = "a service follows a stage", f"`mlops serve {name}@production`"
        raise UsageError(what, found=ref, do=do)
    run(project, name, project.stage(stage).name, host, port, interval, release_store(project))


@app.command(rich_help_panel="Use")
def monitor(
    ref: Followed,
    since: Annotated[str, typer.Option(help="How far back: 12h, 30d, 2w")] = "7d",
    go_on: Annotated[bool, typer.Option("--go-on", help="Leave with 0 on an alarm too.")] = False,
    as_json: Json = False,
) -> None:
    """Look for drift in what was served lately; 1 is an alarm.

    Example: `mlops monitor employment@production --since 7d`
    """
    from mlops.cli.context import in_actions, release_store
    from mlops.monitoring.monitor import monitor as check
    from mlops.registry.journal import ago, append_check

    project, who, now = here()
    name, _, stage = ref.partition("@")
    progress()("reading the window, comparing, drawing the report …")
    catch_up(project)
    store = release_store(project)
    done = check(project, name, stage or "production", ago(since, now), now, store=store)
    facts = done.model_dump(mode="json")
    if not in_actions():  # there `mlops alarm` does it, in a job that may push
        for warning in append_check(project, facts, who):
            progress()(warning)
    emit(facts, done.text(), as_json)
    summary(as_markdown(*done.text().splitlines()))
    if done.alarm:
        page = project.build(name) / "monitor.html"
        hint(f"look at {page}, then train on fresh data: mlops run {name}")
    leave(go_on or not done.alarm)

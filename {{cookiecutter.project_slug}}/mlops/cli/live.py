"""The verbs of a model in use: predict, serve, smoke, monitor."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli import app
from mlops.cli.context import Json, as_markdown, emit, leave, progress, summary
from mlops.cli.releases import Ref, here
from mlops.errors import UsageError, WorldError

if TYPE_CHECKING:
    from mlops.project import Project

Followed = Annotated[str, typer.Argument(metavar="MODEL@STAGE", help="Such as churn@production.")]


@app.command(rich_help_panel="Use")
def predict(
    ref: Ref,
    data: Annotated[Path, typer.Argument(help="CSV or Parquet file with the features.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; default: the screen.")
    ] = None,
    log: Annotated[bool, typer.Option(help="Log the predictions, for monitoring.")] = True,
    as_json: Json = False,
) -> None:
    """Predict the rows of a file with a released version, verified.

    Example: `mlops predict employment@production people.csv --out answers.csv`
    """
    from mlops.cli.context import Context, release_store
    from mlops.project import Project
    from mlops.serving.run import predict_file

    project = Project.find()
    now = Context.here(project.root).now
    answers, version = predict_file(project, ref, data, now(), log, release_store(project))
    if out is not None:
        from mlops.files import write_text

        write_text(out, answers.to_csv(index=False, lineterminator="\n"))
        text = f"{len(answers):,} rows predicted by {version}: {out}"
    else:
        text = answers.head(20).to_string(index=False)
    rows = answers.to_dict("records") if out is None else []
    emit({"version": version, "rows": len(answers), "predictions": rows}, text, as_json)


@app.command(rich_help_panel="Use")
def serve(
    ref: Followed,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8000,
    interval: Annotated[float, typer.Option(help="Seconds between looks at the stage.")] = 10.0,
) -> None:
    """Serve a stage over HTTP, and follow it: a promotion or rollback is taken up by itself.

    Example: `mlops serve employment@production --port 8000`
    """
    from mlops.cli.context import release_store
    from mlops.project import Project
    from mlops.serving.run import serve as run

    project = Project.find()
    name, _, stage = ref.partition("@")
    if not stage:
        raise UsageError(
            "a service follows a stage", found=ref, do=f"`mlops serve {name}@production`"
        )
    run(project, name, project.stage(stage).name, host, port, interval, release_store(project))


@app.command(rich_help_panel="Use")
def monitor(
    ref: Followed,
    since: Annotated[str, typer.Option(help="How far back: 12h, 30d, 2w")] = "7d",
    go_on: Annotated[bool, typer.Option("--go-on", help="Leave with 0 on an alarm too.")] = False,
    as_json: Json = False,
) -> None:
    """Compare what was served lately with what the version was tested on; 1 is an alarm.

    Example: `mlops monitor employment@production --since 7d`
    """
    from mlops.cli.context import in_actions, release_store
    from mlops.monitoring.monitor import monitor as check
    from mlops.registry.journal import ago, append_check

    project, who, now = here()
    name, _, stage = ref.partition("@")
    progress()("reading the window, comparing, drawing the report …")
    store = release_store(project)
    done = check(project, name, stage or "production", ago(since, now), now, store=store)
    facts = done.model_dump(mode="json")
    if not in_actions():  # there `mlops alarm` does it, in a job that may push
        for warning in append_check(project, facts, who):
            progress()(warning)
    emit(facts, done.text(), as_json)
    summary(as_markdown(*done.text().splitlines()))
    leave(go_on or not done.alarm)


@app.command(rich_help_panel="Workflows")
def smoke(
    ref: Annotated[str, typer.Argument(metavar="MODEL@STAGE")], as_json: Json = False
) -> None:
    """Start the service of a stage, ask it the release's examples, compare, stop it.

    Example: `mlops smoke employment@staging`
    """
    from mlops.cli.context import release_store
    from mlops.registry.verify import fetch

    project, _, _ = here()
    bundle = fetch(project, ref, release_store(project))
    examples = json.loads(bundle.read("examples.json"))
    wrong = ask_examples(project, ref, bundle.version.number, examples)
    text = f"{bundle.version.ref} in service answers {len(examples)} examples as it was trained to"
    if wrong:
        text = "\n".join([f"{bundle.version.ref} in service answers otherwise:", *wrong])
    summary(text)
    emit({"version": bundle.version.ref, "examples": len(examples), "wrong": wrong}, text, as_json)
    leave(not wrong)


def ask_examples(
    project: Project, ref: str, version: str, examples: list[dict[str, Any]]
) -> list[str]:
    """Return what the running service of `ref` answers otherwise than `version` was trained to.

    Raises
    ------
    WorldError
        When it does not start or does not answer.
    """
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    command = [sys.executable, "-m", "mlops", "serve", ref, "--port", "0"]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True) as service:
        try:
            line = service.stdout.readline() if service.stdout else ""
            address = next((word for word in line.split() if word.startswith("http://")), None)
            if address is None:
                raise WorldError("the service did not start", found=ref)
            body = json.dumps({"rows": [example["features"] for example in examples]}).encode()
            asked = Request(f"{address}/predict", body, {"Content-Type": "application/json"})
            with urlopen(asked, timeout=60) as answer:
                said = json.load(answer)
        except (URLError, TimeoutError) as error:
            raise WorldError(f"the service does not answer: {error}", found=ref) from error
        finally:
            service.terminate()
    wrong = [f"version {said['version']} serves"] if said["version"] != version else []
    for at, (example, got) in enumerate(zip(examples, said["predictions"], strict=True), 1):
        for name, value in example["expected"].items():
            if not _same(got.get(name), value):
                wrong.append(f"example {at}: {name} is {got.get(name)}, expected {value}")
    return wrong


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return math.isclose(one, other, rel_tol=1e-9) if numbers else bool(one == other)

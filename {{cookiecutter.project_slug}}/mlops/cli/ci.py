"""The verbs that workflows need beside the others: plan, comment, alarm, smoke."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlops import MlopsError, UsageError, WorldError
from mlops.cli import Json, app, as_markdown, emit, event, here, kept, outputs
from mlops.files import GitError, git, head
from mlops.github.client import repository

if TYPE_CHECKING:
    from mlops.project import Project


@app.command(rich_help_panel="Workflows")
def plan(
    base: Annotated[
        str | None, Option(help="Commit to compare with; default: as the event says.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which models a change touches, and what else there is to do.

    Example: `mlops plan --base origin/main`
    """
    from mlops.github.events import asked
    from mlops.github.events import plan as do
    from mlops.registry.tags import read

    project = here().project
    start, model = (base, None) if base else asked(event())
    changed = None
    if start:
        try:  # from where the two parted: what others merged meanwhile is not this change
            parted = git(project.root, "merge-base", start, "HEAD")
            diff = ("diff", "--name-only", "--no-renames", "-z", "--relative", parted, "HEAD")
            changed = [path for path in git(project.root, *diff).split("\0") if path]
        except GitError as error:  # not in this clone, or of another history: everything
            if base:
                raise UsageError("no such commit here", key="--base", found=base) from error
    if model:
        project.folder(model)
    found = do(changed, [model] if model else project.models())
    last, state = project.spec.stages[-1].name, read(project.root)
    live = [name for name in project.models() if last in state.model(name).stages]
    deploy = [name for name in live if found.deploy and name not in found.models]
    known = {"deploy": deploy, "live": live, "commit": head(project.root)}
    answer = {**found._asdict(), **known}
    outputs(**answer)
    words: dict[str, str] = {
        "train": ", ".join(found.models),
        "check code": "yes" if found.code else "",
        "redeploy": ", ".join(deploy),
        f"in {last}": ", ".join(live),
    }
    text = "\n".join(f"{key + ':':<15}{value or 'no'}" for key, value in words.items())
    emit(answer, text, as_json, page=as_markdown("What there is to do", *text.splitlines()))


@app.command(rich_help_panel="Workflows")
def comment(
    report: Annotated[Path, Option(help="Folder of the run's artifacts, unpacked.")],
    number: Annotated[
        int | None,
        Option("--pull-request", help="Default: that of the commit of GitHub's event."),
    ] = None,
    run_url: Annotated[str | None, Option(help="Default: that of GitHub's event.")] = None,
    as_json: Json = False,
) -> None:
    """Write a pull request's one comment from its run's results.

    Example: `mlops comment --report artifacts`
    """
    from mlops.github.events import LIMIT, RED, attributed, post, pull_request, uploaded
    from mlops.registry.journal import append
    from mlops.reporting.facts import Everything, Run
    from mlops.reporting.render import escape, markdown

    project = here().project
    hub, run = repository(), event().get("workflow_run") or {}
    if number is None and run:
        number = pull_request(hub, run)
    if number is None:
        emit({"comment": None}, "no pull request has this commit as its head any more", as_json)
        return
    found, wrong = uploaded(report)
    texts, records = [], []
    for name, results in found.items():
        record = results.pop("record")
        seconds = {"all stages": record.seconds} if record else {}
        made = Run(run.get("head_sha"), False, seconds, project.spec.cost)
        try:
            texts.append(markdown(Everything(name, run=made, **results)))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MlopsError):
            wrong.append(f"{name}: the results do not fit together")
            continue
        if record and run:
            records.append(attributed(record, name, number, run))
    foot = [f"Could not be shown: {escape(text)}." for text in wrong]
    if not found:
        ended = {"success": "It trains no model.", None: ""}
        foot.append(ended.get(run.get("conclusion"), "There is no report: the run did not finish."))
    where = run_url or run.get("html_url")
    foot += [f"[The run, with the whole report]({where})"] if where else []
    if sum(map(len, texts)) > LIMIT - 10_000:  # then the verdicts alone
        texts = [text.split("\n\n### ")[0] for text in texts]
    green = run.get("conclusion") in ("success", None)
    body = "\n\n".join([*([] if green else [RED]), *texts, *foot])[:LIMIT]
    url = post(hub, number, body, only_edit=green and not found and not wrong)
    for record in records:
        kept(append(project, record))
    emit({"pull_request": number, "comment": url}, url or "nothing to say", as_json)


@app.command(rich_help_panel="Workflows")
def alarm(
    names: Annotated[
        list[str] | None, Argument(metavar="MODEL", help="Default: all checked ones.")
    ] = None,
    gate: Annotated[
        bool, Option("--gate", help="Say why a retraining led to nothing instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Open, edit or close a model's issue; ask for retraining.

    Example: `mlops alarm employment`
    """
    from mlops.files import read_json
    from mlops.github.events import refused, settle
    from mlops.registry.journal import append, append_check
    from mlops.results import DriftCheck, Record

    at, hub = here(), repository()
    project, url = at.project, at.run_url
    file = "record.json" if gate else "monitor.json"
    said = []
    for name in names or [n for n in project.models() if (project.build(n) / file).is_file()]:
        build = project.build(name)
        if gate:
            record = Record.load(build)
            if record.outcome == "promote":
                continue
            report = (build / "report.md").read_text(encoding="utf-8").split("\n\n### ")[0]
            said.append(refused(hub, name, f"The version in production stays.\n\n{report}", url))
            kept(append(project, record))
        else:
            check = DriftCheck.model_validate(read_json(build / file))
            said.append(settle(hub, check, as_markdown(*check.text().splitlines()), url))
            said += kept(append_check(project, check.model_dump(mode="json"), at.actor))
    emit(said, "\n".join(said), as_json, page=as_markdown("", *said))


@app.command(rich_help_panel="Workflows")
def smoke(ref: Annotated[str, Argument(metavar="MODEL@STAGE")], as_json: Json = False) -> None:
    """Start the service of a stage and ask it the release's examples.

    Example: `mlops smoke employment@staging`
    """
    from mlops.registry.manifest import fetch

    at = here()
    at.project.stage(ref.partition("@")[2])  # what is served is a stage
    bundle = fetch(at.project, ref, at.store)
    examples = json.loads(bundle.read("examples.json"))
    wrong = ask_examples(at.project, ref, bundle.version.number, examples)
    text = f"{bundle.version.ref} in service answers {len(examples)} examples as it was trained to"
    if wrong:
        text = "\n".join([f"{bundle.version.ref} in service answers otherwise:", *wrong])
    facts = {"version": bundle.version.ref, "examples": len(examples), "wrong": wrong}
    emit(facts, text, as_json, page=text, yes=not wrong)


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

"""Commands that only workflows need: plan, comment, alarm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlops.cli.actions_env import as_markdown, event, outputs
from mlops.cli.app import app
from mlops.cli.context import current_context, require_pushed
from mlops.cli.output import Json, emit
from mlops.errors import UsageError
from mlops.github.client import repository
from mlops.io.git import GitError, git, head

if TYPE_CHECKING:
    from mlops.config.project_spec import Cost
    from mlops.reporting.run_report import RunInfo
    from mlops.results.runs import Record


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

    project = current_context().project
    start, model = (base, None) if base else asked(event())
    changed = None
    if start:
        # From where the two parted: what others merged meanwhile is not this change.
        try:
            parted = git(project.root, "merge-base", start, "HEAD")
            diff = (
                "diff",
                "--name-only",
                "--no-renames",
                "-z",
                "--relative",
                parted,
                "HEAD",
            )
            changed = [path for path in git(project.root, *diff).split("\0") if path]
        except (
            GitError
        ) as error:  # not in this clone, or of another history: everything
            if base:
                raise UsageError(
                    "no such commit here", key="--base", found=base
                ) from error
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
    emit(
        answer,
        text,
        as_json,
        page=as_markdown("What there is to do", *text.splitlines()),
    )


# What a run without results says, by how it ended.
_NOTHING = {"success": "It trains no model.", None: ""}

_UNFINISHED = "There is no report: the run did not finish."


def _run_info(
    run: dict[str, Any], number: int, record: Record | None, price: Cost
) -> RunInfo:
    """Return who made a run, and when, as GitHub's event says."""
    from mlops.reporting.run_report import RunInfo

    started = str(run.get("run_started_at") or "")
    actor = (run.get("actor") or {}).get("login")
    return RunInfo(
        commit=run.get("head_sha"),
        seconds={"all steps": record.seconds} if record else {},
        price=price,
        started=f"{started[:16].replace('T', ' ')} UTC" if started else "",
        actor=f"@{actor}" if actor else "",
        pull_request=number,
    )


@app.command(rich_help_panel="Workflows")
def comment(
    report: Annotated[Path, Option(help="Folder of the run's artifacts, unpacked.")],
    number: Annotated[
        int | None,
        Option("--pull-request", help="Default: that of the commit of GitHub's event."),
    ] = None,
    run_url: Annotated[
        str | None, Option(help="Default: that of GitHub's event.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a pull request's one comment from its run's results.

    Example: `mlops comment --report artifacts`
    """
    from mlops.github.comment import attributed, post, pull_request, uploaded
    from mlops.github.events import RED
    from mlops.reporting.comment import comment as comment_text
    from mlops.reporting.comment import reports
    from mlops.reporting.run_report import RunReport
    from mlops.runlog.journal import append

    project = current_context().project
    hub, run = repository(), event().get("workflow_run") or {}
    if number is None and run:
        number = pull_request(hub, run)
    if number is None:
        emit(
            {"comment": None},
            "no pull request has this commit as its head any more",
            as_json,
        )
        return
    found, wrong = uploaded(report)
    notes = [f"Could not be shown: {text}." for text in wrong]
    shown, records = [], {}
    for name, results in found.items():
        records[name] = results.pop("record")
        made = _run_info(run, number, records[name], project.spec.cost)
        shown.append(RunReport(name, run=made, **results))
    texts, broken = reports(shown)
    notes += [
        f"Could not be shown: {name}: the results do not fit together."
        for name in broken
    ]
    if not found:
        notes.append(_NOTHING.get(run.get("conclusion"), _UNFINISHED))
    green = run.get("conclusion") in ("success", None)
    above = "" if green else RED
    body = comment_text(texts, notes, run_url or run.get("html_url"), above)
    url = post(hub, number, body, only_edit=green and not found and not wrong)
    for name, record in records.items():
        if record and run and name not in broken:
            mine = attributed(record, name, number, run)
            require_pushed(append(project, mine))
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
    from mlops.github.issues import refused, settle
    from mlops.io.files import read_json
    from mlops.results.monitoring import DriftCheck
    from mlops.results.runs import Record
    from mlops.runlog.journal import append, append_check

    at, hub = current_context(), repository()
    project, url = at.project, at.run_url
    file = "record.json" if gate else "monitor.json"
    said = []
    for name in names or [
        n for n in project.models() if (project.build(n) / file).is_file()
    ]:
        build = project.build(name)
        if gate:
            record = Record.load(build)
            if record.outcome == "promote":
                continue
            report = (
                (build / "report.md").read_text(encoding="utf-8").split("\n\n### ")[0]
            )
            said.append(
                refused(hub, name, f"The version in production stays.\n\n{report}", url)
            )
            require_pushed(append(project, record))
        else:
            check = DriftCheck.model_validate(read_json(build / file))
            said.append(
                settle(hub, check, as_markdown(*check.text().splitlines()), url)
            )
            said += require_pushed(
                append_check(project, check.model_dump(mode="json"), at.actor)
            )
    emit(said, "\n".join(said), as_json, page=as_markdown("", *said))

"""Commands that only workflows need: plan, comment, alarm."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlops.cli.actions_env import as_markdown, event, outputs
from mlops.cli.app import app
from mlops.cli.arguments import Expect, model_names
from mlops.cli.context import (
    ARTIFACTS,
    Context,
    cannot_log,
    current_context,
    predictions_store,
    require_pushed,
    require_results,
)
from mlops.cli.each import matrix
from mlops.cli.output import Json, emit
from mlops.errors import MlopsError, UsageError, counted, listed
from mlops.github.client import Gone, repository
from mlops.io.git import GitError, git, head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from github.Repository import Repository

    from mlops.config.project import Project
    from mlops.config.project_spec import Cost
    from mlops.github.issues import AboutAlarm
    from mlops.registry.tags import State
    from mlops.reporting.run_report import RunInfo, RunReport
    from mlops.results.monitoring import DriftCheck, RetrainingRequest
    from mlops.results.runs import Record


@app.command(rich_help_panel="Workflows")
def plan(
    base: Annotated[
        str | None, Option(help="Commit to compare with; default: that of the event.")
    ] = None,
    live: Annotated[
        bool, Option("--live", help="Only say which models are in the last stage.")
    ] = False,
    batches: Annotated[
        bool, Option("--batches", help="Only say which batches have new files.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say which models a change affects and what else to do.

    For a schedule these are the models whose data changed without a commit, and those
    of which a push made no version.

    Example: `mlops plan --base origin/main`
    """
    from mlops.data.sources import has_data_elsewhere
    from mlops.github.events import plan_for as do
    from mlops.github.events import start_and_model
    from mlops.pipeline.due import due
    from mlops.pipeline.reach import reaches_models
    from mlops.registry.tags import read_registry

    project = current_context().project
    if live:
        _plan_live(project, as_json)
        return
    if batches:
        _plan_batches(project, as_json)
        return
    model = None
    by_calendar = False
    start: str | None = base
    if base:
        changed = _changed_since(project.root, base)
        if changed is None:
            raise UsageError("no such commit here", key="--base", found=base)
    else:
        payload = event()
        by_calendar = "schedule" in payload
        start, model = start_and_model(payload)
        start = _merged_onto(project.root, payload) or start
        changed = _changed_since(project.root, start) if start else None
    if model:
        project.folder(model)
    reaches = partial(reaches_models, project.root, start or "HEAD")
    planned = do(changed, [model] if model else project.models(), reaches)
    state = read_registry(project.root)
    train = planned.models
    if planned.trial and not _is_push():
        train = _quickest(project)
    if by_calendar:
        train = due(project, train, state)
    in_last = _in_last_stage(project, state)
    deploy = [name for name in in_last if planned.deploy and name not in train]
    redeployed = matrix(project, deploy, by_time=False)
    facts = {
        "models": train,
        **matrix(project, train),
        "data": [name for name in train if has_data_elsewhere(project, name)],
        # Runs of one model queue with each other, those of several among themselves.
        "queue": train[0] if len(train) == 1 else "several",
        "code": planned.code,
        "deploy": deploy,
        "deploy_jobs": redeployed["jobs"],
        "deploy_members": redeployed["members"],
        "live": in_last,
        "commit": head(project.root),
    }
    outputs(**facts)
    unchanged = [name for name in planned.models if name not in train]
    words = {
        "train": ", ".join(train),
        "check code": "yes" if planned.code else "",
        "redeploy": ", ".join(deploy),
        f"in {project.spec.stages[-1].name}": ", ".join(in_last),
    }
    lines = [f"{key + ':':<15}{value or 'no'}" for key, value in words.items()]
    if unchanged:
        lines.append(f"{'nothing new:':<15}{', '.join(unchanged)}")
    warning = _budget_warning(project, train)
    if warning:
        lines.append(f"{'cost:':<15}{warning}")
    page = as_markdown("What there is to do", *lines)
    emit(facts, "\n".join(lines), as_json, page=page)


def _budget_warning(
    project: Project, models: list[str], coming: float | None = None
) -> str:
    """Return a warning where training these models would exceed the month's budget.

    Parameters
    ----------
    coming : float, optional
        What that costs; by default what their last runs did.
    """
    from mlops.results.costs import amount, over_budget
    from mlops.runlog.query import latest_whole_runs, runs

    price = project.spec.cost
    if price.per_month is None or not models:
        return ""
    if coming is None:
        last = latest_whole_runs(project)
        coming = sum(amount(last[n].get("cost")) for n in models if n in last)
    now = current_context().now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    spent = sum(amount(run.get("cost")) for run in runs(project, since=month))
    return over_budget(len(models), coming, spent, price)


def _is_push() -> bool:
    """Return whether a push started this; its pull request has made the trial."""
    payload = event()
    return "before" in payload and "pull_request" not in payload


def _quickest(project: Project) -> list[str]:
    """Return the model whose last run was the shortest, as a list; none without models.

    It shows that runs still end where an engine changed that can reach no model.
    """
    from mlops.runlog.query import latest_seconds

    seconds = latest_seconds(project)
    names = sorted(project.models(), key=lambda name: seconds.get(name, math.inf))
    return names[:1]


def _in_last_stage(project: Project, state: State) -> list[str]:
    """Return the models that have a version in the last stage."""
    last = project.spec.stages[-1].name
    return [name for name in project.models() if last in state.model(name).stages]


def _plan_live(project: Project, as_json: bool) -> None:
    """Say which models are in the last stage: what is monitored and reproduced.

    No data are looked at: these jobs need neither the files nor their digests.
    """
    from mlops.data.sources import is_elsewhere
    from mlops.registry.tags import read_registry

    live = _in_last_stage(project, read_registry(project.root))
    away = _are_elsewhere(project, live)
    stored = bool(live) and is_elsewhere(project.spec.data.store)
    facts = {"live": live, **matrix(project, live), "away": away, "stored": stored}
    outputs(**facts)
    line = f"in {project.spec.stages[-1].name}: {', '.join(facts['live']) or 'no'}"
    emit(facts, line, as_json, page=as_markdown("What there is to do", line))


def _are_elsewhere(project: Project, live: list[str]) -> bool:
    """Return whether a bucket has the prediction log, or the labels of a model."""
    from mlops.data.sources import is_elsewhere

    if live and is_elsewhere(predictions_store(project)):
        return True
    return any(_has_labels_elsewhere(project, name) for name in live)


def _has_labels_elsewhere(project: Project, name: str) -> bool:
    """Return whether labels of a model are in no file of the repository.

    A model.yaml with a mistake is for the check to report.
    """
    from mlops.data.sources import is_elsewhere

    try:
        return is_elsewhere(project.model(name).data.labels or "")
    except MlopsError:
        return False


def _plan_batches(project: Project, as_json: bool) -> None:
    """Say which batches have files that were not scored, and why others wait."""
    from mlops.config.project_spec import MOST_JOBS
    from mlops.pipeline.batches import due_batches
    from mlops.registry.tags import read_registry

    due = due_batches(project, read_registry(project.root), lambda: cannot_log(project))
    by_artifacts = predictions_store(project) == ARTIFACTS
    # Each model uploads artifacts under its own name, so that it has its own job.
    models = due.models[:MOST_JOBS]
    notes = list(due.notes)
    if len(models) < len(due.models):
        later = len(due.models) - len(models)
        notes.append(f"{counted(later, 'model')} more: in the next run")
    facts: dict[str, Any] = {
        "batch": models,
        "artifacts": by_artifacts,
        "away": any(_is_batch_elsewhere(project, name) for name in models),
    }
    outputs(**facts, at_once=project.spec.jobs.at_once)
    facts["notes"] = notes
    lines = [f"score: {', '.join(models) or 'no'}", *notes]
    page = as_markdown("What there is to do", *lines)
    emit(facts, "\n".join(lines), as_json, page=page)


def _is_batch_elsewhere(project: Project, name: str) -> bool:
    """Return whether a bucket has the input, or gets the output or log, of a batch."""
    from mlops.data.sources import is_elsewhere
    from mlops.pipeline.batches import is_input_elsewhere, is_output_elsewhere

    is_away = is_input_elsewhere(project, name) or is_output_elsewhere(project, name)
    return is_away or is_elsewhere(predictions_store(project))


def _merged_onto(root: Path, payload: dict[str, Any]) -> str | None:
    """Return the commit of the base that a pull request's merge was made on.

    The event's `base.sha` is as old as the last push to the pull request. The merge
    that is checked out is made on what the base is now: what others merged since is
    not this change. None where HEAD is not that merge.
    """
    head_commit = ((payload.get("pull_request") or {}).get("head") or {}).get("sha")
    if not head_commit or head(root) is None:
        return None
    parents = git(root, "rev-list", "--parents", "-n", "1", "HEAD").split()[1:]
    if len(parents) == 2 and parents[1] == head_commit:
        return parents[0]
    return None


def _changed_since(root: Path, start: str) -> list[str] | None:
    """Return the paths that changed since the history parted from a commit.

    What others merged meanwhile is not this change. None where the commit is not in
    this clone, or of another history.
    """
    try:
        parted = git(root, "merge-base", start, "HEAD")
        options = ("--name-only", "--no-renames", "-z", "--relative")
        paths = git(root, "diff", *options, parted, "HEAD").split("\0")
    except GitError:
        return None
    return [path for path in paths if path]


_MOST_REPLAYED = 20  # rows of each table of a comment

_MOST_OF_REPLAYS = 20_000  # characters

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
    """Write the comment of a pull request from its run's results.

    Example: `mlops comment --report artifacts`
    """
    from mlops.github.code_owners import judging
    from mlops.github.comment import (
        attributed,
        changed_files,
        post,
        pull_request,
        uploaded,
    )
    from mlops.github.events import RED
    from mlops.reporting.comment import MOST, reports, warning
    from mlops.reporting.comment import comment as comment_text
    from mlops.reporting.run_report import RunReport
    from mlops.runlog.journal import append_all

    project = current_context().project
    hub = repository()
    run = event().get("workflow_run") or {}
    if number is None and run:
        number = pull_request(hub, run)
    if number is None:
        nobody = "no pull request has this commit as its head any more"
        emit({"comment": None}, nobody, as_json)
        return
    results, wrong = uploaded(report)
    notes = [f"Could not be shown: {text}." for text in wrong]
    shown = []
    records = {}
    for name, files in results.items():
        records[name] = files.pop("record")
        info = _run_info(run, number, records[name], project.spec.cost)
        shown.append(RunReport(name, run=info, **files))
    replays = _replays(project, shown)
    texts, broken = reports(shown, MOST - sum(len(text) for text in replays))
    texts += replays
    if broken:
        names = listed(broken, 20)
        notes.append(f"Could not be shown: {names}: the results do not fit together.")
    if not results:
        notes.append(_NOTHING.get(run.get("conclusion"), _UNFINISHED))
    notes += _budget_note(project, records)
    green = run.get("conclusion") in ("success", None)
    changed = changed_files(hub, number)
    warned = warning(judging(changed.paths), changed.all_listed)
    above = "\n\n".join(part for part in (warned, "" if green else RED) if part)
    body = comment_text(texts, notes, run_url or run.get("html_url"), above)
    has_news = bool(results or wrong or warned) or not green
    url = post(hub, number, body, only_edit=not has_news)
    mine = [
        attributed(record, name, number, run)
        for name, record in records.items()
        if record and run and name not in broken
    ]
    require_pushed(append_all(project, mine))
    emit({"pull_request": number, "comment": url}, url or "nothing to say", as_json)


def _replays(project: Project, shown: Sequence[RunReport]) -> list[str]:
    """Return what rules that a pull request changes would have changed in the past.

    The rules before are those of the branch that this job has checked out.
    """
    from mlops.cli.replay import replay_of
    from mlops.gate.replay import changed_keys
    from mlops.reporting.markdown import render
    from mlops.reporting.replay import replay_section
    from mlops.runlog.journal import fetch

    known = project.models()
    changed = []
    for one in shown:
        if one.spec is None or one.model not in known:
            continue
        old = project.model(one.model)
        if changed_keys(old, one.spec):
            changed.append((one.model, old, one.spec))
    if not changed:
        return []
    fetch(project.root)
    sections: list[str] = []
    length = 0
    for name, old, new in changed:
        found = replay_of(project, name, old, new)
        text = render(replay_section(found), _MOST_REPLAYED)
        length += len(text)
        if length > _MOST_OF_REPLAYS:
            left = counted(len(changed) - len(sections), "more model")
            sections.append(f"The rules of {left} changed: see `mlops gate --replay`.")
            break
        sections.append(text)
    return sections


def _budget_note(project: Project, records: Mapping[str, Record | None]) -> list[str]:
    """Return what merging costs where that exceeds the month's budget.

    The release trains once more what the pull request has trained.
    """
    from mlops.results.costs import amount
    from mlops.runlog.journal import fetch

    if project.spec.cost.per_month is None:
        return []
    known = {name: record for name, record in records.items() if record}
    coming = sum(amount(record.cost) for record in known.values())
    fetch(project.root)
    warning = _budget_warning(project, list(known), coming)
    return [f"Merging this goes {warning}."] if warning else []


@app.command(rich_help_panel="Workflows")
def alarm(
    names: Annotated[
        list[str] | None, Argument(metavar="MODEL", help="Default: all checked ones.")
    ] = None,
    gate: Annotated[
        bool, Option("--gate", help="Say why a retraining led to nothing instead.")
    ] = False,
    expect: Expect = "[]",
    as_json: Json = False,
) -> None:
    """Open, edit or close a model's issue; request retraining.

    Example: `mlops alarm employment`
    """
    at = current_context()
    hub = repository()
    file = "record.json" if gate else "monitor.json"
    require_results(at.project, model_names(expect, "--expect"), file)
    if not names:
        names = [
            name
            for name in at.project.models()
            if (at.project.build(name) / file).is_file()
        ]
    settle_one = _settle_retraining if gate else _settle_drift
    lines = []
    switched_off = None
    for name in names:
        try:
            lines += settle_one(at, hub, name)
        except Gone as error:
            lines.append(f"{name}: an alarm, and Issues are switched off here")
            switched_off = error
    if not gate:
        outputs(propose=[name for name in names if _proposes(at, name)])
    emit(lines, "\n".join(lines), as_json, page=as_markdown("", *lines))
    if switched_off:
        raise switched_off


@app.command(rich_help_panel="Workflows")
def scored(
    expect: Expect = "[]",
    models: Annotated[
        str,
        Option(help="Only these, as a JSON list: what they made is where it belongs."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Put on the run log what batches of this run have scored.

    Example: `mlops scored --expect '["employment"]'`
    """
    from mlops.results.batch import BatchRun
    from mlops.runlog.journal import append_batch

    at = current_context()
    require_results(at.project, model_names(expect, "--expect"), BatchRun.FILE)
    chosen = model_names(models) if models else at.project.models()
    lines = []
    for name in at.project.models():
        build = at.project.build(name)
        if name not in chosen or not (build / BatchRun.FILE).is_file():
            continue
        run = BatchRun.load(build)
        if run.files:
            require_pushed(append_batch(at.project, run, at.actor))
        lines.append(f"{name}: {counted(run.rows, 'row')} scored by {run.version}")
    emit(lines, "\n".join(lines), as_json, page=as_markdown("", *lines))


def _settle_retraining(at: Context, hub: Repository, name: str) -> list[str]:
    """Open or edit a model's issue where the gate refused what was retrained."""
    from mlops.cli.questions import log_question
    from mlops.github.issues import refused
    from mlops.results.runs import Record
    from mlops.runlog.journal import append

    build = at.project.build(name)
    record = Record.load(build)
    if record.outcome == "promote":
        return []
    report = (build / "report.md").read_text(encoding="utf-8")
    summary = report.split("\n\n### ")[0]
    body = f"The version in production stays.\n\n{summary}"
    require_pushed(append(at.project, record))
    log_question(at, build)
    lines = [refused(hub, name, body, at.run_url)]
    if _refused_by_test(build):
        lines += _on_pull_request(at, hub, name, body)
    return lines


def _refused_by_test(build: Path) -> bool:
    """Return whether a run ended because the test part refused its model."""
    from mlops.results.verdict import Verdict

    has_verdict = (build / Verdict.FILE).is_file()
    return has_verdict and Verdict.load(build).refused_by_test


def _on_pull_request(at: Context, hub: Repository, name: str, body: str) -> list[str]:
    """Say on the merged pull request that the test part refused its model."""
    from mlops.github.client import pull_request_of
    from mlops.github.comment import post

    commit = head(at.project.root)
    number = pull_request_of(hub, commit) if commit else None
    if number is None:
        return [f"{name}: this commit is the merge of no pull request"]
    link = f"\n\n[The run]({at.run_url})" if at.run_url else ""
    text = f"**Merged, and not registered: the test part refused `{name}`.** {body}"
    marker = f"<!-- mlops: test part {name} {commit} -->"
    url = post(hub, number, text + link, marker)
    return [f"{name}: {url} says what to do"]


def _settle_drift(at: Context, hub: Repository, name: str) -> list[str]:
    """Open, edit or close a model's issue, as the monitor's last check says."""
    from mlops.github.issues import settle
    from mlops.reporting.wording import check_summary
    from mlops.runlog.journal import append_check

    check = _last_check(at, name)
    summary = check_summary(check)
    lines = [*summary.lines, *check.text().splitlines()]
    shown = as_markdown(summary.title, *lines)
    facts = check.model_dump(mode="json")
    # The run log first: it is kept where Issues are switched off, too.
    notes = require_pushed(append_check(at.project, facts, at.actor))
    about = _about_alarm(at, name, check)
    log = partial(_log_retraining, at, name, check)
    settled = settle(hub, check, shown, at.run_url, about, log)
    return [settled, *notes, *_notify(at, check)]


def _notify(at: Context, check: DriftCheck) -> tuple[str, ...]:
    """Send a message about a check, where there is an address; return warnings."""
    from mlops.github.webhook import message_of, notify

    if check.quiet:
        return ()
    secret = at.settings.secret
    message = message_of(check, at.run_url)
    address = secret("MLOPS_WEBHOOK")
    return notify(address, secret("MLOPS_WEBHOOK_SECRET"), message, at.now())


def _proposes(at: Context, name: str) -> bool:
    """Return whether this run asks for a pull request.

    The run log says so, also where this job is run again. Of two checks in one minute
    the period ends at the same time: it is the run that tells them apart.
    """
    check = _last_check(at, name)
    if not check.alarm:
        return False
    return any(one.policy == "propose" for one in _requests_of_run(at, name, check))


def _requests_of_run(
    at: Context, name: str, check: DriftCheck
) -> list[RetrainingRequest]:
    """Return which retrainings this run has asked for, also when it ran before."""
    from mlops.runlog.query import retraining_requests

    return [
        one
        for one in retraining_requests(at.project, name)
        if (one.check, one.run_url) == (check.until, at.run_url or None)
    ]


def _last_check(at: Context, name: str) -> DriftCheck:
    """Return what the monitor has left of a model."""
    from mlops.io.files import read_json
    from mlops.results.monitoring import DriftCheck

    file = at.project.build(name) / "monitor.json"
    return DriftCheck.model_validate(read_json(file))


def _about_alarm(at: Context, name: str, check: DriftCheck) -> AboutAlarm:
    """Return what the issue of an alarm says beside the check."""
    from mlops.github.issues import AboutAlarm
    from mlops.monitoring.follows import held
    from mlops.reporting import wording
    from mlops.runlog.query import retraining_requests

    spec = at.project.model(name)
    reason = None
    if check.alarm:
        requests = retraining_requests(at.project, name)
        reason = held(spec.monitor, requests, check.until, at.now())
    return AboutAlarm(
        title=wording.alarm_title(check),
        owner=spec.owner,
        policy=spec.monitor.on_alarm,
        held=wording.held(reason) if reason else "",
    )


def _log_retraining(at: Context, name: str, check: DriftCheck) -> None:
    """Put on the run log that an alarm asks for a retraining, once for a run."""
    from mlops.results.monitoring import RetrainingRequest
    from mlops.runlog.journal import append_retraining

    policy = at.project.model(name).monitor.on_alarm
    if policy == "never" or _requests_of_run(at, name, check):
        return
    request = RetrainingRequest(
        model=name,
        version=check.version,
        at=at.now().isoformat(timespec="seconds"),
        check=check.until,
        policy=policy,
        run_url=at.run_url,
    )
    require_pushed(append_retraining(at.project, request, at.actor))

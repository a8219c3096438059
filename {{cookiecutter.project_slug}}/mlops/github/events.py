"""What GitHub's events ask for, and what is said there: a plan, a comment, an alarm."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ValidationError

from mlops import Refused, UsageError
from mlops.github.client import BOT, ask
from mlops.project import MODEL_NAME
from mlops.results import Evaluation, Record, Training, Validation, Verdict
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    from github.Issue import Issue
    from github.Repository import Repository

    from mlops.results import DriftCheck

MARKER = "<!-- mlops: report -->"
RED = "## ❌ The checks are red: the run says what failed"
LABEL, RETRAIN = "model-alarm", "retrain"  # what release.yml listens to
LIMIT = 60_000  # characters; GitHub takes 65,536
MOST_BYTES, MOST_MODELS = 1_000_000, 50
# What a run leaves, by the names of its files.
_RESULTS = (Record, Validation, Training, Evaluation, Verdict)
_KINDS = {"spec": ModelSpec, **{kind.__name__.lower(): kind for kind in _RESULTS}}
_STATE = re.compile(r"<!-- mlops: alarm \S+ version (\S+) checks (\d+) by (\S+) -->")
# The first pattern that fits a path decides: the models it touches ("one": that whose folder it
# lies in), whether code checks are needed, whether production is tried with the new code.
_RULES: tuple[tuple[str, str, bool, bool], ...] = (
    (r"\.github/python-version", "all", True, False),
    (r"(docs|\.github|\.devcontainer)/.*|(.*/)?[^/]+\.md|LICENSE|\.git\w+", "", False, False),
    (r"models/[^/]+/data/.*", "one", False, False),
    (r"models/[^/]+/.*", "one", True, False),
    (r"(mlops/)?serving/.*", "", True, True),
    (r"mlops/.*|requirements\.txt|pyproject\.toml|project\.yaml", "all", True, False),
    (r".*", "", True, False),
)


class Plan(NamedTuple):
    """Models to train, whether to check code, whether to try what is in production with it."""

    models: list[str]
    code: bool
    deploy: bool


def plan(changed: Iterable[str] | None, models: Iterable[str]) -> Plan:
    """Return what a change asks for.

    Parameters
    ----------
    changed : iterable of str, optional
        Paths from the top of the repository; None where nobody knows: then everything is touched.
    models : iterable of str
        The models there are.
    """
    known = sorted(models)
    if changed is None:
        return Plan(known, code=True, deploy=False)
    touched: set[str] = set()
    code = deploy = False
    for path in changed:
        _, whom, checks, tries = next(r for r in _RULES if re.fullmatch(r[0], path, re.DOTALL))
        if whom == "one":
            touched.add(path.split("/")[1])
        elif whom == "all":
            touched.update(known)
        code |= checks
        deploy |= tries
    return Plan([name for name in known if name in touched], code, deploy)


def asked(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the commit that an event's changes start from, and the one model it names.

    Both are None where it is about everything: a calendar, a dispatch that names no model.
    """
    if pull := payload.get("pull_request"):
        return pull["base"]["sha"], None
    if group := payload.get("merge_group"):
        return group["base_sha"], None
    if before := payload.get("before"):
        return (before if before.strip("0") else None), None  # zeros: the branch is new
    said = payload.get("inputs") or payload.get("client_payload") or {}
    return None, (str(said["model"]) if said.get("model") else None)


def uploaded(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the results in a run's artifacts by model, and what is wrong with the others.

    They may be a stranger's: of limited size, checked against the types of the engine, shown by
    this repository's own code. They cannot say where they are shown, who made them or of which
    commit they are: GitHub's event does. What a run did not come to is None.
    """
    found: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    if (folder / "build").is_symlink():
        return found, ["build: not a folder"]
    builds = sorted((folder / "build").glob("*"))
    for build in builds[:MOST_MODELS]:
        try:
            if build.is_symlink() or not MODEL_NAME.fullmatch(build.name):
                raise Refused("not the folder of a model", file=build.name)
            found[build.name] = {name: _read(build, name) for name in _KINDS}
        except Refused as error:
            wrong.append(str(error))
    if len(builds) > MOST_MODELS:
        wrong.append(f"there are more than {MOST_MODELS} models")
    return found, wrong


def _read(build: Path, name: str) -> BaseModel | None:
    """Return one result; Refused says what is wrong with it and quotes nothing."""
    path, file = build / f"{name}.json", f"{build.name}/{name}.json"
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_BYTES:
            raise Refused(f"not a file of at most {MOST_BYTES:,} bytes", file=file)
        return _KINDS[name].model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        if name == "spec":
            raise Refused("there is no specification", file=file) from error
        return None
    except (ValidationError, UsageError, RecursionError) as error:
        raise Refused("its values are not valid", file=file) from error


def attributed(record: Record, model: str, number: int, run: Mapping[str, Any]) -> Record:
    """Return a record with all that the event knows better than the artifact."""
    facts = {
        "id": f"pr{number}-{run['id']}-{run['run_attempt']}-{model}",
        "model": model,
        "started": run["run_started_at"].replace("Z", "+00:00"),
        "commit": run["head_sha"],
        "actor": f"@{run['actor']['login']}",
        "pull_request": number,
        "group": f"pr-{number}",
        "run_url": run["html_url"],
        "extra": {},
    }
    return record.model_copy(update=facts)


def pull_request(repository: Repository, run: Mapping[str, Any]) -> int | None:
    """Return the pull request that a run was for; None where its head has moved on, or is gone.

    A run of a fork does not name it, so it is looked up by where the commit comes from.
    """
    if not (origin := run.get("head_repository")):
        return None
    head = f"{origin['owner']['login']}:{run['head_branch']}"
    pulls = ask(
        "find the pull request of a run",
        lambda: list(repository.get_pulls(state="all", head=head)),
    )
    there = [pull for pull in pulls if pull.head.sha == run["head_sha"]]
    found = max(there, key=lambda pull: (pull.state == "open", pull.number), default=None)
    return found.number if found else None


def post(
    repository: Repository, number: int, text: str, marker: str = MARKER, only_edit: bool = False
) -> str | None:
    """Write the one comment with a marker; return its address, None where there was none to edit.

    Only a comment by a bot counts as ours: anybody can write the marker.
    """
    body = f"{marker}\n{text[:LIMIT]}"

    def act() -> str | None:
        issue = repository.get_issue(number)
        for comment in issue.get_comments():
            if comment.body.startswith(marker) and comment.user and comment.user.type == BOT:
                if comment.body != body:
                    comment.edit(body)
                return comment.html_url
        return None if only_edit else issue.create_comment(body).html_url

    return ask(f"comment on #{number}", act)


def opened(repository: Repository, label: str, begin: str = "") -> Issue | None:
    """Return our open issue of a label, whose text begins so; who may not write sets no label."""

    def find() -> Issue | None:
        for issue in repository.get_issues(state="open", labels=[label]):
            if issue.user.type == BOT and (issue.body or "").startswith(begin):
                return issue
        return None

    return ask("list issues", find)


def keep(
    repository: Repository, label: str, title: str, body: str, begin: str = ""
) -> tuple[Issue, bool]:
    """Open an issue, or edit the one that is open; return it, and whether it is new."""

    def act() -> tuple[Issue, bool]:
        if (issue := opened(repository, label, begin)) is None:
            return repository.create_issue(title, body[:LIMIT], labels=[label]), True
        if issue.body != body[:LIMIT]:
            issue.edit(body=body[:LIMIT])
        return issue, False

    return ask("open an issue, or edit it", act)


def close(repository: Repository, issue: Issue, text: str, marker: str) -> None:
    """Say why an issue is over, once, and close it."""
    post(repository, issue.number, text, marker)
    ask("close the issue", lambda: issue.edit(state="closed", state_reason="completed"))


def settle(repository: Repository, check: DriftCheck, text: str, run_url: str | None) -> str:
    """Bring a model's issue in line with a drift check; return what was done, in a sentence.

    `text` is the check as markdown.

    Retraining is asked for where no issue is open, or the open one is about another version. A
    window with too few rows changes nothing.
    """
    name, begin = f"{check.model}@{check.version}", _begin(check.model)
    issue = opened(repository, LABEL, begin)
    if not check.alarm:
        if issue is None or not check.enough:
            return f"{name}: no alarm, nothing to do"
        marker = f"<!-- mlops: over {name} {check.until} -->"
        close(repository, issue, f"It is over.\n\n{text}{_link(run_url)}", marker)
        return f"{name}: the alarm is over, {issue.html_url} is closed"
    state = _STATE.match(issue.body or "") if issue else None
    known = state if state and state[1] == check.version else None
    run = run_url or check.until
    checks = int(known[2]) + (known[3] != run) if known else 1  # a run again counts once
    if not known:  # before the issue: killed between the two, it is asked again, not forgotten
        event = {"event_type": RETRAIN, "client_payload": {"model": check.model}}
        url, send = f"{repository.url}/dispatches", repository.requester.requestJsonAndCheck
        ask("start the retraining", lambda: send("POST", url, input=event))
    body = (
        f"{begin}{check.version} checks {checks} by {run} -->\n"
        f"{text[:LIMIT]}\n\nChecks of {check.version} with an alarm: {checks}. "
        f"Retraining was asked for at the first.{_link(run_url)}"
    )
    title = f"{check.model}: what is served is no longer what was learned"
    issue, new = keep(repository, LABEL, title, body, begin)
    if new:
        return f"{name}: an alarm, see {issue.html_url}"
    return f"{name}: still an alarm, {issue.html_url} is up to date"


def refused(repository: Repository, model: str, text: str, run_url: str | None) -> str:
    """Say on the issue of a model, where one is open, why a new model does not take its place."""
    issue = opened(repository, LABEL, _begin(model))
    if issue is None:
        return f"{model}: no issue is open"
    marker = f"<!-- mlops: gate {run_url} -->"
    post(repository, issue.number, text + _link(run_url), marker)
    return f"{model}: {issue.html_url} says so"


def _begin(model: str) -> str:
    """Return how the issue of a model begins."""
    return f"<!-- mlops: alarm {model} version "


def _link(run_url: str | None) -> str:
    return f"\n\n[The run]({run_url})" if run_url else ""

"""What GitHub shows of a repository, and what its workflow files name, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops.config.yaml import load_yaml
from mlops.github.client import same_repository
from mlops.github.default_branch import FOLLOWING
from mlops.github.readiness import (
    RepositoryFacts,
    ScheduledWorkflow,
    WorkflowFiles,
    period_of,
)
from mlops.github.repo_settings_api import Denied, send, send_for_list

if TYPE_CHECKING:
    from github.Repository import Repository

Value = TypeVar("Value")

WORKFLOWS = ".github/workflows"
_UPKEEP = "upkeep"  # the environment
_PAGE = 100


def read_facts(
    repository: Repository, files: WorkflowFiles, proposing: Sequence[str] = ()
) -> RepositoryFacts:
    """Return what GitHub shows; a dozen requests, and three where models propose.

    Parameters
    ----------
    proposing : sequence of str
        The models whose alarm proposes a retraining: a job needs a token for that.

    Raises
    ------
    EnvironmentFailure
        Where GitHub does not answer, or does not show the repository.
    """
    about = send(repository, "GET", "")
    reader = _FactReader(repository, about["owner"]["type"] == "Organization")
    name = str(about["full_name"])
    has_token = None
    if proposing:
        has_token = reader.look("names of secrets", reader.has_update_token)
    return RepositoryFacts(
        private=bool(about["private"]),
        archived=bool(about.get("archived")),
        issues=bool(about.get("has_issues", True)),
        moved_to="" if same_repository(repository, name) else name,
        default_branch=str(about["default_branch"]),
        policy=reader.look("the policy on actions", reader.policy),
        pages=reader.look("Pages", reader.pages),
        labels=reader.look("labels", reader.labels),
        owner_errors=reader.look("errors of CODEOWNERS", reader.owner_errors),
        variables=reader.look("variables", reader.variables),
        schedules=reader.look("scheduled runs", lambda: reader.schedules(files)),
        has_update_token=has_token,
        proposing=tuple(proposing),
        unseen=tuple(reader.unseen),
    )


def read_schedules(
    repository: Repository, files: WorkflowFiles
) -> tuple[ScheduledWorkflow, ...]:
    """Return when each schedule last ran; none where the token may not see it.

    Raises
    ------
    EnvironmentFailure
        Where GitHub does not answer.
    """
    reader = _FactReader(repository)
    return reader.look("schedules", lambda: reader.schedules(files)) or ()


class _FactReader:
    """Reads one kind of fact after the other, and notes what is not shown."""

    def __init__(self, repository: Repository, of_organization: bool = False) -> None:
        self.repository = repository
        self.of_organization = of_organization
        self.unseen: list[str] = []

    def look(self, name: str, action: Callable[[], Value]) -> Value | None:
        """Return what there is to see, None where this token may not see it."""
        try:
            return action()
        except Denied:
            self.unseen.append(name)
            return None

    def policy(self) -> dict[str, Any]:
        """Return which actions may run."""
        policy = dict(send(self.repository, "GET", "/actions/permissions"))
        if policy.get("allowed_actions") == "selected":
            path = "/actions/permissions/selected-actions"
            policy |= send(self.repository, "GET", path)
        return policy

    def pages(self) -> str:
        """Return how the site is built: off, branch or workflow."""
        try:
            site = send(self.repository, "GET", "/pages")
        except Denied as denied:
            if denied.status == 404:
                return "off"
            raise
        return "workflow" if site.get("build_type") == "workflow" else "branch"

    def labels(self) -> frozenset[str]:
        """Return the names of the labels."""
        labels = send_for_list(self.repository, "/labels")
        return frozenset(one["name"] for one in labels)

    def owner_errors(self) -> tuple[str, ...]:
        """Return what GitHub finds wrong in CODEOWNERS of the default branch."""
        try:
            errors = send(self.repository, "GET", "/codeowners/errors")["errors"]
        except Denied as denied:
            if denied.status == 404:  # there is no such file
                return ()
            raise
        return tuple(
            f"{one['path']} line {one['line']}: {one['kind']}" for one in errors
        )

    def variables(self) -> dict[str, str]:
        """Return the variables that workflows see: the repository's come first."""
        path = "/actions/organization-variables"
        found = []
        if self.of_organization:
            found += send_for_list(self.repository, path, "variables")
        found += send_for_list(self.repository, "/actions/variables", "variables")
        return {one["name"]: one["value"] for one in found}

    def has_update_token(self) -> bool:
        """Return whether a job of the environment has the token; names are shown."""
        found = send_for_list(self.repository, "/actions/secrets", "secrets")
        if self.of_organization:
            path = "/actions/organization-secrets"
            found += send_for_list(self.repository, path, "secrets")
        try:
            path = f"/environments/{_UPKEEP}/secrets"
            found += send_for_list(self.repository, path, "secrets")
        except Denied as denied:
            if denied.status != 404:  # there is no such environment
                raise
        return any(one["name"] == "UPDATE_TOKEN" for one in found)

    def schedules(self, files: WorkflowFiles) -> tuple[ScheduledWorkflow, ...]:
        """Return when each workflow with a schedule last ran by it."""
        if not files.crons:
            return ()
        every = send_for_list(self.repository, "/actions/workflows", "workflows")
        known = {Path(one["path"]).name: one for one in every}
        newest = self.newest_runs()
        found = []
        for file, cron in files.crons.items():
            workflow = known.get(file)
            if workflow is None:  # not pushed yet
                continue
            since = newest.get(file) or self.last_run(file) or workflow["created_at"]
            found.append(
                ScheduledWorkflow(
                    file=file,
                    period=period_of(cron),
                    since=datetime.fromisoformat(since),
                    state=workflow["state"],
                )
            )
        return tuple(found)

    def newest_runs(self) -> dict[str, str]:
        """Return when each workflow began last, of the newest hundred by a schedule."""
        path = f"/actions/runs?event=schedule&per_page={_PAGE}"
        newest: dict[str, str] = {}
        for run in send(self.repository, "GET", path)["workflow_runs"]:
            newest.setdefault(Path(run["path"]).name, run["created_at"])
        return newest

    def last_run(self, file: str) -> str:
        """Return when a schedule last began a workflow; empty where it never did."""
        path = f"/actions/workflows/{file}/runs?event=schedule&per_page=1"
        runs = send(self.repository, "GET", path)["workflow_runs"]
        return str(runs[0]["created_at"]) if runs else ""


def read_workflow_files(root: Path) -> WorkflowFiles:
    """Return what the workflow files of a work tree name.

    Raises
    ------
    UsageError
        Where one of them is not YAML.
    """
    actions = {}
    branches = {}
    crons = {}
    for path in sorted((root / WORKFLOWS).glob("*.y*ml")):
        document = _mapping(load_yaml(path))
        used = frozenset(_uses(root, document))
        if used:
            actions[path.name] = used
        events = _mapping(document.get("on"))
        names = _mapping(events.get("push")).get("branches")
        if names and path.name in FOLLOWING:
            patterns = [names] if isinstance(names, str) else names
            branches[path.name] = tuple(str(one) for one in patterns)
        due = _crons(events.get("schedule"))
        if due:
            crons[path.name] = min(due, key=period_of)
    return WorkflowFiles(actions, branches, crons)


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one for anything else: a file may be half written."""
    return value if isinstance(value, Mapping) else {}


def _crons(schedule: Any) -> list[str]:
    """Return the schedules of a workflow that have five fields, as GitHub demands."""
    entries = schedule if isinstance(schedule, list) else []
    crons = [str(_mapping(one).get("cron", "")) for one in entries]
    return [cron for cron in crons if len(cron.split()) == 5]


def _uses(root: Path, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the actions and workflows that a workflow uses of other repositories.

    What an action of the repository itself uses is among them.
    """
    for job in _mapping(document.get("jobs")).values():
        yield from _used(root, job, [])


def _used(root: Path, job: Any, within: list[str]) -> Iterator[str]:
    """Yield what a job, or the steps of an action, use of other repositories.

    Parameters
    ----------
    within : list of str
        The actions of the repository that lead here: one that uses itself ends.
    """
    steps = _mapping(job).get("steps")
    for one in (job, *(steps if isinstance(steps, list) else ())):
        name = str(_mapping(one).get("uses", ""))
        if name.startswith("./") and name not in within:
            for file in ("action.yml", "action.yaml"):
                path = root / name / file
                if path.is_file():
                    action = _mapping(_mapping(load_yaml(path)).get("runs"))
                    yield from _used(root, action, [*within, name])
        elif name and not name.startswith("./"):
            yield name

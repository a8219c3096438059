"""Repository settings read from and written to GitHub."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure
from mlops.github.client import ask
from mlops.github.repo_settings import Difference, RepositorySettings

if TYPE_CHECKING:
    from github.Repository import Repository


_PAGE = 100
_NO_ACCESS = "may not read this repository, so that GitHub takes no review of theirs"
_PLAN = re.compile(r"\bupgrade\b|billing plan|current plan", re.IGNORECASE)


class Denied(EnvironmentFailure):
    """GitHub refused a request.

    Attributes
    ----------
    status : int
    lacks_plan : bool
        Whether the plan of the repository does not have it.
    lacks_right : bool
        Whether this token may not do it.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.lacks_plan = bool(_PLAN.search(message))
        self.lacks_right = message.startswith("Resource not accessible")
        super().__init__(f"GitHub answered {status}: {message}")


class SettingOutcome(NamedTuple):
    """What there is to say of one thing."""

    setting: str
    result: Literal["differs", "done", "not in this plan", "not seen", "refused"]
    message: str = ""


def send(repository: Repository, method: str, path: str, body: Any = None) -> Any:
    """Make a request below the repository's address and return its answer.

    Raises
    ------
    Denied
        When GitHub refuses it.
    EnvironmentFailure
        When there is no answer, the token is not valid, or too much was asked.
    """
    url = repository.url + path
    request = repository.requester.requestJsonAndCheck
    try:
        name = f"{method} {path}" if path else "look up the repository"
        return ask(name, lambda: request(method, url, input=body))[1]
    except EnvironmentFailure as error:
        response: Any = error.__cause__
        status = getattr(response, "status", 0)
        data = getattr(response, "data", None)
        message = str(data.get("message", "")) if isinstance(data, dict) else ""
        if status not in (403, 404, 409, 422) or "rate limit" in message:
            raise
        needs = response.headers.get("x-accepted-github-permissions")
        if needs:
            message += f" (needs {needs})"
        raise Denied(status, message) from error


def send_for_list(
    repository: Repository, path: str, key: str = "", query: str = ""
) -> list[dict[str, Any]]:
    """Return a whole list, page by page.

    GitHub may put fewer things on a page than it was asked for: of variables there are
    never more than 30. A list below a key comes with its length; any other ends with a
    page that is not full.

    Parameters
    ----------
    path : str
        Below the repository's address.
    key : str
        Of the list in the answer; empty where the answer is the list.
    query : str
        What else to send, beginning with ``&``.

    Raises
    ------
    Denied
        When GitHub refuses it.

    References
    ----------
    https://docs.github.com/rest/actions/variables
    """
    rows: list[dict[str, Any]] = []
    page = 1
    while True:
        address = f"{path}?per_page={_PAGE}&page={page}{query}"
        data = send(repository, "GET", address)
        some: list[dict[str, Any]] = data[key] if key else data
        rows += some
        is_last = len(rows) >= data["total_count"] if key else len(some) < _PAGE
        if is_last or not some:
            return rows
        page += 1


def read_settings(
    repository: Repository, settings: RepositorySettings, project: Project
) -> tuple[dict[str, Any], list[SettingOutcome]]:
    """Return what is there of what is declared, and what of it could not be seen.

    The first has the fields of `RepositorySettings`; `reviewers`, by environment, as
    project.yaml names them; the `plan`: public, enterprise, free, or paid where
    nobody can say; and the `default_branch`.
    """
    reader = _Reader(repository, settings)
    about = send(repository, "GET", "")
    visibility = about["visibility"]
    plan = {"public": "public", "internal": "enterprise"}.get(visibility, "paid")
    present: dict[str, Any] = {"plan": plan, "default_branch": about["default_branch"]}
    unseen: list[SettingOutcome] = []
    for name, look in reader.looks().items():
        if getattr(settings, name) in (None, {}):
            continue
        try:
            present[name] = look()
        except Denied as no:
            hidden = name == "environments" and no.status == 404
            if no.lacks_plan or (hidden and present["plan"] == "free"):
                present |= {"plan": "free", name: {}}
            else:
                unseen.append(
                    SettingOutcome(name.replace("_", " "), "not seen", str(no))
                )
    present["reviewers"], strangers = reader.reviewers(project)
    if present["plan"] == "paid" and _asks_reviewers(present.get("environments", {})):
        present["plan"] = "enterprise"  # no other has them in a private repository
    return present, unseen + strangers


def _asks_reviewers(environments: dict[str, Any]) -> bool:
    """Return whether any environment waits for a reviewer."""
    for environment in environments.values():
        for rule in environment["protection_rules"]:
            if rule["type"] == "required_reviewers":
                return True
    return False


class _Reader:
    """Reads what GitHub has of a repository's settings, one kind at a time."""

    def __init__(self, repository: Repository, settings: RepositorySettings) -> None:
        self.repository = repository
        self.settings = settings

    def looks(self) -> dict[str, Callable[[], Any]]:
        """Return what reads each field of `RepositorySettings`, in order."""
        return {
            "rulesets": self.rulesets,  # first: it says where the plan lacks something
            "environments": self.environments,
            "labels": lambda: self.rows("/labels"),
            "variables": lambda: self.rows("/actions/variables", "variables"),
            "pages": lambda: self.one("/pages"),
            "immutable_releases": lambda: self.one("/immutable-releases"),
            "workflow_permissions": lambda: self.one("/actions/permissions/workflow"),
        }

    def one(self, path: str) -> Any:
        """Return what is at a path, None where nothing is."""
        try:
            return send(self.repository, "GET", path)
        except Denied as no:
            if no.status == 404:
                return None
            raise

    def rows(self, path: str, key: str = "", query: str = "") -> list[dict[str, Any]]:
        """Return a whole list, page by page."""
        return send_for_list(self.repository, path, key, query)

    def environments(self) -> dict[str, Any]:
        """Return the environments by name, with the branches that may use them."""
        named = {e["name"]: e for e in self.rows("/environments", "environments")}
        for name in named.keys() & self.settings.environments.keys():
            policy = named[name]["deployment_branch_policy"] or {}
            if policy.get("custom_branch_policies"):
                address = f"/environments/{quote(name, safe='')}"
                path = f"{address}/deployment-branch-policies"
                named[name]["policies"] = self.rows(path, "branch_policies")
        return named

    def rulesets(self) -> dict[str, Any]:
        """Return the rulesets that are declared, by name."""
        every = self.rows("/rulesets", query="&includes_parents=false")
        declared = [rule for rule in every if rule["name"] in self.settings.rulesets]
        return {rule["name"]: self.one(f"/rulesets/{rule['id']}") for rule in declared}

    def reviewers(
        self, project: Project
    ) -> tuple[dict[str, list[dict[str, Any]]], list[SettingOutcome]]:
        """Return the reviewers of each stage, and who of them cannot be one.

        One whom GitHub does not know, or who may not read a private repository, would
        have it refuse all reviewers of the environment.
        """
        known: dict[str, list[dict[str, Any]]] = {}
        unseen: list[SettingOutcome] = []
        for stage in project.spec.stages:
            ids = []
            for approver in stage.everybody:
                who = approver.strip().lstrip("@")
                path = f"/collaborators/{quote(who, safe='')}/permission"
                person = self.one(path)
                if person is None:
                    unseen.append(SettingOutcome(f"@{who}", "not seen"))
                elif person["permission"] == "none":
                    unseen.append(SettingOutcome(f"@{who}", "not seen", _NO_ACCESS))
                else:
                    ids.append({"type": "User", "id": person["user"]["id"]})
            known[stage.name] = ids[:6]  # GitHub takes no more
        return known, unseen


def apply_settings(
    repository: Repository, differing: list[Difference]
) -> list[SettingOutcome]:
    """Fix differences, one after the other; return what became of each."""
    return [_fix(repository, one) for one in differing]


def _fix(repository: Repository, one: Difference) -> SettingOutcome:
    try:
        for call in one.calls:
            send(repository, *call)
    except Denied as no:
        # Environments are only said not to be found where the plan lacks them.
        lacking = one.lacking and no.status in (403, 404, 422) and not no.lacks_right
        if no.lacks_plan or lacking:
            message = one.instead or str(no)
            if one.instead and not no.lacks_plan:
                message = f"{one.instead} ({no})"  # that it is the plan is a guess
            return SettingOutcome(one.setting, "not in this plan", message)
        return SettingOutcome(one.setting, "refused", str(no))
    return SettingOutcome(one.setting, "done")

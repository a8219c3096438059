"""Repository settings read from and written to GitHub."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure
from mlops.github.client import ask
from mlops.github.repo_settings import Difference, Settings

if TYPE_CHECKING:
    from github.Repository import Repository


_PLAN = re.compile(r"\bupgrade\b|billing plan|current plan", re.IGNORECASE)


class Denied(EnvironmentFailure):
    """GitHub said no: with which status, and whether for lack of a plan or of the token's right."""

    def __init__(self, status: int, said: str) -> None:
        self.status, self.lacks_plan = status, bool(_PLAN.search(said))
        self.lacks_right = said.startswith("Resource not accessible")  # by this token
        super().__init__(f"GitHub answered {status}: {said}")


class Outcome(NamedTuple):
    """What there is to say of one thing."""

    what: str
    result: Literal["differs", "done", "not in this plan", "not seen", "refused"]
    said: str = ""


def send(repository: Repository, method: str, path: str, body: Any = None) -> Any:
    """Make a request below the repository's address and return its answer.

    Raises
    ------
    Denied
        When the answer is no.
    WorldError
        When there is no answer, the token is not valid, or too much was asked.
    """
    url, do = repository.url + path, repository.requester.requestJsonAndCheck
    try:
        return ask(f"{method} {path or '/'}", lambda: do(method, url, input=body))[1]
    except EnvironmentFailure as error:
        answer: Any = error.__cause__
        data, status = getattr(answer, "data", None), getattr(answer, "status", 0)
        said = str(data.get("message", "")) if isinstance(data, dict) else ""
        if status not in (403, 404, 409, 422) or "rate limit" in said:
            raise
        needs = answer.headers.get("x-accepted-github-permissions")
        raise Denied(status, f"{said} (needs {needs})" if needs else said) from error


def read(
    repository: Repository, settings: Settings, project: Project
) -> tuple[dict[str, Any], list[Outcome]]:
    """Return what is there of what is declared, and what of it could not be seen.

    The first has the fields of `Settings`; `reviewers`, by environment, as project.yaml names them;
    and the `plan`: public, enterprise, free, or paid where nobody can say.
    """

    def one(path: str) -> Any:
        try:
            return send(repository, "GET", path)
        except Denied as no:
            if no.status == 404:
                return None
            raise

    def rows(
        path: str, key: str = "", more: str = "", page: int = 1
    ) -> list[dict[str, Any]]:
        data = send(repository, "GET", f"{path}?per_page=100&page={page}{more}")
        some: list[dict[str, Any]] = data[key] if key else data
        return some if len(some) < 100 else some + rows(path, key, more, page + 1)

    def environments() -> dict[str, Any]:
        named = {
            place["name"]: place for place in rows("/environments", "environments")
        }
        for name in named.keys() & settings.environments.keys():
            path = f"/environments/{quote(name, safe='')}/deployment-branch-policies"
            if (named[name]["deployment_branch_policy"] or {}).get(
                "custom_branch_policies"
            ):
                named[name]["policies"] = rows(path, "branch_policies")
        return named

    def rulesets() -> dict[str, Any]:
        every = rows("/rulesets", more="&includes_parents=false")
        mine = [rule for rule in every if rule["name"] in settings.rulesets]
        return {rule["name"]: one(f"/rulesets/{rule['id']}") for rule in mine}

    looks: dict[str, Callable[[], Any]] = {
        "rulesets": rulesets,  # first: its answer says it where the plan lacks something
        "environments": environments,
        "labels": lambda: rows("/labels"),
        "variables": lambda: rows("/actions/variables", "variables"),
        "pages": lambda: one("/pages"),
        "immutable_releases": lambda: one("/immutable-releases"),
        "workflow_permissions": lambda: one("/actions/permissions/workflow"),
    }
    seen = send(repository, "GET", "")["visibility"]
    plan = {"public": "public", "internal": "enterprise"}.get(seen, "paid")
    found: dict[str, Any] = {"plan": plan, "reviewers": {}}
    unseen: list[Outcome] = []
    for name, look in looks.items():
        if getattr(settings, name) in (None, {}):
            continue
        try:
            found[name] = look()
        except Denied as no:
            none = (
                name == "environments" and no.status == 404 and found["plan"] == "free"
            )
            if no.lacks_plan or none:
                found |= {"plan": "free", name: {}}
            else:
                unseen.append(Outcome(name.replace("_", " "), "not seen", str(no)))
    for stage in project.spec.stages:
        names = [who.strip().lstrip("@") for who in stage.approvers]
        people = {
            who: one(f"/collaborators/{quote(who, safe='')}/permission")
            for who in names
        }
        unseen += [
            Outcome(f"@{who}", "not seen") for who, seen in people.items() if not seen
        ]
        ids = [
            {"type": "User", "id": seen["user"]["id"]}
            for seen in people.values()
            if seen
        ]
        found["reviewers"][stage.name] = ids[:6]  # GitHub takes no more
    rules = [
        r for e in found.get("environments", {}).values() for r in e["protection_rules"]
    ]
    if found["plan"] == "paid" and any(
        rule["type"] == "required_reviewers" for rule in rules
    ):
        found["plan"] = "enterprise"  # no other has them in a private repository
    return found, unseen


def apply(repository: Repository, differing: list[Difference]) -> list[Outcome]:
    """Mend differences, one after the other; return what became of each."""
    return [_mend(repository, one) for one in differing]


def _mend(repository: Repository, one: Difference) -> Outcome:
    try:
        for call in one.calls:
            send(repository, *call)
    except Denied as no:
        # Environments are only said not to be found where the plan lacks them.
        lacking = one.lacking and no.status in (403, 404, 422) and not no.lacks_right
        if no.lacks_plan or lacking:
            return Outcome(one.what, "not in this plan", one.instead or str(no))
        return Outcome(one.what, "refused", str(no))
    return Outcome(one.what, "done")

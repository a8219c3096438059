"""Reading the settings on GitHub and changing them; what is refused is said and stops nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from mlops.errors import WorldError
from mlops.github.client import ask
from mlops.github.settings import Call, Difference, Settings
from mlops.project import Project

if TYPE_CHECKING:
    from github.Repository import Repository

MOST_REVIEWERS = 6  # of an environment, says GitHub
_PLAN = re.compile(r"\bupgrade\b|billing plan|current plan", re.IGNORECASE)
_RIGHT = "Resource not accessible"  # by this token


class Denied(WorldError):
    """GitHub said no: with which status, and whether for lack of a plan or of the token's right."""

    def __init__(self, status: int, said: str) -> None:
        self.status, self.lacks_plan = status, bool(_PLAN.search(said))
        self.lacks_right = said.startswith(_RIGHT)
        super().__init__(f"GitHub answered {status}: {said}")


class Outcome(NamedTuple):
    """What there is to say of one thing."""

    what: str
    result: Literal["differs", "done", "not in this plan", "not seen", "refused"]
    said: str = ""


def send(repository: Repository, call: Call) -> Any:
    """Make a request and return its answer.

    Raises
    ------
    Denied
        When the answer is no.
    WorldError
        When there is no answer, the token is not valid, or too much was asked.
    """
    url, do = repository.url + call.path, repository.requester.requestJsonAndCheck
    try:
        what = f"{call.method} {call.path or '/'}"
        return ask(what, lambda: do(call.method, url, input=call.body))[1]
    except WorldError as error:
        answer: Any = error.__cause__
        data, status = getattr(answer, "data", None), getattr(answer, "status", 0)
        said = str(data.get("message", "")) if isinstance(data, dict) else ""
        if status not in (403, 404, 409, 422) or "rate limit" in said:
            raise
        headers = {key.lower(): value for key, value in (answer.headers or {}).items()}
        needs = headers.get("x-accepted-github-permissions")
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
            return send(repository, Call("GET", path))
        except Denied as no:
            if no.status == 404:
                return None
            raise

    def rows(path: str, key: str = "", more: str = "") -> list[dict[str, Any]]:
        every: list[dict[str, Any]] = []
        while not len(every) % 100:
            page = f"?per_page=100&page={len(every) // 100 + 1}{more}"
            data = send(repository, Call("GET", path + page))
            if not (new := data[key] if key else data):
                break
            every += new
        return every

    def environments() -> dict[str, Any]:
        named = {one["name"]: one for one in rows("/environments", "environments")}
        for name in named.keys() & settings.environments.keys():
            path = f"/environments/{quote(name, safe='')}/deployment-branch-policies"
            if (named[name]["deployment_branch_policy"] or {}).get("custom_branch_policies"):
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
    plans = {"public": "public", "internal": "enterprise"}
    found: dict[str, Any] = {
        "plan": plans.get(send(repository, Call("GET", ""))["visibility"], "paid"),
        "reviewers": {},
    }
    unseen: list[Outcome] = []
    for name, look in looks.items():
        if getattr(settings, name) in (None, {}):
            continue
        try:
            found[name] = look()
        except Denied as no:
            none = name == "environments" and no.status == 404 and found["plan"] == "free"
            if no.lacks_plan or none:
                found |= {"plan": "free", name: {}}
            else:
                unseen.append(Outcome(name.replace("_", " "), "not seen", str(no)))
    for stage in project.spec.stages:
        names = [who.strip().lstrip("@") for who in stage.approvers]
        people = {who: one(f"/collaborators/{quote(who, safe='')}/permission") for who in names}
        unseen += [Outcome(f"@{who}", "not seen") for who, seen in people.items() if not seen]
        ids = [{"type": "User", "id": seen["user"]["id"]} for seen in people.values() if seen]
        found["reviewers"][stage.name] = ids[:MOST_REVIEWERS]
    rules = [r for e in found.get("environments", {}).values() for r in e["protection_rules"]]
    if found["plan"] == "paid" and any(rule["type"] == "required_reviewers" for rule in rules):
        found["plan"] = "enterprise"  # no other has them in a private repository
    return found, unseen


def apply(repository: Repository, differing: list[Difference]) -> list[Outcome]:
    """Mend differences, one after the other; return what became of each."""
    return [_mend(repository, one) for one in differing]


def _mend(repository: Repository, one: Difference) -> Outcome:
    try:
        for call in one.calls:
            send(repository, call)
    except Denied as no:
        # Environments are only said not to be found where the plan lacks them.
        lacking = one.lacking and no.status in (403, 404, 422) and not no.lacks_right
        if no.lacks_plan or lacking:
            return Outcome(one.what, "not in this plan", one.instead or str(no))
        return Outcome(one.what, "refused", str(no))
    return Outcome(one.what, "done")

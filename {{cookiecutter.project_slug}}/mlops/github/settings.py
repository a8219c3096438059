"""The settings on GitHub: what a file declares, how what is there differs, what mends it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

from pydantic import Field

from mlops import WorldError
from mlops.github.client import ask
from mlops.project import Project, load_yaml, parse
from mlops.spec import Strict

if TYPE_CHECKING:
    from github.Repository import Repository

FILE = ".github/settings.yaml"
_PLAN = re.compile(r"\bupgrade\b|billing plan|current plan", re.IGNORECASE)
Call = tuple[str, str, Any]  # method, path below the repository's address, body
_VARIABLE = Field(pattern="^[A-Z_][A-Z0-9_]*$")
# What holds where the plan has no such thing.
_INSTEAD = {
    "branches": "any branch may use it: keep no secret in it",
    "reviewers": "`mlops promote` checks the approvers of project.yaml: a version waits in staging "
    "until one of them runs promote.yml",
    "branch": "whoever may push can also push to it; release.yml compares again what comes, and "
    "delivers nothing that its gate refuses",
    "tag": "whoever may push can move a tag; a clone that has it refuses the other one",
    "pages": "pages.yml keeps the page as an artifact of its runs",
}


class Environment(Strict):
    """What jobs deploy to; the stage of its name in project.yaml says who reviews it."""

    branches: tuple[str, ...] = Field(default=(), description="That may deploy; empty: any.")


class Ruleset(Strict):
    """What holds of some branches or tags, in the words of GitHub's API."""

    target: Literal["branch", "tag"]
    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    rules: Mapping[str, Mapping[str, Any]]
    bypass_actors: tuple[Mapping[str, Any], ...] = ()


class Label(Strict):
    """What issues are sorted by."""

    color: Annotated[str, Field(pattern="^[0-9a-f]{6}$")]
    description: Annotated[str, Field(max_length=100)] = ""


class Workflows(Strict):
    """What the token of a job may do."""

    default_workflow_permissions: Literal["read", "write"]
    can_approve_pull_request_reviews: bool


class Settings(Strict):
    """`.github/settings.yaml`; what it does not name is left alone."""

    environments: Mapping[str, Environment] = Field(default_factory=dict)
    rulesets: Mapping[str, Ruleset] = Field(default_factory=dict)
    labels: Mapping[str, Label] = Field(default_factory=dict)
    variables: Mapping[Annotated[str, _VARIABLE], str] = Field(default_factory=dict)
    pages: Literal["workflow"] | None = None
    immutable_releases: bool | None = None
    workflow_permissions: Workflows | None = None


class Difference(NamedTuple):
    """One thing that is not as declared.

    Parameters
    ----------
    what : str
        Such as ``environment production``.
    found, wanted : object
        Only where they differ; found is None where there is nothing.
    calls : list of tuple
        What mends it, in this order: method, path and body of requests.
    instead : str
        What holds where the plan has no such thing.
    lacking : bool
        The plan seems to have no such thing: said and tried, but no drift.
    """

    what: str
    found: Any
    wanted: Any
    calls: list[Call]
    instead: str = ""
    lacking: bool = False


def load(project: Project) -> Settings:
    """Read what a repository declares; UsageError has every mistake of the file."""
    return parse(Settings, load_yaml(project.root / FILE), FILE)


def differences(settings: Settings, found: Mapping[str, Any]) -> list[Difference]:
    """Return what is not as declared.

    Parameters
    ----------
    found : mapping
        What GitHub's API shows, as `read` returns it; nothing is said of a field that is not there.
    """
    labels = {name: one.model_dump(exclude_defaults=True) for name, one in settings.labels.items()}
    variables = {name: {"value": value} for name, value in settings.variables.items()}
    every = [
        *_named("label", "/labels", labels, found.get("labels")),
        *_named("variable", "/actions/variables", variables, found.get("variables")),
        *_switches(settings, found),
        *(_environments(settings, found) if "environments" in found else ()),
        *(_rulesets(settings, found) if "rulesets" in found else ()),
    ]
    return [new for one in every if (new := _differing(one))]


def _differing(one: Difference) -> Difference | None:
    """Return a difference without what is the same in it, None where everything is."""
    if one.found is None:
        return one
    keys = [key for key, value in one.wanted.items() if not covers(one.found.get(key), value)]
    found, wanted = ({k: of.get(k) for k in keys} for of in (one.found, one.wanted))
    return one._replace(found=found, wanted=wanted) if keys else None


def covers(found: Any, wanted: Any) -> bool:
    """Return whether all that is wanted is there; lists hold the same, in whatever order."""
    if isinstance(wanted, Mapping):
        there = found if isinstance(found, Mapping) else {}
        return all(key in there and covers(there[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        items = found if isinstance(found, list) else []
        some = all(any(covers(one, w) for one in items) for w in wanted)
        return some and len(items) == len(wanted)
    return bool(found == wanted)


def _named(kind: str, path: str, wanted: Mapping[str, Any], found: Any) -> Iterator[Difference]:
    there = {one["name"].lower(): one for one in found or ()}
    for name, body in wanted.items() if found is not None else ():
        old = there.get(name.lower())
        edit = ("PATCH", f"{path}/{quote(name, safe='')}", body)
        call = edit if old else ("POST", path, {"name": name, **body})
        yield Difference(f"{kind} {name}", old, body, [call])


def _switches(settings: Settings, found: Mapping[str, Any]) -> Iterator[Difference]:
    if settings.workflow_permissions and (old := found.get("workflow_permissions")):
        body = settings.workflow_permissions.model_dump()
        call: Call = ("PUT", "/actions/permissions/workflow", body)
        yield Difference("permissions of workflows", old, body, [call])
    if settings.immutable_releases is not None and "immutable_releases" in found:
        call = ("PUT" if settings.immutable_releases else "DELETE", "/immutable-releases", None)
        old, wanted = found["immutable_releases"], {"enabled": settings.immutable_releases}
        yield Difference("immutable releases", old or {"enabled": False}, wanted, [call])
    if settings.pages and "pages" in found:
        body, old = {"build_type": settings.pages}, found["pages"]
        call, lacking = ("PUT" if old else "POST", "/pages", body), found["plan"] == "free"
        yield Difference("pages", old, body, [call], _INSTEAD["pages"], lacking)


def _environments(settings: Settings, found: Mapping[str, Any]) -> Iterator[Difference]:
    for name, environment in settings.environments.items():
        old, path = found["environments"].get(name), f"/environments/{quote(name, safe='')}"
        body, there = _kept(old or {})
        wanted: dict[str, Any] = {}
        calls: list[Call] = [("PUT", path, body)]
        if branches := list(environment.branches):
            policy = {"protected_branches": False, "custom_branch_policies": True}
            body["deployment_branch_policy"] = policy
            wanted = {"deployment_branch_policy": policy, "branches": branches}
            rules = f"{path}/deployment-branch-policies"
            new = [branch for branch in branches if branch not in there]
            calls += [("POST", rules, {"name": branch, "type": "branch"}) for branch in new]
            gone = [there[branch] for branch in there if branch not in branches]
            calls += [("DELETE", f"{rules}/{number}", None) for number in gone]
        seen = None if old is None else {**old, "branches": list(there)}
        about = (_INSTEAD["branches"], found["plan"] == "free")
        yield Difference(f"environment {name}", seen, wanted, calls, *about)
        if people := found["reviewers"].get(name):
            # A sole approver may start promote.yml; what they registered the engine refuses them.
            wanted = {"reviewers": people, "prevent_self_review": False}
            calls = [("PUT", path, body | wanted)]
            about = (_INSTEAD["reviewers"], found["plan"] in ("free", "paid"))
            yield Difference(f"reviewers of {name}", body, wanted, calls, *about)


def _kept(environment: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Return what a change must repeat, because GitHub takes off the rest; and the branches."""
    policy = environment.get("deployment_branch_policy")
    body: dict[str, Any] = {"deployment_branch_policy": policy} if policy else {}
    for rule in environment.get("protection_rules", ()):
        if rule["type"] == "wait_timer":
            body["wait_timer"] = rule["wait_timer"]
        if rule["type"] == "required_reviewers":
            people = [{"type": r["type"], "id": r["reviewer"]["id"]} for r in rule["reviewers"]]
            body |= {"reviewers": people, "prevent_self_review": rule["prevent_self_review"]}
    policies = environment.get("policies", ())
    return body, {one["name"]: one["id"] for one in policies if one.get("type") != "tag"}


def _rulesets(settings: Settings, found: Mapping[str, Any]) -> Iterator[Difference]:
    for name, ruleset in settings.rulesets.items():
        old = found["rulesets"].get(name)
        before = {rule["type"]: rule.get("parameters", {}) for rule in (old or {}).get("rules", ())}
        given = ruleset.model_dump(mode="json")
        wanted = {
            "target": ruleset.target,
            "enforcement": "active",
            "conditions": {"ref_name": {key: given[key] for key in ("include", "exclude")}},
            "bypass_actors": given["bypass_actors"],
            "rules": [_rule(kind, rule) for kind, rule in given["rules"].items()],
        }
        rules = [_rule(kind, before.get(kind, {}) | rule) for kind, rule in given["rules"].items()]
        body = {"name": name, **wanted, "rules": rules}
        if old and "bypass_actors" not in old:  # only who may change a ruleset sees them
            del wanted["bypass_actors"]
        method, path = ("PUT", f"/rulesets/{old['id']}") if old else ("POST", "/rulesets")
        about = (_INSTEAD[ruleset.target], found["plan"] == "free")
        yield Difference(f"ruleset {name}", old, wanted, [(method, path, body)], *about)


def _rule(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "parameters": parameters} if parameters else {"type": kind}


class Denied(WorldError):
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
    except WorldError as error:
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

    def rows(path: str, key: str = "", more: str = "", page: int = 1) -> list[dict[str, Any]]:
        data = send(repository, "GET", f"{path}?per_page=100&page={page}{more}")
        some: list[dict[str, Any]] = data[key] if key else data
        return some if len(some) < 100 else some + rows(path, key, more, page + 1)

    def environments() -> dict[str, Any]:
        named = {place["name"]: place for place in rows("/environments", "environments")}
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
        found["reviewers"][stage.name] = ids[:6]  # GitHub takes no more
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
            send(repository, *call)
    except Denied as no:
        # Environments are only said not to be found where the plan lacks them.
        lacking = one.lacking and no.status in (403, 404, 422) and not no.lacks_right
        if no.lacks_plan or lacking:
            return Outcome(one.what, "not in this plan", one.instead or str(no))
        return Outcome(one.what, "refused", str(no))
    return Outcome(one.what, "done")

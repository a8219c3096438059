"""Repository settings: what a file declares and how GitHub differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

from pydantic import Field

from mlops.config.model_spec import Strict
from mlops.config.project import Project
from mlops.config.yaml import load_yaml, parse

FILE = ".github/settings.yaml"

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

    branches: tuple[str, ...] = Field(
        default=(), description="That may deploy; empty: any."
    )


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
    labels = {
        name: one.model_dump(exclude_defaults=True)
        for name, one in settings.labels.items()
    }
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
    keys = [
        key
        for key, value in one.wanted.items()
        if not covers(one.found.get(key), value)
    ]
    found, wanted = ({k: of.get(k) for k in keys} for of in (one.found, one.wanted))
    return one._replace(found=found, wanted=wanted) if keys else None


def covers(found: Any, wanted: Any) -> bool:
    """Return whether all that is wanted is there; lists hold the same, in whatever order."""
    if isinstance(wanted, Mapping):
        there = found if isinstance(found, Mapping) else {}
        return all(
            key in there and covers(there[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        items = found if isinstance(found, list) else []
        some = all(any(covers(one, w) for one in items) for w in wanted)
        return some and len(items) == len(wanted)
    return bool(found == wanted)


def _named(
    kind: str, path: str, wanted: Mapping[str, Any], found: Any
) -> Iterator[Difference]:
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
        call = (
            "PUT" if settings.immutable_releases else "DELETE",
            "/immutable-releases",
            None,
        )
        old, wanted = (
            found["immutable_releases"],
            {"enabled": settings.immutable_releases},
        )
        yield Difference(
            "immutable releases", old or {"enabled": False}, wanted, [call]
        )
    if settings.pages and "pages" in found:
        body, old = {"build_type": settings.pages}, found["pages"]
        call, lacking = (
            ("PUT" if old else "POST", "/pages", body),
            found["plan"] == "free",
        )
        yield Difference("pages", old, body, [call], _INSTEAD["pages"], lacking)


def _environments(settings: Settings, found: Mapping[str, Any]) -> Iterator[Difference]:
    for name, environment in settings.environments.items():
        old, path = (
            found["environments"].get(name),
            f"/environments/{quote(name, safe='')}",
        )
        body, there = _kept(old or {})
        wanted: dict[str, Any] = {}
        calls: list[Call] = [("PUT", path, body)]
        if branches := list(environment.branches):
            policy = {"protected_branches": False, "custom_branch_policies": True}
            body["deployment_branch_policy"] = policy
            wanted = {"deployment_branch_policy": policy, "branches": branches}
            rules = f"{path}/deployment-branch-policies"
            new = [branch for branch in branches if branch not in there]
            calls += [
                ("POST", rules, {"name": branch, "type": "branch"}) for branch in new
            ]
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
            people = [
                {"type": r["type"], "id": r["reviewer"]["id"]}
                for r in rule["reviewers"]
            ]
            body |= {
                "reviewers": people,
                "prevent_self_review": rule["prevent_self_review"],
            }
    policies = environment.get("policies", ())
    return body, {
        one["name"]: one["id"] for one in policies if one.get("type") != "tag"
    }


def _rulesets(settings: Settings, found: Mapping[str, Any]) -> Iterator[Difference]:
    for name, ruleset in settings.rulesets.items():
        old = found["rulesets"].get(name)
        before = {
            rule["type"]: rule.get("parameters", {})
            for rule in (old or {}).get("rules", ())
        }
        given = ruleset.model_dump(mode="json")
        wanted = {
            "target": ruleset.target,
            "enforcement": "active",
            "conditions": {
                "ref_name": {key: given[key] for key in ("include", "exclude")}
            },
            "bypass_actors": given["bypass_actors"],
            "rules": [_rule(kind, rule) for kind, rule in given["rules"].items()],
        }
        rules = [
            _rule(kind, before.get(kind, {}) | rule)
            for kind, rule in given["rules"].items()
        ]
        body = {"name": name, **wanted, "rules": rules}
        if (
            old and "bypass_actors" not in old
        ):  # only who may change a ruleset sees them
            del wanted["bypass_actors"]
        method, path = (
            ("PUT", f"/rulesets/{old['id']}") if old else ("POST", "/rulesets")
        )
        about = (_INSTEAD[ruleset.target], found["plan"] == "free")
        yield Difference(f"ruleset {name}", old, wanted, [(method, path, body)], *about)


def _rule(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "parameters": parameters} if parameters else {"type": kind}

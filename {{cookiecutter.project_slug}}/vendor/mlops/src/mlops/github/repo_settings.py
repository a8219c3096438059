"""Repository settings: what a file declares and how GitHub differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

from pydantic import Field

from mlops.config.model_spec import Strict
from mlops.config.project import Project
from mlops.config.yaml import load_yaml, parse
from mlops.errors import Problem, UsageError
from mlops.github.default_branch import DEFAULT_BRANCH
from mlops.github.ref_patterns import fits

FILE = ".github/settings.yaml"

Call = tuple[str, str, Any]  # method, path below the repository's address, body

_VARIABLE = Field(pattern="^[A-Z_][A-Z0-9_]*$")

# The environment with the secrets of the workflows that keep a repository up to date.
UPKEEP = "upkeep"

# Rules of what is merged.
_OF_MERGES = {"pull_request", "required_status_checks"}

# What holds where the plan has no such thing.
_INSTEAD = {
    "branches": "any branch may use it: keep no secret in it",
    "reviewers": "`mlops promote` checks the approvers of project.yaml: a version "
    "waits in staging until one of them runs promote.yml",
    "branch": "whoever may push can also push to it; release.yml compares again what "
    "comes, and delivers nothing that its gate refuses",
    "ruleset journal": "whoever may push can rewrite the run log; nothing else "
    "rests on it",
    "tag": "whoever may push can move a tag; a clone that has it refuses the other one",
    "pages": "pages.yml keeps the page as an artifact of its runs",
}


class DeploymentEnvironment(Strict):
    """What jobs deploy to; project.yaml's stage of its name says who reviews it."""

    branches: tuple[str, ...] = Field(
        default=(),
        description="That may deploy; ~DEFAULT_BRANCH is the default branch, whatever "
        "its name. Empty: any.",
    )
    prevent_self_review: bool = Field(
        default=False,
        description="Whoever started a run may not approve it; needs reviewers.",
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


class RepositorySettings(Strict):
    """`.github/settings.yaml`; what it does not name is left alone."""

    environments: Mapping[str, DeploymentEnvironment] = Field(default_factory=dict)
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
    setting : str
        Such as ``environment production``.
    current, wanted : object
        Only where they differ; current is None where there is nothing.
    calls : list of tuple
        What fixes it, in this order: method, path and body of requests.
    instead : str
        What holds where the plan has no such thing.
    lacking : bool
        The plan seems to have no such thing: said and tried, but no drift.
    """

    setting: str
    current: Any
    wanted: Any
    calls: list[Call]
    instead: str = ""
    lacking: bool = False


def load_settings(project: Project) -> RepositorySettings:
    """Read what a repository declares; UsageError has every mistake of the file."""
    settings = parse(RepositorySettings, load_yaml(project.root / FILE), FILE)
    approvers = {stage.name: stage.everybody for stage in project.spec.stages}
    lost = [
        name
        for name, environment in settings.environments.items()
        if environment.prevent_self_review and not approvers.get(name)
    ]
    if lost:
        raise UsageError(
            *(
                Problem(
                    "nobody would have to approve: the stage names no approvers",
                    FILE,
                    f"environments.{name}.prevent_self_review",
                    found="true",
                    do="list approvers in project.yaml, or leave this key out",
                )
                for name in lost
            )
        )
    return settings


def guards(settings: RepositorySettings, branch: str, stages: Iterable[str]) -> bool:
    """Return whether the rules that are declared for merges hold of a branch.

    It has to be able to deploy to each stage, and to be in one of the rulesets that
    demand pull requests or checks, where there are such. An environment that is no
    stage may well be for another branch.
    """
    for name in (*stages, UPKEEP):
        environment = settings.environments.get(name, DeploymentEnvironment())
        branches = _named_branches(environment, branch)
        if branches and not any(fits(one, branch) for one in branches):
            return False
    demanding = [
        ruleset
        for ruleset in settings.rulesets.values()
        if ruleset.target == "branch" and _OF_MERGES & ruleset.rules.keys()
    ]
    return not demanding or any(_holds_of(one, branch) for one in demanding)


def _holds_of(ruleset: Ruleset, branch: str) -> bool:
    """Return whether a ruleset is about the default branch, whose name is given."""
    ref = f"refs/heads/{branch}"

    def covers_ref(patterns: tuple[str, ...]) -> bool:
        special = DEFAULT_BRANCH in patterns or "~ALL" in patterns
        return special or any(fits(one, ref) for one in patterns)

    return covers_ref(ruleset.include) and not covers_ref(ruleset.exclude)


def differences(
    settings: RepositorySettings, current: Mapping[str, Any]
) -> list[Difference]:
    """Return what is not as declared.

    Parameters
    ----------
    current : mapping
        What GitHub's API shows, as `read` returns it; a field that is not there is left
        out.
    """
    labels = {
        name: label.model_dump(exclude_defaults=True)
        for name, label in settings.labels.items()
    }
    variables = {name: {"value": value} for name, value in settings.variables.items()}
    declared = [
        *_named("label", "/labels", labels, current.get("labels")),
        *_named("variable", "/actions/variables", variables, current.get("variables")),
        *_workflow_permissions(settings, current),
        *_immutable_releases(settings, current),
        *_pages(settings, current),
    ]
    if "environments" in current:
        declared += _environments(settings, current)
    if "rulesets" in current:
        declared += _rulesets(settings, current)
    narrowed = [_narrowed(one) for one in declared]
    return [one for one in narrowed if one is not None]


def _narrowed(one: Difference) -> Difference | None:
    """Return a difference without what is the same in it, None where everything is."""
    if one.current is None:
        return one
    current = {}
    wanted = {}
    for key, value in one.wanted.items():
        present = one.current.get(key)
        if not covers(present, value):
            current[key] = present
            wanted[key] = value
    return one._replace(current=current, wanted=wanted) if wanted else None


def covers(current: Any, wanted: Any) -> bool:
    """Return whether all that is wanted is there; lists may be in any order."""
    if isinstance(wanted, Mapping):
        if not isinstance(current, Mapping):
            return not wanted
        return all(
            key in current and covers(current[key], value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        items = current if isinstance(current, list) else []
        if len(items) != len(wanted):
            return False
        return all(any(covers(item, value) for item in items) for value in wanted)
    return bool(current == wanted)


def _named(
    kind: str, path: str, wanted: Mapping[str, Any], current: Any
) -> Iterator[Difference]:
    """Yield what is declared by name and sent whole; nothing where it was not seen."""
    if current is None:
        return
    present = {one["name"].lower(): one for one in current}
    for name, body in wanted.items():
        old = present.get(name.lower())
        call: Call = ("POST", path, {"name": name, **body})
        if old:
            call = ("PATCH", f"{path}/{quote(name, safe='')}", body)
        yield Difference(f"{kind} {name}", old, body, [call])


def _workflow_permissions(
    settings: RepositorySettings, current: Mapping[str, Any]
) -> Iterator[Difference]:
    old = current.get("workflow_permissions")
    if settings.workflow_permissions is None or not old:
        return
    body = settings.workflow_permissions.model_dump()
    call = ("PUT", "/actions/permissions/workflow", body)
    yield Difference("permissions of workflows", old, body, [call])


def _immutable_releases(
    settings: RepositorySettings, current: Mapping[str, Any]
) -> Iterator[Difference]:
    enabled = settings.immutable_releases
    if enabled is None or "immutable_releases" not in current:
        return
    old = current["immutable_releases"] or {"enabled": False}
    call = ("PUT" if enabled else "DELETE", "/immutable-releases", None)
    yield Difference("immutable releases", old, {"enabled": enabled}, [call])


def _pages(
    settings: RepositorySettings, current: Mapping[str, Any]
) -> Iterator[Difference]:
    if settings.pages is None or "pages" not in current:
        return
    old = current["pages"]
    body = {"build_type": settings.pages}
    call = ("PUT" if old else "POST", "/pages", body)
    lacking = current["plan"] == "free"
    yield Difference("pages", old, body, [call], _INSTEAD["pages"], lacking)


def _environments(
    settings: RepositorySettings, current: Mapping[str, Any]
) -> Iterator[Difference]:
    """Yield each environment, and after it who reviews its deployments."""
    for name, environment in settings.environments.items():
        path = f"/environments/{quote(name, safe='')}"
        old = current["environments"].get(name)
        body = _repeated(old or {})
        present = _branches(old or {})
        wanted: dict[str, Any] = {}
        branch_calls: list[Call] = []
        branches = _named_branches(environment, current["default_branch"])
        if branches:
            policy = {"protected_branches": False, "custom_branch_policies": True}
            body["deployment_branch_policy"] = policy
            wanted = {"deployment_branch_policy": policy, "branches": branches}
            branch_calls = _branch_calls(path, branches, present)
        yield Difference(
            f"environment {name}",
            None if old is None else {**old, "branches": list(present)},
            wanted,
            [("PUT", path, body), *branch_calls],
            _INSTEAD["branches"],
            lacking=current["plan"] == "free",
        )
        people = current["reviewers"].get(name)
        if people:
            # By default a sole approver may start promote.yml; the engine refuses them
            # what they registered themselves.
            review = {
                "reviewers": people,
                "prevent_self_review": environment.prevent_self_review,
            }
            yield Difference(
                f"reviewers of {name}",
                body,
                review,
                [("PUT", path, body | review)],
                _INSTEAD["reviewers"],
                lacking=current["plan"] in ("free", "paid"),
            )


def _named_branches(environment: DeploymentEnvironment, default: str) -> list[str]:
    """Return the names of the branches that may deploy, each once."""
    names = [
        default if name == DEFAULT_BRANCH else name for name in environment.branches
    ]
    return list(dict.fromkeys(names))


def _branch_calls(path: str, wanted: list[str], present: dict[str, int]) -> list[Call]:
    """Return the requests that make the branches of an environment those wanted.

    Parameters
    ----------
    present : dict of str to int
        The branches that may deploy now, and the number of each one's policy.
    """
    policies = f"{path}/deployment-branch-policies"
    calls: list[Call] = []
    for branch in wanted:
        if branch not in present:
            calls.append(("POST", policies, {"name": branch, "type": "branch"}))
    for branch, number in present.items():
        if branch not in wanted:
            calls.append(("DELETE", f"{policies}/{number}", None))
    return calls


def _repeated(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a change must repeat: GitHub takes off what it does not name."""
    body: dict[str, Any] = {}
    policy = environment.get("deployment_branch_policy")
    if policy:
        body["deployment_branch_policy"] = policy
    for rule in environment.get("protection_rules", ()):
        if rule["type"] == "wait_timer":
            body["wait_timer"] = rule["wait_timer"]
        elif rule["type"] == "required_reviewers":
            body["prevent_self_review"] = rule["prevent_self_review"]
            body["reviewers"] = [
                {"type": one["type"], "id": one["reviewer"]["id"]}
                for one in rule["reviewers"]
            ]
    return body


def _branches(environment: Mapping[str, Any]) -> dict[str, int]:
    """Return the branches that may deploy, and the number of each one's policy."""
    policies = environment.get("policies", ())
    return {one["name"]: one["id"] for one in policies if one.get("type") != "tag"}


def _rulesets(
    settings: RepositorySettings, current: Mapping[str, Any]
) -> Iterator[Difference]:
    for name, ruleset in settings.rulesets.items():
        old = current["rulesets"].get(name)
        declared = ruleset.model_dump(mode="json")
        refs = {"include": declared["include"], "exclude": declared["exclude"]}
        wanted = {
            "target": ruleset.target,
            "enforcement": "active",
            "conditions": {"ref_name": refs},
            "bypass_actors": declared["bypass_actors"],
            "rules": _rules(declared["rules"], {}),
        }
        rules = _rules(declared["rules"], _parameters(old or {}))
        body = {"name": name, **wanted, "rules": rules}
        call = ("POST", "/rulesets", body)
        if old:
            call = ("PUT", f"/rulesets/{old['id']}", body)
            if "bypass_actors" not in old:
                del wanted["bypass_actors"]  # only who may change a ruleset sees them
        instead = _INSTEAD.get(f"ruleset {name}", _INSTEAD[ruleset.target])
        lacking = current["plan"] == "free"
        yield Difference(f"ruleset {name}", old, wanted, [call], instead, lacking)


def _parameters(ruleset: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the parameters of each rule of a ruleset, by its kind."""
    rules = ruleset.get("rules", ())
    return {rule["type"]: rule.get("parameters", {}) for rule in rules}


def _rules(
    declared: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return rules as the API has them; what is not declared stays as it was before."""
    rules: list[dict[str, Any]] = []
    for kind, parameters in declared.items():
        rule: dict[str, Any] = {"type": kind}
        every = {**before.get(kind, {}), **parameters}
        if every:
            rule["parameters"] = every
        rules.append(rule)
    return rules

"""Which endpoints the hub has, and which permission each of them needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Permissions = Mapping[str, str]

# From GitHub's "Permissions required for GitHub Apps". Paths are below
# /repos/{owner}/{repo}, but for those that begin with two slashes. `a|b`: either is
# enough; `a+b`: both. `thread`: issues for an issue, pull-requests for a pull request.
TABLE = """
GET     //advisories                                  none
GET     //rate_limit                                  none
GET     //user                                        person
GET     /                                             metadata:read
PATCH   /                                             administration:write
GET     /actions/artifacts                            actions:read
GET     /actions/artifacts/{artifact_id}              actions:read
DELETE  /actions/artifacts/{artifact_id}              actions:write
GET     /actions/artifacts/{artifact_id}/{archive_format} actions:read
GET     /actions/organization-variables               variables:read
GET     /actions/permissions                          administration:read
PUT     /actions/permissions                          administration:write
GET     /actions/permissions/selected-actions         administration:read
GET     /actions/permissions/workflow                 administration:read
PUT     /actions/permissions/workflow                 administration:write
GET     /actions/runs                                 actions:read
GET     /actions/runs/{run_id}                        actions:read
GET     /actions/runs/{run_id}/approvals              actions:read
GET     /actions/runs/{run_id}/artifacts              actions:read
GET     /actions/runs/{run_id}/jobs                   actions:read
GET     /actions/variables                            variables:read
POST    /actions/variables                            variables:write
GET     /actions/variables/{name}                     variables:read
PATCH   /actions/variables/{name}                     variables:write
DELETE  /actions/variables/{name}                     variables:write
GET     /actions/workflows                            actions:read
GET     /actions/workflows/{workflow_id}              actions:read
POST    /actions/workflows/{workflow_id}/dispatches   actions:write
GET     /actions/workflows/{workflow_id}/runs         actions:read
POST    /attestations                                 attestations:write
GET     /attestations/{subject_digest}                attestations:read
GET     /branches                                     contents:read
GET     /branches/{branch}                            contents:read
POST    /check-runs                                   checks:write
GET     /check-runs/{check_run_id}                    checks:read
PATCH   /check-runs/{check_run_id}                    checks:write
GET     /codeowners/errors                            contents:read
GET     /collaborators/{username}/permission          metadata:read
GET     /commits                                      contents:read
GET     /commits/{commit_sha}/pulls                   pull-requests:read+contents:read
GET     /commits/{ref}                                contents:read
GET     /commits/{ref}/check-runs                     checks:read
GET     /commits/{ref}/status                         statuses:read
GET     /contents/{path}                              contents:read
GET     /deployments                                  deployments:read
POST    /deployments                                  deployments:write
GET     /deployments/{deployment_id}                  deployments:read
DELETE  /deployments/{deployment_id}                  deployments:write
GET     /deployments/{deployment_id}/statuses         deployments:read
POST    /deployments/{deployment_id}/statuses         deployments:write
POST    /dispatches                                   contents:write
GET     /environments                                 actions:read
GET     /environments/{environment_name}              actions:read
PUT     /environments/{environment_name}              administration:write
DELETE  /environments/{environment_name}              administration:write
GET     {policies}                                    actions:read
POST    {policies}                                    administration:write
DELETE  {policies}/{branch_policy_id}                 administration:write
GET     /git/commits/{commit_sha}                     contents:read
GET     /git/matching-refs/{ref}                      contents:read
GET     /git/ref/{ref}                                contents:read
POST    /git/refs                                     contents:write
PATCH   /git/refs/{ref}                               contents:write
DELETE  /git/refs/{ref}                               contents:write
POST    /git/tags                                     contents:write
GET     /git/tags/{tag_sha}                           contents:read
GET     /immutable-releases                           administration:read
PUT     /immutable-releases                           administration:write
DELETE  /immutable-releases                           administration:write
GET     /issues                                       issues:read
POST    /issues                                       issues:write
GET     /issues/comments                              issues:read|pull-requests:read
GET     /issues/comments/{comment_id}                 thread:read
PATCH   /issues/comments/{comment_id}                 thread:write
DELETE  /issues/comments/{comment_id}                 thread:write
GET     /issues/{issue_number}                        thread:read
PATCH   /issues/{issue_number}                        thread:write
GET     /issues/{issue_number}/comments               thread:read
POST    /issues/{issue_number}/comments               thread:write
GET     /issues/{issue_number}/labels                 thread:read
POST    /issues/{issue_number}/labels                 thread:write
PUT     /issues/{issue_number}/labels                 thread:write
DELETE  /issues/{issue_number}/labels/{name}          thread:write
GET     /labels                                       issues:read|pull-requests:read
POST    /labels                                       issues:write|pull-requests:write
GET     /labels/{name}                                issues:read|pull-requests:read
PATCH   /labels/{name}                                issues:write|pull-requests:write
DELETE  /labels/{name}                                issues:write|pull-requests:write
GET     /pages                                        pages:read
POST    /pages                                        pages:write+administration:write
PUT     /pages                                        pages:write+administration:write
DELETE  /pages                                        pages:write+administration:write
POST    /pages/deployments                            pages:write+id-token:write
GET     /pulls                                        pull-requests:read
POST    /pulls                                        pull-requests:write
GET     /pulls/{pull_number}                          pull-requests:read
PATCH   /pulls/{pull_number}                          pull-requests:write
GET     /pulls/{pull_number}/commits                  pull-requests:read
GET     /pulls/{pull_number}/files                    pull-requests:read
PUT     /pulls/{pull_number}/merge                    contents:write
GET     /releases                                     contents:read
POST    /releases                                     contents:write
GET     /releases/assets/{asset_id}                   contents:read
PATCH   /releases/assets/{asset_id}                   contents:write
DELETE  /releases/assets/{asset_id}                   contents:write
GET     /releases/latest                              contents:read
GET     /releases/tags/{tag}                          contents:read
GET     /releases/{release_id}                        contents:read
PATCH   /releases/{release_id}                        contents:write
DELETE  /releases/{release_id}                        contents:write
GET     /releases/{release_id}/assets                 contents:read
POST    /releases/{release_id}/assets                 contents:write
GET     /rulesets                                     metadata:read
POST    /rulesets                                     administration:write
GET     /rulesets/{ruleset_id}                        metadata:read
PUT     /rulesets/{ruleset_id}                        administration:write
DELETE  /rulesets/{ruleset_id}                        administration:write
POST    /statuses/{sha}                               statuses:write
GET     /tags                                         contents:read
""".replace("{policies}", "/environments/{environment_name}/deployment-branch-policies")

REPOSITORY = "/repos/{owner}/{repo}"
LEVELS = {"none": 0, "read": 1, "write": 2}
# What a workflow may ask for in `permissions:` ...
OF_JOBS = frozenset(
    {
        "actions",
        "artifact-metadata",
        "attestations",
        "checks",
        "contents",
        "deployments",
        "discussions",
        "id-token",
        "issues",
        "models",
        "packages",
        "pages",
        "pull-requests",
        "security-events",
        "statuses",
    }
)
# ... and what only an App's or a person's token can have.
OF_OTHERS = OF_JOBS | {"administration", "variables", "workflows", "metadata"}


def template(path: str) -> str:
    """Return a path of the table as the description spells it."""
    return path[1:] if path.startswith("//") else REPOSITORY + path.rstrip("/")


def endpoints() -> dict[tuple[str, str], str]:
    """Return what (method, path template) needs."""
    rows = [line.split() for line in TABLE.strip().splitlines()]
    return {(method, template(path)): need for method, path, need in rows}


@dataclass(frozen=True)
class Need:
    """A permission and how much of it."""

    name: str
    level: str

    def met_by(self, permissions: Permissions) -> bool:
        """Say whether these permissions are enough."""
        if self.name == "metadata" and self.level == "read":
            return True
        return LEVELS[permissions.get(self.name, "none")] >= LEVELS[self.level]


def missing(need: str, permissions: Permissions, thread: str) -> str:
    """Return what of a need is not met, in words; empty when all is.

    Parameters
    ----------
    need : str
        As in the table.
    permissions : mapping
        What the caller has.
    thread : str
        The permission that ``thread`` stands for in this request.
    """
    for all_of in need.split("+"):
        needs = []
        for one in all_of.split("|"):
            name, _, level = one.partition(":")
            needs.append(Need(thread if name == "thread" else name, level))
        if not any(one.met_by(permissions) for one in needs):
            return " or ".join(f"{one.name}: {one.level}" for one in needs)
    return ""


def of_a_job(declared: object, fork: bool = False) -> dict[str, str]:
    """Return what ``permissions:`` of a job grants: nothing that it does not name.

    Raises
    ------
    ValueError
        For a permission or level that a workflow cannot ask for.
    """
    if declared in ("read-all", "write-all"):
        level = str(declared).removesuffix("-all")
        granted = {name: level for name in OF_JOBS}
    elif declared is None or isinstance(declared, Mapping):
        granted = {str(name): str(level) for name, level in (declared or {}).items()}
    else:
        raise ValueError(f"permissions: {declared!r}")
    return checked(granted, OF_JOBS, fork)


def checked(
    granted: Permissions, allowed: frozenset[str], fork: bool
) -> dict[str, str]:
    """Return permissions whose names and levels exist; of a fork's nothing writes."""
    for name, level in granted.items():
        if name not in allowed or level not in LEVELS:
            raise ValueError(f"no such permission: {name}: {level}")
    if not fork:
        return dict(granted)
    read_only = {"write": "read"}
    return {
        name: read_only.get(level, level)
        for name, level in granted.items()
        if name != "id-token"
    }

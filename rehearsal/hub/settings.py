"""The repository's settings in the hub, Pages among them."""

from __future__ import annotations

import re

from rehearsal.hub.call import Call, Failure, Page, known, on
from rehearsal.hub.state import Record

_VARIABLE = re.compile(r"(?!GITHUB_)[A-Za-z_][A-Za-z0-9_]*")
_ROLES = {
    "admin": "admin",
    "maintain": "write",
    "write": "write",
    "triage": "read",
    "read": "read",
}


@on("GET //rate_limit")
def rate_limit(call: Call) -> Record:
    """Return how many requests are left."""
    limit, used, reset = call.hub.quota(call.caller)
    rate = {
        "limit": limit,
        "used": used,
        "remaining": max(0, limit - used),
        "reset": reset,
    }
    return {"resources": {"core": rate, "search": rate}, "rate": rate}


@on("GET //user")
def get_user(call: Call) -> Record:
    """Return the person whose token it is."""
    counted = (
        "public_repos",
        "public_gists",
        "followers",
        "following",
        "private_gists",
    )
    more = ("disk_usage", "total_private_repos", "owned_private_repos", "collaborators")
    count = dict.fromkeys((*counted, *more), 0)
    now = call.state.now()
    none = dict.fromkeys(("name", "company", "location", "email", "hireable", "bio"))
    user = {**call.view.user(call.caller.login), **count, **none, "blog": ""}
    return {
        **user,
        "two_factor_authentication": True,
        "created_at": now,
        "updated_at": now,
    }


@on("GET /")
def get_repository(call: Call) -> Record:
    """Return the repository."""
    return call.view.repository()


@on("PATCH /")
def edit_repository(call: Call) -> Record:
    """Change the repository's settings."""
    changes = dict(call.body or {})
    visibility = changes.pop("visibility", None)
    private = changes.pop("private", None)
    if visibility is not None or private is not None:
        call.state.private = private if visibility is None else visibility != "public"
    call.state.repository.update({k: v for k, v in changes.items() if k != "name"})
    return call.view.repository()


@on("GET /collaborators/{username}/permission")
def get_permission(call: Call) -> Record:
    """Return what a person may do; strangers may read what is public."""
    login = call.path["username"]
    role = call.hub.role(login)
    user = {**call.view.user(login), "role_name": role}
    return {"permission": _ROLES.get(role, role), "role_name": role, "user": user}


@on("GET /actions/permissions")
def get_actions(call: Call) -> Record:
    """Return which actions may run."""
    url = f"{call.view.api}/actions/permissions/selected-actions"
    return {**call.state.actions, "selected_actions_url": url}


@on("PUT /actions/permissions")
def set_actions(call: Call) -> None:
    """Say which actions may run."""
    call.state.actions.update(call.body)


@on("GET /actions/permissions/selected-actions")
def get_selected_actions(call: Call) -> Record:
    """Return which actions may run where some are selected."""
    if call.state.actions["allowed_actions"] != "selected":
        raise Failure(409, "Conflict")
    return call.state.selected_actions


@on("GET /actions/permissions/workflow")
def get_default_permissions(call: Call) -> Record:
    """Return what a job's token can do when the workflow does not say."""
    return call.state.workflow_permissions


@on("PUT /actions/permissions/workflow")
def set_default_permissions(call: Call) -> None:
    """Say what a job's token can do when the workflow does not."""
    call.state.workflow_permissions.update(call.body or {})


@on("GET /actions/variables")
def list_variables(call: Call) -> Page:
    """List variables by name."""
    return Page([v for _, v in sorted(call.state.variables.items())], "variables")


@on("GET /actions/organization-variables")
def list_organization_variables(call: Call) -> Page:
    """List the organisation's variables that the repository may use."""
    if not call.state.of_organization:
        raise Failure(404, "Not Found")
    shared = sorted(call.state.organization_variables.items())
    return Page([variable for _, variable in shared], "variables")


@on("POST /actions/variables")
def create_variable(call: Call) -> Record:
    """Make a variable."""
    name = call.body["name"].upper()
    if not _VARIABLE.fullmatch(name):
        raise Failure(
            422, "Variable names can only contain letters, digits and underscores"
        )
    if name in call.state.variables:
        raise Failure(409, "Already exists - Variable already exists")
    made = call.state.stamped({"name": name, "value": call.body["value"]})
    call.state.variables[name] = {k: v for k, v in made.items() if k != "id"}
    return {}


@on("GET /actions/variables/{name}")
def get_variable(call: Call) -> Record:
    """Return a variable."""
    return known(call.state.variables.get(call.path["name"].upper()))


@on("PATCH /actions/variables/{name}")
def edit_variable(call: Call) -> None:
    """Change a variable's value or name."""
    variable = get_variable(call)
    call.state.touch(variable, **call.given("name", "value"))
    del call.state.variables[call.path["name"].upper()]
    call.state.variables[variable["name"].upper()] = variable


@on("DELETE /actions/variables/{name}")
def delete_variable(call: Call) -> None:
    """Remove a variable."""
    known(call.state.variables.pop(call.path["name"].upper(), None))


@on("GET /immutable-releases")
def get_immutable(call: Call) -> Record:
    """Return whether releases are immutable; 404 when they are not."""
    known(call.state.immutable_releases or None)
    return {"enabled": True, "enforced_by_owner": False}


@on("PUT /immutable-releases")
def set_immutable(call: Call) -> None:
    """Make the releases that come immutable."""
    call.state.immutable_releases = True


@on("DELETE /immutable-releases")
def unset_immutable(call: Call) -> None:
    """Let the releases that come be changed."""
    call.state.immutable_releases = False


@on("GET /pages")
def get_pages(call: Call) -> Record:
    """Return how the site is built."""
    known(call.state.pages)
    return _site(call)


@on("POST /pages")
def create_pages(call: Call) -> Record:
    """Switch the site on."""
    if not may(call, "pro", "team", "enterprise"):
        raise Failure(
            422, "Your current plan does not support GitHub Pages for this repository."
        )
    if call.state.pages is not None:
        raise Failure(409, "GitHub Pages is already enabled.")
    call.state.pages = dict(call.body or {})
    _let_the_default_branch_publish(call)
    return _site(call)


def _let_the_default_branch_publish(call: Call) -> None:
    """Make the environment that GitHub makes with the site.

    References
    ----------
    https://github.com/actions/deploy-pages/issues/323
    """
    policy = {
        "id": call.state.new_id(),
        "node_id": "policy",
        "type": "branch",
        "name": call.state.default_branch,
    }
    new = {
        "name": "github-pages",
        "policies": [policy],
        "deployment_branch_policy": {
            "protected_branches": False,
            "custom_branch_policies": True,
        },
    }
    if new["name"] not in call.state.environments:
        call.state.environments["github-pages"] = call.state.stamped(new)


@on("PUT /pages")
def edit_pages(call: Call) -> None:
    """Change how the site is built."""
    known(call.state.pages).update(call.body)


@on("DELETE /pages")
def delete_pages(call: Call) -> None:
    """Switch the site off."""
    known(call.state.pages)
    call.state.pages = None


@on("POST /pages/deployments")
def deploy_pages(call: Call) -> Record:
    """Publish an artifact as the site, unless the site is built from a branch."""
    if known(call.state.pages).get("build_type", "legacy") != "workflow":
        raise Failure(400, "Pages is not built by a workflow here.")
    new = call.state.stamped(dict(call.body))
    call.state.page_deployments.append(new)
    status = f"{call.view.api}/pages/deployments/{new['id']}"
    return {"id": new["id"], "status_url": status, "page_url": _site(call)["html_url"]}


def may(call: Call, *plans: str) -> bool:
    """Say whether a public repository, or one of these plans, is there."""
    return not call.state.private or call.state.plan in plans


def needs_plan(call: Call) -> None:
    """Refuse what a private repository of the Free plan has not."""
    if not may(call, "pro", "team", "enterprise"):
        raise Failure(
            403,
            "Upgrade to GitHub Pro or make this repository public to enable this "
            "feature.",
        )


def _site(call: Call) -> Record:
    owner, name = call.view.repository_name.split("/")
    over = {
        "build_type": "legacy",
        "cname": None,
        "public": True,
        "html_url": f"https://{owner}.github.io/{name}/",
        "url": f"{call.view.api}/pages",
        **known(call.state.pages),
    }
    seen = call.view.of("page", over)
    return {k: v for k, v in seen.items() if k != "https_certificate"}

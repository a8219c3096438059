"""Environments and rulesets of the hub; what a plan lacks is refused."""

from __future__ import annotations

from urllib.parse import quote

from rehearsal.hub.call import Call, Failure, Page, invalid, known, on
from rehearsal.hub.settings import may, needs_plan
from rehearsal.hub.state import Record

MOST_REVIEWERS = 6
_POLICIES = "/environments/{environment_name}/deployment-branch-policies"


@on("GET /environments")
def list_environments(call: Call) -> Page:
    """List environments."""
    found = [_environment(call, name) for name in sorted(call.state.environments)]
    return Page(found, "environments")


@on("GET /environments/{environment_name}")
def get_environment(call: Call) -> Record:
    """Return an environment."""
    known(call.state.environments.get(call.path["environment_name"]))
    return _environment(call, call.path["environment_name"])


@on("PUT /environments/{environment_name}")
def set_environment(call: Call) -> Record:
    """Make or change an environment: what the request does not name is taken off."""
    name, body = call.path["environment_name"], call.body or {}
    policy = body.get("deployment_branch_policy")
    lacks = {
        "required reviewers": bool(body.get("reviewers"))
        and not may(call, "enterprise"),
        "wait timer": bool(body.get("wait_timer")) and not may(call, "enterprise"),
        "branch policy": bool(policy) and not may(call, "pro", "team", "enterprise"),
    }
    for rule, lacking in lacks.items():
        if not lacking:
            continue
        raise Failure(
            422,
            "Failed to create the environment protection rule. Please ensure the "
            f"billing plan supports the {rule} protection rule.",
        )
    if len(body.get("reviewers") or ()) > MOST_REVIEWERS:
        raise Failure(422, f"There can be no more than {MOST_REVIEWERS} reviewers.")
    for reviewer in body.get("reviewers") or ():
        login = call.hub.account(reviewer["id"])["login"]
        if reviewer["type"] == "User" and call.hub.role(login) == "none":
            raise Failure(
                422, "Reviewers must have at least read access to the repository."
            )
    if policy and policy["protected_branches"] == policy["custom_branch_policies"]:
        raise Failure(
            422, "protected_branches and custom_branch_policies cannot be the same"
        )
    new = call.state.stamped({"name": name, "policies": []})
    environment = call.state.environments.setdefault(name, new)
    fields = (
        "wait_timer",
        "prevent_self_review",
        "reviewers",
        "deployment_branch_policy",
    )
    call.state.touch(environment, **{field: body.get(field) for field in fields})
    return _environment(call, name)


@on("DELETE /environments/{environment_name}")
def delete_environment(call: Call) -> None:
    """Remove an environment."""
    known(call.state.environments.pop(call.path["environment_name"], None))


@on(f"GET {_POLICIES}")
def list_policies(call: Call) -> Page:
    """List the branches and tags that may deploy."""
    return Page(_policies(call), "branch_policies")


@on(f"POST {_POLICIES}")
def create_policy(call: Call) -> Record:
    """Let a branch or tag deploy."""
    new = {
        "id": call.state.new_id(),
        "node_id": "policy",
        "type": "branch",
        **call.body,
    }
    _policies(call).append(new)
    return new


@on(f"DELETE {_POLICIES}/{{branch_policy_id}}")
def delete_policy(call: Call) -> None:
    """Let a branch or tag deploy no longer."""
    number = call.number("branch_policy_id")
    policies = _policies(call)
    policies.remove(known(next((p for p in policies if p["id"] == number), None)))


@on("GET /rulesets")
def list_rulesets(call: Call) -> Page:
    """List rulesets, without their rules."""
    needs_plan(call)
    shown = [_ruleset(call, r) for r in call.state.rulesets.values()]
    lacks = ("rules", "conditions", "bypass_actors")
    return Page([{k: v for k, v in r.items() if k not in lacks} for r in shown])


@on("POST /rulesets")
def create_ruleset(call: Call) -> Record:
    """Make a ruleset."""
    needs_plan(call)
    if any(r["name"] == call.body["name"] for r in call.state.rulesets.values()):
        raise invalid("Ruleset", "name", "custom", "Name must be unique")
    ruleset = call.state.stamped(
        {"target": "branch", "rules": [], "bypass_actors": [], **call.body}
    )
    call.state.rulesets[ruleset["id"]] = ruleset
    return _ruleset(call, ruleset)


@on("GET /rulesets/{ruleset_id}")
def get_ruleset(call: Call) -> Record:
    """Return a ruleset."""
    needs_plan(call)
    return _ruleset(call, known(call.state.rulesets.get(call.number("ruleset_id"))))


@on("PUT /rulesets/{ruleset_id}")
def edit_ruleset(call: Call) -> Record:
    """Change a ruleset."""
    needs_plan(call)
    ruleset = known(call.state.rulesets.get(call.number("ruleset_id")))
    call.state.touch(ruleset, **(call.body or {}))
    return _ruleset(call, ruleset)


@on("DELETE /rulesets/{ruleset_id}")
def delete_ruleset(call: Call) -> None:
    """Remove a ruleset."""
    known(call.state.rulesets.pop(call.number("ruleset_id"), None))


def _policies(call: Call) -> list[Record]:
    environment = known(call.state.environments.get(call.path["environment_name"]))
    policies: list[Record] = environment.setdefault("policies", [])
    return policies


def _ruleset(call: Call, record: Record) -> Record:
    address = f"{call.view.api}/rulesets/{record['id']}"
    links = {
        "self": {"href": address},
        "html": {"href": f"{call.view.html}/rules/{record['id']}"},
    }
    over = {**record, "source": call.view.repository_name, "_links": links}
    shown = call.view.of("repository-ruleset", over)
    if call.caller.permissions.get("administration") != "write":
        # Only those who may change a ruleset see who may bypass it.
        shown.pop("bypass_actors", None)
    if not record.get("conditions"):
        shown.pop("conditions")
    else:
        shown["conditions"] = record["conditions"]
    return shown


def _environment(call: Call, name: str) -> Record:
    record = call.state.environments[name]
    rules: list[Record] = []
    if record.get("wait_timer"):
        rules.append({"type": "wait_timer", "wait_timer": record["wait_timer"]})
    if record.get("reviewers"):
        people = [
            {"type": r["type"], "reviewer": call.hub.account(r["id"])}
            for r in record["reviewers"]
        ]
        own = bool(record.get("prevent_self_review"))
        rules.append(
            {
                "type": "required_reviewers",
                "reviewers": people,
                "prevent_self_review": own,
            }
        )
    policy = record.get("deployment_branch_policy")
    if policy:
        rules.append({"type": "branch_policy"})
    numbered = [
        {"id": record["id"] * 10 + i, "node_id": "rule", **r}
        for i, r in enumerate(rules)
    ]
    over = {k: record[k] for k in ("id", "name", "created_at", "updated_at")}
    shown = call.view.of("environment", over)
    shown.update(protection_rules=numbered, deployment_branch_policy=policy)
    shown["url"] = f"{call.view.api}/environments/{quote(name, safe='')}"
    return shown

"""Deployments, environments, checks, statuses, Pages and attestations of the hub."""

from __future__ import annotations

import base64
from urllib.parse import quote

from rehearsal.hub.call import (
    Answer,
    Call,
    Failure,
    Page,
    invalid,
    known,
    newest_first,
    on,
)
from rehearsal.hub.state import Record


@on("GET /deployments")
def list_deployments(call: Call) -> Page:
    """List deployments, newest first."""
    found = newest_first(call.state.deployments.values())
    for name in ("sha", "ref", "task", "environment"):
        found = [d for d in found if call.asked(name, d[name]) == d[name]]
    return Page([_deployment(call, d) for d in found])


@on("POST /deployments")
def create_deployment(call: Call) -> Record:
    """Make a deployment of a ref, unless its checks are not green."""
    body = call.body
    sha = call.git.resolve(body["ref"])
    if sha is None:
        raise Failure(422, f"No ref found for: {body['ref']}")
    contexts = body.get("required_contexts")
    states = {s["context"]: s["state"] for s in call.state.statuses if s["sha"] == sha}
    missing = [c for c in contexts or [] if states.get(c) != "success"]
    if missing:
        raise Failure(409, f"Conflict: Commit status checks failed for {body['ref']}")
    environment = body.get("environment", "production")
    record = call.state.stamped(
        {
            "sha": sha,
            "ref": body["ref"],
            "task": body.get("task", "deploy"),
            "payload": body.get("payload", {}),
            "environment": environment,
            "original_environment": environment,
            "description": body.get("description") or None,
            "creator": call.caller.login,
            "transient_environment": body.get("transient_environment", False),
            "production_environment": body.get(
                "production_environment", environment == "production"
            ),
            "statuses": [],
        }
    )
    call.state.deployments[record["id"]] = record
    call.state.environments.setdefault(
        environment, call.state.stamped({"name": environment})
    )
    call.happened("deployment", {"deployment": _deployment(call, record)}, sha=sha)
    return _deployment(call, record)


@on("GET /deployments/{deployment_id}")
def get_deployment(call: Call) -> Record:
    """Return a deployment."""
    return _deployment(call, _found(call))


@on("DELETE /deployments/{deployment_id}")
def delete_deployment(call: Call) -> None:
    """Remove a deployment; not while it is active."""
    record = _found(call)
    if record["statuses"] and record["statuses"][-1]["state"] == "success":
        raise invalid(
            "Deployment", "state", "custom", "Cannot delete an active deployment."
        )
    del call.state.deployments[record["id"]]


@on("GET /deployments/{deployment_id}/statuses")
def list_statuses(call: Call) -> Page:
    """List what became of a deployment, newest first."""
    record = _found(call)
    return Page([_status(call, record, s) for s in record["statuses"][::-1]])


@on("POST /deployments/{deployment_id}/statuses")
def create_status(call: Call) -> Record:
    """Say what became of a deployment; a success makes the one before inactive."""
    record = _found(call)
    fields = (
        "state",
        "description",
        "environment_url",
        "log_url",
        "target_url",
        "environment",
    )
    defaults = {
        "description": "",
        "environment_url": "",
        "log_url": "",
        "target_url": "",
    }
    base = {
        **defaults,
        "environment": record["environment"],
        "creator": call.caller.login,
    }
    status = call.state.stamped({**base, **call.given(*fields)})
    if status["state"] == "success" and call.body.get("auto_inactive", True):
        for other in call.state.deployments.values():
            same = other is not record and other["environment"] == status["environment"]
            if (
                same
                and other["statuses"]
                and other["statuses"][-1]["state"] == "success"
            ):
                gone = {
                    **base,
                    "environment": status["environment"],
                    "state": "inactive",
                }
                other["statuses"].append(call.state.stamped(gone))
    record["statuses"].append(status)
    shown = _status(call, record, status)
    payload = {"deployment": _deployment(call, record), "deployment_status": shown}
    call.happened("deployment_status", payload, sha=record["sha"])
    return shown


@on("POST /check-runs")
def create_check(call: Call) -> Record:
    """Make a check of a commit."""
    check = call.state.stamped(
        {
            "status": "queued",
            "conclusion": None,
            "started_at": call.state.now(),
            **call.body,
        }
    )
    if check["conclusion"]:
        check["status"] = "completed"
    call.state.check_runs[check["id"]] = check
    return _check(call, check)


@on("GET /check-runs/{check_run_id}")
def get_check(call: Call) -> Record:
    """Return a check."""
    return _check(call, known(call.state.check_runs.get(call.number("check_run_id"))))


@on("PATCH /check-runs/{check_run_id}")
def edit_check(call: Call) -> Record:
    """Change a check; with a conclusion it is completed."""
    check = known(call.state.check_runs.get(call.number("check_run_id")))
    check.update(call.body)
    if call.body.get("conclusion"):
        check["status"] = "completed"
    return _check(call, check)


@on("GET /commits/{ref}/check-runs")
def list_checks(call: Call) -> Page:
    """List the checks of a commit."""
    sha = known(call.git.resolve(call.path["ref"]))
    checks = [
        c for c in newest_first(call.state.check_runs.values()) if c["head_sha"] == sha
    ]
    checks = [c for c in checks if call.asked("check_name", c["name"]) == c["name"]]
    return Page([_check(call, c) for c in checks], "check_runs")


@on("POST /statuses/{sha}")
def set_status(call: Call) -> Answer:
    """Set a commit's status in a context."""
    sha = call.path["sha"]
    if call.git.resolve(sha) != sha:
        raise Failure(422, f"No commit found for SHA: {sha}")
    defaults = {"context": "default", "description": None, "target_url": None}
    given = call.given("state", "context", "description", "target_url")
    status = call.state.stamped(
        {**defaults, **given, "sha": sha, "creator": call.caller.login}
    )
    call.state.statuses.append(status)
    return Answer(
        _commit_status(call, status),
        headers={"Location": f"{call.view.api}/statuses/{sha}"},
    )


@on("GET /commits/{ref}/status")
def combined_status(call: Call) -> Record:
    """Return all contexts of a commit together."""
    sha = known(call.git.resolve(call.path["ref"]))
    latest = {s["context"]: s for s in call.state.statuses if s["sha"] == sha}
    states = {s["state"] for s in latest.values()}
    worst = "failure" if states & {"failure", "error"} else "pending"
    shown = [{**_commit_status(call, s), "avatar_url": None} for s in latest.values()]
    for status in shown:
        del status["creator"]
    return {
        "state": "success" if states == {"success"} else worst,
        "statuses": shown,
        "sha": sha,
        "total_count": len(shown),
        "repository": call.view.repository(),
        "commit_url": f"{call.view.api}/commits/{sha}",
        "url": f"{call.view.api}/commits/{sha}/status",
    }


@on("POST /attestations")
def create_attestation(call: Call) -> Record:
    """Keep an attestation, where the plan has them."""
    if call.state.private and call.state.plan != "enterprise":
        raise Failure(403, "Feature not available for this repository.")
    record = call.state.stamped({"bundle": call.body["bundle"]})
    call.state.attestations.append(record)
    return {"id": record["id"]}


@on("GET /attestations/{subject_digest}")
def list_attestations(call: Call) -> Record:
    """List the attestations of a digest."""
    digest = call.path["subject_digest"].partition(":")[2]
    found = [a for a in call.state.attestations if digest in _statement(a["bundle"])]
    return {
        "attestations": [{"bundle": a["bundle"], "repository_id": 1} for a in found]
    }


def _statement(bundle: Record) -> str:
    payload = bundle.get("dsseEnvelope", {}).get("payload", "")
    return base64.b64decode(payload).decode(errors="replace")


def _found(call: Call) -> Record:
    return known(call.state.deployments.get(call.number("deployment_id")))


def _deployment(call: Call, record: Record) -> Record:
    url = f"{call.view.api}/deployments/{record['id']}"
    over = {k: v for k, v in record.items() if k != "statuses"}
    creator = call.view.user(record["creator"])
    more = {"creator": creator, "url": url, "statuses_url": f"{url}/statuses"}
    shown = call.view.of("deployment", {**over, **more})
    shown["payload"] = record["payload"]
    return shown


def _status(call: Call, deployment: Record, status: Record) -> Record:
    url = f"{call.view.api}/deployments/{deployment['id']}"
    over = {
        **status,
        "creator": call.view.user(status["creator"]),
        "deployment_url": url,
    }
    return call.view.of(
        "deployment-status", {**over, "url": f"{url}/statuses/{status['id']}"}
    )


def _check(call: Call, check: Record) -> Record:
    page = f"{call.view.html}/runs/{check['id']}"
    output = {"title": None, "summary": None, "text": None, **check.get("output", {})}
    over = {
        **{k: v for k, v in check.items() if k != "actions"},
        "output": {**output, "annotations_count": len(output.pop("annotations", []))},
        "completed_at": check.get("completed_at")
        or (call.state.now() if check["status"] == "completed" else None),
        "html_url": page,
        "details_url": check.get("details_url", page),
        "url": f"{call.view.api}/check-runs/{check['id']}",
        "pull_requests": [],
    }
    return call.view.of("check-run", over)


def _commit_status(call: Call, status: Record) -> Record:
    over = {**status, "creator": call.view.user(status["creator"])}
    return call.view.of(
        "status", {**over, "url": f"{call.view.api}/statuses/{quote(status['sha'])}"}
    )

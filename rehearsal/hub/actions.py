"""GitHub Actions in the hub: runs and their jobs, artifacts, workflows, dispatches."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from datetime import UTC, timedelta
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.hub.call import Answer, Call, Failure, Page, known, newest_first, on
from rehearsal.hub.state import Record
from rehearsal.hub.storage import artifacts, zipped
from rehearsal.inputs import inputs
from rehearsal.workflow import Workflow, parse_yaml

_FOLDER = ".github/workflows"
MOST_PAYLOAD = 65535


@on("GET /actions/runs", "GET /actions/workflows/{workflow_id}/runs")
def list_runs(call: Call) -> Page:
    """List runs, newest first, with the filters that GitHub has."""
    runs = newest_first(call.state.runs.values())
    if "workflow_id" in call.path:
        asked = _workflow(call)
        runs = [r for r in runs if Path(r["path"]).name == Path(asked["path"]).name]
    for name, key in (
        ("event", "event"),
        ("branch", "head_branch"),
        ("head_sha", "head_sha"),
    ):
        runs = [r for r in runs if call.asked(name, r[key]) == r[key]]
    runs = [r for r in runs if call.asked("actor", r["actor"]) == r["actor"]]
    status = call.asked("status")
    runs = [r for r in runs if status in ("", r["status"], r["conclusion"])]
    return Page([call.view.ran(r) for r in runs], "workflow_runs")


@on("GET /actions/runs/{run_id}")
def get_run(call: Call) -> Record:
    """Return a run."""
    return call.view.ran(_run(call))


@on("GET /actions/runs/{run_id}/approvals")
def list_approvals(call: Call) -> list[Record]:
    """List who approved the deployments of a run."""
    keep = ("id", "name", "created_at", "updated_at")
    return [
        {
            "state": "approved",
            "comment": review["comment"],
            "user": call.view.user(review["user"]),
            "environments": [
                {
                    k: v
                    for k, v in call.state.environments.get(name, {}).items()
                    if k in keep
                }
                | {"name": name}
                for name in review["environments"]
            ],
        }
        for review in _run(call).get("approvals", ())
    ]


@on("GET /actions/runs/{run_id}/jobs")
def list_jobs(call: Call) -> Page:
    """List the jobs of a run with their results."""
    run = _run(call)
    base = call.view.of("job-paginated", {})["jobs"][0]
    jobs = []
    for name, result in run["jobs"].items():
        over = {
            "id": zlib.crc32(f"{run['id']}/{name}".encode()),
            "name": name,
            "run_id": run["id"],
            "run_url": f"{call.view.api}/actions/runs/{run['id']}",
            "workflow_name": run["name"],
            "head_sha": run["head_sha"],
            "head_branch": run["head_branch"],
            "status": "completed" if result else "in_progress",
            "conclusion": result,
            "created_at": run["created_at"],
            "steps": [],
        }
        jobs.append({**base, **over})
    return Page(jobs, "jobs")


@on("GET /actions/artifacts", "GET /actions/runs/{run_id}/artifacts")
def list_artifacts(call: Call) -> Page:
    """List artifacts, newest first."""
    found = newest_first(artifacts(call.state, call.hub.artifacts_folder))
    if "run_id" in call.path:
        found = [a for a in found if a["run"] == _run(call)["id"]]
    found = [a for a in found if call.asked("name", a["name"]) == a["name"]]
    return Page([_shown(call, a) for a in found], "artifacts")


@on("GET /actions/artifacts/{artifact_id}")
def get_artifact(call: Call) -> Record:
    """Return an artifact."""
    return _shown(call, _artifact(call))


@on("DELETE /actions/artifacts/{artifact_id}")
def delete_artifact(call: Call) -> None:
    """Remove an artifact."""
    _artifact(call)["expired"] = True


@on("GET /actions/artifacts/{artifact_id}/{archive_format}")
def download_artifact(call: Call) -> Answer:
    """Return where the artifact's zip file is."""
    artifact = _artifact(call)
    if call.path["archive_format"] != "zip":
        raise Failure(404, "Not Found")
    if artifact["expired"]:
        raise Failure(410, "Artifact has expired")
    path = call.hub.storage.keep(f"artifact-{artifact['id']}", zipped(artifact["path"]))
    return Answer(status=302, headers={"Location": call.hub.storage.signed(path)})


@on("GET /actions/workflows")
def list_workflows(call: Call) -> Page:
    """List the workflows of the default branch."""
    return Page(_workflows(call), "workflows")


@on("GET /actions/workflows/{workflow_id}")
def get_workflow(call: Call) -> Record:
    """Return a workflow."""
    return _workflow(call)


@on("POST /actions/workflows/{workflow_id}/dispatches")
def dispatch_workflow(call: Call) -> Answer:
    """Start a workflow by hand, if it is one that can be and its inputs are right."""
    file, ref = Path(_workflow(call)["path"]).name, call.body["ref"]
    names = (
        [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    )
    name = next((n for n in names if call.git.resolve(n)), None)
    if name is None:
        raise Failure(422, f"No ref found for: {ref}")
    sha = known(call.git.resolve(name))
    text = call.git.run("show", f"{sha}:{_FOLDER}/{file}")
    payload = {
        "workflow": f"{_FOLDER}/{file}",
        "ref": name,
        "inputs": call.body.get("inputs") or {},
    }
    event = call.hub.event("workflow_dispatch", payload, call.caller, ref=name, sha=sha)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(text, encoding="utf-8")
        workflow = Workflow.read(path)
        if "workflow_dispatch" not in workflow.on:
            raise Failure(422, "Workflow does not have 'workflow_dispatch' trigger")
        try:
            payload["inputs"] = inputs(workflow, event)
        except RehearsalError as error:
            raise Failure(422, str(error)) from None
    call.state.dispatches.append(
        {"event": event.name, **payload, "user": call.caller.login}
    )
    call.happened(event.name, payload, ref=name, sha=sha)
    if not call.body.get("return_run_details"):
        return Answer(status=204)
    run = call.state.new_id()
    address = f"{call.view.html}/actions/runs/{run}"
    run_url = f"{call.view.api}/actions/runs/{run}"
    return Answer(
        {"workflow_run_id": run, "run_url": run_url, "html_url": address}, 200
    )


@on("POST /dispatches")
def dispatch_repository(call: Call) -> None:
    """Send a message to the workflows of the default branch."""
    payload = call.body.get("client_payload") or {}
    if len(str(payload).encode()) > MOST_PAYLOAD:
        raise Failure(422, "client_payload is too large.")
    kind = call.body["event_type"]
    seen = {
        "action": kind,
        "branch": call.state.default_branch,
        "client_payload": payload,
    }
    record = {
        "event": "repository_dispatch",
        "event_type": kind,
        "client_payload": payload,
    }
    call.state.dispatches.append({**record, "user": call.caller.login})
    call.happened("repository_dispatch", seen)


def _workflows(call: Call) -> list[Record]:
    branch = call.state.default_branch
    sha = known(call.git.resolve(f"refs/heads/{branch}"))
    paths = call.git.run("ls-tree", "--name-only", sha, f"{_FOLDER}/").splitlines()
    found = []
    for path in paths:
        number = zlib.crc32(path.encode())
        over = {
            "id": number,
            "name": _title(call.git.run("show", f"{sha}:{path}"), path),
            "path": path,
            "url": f"{call.view.api}/actions/workflows/{number}",
            "html_url": f"{call.view.html}/blob/{branch}/{path}",
            "created_at": call.state.now(),
            **call.state.workflows.get(Path(path).name, {}),
        }
        found.append(call.view.of("workflow", over))
    return found


def _title(text: str, path: str) -> str:
    """Return a workflow's name; GitHub lists a file that it cannot read by its path."""
    try:
        return str(parse_yaml(text, path).get("name", path))
    except RehearsalError:
        return path


def _workflow(call: Call) -> Record:
    """Return a workflow by its id or the name of its file."""
    asked = call.path["workflow_id"]
    both = ((w, (str(w["id"]), Path(w["path"]).name)) for w in _workflows(call))
    return known(next((w for w, names in both if asked in names), None))


def _run(call: Call) -> Record:
    return known(call.state.runs.get(call.number("run_id")))


def _artifact(call: Call) -> Record:
    number = call.number("artifact_id")
    return known(
        next(
            (
                a
                for a in artifacts(call.state, call.hub.artifacts_folder)
                if a["id"] == number
            ),
            None,
        )
    )


def _shown(call: Call, artifact: Record) -> Record:
    content = zipped(artifact["path"])
    run = call.state.runs.get(artifact["run"])
    ends = call.state.clock().astimezone(UTC) + timedelta(days=90)
    url = f"{call.view.api}/actions/artifacts/{artifact['id']}"
    over = {
        **{k: v for k, v in artifact.items() if k not in ("run", "path")},
        "size_in_bytes": len(content),
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "url": url,
        "archive_download_url": f"{url}/zip",
        "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "workflow_run": {k: run[k] for k in ("id", "head_branch", "head_sha")}
        if run
        else None,
    }
    return call.view.of("artifact", over)

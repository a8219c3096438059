"""The facts that stories assert, found on the hub, in git and by asking."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from rehearsal.runner.run import Run
from rehearsal.stories.world import PullRequest, World
from stories.worlds import MODEL

# Of the world that stories begin in.
BORN = ["churn@v1.0.0", "churn#staging#1", "churn#production#2"]
LONG_AGO = [("staging", "success"), ("production", "success")]
ASSETS = [
    "baseline.json",
    *("card.md", "examples.json", "features.py", "manifest.json", "model.onnx"),
    *("model.skops", "reference.parquet", "report.html", "report.md"),
    *("sbom.cdx.json", "training.json"),
]
CUSTOMER = {"tenure": 30, "spend": 50.0, "plan": "basic"}

Jobs = dict[str, str]

# Jobs of release.yml that call stage.yml.
_CALLING = ("staging", "production")

# ----- the jobs of each workflow, and how they end


def jobs(names: str, *models: str, **otherwise: str) -> Jobs:
    """Return jobs that succeed, ``train()`` for each model; some end otherwise."""
    found = {}
    for name in names.split():
        key = name.removesuffix("()")
        each = (
            [f"{key} ({model})" for model in models]
            if name != key and models
            else [key]
        )
        if key in _CALLING and models:
            each = [f"{one} / promote" for one in each]
        state = "success" if name == key or models else "skipped"
        found |= dict.fromkeys(each, otherwise.get(key, state))
    return found


def checked(*models: str, **otherwise: str) -> Jobs:
    """Return the jobs of pull-request.yml that trains some models."""
    otherwise.setdefault("data", "skipped")  # it is in git
    return jobs("plan code data model() verdict", *models, **otherwise)


def delivered(*models: str, **otherwise: str) -> Jobs:
    """Return the jobs of release.yml that delivers some models."""
    if not models:
        otherwise.setdefault("register", "skipped")
    idle = {"data": "skipped", "refused": "skipped", "redeploy": "skipped"}
    names = "plan data train() refused register staging() smoke() production() redeploy"
    return jobs(names, *models, **{**idle, **otherwise})


CHECKED, COMMENTED = checked(MODEL), {"comment": "success"}
REFUSED = checked(MODEL, model="failure", verdict="failure")
DELIVERED, NOTHING_DELIVERED = delivered(MODEL), delivered()
WATCHED = {
    "plan": "success",
    "data": "skipped",  # the log lies in a folder, or in artifacts
    f"check ({MODEL})": "success",
    "alarm": "success",
    "propose": "skipped",
}


def gate_refuses(*models: str) -> Jobs:
    """Return the jobs of release.yml whose gate lets nothing through."""
    found = delivered(*models, train="failure", refused="success")
    gone = ("staging", "smoke", "production")
    return {k: v for k, v in found.items() if not k.startswith(gone)} | dict.fromkeys(
        gone, "skipped"
    )


# ----- what there is


def ran(runs: list[Run]) -> list[tuple[str, Jobs]]:
    """Return workflow and jobs of each run, in order."""
    return [(run.workflow, run.jobs) for run in runs]


def trained(runs: list[Run]) -> bool:
    """Say whether any run fitted a model, by its log or what it left."""
    left = ("training.json", "model.skops")
    files = {
        p.name for run in runs for top in run.artifacts.values() for p in top.rglob("*")
    }
    return bool(files & set(left)) or any(
        re.search(r"\| train +\w", run.log) for run in runs
    )


def the_comment(world: World, pull: PullRequest) -> str:
    """Return the text of a pull request's only comment."""
    (text,) = world.comments(pull)
    return text


def writes(world: World, *runs: Run) -> list[tuple[str, str, str, int]]:
    """Return the requests of jobs that do not read: job, method, path, answer."""
    reading = ("GET", "HEAD")
    numbers = {str(run.id) for run in runs}
    return [
        (one.job.partition("/")[2], one.method, one.path, one.status)
        for one in world.hub.exchanges
        if one.job.partition("/")[0] in numbers
        and one.method not in reading
        and not one.path.endswith("/git-upload-pack")  # how git fetches
    ]


def refs(world: World) -> dict[str, str]:
    """Return all refs of the repository but those of pull requests."""
    lines = world.runner.trees.git("for-each-ref", "--format=%(refname) %(objectname)")
    pairs = (line.split() for line in lines.splitlines())
    return {name: sha for name, sha in pairs if not name.startswith("refs/pull/")}


def by_start(world: World) -> list[dict[str, Any]]:
    """Return the journal's records, oldest first."""
    return sorted(world.journal(), key=lambda record: record["started"])


def in_stage(world: World, stage: str, model: str = MODEL) -> str:
    """Return the version whose commit the newest tag of a stage points to."""
    commits = {
        tag: world.runner.trees.git("rev-parse", f"refs/tags/{tag}^{{commit}}")
        for tag in world.tags()
        if tag.startswith((f"{model}@", f"{model}#"))
    }
    newest = [at for tag, at in commits.items() if tag.startswith(f"{model}#{stage}#")][
        -1
    ]
    (version,) = (tag for tag, at in commits.items() if "@" in tag and at == newest)
    return version.partition("@")[2]


def trailers(world: World, tag: str) -> dict[str, str]:
    """Return what a tag says of itself."""
    said = world.runner.trees.git(
        "for-each-ref", "--format=%(contents)", f"refs/tags/{tag}"
    )
    return dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)


def is_whole(world: World, *versions: str) -> None:
    """Assert that these versions are there with all files, and nothing else is left."""
    named = [
        version if "@" in version else f"{MODEL}@{version}" for version in versions
    ]
    assert world.releases() == dict.fromkeys(named, ASSETS)
    state = world.hub.state
    assert len(state.releases) == len(named), "a draft was left behind"
    assert {asset["release"] for asset in state.assets.values()} == set(state.releases)
    assert sorted(tag for tag in world.tags() if "@" in tag) == sorted(named)
    for version in named:
        files = world.runner.trees.git("ls-tree", "-r", "--name-only", version)
        assert f"models/{version.partition('@')[0]}/manifest.json" in files.splitlines()


# ----- asking: a command in somebody's clone, and the service


def mlops(
    world: World, *arguments: str, days_ago: float = 0, folder: Path | None = None
) -> Any:
    """Run a command in somebody's clone, or in another folder; return its answer."""
    world.git("fetch", "--quiet", "--tags", "origin")
    world.git("checkout", "--quiet", "--force", "-B", "main", "origin/main")
    when = datetime.now(UTC) - timedelta(days=days_ago)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(world.root),
        "GITHUB_API_URL": world.hub.api_url,
        "GITHUB_SERVER_URL": world.hub.server_url,
        "GITHUB_TOKEN": world.token("alice"),
        "MLOPS_STATE": str(world.root / "state"),
        "SOURCE_DATE_EPOCH": str(int(when.timestamp())),
    }
    environment["PYTHONPATH"] = str(world.work / "vendor/mlops/src")
    if not folder:
        environment["GITHUB_REPOSITORY"] = world.hub.repository
    done = subprocess.run(
        [world.runner.python, "-m", "mlops", *arguments, "--json"],
        cwd=folder or world.work,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def decides(world: World, actor: str, decision: str = "promote", **asked: str) -> Run:
    """Start promote.yml by hand."""
    asked = {"model": MODEL, "decision": decision, "reason": "It is good", **asked}
    (run,) = world.dispatch("promote", actor=actor, **asked)
    assert list(run.jobs) == ["promote"]
    return run


def refused_to_strangers_and_authors(world: World) -> None:
    """See that mallory, no approver, and alice, who registered it, may not promote."""
    before = world.tags()
    for actor, why in (
        ("mallory", "this person may not approve for production"),
        ("alice", "nobody approves a version that they registered"),
    ):
        run = decides(world, actor, version="staging")
        assert run.jobs == {"promote": "failure"} and why in run.log
        assert world.tags() == before
        assert world.deployments()[-1] == ("production", "failure")


@contextmanager
def service(
    world: World, stage: str = "production", model: str = MODEL, **variables: str
) -> Iterator[str]:
    """Serve a stage from a fresh clone, as its operator would; yield the address.

    `variables` of the operator's machine come on top.
    """
    clone = world.root / f"operator-{model}-{stage}-{len(world.runner.runs)}"
    world.git("clone", "--quiet", world.address(), str(clone))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(world.root),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GITHUB_API_URL": world.hub.api_url,
        "GITHUB_SERVER_URL": world.hub.server_url,
        "GITHUB_REPOSITORY": world.hub.repository,
        "GITHUB_TOKEN": world.hub.tokens.issue({"contents": "read"}, actor="operator"),
        "PYTHONPATH": str(clone / "vendor/mlops/src"),
        **variables,
    }
    command = [
        world.runner.python,
        "-m",
        "mlops",
        "serve",
        f"{model}@{stage}",
        "--port",
        "0",
        "--interval",
        "1",
    ]
    said = clone.parent / f"{clone.name}.log"
    with (
        said.open("w") as errors,
        subprocess.Popen(
            command,
            cwd=clone,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+?(?=[.,]?(\s|$))", line)
            assert found, said.read_text()
            yield found[0]
        finally:
            process.terminate()


def answer(world: World, model: str = MODEL, **features: Any) -> dict[str, Any]:
    """Ask the service of `production` about one customer."""
    with service(world, model=model) as address:
        body = json.dumps({"rows": [features or CUSTOMER]}).encode()
        asked = Request(
            f"{address}/predict", body, {"Content-Type": "application/json"}
        )
        with urlopen(asked, timeout=60) as said:
            found = json.load(said)
    (prediction,) = found["predictions"]
    return {"version": found["version"], **prediction}

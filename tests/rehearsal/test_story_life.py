"""A repository's later life: runs that die, faults, triggers, drift, approvals, and going back."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.conftest import rows_of
from rehearsal.event import Event
from rehearsal.run import Run
from rehearsal.stories import BETTER, FEATURES_FILE, FOLDER, LOOKS_AT, MODEL
from rehearsal.world import World, replaced

BORN = ["churn@v1.0.0", "churn#staging#1", "churn#production#2"]
ASSETS = [
    *("card.md", "examples.json", "features.py", "manifest.json", "model.skops"),
    *("reference.parquet", "report.html", "report.md", "sbom.cdx.json", "training.json"),
]
IDLE = dict.fromkeys(("refused", "redeploy"), "skipped")
DELIVERED = {
    "plan": "success",
    "train (churn)": "success",
    "register": "success",
    "staging (churn)": "success",
    "production (churn)": "success",
    **IDLE,
}
NOTHING = dict.fromkeys(("train", "register", "staging", "production"), "skipped") | IDLE
WATCHED = {"plan": "success", "check (churn)": "success", "alarm": "success"}


def arrivals(root: Path) -> None:
    """New data: customers of another month."""
    rows_of(n=400, seed=1).to_csv(root / FOLDER / "data" / "more.csv", index=False)


def stages(world: World) -> dict[str, str]:
    """Return the commit that each stage and version of the model points to, by its newest tag."""
    found = {}
    for tag in world.tags():
        name = tag.removeprefix(MODEL).rpartition("#")[0] or tag
        found[name] = world.runner.trees.git("rev-parse", f"refs/tags/{tag}^{{commit}}")
    return found


def in_stage(world: World, stage: str) -> str:
    """Return the version that is in a stage."""
    there = stages(world)
    (version,) = (name for name, at in there.items() if "@" in name and at == there[f"#{stage}"])
    return version.partition("@")[2]


def trailers(world: World, tag: str) -> dict[str, str]:
    """Return what a tag says of itself."""
    said = world.runner.trees.git("for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")
    return dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)


def is_whole(world: World, *versions: str) -> None:
    """These versions are there with all their files, each once; nothing else is left of any run."""
    assert world.releases() == {f"churn@{version}": ASSETS for version in versions}
    state = world.hub.state
    assert len(state.releases) == len(versions), "a draft was left behind"
    assert {asset["release"] for asset in state.assets.values()} == set(state.releases)
    assert [tag for tag in world.tags() if "@" in tag] == [f"churn@{v}" for v in versions]
    for number in versions:
        files = world.runner.trees.git("ls-tree", "-r", "--name-only", f"churn@{number}")
        assert f"{FOLDER}/manifest.json" in files.splitlines()
    heads = world.runner.trees.git("for-each-ref", "--format=%(refname:short)", "refs/heads")
    assert heads.split() == ["journal", "main"]


def mlops(world: World, *arguments: str, days_ago: float = 0, folder: Path | None = None) -> Any:
    """Run a verb in somebody's clone, or in a folder that is none, and return its answer."""
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
    if folder:
        environment["PYTHONPATH"] = str(world.work)
    else:
        environment["GITHUB_REPOSITORY"] = world.hub.repository
    done = subprocess.run(
        [sys.executable, "-m", "mlops", *arguments, "--json"],
        cwd=folder or world.work,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


# ----- a run that dies, an API that fails

# Every Python of a job stops at the first request that looks so, before it is sent.
STOPS_AT = """
import sys, time

def stop(event, given):
    if event == "http.client.send" and isinstance(given[1], (bytes, bytearray)):
        first = bytes(given[1]).split(b"\\r\\n")[0].decode(errors="replace")
        if first.startswith("{method} ") and "{path}" in first:
            print("half way:", first, flush=True)
            time.sleep(100)

sys.addaudithook(stop)
"""


def killed(world: World, event: Event, method: str, path: str) -> Run:
    """Run the release, and lose the machine when it is about to make a request."""
    folder = world.root / "stops"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(STOPS_AT.format(method=method, path=path))
    world.runner.environment["PYTHONPATH"] = str(folder)
    (workflow,) = world.runner.deliver(event)
    run = world.runner.run(workflow, event, kill_at="half way:")
    del world.runner.environment["PYTHONPATH"]
    assert f"half way: {method} " in run.log
    return run


@pytest.mark.slow
def test_a_release_killed_half_way_twice_and_run_again_is_one_whole_version(story: World) -> None:
    story.change(arrivals, "New data")
    story.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    (event,) = story.hub.events.take()

    run = killed(story, event, "POST", "name=model.skops")  # some files are up, no tag yet
    half = {**DELIVERED, "register": "cancelled"}
    half |= {"staging": "skipped", "production": "skipped"}
    del half["staging (churn)"], half["production (churn)"]
    assert run.jobs == half
    assert story.tags() == BORN and list(story.releases()) == ["churn@v1.0.0"]
    (draft,) = (one for one in story.hub.state.releases.values() if one["draft"])
    assert 0 < len(story.hub.state.assets_of(draft["id"])) < len(ASSETS)

    run = killed(story, event, "PATCH", "/releases/")  # it has its tag, nobody can fetch it yet
    assert run.jobs == half
    assert story.tags() == [*BORN, "churn@v1.0.1"]
    assert list(story.releases()) == ["churn@v1.0.0"]
    assert in_stage(story, "production") == "v1.0.0"

    (run,) = story.settle(event)
    assert run.jobs == DELIVERED, run.log
    is_whole(story, "v1.0.0", "v1.0.1")
    assert story.tags() == [*BORN, "churn@v1.0.1", "churn#staging#3", "churn#production#4"]
    assert story.deployments()[-2:] == [("staging", "success"), ("production", "success")]
    assert len(story.journal()) == 2, "only what came to its end is in the journal, and once"


def test_an_api_that_fails_now_and_then_changes_nothing_of_a_release(story: World) -> None:
    story.runner.environment["MLOPS_RETRY_SECONDS"] = "0.05"
    faults = story.hub.faults
    faults.add("GET", "*/releases", 500, times=2)
    faults.add("POST", "*/releases", 502, done_first=True)  # the draft is made, the answer lost
    faults.add("POST", "*/releases/*/assets", 500, times=2)
    faults.add("POST", "*/releases/*/assets", 502, done_first=True, skip=3)
    faults.add("GET", "*/releases/assets/*", 502, skip=2)
    faults.add("PATCH", "*/releases/*", 429, times=2)
    (run,) = story.push(arrivals, "New data")
    assert run.jobs == DELIVERED, run.log
    failed = [one.status for one in story.hub.exchanges if one.status >= 429]
    assert sorted(failed) == [429, 429, 500, 500, 500, 500, 502, 502, 502]
    is_whole(story, "v1.0.0", "v1.0.1")
    assert story.tags() == [*BORN, "churn@v1.0.1", "churn#staging#3", "churn#production#4"]
    assert "v1.0.1 is now in production" in run.summary


# ----- what starts what


def test_a_message_and_the_calendar_train_again_and_without_news_nothing_changes(
    story: World,
) -> None:
    before = story.tags()
    assert story.message("something else") == []

    (run,) = story.message("retrain", model="nobody")
    assert run.jobs == NOTHING | {"plan": "failure"}
    assert "there is no model of this name" in run.log

    story.api("POST", "/actions/variables", {"name": "SCHEDULES", "value": "off"})
    for workflow in ("release", "monitor", "reproduce"):
        (run,) = story.calendar(workflow)
        assert set(run.jobs.values()) == {"skipped"}, workflow
    story.api("DELETE", "/actions/variables/SCHEDULES")

    (told,) = story.message("retrain", model=MODEL)
    (timed,) = story.calendar("release")
    for run, name in ((told, "repository_dispatch"), (timed, "schedule")):
        assert (run.workflow, run.event.name, run.jobs) == ("release", name, DELIVERED), run.log
        assert "v1.0.0 was registered already" in run.log
        assert "v1.0.0 is already in production" in run.summary
    assert story.tags() == before
    assert len(story.journal()) == 3
    is_whole(story, "v1.0.0")


def test_new_data_and_new_training_code_on_main_are_each_delivered(story: World) -> None:
    (run,) = story.push(arrivals, "New data")
    assert (run.workflow, run.event.name, run.jobs) == ("release", "push", DELIVERED), run.log
    assert in_stage(story, "production") == "v1.0.1"
    assert trailers(story, "churn@v1.0.1")["Reason"] == "patch: only the data changed"

    (run,) = story.push(replaced(FEATURES_FILE, LOOKS_AT, BETTER), "Look at the plan")
    assert (run.workflow, run.event.name, run.jobs) == ("release", "push", DELIVERED), run.log
    assert in_stage(story, "production") == "v1.1.0"
    assert trailers(story, "churn@v1.1.0")["Reason"].startswith("minor: ")
    is_whole(story, "v1.0.0", "v1.0.1", "v1.1.0")

    (run,) = story.push({"README.md": "Words.\n"}, "Words")
    assert run.jobs == NOTHING | {"plan": "success"}
    assert len(story.tags()) == 9 and len(story.journal()) == 3


# ----- drift


def served(world: World, rows: pd.DataFrame, days_ago: float) -> None:
    """Let the version in production answer these rows on a day, and log them."""
    path = world.root / "asked.csv"
    rows.drop(columns="churn").to_csv(path, index=False)
    ref = f"{MODEL}@production"
    mlops(world, "predict", ref, str(path), "--out", str(path) + ".out", days_ago=days_ago)


@pytest.mark.slow
def test_drift_opens_one_issue_asks_for_retraining_once_and_is_over_when_it_is_over(
    story: World,
) -> None:
    state = {"name": "MLOPS_STATE", "value": str(story.root / "state")}
    story.api("POST", "/actions/variables", state)
    served(story, rows_of(n=400, seed=7).assign(tenure=1, plan="basic"), days_ago=3)

    watch, again = story.calendar("monitor")
    assert (watch.workflow, watch.jobs) == ("monitor", WATCHED), watch.log
    (issue,) = story.issues()
    assert issue["title"] == "churn: what is served is no longer what was learned"
    assert issue["labels"] == ["model-alarm"]
    assert "tenure has drifted" in issue["body"] and "plan has drifted" in issue["body"]
    assert "with an alarm: 1. Retraining was asked for at the first." in issue["body"]
    assert f"/actions/runs/{watch.id}" in issue["body"]
    assert (again.workflow, again.event.name) == ("release", "repository_dispatch")
    assert again.event.payload["client_payload"] == {"model": MODEL}
    assert again.jobs == DELIVERED, again.log

    (watch,) = story.dispatch("monitor", since="7d")  # it lasts: the same issue, nothing started
    assert watch.jobs == WATCHED
    (same,) = story.issues()
    assert same["number"] == issue["number"] and "with an alarm: 2." in same["body"]
    assert story.comments(issue["number"]) == []

    served(story, rows_of(n=400, seed=8), days_ago=0.1)
    (watch,) = story.dispatch("monitor", since="1d")
    assert watch.jobs == WATCHED
    assert story.issues() == []
    (closed,) = story.issues("closed")
    assert closed["number"] == issue["number"]
    assert [run.workflow for run in story.runner.runs] == ["monitor", "release", *["monitor"] * 2]
    (said,) = story.comments(issue["number"])
    assert "It is over." in said and "no column has drifted" in said
    assert story.tags() == BORN
    checks = sorted(story.journal("monitor"), key=lambda check: str(check["until"]))
    assert [check["alarm"] for check in checks] == [True, True, False]
    assert {check["version"] for check in checks} == {"v1.0.0"}


# ----- who may


def _statement(bundle: dict[str, Any]) -> Any:
    """Return what an attestation states."""
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))


def approvers(root: Path) -> None:
    """From now on two people say what goes into production; and there are new data."""
    arrivals(root)
    old = "    after: staging\n    approvers: []"
    replaced("project.yaml", old, old.replace("[]", '["@alice", "@carol"]'))(root)


def promotes(world: World, actor: str, version: str = "staging") -> Run:
    """Start promote.yml by hand."""
    asked = {"model": MODEL, "stage": "production", "version": version, "reason": "It is good"}
    (run,) = world.dispatch("promote", actor=actor, **asked)
    assert list(run.jobs) == ["promote"]
    return run


def test_production_waits_for_somebody_else_and_can_be_taken_back(story: World) -> None:
    (run,) = story.push(approvers, "New data, and approvers", actor="alice")
    assert run.jobs == DELIVERED, run.log
    said = "waits: @alice, @carol may put it into production, by the workflow promote"
    assert said in run.summaries["production (churn)"]
    waiting = [*BORN, "churn@v1.0.1", "churn#staging#3"]
    assert story.tags() == waiting
    assert in_stage(story, "staging") == "v1.0.1" and in_stage(story, "production") == "v1.0.0"

    for actor, why in (
        ("mallory", "this person may not approve for production"),
        ("alice", "nobody approves a version that they registered"),
    ):
        run = promotes(story, actor)
        assert run.jobs == {"promote": "failure"} and why in run.log
        assert story.tags() == waiting
        assert story.deployments()[-1] == ("production", "failure")

    run = promotes(story, "carol")
    assert run.jobs == {"promote": "success"}, run.log
    assert story.tags() == [*waiting, "churn#production#4"]
    told = trailers(story, "churn#production#4")
    assert (told["Actor"], told["Approver"], told["Reason"]) == ("@carol", "@carol", "It is good")
    assert story.deployments()[-1] == ("production", "success")
    asked = str(story.root / "asked.csv")
    rows_of(n=5, seed=3).drop(columns="churn").to_csv(asked, index=False)
    new = mlops(story, "predict", f"{MODEL}@production", asked, "--no-log")
    assert new["version"] == "v1.0.1"

    # Complaints: alice starts the way back, and carol approves it on the run's page.
    carol = story.hub.view.user("carol")["id"]
    rule = {"reviewers": [{"type": "User", "id": carol}], "prevent_self_review": True}
    story.api("PUT", "/environments/production", rule)
    story.approves("production", "carol")
    run = promotes(story, "alice", version="")
    assert run.jobs == {"promote": "success"}, run.log
    told = trailers(story, "churn#production#5")
    assert (told["Actor"], told["Approver"], told["Rollback"]) == ("@alice", "@carol", "v1.0.1")
    assert in_stage(story, "production") == "v1.0.0"
    old = mlops(story, "predict", f"{MODEL}@production", asked, "--no-log")
    assert old["version"] == "v1.0.0" and old["predictions"] != new["predictions"]

    # Another team takes it from there, in a folder of its own that is no clone of anything.
    elsewhere = story.root / "elsewhere"
    elsewhere.mkdir()
    where = ("--from", story.hub.repository)
    got = mlops(story, "pull", f"{MODEL}@production", *where, folder=elsewhere)
    assert got["version"] == f"{MODEL}@v1.0.0"
    assert sorted(path.name for path in elsewhere.glob("*/*")) == ASSETS

    (run,) = story.dispatch("reproduce")  # from its tag, though main has moved on
    assert run.jobs == {"plan": "success", "reproduce (churn)": "success"}, run.log
    assert "churn@v1.0.0: the same bytes" in run.summary
    assert "in    the present environment, which has its lock" in run.summary
    about = [_statement(one["bundle"]) for one in story.hub.state.attestations]
    kinds = [one["predicateType"].rpartition("/")[2] for one in about]
    assert kinds == ["v1", "bom"] * 2, "provenance and bill of materials of each version"
    assert "scikit-learn" in {one["name"] for one in about[1]["predicate"]["components"]}
    is_whole(story, "v1.0.0", "v1.0.1")

"""A repository's later life: lost runs, faults, triggers, approvals, rollback."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from engine.conftest import rows_of
from rehearsal.event import Event
from rehearsal.runner.run import Run
from rehearsal.stories.world import World, replaced
from stories.outcomes import (
    ASSETS,
    BORN,
    DELIVERED,
    NOTHING_DELIVERED,
    decides,
    in_stage,
    is_whole,
    mlops,
    refs,
    refused_to_strangers_and_authors,
    trailers,
    writes,
)
from stories.worlds import (
    BETTER,
    FEATURES_FILE,
    LOCK,
    LOOKS_AT,
    MODEL,
    approvers,
    arrivals,
)

# ----- a run that dies, an API that fails

# Every Python of a job stops at the first request that looks so, before it is sent.
REPRODUCED = {"plan": "success", "data": "skipped", "reproduce (churn)": "success"}

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
def test_a_release_killed_half_way_twice_and_run_again_is_one_whole_version(
    story: World,
) -> None:
    story.change(arrivals, "New data")
    story.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    (event,) = story.hub.events.take()

    run = killed(
        story, event, "POST", "name=model.skops"
    )  # some files are up, no tag yet
    never = ("staging", "smoke", "production")
    half = {key: end for key, end in DELIVERED.items() if not key.startswith(never)}
    half |= {"register": "cancelled", **dict.fromkeys(never, "skipped")}
    assert run.jobs == half
    assert story.tags() == BORN and list(story.releases()) == ["churn@v1.0.0"]
    (draft,) = (one for one in story.hub.state.releases.values() if one["draft"])
    assert 0 < len(story.hub.state.assets_of(draft["id"])) < len(ASSETS)

    run = killed(
        story, event, "PATCH", "/releases/"
    )  # it has its tag, nobody can fetch it yet
    assert run.jobs == half
    assert story.tags() == [*BORN, "churn@v1.0.1"]
    assert list(story.releases()) == ["churn@v1.0.0"]
    assert in_stage(story, "production") == "v1.0.0"

    (run,) = story.schedule("release")  # nobody ran it again: the calendar does
    assert run.jobs == DELIVERED, run.log
    is_whole(story, "v1.0.0", "v1.0.1")
    assert story.tags() == [
        *BORN,
        "churn@v1.0.1",
        "churn#staging#3",
        "churn#production#4",
    ]
    assert story.deployments()[-2:] == [
        ("staging", "success"),
        ("production", "success"),
    ]
    assert len(story.journal()) == 2, (
        "only what came to its end is in the journal, and once"
    )


def test_an_api_that_fails_now_and_then_changes_nothing_of_a_release(
    story: World,
) -> None:
    story.runner.environment["MLOPS_RETRY_SECONDS"] = "0.05"
    faults = story.hub.faults
    faults.add("GET", "*/releases", 500, times=2)
    faults.add(
        "POST", "*/releases", 502, done_first=True
    )  # the draft is made, the answer lost
    faults.add("POST", "*/releases/*/assets", 500, times=2)
    faults.add("POST", "*/releases/*/assets", 502, done_first=True, skip=3)
    faults.add("GET", "*/releases/assets/*", 502, skip=2)
    faults.add("PATCH", "*/releases/*", 429, times=2)
    (run,) = story.push(arrivals, "New data")
    assert run.jobs == DELIVERED, run.log
    failed = [one.status for one in story.hub.exchanges if one.status >= 429]
    assert sorted(failed) == [429, 429, 500, 500, 500, 500, 502, 502, 502]
    is_whole(story, "v1.0.0", "v1.0.1")
    assert story.tags() == [
        *BORN,
        "churn@v1.0.1",
        "churn#staging#3",
        "churn#production#4",
    ]
    assert "v1.0.1 is now in production" in run.summary


# ----- what starts what


def test_a_message_trains_again_and_the_calendar_looks_first(
    story: World,
) -> None:
    before = story.tags()
    assert story.message("something else") == []

    (run,) = story.message("retrain", model="nobody")
    assert run.jobs == NOTHING_DELIVERED | {"plan": "failure"}
    assert "there is no model of this name" in run.log

    story.api("POST", "/actions/variables", {"name": "SCHEDULES", "value": "off"})
    for workflow in ("release", "monitor", "reproduce"):
        (run,) = story.schedule(workflow)
        assert set(run.jobs.values()) == {"skipped"}, workflow
    story.api("DELETE", "/actions/variables/SCHEDULES")

    (told,) = story.message("retrain", model=MODEL)
    assert (told.workflow, told.event.name) == ("release", "repository_dispatch")
    assert told.jobs == DELIVERED, told.log
    assert "v1.0.0 was registered already" in told.log
    assert "v1.0.0 is already in production" in told.summary
    (timed,) = story.schedule("release")
    assert (timed.workflow, timed.event.name) == ("release", "schedule")
    assert timed.jobs == NOTHING_DELIVERED, timed.log
    assert "nothing new: churn" in " ".join(timed.summary.split())
    assert story.tags() == before
    assert len(story.journal()) == 2  # the calendar's look is no run
    is_whole(story, "v1.0.0")


def test_new_data_and_new_training_code_on_main_are_each_delivered(
    story: World,
) -> None:
    (run,) = story.push(arrivals, "New data")
    assert (run.workflow, run.event.name, run.jobs) == ("release", "push", DELIVERED), (
        run.log
    )
    assert in_stage(story, "production") == "v1.0.1"
    assert trailers(story, "churn@v1.0.1")["Reason"] == "patch: only the data changed"

    (run,) = story.push(replaced(FEATURES_FILE, LOOKS_AT, BETTER), "Look at the plan")
    assert (run.workflow, run.event.name, run.jobs) == ("release", "push", DELIVERED), (
        run.log
    )
    assert in_stage(story, "production") == "v1.1.0"
    assert trailers(story, "churn@v1.1.0")["Reason"].startswith("minor: ")
    is_whole(story, "v1.0.0", "v1.0.1", "v1.1.0")

    (run,) = story.push({"README.md": "Words.\n"}, "Words")
    assert run.jobs == NOTHING_DELIVERED
    assert len(story.tags()) == 9 and len(story.journal()) == 3


# ----- who may


def _statement(bundle: dict[str, Any]) -> Any:
    """Return what an attestation states."""
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))


def test_production_waits_for_somebody_else_and_can_be_taken_back(story: World) -> None:
    (run,) = story.push(approvers, "New data, and approvers", actor="alice")
    assert run.jobs == DELIVERED, run.log
    said = "waits: @alice, @carol may put it into production, by the workflow promote"
    assert said in run.summaries["production (churn) / promote"]
    waiting = [*BORN, "churn@v1.0.1", "churn#staging#3"]
    assert story.tags() == waiting
    assert (
        in_stage(story, "staging") == "v1.0.1"
        and in_stage(story, "production") == "v1.0.0"
    )

    refused_to_strangers_and_authors(story)

    run = decides(story, "carol", version="staging")
    assert run.jobs == {"promote": "success"}, run.log
    assert story.tags() == [*waiting, "churn#production#4"]
    told = trailers(story, "churn#production#4")
    assert (told["Actor"], told["Approver"], told["Reason"]) == (
        "@carol",
        "@carol",
        "It is good",
    )
    assert story.deployments()[-1] == ("production", "success")
    asked = str(story.root / "asked.csv")
    rows_of(n=5, seed=3).drop(columns="churn").to_csv(asked, index=False)
    new = mlops(story, "predict", f"{MODEL}@production", asked, "--no-log")
    assert new["version"] == "v1.0.1"

    # Meanwhile a workflow has changed: no branch has the files that the version was
    # trained beside.
    edit = replaced(".github/workflows/security.yml", '"19 7 * * 4"', '"29 7 * * 4"')
    assert story.push(edit, "Later [skip ci]") == []

    # Complaints: alice starts the way back, and carol approves it on the run's page.
    carol = story.hub.view.user("carol")["id"]
    rule = {"reviewers": [{"type": "User", "id": carol}], "prevent_self_review": True}
    story.api("PUT", "/environments/production", rule)
    story.approves("production", "carol")
    run = decides(story, "alice", "rollback")
    assert run.jobs == {"promote": "success"}, run.log
    told = trailers(story, "churn#production#5")
    assert (told["Actor"], told["Approver"], told["Rollback"]) == (
        "@alice",
        "@carol",
        "v1.0.1",
    )
    assert in_stage(story, "production") == "v1.0.0"
    old = mlops(story, "predict", f"{MODEL}@production", asked, "--no-log")
    assert old["version"] == "v1.0.0" and old["predictions"] != new["predictions"]

    # Another team takes it from there, in a folder of its own that is no clone of
    # anything.
    elsewhere = story.root / "elsewhere"
    elsewhere.mkdir()
    where = ("--from", story.hub.repository)
    got = mlops(story, "pull", f"{MODEL}@production", *where, folder=elsewhere)
    assert got["version"] == f"{MODEL}@v1.0.0"
    assert sorted(path.name for path in elsewhere.glob("*/*")) == ASSETS

    (run,) = story.dispatch("reproduce")  # from its tag, though main has moved on
    assert run.jobs == REPRODUCED, run.log
    assert "churn@v1.0.0: the same bytes" in run.summary
    assert "in    the present environment, which has its lock" in run.summary
    about = [_statement(one["bundle"]) for one in story.hub.state.attestations]
    kinds = [one["predicateType"].rpartition("/")[2] for one in about]
    assert kinds == ["v1", "bom"] * 2, (
        "provenance and bill of materials of each version"
    )
    assert "scikit-learn" in {
        one["name"] for one in about[1]["predicate"]["components"]
    }
    is_whole(story, "v1.0.0", "v1.0.1")


def test_every_decision_can_be_made_on_github(story: World) -> None:
    (run,) = story.push(arrivals, "New data")
    assert run.jobs == DELIVERED and in_stage(story, "production") == "v1.0.1", run.log
    bad = "churn@v1.0.1"
    for actor, decision, asked, ok, said in (
        ("bob", "promote", {}, False, "this does not say which version of `churn`"),
        (
            "bob",
            "reject",
            {"version": "production"},
            True,
            f"{bad} is rejected for production",
        ),
        (
            "bob",
            "promote",
            {"version": "v1.0.1"},
            False,
            "was rejected for production by @bob",
        ),
        ("bob", "withdraw", {"version": "v1.0.1"}, False, f"{bad} is in staging"),
        (
            "bob",
            "rollback",
            {"stage": "staging"},
            True,
            "churn@v1.0.0 is now in staging",
        ),
        ("bob", "withdraw", {"version": "v1.0.1"}, True, f"{bad} is withdrawn"),
        ("carol", "deprecate", {}, True, "churn is retired"),
    ):
        run = decides(story, actor, decision, **asked)
        assert run.jobs == {"promote": "success" if ok else "failure"}, run.log
        assert said in (run.summaries["promote"] if ok else run.log)
    assert in_stage(story, "production") == in_stage(story, "staging") == "v1.0.0"
    told = trailers(story, "churn@deprecated")
    assert (told["Actor"], told["Reason"]) == ("@carol", "It is good")
    assert sorted(story.releases()) == ["churn@v1.0.0", "churn@v1.0.1"], "records stay"


# ----- the same bytes

# A library of another version: what it does not have to be told is something else
# there.
OTHERWISE = """
import sys

if "mlops.pipeline.child" in sys.orig_argv:
    from sklearn.linear_model import LogisticRegression

    LogisticRegression.__init__.__kwdefaults__["tol"] = 0.01
"""


def test_a_version_that_comes_out_otherwise_is_red_and_says_what_differs(
    story: World,
) -> None:
    assert (
        story.push(replaced(LOCK, "==0.8.0", "==0.8.1"), "Newer libraries [skip ci]")
        == []
    )
    (run,) = story.schedule("reproduce")  # the lock alone makes no difference
    assert run.jobs == REPRODUCED, run.log

    (libraries,) = story.runner.machine.warm.rglob("site-packages")
    (libraries / "sitecustomize.py").write_text(OTHERWISE)
    before = refs(story)
    (run,) = story.schedule("reproduce")
    assert (run.event.name, run.jobs) == (
        "schedule",
        REPRODUCED | {"reproduce (churn)": "failure"},
    )
    said = run.summaries["reproduce (churn)"]
    assert "churn@v1.0.0: NOT REPRODUCIBLE" in said
    assert [
        re.sub(r"\b[0-9a-f]{24,}\b", "…", line.strip())
        for line in said.splitlines()[1:9]
    ] == [
        "then  …",
        "now   …",
        "in    the present environment, which is another",
        "model.onnx  different",
        "installed is not what is locked: annotated-types 0.8.0 (locked: 0.8.1)",
        "lock of this environment: … then, … now",
        "model.steps.logisticregression[1].coef_: 2 of 2 numbers differ, by 1.6e-01 at "
        "most",
        "model.steps.logisticregression[1].intercept_: 1 of 1 numbers differ, by "
        "2.5e-02 at most",
    ]
    assert said.endswith(
        "model.steps.logisticregression[1].tol: 0.0001 then, 0.01 now\n"
    )
    assert refs(story) == before and not writes(story, run)

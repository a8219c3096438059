"""A bucket holds the data, or the prediction log: the schedule sees what comes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from ruamel.yaml import YAML

from engine.conftest import rows_of
from rehearsal.bucket import BucketServer
from rehearsal.stories.world import World
from stories.outcomes import (
    CHECKED,
    CUSTOMER,
    DELIVERED,
    NOTHING_DELIVERED,
    REFUSED,
    WATCHED,
    service,
)
from stories.worlds import MODEL, ROWS, ROWS_FILE, SPEC, looking_at

from .test_story_drift import arrived, checks, halved

ROLE = "arn:aws:iam::123456789012:role/reads-data"
FETCHED = {"data": "success"}


def moved(root: Path) -> None:
    """Let the model read from the bucket, and git hold none of its rows."""
    path = root / SPEC
    yaml = YAML(pure=True)
    spec = yaml.load(path)
    spec["data"]["source"] = "s3://acme/churn/*.csv"
    yaml.dump(spec, path)
    (root / ROWS_FILE).unlink()
    looking_at("raw")(root)


def rows_may_be_public(root: Path) -> None:
    """Let artifacts of a public repository hold the rows that were read."""
    project = root / "project.yaml"
    project.write_text(f"{project.read_text()}\ndata: {{public: true}}\n")


def csv(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False).encode()


def in_bucket(world: World, bucket: BucketServer) -> None:
    """Give the jobs what GitHub gives them, and the repository its variables."""
    world.runner.environment = bucket.job_environment()
    named = {
        "AWS_ROLE_ARN": ROLE,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": bucket.url,
    }
    for name, value in named.items():
        world.api("POST", "/actions/variables", {"name": name, "value": value})


@pytest.mark.slow
def test_a_new_month_in_a_bucket_is_trained_and_delivered_by_the_schedule(
    story: World,
) -> None:
    bucket = BucketServer("acme")
    bucket.put("acme", "churn/01.csv", csv(rows_of(n=ROWS)))
    with bucket.running():
        in_bucket(story, bucket)
        assert story.push(rows_may_be_public, "Public rows [skip ci]") == []
        pull = story.open_pull_request("bucket", moved, "Data in a bucket")
        assert pull.runs[0].jobs == CHECKED | FETCHED, pull.runs[0].log
        assert bucket.roles == [ROLE]
        (release,) = story.merge(pull)
        assert release.jobs == DELIVERED | FETCHED, release.log
        assert "churn@v1.1.0" in story.tags()
        assert bucket.roles == [ROLE, ROLE]  # no other job has taken it

        (timed,) = story.schedule("release")
        assert timed.jobs == NOTHING_DELIVERED | FETCHED, timed.log
        assert f"{MODEL}: nothing new" in timed.log

        bucket.put("acme", "churn/02.csv", csv(rows_of(n=400, seed=1)))
        (timed,) = story.schedule("release")
        assert timed.jobs == DELIVERED | FETCHED, timed.log
        assert "churn@v1.1.1" in story.tags()
        story.git("fetch", "--quiet", "--tags", "origin")
        lock = story.git("show", "churn@v1.1.1:models/churn/data.lock.json")
        assert "s3://acme/churn/01.csv" in lock and "s3://acme/churn/02.csv" in lock

        bucket.forbidden = True
        (timed,) = story.schedule("release")
        assert timed.jobs["data"] == "failure"
        assert "the bucket refuses to list this" in timed.log
        assert bucket.secret not in timed.log


@pytest.mark.slow
def test_a_fork_gets_no_role_its_model_is_not_trained_and_the_verdict_says_so(
    story: World,
) -> None:
    bucket = BucketServer("acme")
    bucket.put("acme", "churn/01.csv", csv(rows_of(n=ROWS)))
    with bucket.running():
        in_bucket(story, bucket)
        assert story.push(rows_may_be_public, "Public rows [skip ci]") == []
        pull = story.open_pull_request(
            "bucket", moved, "Data in a bucket", actor="mallory", fork=True
        )
    run = pull.runs[0]
    assert run.jobs == REFUSED, run.log
    assert "was not fetched" in run.log
    assert (
        "[failure] Not trained, because a pull request of a fork gets no role"
        in run.log
    )
    assert (bucket.roles, bucket.requests) == ([], [])


def may_be_public(root: Path) -> None:
    """Let artifacts of a public repository hold the log."""
    project = root / "project.yaml"
    project.write_text(f"{project.read_text()}\npredictions: {{public: true}}\n")


def got(address: str, path: str, body: Any = None) -> str:
    """Return what a service answers."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(address + path, content, headers), timeout=60) as response:
        text: str = response.read().decode()
    return text


def answered(address: str, rows: pd.DataFrame) -> None:
    """Have a service answer rows, and wait until its log is delivered."""
    asked = rows[list(CUSTOMER)].to_json(orient="records")
    body = {"rows": json.loads(asked)}
    before = delivered_rows(address)
    got(address, "/predict", body)
    until(lambda: delivered_rows(address) == before + len(rows))


def delivered_rows(address: str) -> float:
    """Return how many rows of its log a service has delivered."""
    text = got(address, "/metrics")
    found = re.search(r"^mlops_log_delivered_rows_total (\S+)$", text, re.M)
    assert found, text
    return float(found[1])


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_service_elsewhere_logs_to_a_bucket_and_its_drift_ends_in_a_new_version(
    story: World,
) -> None:
    bucket = BucketServer("acme")
    arrived(story, halved(rows_of(n=1_500, seed=9)))
    with bucket.running():
        in_bucket(story, bucket)
        log = {"name": "MLOPS_PREDICTIONS", "value": "s3://acme/logs"}
        story.api("POST", "/actions/variables", log)
        own = {
            "MLOPS_PREDICTIONS": "s3://acme/logs",
            "MLOPS_DELIVERY_SECONDS": "0.5",
            **bucket.environment(),
        }
        with service(story, **own) as address:
            answered(address, halved(rows_of(n=400, seed=7)))

            (watch,) = story.schedule("monitor")
            after = dict.fromkeys(("check", "alarm", "propose"), "skipped")
            failed = {"plan": "success", "data": "failure", **after}
            assert watch.jobs == failed, watch.log
            assert "anybody can download from a public repository" in watch.log

            assert story.push(may_be_public, "Public rows [skip ci]") == []
            watch, release = story.schedule("monitor")
            assert watch.jobs == WATCHED | FETCHED, watch.log
            (issue,) = story.issues()
            assert "tenure has drifted" in issue["body"]
            assert bucket.roles == [ROLE]  # the job that runs code of a model has none
            assert release.event.name == "repository_dispatch"
            assert release.jobs == DELIVERED, release.log

            until(lambda: json.loads(got(address, "/model"))["version"] == "v1.0.1")
            answered(address, halved(rows_of(n=400, seed=8)))
            (watch,) = story.schedule("monitor")
            assert watch.jobs == WATCHED | FETCHED, watch.log
            assert story.issues() == []
            (closed,) = story.issues("closed")
            assert closed["number"] == issue["number"]
            assert checks(story) == [("v1.0.0", True), ("v1.0.1", False)]
            rows = {
                check["version"]: check["rows"] for check in story.journal("monitor")
            }
            assert rows == {"v1.0.0": 400, "v1.0.1": 400}

            bucket.forbidden = True
            (watch,) = story.schedule("monitor")
            assert watch.jobs == failed, watch.log
            assert bucket.secret not in watch.log
            assert json.loads(got(address, "/predict", {"rows": [CUSTOMER]}))["logged"]


def all_in_bucket(root: Path) -> None:
    """Let data, snapshots and batches lie in the bucket."""
    moved(root)
    project = root / "project.yaml"
    project.write_text(f"{project.read_text()}\ndata: {{store: s3://acme/stored}}\n")
    with (root / SPEC).open("a") as file:
        file.write("\nbatch: {input: s3://acme/in/*.csv, output: s3://acme/out}\n")


SCORED = {"plan": "success", f"predict ({MODEL})": "success", "record": "success"}
IDLE = {
    "plan": "success",
    "data": "success",
    **dict.fromkeys(("predict", "deliver", "record"), "skipped"),
}


@pytest.mark.slow
def test_with_all_in_a_bucket_a_batch_is_scored_and_a_version_outlives_its_source(
    story: World,
) -> None:
    bucket = BucketServer("acme")
    bucket.put("acme", "churn/01.csv", csv(rows_of(n=ROWS)))
    # What its workflows hand on as artifacts is for those who may read it alone.
    story.hub.state.private, story.hub.state.plan = True, "team"
    with bucket.running():
        in_bucket(story, bucket)
        log = {"name": "MLOPS_PREDICTIONS", "value": "s3://acme/logs"}
        story.api("POST", "/actions/variables", log)
        (release,) = story.push(all_in_bucket, "All in a bucket")
        assert release.jobs == DELIVERED | FETCHED, release.log
        assert "churn@v1.1.0" in story.tags()
        assert len(bucket.keys("acme", "stored/pieces/")) == 1

        rows = rows_of(n=300, seed=7).drop(columns="churn")
        bucket.put("acme", "in/monday.csv", csv(rows))
        (run,) = story.schedule("predict")
        assert run.jobs == SCORED | FETCHED | {"deliver": "success"}, run.log
        # Fetch, store, input, output: the job that runs code of a model has none.
        assert bucket.roles == [ROLE] * 4
        (record,) = story.journal("batch")
        assert [file["rows"] for file in record["files"]] == [300]
        for prefix in ("out/churn/", "logs/predictions/churn/"):
            (key,) = bucket.keys("acme", prefix)
            content = bucket.objects["acme", key].content
            assert len(pd.read_parquet(BytesIO(content))) == 300
        (again,) = story.schedule("predict")
        assert again.jobs == IDLE, again.log

        del bucket.objects["acme", "churn/01.csv"]
        (run,) = story.schedule("reproduce")
        same = {"plan": "success", f"reproduce ({MODEL})": "success"}
        assert run.jobs == same | FETCHED, run.log
        assert "the same bytes" in run.log

"""A log in a bucket: one job copies it, another checks it without credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.data.buckets import BucketPlace
from mlops.io.places import FolderPlace, Place
from mlops.monitoring.log_copy import copy_log
from mlops.monitoring.monitor import monitor
from mlops.monitoring.window import CheckSources, Period
from mlops.runlog.journal import append_check
from rehearsal.bucket import BucketServer

from .conftest import Trained, rows_of, train_in
from .serving_world import NOW, release
from .test_monitoring_run import serve

DAY = timedelta(days=1)
WEEK = Period(NOW - 7 * DAY, NOW + DAY)


@pytest.fixture(name="bucket")
def bucket_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    server = BucketServer("acme")
    with server.running():
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MLOPS_RETRY_SECONDS", "0.001")
        monkeypatch.setenv("MLOPS_HTTP_TIMEOUT", "1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield server


@pytest.fixture(name="released")
def released_fixture(trained: Trained) -> Trained:
    release(trained)
    return trained


def named(start: str, n: int, seed: int) -> pd.DataFrame:
    """Return rows whose ids are those of no other rows."""
    return rows_of(n=n, seed=seed).assign(customer=[f"{start}{i}" for i in range(n)])


def put_log(bucket: BucketServer, state: Path) -> None:
    """Bring a service's log into the bucket, as it is."""
    for folder in ("predictions", "feedback"):
        for path in sorted((state / folder).rglob("*.jsonl")):
            key = f"logs/{path.relative_to(state).as_posix()}"
            bucket.put("acme", key, path.read_bytes())


def check(trained: Trained, place: Place, until: datetime | None = None) -> Any:
    period = Period(WEEK.since, until or WEEK.until)
    sources = CheckSources(predictions=place)
    return monitor(
        trained.project, "churn", "production", period, charts=False, sources=sources
    )


def test_a_check_of_the_copy_comes_to_the_same_result(
    bucket: BucketServer, released: Trained, tmp_path: Path
) -> None:
    serve(released, named("a", 300, 5), labels=["yes"] * 300)
    serve(released, named("old", 50, 6), at=NOW - 20 * DAY)
    put_log(bucket, released.project.state)
    log = BucketPlace("s3://acme/logs", tmp_path / "cache")
    out = tmp_path / "copy"
    done = copy_log(log, released.project, "churn", "production", WEEK, out)
    assert (done.first, done.files) == ("2026-11-16", 2)
    bucket.forbidden = True
    found = check(released, FolderPlace(out))
    assert (found.rows, found.labelled) == (300, 300)
    assert found == check(released, FolderPlace(released.project.state))


def test_rows_of_a_skipped_check_are_copied_too(
    bucket: BucketServer, released: Trained, tmp_path: Path
) -> None:
    """They are older than the period, and newer than what was counted."""
    serve(released, named("a", 250, 5), at=NOW - 20 * DAY)
    first = Period(NOW - 21 * DAY, NOW - 19 * DAY)
    done = monitor(released.project, "churn", "production", first, charts=False)
    append_check(released.project, done.model_dump(mode="json"), "ana")
    serve(released, named("b", 260, 6), at=NOW - 12 * DAY)
    put_log(bucket, released.project.state)
    log = BucketPlace("s3://acme/logs", tmp_path / "cache")
    out = tmp_path / "copy"
    copied = copy_log(log, released.project, "churn", "production", WEEK, out)
    assert copied.first == "2026-11-03"
    found = check(released, FolderPlace(out))
    assert (found.counted, found.rows) == (260, 260)


def test_a_log_that_grew_is_read_again(bucket: BucketServer, tmp_path: Path) -> None:
    place = BucketPlace("s3://acme/logs", tmp_path / "cache")
    name = "predictions/churn/2026-11-23.jsonl"
    for content in (b"one\n", b"one\ntwo\n"):
        bucket.put("acme", f"logs/{name}", content)
        (entry,) = place.entries("predictions/churn")
        assert place.local(entry.name).read_bytes() == content
    bucket.requests.clear()
    assert place.local(name).read_bytes() == b"one\ntwo\n"
    assert bucket.requests == []


def moved_labels(
    bucket: BucketServer,
    make: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
) -> Trained:
    """Return a model whose labels lie in the bucket, trained on what was there.

    Its project is the current folder.
    """
    first = rows_of(n=600)
    labels = first[["customer", "churn"]].to_csv(index=False).encode()
    bucket.put("acme", "labels/first.csv", labels)
    data = {
        "source": "data/*.csv",
        "labels": "s3://acme/labels/*.csv",
        "id": "customer",
        "target": "churn",
        "positive": "yes",
    }
    project = make(frame=first.drop(columns="churn"), data=data)
    monkeypatch.chdir(project.root)
    fetched = CliRunner().invoke(app, ["data", "fetch", "churn"])
    assert fetched.exit_code == 0, fetched.output
    trained = train_in(project)
    release(trained)
    return trained


def run(*words: str) -> str:
    """Run a command in the current folder, and return what it prints."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code in (0, 1), done.output
    return done.output


@pytest.mark.parametrize("by_two_jobs", [False, True], ids=["one job", "two jobs"])
def test_labels_in_a_bucket_are_read_for_a_check_as_they_are_then(
    bucket: BucketServer,
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
    by_two_jobs: bool,
) -> None:
    """What a run had read stays as it is: the next run reads nothing again."""
    trained = moved_labels(bucket, make_project, monkeypatch)
    later = named("later", 300, 10)
    serve(trained, later)
    labels = later[["customer", "churn"]].to_csv(index=False).encode()
    bucket.put("acme", "labels/later.csv", labels)
    build = trained.project.build("churn")
    before = (build / "sources.json").read_bytes()
    words = ["monitor", "churn@production", "--since", "2d", "--json"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int((NOW + DAY).timestamp())))
    if by_two_jobs:
        run("data", "log", "churn", "--since", "2d", "--out", "build/_log")
        bucket.forbidden = True
        words += ["--fetched", "build/_log"]
    found = json.loads(run(*words))
    assert (found["rows"], found["labelled"]) == (300, 300)
    assert (build / "sources.json").read_bytes() == before


def test_a_log_that_cannot_be_copied_holds_up_no_other_and_is_never_an_empty_one(
    bucket: BucketServer,
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without its log, a check would find no rows, and say nothing."""
    trained = moved_labels(bucket, make_project, monkeypatch)
    serve(trained, named("a", 300, 10))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int((NOW + DAY).timestamp())))
    output = trained.project.root / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    out = ["--since", "2d", "--out", "build/_log"]
    names = ["--models", '["churn", "unheard"]']
    some = CliRunner().invoke(app, ["data", "log", *names, *out, "--json"])
    assert some.exit_code == 2, some.output
    facts = json.loads(some.stdout)
    assert facts["churn"]["files"] == 1 and facts["unheard"]["exit_code"] == 2
    assert output.read_text().splitlines() == ["read=true"]

    checked = ["monitor", "--since", "2d", "--fetched", "build/_log", "--json"]
    found = CliRunner().invoke(app, [*checked[:1], "churn@production", *checked[1:]])
    assert json.loads(found.stdout)["rows"] == 300
    told = CliRunner().invoke(app, [*checked[:1], "other@production", *checked[1:]])
    assert told.exit_code == 2
    assert "nothing of this model was copied" in told.output

    bucket.forbidden = True
    output.unlink()
    none = CliRunner().invoke(app, ["data", "log", "churn", *out])
    assert none.exit_code == 3, none.output
    assert output.read_text().splitlines() == ["read=false"]  # no check starts
    found = CliRunner().invoke(app, [*checked[:1], "churn@production", *checked[1:]])
    assert found.exit_code == 3
    assert "s3://acme/labels/*.csv" in found.output

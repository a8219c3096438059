"""Batches whose files lie in a bucket: by one command, and by jobs with a role."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.data.buckets import BucketPlace
from mlops.errors import EnvironmentFailure, Refused
from mlops.io.places import FolderPlace
from mlops.runlog.query import batches
from mlops.serving import scoring
from mlops.serving.batch_files import write_log_files, write_output_files
from rehearsal.bucket import BucketServer

from .conftest import Trained, rows_of
from .serving_world import NOW, release
from .test_monitoring_fetched import bucket_fixture as bucket_fixture
from .test_scoring import declare

REF = "churn@production"
NOTHING = {"batch": [], "read": False, "files": False}
LOG = "logs/predictions/churn/"
OUTPUT = "out/churn/"


def asked(n: int, seed: int) -> bytes:
    """Return rows without their label, as a file."""
    return rows_of(n=n, seed=seed).drop(columns="churn").to_csv(index=False).encode()


def rows_in(bucket: BucketServer, prefix: str) -> pd.DataFrame:
    """Return the rows of all parts below a prefix."""
    keys = [key for key in bucket.keys("acme", prefix) if key.endswith(".parquet")]
    contents = [bucket.objects["acme", key].content for key in keys]
    parts = [pd.read_parquet(io.BytesIO(content)) for content in contents]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@pytest.fixture(name="project")
def project_fixture(
    trained: Trained, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Return a project whose model reads and writes batches in the bucket."""
    release(trained)
    project = trained.project
    declare(project, input="s3://acme/in/*.csv", output="s3://acme/out")
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp())))
    monkeypatch.setenv("MLOPS_PREDICTIONS", "s3://acme/logs")
    return project


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


class Job:
    """A job of GitHub Actions: what it is told, and what it hands on."""

    def __init__(self, project: Project, patch: pytest.MonkeyPatch) -> None:
        self.root = project.root
        self.output = project.root / "output"
        self.event = project.root / "event.json"
        patch.setenv("GITHUB_ACTIONS", "true")
        patch.setenv("GITHUB_EVENT_PATH", str(self.event))
        patch.setenv("GITHUB_OUTPUT", str(self.output))
        self.private(True)

    def private(self, is_private: bool) -> None:
        repository = {"private": is_private, "default_branch": "main"}
        self.event.write_text(json.dumps({"repository": repository}))

    def run(self, *words: str) -> tuple[int, str, dict[str, Any]]:
        """Run a command; return its exit code, its text and its outputs."""
        self.output.write_text("")
        code, text = run(*words)
        lines = self.output.read_text().splitlines()
        return (
            code,
            text,
            {k: json.loads(v) for k, v in (x.split("=", 1) for x in lines)},
        )


@pytest.fixture(name="job")
def job_fixture(project: Project, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(project, monkeypatch)


def test_a_batch_in_a_bucket_is_planned_whenever_it_is_looked_at(
    job: Job, bucket: BucketServer
) -> None:
    bucket.forbidden = True  # a plan has no role
    code, text, found = job.run("plan", "--batches")
    assert code == 0, text
    assert (found["batch"], found["away"], found["artifacts"]) == (
        ["churn"],
        True,
        False,
    )


def test_three_jobs_score_a_batch_and_the_one_with_the_models_code_needs_no_bucket(
    job: Job, project: Project, bucket: BucketServer
) -> None:
    bucket.put("acme", "in/monday.csv", asked(60, 5))
    code, text, found = job.run("data", "input", "--models", '["churn"]')
    assert code == 0, text
    assert found == {"batch": ["churn"], "read": True, "files": True}

    bucket.forbidden = True
    code, text, _ = job.run("predict", REF, "--fetched")
    assert code == 0, text
    assert not (project.state / "predictions").exists()

    bucket.forbidden = False
    code, text, found = job.run("data", "output", "--expect", '["churn"]')
    assert code == 0, text
    assert found == {"models": ["churn"]}
    logged, predicted = rows_in(bucket, LOG), rows_in(bucket, OUTPUT)
    assert len(logged) == len(predicted) == 60
    assert set(logged["row_id"]) == set(predicted["id"])

    code, text, _ = job.run("scored", "--expect", '["churn"]', "--models", '["churn"]')
    assert code == 0, text
    (done,) = batches(project, "churn")
    assert [(file.path, file.rows) for file in done.files] == [
        ("s3://acme/in/monday.csv", 60)
    ]
    code, text, found = job.run("data", "input", "--models", '["churn"]')
    assert (code, found) == (0, NOTHING), text


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_what_did_not_reach_the_bucket_is_not_recorded_and_the_next_run_doubles_nothing(
    job: Job,
    project: Project,
    bucket: BucketServer,
    monkeypatch: pytest.MonkeyPatch,
    last: int,
) -> None:
    monkeypatch.setattr(scoring, "ROWS", 40)
    bucket.put("acme", "in/monday.csv", asked(60, 5))  # two parts each
    job.run("data", "input", "--models", '["churn"]')
    job.run("predict", REF, "--fetched")
    writes = []

    def refuse(method: str, key: str) -> None:
        if method == "PUT":
            writes.append(key)
            bucket.forbidden = len(writes) > last

    bucket.before = refuse
    code, text, found = job.run("data", "output", "--expect", '["churn"]')
    assert (code, found) == (3, {"models": []}), text
    assert "the bucket refuses to write this" in text and bucket.secret not in text
    job.run("scored", "--expect", '["churn"]', "--models", "[]")
    assert batches(project, "churn") == []

    bucket.before = lambda method, key: None
    bucket.forbidden = False
    later = int(NOW.timestamp()) + 3 * 3600  # parts of another hour
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(later))
    _, _, found = job.run("data", "input", "--models", '["churn"]')
    assert found["batch"] == ["churn"]
    job.run("predict", REF, "--fetched")
    code, text, _ = job.run("data", "output", "--expect", '["churn"]')
    assert code == 0, text
    for rows in (rows_in(bucket, LOG), rows_in(bucket, OUTPUT)):
        assert len(rows) == 60 and rows["id"].is_unique


@pytest.mark.parametrize(
    ("allowed", "named"),
    [
        ({}, "data.public"),
        ({"data": True}, "predictions.public"),
        ({"predictions": True}, "data.public"),
        ({"data": True, "predictions": True}, ""),
    ],
)
def test_rows_leave_a_public_repository_only_where_project_yaml_says_so(
    job: Job,
    project: Project,
    bucket: BucketServer,
    allowed: dict[str, bool],
    named: str,
) -> None:
    bucket.put("acme", "in/monday.csv", asked(60, 5))
    job.private(False)
    text = "".join(f"{key}: {{public: true}}\n" for key in allowed)
    path = project.root / "project.yaml"
    path.write_text(path.read_text() + text)
    code, text, found = job.run("data", "input", "--models", '["churn"]')
    if not named:
        assert (code, found["read"]) == (0, True), text
        return
    assert (code, found) == (1, NOTHING), text
    assert named in text and "anybody can download" in text
    assert bucket.requests == []


def test_a_batch_that_cannot_be_read_holds_up_no_other(
    job: Job, project: Project, bucket: BucketServer
) -> None:
    bucket.put("acme", "in/monday.csv", asked(60, 5))
    code, text, found = job.run("data", "input", "--models", '["other", "churn"]')
    assert code == 2 and "other: not read" in text
    assert found == {"batch": ["churn"], "read": True, "files": True}


def test_what_was_not_fetched_is_not_scored(job: Job, bucket: BucketServer) -> None:
    bucket.put("acme", "in/monday.csv", asked(60, 5))
    code, text, _ = job.run("predict", REF, "--fetched")
    assert code == 2 and "this source was not fetched" in text
    assert bucket.requests == []


ODD = [
    "predictions/churn/2026-11-23/03-0123456789abcdef-00000.exe",
    "predictions/other/2026-11-23/03-0123456789abcdef-00000.parquet",
    "predictions/churn/00000.parquet",
    "x/predictions/churn/2026-11-23/03-0123456789abcdef-00000.parquet",
]


@pytest.mark.parametrize("name", ODD)
def test_what_no_batch_writes_is_not_written_for_it(tmp_path: Path, name: str) -> None:
    """The job that made it runs code of a model."""
    good = "predictions/churn/2026-11-23/03-0123456789abcdef-00001.parquet"
    for one in (good, name):
        path = tmp_path / "made" / one
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1")
    target = FolderPlace(tmp_path / "log")
    with pytest.raises(Refused, match="a batch writes no such file"):
        write_log_files(tmp_path / "made", target, "churn")
    assert target.entries("predictions") == []


def test_a_link_is_not_followed_into_a_bucket(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    link = tmp_path / "made" / "churn" / "rows-0123456789abcdef" / "00000.parquet"
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)
    target = FolderPlace(tmp_path / "out")
    with pytest.raises(Refused, match="a batch writes no such file"):
        write_output_files(tmp_path / "made", target, "churn")
    assert target.entries("churn") == []


# -- one command ----------------------------------------------------------------------


def predict_apart() -> subprocess.Popen[bytes]:
    """Start the command in a process of its own, which can be killed."""
    words = [sys.executable, "-m", "mlops", "predict", REF]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.parametrize("last", [1, 2, 4])
def test_a_batch_that_is_killed_half_way_is_resumed_and_doubles_nothing(
    project: Project, bucket: BucketServer, last: int
) -> None:
    """Of three blocks each becomes a part of the log and one of the output."""
    bucket.put("acme", "in/monday.csv", asked(2 * scoring.ROWS + 10, 5))
    written: list[str] = []
    process = predict_apart()

    def kill(method: str, key: str) -> None:
        if method in ("PUT", "POST") and key not in written:
            written.append(key)
            if len(written) == last + 1:
                process.kill()

    bucket.before = kill
    process.wait()
    assert process.returncode < 0, process.stdout and process.stdout.read().decode()
    assert batches(project, "churn") == []
    before = dict(bucket.objects)

    bucket.before = lambda method, key: None
    code, text = run("predict", REF)
    assert code == 0, text
    assert {key: bucket.objects[key] for key in before} == before
    logged, predicted = rows_in(bucket, LOG), rows_in(bucket, OUTPUT)
    for rows in (logged, predicted):
        assert len(rows) == 2 * scoring.ROWS + 10 and rows["id"].is_unique
    assert set(predicted["id"]) == set(logged["row_id"])
    code, text = run("predict", REF)
    assert code == 0 and "1 file scored before" in text


def full(bucket: BucketServer) -> None:
    bucket.full = True


def forbidden(bucket: BucketServer) -> None:
    bucket.forbidden = True


def cut(bucket: BucketServer) -> None:
    bucket.half = True


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (full, "the bucket has no space left to write this"),
        (forbidden, "the bucket refuses to write this"),
        (cut, "the bucket does not answer when asked to write this"),
    ],
    ids=["full", "forbidden", "cut"],
)
def test_a_bucket_that_takes_no_more_costs_nothing_but_the_time_until_it_does(
    project: Project,
    bucket: BucketServer,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[BucketServer], None],
    message: str,
) -> None:
    monkeypatch.setattr(scoring, "ROWS", 40)
    bucket.put("acme", "in/monday.csv", asked(100, 5))

    def fail_later(method: str, key: str) -> None:
        if method == "PUT" and key.endswith("-00001.parquet"):
            fault(bucket)

    bucket.before = fail_later
    code, text = run("predict", REF)
    assert code == 3 and message in text and bucket.secret not in text
    assert "s3://acme/logs/predictions/churn" in text
    assert len(rows_in(bucket, LOG)) == len(rows_in(bucket, OUTPUT)) == 40
    assert batches(project, "churn") == []

    bucket.before = lambda method, key: None
    bucket.full = bucket.forbidden = bucket.half = False
    code, text = run("predict", REF)
    assert code == 0, text
    for rows in (rows_in(bucket, LOG), rows_in(bucket, OUTPUT)):
        assert len(rows) == 100 and rows["id"].is_unique


def test_a_large_object_that_is_cut_while_it_is_written_is_not_there(
    bucket: BucketServer, tmp_path: Path
) -> None:
    """It goes up in parts, and appears when the last one is there."""
    place = BucketPlace("s3://acme/out", tmp_path)
    bucket.before = lambda method, key: setattr(
        bucket, "full", method == "PUT" and any(map(len, bucket.uploads.values()))
    )
    with pytest.raises(EnvironmentFailure, match="has no space left"):
        place.write("large.bin", bytes(40 << 20))
    assert bucket.keys("acme", "out/") == []
    bucket.before = lambda method, key: None
    bucket.full = False
    place.write("large.bin", bytes(40 << 20))
    assert len(bucket.objects["acme", "out/large.bin"].content) == 40 << 20

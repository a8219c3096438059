"""Every command that reaches a bucket, while that is away, slow, full and so on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from rehearsal.bucket import BucketServer

from .conftest import git, rows_of, train_in
from .serving_world import NOW, release
from .test_batch_in_bucket import asked
from .test_data_elsewhere import csv
from .test_monitoring_fetched import bucket_fixture as bucket_fixture

REF = "churn@production"

READING = [
    "data fetch churn",
    "run churn",
    f"predict {REF}",
    "data input churn",
    "data log churn --out build/_log",
    f"monitor {REF}",
    "data list churn",
    "data show churn v1.0.0",
    "data diff churn v1.0.0 v1.0.0",
    "data pull churn v1.0.0 --out old",
    "data prune churn --yes",
    "data copy churn --out build/_stored",
    "reproduce churn@v1.0.0",
]
WRITING = ["data store churn", "data output", f"predict {REF} --input in.csv"]


@pytest.fixture(name="project")
def project_fixture(
    make_project: Callable[..., Project],
    bucket: BucketServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """Return a project with a version whose rows, log and batches lie in the bucket."""
    bucket.put("acme", "rows/1.csv", csv(rows_of(n=300)))
    bucket.put("acme", "in/monday.csv", asked(60, 5))
    data = {
        "source": "s3://acme/rows/*.csv",
        "id": "customer",
        "target": "churn",
        "positive": "yes",
    }
    batch = {"input": "s3://acme/in/*.csv", "output": "s3://acme/out"}
    project = make_project(data=data, batch=batch)
    path = project.root / "project.yaml"
    path.write_text(path.read_text() + "data: {store: s3://acme/stored}\n")
    git(project.root, "commit", "-qam", "All in a bucket")
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp())))
    monkeypatch.setenv("MLOPS_PREDICTIONS", "s3://acme/logs")
    run("data fetch churn")
    run("data store churn")
    release(train_in(project))
    run(f"predict {REF}")
    bucket.put("acme", "in/tuesday.csv", asked(60, 6))
    bucket.put("acme", "rows/2.csv", csv(rows_of(n=100, seed=2)))
    (project.root / "in.csv").write_bytes(asked(50, 7))
    return project


def run(words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == code, f"{words}: {done.exit_code}: {done.output}"
    return str(done.output)


def hand_on(project: Project) -> None:
    """Leave what a job has made that had no role."""
    run("data input churn")
    run(f"predict {REF} --fetched")
    assert (project.build("churn") / "batch" / "made" / "log").is_dir()


def away(bucket: BucketServer, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")


def down(bucket: BucketServer, patch: pytest.MonkeyPatch) -> None:
    bucket.down = True


def slow(bucket: BucketServer, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("MLOPS_HTTP_TIMEOUT", "0.2")
    patch.setenv("AWS_REGION", "slow")  # connections are kept by what they go to
    bucket.seconds = 2


def forbidden(bucket: BucketServer, patch: pytest.MonkeyPatch) -> None:
    bucket.forbidden = True


def full(bucket: BucketServer, patch: pytest.MonkeyPatch) -> None:
    bucket.full = True


def half(bucket: BucketServer, patch: pytest.MonkeyPatch) -> None:
    bucket.half = True


# What is written beside a file, to be renamed to it.
HALF = re.compile(r"/\.[^/]*\.([0-9a-f]{8}|part)$")


def files_of(root: Path) -> set[str]:
    """Return the files of a repository."""
    found = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    return {name for name in found if not name.startswith(".git/")}


def problems_of(words: str, bucket: BucketServer) -> list[str]:
    """Run a command that has to fail; return what is wrong with how it does."""
    before = dict(bucket.objects)
    done = CliRunner().invoke(app, words.split())
    found = []
    if done.exit_code != 3:
        found.append(f"exit code {done.exit_code}: {done.output[-500:]}")
    errors = [line for line in done.output.splitlines() if line.startswith("error:")]
    if len(errors) != 1 or "defect" in done.output or "Traceback" in done.output:
        found.append(f"no single sentence: {done.output[-500:]}")
    elif not re.search(r"s3://acme/", errors[0]):
        found.append(f"does not name the place: {errors[0]}")
    if bucket.secret in done.output or bucket.key in done.output:
        found.append("shows a credential")
    if bucket.objects != before:
        found.append(f"wrote {sorted(bucket.objects.keys() - before.keys())}")
    return found


@pytest.mark.parametrize(
    ("fault", "commands"),
    [
        (away, READING + WRITING),
        (down, READING + WRITING),
        (slow, READING + WRITING),
        (forbidden, READING + WRITING),
        (half, READING + WRITING),
        (full, WRITING),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_bucket_that_fails_is_one_sentence_and_nothing_is_half_written(
    project: Project,
    bucket: BucketServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fault: Callable[[BucketServer, pytest.MonkeyPatch], None],
    commands: list[str],
) -> None:
    hand_on(project)
    run("data fetch churn")  # new rows, for `data store`
    made = tmp_path / "made"
    shutil.copytree(project.root / "build", made)
    fault(bucket, monkeypatch)
    wrong = {}
    for number, words in enumerate(commands):
        # As on a machine that has read nothing of this yet.
        monkeypatch.setenv("MLOPS_CACHE", str(tmp_path / f"cache-{number}"))
        build = project.root / "build"
        shutil.rmtree(build, ignore_errors=True)
        if words in WRITING:
            shutil.copytree(made, build)
        problems = problems_of(words, bucket)
        left = [name for name in files_of(project.root) if HALF.search(name)]
        if problems or left:
            wrong[words] = [*problems, *left]
    assert wrong == {}

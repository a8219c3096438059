"""A service brings its log to a place: nothing is lost, and no row counts twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.data.buckets import BucketPlace
from mlops.errors import EnvironmentFailure
from mlops.io.places import FolderPlace, Place
from mlops.monitoring.trial import rows_of_canary
from mlops.serving.log_backlog import Backlog, load_positions
from mlops.serving.log_delivery import Delivered, Delivery, read_status
from mlops.serving.log_reader import find_logged, read_log
from mlops.serving.prediction_log import PredictionLog, new_id
from rehearsal.bucket import BucketServer

from .conftest import Trained
from .service_process import Load, Service, serving, shown, wait_for
from .serving_world import NOW, release

DAY = timedelta(days=1)
WEEK = (NOW - 7 * DAY, NOW + 7 * DAY)
ROWS = [{"tenure": 12, "spend": 50.5, "plan": "plus"}, {"tenure": None, "plan": "b"}]
OUTPUTS = [{"prediction": "no", "score": 0.25}, {"prediction": "yes", "score": 1.0}]
PLENTY = 1_000_000_000


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


@pytest.fixture(name="target")
def target_fixture(bucket: BucketServer, tmp_path: Path) -> BucketPlace:
    return BucketPlace("s3://acme/logs", tmp_path / "cache")


def write(log: PredictionLog, *ids: str, at: datetime = NOW) -> None:
    for number, key in enumerate(ids):
        log.write_rows([ROWS[number % 2]], [OUTPUTS[number % 2]], [key], "v1.0.0", at)


def deliver(
    log: PredictionLog, target: Place, now: datetime = NOW, most: int = PLENTY
) -> Delivered:
    done = Delivery(log.state, log.model, target, most).deliver(now)
    assert done is not None
    return done


def counts(target: Place, kind: str = "predictions") -> Counter[str]:
    """Return how often each id is in a place, before any is left out."""
    return Counter(read_log(target, "churn", WEEK, kind=kind).log["id"])


# -- what a place gets -----------------------------------------------------------------


def test_a_place_has_what_the_local_log_has(
    tmp_path: Path, bucket: BucketServer, target: BucketPlace
) -> None:
    log = PredictionLog(tmp_path / "state", "churn", {"plan"})
    write(log, "a", "b")
    write(log, "c", at=NOW + timedelta(hours=1))
    log.feedback([("a", "yes")], NOW + timedelta(hours=2))
    log.write_shadow(OUTPUTS[:1], ["a"], "v1.1.0", NOW)
    done = deliver(log, target)
    assert (done.rows, done.parts, done.waiting, done.problem) == (5, 4, 0, "")
    here = log.window(*WEEK)
    elsewhere = read_log(target, "churn", WEEK)
    columns = ["id", "at", "version", "prediction", "score", "label"]
    pd.testing.assert_frame_equal(
        here.log[columns], elsewhere.log[columns], check_dtype=False
    )
    pd.testing.assert_frame_equal(here.features, elsewhere.features, check_dtype=False)
    assert list(counts(target, "shadow")) == ["a"]
    parts = bucket.keys("acme", "logs/predictions/churn/")
    hours = [part.rpartition("/")[2][:2] for part in parts]
    assert hours == ["12", "13"]
    for key in bucket.keys("acme", "logs/predictions/churn/"):
        assert key.startswith("logs/predictions/churn/2026-11-23/")
        assert b"plus" not in bucket.objects["acme", key].content
    assert deliver(log, target).parts == 0  # nothing new


def test_an_answer_is_found_in_a_part(tmp_path: Path, target: BucketPlace) -> None:
    log = PredictionLog(tmp_path / "state", "churn")
    first, second = new_id(NOW), new_id(NOW)
    write(log, first, second)
    deliver(log, target)
    found = find_logged(target, "churn", second)
    assert found is not None
    assert found["prediction"] == "yes"
    assert found["features"] == {"tenure": None, "plan": "b", "spend": None}
    assert find_logged(target, "churn", new_id(NOW)) is None
    assert find_logged(target, "other", first) is None


def test_rows_that_no_table_holds_are_delivered_as_lines(
    tmp_path: Path, target: BucketPlace
) -> None:
    log = PredictionLog(tmp_path / "state", "churn")
    for key, value in (("a", 1), ("b", "one")):
        log.write_rows([{"x": value}], OUTPUTS[:1], [key], "v1.0.0", NOW)
    log.write_rows([{}], OUTPUTS[:1], ["c"], "v1.0.0", NOW + timedelta(hours=1))
    path = log.state / "predictions/churn/2026-11-23.jsonl"
    with path.open("ab") as file:
        file.write(b"[1]\n{}\n\n")
    assert deliver(log, target).problem == ""
    window = read_log(target, "churn", WEEK)
    assert sorted(window.log["id"]) == ["a", "b", "c"]
    assert window.damaged == 2  # the monitor counts what is not a row


def test_a_canary_is_known_by_its_parts(tmp_path: Path, target: BucketPlace) -> None:
    write(PredictionLog(tmp_path, "churn"), "a", "b")
    canary = PredictionLog(tmp_path, "churn", writer="canary")
    write(canary, "c", "d")
    canary.write_rows([{}], OUTPUTS[:1], ["e"], "v1.1.0", NOW)
    deliver(canary, target)
    log = read_log(target, "churn", WEEK).log
    rows = rows_of_canary(log, log)
    assert set(rows.candidate["id"]) == {"c", "d", "e"}
    assert {"a", "b"} <= set(rows.champion["id"])


def test_a_line_that_is_not_ended_waits_until_it_is(
    tmp_path: Path, target: BucketPlace
) -> None:
    log = PredictionLog(tmp_path, "churn")
    write(log, "a", "b")
    path = tmp_path / "predictions/churn/2026-11-23.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert deliver(log, target).rows == 1
    assert deliver(log, target).rows == 0
    path.write_bytes(whole)
    assert deliver(log, target).rows == 1
    assert counts(target) == {"a": 1, "b": 1}


# -- delivered once --------------------------------------------------------------------


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_part_that_was_begun_is_the_same_part_at_the_next_start(
    tmp_path: Path, bucket: BucketServer, target: BucketPlace, crash: str
) -> None:
    """Also where more was logged meanwhile, it is the same object."""
    log = PredictionLog(tmp_path / "state", "churn")
    write(log, "a", "b")

    class Killed(BaseException):
        pass

    class Dying(FolderPlace):
        def write(self, name: str, content: bytes) -> None:
            if crash == "after":
                target.write(name, content)
            raise Killed

    with pytest.raises(Killed):
        Delivery(log.state, "churn", Dying(tmp_path), PLENTY).deliver(NOW)
    write(log, "c")
    deliver(log, target)
    assert len(bucket.keys("acme")) == 2
    assert counts(target) == {"a": 1, "b": 1, "c": 1}


def test_what_was_forgotten_is_delivered_again_and_counts_once(
    tmp_path: Path, bucket: BucketServer, target: BucketPlace
) -> None:
    log = PredictionLog(tmp_path / "state", "churn")
    write(log, "a", "b")
    deliver(log, target)
    keys = bucket.keys("acme")
    positions = log.state / "delivery/churn/positions.json"
    for damaged in ("", "[]", '{"predictions/churn/x": {"other": 1}}', "{"):
        positions.write_text(damaged)
        deliver(log, target)
    assert bucket.keys("acme") == keys


def test_another_file_of_the_same_name_begins_anew(
    tmp_path: Path, target: BucketPlace
) -> None:
    """As where a full disk took back what it had of a write."""
    log = PredictionLog(tmp_path, "churn")
    write(log, "a", "b")
    deliver(log, target)
    path = tmp_path / "predictions/churn/2026-11-23.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    write(log, "c", "d")
    deliver(log, target)
    assert set(counts(target)) == {"a", "b", "c", "d"}


def test_one_process_delivers_at_a_time(tmp_path: Path, target: BucketPlace) -> None:
    log = PredictionLog(tmp_path, "churn")
    write(log, "a")
    delivery = Delivery(tmp_path, "churn", target, PLENTY)
    deliver(log, target)
    with FileLock(tmp_path / "delivery/churn/.lock"):
        assert delivery.deliver(NOW) is None
    assert delivery.deliver(NOW) is not None


# -- a place that is away, and a bound -------------------------------------------------


@pytest.mark.parametrize("fault", ["down", "forbidden", "away", "hangs"])
def test_a_place_that_fails_is_counted_and_loses_nothing(
    tmp_path: Path, bucket: BucketServer, target: BucketPlace, fault: str
) -> None:
    log = PredictionLog(tmp_path / "state", "churn")
    write(log, "a", "b")
    if fault == "hangs":
        bucket.seconds = 5
    elif fault == "away":
        bucket.buckets.clear()
    else:
        setattr(bucket, fault, True)
    done = deliver(log, target)
    assert done.problem
    assert bucket.secret not in done.problem
    assert done.waiting > 0
    status = read_status(log.state, "churn")
    assert (status["failures"], status["rows"], status["delivered"]) == (1, 0, 0)
    bucket.seconds = 0
    bucket.buckets.add("acme")
    bucket.down = bucket.forbidden = False
    assert deliver(log, target, NOW + DAY).waiting == 0
    status = read_status(log.state, "churn")
    assert (status["failures"], status["rows"]) == (1, 2)
    assert status["delivered"] == (NOW + DAY).timestamp()
    assert counts(target) == {"a": 1, "b": 1}


def test_where_too_much_waits_nothing_more_is_logged(tmp_path: Path) -> None:
    def log() -> PredictionLog:
        return PredictionLog(tmp_path, "churn", backlog=Backlog(tmp_path, "churn", 600))

    writing = log()
    write(writing, "a", "b")
    with pytest.raises(EnvironmentFailure, match=r"too much that was not delivered"):
        write(writing, *"cdef")
    with pytest.raises(EnvironmentFailure):
        writing.feedback([("a", "yes")] * 9, NOW)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.jsonl"))
    assert 0 < size <= 600
    assert writing.waiting() == size
    deliver(writing, FolderPlace(tmp_path / "there"))
    write(log(), "g")  # there is room again
    assert "g" in counts(FolderPlace(tmp_path))


def test_what_is_delivered_is_removed_where_the_log_is_too_large(
    tmp_path: Path,
) -> None:
    log = PredictionLog(tmp_path / "state", "churn")
    there = FolderPlace(tmp_path / "there")
    for days in range(5):
        write(log, f"{days}", at=NOW - days * DAY)
    before = {path.name for path in log.state.rglob("*.jsonl")}
    assert len(before) == 5
    deliver(log, there, NOW)
    assert {path.name for path in log.state.rglob("*.jsonl")} == before
    deliver(log, there, NOW, most=300)
    left = sorted(path.name for path in log.state.rglob("*.jsonl"))
    assert left == sorted(before)[-2:]  # today's, and yesterday's
    assert len(load_positions(log.state, "churn")) == 2
    assert len(counts(there)) == 5


def test_what_is_not_delivered_is_never_removed(
    tmp_path: Path, bucket: BucketServer, target: BucketPlace
) -> None:
    bucket.forbidden = True
    log = PredictionLog(tmp_path / "state", "churn")
    write(log, "old", at=NOW - 5 * DAY)
    deliver(log, target, most=1)
    assert counts(FolderPlace(log.state)) == {"old": 1}


# -- commands --------------------------------------------------------------------------


def test_predict_delivers_what_it_logs_and_deliver_what_was_left(
    trained: Trained,
    bucket: BucketServer,
    target: BucketPlace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release(trained)
    monkeypatch.chdir(trained.project.root)
    rows = tmp_path / "rows.csv"
    trained.dataset.frame.head(7).to_csv(rows, index=False)
    asked = ["predict", "churn@production", str(rows), "--json"]
    run = CliRunner().invoke

    stays = run(app, ["deliver", "churn"])
    assert stays.exit_code == 2
    assert "the prediction log of this machine stays here" in stays.output
    monkeypatch.setenv("MLOPS_PREDICTIONS", "s3://acme/logs")
    assert run(app, asked).exit_code == 0
    period = (datetime.now(UTC) - DAY, datetime.now(UTC) + DAY)
    assert len(read_log(target, "churn", period).log) == 7

    bucket.forbidden = True
    done = run(app, asked)
    assert done.exit_code == 0, done.output
    assert "the log was not delivered" in done.stderr
    failed = run(app, ["deliver", "churn"])
    assert failed.exit_code == 3
    assert "the bucket refuses" in failed.output
    bucket.forbidden = False
    done = run(app, ["deliver", "churn", "--json"])
    assert json.loads(done.stdout) == {"rows": 7, "parts": 1, "waiting_bytes": 0}
    found = read_log(target, "churn", period).log["id"]
    assert len(found) == found.nunique() == 14


# -- the whole process -----------------------------------------------------------------


def delivered_ids(bucket: BucketServer, folder: Path) -> Counter[str]:
    """Return how often each id is in the parts of a bucket."""
    ids: Counter[str] = Counter()
    for key in bucket.keys("acme", "logs/predictions/churn/"):
        path = folder / key.rpartition("/")[2]
        path.write_bytes(bucket.objects["acme", key].content)
        if path.suffix == ".parquet":
            ids.update(pq.read_table(path)["id"].to_pylist())
        else:
            lines = path.read_text().splitlines()
            ids.update(json.loads(line)["id"] for line in lines)
    return ids


def delivery_processes(service: Service) -> list[int]:
    """Return the processes that deliver for a service."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
            words = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if parent == str(service.process.pid) and b"deliver-worker" in words:
            found.append(int(path.parent.name))
    return found


@pytest.fixture(name="often")
def often_fixture(
    trained: Trained, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> Trained:
    release(trained)
    monkeypatch.setenv("MLOPS_PREDICTIONS", "s3://acme/logs")
    monkeypatch.setenv("MLOPS_DELIVERY_SECONDS", "0.2")
    return trained


@pytest.mark.usefixtures("cold_python")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_that_is_killed_under_load_has_delivered_each_answer_once(
    often: Trained, bucket: BucketServer, tmp_path: Path, workers: int
) -> None:
    root = often.project.root
    options = ("--workers", str(workers))
    with serving(root, *options) as service:
        with Load(service, clients=8) as load:
            load.wait(50)
            wait_for(lambda: bucket.keys("acme", "logs/predictions") != [])
            (deliverer,) = delivery_processes(service)
            os.kill(deliverer, signal.SIGKILL)  # in the middle of a part, perhaps
            children = service.children()
            service.stop(signal.SIGKILL)
        wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in children))
    first = list(load.ids)
    assert {reply.status for reply in load.replies} <= {0, 200}, shown(load)
    with serving(root, *options) as service:
        with Load(service, clients=8, most=50) as load:
            load.wait(50)
        wait_for(lambda: service.metric("mlops_log_waiting_bytes") == 0)
        assert service.metric("mlops_log_delivered_rows_total") > 0
        assert service.metric("mlops_log_delivery_failures_total") == 0
        assert service.metric("mlops_log_delivered_timestamp_seconds") > 0
    ids = delivered_ids(bucket, tmp_path)
    assert ids.keys() >= {*first, *load.ids}
    assert set(ids.values()) == {1}


@pytest.mark.usefixtures("cold_python")
@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_delivers_what_is_left(
    often: Trained,
    bucket: BucketServer,
    tmp_path: Path,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLOPS_DELIVERY_SECONDS", "3600")
    with serving(often.project.root, "--workers", str(workers)) as service:
        with Load(service, clients=8) as load:
            load.wait(50)
            code = service.stop()
        assert code == (-signal.SIGTERM if workers == 1 else 0)
        assert "Traceback" not in service.errors.read_text()
    ids = delivered_ids(bucket, tmp_path)
    assert ids.keys() >= set(load.ids)
    assert set(ids.values()) == {1}


@pytest.mark.usefixtures("cold_python")
def test_a_store_that_hangs_delays_no_answer_and_the_stop_only_so_long(
    often: Trained,
    bucket: BucketServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLOPS_HTTP_TIMEOUT", "3600")
    bucket.seconds = 3600
    with serving(often.project.root) as service:
        wait_for(lambda: bool(bucket.requests) or _ask_once(service))
        with Load(service, clients=8) as load:
            load.wait(200)
        assert {reply.status for reply in load.replies} == {200}, shown(load)
        assert all(reply.logged for reply in load.replies)
        assert service.metric("mlops_log_waiting_bytes") > 0
        begun = time.monotonic()
        assert service.stop() == -signal.SIGTERM
        assert time.monotonic() - begun < 30, "it waited for the store"
        assert "the next start does it" in service.errors.read_text()
    bucket.seconds = 0
    monkeypatch.setenv("MLOPS_HTTP_TIMEOUT", "5")
    with serving(often.project.root) as service:
        wait_for(lambda: service.metric("mlops_log_waiting_bytes") == 0)
    ids = delivered_ids(bucket, tmp_path)
    assert ids.keys() >= set(load.ids)
    assert set(ids.values()) == {1}


def _ask_once(service: Service) -> bool:
    with Load(service, clients=1, most=1) as load:
        load.wait(1)
    return False


@pytest.mark.usefixtures("cold_python")
def test_a_service_whose_place_is_forbidden_answers_on_and_logs_up_to_the_bound(
    often: Trained, bucket: BucketServer
) -> None:
    bucket.forbidden = True
    project = often.project.root / "project.yaml"
    text = "predictions: {backlog_mb: 1}\n"
    project.write_text(f"{project.read_text()}\n{text}")
    waiting = often.project.state / "predictions/churn/2026-01-01.jsonl"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(b'{"x": 0}\n' * 110_000)
    with serving(often.project.root) as service:
        with Load(service, clients=8) as load:
            wait_for(lambda: any(not reply.logged for reply in load.replies))
        assert {reply.status for reply in load.replies} == {200}, shown(load)
        wait_for(lambda: service.metric("mlops_log_delivery_failures_total") > 0)
        assert service.get("/health/ready").json()["unlogged_rows"] > 0
        assert service.metric("mlops_log_waiting_bytes") < 1_100_000
        errors = service.errors.read_text()
    assert "the bucket refuses to write this" in errors
    assert bucket.secret not in errors

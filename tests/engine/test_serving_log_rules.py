"""What a prediction log may hold: a share of the rows, for some days, hashed groups."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlops import settings
from mlops.cli.main import app
from mlops.config.project_spec import PredictionPlace
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.places import FolderPlace
from mlops.serving.ids import KEY_FILE, PredictionIds
from mlops.serving.log_delivery import Delivery
from mlops.serving.log_reader import read_log
from mlops.serving.log_retention import first_day, forget
from mlops.serving.log_rows import in_sample
from mlops.serving.prediction_log import PredictionLog

from .conftest import Trained
from .serving_world import NOW, release

DAY = timedelta(days=1)
WEEK = (NOW - 7 * DAY, NOW + 7 * DAY)
OUTPUT = {"prediction": "no", "score": 0.25}
KEYS = ("k" * 32, "old" * 12)


def write(log: PredictionLog, ids: list[str], days_ago: int = 0) -> None:
    rows = [{"tenure": 1}] * len(ids)
    log.write_rows(rows, [OUTPUT] * len(ids), ids, "v1.0.0", NOW - days_ago * DAY)


# -- sampling --------------------------------------------------------------------------


def test_a_sample_is_the_share_that_it_says_and_grows_with_it() -> None:
    ids = PredictionIds(b"key", NOW).make(NOW, 20_000)
    few = {key for key in ids if in_sample(key, 0.1)}
    more = {key for key in ids if in_sample(key, 0.5)}
    assert few < more
    assert 0.09 < len(few) / len(ids) < 0.11
    assert 0.48 < len(more) / len(ids) < 0.52
    assert all(in_sample(key, 1) for key in ids)


def test_a_log_has_its_sample_and_the_reader_says_so(tmp_path: Path) -> None:
    ids = PredictionIds(b"key", NOW).make(NOW, 1_000)
    log = PredictionLog(tmp_path / "state", "churn", share=0.25)
    write(log, ids)
    log.write_shadow([OUTPUT] * 1_000, ids, "v1.1.0", NOW)
    expected = [key for key in ids if in_sample(key, 0.25)]
    there = FolderPlace(tmp_path / "there")
    Delivery(log.state, "churn", there, 10**9).deliver(NOW)
    for place in (FolderPlace(log.state), there):
        window = read_log(place, "churn", WEEK)
        assert list(window.log["id"]) == expected
        assert set(window.log["share"]) == {0.25}
        assert window.notes == (
            "the log is a sample: 0.25 of the predictions, by a hash of the id",
        )
        shadow = read_log(place, "churn", WEEK, kind="shadow")
        assert list(shadow.log["id"]) == expected  # the same rows: they are paired
    whole = PredictionLog(tmp_path / "whole", "churn")
    write(whole, ids)
    assert read_log(FolderPlace(whole.state), "churn", WEEK).notes == ()


def test_predict_and_a_batch_log_the_share_of_project_yaml(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release(trained)
    project = trained.project
    path = project.root / "project.yaml"
    path.write_text(f"{path.read_text()}\npredictions: {{share: 0.3}}\n")
    monkeypatch.chdir(project.root)
    rows = tmp_path / "rows.csv"
    trained.dataset.frame.head(200).to_csv(rows, index=False)
    done = CliRunner().invoke(app, ["predict", "churn@production", str(rows)])
    assert done.exit_code == 0, done.output
    asked = ["predict", "churn@production", "--input", str(rows), "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    period = (NOW - DAY, NOW + 3650 * DAY)
    log = read_log(FolderPlace(project.state), "churn", period).log
    by_file = log["source"].astype(str).str.endswith("jsonl")
    assert 30 < by_file.sum() < 90
    assert 30 < (~by_file).sum() < 90
    assert all(in_sample(key, 0.3) for key in log["id"])
    assert set(log["share"]) == {0.3}


@pytest.mark.parametrize("share", [0, -1, 1.1, "all"])
def test_a_share_is_more_than_nothing_and_at_most_all(share: object) -> None:
    with pytest.raises(ValueError, match="share"):
        PredictionPlace.model_validate({"share": share})


# -- retention -------------------------------------------------------------------------


def test_what_is_too_old_is_removed_from_a_place(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "churn")
    for days in (0, 5, 6, 7, 30):
        write(log, [f"{days}"], days)
        log.feedback([("a", "yes")], NOW - days * DAY)
        log.write_shadow([OUTPUT], ["a"], "v1.0.0", NOW - days * DAY)
    other = tmp_path / "predictions/other/2026-01-01.jsonl"
    odd = tmp_path / "predictions/churn/notes.jsonl"
    for path in (other, odd):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    assert forget(FolderPlace(tmp_path), "churn", first_day(NOW, 6)) == 6
    assert sorted(read_log(FolderPlace(tmp_path), "churn", WEEK).log["id"]) == list(
        "056"
    )
    assert other.exists() and odd.exists()
    assert forget(FolderPlace(tmp_path), "churn", first_day(NOW, 6)) == 0


def test_a_new_day_of_the_local_log_removes_what_is_too_old(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "churn", days=3)
    for days in (5, 4, 1):
        write(log, [f"{days}"], days)
    assert sorted(read_log(FolderPlace(tmp_path), "churn", WEEK).log["id"]) == [
        "1",
        "4",
    ]
    write(log, ["0"])
    assert sorted(read_log(FolderPlace(tmp_path), "churn", WEEK).log["id"]) == [
        "0",
        "1",
    ]
    forever = PredictionLog(tmp_path, "churn")
    write(forever, ["x"], 400)
    write(forever, ["y"], -1)
    assert (tmp_path / "predictions/churn").glob("2025-*")


def test_a_delivery_removes_what_is_too_old_here_and_there_once_a_day(
    tmp_path: Path,
) -> None:
    class Counting(FolderPlace):
        removed = 0
        is_refused = False

        def remove(self, name: str) -> None:
            if self.is_refused:
                raise EnvironmentFailure("the bucket refuses to remove this")
            self.removed += 1
            super().remove(name)

    log = PredictionLog(tmp_path / "state", "churn")
    there = Counting(tmp_path / "there")
    for days in (0, 2, 9):
        write(log, [f"{days}"], days)
    Delivery(log.state, "churn", there, 10**9).deliver(NOW)
    delivery = Delivery(log.state, "churn", there, 10**9, days=5)
    there.is_refused = True
    done = delivery.deliver(NOW)
    assert done is not None
    assert "refuses to remove" in done.problem
    there.is_refused = False
    write(log, ["new"])
    for _ in range(3):
        done = delivery.deliver(NOW)
        assert done is not None
        assert done.problem == ""
    assert there.removed == 1
    for place in (FolderPlace(log.state), there):
        period = (NOW - 30 * DAY, NOW + DAY)
        assert set(read_log(place, "churn", period).log["id"]) == {"0", "2", "new"}


# -- the key ---------------------------------------------------------------------------


def test_machines_with_one_key_hash_alike_and_know_each_others_ids(
    tmp_path: Path,
) -> None:
    with settings.changed(id_keys=(b"a" * 32,)):
        one = PredictionIds.of(tmp_path / "one", NOW)
        two = PredictionIds.of(tmp_path / "two", NOW)
    assert one.unit("customer 7") == two.unit("customer 7")
    assert one.unit("customer 7") != one.unit("customer 8")
    (key,) = one.make(NOW, 1)
    assert two.made(key)
    assert not two.older(key)
    assert not (tmp_path / "one" / KEY_FILE).exists()


def test_a_key_is_changed_without_losing_labels(tmp_path: Path) -> None:
    file = PredictionIds.of(tmp_path, NOW)
    with settings.changed(id_keys=(b"old" * 9,)):
        old = PredictionIds.of(tmp_path, NOW)
    with settings.changed(id_keys=(b"new" * 9, b"old" * 9)):
        new = PredictionIds.of(tmp_path, NOW)
    with settings.changed(id_keys=(b"new" * 9,)):
        last = PredictionIds.of(tmp_path / "elsewhere", NOW)
    made = [ids.make(NOW, 1)[0] for ids in (file, old, new)]
    assert [new.made(key) for key in made] == [True, True, True]
    assert [old.made(key) for key in made] == [True, True, False]
    assert [last.made(key) for key in made] == [False, False, True]
    units = {ids.unit("7") for ids in (file, old, new)}
    assert len(units) == 3  # until the window has passed, a customer counts twice
    assert new.unit("7") == last.unit("7")
    assert new.since == file.since


def test_the_variable_has_keys_that_cannot_be_guessed_and_shows_none() -> None:
    found = settings.from_environment({"MLOPS_ID_KEY": ",".join(KEYS)}, Path())
    assert len(found.id_keys) == 2
    assert found.id_keys[0] != KEYS[0].encode()
    assert repr(found.id_keys[0]) not in repr(found)
    assert settings.from_environment({"MLOPS_ID_KEY": " "}, Path()).id_keys == ()
    for wrong in ("secret", f"{KEYS[0]},", f"{KEYS[0]},hunter2"):
        with pytest.raises(UsageError) as error:
            settings.from_environment({"MLOPS_ID_KEY": wrong}, Path())
        assert "too short" in str(error.value)
        assert "secret" not in str(error.value)
        assert "hunter2" not in str(error.value)
    passed = {"MLOPS_ID_KEY": KEYS[0], "PATH": "/bin"}
    child = settings.from_environment(passed, Path()).user_code_environment()
    assert child == {"PATH": "/bin"}
    with pytest.raises(UsageError, match="cannot be given credentials"):
        settings.from_environment({"MLOPS_PASS": "MLOPS_ID_KEY"}, Path())


def test_a_group_has_one_hash_in_the_logs_of_a_file_and_of_a_batch(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a key of the environment; without, each state folder has its own."""
    release(trained)
    project = trained.project
    path = project.folder("churn") / "model.yaml"
    yaml = YAML(pure=True)
    spec = yaml.load(path)
    spec["split"] = {"by": "group", "column": "customer", "test": 0.3}
    yaml.dump(spec, path)
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("MLOPS_ID_KEY", KEYS[0])
    rows = tmp_path / "rows.csv"
    trained.dataset.frame.head(20).to_csv(rows, index=False)
    units = []
    for asked in ([str(rows)], ["--input", str(rows)]):
        done = CliRunner().invoke(app, ["predict", "churn@production", *asked])
        assert done.exit_code == 0, done.output
    log = read_log(FolderPlace(project.state), "churn", (NOW, NOW + 3650 * DAY)).log
    for _, part in log.groupby("source"):
        units.append(part["unit"].tolist())
    assert units[0] == units[1]
    names = trained.dataset.frame.head(20)["customer"].astype(str)
    assert len(set(units[0])) == names.nunique()
    assert not set(names) & set(units[0])

"""Batches: each file once, some rows at a time, resumed after a kill, and logged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.data.csv_format import ReadOptions
from mlops.data.read import read_table
from mlops.data.sources import DataFile, shown_path
from mlops.data.stream import blocks_of
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.places import FolderPlace
from mlops.pipeline.batches import due_batches, input_files, not_scored
from mlops.registry.tags import read_registry
from mlops.results.batch import BatchRun
from mlops.runlog.journal import append_batch
from mlops.runlog.query import batches
from mlops.serving import scoring
from mlops.serving.batch import predict_file
from mlops.serving.log_reader import Window, read_log
from mlops.serving.scoring import Where, score

from .conftest import Trained, git, rows_of
from .serving_world import NOW, release

REF = "churn@production"
KINDS = {
    "tenure": "number",
    "spend": "number",
    "plan": "category",
    "customer": "category",
}
TEXT = {"plan", "customer"}
OPTIONS = ReadOptions()


@pytest.fixture(name="released")
def released_fixture(trained: Trained) -> Trained:
    release(trained)
    return trained


class Folder(FolderPlace):
    """A folder whose machine is killed after some writes, where that is asked for."""

    def __init__(self, root: Path, last: int = -1) -> None:
        super().__init__(root)
        self.left = last
        self.names: list[str] = []

    def write(self, name: str, content: bytes) -> None:
        if self.left == 0:
            raise EnvironmentFailure("killed")
        self.left -= 1
        self.names.append(name)
        super().write(name, content)


def write(project: Project, name: str, rows: pd.DataFrame) -> Path:
    path = project.folder("churn") / "batch" / name
    path.parent.mkdir(exist_ok=True)
    rows.drop(columns="churn").to_csv(path, index=False)
    return path


def file_of(path: Path) -> DataFile:
    return DataFile(path, shown_path(path, path.parents[3]))


def where(project: Project, **places: Any) -> Where:
    output = places.get("output") or FolderPlace(project.root / "out")
    return Where(output, places.get("log") or FolderPlace(project.state))


def scored(project: Project, *paths: Path, **places: Any) -> BatchRun:
    """Score what is new of some files, and put it on the run log."""
    files = not_scored(map(file_of, paths), batches(project, "churn"), "v1.0.0")
    run, _ = score(project, REF, files, where(project, **places), NOW)
    append_batch(project, run, "@ana")
    return run


def window(project: Project) -> Window:
    day = pd.Timedelta(days=1)
    place = FolderPlace(project.state)
    return read_log(place, "churn", (NOW - day, NOW + day), "v1.0.0")


def output(project: Project) -> pd.DataFrame:
    paths = sorted((project.root / "out").rglob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


@pytest.fixture(name="small_blocks")
def small_blocks_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "ROWS", 100)


@pytest.mark.usefixtures("small_blocks")
def test_a_batch_predicts_and_logs_what_one_call_would(released: Trained) -> None:
    project = released.project
    path = write(project, "monday.csv", rows_of(n=250, seed=5))
    run = scored(project, path)
    (file,) = run.files
    assert (run.rows, file.path, file.error) == (
        250,
        "models/churn/batch/monday.csv",
        "",
    )
    expected, _ = predict_file(project, REF, path, NOW, log=False)
    pd.testing.assert_frame_equal(output(project), expected, check_dtype=False)
    seen = window(project)
    assert (len(seen.log), seen.damaged, len(seen.positions)) == (250, 0, 3)
    assert seen.log["score"].tolist() == expected["score"].tolist()
    assert seen.log["row_id"].tolist() == expected["id"].tolist()
    assert {UUID(i).version for i in seen.log["id"]} == {8}
    assert set(seen.features.columns) == {"tenure", "spend", "plan"}
    parts = [file.name for file in FolderPlace(project.state).entries("predictions")]
    assert parts == [
        f"predictions/churn/2026-11-23/12-{file.batch}-0000{n}.parquet"
        for n in range(3)
    ]


def test_what_was_scored_is_not_scored_again(released: Trained) -> None:
    project = released.project
    monday = write(project, "monday.csv", rows_of(n=60, seed=5))
    assert scored(project, monday).rows == 60
    assert scored(project, monday).files == ()
    copy = write(project, "copy.csv", rows_of(n=60, seed=5))
    tuesday = write(project, "tuesday.csv", rows_of(n=40, seed=6))
    run = scored(project, copy, monday, tuesday)
    assert [file.path for file in run.files] == ["models/churn/batch/tuesday.csv"]
    assert len(window(project).log) == 100
    write(project, "monday.csv", rows_of(n=70, seed=7))
    assert scored(project, monday, tuesday).rows == 70


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("last", [0, 1, 2, 3])
@pytest.mark.parametrize("killed", ["log", "output"])
def test_a_batch_that_was_killed_is_resumed_and_doubles_nothing(
    released: Trained, killed: str, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = released.project
    path = write(project, "monday.csv", rows_of(n=350, seed=5))
    root = project.state if killed == "log" else project.root / "out"
    with pytest.raises(EnvironmentFailure, match="killed"):
        scored(project, path, **{killed: Folder(root, last)})
    done = len(window(project).log)
    assert done == min(350, 100 * (last if killed == "log" else last + 1))
    again = Folder(project.state)
    later = NOW + pd.Timedelta(hours=1)
    files = not_scored([file_of(path)], batches(project, "churn"), "v1.0.0")
    run, _ = score(project, REF, files, where(project, log=again), later)
    assert run.rows == 350
    assert len(again.names) == 4 - (done + 99) // 100
    seen = window(project)
    assert len(seen.log) == seen.log["id"].nunique() == 350
    expected, _ = predict_file(project, REF, path, NOW, log=False)
    assert output(project)["id"].tolist() == expected["id"].tolist()
    with monkeypatch.context() as patch:  # a third one predicts nothing
        patch.setattr("mlops.training.model.Model.predict", None)
        assert score(project, REF, files, where(project), later)[0].rows == 350


def test_rows_that_were_scored_twice_have_the_same_ids(
    released: Trained, tmp_path: Path
) -> None:
    """As where a run was killed before its artifacts were there."""
    project = released.project
    path = write(project, "monday.csv", rows_of(n=60, seed=5))
    files = not_scored([file_of(path)], [])
    for hour in (0, 1):
        log = FolderPlace(tmp_path / str(hour))
        at = NOW + pd.Timedelta(hours=hour)
        score(project, REF, files, where(project, log=log, output=log), at)
    day = pd.Timedelta(days=1)
    first, second = (
        read_log(FolderPlace(tmp_path / hour), "churn", (NOW - day, NOW + day))
        for hour in ("0", "1")
    )
    assert first.log["id"].tolist() == second.log["id"].tolist()
    assert first.positions.keys() != second.positions.keys()


def test_a_file_that_cannot_be_scored_is_named_and_the_others_are(
    released: Trained,
) -> None:
    project = released.project
    rows = rows_of(n=60, seed=5)
    bad = write(project, "bad.csv", rows.drop(columns="tenure"))
    empty = write(project, "empty.csv", rows[:0])
    good = write(project, "good.csv", rows)
    run = scored(project, bad, empty, good)
    assert [file.path.rpartition("/")[2] for file in run.failed] == [
        "bad.csv",
        "empty.csv",
    ]
    assert "tenure" in run.files[0].error and "no rows" in run.files[1].error
    assert run.rows == 60
    assert scored(project, bad, empty, good).files == ()
    both = [file_of(bad), file_of(empty)]
    another = not_scored(both, batches(project, "churn"), "v1.1.0")
    assert list(another) == both


def test_no_hidden_column_is_logged(released: Trained) -> None:
    project = released.project
    scored(project, write(project, "monday.csv", rows_of(n=60, seed=5)))
    assert set(released.spec.sensitive) == {"sex"}
    for part in project.state.rglob("*.parquet"):
        assert b"female" not in part.read_bytes()
        assert "sex" not in str(pd.read_parquet(part).columns)


# -- reading in blocks


def gz(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def as_csv(rows: pd.DataFrame, folder: Path) -> Path:
    rows.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def as_parquet(rows: pd.DataFrame, folder: Path) -> Path:
    rows.to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def as_json(rows: pd.DataFrame, folder: Path) -> Path:
    rows.to_json(folder / "rows.jsonl", orient="records", lines=True)
    return folder / "rows.jsonl"


FORMS = {
    "csv": as_csv,
    "parquet": as_parquet,
    "jsonl": as_json,
    "csv.gz": lambda rows, folder: gz(as_csv(rows, folder)),
    "jsonl.gz": lambda rows, folder: gz(as_json(rows, folder)),
}


@pytest.mark.parametrize("form", FORMS)
def test_blocks_are_what_the_whole_file_is(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.data.stream._BLOCK", 3000)
    rows = rows_of(n=455, seed=3)
    rows.loc[[3, 200, 454], "tenure"] = None
    rows.loc[[5, 201], "plan"] = None
    rows["spend"] = rows["spend"] / 3
    path = FORMS[form](rows, tmp_path)
    blocks = list(blocks_of(path, "rows", KINDS, TEXT, (OPTIONS, 100)))
    assert len(blocks) > 4 and max(map(len, blocks)) <= 100
    whole, _ = read_table(path, "rows", KINDS, TEXT, OPTIONS)
    joined = pd.concat(blocks, ignore_index=True)[whole.columns]
    pd.testing.assert_frame_equal(joined, whole, check_dtype=False, check_exact=True)


def test_a_decimal_comma_is_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("tenure;spend;plan;customer\n1;2,5;plus;c1\n 3 ;-4,25;pro;c2\n")
    how = (ReadOptions(decimal=","), 100)
    (block,) = blocks_of(path, "rows", KINDS, TEXT, how)
    assert block["spend"].tolist() == [2.5, -4.25]
    assert block["tenure"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.csv.gz"])
def test_a_file_that_is_not_what_its_name_says_is_told_so(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(UsageError, match="zip archive"):
        list(blocks_of(path, name, KINDS, TEXT, (OPTIONS, 100)))


# -- what is due, and the command


def declare(project: Project, **batch: Any) -> None:
    path = project.folder("churn") / "model.yaml"
    yaml = YAML()
    spec = yaml.load(path)
    spec["batch"] = {"input": "batch/*.csv", **batch}
    yaml.dump(spec, path)


def due(project: Project, why: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = due_batches(project, read_registry(project.root), lambda: why)
    return found.models, found.notes


def test_a_batch_is_due_while_it_has_a_file_that_nobody_scored(
    released: Trained,
) -> None:
    project = released.project
    path = write(project, "monday.csv", rows_of(n=60, seed=5))
    assert due(project) == ((), ())  # nothing is declared
    declare(project)
    assert due(project) == (("churn",), ())
    scored(project, path)
    assert due(project) == ((), ())
    write(project, "tuesday.csv", rows_of(n=60, seed=6))
    assert due(project) == (("churn",), ())
    declare(project, schedule=False)
    assert due(project) == ((), ())


def test_why_a_batch_is_not_scored_is_said_and_nothing_asked_without_files(
    released: Trained,
) -> None:
    project = released.project
    declare(project)
    found = due_batches(project, read_registry(project.root), pytest.fail)  # type: ignore[arg-type]
    assert found.models == ()
    write(project, "monday.csv", rows_of(n=60, seed=5))
    assert due(project, "it is public") == (
        (),
        ("churn: 1 file not scored: it is public",),
    )


def test_a_model_that_is_not_in_production_has_no_batch_due(trained: Trained) -> None:
    declare(trained.project)
    write(trained.project, "monday.csv", rows_of(n=60, seed=5))
    assert due(trained.project) == ((), ())


def test_a_batch_reads_what_is_declared_or_named(released: Trained) -> None:
    project = released.project
    path = write(project, "monday.csv", rows_of(n=60, seed=5))
    file = file_of(path)
    with pytest.raises(UsageError, match="declares no batch"):
        input_files(project, "churn", "", project.root)
    declare(project)
    assert input_files(project, "churn", "", project.root) == [file]
    named = "models/churn/batch"
    assert input_files(project, "churn", named, project.root) == [file]
    assert input_files(project, "churn", f"{named}/m*.csv", project.root) == [file]
    assert input_files(project, "churn", str(path), project.root) == [file]
    with pytest.raises(UsageError, match="no file matches"):
        input_files(project, "churn", "nowhere/*.csv", project.root)


@pytest.fixture(name="command")
def command_fixture(
    released: Trained, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(released.project.root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp())))

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words))
        return done.exit_code, done.output

    return run


def test_the_command_scores_what_is_declared_and_says_so(
    released: Trained, command: Callable[..., tuple[int, str]]
) -> None:
    project = released.project
    declare(project, output="out")
    write(project, "monday.csv", rows_of(n=60, seed=5))
    code, text = command("predict", REF)
    assert (code, text.splitlines()[-1]) == (
        0,
        f"60 rows of 1 file scored by v1.0.0: {project.root / 'out'}",
    )
    assert len(window(project).log) == len(output(project)) == 60
    code, text = command("predict", REF)
    assert code == 0 and "0 rows of 0 files" in text and "1 file scored before" in text
    assert [run.rows for run in batches(project, "churn")] == [60]


def test_a_file_that_cannot_be_scored_fails_the_command(
    released: Trained, command: Callable[..., tuple[int, str]]
) -> None:
    project = released.project
    path = write(project, "bad.csv", rows_of(n=60).drop(columns="tenure"))
    code, text = command("predict", REF, "--input", str(path), "--output", "out")
    assert code == 1
    assert "models/churn/batch/bad.csv was not scored: " in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x.csv", "--input", "y"), "a FILE is predicted at once"),
        (("--out", "y.csv"), "a batch writes to --output"),
        (("--no-log",), "a batch writes to --output"),
        ((), "declares no batch"),
    ],
)
def test_what_does_not_go_together_is_said(
    command: Callable[..., tuple[int, str]], words: tuple[str, ...], message: str
) -> None:
    code, text = command("predict", REF, *words)
    assert code == 2 and message in text


class Hosted:
    """A job of GitHub Actions for the released model."""

    def __init__(self, project: Project, patch: pytest.MonkeyPatch) -> None:
        self.project, self.patch = project, patch
        self.event = project.root / "event.json"
        patch.setenv("GITHUB_ACTIONS", "true")
        patch.setenv("GITHUB_EVENT_PATH", str(self.event))
        patch.setenv("GITHUB_OUTPUT", str(project.root / "output"))
        patch.delenv("MLOPS_STATE", raising=False)

    def plan(self, private: bool, **variables: str) -> dict[str, Any]:
        for name, value in variables.items():
            self.patch.setenv(name, value)
        repository = {"private": private, "default_branch": "main"}
        self.event.write_text(json.dumps({"repository": repository}))
        done = CliRunner().invoke(app, ["plan", "--batches"])
        assert done.exit_code == 0, done.output
        lines = (self.project.root / "output").read_text().splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        return {"batch": json.loads(outputs["batch"]), "text": done.output}


@pytest.mark.usefixtures("command")
def test_a_job_scores_only_where_rows_may_be_kept_and_says_why_it_does_not(
    released: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = released.project
    declare(project)
    write(project, "monday.csv", rows_of(n=60, seed=5))
    job = Hosted(project, monkeypatch)
    nowhere = job.plan(private=True)
    assert nowhere["batch"] == []
    assert "nothing names a place that outlives this job" in nowhere["text"]
    public = job.plan(private=False, MLOPS_PREDICTIONS="artifacts")
    assert public["batch"] == []
    assert "anybody can read the artifacts of a public repository" in public["text"]
    assert job.plan(private=True)["batch"] == ["churn"]
    path = project.root / "project.yaml"
    path.write_text(path.read_text() + "predictions: {public: true}\n")
    assert job.plan(private=False)["batch"] == ["churn"]


@pytest.mark.usefixtures("command")
def test_a_job_hands_its_log_on_and_another_records_it(
    released: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = released.project
    declare(project)
    write(project, "monday.csv", rows_of(n=60, seed=5))
    Hosted(project, monkeypatch).plan(True, MLOPS_PREDICTIONS="artifacts")
    done = CliRunner().invoke(app, ["predict", REF])
    assert done.exit_code == 0, done.output
    build = project.build("churn") / "batch"
    assert len(list((build / "log" / "predictions" / "churn").rglob("*.parquet"))) == 1
    assert len(list((build / "output" / "churn").rglob("*.parquet"))) == 1
    assert not project.state.joinpath("predictions").exists()
    assert batches(project, "churn") == []
    done = CliRunner().invoke(app, ["scored", "--expect", '["churn"]'])
    assert done.exit_code == 0, done.output
    (run,) = batches(project, "churn")
    assert (run.rows, run.version) == (60, "v1.0.0")
    assert "runs" not in git(project.root, "ls-tree", "journal")


@pytest.mark.usefixtures("command")
def test_a_record_that_is_missing_is_named(
    released: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = CliRunner().invoke(app, ["scored", "--expect", '["churn"]'])
    assert done.exit_code == 3
    assert "batch.json" in done.output

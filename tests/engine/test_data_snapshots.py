"""Snapshots by content: a piece is written once, and versions come back from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.data import pieces
from mlops.data.buckets import BucketPlace
from mlops.data.snapshot import build
from mlops.errors import EnvironmentFailure, Refused
from mlops.io.places import FolderPlace, Place
from mlops.registry.reproduce import needs_stored_rows, reproduce
from mlops.registry.tags import read_registry, resolve
from rehearsal.bucket import BucketServer

from .conftest import git, rows_of, train_in
from .test_data_elsewhere import bucket_fixture as bucket_fixture
from .test_data_elsewhere import csv
from .test_registry_reproduce import REF, ignoring, release, rows

NOW = datetime(2026, 12, 1, 3, 23, tzinfo=UTC)
DAY = timedelta(days=1)

Make = Callable[..., Project]


def month(project: Project, number: int, rows: pd.DataFrame | None = None) -> Path:
    path = project.folder("churn") / "data" / f"{number:02}.csv"
    frame = rows_of(n=60, seed=number) if rows is None else rows
    path.write_bytes(csv(frame))
    return path


@pytest.fixture(name="months")
def months_fixture(make_project: Make) -> Project:
    project = make_project()
    (project.folder("churn") / "data" / "rows.csv").unlink()
    for number in range(1, 13):
        month(project, number)
    return project


@pytest.fixture(name="where", params=["folder", "bucket"])
def where_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield FolderPlace(tmp_path / "stored")
        return
    request.getfixturevalue("bucket")
    yield BucketPlace("s3://acme/stored", tmp_path / "cache")


def stored(project: Project, where: Place, now: datetime = NOW) -> pieces.Stored:
    spec = project.model("churn")
    return pieces.store(where, "churn", spec, project.folder("churn"), now)


def names(where: Place, under: str = pieces.PIECES) -> set[str]:
    return {file.name for file in where.entries(under)}


def test_twelve_months_are_twelve_pieces_and_the_next_costs_one(
    months: Project, where: Place
) -> None:
    first = stored(months, where)
    assert first.written == 12 and first.size > 0
    again = stored(months, where, NOW + DAY)
    assert (again.written, again.snapshot.name) == (0, first.snapshot.name)
    month(months, 13)
    second = stored(months, where, NOW + DAY)
    assert second.written == 1
    assert len(names(where)) == 13
    assert len(pieces.snapshots(where, "churn")) == 2
    assert second.snapshot.files[:12] == first.snapshot.files


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_pieces_are_the_same_rows_as_the_files(
    make_project: Make, tmp_path: Path, form: str
) -> None:
    rows = rows_of().assign(note=None, day="2026-01-02")
    rows.loc[3, "plan"] = None
    project = make_project(
        data={
            "source": f"data/new.{form}",
            "id": "customer",
            "target": "churn",
            "positive": "yes",
            "ignore": ["note", "day"],
        }
    )
    path = project.folder("churn") / "data" / f"new.{form}"
    if form == "csv":
        path.write_bytes(csv(rows))
    elif form == "jsonl":
        rows.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        rows.to_parquet(path)
    spec = project.model("churn")
    expected, _ = build(spec, project.folder("churn"))
    assert expected is not None
    where = FolderPlace(tmp_path / "stored")
    snapshot = stored(project, where).snapshot
    patterns = pieces.pull(where, snapshot, project.folder("churn") / "stored")
    source = f"stored/{patterns['data.source']}"
    data = spec.data.model_copy(update={"source": source})
    again = spec.model_copy(update={"data": data})
    dataset, _ = build(again, project.folder("churn"))
    assert dataset is not None
    assert dataset.snapshot.digest == expected.snapshot.digest


def test_a_version_comes_back_after_its_source_has_changed(
    make_project: Make, tmp_path: Path
) -> None:
    project = ignoring(make_project)
    release(train_in(project))
    where = FolderPlace(tmp_path / "stored")
    stored(project, where)
    rows_of(seed=1).to_csv(rows(project), index=False)
    with pytest.raises(EnvironmentFailure, match="are gone"):
        reproduce(project, REF)
    assert reproduce(project, REF, rows=where).same


def test_a_piece_that_is_corrupt_is_not_pulled(months: Project, tmp_path: Path) -> None:
    where = FolderPlace(tmp_path / "stored")
    snapshot = stored(months, where).snapshot
    first = where.local(pieces.piece_path(snapshot.files[0].piece))
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(EnvironmentFailure, match="corrupt"):
        pieces.pull(where, snapshot, tmp_path / "out")


def test_a_record_that_is_none_is_named(months: Project, tmp_path: Path) -> None:
    where = FolderPlace(tmp_path / "stored")
    snapshot = stored(months, where).snapshot
    where.write(pieces.record_path("churn", snapshot.name), b"{}")
    with pytest.raises(Refused, match="not what the engine wrote"):
        stored(months, where)


class Dying(FolderPlace):
    """A folder whose writer is killed after some pieces."""

    def __init__(self, root: Path, last: int) -> None:
        super().__init__(root)
        self.last = last

    def write(self, name: str, content: bytes) -> None:
        if self.last == 0:
            raise EnvironmentFailure("killed")
        self.last -= 1
        super().write(name, content)


@pytest.mark.parametrize("last", [0, 5, 12])
def test_who_was_killed_leaves_no_snapshot_and_the_next_one_is_whole(
    months: Project, tmp_path: Path, last: int
) -> None:
    with pytest.raises(EnvironmentFailure, match="killed"):
        stored(months, Dying(tmp_path / "stored", last))
    where = FolderPlace(tmp_path / "stored")
    assert pieces.snapshots(where, "churn") == []
    snapshot = stored(months, where).snapshot
    assert len(names(where)) == 12
    pieces.pull(where, snapshot, tmp_path / "out")


def test_what_a_version_needs_is_never_pruned(months: Project, where: Place) -> None:
    first = stored(months, where).snapshot
    month(months, 1, rows_of(n=60, seed=99))
    second = stored(months, where, NOW + DAY).snapshot
    later = NOW + timedelta(days=100)
    needed = frozenset({second.name})
    removed = pieces.prune(where, "churn", needed, later, 90)
    assert [one.name for one in removed] == [first.name]
    assert len(names(where)) == 13  # pieces go a day later
    pieces.prune(where, "churn", needed, later + DAY, 90)
    assert len(names(where)) == 12 and names(where, pieces.REMOVED) == set()
    assert [one.name for one in pieces.snapshots(where, "churn")] == [second.name]
    pieces.prune(where, "churn", needed, later + 400 * DAY, 90)
    assert len(names(where)) == 12


def test_rows_that_are_stored_again_within_the_day_are_not_lost(
    months: Project, tmp_path: Path
) -> None:
    where = FolderPlace(tmp_path / "stored")
    first = stored(months, where).snapshot
    later = NOW + timedelta(days=100)
    pieces.prune(where, "churn", frozenset(), later, 90)
    assert stored(months, where, later).written == 12
    pieces.prune(where, "churn", frozenset(), later + 2 * DAY, 90)
    pieces.pull(where, first, tmp_path / "out")


def test_pieces_of_another_model_stay(months: Project, tmp_path: Path) -> None:
    where = FolderPlace(tmp_path / "stored")
    snapshot = stored(months, where).snapshot
    spec = months.model("churn")
    pieces.store(where, "other", spec, months.folder("churn"), NOW)
    later = NOW + timedelta(days=100)
    for now in (later, later + DAY):
        pieces.prune(where, "churn", frozenset(), now, 90)
    pieces.pull(where, snapshot, tmp_path / "out")


# -- the commands


@pytest.fixture(name="asked")
def asked_fixture(
    months: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Any]:
    file = months.root / "project.yaml"
    store = tmp_path / "stored"
    file.write_text(f"{file.read_text()}\ndata: {{store: {store}}}\n")
    monkeypatch.chdir(months.root)

    def ask(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["data", *arguments])

    return ask


def test_the_commands_store_list_show_diff_pull_and_prune(
    asked: Callable[..., Any], months: Project, tmp_path: Path
) -> None:
    assert "12 new pieces" in asked("store", "churn").output
    month(months, 3, rows_of(n=70, seed=3))
    month(months, 13)
    assert "2 new pieces" in asked("store", "churn").output
    rows = json.loads(asked("list", "churn", "--json").stdout)
    assert [row["files"] for row in rows] == [13, 12]
    newest, oldest = (row["snapshot"] for row in rows)
    shown = asked("show", "churn", newest[:8]).output
    assert "models/churn/data/13.csv" in shown
    lines = asked("diff", "churn", oldest, newest).output.splitlines()
    assert lines == [
        "changed  models/churn/data/03.csv: +10 rows",
        "added    models/churn/data/13.csv: 60 rows",
    ]
    out = tmp_path / "old"
    done = asked("pull", "churn", oldest, "--out", str(out))
    assert done.exit_code == 0 and len(list(out.rglob("*.parquet"))) == 12
    assert "Nothing can be pruned." in asked("prune", "churn").output
    unknown = asked("show", "churn", "v9.9.9")
    assert unknown.exit_code == 2 and "no such snapshot" in unknown.output


def test_without_a_place_nothing_is_stored_and_that_is_said(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_project().root)
    done = CliRunner().invoke(app, ["data", "store"])
    assert done.exit_code == 0 and "data.store" in done.output
    listed = CliRunner().invoke(app, ["data", "list", "churn"])
    assert listed.exit_code == 2 and "data.store" in listed.output


# -- the commands of release.yml and reproduce.yml -------------------------------------


@pytest.fixture(name="kept")
def kept_fixture(
    make_project: Make, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Return a project whose rows and snapshots lie in the bucket, with a version."""
    bucket.put("acme", "rows/1.csv", csv(rows_of(n=300)))
    data = {
        "source": "s3://acme/rows/*.csv",
        "id": "customer",
        "target": "churn",
        "positive": "yes",
    }
    project = make_project(data=data)
    path = project.root / "project.yaml"
    path.write_text(path.read_text() + "data: {store: s3://acme/stored}\n")
    git(project.root, "commit", "-qam", "Rows in a bucket")
    monkeypatch.chdir(project.root)
    for command in ("fetch", "store"):
        done = CliRunner().invoke(app, ["data", command, "--models", '["churn"]'])
        assert done.exit_code == 0, done.output
    release(train_in(project))
    return project


COPY = ["data", "copy", "--models", '["churn"]', "--out", "build/_stored"]


@pytest.mark.parametrize("by_two_jobs", [False, True], ids=["one job", "two jobs"])
def test_a_version_whose_source_is_gone_is_trained_again_from_what_a_release_stored(
    kept: Project, bucket: BucketServer, by_two_jobs: bool
) -> None:
    del bucket.objects["acme", "rows/1.csv"]
    shutil.rmtree(kept.build("churn"))
    words = ["reproduce", "churn@production"]
    if by_two_jobs:
        done = CliRunner().invoke(app, COPY)
        assert done.exit_code == 0, done.output
        bucket.forbidden = True  # the job that trains has no role
        words += ["--stored", "build/_stored"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "churn@v1.0.0: the same bytes" in done.output


def test_rows_that_cannot_be_copied_are_why_a_version_is_not_trained_again(
    kept: Project, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = kept.root / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    some = CliRunner().invoke(app, [*COPY[:3], '["churn", "other"]', *COPY[4:]])
    assert some.exit_code == 2 and "other: not copied" in some.output
    assert output.read_text().splitlines() == ["read=true"]
    output.unlink()
    bucket.forbidden = True
    none = CliRunner().invoke(app, COPY)
    assert none.exit_code == 3 and "the bucket refuses to list this" in none.output
    assert output.read_text().splitlines() == ["read=false"]
    words = ["reproduce", "churn@production", "--stored", "build/_stored"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3 and "the bucket refuses to list this" in done.output


def test_a_version_whose_rows_are_committed_needs_no_copy(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project()
    release(train_in(project))
    version = resolve(read_registry(project.root), REF)
    assert needs_stored_rows(project, version) is None


def test_a_version_whose_rows_git_ignores_needs_a_copy(make_project: Make) -> None:
    project = ignoring(make_project)
    release(train_in(project))
    version = resolve(read_registry(project.root), REF)
    assert needs_stored_rows(project, version) is not None


def test_rows_of_one_model_that_cannot_be_stored_hold_up_no_other(
    kept: Project, bucket: BucketServer
) -> None:
    done = CliRunner().invoke(app, ["data", "store", "other", "churn"])
    assert done.exit_code == 2, done.output
    assert "other: not stored" in done.output and "churn: " in done.output

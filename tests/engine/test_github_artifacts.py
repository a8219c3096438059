"""Artifacts of predict.yml as a place: whose count, and what is not believed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from github.Repository import Repository

from mlops.errors import EnvironmentFailure, Refused
from mlops.github import artifacts
from mlops.github.artifacts import ArtifactsPlace
from mlops.github.client import repository
from rehearsal.hub import Hub
from rehearsal.hub.desk import started

NAME = "predictions/churn/2026-11-23/12-0123456789abcdef-00000.parquet"
UNDER = "predictions/churn"
FIRST = "2026-11-20"


class Scene:
    """A hub with runs, and a job that reads their artifacts."""

    def __init__(self, hub: Hub, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.hub, self.patch, self.folder = hub, patch, folder
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        hub.state.clock = lambda: self.now

    def run(self, number: int, files: dict[str, bytes], **about: Any) -> None:
        """Let a run upload files as ``predictions-churn``."""
        name = about.pop("name", "predictions-churn")
        workflow = about.pop("workflow", "predict")
        facts = {"event": "schedule", **about}
        self.hub.runs.register(number, workflow, {"predict": {}}, **facts)
        folder = self.hub.artifacts_folder / str(number) / name
        for file, content in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.place(actions="read").entries("predictions/other")  # the hub sees it now

    def may(self, **permissions: str) -> Repository:
        token = self.hub.tokens.issue(permissions, actor="alice")
        self.patch.setenv("GITHUB_TOKEN", token)
        return repository()

    def place(self, **permissions: str) -> ArtifactsPlace:
        return ArtifactsPlace(self.may(**permissions), self.folder)

    def listed(self) -> tuple[list[str], list[str]]:
        """Return the names of the files, and the notes."""
        place = self.place(actions="read", contents="read")
        return [entry.name for entry in place.entries(UNDER, FIRST)], place.notes


@pytest.fixture(name="scene")
def scene_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with Hub(tmp_path / "hub") as hub:
        desk = started(hub, tmp_path / "alice")
        desk.commit(".github/workflows/predict.yml", "on: [schedule]\njobs: {}\n")
        desk.git("push", "--quiet", "origin", "main")
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"repository": hub.view.repository()}))
        monkeypatch.setenv("GITHUB_API_URL", hub.api_url)
        monkeypatch.setenv("GITHUB_REPOSITORY", hub.repository)
        monkeypatch.setenv("MLOPS_RETRY_SECONDS", "0.001")
        yield Scene(hub, monkeypatch, tmp_path / "downloads")


def test_what_a_run_uploaded_is_listed_and_read_once(scene: Scene) -> None:
    scene.run(7, {NAME: b"rows"})
    place = scene.place(actions="read")
    assert place.entries(UNDER, FIRST) == [(NAME, 4)]
    assert place.local(NAME).read_bytes() == b"rows"
    assert place.notes == []
    downloads = list(scene.folder.rglob("*.parquet"))
    scene.patch.setattr("requests.get", None)  # nothing is downloaded again
    assert scene.listed() == ([NAME], [])
    assert list(scene.folder.rglob("*.parquet")) == downloads
    assert list(scene.folder.rglob("*.zip")) == []


@pytest.mark.parametrize(
    "about",
    [
        {"event": "pull_request"},
        {"event": "push"},
        {"event": "workflow_run"},
        {"event": "workflow_dispatch", "head_branch": "topic"},
        {"workflow": "other"},
        {"head_owner": "stranger"},
        {"name": "predictions-other"},
    ],
    ids=str,
)
def test_what_another_run_uploaded_is_not_believed(
    scene: Scene, about: dict[str, Any]
) -> None:
    scene.run(7, {NAME: b"rows"}, **about)
    assert scene.listed() == ([], [])
    scene.run(8, {NAME: b"mine"}, event="workflow_dispatch")
    assert scene.listed() == ([NAME], [])


def test_a_download_that_is_cut_off_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of requests are OSErrors, as those of a full disk are."""
    scene.run(7, {NAME: b"rows"})
    real = requests.get
    cut = [requests.ConnectionError("reset"), requests.Timeout("no answer")]

    def get(url: str, **options: Any) -> requests.Response:
        if url.endswith("/zip") and cut:
            raise cut.pop(0)
        return real(url, **options)

    monkeypatch.setattr("requests.get", get)
    assert scene.listed() == ([NAME], [])
    assert cut == []


def test_all_pages_are_read_back_to_the_first_day(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_PER_PAGE", 2)
    names = []
    for number in range(7):
        scene.now = datetime(2026, 11, 17 + number, 12, tzinfo=UTC)
        name = NAME.replace("00000", f"{number:05}")
        names.append(name)
        scene.run(7 + number, {name: b"rows"})
    assert scene.listed() == (names[3:], [])


def test_an_artifact_that_expired_is_counted_and_said(scene: Scene) -> None:
    scene.run(7, {NAME: b"rows"})
    scene.run(8, {NAME.replace("00000", "00001"): b"rows"})
    scene.hub.expire_artifacts(7)
    names, (note,) = scene.listed()
    assert names == [NAME.replace("00000", "00001")]
    assert note.startswith("1 artifact of this period expired or were deleted")
    assert "RETENTION_DAYS" in note


@pytest.mark.parametrize(
    "name",
    [
        "predictions/other/2026-11-23/12-0123456789abcdef-00000.parquet",
        "predictions/churn/model.pkl",
        "predictions/churn/.hidden.parquet",
        "evil.parquet",
    ],
)
def test_an_artifact_with_any_other_file_is_left_out_whole(
    scene: Scene, name: str
) -> None:
    scene.run(7, {NAME: b"rows", name: b"x"})
    names, (note,) = scene.listed()
    assert names == []
    assert note.startswith("the artifact predictions-churn of run 7 was left out: ")
    assert not list(scene.folder.rglob("*.p*"))


def packed(write: Callable[[zipfile.ZipFile], None], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        write(archive)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../../escaped.parquet",
        "/tmp/escaped.parquet",
        f"{UNDER}/../../escaped.parquet",
        "predictions/churn\\..\\escaped.parquet",
    ],
)
def test_no_name_in_an_archive_leads_out_of_its_folder(
    tmp_path: Path, name: str
) -> None:
    path = packed(lambda archive: archive.writestr(name, b"x"), tmp_path / "a.zip")
    with pytest.raises(artifacts._NotALog, match="a file with the name"):
        artifacts._unpack(path, tmp_path / "files", UNDER)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_bomb_is_not_unpacked_whatever_it_says_of_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(
        lambda archive: archive.writestr(NAME, b"\0" * 5_000_000), tmp_path / "a.zip"
    )
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(artifacts, "_MOST_UNPACKED", 1_000_000)
    with pytest.raises(artifacts._NotALog, match="too large"):
        artifacts._unpack(path, tmp_path / "files", UNDER)


def test_an_artifact_with_too_many_files_is_left_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_MOST_FILES", 1)
    scene.run(7, {NAME: b"rows", NAME.replace("00000", "00001"): b"rows"})
    names, (note,) = scene.listed()
    assert names == [] and note.endswith("left out: 2 files")


def test_an_artifact_that_is_too_large_is_not_downloaded(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.run(7, {NAME: b"rows" * 1000})
    monkeypatch.setattr(artifacts, "_MOST_IN_ZIP", 1000)
    monkeypatch.setattr("requests.get", None)
    names, (note,) = scene.listed()
    assert names == [] and note.endswith("left out: too large")


def test_a_period_whose_artifacts_are_too_large_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.run(7, {NAME: b"rows" * 1000})
    monkeypatch.setattr(artifacts, "_MOST_IN_ALL", 1000)
    with pytest.raises(Refused, match="shorter period"):
        scene.listed()


def test_other_bytes_than_were_uploaded_are_refused(scene: Scene) -> None:
    scene.run(7, {NAME: b"rows"})
    scene.patch.setattr(artifacts, "sha256_file", lambda path: "0" * 64)
    with pytest.raises(EnvironmentFailure, match="other bytes"):
        scene.listed()


def test_a_job_without_the_right_is_told_which_it_needs(scene: Scene) -> None:
    scene.run(7, {NAME: b"rows"})
    with pytest.raises(EnvironmentFailure, match="permissions"):
        scene.place(contents="read").entries(UNDER, FIRST)


def test_nobody_writes_an_artifact_but_a_workflow(scene: Scene) -> None:
    with pytest.raises(Refused, match=r"predict\.yml alone"):
        scene.place(actions="read").write(NAME, b"x")


def test_of_two_artifacts_with_one_name_the_older_counts(scene: Scene) -> None:
    scene.run(7, {NAME: b"first"})
    scene.now += timedelta(hours=1)
    scene.run(8, {NAME: b"again"})
    place = scene.place(actions="read")
    assert place.entries(UNDER, FIRST) == [(NAME, 5)]
    assert place.local(NAME).read_bytes() == b"first"

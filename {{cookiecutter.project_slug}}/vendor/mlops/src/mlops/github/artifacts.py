"""The artifacts of predict.yml as a place: what its runs have logged, read only.

An artifact comes from a run that could be anybody's: a pull request runs the workflow
that it brings along. So only runs of predict.yml that a schedule or a person started on
the default branch count, and what they uploaded is still read as data of a stranger:
by size, by name, and nothing is executed.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlops import settings
from mlops.errors import EnvironmentFailure, Refused, counted
from mlops.github.client import Gone, ask
from mlops.io.digests import sha256_file
from mlops.io.files import reaching, replacing
from mlops.io.places import NAME, Place, PlacedFile

if TYPE_CHECKING:
    from github.Repository import Repository

WORKFLOW = "predict.yml"

# What starts a run with what is on the default branch, and no other code.
_EVENTS = ("schedule", "workflow_dispatch", "repository_dispatch")

_PER_PAGE = 100  # the most that GitHub lists at once

_MOST_IN_ZIP = 1 << 29  # bytes of an artifact
_MOST_UNPACKED = 1 << 30  # bytes of its files
_MOST_FILES = 10_000
_MOST_IN_ALL = 1 << 32  # bytes of all artifacts of a window


class ArtifactsPlace(Place):
    """What runs of predict.yml uploaded as ``predictions-MODEL``.

    Parameters
    ----------
    repository : Repository
    folder : Path
        For downloads; an artifact never changes, so that it is downloaded once.
    """

    def __init__(self, repository: Repository, folder: Path) -> None:
        self._repository = repository
        self._folder = folder
        self._files: dict[str, Path] = {}
        self.notes: list[str] = []

    def __str__(self) -> str:
        return f"artifacts of {WORKFLOW}"

    def entries(self, under: str, first: str = "") -> list[PlacedFile]:
        """Return the files of the artifacts of one model.

        Parameters
        ----------
        under : str
            ``predictions/MODEL``: there are no others.
        first : str, optional
            Artifacts of earlier days are not looked at.
        """
        kind, _, model = under.partition("/")
        if kind != "predictions":
            return []
        files: dict[str, Path] = {}
        total = 0
        for artifact in self._artifacts(f"predictions-{model}", first):
            total += int(artifact["size_in_bytes"])
            if total > _MOST_IN_ALL:
                raise Refused(
                    "the artifacts of this period are too large",
                    file=str(self),
                    found=f"{total:,} bytes and more",
                    allowed=f"{_MOST_IN_ALL:,} bytes",
                    do="look at a shorter period: --since 1d",
                )
            for name, path in self._unpacked(artifact, under).items():
                files.setdefault(name, path)
        self._files |= files
        return [PlacedFile(name, files[name].stat().st_size) for name in sorted(files)]

    def local(self, name: str) -> Path:
        """Return the file, which `entries` has unpacked."""
        return self._files[name]

    def write(self, name: str, content: bytes) -> None:
        """Refuse: only a workflow's step can upload an artifact."""
        raise Refused(
            "artifacts are written by the runs of predict.yml alone",
            file=name,
            do="let MLOPS_PREDICTIONS name a folder",
        )

    def remove(self, name: str) -> None:
        """Refuse: artifacts expire by themselves."""
        raise Refused("artifacts expire by themselves", file=name)

    def _artifacts(self, name: str, first: str) -> list[dict[str, Any]]:
        """Return what trusted runs uploaded under a name, oldest first."""
        found = []
        expired = 0
        runs: set[int] | None = None
        for artifact in self._pages(f"artifacts?name={name}", "artifacts", first):
            if artifact["name"] != name:
                continue
            if runs is None:  # asked for only where there is something to trust
                runs = self._runs(first)
            if (artifact.get("workflow_run") or {}).get("id") not in runs:
                continue
            if artifact["expired"]:
                expired += 1
            else:
                found.append(artifact)
        if expired:
            lost = counted(expired, "artifact")
            self.notes.append(
                f"{lost} of this period expired or were deleted: their rows are not "
                "seen; set the variable RETENTION_DAYS to more days"
            )
        return found[::-1]

    def _runs(self, first: str) -> set[int]:
        """Return the runs of predict.yml that ran what is on the default branch."""
        branch = ask("name the default branch", lambda: self._repository.default_branch)
        query = f"workflows/{WORKFLOW}/runs?branch={branch}"
        trusted = set()
        for run in self._pages(query, "workflow_runs", first):
            is_default = run["head_branch"] == branch
            if is_default and run["event"] in _EVENTS and _is_ours(run):
                trusted.add(int(run["id"]))
        return trusted

    def _pages(self, query: str, key: str, first: str) -> Iterator[dict[str, Any]]:
        """Yield what GitHub lists, newest first, back to a day."""
        get = self._repository.requester.requestJsonAndCheck
        url = f"{self._repository.url}/actions/{query}&per_page={_PER_PAGE}"
        page = 1
        while True:
            address = f"{url}&page={page}"
            _, listed = ask(f"list {key}", partial(get, "GET", address))
            items = (listed or {}).get(key) or []
            for item in items:
                if first and str(item["created_at"])[:10] < first:
                    return
                yield item
            if len(items) < _PER_PAGE:
                return
            page += 1

    def _unpacked(self, artifact: dict[str, Any], under: str) -> dict[str, Path]:
        """Return the files of an artifact by their names."""
        folder = self._folder / str(int(artifact["id"]))
        marker = folder / "complete"
        if not marker.is_file():
            if int(artifact["size_in_bytes"]) > _MOST_IN_ZIP:
                self._leave_out(artifact, "too large")
                return {}
            try:
                self._download(artifact, folder / "artifact.zip")
                _unpack(folder / "artifact.zip", folder / "files", under)
            except Gone:
                self._leave_out(artifact, "expired")
                return {}
            except (zipfile.BadZipFile, zlib.error, _NotALog) as error:
                shutil.rmtree(folder, ignore_errors=True)
                self._leave_out(artifact, str(error))
                return {}
            (folder / "artifact.zip").unlink()
            marker.touch()
        root = folder / "files"
        paths = sorted(p for p in root.rglob("*.parquet") if p.is_file())
        return {path.relative_to(root).as_posix(): path for path in paths}

    def _leave_out(self, artifact: dict[str, Any], why: str) -> None:
        run = artifact["workflow_run"]["id"]
        name = artifact["name"]
        self.notes.append(f"the artifact {name} of run {run} was left out: {why}")

    def _download(self, artifact: dict[str, Any], path: Path) -> None:
        """Write the zip of an artifact, and compare its digest."""
        import requests

        auth: Any = self._repository.requester.auth
        headers = {"Accept": "application/vnd.github+json"}
        if auth:
            headers["Authorization"] = f"Bearer {auth.token}"
        seconds = settings.current().http_timeout
        url = f"{self._repository.url}/actions/artifacts/{int(artifact['id'])}/zip"

        def act() -> None:
            with (
                replacing(path) as temporary,
                # Requests keeps the token from the host that it is sent on to.
                requests.get(
                    url, headers=headers, stream=True, timeout=seconds
                ) as response,
                temporary.open("wb") as out,
            ):
                response.raise_for_status()
                _copy(response.iter_content(1 << 20), out, _MOST_IN_ZIP)

        ask("send an artifact", act)
        known = str(artifact.get("digest") or "").removeprefix("sha256:")
        if known and sha256_file(path) != known:
            path.unlink()
            raise EnvironmentFailure(
                "GitHub sent other bytes than those that were uploaded",
                file=f"artifact {artifact['name']} of run {artifact['workflow_run']}",
                do="run it again: nothing is done twice",
            )


class _NotALog(Exception):
    """An artifact is not what predict.yml uploads."""


def _is_ours(run: dict[str, Any]) -> bool:
    """Return whether a run is of this repository's code, not of a fork's."""
    head = run.get("head_repository") or {}
    return bool(head) and head.get("id") == run["repository"]["id"]


def _unpack(path: Path, root: Path, under: str) -> None:
    """Write the parts in a zip file, each below `root`, within the limits.

    Raises
    ------
    _NotALog
        Where there is more than a batch uploads, or anything else.
    """
    left = _MOST_UNPACKED
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _MOST_FILES:
            raise _NotALog(f"{len(members):,} files")
        for member in members:
            name = member.filename
            sound = NAME.fullmatch(name) and name.startswith(f"{under}/")
            if not sound or not name.endswith(".parquet"):
                raise _NotALog(f"a file with the name {name[:80]!r}")
            target = root / name
            with reaching("write", target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as file, target.open("wb") as out:
                    left -= _copy(_pieces(file), out, left)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece


def _copy(content: Iterator[bytes], out: IO[bytes], most: int) -> int:
    """Write content, and return its size.

    Raises
    ------
    _NotALog
        Where it is more than `most` bytes, whatever was said of its size.
    """
    size = 0
    for piece in content:
        size += len(piece)
        if size > most:
            raise _NotALog("too large")
        out.write(piece)
    return size

"""A repository that is grown by script: many models, versions, decisions and runs.

Nothing is trained: the objects are what registering and promoting would have written,
by one `git fast-import`, so that ten thousand versions take seconds.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops.io.digests import canonical_json, sha256
from mlops.registry.manifest import Manifest, dump
from mlops.results.data import Snapshot
from mlops.storage.protocol import Asset

FIRST = 1_700_000_000  # seconds since 1970, of the first version
STEP = 600  # from one version to the next

PROJECT = """\
name: grown
owner: "@acme"
stages:
  - name: staging
  - {name: production, after: staging}
"""

SPEC = """\
task: binary
owner: "%s"
intended_use: Shows what a hundred models cost.
data: {source: data/rows.csv, target: churn, positive: "yes"}
features: {age: number, plan: category}
metrics: {primary: roc_auc}
"""

# Of every version but for its report, so that one file on a hub serves all.
FILES = {
    "card.md": b"# Model card\n\nWritten by a script.\n",
    "evaluation-examples.json": b"[]\n",
    "features.py": b"def features(raw):\n    return raw\n",
    "model.skops": b"a model\n",
    "reference.parquet": b"rows\n",
    "report.md": b"# Report\n",
    "requirements.cdx.json": b"{}\n",
    "training.json": b"{}\n",
}

OWNERS = ("@ana", "@ben", "@cleo", "@dan")


@dataclass(frozen=True)
class Size:
    """How large a repository is grown.

    Attributes
    ----------
    models : int
    versions : int
        Of all models together; those of a model follow each other.
    runs : int
        Records of the run log, of all models together.
    """

    models: int = 2
    versions: int = 4
    runs: int = 0


class Grown:
    """A repository of a size, grown in a folder; `root` is its work tree."""

    def __init__(self, root: Path, size: Size) -> None:
        self.root = root
        self.size = size
        self.manifests: dict[str, bytes] = {}  # by version, such as m000@v1.0.0
        self.moments: dict[str, int] = {}
        self.newest: set[str] = set()
        self._write_work_tree()
        self.commit = _git(root, "rev-parse", "HEAD")
        stream = "".join(self._versions()) + "".join(self._runs())
        _git(root, "fast-import", "--quiet", stdin=stream)
        _git(root, "update-ref", "-d", "refs/heads/versions")
        _git(root, "pack-refs", "--all")

    @property
    def names(self) -> list[str]:
        """The models."""
        return [f"m{number:03}" for number in range(self.size.models)]

    @cached_property
    def assets(self) -> dict[str, Asset]:
        """What each release holds, but for its manifest and report."""
        return {name: _measured(content) for name, content in FILES.items()}

    def fill(self, store: Path) -> None:
        """Write the releases into a folder; all files only of the newest of a model."""
        for ref, manifest in self.manifests.items():
            model, _, number = ref.partition("@")
            folder = store / model / number
            folder.mkdir(parents=True)
            if ref in self.newest:
                for name, content in _files(ref, manifest).items():
                    (folder / name).write_bytes(content)

    def publish(self, hub: Any) -> None:
        """Let a hub have the releases, without the requests that they would take."""
        paths = {
            name: hub.storage.keep(name, content) for name, content in FILES.items()
        }
        for ref in sorted(self.manifests, key=self.moments.__getitem__):
            manifest = self.manifests[ref]
            release = hub.state.stamped(release_record(ref, hub.state.now()))
            hub.state.releases[release["id"]] = release
            for name, content in _files(ref, manifest).items():
                asset = _asset(release["id"], name, content)
                if name not in paths:
                    asset["path"] = hub.storage.keep(f"{name}-{ref}", content)
                else:
                    asset["path"] = paths[name]
                asset = hub.state.stamped(asset)
                hub.state.assets[asset["id"]] = asset

    def _write_work_tree(self) -> None:
        root = self.root
        (root / "requirements").mkdir(parents=True)
        (root / "requirements" / "train.txt").write_text("scikit-learn==1.9\n")
        (root / "project.yaml").write_text(PROJECT)
        (root / ".gitignore").write_text("build/\n.mlops/\n")
        for number, name in enumerate(self.names):
            folder = root / "models" / name
            (folder / "data").mkdir(parents=True)
            (folder / "model.yaml").write_text(SPEC % OWNERS[number % len(OWNERS)])
            (folder / "contract.py").write_text("")
            (folder / "features.py").write_bytes(FILES["features.py"])
            (folder / "estimator.py").write_text("build = None\n")
            (folder / "data" / "rows.csv").write_text("age,plan,churn\n1,basic,no\n")
        _git(root, "init", "-q", "-b", "main")
        _git(root, "add", "-A")
        _git(root, "commit", "--no-gpg-sign", "-qm", "First commit")

    def _versions(self) -> Iterator[str]:
        """Yield commits and tags of the versions, and their way into the stages.

        Each version was in staging and production; the last one of a model is.
        """
        each = self.size.versions // self.size.models
        lock = dump(_snapshot())
        mark = 0
        for place, name in enumerate(self.names):
            for at in range(each):
                mark += 1
                number = f"v1.{at}.0"
                ref = f"{name}@{number}"
                moment = FIRST + STEP * (at * self.size.models + place)
                content = dump(self._manifest(name, number, place, at))
                self.manifests[ref] = content
                self.moments[ref] = moment
                digest = sha256(content)
                yield _commit(mark, self.commit, name, content, lock, moment)
                yield _tag(ref, mark, digest, moment)
                for counter, stage in enumerate(("staging", "production"), 2 * at + 1):
                    tag = f"{name}#{stage}#{counter}"
                    policy = f"Policy-Commit: {self.commit}"
                    yield _tag(tag, mark, digest, moment + counter % 2 + 1, policy)
            for at in range(max(each - 10, 0), each):
                self.newest.add(f"{name}@v1.{at}.0")

    def _manifest(self, name: str, number: str, place: int, at: int) -> Manifest:
        ref = f"{name}@{number}"
        manifest = _manifest(self.commit, self.assets)
        value = 0.8 + (place * 31 + at) % 997 / 1e4
        metric = manifest.metrics[0].model_copy(update={"value": value})
        facts = {
            "model": name,
            "version": number,
            "owner": OWNERS[place % len(OWNERS)],
            "metrics": (metric,),
            "assets": {**self.assets, "report.html": _measured(_report(ref))},
        }
        return manifest.model_copy(update=facts)

    def _runs(self) -> Iterator[str]:
        """Yield the branch of the run log, in one commit."""
        each = self.size.runs // self.size.models
        if not each:
            return
        who = f"Script <script@example.com> {FIRST} +0000"
        yield f"commit refs/heads/journal\ncommitter {who}\ndata 1\nx\n"
        for place, name in enumerate(self.names):
            for at in range(each):
                moment = FIRST + STEP * (at * self.size.models + place)
                started = datetime.fromtimestamp(moment, UTC)
                record = _record(name, at, started, self.commit)
                path = f"runs/{name}/{started:%Y/%m}/{record['id']}.json"
                text = (canonical_json(record) + b"\n").decode()
                yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"


def _git(root: Path, *arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=Script", "-c", "user.email=s@example.com", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
        input=stdin,
    )
    return done.stdout.strip()


def _report(ref: str) -> bytes:
    return f"<!doctype html><title>Report of {ref}</title>\n".encode()


def _files(ref: str, manifest: bytes) -> dict[str, bytes]:
    """Return what the release of a version holds."""
    return {**FILES, "report.html": _report(ref), "manifest.json": manifest}


def _measured(content: bytes) -> Asset:
    return Asset(sha256=sha256(content), size=len(content))


def _commit(
    mark: int, parent: str, name: str, content: bytes, lock: bytes, moment: int
) -> str:
    who = f"Script <script@example.com> {moment} +0000"
    lines = f"commit refs/heads/versions\nmark :{mark}\ncommitter {who}\ndata 1\nx\n"
    lines += f"from {parent}\n"
    files = {"manifest.json": content, "data.lock.json": lock}
    for file, data in files.items():
        text = data.decode()
        path = f"models/{name}/{file}"
        lines += f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
    return lines


def _tag(tag: str, mark: int, digest: str, moment: int, more: str = "") -> str:
    trailers = f"Actor: @script\nReason: grown\nManifest-SHA256: {digest}\n{more}"
    message = f"Grown\n\n{trailers.strip()}\n"
    who = f"Script <script@example.com> {moment} +0000"
    head = f"tag {tag}\nfrom :{mark}\ntagger {who}\n"
    return f"{head}data {len(message)}\n{message}\n"


def _snapshot() -> Snapshot:
    counts = dict.fromkeys(("rows", "rows_read", "train_rows", "test_rows"), 10_000)
    return Snapshot(digest="d" * 64, **counts, duplicates_removed=0, unlabelled=0)


def _manifest(commit: str, assets: dict[str, Asset]) -> Manifest:
    data = _snapshot()
    features = [
        {"name": "age", "kind": "number", "missing": False},
        {"name": "plan", "kind": "category", "missing": True},
    ]
    facts: dict[str, Any] = {
        "model": "m000",
        "version": "v1.0.0",
        "change": "grown",
        "signature": {"task": "binary", "target": "churn", "features": features},
        "metrics": [{"name": "roc_auc", "value": 0.8, "low": 0.79, "high": 0.81}],
        "data": data,
        "data_lock_sha256": sha256(dump(data)),
        "code": {"commit": commit, "digest": "c" * 64},
        "environment": {
            "lock_sha256": "e" * 64,
            "python": "3.11.7",
            "platform": "Linux",
        },
        "estimator": "LogisticRegression",
        "params": {},
        "seed": 0,
        "train_seconds": 1.0,
        "verdict": {"decision": "promote", "rule": "superiority"},
        "assets": assets,
        "run": "grown",
        "actor": "@script",
    }
    return Manifest.model_validate(facts)


def _record(name: str, at: int, started: datetime, commit: str) -> dict[str, Any]:
    return {
        "id": f"{started:%Y%m%d-%H%M%S}-{name}-{at}",
        "model": name,
        "started": started.isoformat(),
        "seconds": 1.0,
        "stages": {"validate": "ran", "train": "ran", "test": "ran", "gate": "ran"},
        "outcome": "promote" if at % 3 else "inconclusive",
        "commit": commit,
        "actor": "@script",
        "metrics": [{"name": "roc_auc", "value": 0.8, "low": 0.79, "high": 0.81}],
    }


def release_record(tag: str, now: str) -> dict[str, Any]:
    """Return a published release as a hub keeps it, but for id and times."""
    return {
        "tag_name": tag,
        "target_commitish": "main",
        "name": tag,
        "body": None,
        "draft": False,
        "prerelease": False,
        "author": "alice",
        "published_at": now,
        "immutable": False,
    }


def _asset(release: int, name: str, content: bytes) -> dict[str, Any]:
    return {
        "release": release,
        "name": name,
        "label": None,
        "state": "uploaded",
        "content_type": "application/octet-stream",
        "size": len(content),
        "digest": f"sha256:{sha256(content)}",
        "download_count": 0,
        "uploader": "alice",
    }


def main() -> None:
    """Grow a repository in a folder: MODELS VERSIONS RUNS FOLDER."""
    import sys

    models, versions, runs = map(int, sys.argv[1:4])
    grown = Grown(Path(sys.argv[4]), Size(models, versions, runs))
    grown.fill(Path(sys.argv[4]) / ".mlops" / "releases")
    print(json.dumps({"versions": len(grown.manifests)}))


if __name__ == "__main__":
    main()

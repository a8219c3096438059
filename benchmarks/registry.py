"""The registry: queries with many versions in it, and releases by their size."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from example import git, make_project, make_rows
from measure import ENGINE, REPEATS, Command, compare, environment, mlops

sys.path.insert(
    0, str(ENGINE / "vendor/mlops/src")
)  # the registry is filled by the engine's own classes

if TYPE_CHECKING:
    from mlops.registry.manifest import Manifest


def registry_part(where: Path) -> list[str]:
    """Time the registry with many versions, against GTO on the same tags and git."""
    from mlops.registry.tags import FIELDS

    gto = str(Path(sys.executable).with_name("gto"))
    empty = make_project(where / "registry0", make_rows(100))
    start = "start: mlops registry list of nothing"
    columns: dict[str, list[str]] = {
        start: mlops("registry", "list"),
        "git for-each-ref": ["git", "for-each-ref", "refs/tags"],
        "the same, with what list shows": ["git", "for-each-ref", f"--format={FIELDS}"],
        "mlops registry list": mlops("registry", "list", "employment"),
        "mlops registry show": mlops("registry", "show", "employment@latest"),
        "mlops registry best": mlops("registry", "best", "employment"),
        "gto show": [gto, "show", "employment"],
    }
    out = ["## The registry by number of versions", ""]
    out += [
        f"| versions | {' | '.join(columns)} |",
        "| --: |" + " --: |" * len(columns),
    ]
    for n in (100, 1_000, 5_000, 10_000):
        root = make_project(where / f"registry{n}", make_rows(100))
        _many_versions(root, n)
        asked = {
            k: Command(v, empty if k == start else root) for k, v in columns.items()
        }
        slow = asked.pop("gto show")
        costs = compare(asked)
        if n <= 5_000:  # where it takes minutes: once
            costs |= compare({"gto show": slow}, 1 if n > 1_000 else REPEATS)
        cells = [
            f"{costs[c].seconds:.3f} s" if c in costs else "not run" for c in columns
        ]
        out.append(f"| {n:,} | {' | '.join(cells)} |")
    return [*out, ""]


def _many_versions(root: Path, n: int) -> None:
    """Write n versions, each a commit with a manifest and a tag, by git fast-import."""
    from mlops.io.digests import sha256
    from mlops.registry.manifest import dump

    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True
    )
    first = _manifest(head.stdout.strip())
    lock, stream = dump(first.data), []
    for i in range(n):
        number = f"v1.{i}.0"
        name, when = f"employment@{number}", f"{1_700_000_000 + i * 60} +0000"
        who = f"Bench <bench@example.com> {when}"
        metric = first.metrics[0].model_copy(update={"value": 0.8 + i % 997 / 1e4})
        content = dump(
            first.model_copy(update={"version": number, "metrics": (metric,)})
        )
        digest = sha256(content)
        trailers = f"Actor: @bench\nReason: bench\nManifest-SHA256: {digest}"
        said = f"Register\n\n{trailers}\n"
        stream += [
            f"commit refs/heads/versions\nmark :{i + 1}\ncommitter {who}\ndata 1\nx\n",
            f"from {first.code.commit}\n",
        ]
        for file, text in (
            ("manifest.json", content.decode()),
            ("data.lock.json", lock.decode()),
        ):
            stream.append(
                f"M 100644 inline models/employment/{file}\ndata {len(text)}\n{text}\n"
            )
        stream.append(
            f"tag {name}\nfrom :{i + 1}\ntagger {who}\ndata {len(said)}\n{said}\n"
        )
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        cwd=root,
        input="".join(stream).encode(),
        check=True,
    )
    git(root, "update-ref", "-d", "refs/heads/versions")
    git(root, "pack-refs", "--all")


# Puts a file of some size in the place of the model, as if a run had left it.
_PRETEND = """
import os, sys
from datetime import UTC, datetime
from mlops.config.project import Project
from mlops.io.digests import sha256_file
from mlops.pipeline.run import STEPS, Run
from mlops.pipeline.run_context import RunContext
from mlops.results.compilation import Compilation
from mlops.results.training import Training

project, size = Project.find(), int(sys.argv[1])
build = project.build("employment")
with open(build / "model.skops", "wb") as file:
    for _ in range(size >> 20):
        file.write(os.urandom(1 << 20))
facts = {"model_sha256": sha256_file(build / "model.skops"), "model_bytes": size}
Training.load(build).model_copy(update=facts).save(build)
compiled = {"model_sha256": facts["model_sha256"]}
Compilation.load(build).model_copy(update=compiled).save(build)
context = RunContext(project, "@bench", lambda: datetime.now(UTC), lambda: None)
run = Run(context, "employment", print)
for step in STEPS[:-1]:
    run.cache.finish(step, run._inputs(step), True, 0)
"""


def releases_part(where: Path) -> list[str]:
    """Time publishing and pulling models by size, against a copy and its digest."""
    root = make_project(where / "releases", make_rows(10_000))
    run = mlops("run", "employment")
    subprocess.run(run, cwd=root, env=environment(), check=True, capture_output=True)
    model, copy = root / "build" / "employment" / "model.skops", where / "copy"

    def forget() -> None:
        shutil.rmtree(root / ".mlops", ignore_errors=True)
        subprocess.run(
            "git tag -l | xargs -r git tag -d", cwd=root, shell=True, check=True
        )

    def clear() -> None:
        shutil.rmtree(where / "pulled", ignore_errors=True)

    plain = f"cp '{model}' '{copy}' && sha256sum '{copy}'"
    commands = {
        "cp and sha256sum": Command(["sh", "-c", plain], root),
        "mlops register": Command(mlops("register", "employment"), root, forget),
        "mlops pull": Command(
            mlops("pull", "employment@latest", "--out", str(where / "pulled")),
            root,
            clear,
        ),
    }
    out = ["## Publishing and pulling, releases in a folder", ""]
    out += ["| model | command | time | peak memory |", "| --: | --- | --: | --: |"]
    for size, shown in ((1 << 20, "1 MB"), (100 << 20, "100 MB"), (1 << 30, "1 GB")):
        pretend = [sys.executable, "-c", _PRETEND, str(size)]
        subprocess.run(pretend, cwd=root, env=environment(), check=True)
        for name, c in compare(commands).items():
            out.append(f"| {shown} | {name} | {c.seconds:.2f} s | {c.memory:,.0f} MB |")
    return [*out, ""]


def _manifest(commit: str) -> Manifest:
    """Return a manifest as registering the example would write it, for a commit."""
    from mlops.io.digests import sha256
    from mlops.registry.manifest import Manifest, dump
    from mlops.results.data import Snapshot

    digest = "0" * 64
    counts = dict.fromkeys(("rows", "rows_read", "train_rows", "test_rows"), 10_000)
    data = Snapshot(digest=digest, **counts, duplicates_removed=0, unlabelled=0)
    features = [
        {"name": f"feature_{i}", "kind": "number", "missing": False} for i in range(10)
    ]
    metric = {"name": "roc_auc", "value": 0.8, "low": 0.79, "high": 0.81}
    return Manifest.model_validate(
        {
            "model": "employment",
            "version": "v1.0.0",
            "change": "bench",
            "signature": {"task": "binary", "target": "employed", "features": features},
            "metrics": [metric],
            "data": data,
            "data_lock_sha256": sha256(dump(data)),
            "code": {"commit": commit, "digest": digest},
            "environment": {
                "lock_sha256": digest,
                "python": "3.11.7",
                "platform": "Linux",
            },
            "estimator": "Bench",
            "params": {},
            "seed": 0,
            "train_seconds": 1.0,
            "verdict": {"decision": "promote", "rule": "superiority"},
            "assets": {"model.skops": {"sha256": digest, "size": 1}},
            "run": "bench",
            "actor": "@bench",
        }
    )

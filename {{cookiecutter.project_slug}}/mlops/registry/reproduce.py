"""Training a released version again, from its tag alone, and comparing bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops.errors import WorldError
from mlops.files import sha256_file
from mlops.git import git
from mlops.project import Project
from mlops.registry.manifest import Environment, Manifest
from mlops.registry.store import ReleaseStore
from mlops.registry.verify import fetch
from mlops.results import Training


@dataclass(frozen=True)
class Reproduction:
    """Whether the bytes came out the same, and what differs where they did not."""

    version: str
    same: bool
    found: str
    expected: str
    differences: tuple[str, ...] = ()


def reproduce(project: Project, ref: str, store: ReleaseStore | None = None) -> Reproduction:
    """Check the version's commit out into a worktree of its own, train there, compare.

    The engine that trains is the one of that commit. The environment is the one that runs this
    command; a lock or Python that differs from the version's is named.

    Raises
    ------
    WorldError
        When the training of the old commit fails; with what it said.
    """
    bundle = fetch(project, ref, store)
    manifest, version = bundle.manifest, bundle.version.ref
    with TemporaryDirectory(prefix="mlops-reproduce-") as folder:
        tree = Path(folder) / "tree"
        git(project.root, "worktree", "add", "--detach", "--force", str(tree), manifest.code.commit)
        try:
            training = _train(tree, manifest.model, version)
        finally:
            git(project.root, "worktree", "remove", "--force", str(tree))
    expected = manifest.assets["model.skops"].sha256
    same = training.model_sha256 == expected
    differences = () if same else _differences(project, manifest, training)
    return Reproduction(version, same, training.model_sha256, expected, differences)


def _train(tree: Path, name: str, version: str) -> Training:
    """Train in a tree, by the engine that is in it (in tests: by this one)."""
    engine = tree if (tree / "mlops").is_dir() else Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "mlops", "train", name],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(engine)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = " / ".join(done.stderr.strip().splitlines()[-5:]) or "no message"
        do = "look at the version's code, data and lock"
        raise WorldError(f"{version} could not be trained again", found=said, do=do)
    return Training.load(Project(tree).build(name))


def _differences(project: Project, manifest: Manifest, training: Training) -> tuple[str, ...]:
    """Return what may have made the difference, the likeliest first."""
    then = manifest.environment
    now = Environment.here(sha256_file(project.lock) if project.lock.is_file() else "")
    pairs = (
        ("data", manifest.data.digest, training.snapshot),
        ("features.py", manifest.assets["features.py"].sha256, training.features_sha256),
        ("code and specification", manifest.code.digest, training.code),
        ("lock of this environment", then.lock_sha256, now.lock_sha256),
        ("Python", then.python, now.python),
        ("platform", then.platform, now.platform),
    )
    found = [f"{what}: {old[:24]} then, {new[:24]} now" for what, old, new in pairs if old != new]
    return tuple(found) or ("nothing that is recorded differs: training is not deterministic",)

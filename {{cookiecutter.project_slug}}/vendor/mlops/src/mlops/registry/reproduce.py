"""A released version, trained again in its own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops import settings
from mlops.config.project import Project
from mlops.config.yaml import load_yaml
from mlops.errors import EnvironmentFailure, listed
from mlops.io.digests import sha256_file
from mlops.io.files import write_json
from mlops.io.git import git
from mlops.registry.chain import Bundle, fetch
from mlops.registry.manifest import DATA, Environment, Manifest
from mlops.registry.sbom import not_installed, present
from mlops.results.training import Training
from mlops.storage.cache import cache_root, file_lock
from mlops.storage.protocol import ReleaseStore

Say = Callable[[str], None]

# -- training again ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Reproduction:
    """Whether the bytes came out the same, where, and what differs where they did not."""

    version: str
    same: bool
    found: str
    expected: str
    environment: str
    differences: tuple[str, ...] = ()


def reproduce(
    project: Project,
    ref: str,
    store: ReleaseStore | None = None,
    say: Say = lambda line: None,
) -> Reproduction:
    """Check the version's commit out into a worktree of its own, train there, compare.

    The engine that trains is the one of that commit, the environment that of its lock.

    Raises
    ------
    WorldError
        When the rows are gone, or the training of the old commit fails; with what it said.
    """
    bundle = fetch(project, ref, store)
    manifest, version = bundle.manifest, bundle.version.ref
    with TemporaryDirectory(prefix="mlops-reproduce-") as folder:
        tree = Path(folder) / "tree"
        git(
            project.root,
            "worktree",
            "add",
            "--detach",
            "--force",
            str(tree),
            manifest.code.commit,
        )
        try:
            there = Project(tree / git(project.root, "rev-parse", "--show-prefix"))
            _bring_rows(project, bundle, there.root)
            python, now, where = _python(project, there, manifest, say)
            say(f"training {version} again …")
            training = _train(there, manifest.model, version, python)
            found, expected = (
                training.model_sha256,
                manifest.assets["model.skops"].sha256,
            )
            differences: tuple[str, ...] = ()
            if found != expected:
                from mlops.training.model_file import differences as parts

                made = (there.build(manifest.model) / "model.skops").read_bytes()
                causes = _causes(manifest, training, now)
                if python == sys.executable and (odd := not_installed(project.lock)):
                    causes = (
                        f"installed is not what is locked: {listed(odd, 4)}",
                        *causes,
                    )
                differences = (*causes, *parts(bundle.read("model.skops"), made))
        finally:
            git(project.root, "worktree", "remove", "--force", str(tree))
    return Reproduction(version, found == expected, found, expected, where, differences)


def _bring_rows(project: Project, bundle: Bundle, home: Path) -> None:
    """Put rows that no commit holds into the worktree: from the release, or from this folder."""
    manifest = bundle.manifest
    away = [file for file in manifest.data.files if not (home / file.path).is_file()]
    if away and DATA in manifest.assets:
        model = home / "models" / manifest.model
        with (model / DATA).open("wb") as out:
            bundle.copy(DATA, out)
        spec = load_yaml(model / "model.yaml")
        spec["data"].pop("labels", None)  # they are joined to the rows already
        spec["data"]["source"] = DATA
        spec["data"]["ignore"] = [*spec["data"].get("ignore", []), "__test__"]
        write_json(model / "model.yaml", spec)  # JSON is YAML
        return
    for file in away:
        here = project.root / file.path
        if not here.is_file() or sha256_file(here) != file.sha256:
            what = f"the rows that {bundle.version.ref} learnt from are gone"
            do = "bring the files back; with data.keep, later releases hold their rows themselves"
            raise EnvironmentFailure(
                what, found=listed(file.path for file in away), do=do
            )
        (home / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(here, home / file.path)


def _python(
    here: Project, there: Project, manifest: Manifest, say: Say
) -> tuple[str, Environment, str]:
    """Return an interpreter to train with, its environment, and words for that.

    It is the version's own environment wherever that can be had.
    """
    now = present(here.lock_digest)
    then, minor = manifest.environment, manifest.environment.python.rpartition(".")[0]
    if (now.lock_sha256, now.python.rpartition(".")[0]) == (then.lock_sha256, minor):
        return sys.executable, now, "the present environment, which has its lock"
    try:
        path = _locked(there.lock, f"{then.lock_sha256[:16]}-python{minor}", minor, say)
        asked = [path, "-c", "import platform; print(platform.python_version())"]
        version = subprocess.run(
            asked, check=True, capture_output=True, text=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"note: its own environment cannot be had: {error}")
        return sys.executable, now, "the present environment, which is another"
    facts = then.model_copy(update={"python": version, "platform": now.platform})
    return path, facts, f"an environment of its own lock, Python {version}"


def _locked(lock: Path, name: str, version: str, say: Say) -> str:
    """Return the interpreter of an environment of a lock; uv makes it once, the cache keeps it."""
    places = (
        settings.current().environment.get("PATH", ""),
        str(Path(sys.executable).parent),
    )
    uv = shutil.which("uv", path=os.pathsep.join(places)) or "uv"
    folder = cache_root() / "environments" / name
    python = (
        folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    )
    with file_lock(folder):
        if not (folder / "ready").is_file():
            say("making an environment of its lock, once")
            make = ("venv", "--clear", "--python", version, str(folder / "venv"))
            fill = (
                "pip",
                "sync",
                "--require-hashes",
                "--python",
                str(python),
                str(lock),
            )
            quiet = () if sys.stderr.isatty() else ("--quiet",)
            for command in (make, fill):  # uv shows its progress on standard error
                subprocess.run(
                    (uv, *quiet, *command), check=True, stdout=subprocess.DEVNULL
                )
            (folder / "ready").touch()
    return str(python)


def engine_of(root: Path) -> Path:
    """Return the folder of a work tree that holds its engine, in any layout there was.

    A tree without an engine of its own is trained by this one.
    """
    for folder in (root / "vendor" / "mlops" / "src", root):
        if (folder / "mlops" / "__init__.py").is_file():
            return folder
    return Path(__file__).parents[2]


def _train(there: Project, name: str, version: str, python: str) -> Training:
    """Train in a tree, by the engine that is in it (in tests: by this one)."""
    engine = engine_of(there.root)
    command = [python, "-m", "mlops", "train", name]
    env = settings.current().user_code_environment(PYTHONPATH=str(engine))
    done = subprocess.run(
        command, cwd=there.root, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " / ".join(done.stderr.strip().splitlines()[-5:]) or "no message"
        do = "look at the version's code, data and lock"
        raise EnvironmentFailure(
            f"{version} could not be trained again", found=said, do=do
        )
    return Training.load(there.build(name))


def _causes(
    manifest: Manifest, training: Training, now: Environment
) -> tuple[str, ...]:
    """Return what may have made the difference, the likeliest first."""
    then = manifest.environment
    pairs = (
        ("data", manifest.data.digest, training.snapshot),
        (
            "features.py",
            manifest.assets["features.py"].sha256,
            training.features_sha256,
        ),
        ("code and specification", manifest.code.digest, training.code),
        ("lock of this environment", then.lock_sha256, now.lock_sha256),
        ("Python", then.python, now.python),
        ("platform", then.platform, now.platform),
    )
    found = [
        f"{what}: {old[:24]} then, {new[:24]} now"
        for what, old, new in pairs
        if old != new
    ]
    return tuple(found) or (
        "nothing that is recorded differs: training is not deterministic",
    )

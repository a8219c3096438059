"""A released version, trained again in its own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops import settings
from mlops.config.project import Project
from mlops.config.yaml import load_yaml
from mlops.data.pieces import pull, snapshot_name, snapshots
from mlops.data.sources import is_elsewhere
from mlops.errors import EnvironmentFailure, listed
from mlops.io.digests import sha256_file
from mlops.io.files import write_json
from mlops.io.git import git
from mlops.io.places import Place
from mlops.registry.chain import Bundle, fetch
from mlops.registry.manifest import DATA, Environment, Manifest, manifest_of
from mlops.registry.sbom import not_installed, present
from mlops.registry.tags import Version
from mlops.results.compilation import COMPILED
from mlops.results.training import Training
from mlops.storage.cache import cache_root, file_lock
from mlops.storage.protocol import ReleaseStore

Say = Callable[[str], None]

MODEL = "model.skops"

_STORED = "data/stored"


@dataclass(frozen=True)
class Reproduction:
    """Whether a version's bytes came out the same when it was trained again.

    Parameters
    ----------
    found, expected : str
        SHA-256 of the model file.
    environment : str
        Where it was trained, in words.
    differences : tuple of str
        What differs where the bytes do, the likeliest cause first.
    compiled : str
        ``same`` or ``different``: the compiled pipeline; empty where the version has
        none.
    """

    version: str
    same: bool
    found: str
    expected: str
    environment: str
    differences: tuple[str, ...] = ()
    compiled: str = ""


@dataclass(frozen=True)
class _Interpreter:
    """What a version is trained again with.

    Parameters
    ----------
    path : str
        Of the interpreter.
    environment : Environment
    description : str
        Of the environment, in words.
    own : bool
        Whether it is an environment of the version's own lock.
    """

    path: str
    environment: Environment
    description: str
    own: bool


def reproduce(
    project: Project,
    ref: str,
    store: ReleaseStore | None = None,
    say: Say = lambda line: None,
    rows: Place | None = None,
) -> Reproduction:
    """Train a version again in a worktree of its commit, and compare the model files.

    The engine that trains is the one of that commit, the environment that of its lock.

    Raises
    ------
    EnvironmentFailure
        When the rows are gone, or the training of the old commit fails; with what it
        said.
    """
    bundle = fetch(project, ref, store)
    name = bundle.version.model
    with _worktree(project, bundle.manifest.code.commit) as tree:
        _bring_rows(project, bundle, tree.root, rows)
        interpreter = _interpreter(project, tree, bundle.manifest, say)
        say(f"training {bundle.version.ref} again …")
        training = _train(tree, name, bundle.version.ref, interpreter.path)
        made = (tree.build(name) / MODEL).read_bytes()
        compiled = _compiled(tree, bundle, interpreter.path)
    expected = bundle.manifest.assets[MODEL].sha256
    differences: tuple[str, ...] = ()
    if training.model_sha256 != expected:
        from mlops.training import model_file

        causes = _causes(bundle.manifest, training, interpreter.environment)
        if not interpreter.own:
            causes = (*_not_as_locked(project), *causes)
        differences = (*causes, *model_file.differences(bundle.read(MODEL), made))
    elif compiled == "different":
        differences = ("the compiled pipeline, model.onnx, has other bytes",)
    return Reproduction(
        version=bundle.version.ref,
        same=training.model_sha256 == expected and compiled != "different",
        found=training.model_sha256,
        expected=expected,
        environment=interpreter.description,
        differences=differences,
        compiled=compiled,
    )


def needs_stored_rows(project: Project, version: Version) -> Manifest | None:
    """Return the manifest of a version whose rows only a place of snapshots has.

    None where its commit or its release has them.

    Raises
    ------
    Refused
        When the version does not verify.
    """
    manifest, _ = manifest_of(project.root, version)
    if DATA in manifest.assets:
        return None
    paths = {file.path for file in manifest.data.files}
    inside = sorted(path for path in paths if _may_be_in_git(path))
    tree = ("ls-tree", "-r", "-z", "--name-only", manifest.code.commit, "--", *inside)
    committed = git(project.root, *tree).split("\0") if inside else []
    return manifest if paths - set(committed) else None


def _may_be_in_git(path: str) -> bool:
    """Return whether a file of a manifest lies in the repository."""
    return not is_elsewhere(path) and not Path(path).is_absolute()


@contextmanager
def _worktree(project: Project, commit: str) -> Iterator[Project]:
    """Yield the project as it was at a commit, in a worktree that is then removed."""
    root = project.root
    inside = git(root, "rev-parse", "--show-prefix")
    with TemporaryDirectory(prefix="mlops-reproduce-") as folder:
        tree = str(Path(folder, "tree"))
        git(root, "worktree", "add", "--detach", "--force", tree, commit)
        try:
            yield Project(Path(tree, inside))
        finally:
            git(root, "worktree", "remove", "--force", tree)


def _bring_rows(
    project: Project, bundle: Bundle, home: Path, stored: Place | None
) -> None:
    """Put rows that no commit holds into the worktree.

    They come from the release where it has them, from the place of snapshots, or else
    from this folder.
    """
    manifest = bundle.manifest
    absent = [file for file in manifest.data.files if not (home / file.path).is_file()]
    if absent and DATA in manifest.assets:
        _bring_released_rows(bundle, home / "models" / manifest.model)
        return
    folder = home / "models" / manifest.model
    if absent and stored is not None and _bring_stored_rows(manifest, folder, stored):
        return
    for file in absent:
        source = project.root / file.path
        if not source.is_file() or sha256_file(source) != file.sha256:
            raise EnvironmentFailure(
                f"the rows that {bundle.version.ref} was trained on are gone",
                found=listed(file.path for file in absent),
                do="restore the files; `mlops data store` or data.keep let later "
                "versions have their rows",
            )
        (home / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, home / file.path)


def _bring_stored_rows(manifest: Manifest, folder: Path, stored: Place) -> bool:
    """Write a version's snapshot into the model's folder, and let model.yaml name it.

    Return whether there is one.
    """
    name = snapshot_name(manifest.data.files)
    for snapshot in snapshots(stored, manifest.model):
        if snapshot.name == name:
            patterns = pull(stored, snapshot, folder / _STORED)
            spec = load_yaml(folder / "model.yaml")
            for key, pattern in patterns.items():
                spec["data"][key.removeprefix("data.")] = f"{_STORED}/{pattern}"
            write_json(folder / "model.yaml", spec)  # JSON is YAML
            return True
    return False


def _bring_released_rows(bundle: Bundle, folder: Path) -> None:
    """Write a release's rows into the model's folder, and let model.yaml name them."""
    with (folder / DATA).open("wb") as out:
        bundle.copy(DATA, out)
    spec = load_yaml(folder / "model.yaml")
    spec["data"].pop("labels", None)  # they are joined to the rows already
    spec["data"]["source"] = DATA
    spec["data"]["ignore"] = [*spec["data"].get("ignore", []), "__test__"]
    write_json(folder / "model.yaml", spec)  # JSON is YAML


def _interpreter(
    project: Project, tree: Project, manifest: Manifest, say: Say
) -> _Interpreter:
    """Return what to train with: the version's own environment if it can be had."""
    then = manifest.environment
    now = present(project.lock_digest)
    minor = _minor(then.python)
    if now.lock_sha256 == then.lock_sha256 and _minor(now.python) == minor:
        description = "the present environment, which has its lock"
        return _Interpreter(sys.executable, now, description, own=False)
    key = f"{then.lock_sha256[:16]}-python{minor}"
    try:
        path = _environment_of(tree.lock, key, minor, say)
        version = _python_version(path)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"note: its own environment cannot be had: {error}")
        description = "the present environment, which is another"
        return _Interpreter(sys.executable, now, description, own=False)
    facts = then.model_copy(update={"python": version, "platform": now.platform})
    description = f"an environment of its own lock, Python {version}"
    return _Interpreter(path, facts, description, own=True)


def _minor(version: str) -> str:
    """Return ``3.11`` for ``3.11.9``."""
    return version.rpartition(".")[0]


def _python_version(path: str) -> str:
    """Return the version of an interpreter."""
    code = "import platform; print(platform.python_version())"
    done = subprocess.run(
        [path, "-c", code], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _environment_of(lock: Path, key: str, version: str, say: Say) -> str:
    """Return the interpreter of an environment of a lock.

    uv makes it once, and the cache keeps it.
    """
    folder = cache_root() / "environments" / key
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = folder / "venv" / inside
    with file_lock(folder):
        if (folder / "ready").is_file():
            return str(python)
        say("making an environment of its lock, once")
        _uv("venv", "--clear", "--python", version, str(folder / "venv"))
        _uv("pip", "sync", "--require-hashes", "--python", str(python), str(lock))
        (folder / "ready").touch()
    return str(python)


def _uv(*arguments: str) -> None:
    """Run uv, which shows its progress on standard error."""
    path = settings.current().environment.get("PATH", "")
    beside = str(Path(sys.executable).parent)
    command = [shutil.which("uv", path=os.pathsep.join([path, beside])) or "uv"]
    if not sys.stderr.isatty():
        command.append("--quiet")
    subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL)


def engine_of(root: Path) -> Path:
    """Return the folder of a work tree that holds its engine, in any layout there was.

    A tree without an engine of its own is trained by this one.
    """
    for folder in (root / "vendor" / "mlops" / "src", root):
        if (folder / "mlops" / "__init__.py").is_file():
            return folder
    return Path(__file__).parents[2]


def _train(tree: Project, name: str, version: str, python: str) -> Training:
    """Train in a tree."""
    _run(
        tree, [python, "-m", "mlops", "train", name], f"{version} could not be trained"
    )
    return Training.load(tree.build(name))


def _compiled(tree: Project, bundle: Bundle, python: str) -> str:
    """Compile what was trained, where the version is compiled, and compare the bytes.

    They are the same for the same model, whatever the machine.
    """
    if COMPILED not in bundle.manifest.assets:
        return ""
    name = bundle.version.model
    command = [python, "-m", "mlops.pipeline.compile_again", str(tree.root), name]
    _run(tree, command, f"{bundle.version.ref} could not be compiled")
    made = tree.build(name) / COMPILED
    digest = sha256_file(made) if made.is_file() else ""
    same = digest == bundle.manifest.assets[COMPILED].sha256
    return "same" if same else "different"


def _run(tree: Project, command: list[str], failed: str) -> None:
    """Run the engine that is in a tree (in tests: this one)."""
    engine = str(engine_of(tree.root))
    env = settings.current().user_code_environment(PYTHONPATH=engine)
    done = subprocess.run(
        command, cwd=tree.root, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-5:]
        raise EnvironmentFailure(
            f"{failed} again",
            found=" / ".join(last) or "no message",
            do="look at the version's code, data and lock",
        )


def _not_as_locked(project: Project) -> tuple[str, ...]:
    """Return, as a cause, the packages that are not installed as they are locked."""
    wrong = not_installed(project.lock)
    if not wrong:
        return ()
    return (f"installed is not what is locked: {listed(wrong, 4)}",)


def _causes(
    manifest: Manifest, training: Training, now: Environment
) -> tuple[str, ...]:
    """Return what may have made the difference, the likeliest first."""
    then = manifest.environment
    features = manifest.assets["features.py"].sha256
    pairs = (
        ("data", manifest.data.digest, training.snapshot),
        ("features.py", features, training.features_sha256),
        ("code and specification", manifest.code.digest, training.code),
        ("lock of this environment", then.lock_sha256, now.lock_sha256),
        ("Python", then.python, now.python),
        ("platform", then.platform, now.platform),
    )
    causes = tuple(
        f"{subject}: {old[:24]} then, {new[:24]} now"
        for subject, old, new in pairs
        if old != new
    )
    if causes:
        return causes
    return (
        "nothing that is recorded differs: training is not deterministic, or the "
        "processors are of two kinds",
    )

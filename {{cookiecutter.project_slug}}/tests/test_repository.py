"""Fast checks of the repository itself: specifications load, the locks agree."""

import re
import subprocess
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from mlops.config.project import Project
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENGINE = tomllib.loads((ROOT / "vendor/mlops/pyproject.toml").read_text("utf-8"))
LOCKS = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "requirements").glob("*.txt"))
}
PROJECT = Project.find(ROOT)
MODELS = PROJECT.models()


@cache
def locked_versions(lock: str) -> dict[str, list[str]]:
    """Every version of each package; there are two where platforms differ."""
    versions: dict[str, list[str]] = {}
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", LOCKS[lock], re.MULTILINE)
    for name, version in pins:
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def declared_requirements() -> list[tuple[str, str]]:
    """Each lock, with what it has to hold."""
    groups = PYPROJECT["dependency-groups"]
    extras = PYPROJECT["project"]["optional-dependencies"]
    base = PYPROJECT["project"]["dependencies"] + ENGINE["project"]["dependencies"]
    declared = {"base": base, "dev": base + groups["dev"], "all": base + groups["dev"]}
    for name, needed in ENGINE["project"]["optional-dependencies"].items():
        declared[name] = base + needed + extras["models"] + extras[name]
        declared["all"] = declared["all"] + declared[name]
    own = ("mlops", canonicalize_name(PYPROJECT["project"]["name"]))
    return [
        (lock, text)
        for lock, texts in declared.items()
        for text in dict.fromkeys(t for t in texts if isinstance(t, str))
        if canonicalize_name(Requirement(text).name) not in own
    ]


def test_there_is_a_model() -> None:
    assert MODELS


@pytest.mark.parametrize("model", MODELS)
def test_specification_loads(model: str) -> None:
    assert PROJECT.model(model)


@pytest.mark.parametrize(("lock", "declared"), declared_requirements())
def test_lock_satisfies_pyproject(lock: str, declared: str) -> None:
    requirement = Requirement(declared)
    versions = locked_versions(lock).get(canonicalize_name(requirement.name), [])
    assert versions, f"{declared} is not in requirements/{lock}.txt: run `make lock`"
    for version in versions:
        assert version in requirement.specifier, (
            f"{requirement} but {version} is locked: run `make lock`"
        )


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_one_resolution(lock: str) -> None:
    everything = locked_versions("all")
    for name, versions in locked_versions(lock).items():
        assert set(versions) <= set(everything[name]), f"{name}: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_and_no_addresses(lock: str) -> None:
    pins = re.findall(r"^\S+==.*\n(.*)", LOCKS[lock], re.MULTILINE)
    assert pins and all(line.startswith("    --hash=sha256:") for line in pins)
    assert "://" not in LOCKS[lock]


def unfit(text: str) -> str:
    """What is installed where a package needs something else; empty where it fits."""
    requirement = Requirement(text)
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return ""
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        installed = "nothing"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"{installed} of {requirement.name}"


def test_what_is_installed_fits_together() -> None:
    """A pin that was changed by itself may not fit what was resolved with it."""
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        for text in distribution.requires or ():
            found = unfit(text)
            assert not found, (
                f"{name} needs {text}, and there is {found}: run `make lock`"
            )


def test_no_conflict_with_the_template_is_left() -> None:
    command = ["git", "ls-files", "*.rej"]
    assert not subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout

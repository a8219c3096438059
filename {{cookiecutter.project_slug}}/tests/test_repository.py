"""Fast checks of the repository itself: specifications load, the lock fits, names agree."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from mlops.config.project import Project
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PROJECT = Project.find(ROOT)
MODELS = PROJECT.models()


def locked_versions() -> dict[str, list[str]]:
    """Every version of each package; there are two where platforms need different ones."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;]+)", LOCK, re.MULTILINE
    ):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def declared_requirements() -> list[str]:
    project = PYPROJECT["project"]
    return project["dependencies"] + project["optional-dependencies"]["dev"]


def test_there_is_a_model() -> None:
    assert MODELS


@pytest.mark.parametrize("model", MODELS)
def test_specification_loads(model: str) -> None:
    assert PROJECT.model(model)


@pytest.mark.parametrize("declared", declared_requirements())
def test_lock_satisfies_pyproject(declared: str) -> None:
    requirement = Requirement(declared)
    versions = locked_versions().get(canonicalize_name(requirement.name), [])
    assert versions, f"{requirement.name} is not in requirements.txt"
    for version in versions:
        assert version in requirement.specifier, (
            f"{requirement} but {version} is locked"
        )


def test_lock_has_hashes_and_no_addresses() -> None:
    pins = re.findall(r"^\S+==.*\n(.*)", LOCK, re.MULTILINE)
    assert pins and all(line.startswith("    --hash=sha256:") for line in pins)
    assert "://" not in LOCK


def test_no_conflict_with_the_template_is_left() -> None:
    command = ["git", "ls-files", "*.rej"]
    assert not subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout

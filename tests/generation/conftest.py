"""Bake repositories in process, away from this machine's own configuration."""

import os
import shutil
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from generation.baking import TEMPLATE, TREE, Bake

# What tools leave behind in a work tree, and no clone of the template would have.
LEFTOVERS = shutil.ignore_patterns(
    "__pycache__", ".mlops", ".venv", ".*_cache", ".hypothesis", "*.egg-info", "*.pyc"
)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the template as a clone would have it."""
    copy = tmp_path_factory.mktemp("template")
    shutil.copy(TEMPLATE / "cookiecutter.json", copy)
    for folder in ("hooks", TREE):
        shutil.copytree(TEMPLATE / folder, copy / folder, ignore=LEFTOVERS)
    return copy


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give git, cookiecutter and cruft an empty home; return it."""
    home = tmp_path / "home"
    home.mkdir()
    for variable in list(os.environ):
        if variable.startswith(("GIT_", "COOKIECUTTER", "XDG_")):
            monkeypatch.delenv(variable)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder that repositories are generated into."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def bake(template: Path, output: Path, tmp_path: Path) -> Bake:
    """Generate a repository with these answers; the defaults fill the rest."""
    config = tmp_path / "cookiecutter.yaml"
    folder = str(tmp_path / "cookiecutter").replace("'", "''")
    config.write_text(f"replay_dir: '{folder}'\ncookiecutters_dir: '{folder}'\n")

    def generate(output_dir: Path = output, **answers: str) -> Path:
        result = cookiecutter(
            str(template),
            no_input=True,
            extra_context=answers,
            output_dir=str(output_dir),
            config_file=str(config),
        )
        return Path(result)

    return generate

"""What is generated: complete, small, rendered, licensed, explained in its README."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from generation.baking import TEMPLATE, Bake, git

SPEC = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
FIRST_LINES = {
    "MIT": "MIT License",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "BSD 3-Clause License",
    "Proprietary": "Copyright (c) your-github-name. All rights reserved.",
}


def tracked(repository: Path) -> list[Path]:
    return [
        repository / name
        for name in git(repository, "ls-files", "-z").split("\0")
        if name
    ]


@pytest.mark.parametrize("python", SPEC["python_version"])
@pytest.mark.parametrize("licence", SPEC["license"])
def test_every_choice(bake: Bake, licence: str, python: str) -> None:
    repository = bake(license=licence, python_version=python)
    text = (repository / "LICENSE").read_text(encoding="utf-8")
    assert text.splitlines()[0].strip() == FIRST_LINES[licence]
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert [path.name for path in repository.glob("LICEN*")] == ["LICENSE"]
    project = tomllib.loads(
        (repository / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    spdx = "LicenseRef-Proprietary" if licence == "Proprietary" else licence
    assert project["license"] == spdx
    container = json.loads((repository / ".devcontainer/devcontainer.json").read_text())
    assert container["image"] == f"python:{python}"


def test_no_jinja_left(bake: Bake) -> None:
    # `${{ }}` is GitHub's own, and only workflows have it; the engine's own templates
    # end in .j2.
    left = [
        path
        for path in tracked(bake())
        if path.suffix not in (".csv", ".parquet", ".j2")
        and (
            re.search(r"cookiecutter\.[a-z_]+|\{%-? ", path.read_text(encoding="utf-8"))
            or "cookiecutter" in path.name
        )
    ]
    assert not left


def test_no_folder_is_empty(bake: Bake) -> None:
    repository = bake()
    folders = [
        path
        for path in repository.rglob("*")
        if path.is_dir() and ".git" not in path.parts
    ]
    assert not [folder for folder in folders if not any(folder.iterdir())]


def test_readme_maps_every_top_level_place(bake: Bake) -> None:
    repository = bake()
    map_ = (repository / "README.md").read_text(encoding="utf-8").split("## Map")[1]
    places = {path.name for path in repository.iterdir()} - {".git", "README.md"}
    assert not [
        place for place in places if not re.search(rf"`{re.escape(place)}/?`", map_)
    ]


def test_verbatim_trees_are_verbatim(bake: Bake, template: Path) -> None:
    repository = bake()
    source = template / "{{cookiecutter.project_slug}}"
    for pattern in SPEC["_copy_without_render"]:
        for path in source.glob(pattern):
            if path.is_file():
                copy = repository / path.relative_to(source)
                assert copy.read_bytes() == path.read_bytes(), pattern


def test_generated_code_is_clean(bake: Bake) -> None:
    repository = bake()
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            ["ruff", *command, "."],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_owner_is_approver_and_code_owner(bake: Bake) -> None:
    repository = bake(github_owner="acme/ml-team")
    project = yaml.safe_load((repository / "project.yaml").read_text(encoding="utf-8"))
    assert project["owner"] == "@acme/ml-team"
    assert project["owner"] == "@acme/ml-team"
    assert "* @acme/ml-team" in (repository / ".github/CODEOWNERS").read_text(
        encoding="utf-8"
    )


def test_words_of_yaml_stay_words(bake: Bake) -> None:
    repository = bake(project_slug="null")
    assert yaml.safe_load((repository / "project.yaml").read_text())["name"] == "null"


@pytest.mark.parametrize(
    "hook", sorted((TEMPLATE / "hooks").glob("*.py")), ids=lambda p: p.name
)
def test_hooks_need_the_standard_library_only(hook: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(hook.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)


def test_every_question_is_asked_in_words() -> None:
    asked = {key for key in SPEC if not key.startswith("_")}
    assert set(SPEC["__prompts__"]) == asked

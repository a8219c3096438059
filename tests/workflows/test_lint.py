"""Every file under .github, ours and the generated one's, without a single finding."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).resolve().parents[2]
GITHUB = {
    "template": TEMPLATE / ".github",
    "generated": TEMPLATE / "{{cookiecutter.project_slug}}" / ".github",
}
SCHEMAS = {
    "vendor.github-workflows": "workflows/*.yml",
    "vendor.github-actions": "actions/*/action.yml",
    "vendor.dependabot": "dependabot.yml",
}


def run(*command: str | Path, folder: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(params=GITHUB, name="folder")
def github_folder(request: pytest.FixtureRequest) -> Path:
    """The .github folder of the template, or of what it generates."""
    return GITHUB[request.param]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schema(folder: Path, schema: str) -> None:
    files = sorted(folder.glob(SCHEMAS[schema]))
    if files:
        run("check-jsonschema", "--builtin-schema", schema, *files, folder=folder)


def test_actionlint_and_shellcheck(folder: Path, tmp_path: Path) -> None:
    # As a repository of its own: `uses: ./...` starts at its top.
    shutil.copytree(folder, tmp_path / ".github")
    run("git", "init", "-q", folder=tmp_path)
    run("actionlint", "-no-color", "-shellcheck", "shellcheck", folder=tmp_path)


def test_zizmor(folder: Path) -> None:
    run(
        *(
            "zizmor",
            "--offline",
            "--strict-collection",
            "--persona=pedantic",
            "--no-progress",
        ),
        folder,
        folder=TEMPLATE,
    )


@pytest.mark.parametrize("name", GITHUB)
def test_actions_are_pinned_with_their_version(name: str) -> None:
    for path in GITHUB[name].rglob("*.yml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = line.strip().removeprefix("- ")
            if entry.startswith("uses: ") and not entry.startswith("uses: ./"):
                reference, _, comment = entry.removeprefix("uses: ").partition(" # ")
                commit = reference.partition("@")[2]
                assert len(commit) == 40 and comment.startswith("v"), (
                    f"{path.name}: {line}"
                )

"""GitHub's own parser and validator read every workflow without an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rehearsal.runner.stand_ins import action_inputs
from workflows.githubs_own import GitHubsOwn

TEMPLATE = Path(__file__).resolve().parents[2]
ROOTS = (TEMPLATE, TEMPLATE / "{{cookiecutter.project_slug}}")
# Workflows are copied as they are: no answer to the template's questions changes one.
FILES = [
    pytest.param(root, path.relative_to(root).as_posix(), id=f"{root.name}:{path.stem}")
    for root in ROOTS
    for pattern in ("workflows/*.yml", "actions/*/action.yml")
    for path in sorted((root / ".github").glob(pattern))
]

# The package's own list of events lacks `merge_group`, which pull-request.yml reads.
UNKNOWN_TO_IT = "Context access might be invalid: merge_group"


def metadata() -> dict[str, Any]:
    """Return the metadata of the pinned actions, as GitHub's validator takes it."""
    return {
        f"{name}@{facts['commit']}": {
            "name": name,
            "description": "",
            "inputs": {
                key: {"description": "", "required": key in facts["required"]}
                for key in facts["inputs"]
            },
        }
        for name, facts in action_inputs().items()
    }


def diagnose(github: GitHubsOwn, root: Path, path: str, text: str) -> list[str]:
    folder = root / ".github" / "workflows"
    files = {
        f".github/workflows/{one.name}": one.read_text(encoding="utf-8")
        for one in folder.glob("*.yml")
    }
    found = github.diagnose(path, text, metadata(), files)
    return [line for line in found if not line.endswith(UNKNOWN_TO_IT)]


@pytest.mark.parametrize(("root", "path"), FILES)
def test_github_reads_it_without_an_error(
    github: GitHubsOwn, root: Path, path: str
) -> None:
    text = (root / path).read_text(encoding="utf-8")
    assert diagnose(github, root, path, text) == []


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("timeout-minutes: 10", "timeout-minutse: 10", "Unexpected value"),
        ("needs.plan.outputs.models", "needs.plan.outputs.model", "Context access"),
        ("needs: plan", "needs: plans", "plans"),
        ("fetch-depth: 0", "fetch-dept: 0", "Invalid action input 'fetch-dept'"),
        ("name: report-${{", "nam: report-${{", "Invalid action input 'nam'"),
        ("if: always()", "if: alway()", "Unrecognized function: 'alway'"),
        ("contents: read", "contents: reads", "Unexpected value 'reads'"),
    ],
)
def test_what_is_wrong_is_seen(
    github: GitHubsOwn, right: str, wrong: str, message: str
) -> None:
    path = ".github/workflows/pull-request.yml"
    text = (ROOTS[1] / path).read_text(encoding="utf-8")
    assert right in text
    found = diagnose(github, ROOTS[1], path, text.replace(right, wrong, 1))
    assert any(message in line for line in found), found


def test_an_action_at_another_commit_is_unknown(github: GitHubsOwn) -> None:
    path = ".github/workflows/pull-request.yml"
    text = (ROOTS[1] / path).read_text(encoding="utf-8")
    found = diagnose(github, ROOTS[1], path, text.replace("checkout@3", "checkout@4"))
    assert any("Unable to resolve action" in line for line in found), found

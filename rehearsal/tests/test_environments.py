"""Branches of an environment: a job of another branch is refused before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.hub import Hub
from rehearsal.runner.environments import may_deploy
from rehearsal.runner.run import Run
from rehearsal.stories.world import World

CUSTOM = {"protected_branches": False, "custom_branch_policies": True}

DEPLOYS = """
name: Toy
on: push
permissions: {}
jobs:
  before:
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
  deploy:
    needs: before
    runs-on: ubuntu-latest
    environment:
      name: production
      deployment: false
    steps:
      - env: { TOKEN: "${{ secrets.TOKEN }}" }
        run: echo "the secret is $TOKEN"
  after:
    needs: deploy
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
"""
CALLS = """
name: Toy
on: push
permissions: {}
jobs:
  staging:
    name: staging (${{ matrix.model }})
    strategy: { fail-fast: false, matrix: { model: [x, y] } }
    permissions: { contents: write }
    uses: ./.github/workflows/stage.yml
    with: { stage: staging }
  production:
    name: production (${{ matrix.model }})
    needs: staging
    strategy: { fail-fast: false, matrix: { model: [x, y] } }
    permissions: { contents: write }
    uses: ./.github/workflows/stage.yml
    with: { stage: production }
"""
STAGE = """
name: Stage
on: { workflow_call: { inputs: { stage: { type: string, required: true } } } }
permissions: {}
jobs:
  promote:
    runs-on: ubuntu-latest
    environment: ${{ inputs.stage }}
    permissions: { contents: write }
    steps: [{ run: echo promoted }]
"""
REFUSED = (
    "error",
    'Branch "feature" is not allowed to deploy to production due to environment '
    "protection rules.",
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def world(hub: Hub, tmp_path: Path) -> World:
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_text("A repository.\n")
    world = World(hub, tmp_path, source)
    only(world, "production", "main")
    return world


def only(world: World, environment: str, *names: str) -> None:
    """Let the branches of some patterns deploy to an environment, and no others."""
    address = f"/environments/{environment}"
    world.api("PUT", address, {"deployment_branch_policy": CUSTOM})
    for name in names:
        policies = f"{address}/deployment-branch-policies"
        world.api("POST", policies, {"name": name, "type": "branch"})


def played(world: World, branch: str, **files: str) -> Run:
    """Push workflows to a branch; return the one run."""
    paths = {f".github/workflows/{name}.yml": text for name, text in files.items()}
    world.change(paths, f"Change {', '.join(files)}")
    world.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    (run,) = world.settle()
    return run


def test_a_branch_that_may_not_deploy_runs_no_step_and_gets_no_secret(
    world: World,
) -> None:
    world.runner.secrets["TOKEN"] = "hunter2"
    run = played(world, "feature", toy=DEPLOYS)
    assert run.jobs == {"before": "success", "deploy": "failure", "after": "skipped"}
    assert run.annotations == [REFUSED]
    assert "the secret is" not in run.log
    assert world.deployments() == []
    again = played(world, "main", toy=DEPLOYS + "# merged\n")
    assert set(again.jobs.values()) == {"success"}
    assert "the secret is" in again.log


def test_a_called_workflow_is_refused_where_its_input_names_the_environment(
    world: World,
) -> None:
    run = played(world, "feature", toy=CALLS, stage=STAGE)
    assert run.jobs == {
        "staging (x) / promote": "success",
        "staging (y) / promote": "success",
        "production (x) / promote": "failure",
        "production (y) / promote": "failure",
    }
    assert run.annotations == [REFUSED, REFUSED]
    assert {name for name, _ in world.deployments()} == {"staging"}


def test_nobody_is_asked_to_approve_what_may_not_deploy(world: World) -> None:
    carol = {"type": "User", "id": world.hub.view.user("carol")["id"]}
    policy = {"deployment_branch_policy": CUSTOM, "reviewers": [carol]}
    world.api("PUT", "/environments/production", policy)
    run = played(world, "feature", toy=DEPLOYS)
    assert run.jobs["deploy"] == "failure"
    assert world.api("GET", f"/actions/runs/{run.id}/approvals") == []


def test_a_run_again_goes_by_the_branches_of_now(world: World) -> None:
    run = played(world, "feature", toy=DEPLOYS)
    only(world, "production", "feature")
    (again,) = world.rerun(run, actor="bob")
    assert set(again.jobs.values()) == {"success"}, again.log


def test_the_environment_of_pages_comes_with_the_site_for_the_default_branch(
    world: World,
) -> None:
    publishes = DEPLOYS.replace("name: production", "name: github-pages")
    free = played(world, "feature", toy=publishes)
    assert free.jobs["deploy"] == "success"  # nobody has made it yet
    world.api("POST", "/pages", {"build_type": "workflow"})
    refused = played(world, "feature", toy=publishes + "# again\n")
    assert refused.jobs["deploy"] == "failure"
    (_, text) = refused.annotations[0]
    assert "is not allowed to deploy to github-pages" in text
    published = played(world, "main", toy=publishes + "# merged\n")
    assert published.jobs["deploy"] == "success"


@pytest.mark.parametrize(
    ("patterns", "ref", "allowed"),
    [
        ([("branch", "main")], "refs/heads/main", True),
        ([("branch", "main")], "refs/heads/maintenance", False),
        ([("branch", "main")], "refs/tags/main", False),
        ([("tag", "v*")], "refs/tags/v1", True),
        ([("tag", "v*")], "refs/heads/v1", False),
        ([("branch", "release/*")], "refs/heads/release/1", True),
        ([("branch", "release/*")], "refs/heads/release/1/2", False),
        ([("branch", "*")], "refs/heads/release/1", False),
        ([("branch", "*")], "refs/pull/7/merge", False),
        ([("branch", "refs/pull/*/merge")], "refs/pull/7/merge", True),
        ([("branch", "x"), ("branch", "main")], "refs/heads/main", True),
        ([], "refs/heads/main", False),
    ],
)
def test_patterns_of_branches_and_tags(
    patterns: list[tuple[str, str]], ref: str, allowed: bool
) -> None:
    policies = [{"type": kind, "name": name} for kind, name in patterns]
    environment: dict[str, Any] = {
        "deployment_branch_policy": CUSTOM,
        "policies": policies,
    }
    assert may_deploy(environment, ref) is allowed
    assert may_deploy({**environment, "deployment_branch_policy": None}, ref)

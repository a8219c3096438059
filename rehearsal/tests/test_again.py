"""A run that is run again: its failed jobs or all, and what it finds of before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.hub import Hub
from rehearsal.runner.run import Run
from rehearsal.stories.world import World

UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"
DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"

RELEASE = """
name: Release
on: push
permissions: {}
jobs:
  plan:
    runs-on: ubuntu-latest
    outputs:
      models: ${{ steps.plan.outputs.models }}
    steps:
      - id: plan
        run: |
          echo 'models=["a","b"]' >> "$GITHUB_OUTPUT"
          echo "planned in $GITHUB_RUN_ATTEMPT"
  train:
    needs: plan
    runs-on: ubuntu-latest
    strategy:
      fail-fast: false
      matrix:
        model: ${{ fromJSON(needs.plan.outputs.models) }}
    env:
      MODEL: ${{ matrix.model }}
    steps:
      - run: echo "$MODEL of attempt $GITHUB_RUN_ATTEMPT" > "$MODEL.txt"
      - uses: UPLOAD
        with:
          name: build-${{ matrix.model }}
          path: "*.txt"
      - run: '[ "$MODEL" = a ] || [ "$GITHUB_RUN_ATTEMPT" != 1 ]'
  idle:
    needs: plan
    if: needs.plan.outputs.models == '[]'
    runs-on: ubuntu-latest
    steps:
      - run: exit 1
  register:
    needs: [plan, train, idle]
    if: ${{ !cancelled() && needs.train.result != 'skipped' }}
    runs-on: ubuntu-latest
    steps:
      - uses: DOWNLOAD
        with:
          pattern: build-*
          merge-multiple: true
          path: build
      - env:
          TRAINED: ${{ needs.train.result }}
          IDLE: ${{ needs.idle.result }}
          MODELS: ${{ needs.plan.outputs.models }}
        run: |
          echo "train was $TRAINED, idle was $IDLE, $MODELS"
          cat build/*.txt || echo nothing
          echo "$GITHUB_ACTOR, asked by $GITHUB_TRIGGERING_ACTOR"
"""
RELEASE = RELEASE.replace("UPLOAD", UPLOAD).replace("DOWNLOAD", DOWNLOAD)

AFTER = """
name: After
on:
  workflow_run:
    workflows: [Release]
    types: [completed]
permissions: {}
jobs:
  tell:
    runs-on: ubuntu-latest
    steps:
      - env:
          ATTEMPT: ${{ github.event.workflow_run.run_attempt }}
          BY: ${{ github.event.workflow_run.triggering_actor.login }}
        run: echo "attempt $ATTEMPT by $BY"
"""
GREEN = """
name: Green
on: push
permissions: {}
jobs:
  tell:
    runs-on: ubuntu-latest
    steps:
      - run: echo good
"""

ENDED = {
    "plan": "success",
    "train (a)": "success",
    "train (b)": "failure",
    "idle": "skipped",
    "register": "success",
}
WELL = {**ENDED, "train (b)": "success"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def world(hub: Hub, tmp_path: Path) -> World:
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_text("A repository.\n")
    return World(hub, tmp_path, source)


def first(world: World, **more: str) -> Run:
    """Push the workflow; return its run, in which one of two trainings failed."""
    files = {"release": RELEASE, **more}
    edit = {f".github/workflows/{name}.yml": text for name, text in files.items()}
    run = world.push(edit, actor="alice")[0]
    assert run.jobs == ENDED, run.log
    return run


def artifacts(world: World, run: Run) -> list[tuple[str, bool]]:
    """Return name and expiry of those that the API lists, newest first."""
    listed = world.api("GET", f"/actions/runs/{run.id}/artifacts")
    return [(one["name"], one["expired"]) for one in listed["artifacts"]]


def test_failed_jobs_and_what_depends_on_them_run_again_and_no_others(
    world: World,
) -> None:
    run = first(world, after=AFTER)
    before = artifacts(world, run)
    assert sorted(before) == [("build-a", False), ("build-b", False)]
    again, after = world.rerun(run, actor="bob")
    assert (again.id, again.attempt, run.attempt) == (run.id, 2, 1)
    assert again.jobs == WELL, again.log
    assert again.conclusion == "success"
    assert "planned in" not in again.log and "train (a) |" not in again.log
    # The build of the first attempt is there, and of the second its own.
    assert "a of attempt 1" in again.log and "b of attempt 2" in again.log
    assert "b of attempt 1" not in again.log
    assert 'train was success, idle was skipped, ["a","b"]' in again.log
    assert "alice, asked by bob" in again.log
    assert artifacts(world, run) == [("build-b", False), *before]
    assert "attempt 2 by bob" in after.log
    shown = world.api("GET", f"/actions/runs/{run.id}")
    people = (shown["actor"]["login"], shown["triggering_actor"]["login"])
    assert people == ("alice", "bob")
    assert (shown["run_attempt"], shown["conclusion"]) == (2, "success")


def test_all_jobs_run_again_at_the_same_commit(world: World) -> None:
    run = first(world)
    world.push({"README.md": "Newer.\n"})
    (again,) = world.rerun(run, every=True)
    assert again.event.sha == run.event.sha != world.git("rev-parse", "HEAD")
    assert again.jobs == WELL
    assert "planned in 2" in again.log
    assert "a of attempt 2" in again.log and "of attempt 1" not in again.log


def test_what_has_expired_is_not_there_when_a_job_runs_again(world: World) -> None:
    """A download by a pattern succeeds all the same."""
    run = first(world)
    world.hub.expire_artifacts(run.id)
    (again,) = world.rerun(run)
    assert "b of attempt 2" in again.log and "a of attempt" not in again.log
    expired = [expired for _, expired in artifacts(world, run)]
    assert expired == [False, True, True]
    world.hub.expire_artifacts(run.id)
    (third,) = world.rerun(run, every=True)
    assert third.attempt == 3 and "a of attempt 3" in third.log


def test_an_attempt_that_fails_as_well_can_be_run_again(world: World) -> None:
    stubborn = RELEASE.replace('ATTEMPT" != 1', 'ATTEMPT" = 3')
    (run,) = world.push({".github/workflows/release.yml": stubborn})
    (second,) = world.rerun(run)
    assert second.jobs == ENDED and second.conclusion == "failure"
    (third,) = world.rerun(second)
    assert third.conclusion == "success"
    assert "a of attempt 1" in third.log and "b of attempt 3" in third.log


def test_github_offers_to_run_again_what_failed_and_for_thirty_days(
    world: World, hub: Hub
) -> None:
    (good,) = world.push({".github/workflows/green.yml": GREEN})
    with pytest.raises(RehearsalError, match="no job of run"):
        world.rerun(good)
    hub.state.clock = lambda: datetime.now(UTC) + timedelta(days=31)
    with pytest.raises(RehearsalError, match="older than 30 days"):
        world.rerun(good, every=True)


CALLS = """
name: Calls
on: push
permissions: {}
jobs:
  stage:
    name: stage (${{ matrix.model }})
    strategy: { fail-fast: false, matrix: { model: [a, b] } }
    permissions: { contents: read }
    uses: ./.github/workflows/called.yml
    with: { model: "${{ matrix.model }}" }
  after:
    needs: stage
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
"""
CALLED = """
name: Called
on: { workflow_call: { inputs: { model: { type: string, required: true } } } }
permissions: {}
jobs:
  put:
    runs-on: ubuntu-latest
    permissions: { contents: read }
    steps:
      - env: { MODEL: "${{ inputs.model }}" }
        run: |
          echo "$MODEL in attempt $GITHUB_RUN_ATTEMPT"
          [ "$MODEL" = a ] || [ "$GITHUB_RUN_ATTEMPT" != 1 ]
"""


def test_of_a_matrix_of_calls_those_run_again_that_failed(world: World) -> None:
    files = {"calls.yml": CALLS, "called.yml": CALLED}
    edit = {f".github/workflows/{name}": text for name, text in files.items()}
    (run,) = world.push(edit)
    ended = {"stage (a) / put": "success", "stage (b) / put": "failure"}
    assert run.jobs == {**ended, "after": "skipped"}, run.log
    (again,) = world.rerun(run)
    assert again.jobs == dict.fromkeys(run.jobs, "success"), again.log
    assert "b in attempt 2" in again.log and "a in attempt" not in again.log

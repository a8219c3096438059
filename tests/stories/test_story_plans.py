"""docs/explanation/plans.md: each column is played through the workflows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.plans_page import PLANS, cell
from rehearsal.errors import RehearsalError
from rehearsal.runner.run import Run
from rehearsal.stories.copies import copied
from rehearsal.stories.world import World, newest
from stories.outcomes import (
    BORN,
    DELIVERED,
    answer,
    decides,
    in_stage,
    is_whole,
    refused_to_strangers_and_authors,
    trailers,
)
from stories.worlds import approvers

# What the token needs that `mlops github apply` takes.
ADMINISTRATION = {"administration": "write", "issues": "write", "pages": "write"}
ADMINISTRATION |= {"variables": "write", "actions": "read"}
NOT_ATTESTED = "not attested: GitHub does not sign here; the chain of digests holds"
WAITS = "waits: @alice, @carol may put it into production, by the workflow promote"
# What somebody may push who wants a secret of the environment.
THIEF = """
name: thief
on: push
permissions: {}
jobs:
  steal:
    runs-on: ubuntu-latest
    environment:
      name: upkeep
      deployment: false
    steps:
      - env:
          TOKEN: ${{ secrets.SETTINGS_TOKEN }}
        run: '[ -n "$TOKEN" ] && echo "it is mine"'
"""


@dataclass
class Column:
    """A plan, and a world that has it."""

    plan: str
    world: World

    def has(self, row: str) -> bool:
        """Say whether the page promises what a row begins with."""
        return {"yes": True, "no": False}[cell(self.plan, row)]

    def pushes(self, *arguments: str) -> bool:
        """Say whether GitHub takes a push."""
        try:
            self.world.git("push", "--quiet", "origin", *arguments)
        except RehearsalError as error:
            assert "GH013" in str(error)
            return False
        self.world.hub.events.take()  # nothing follows
        return True

    def variable(self, name: str) -> None:
        """Switch on by hand what a private repository has to be asked about."""
        self.world.api("POST", "/actions/variables", {"name": name, "value": "on"})


@pytest.fixture(name="column", params=PLANS)
def column_fixture(
    request: pytest.FixtureRequest, released: World, tmp_path: Path
) -> Iterator[Column]:
    """Return each plan, with the world that stories begin in."""
    about: dict[str, Any] = PLANS[request.param]
    with copied(released, tmp_path / "plan", **about) as world:
        for reviewer in ("alice", "carol"):
            world.token(reviewer)
            world.hub.state.collaborators[reviewer] = "write"
        yield Column(request.param, world)


@pytest.mark.slow
def test_each_column_of_the_plans_is_played_by_the_workflows(column: Column) -> None:
    settings_are_applied(column)
    runs = a_version_is_delivered(column)
    the_page_is_published_or_kept(column, newest(runs, "pages"))
    rules_hold(column)
    secrets_are_kept(column)


def settings_are_applied(column: Column) -> None:
    """Let settings.yml switch on all that the plan has; it is green on each."""
    story = column.world
    token = story.hub.tokens.issue(ADMINISTRATION, actor="acme", kind="user")
    story.runner.secrets["SETTINGS_TOKEN"] = token
    story.runner.disabled = {"release", "pages", "security", "update"}
    (run,) = story.push(approvers, "New data, and approvers", actor="alice")
    assert run.jobs == {"settings": "success"}, run.log
    has_all = column.plan in ("public", "private, Enterprise Cloud")
    assert ("not in this plan" in run.summary) is not has_all
    asked = bool(story.hub.state.environments.get("production", {}).get("reviewers"))
    assert asked is column.has("reviewers of a stage")
    assert story.issues() == []  # what the plan lacks is no drift
    story.runner.disabled = {"settings", "security", "update"}


def a_version_is_delivered(column: Column) -> list[Run]:
    """Deliver a version that somebody has to approve; return the runs."""
    story = column.world
    if column.has("attestations") and column.plan != "public":
        column.variable("ATTESTATIONS")
    if column.has("web page") and column.plan != "public":
        column.variable("PAGES")
    attested = len(story.hub.state.attestations)
    reviewed = column.has("reviewers of a stage")
    if reviewed:
        story.approves("production", "carol")
    runs = story.dispatch("release", actor="alice")
    story.runner.disabled |= {"pages"}
    release = newest(runs, "release")
    assert release.jobs == DELIVERED, release.log
    grown = len(story.hub.state.attestations) > attested
    assert grown is column.has("attestations")
    assert (NOT_ATTESTED in release.log) is not grown
    assert ("churn@v1.0.1" in story.hub.state.burnt_tags) is column.has("immutable")

    if not reviewed:
        said = release.summaries["production (churn) / promote"]
        assert WAITS in said and in_stage(story, "production") == "v1.0.0"
        if column.plan == "private, Free":
            refused_to_strangers_and_authors(story)
        run = decides(story, "carol", version="staging")
        assert run.jobs == {"promote": "success"}, run.log
    assert story.tags() == [
        *BORN,
        "churn@v1.0.1",
        "churn#staging#3",
        "churn#production#4",
    ]
    assert trailers(story, "churn#production#4")["Approver"] == "@carol"
    assert answer(story)["version"] == "v1.0.1"
    is_whole(story, "v1.0.0", "v1.0.1")
    return runs


def the_page_is_published_or_kept(column: Column, run: Run) -> None:
    """See that the page is where the plan has it."""
    deployed = "success" if column.has("web page") else "skipped"
    assert run.jobs == {"build": "success", "deploy": deployed}, run.log


def rules_hold(column: Column) -> None:
    """See what somebody who may push can do to main, to tags and to the run log."""
    story = column.world
    story.git("fetch", "--quiet", "--tags", "origin")
    story.git("checkout", "--quiet", "--detach", "origin/journal")
    story.change({"runs/forged.json": "{}"}, "Forged")
    story.git("reset", "--quiet", "--soft", "HEAD~2")
    story.commit("Another past")
    assert column.pushes("--force", "HEAD:refs/heads/journal") is not column.has(
        "ruleset: the run log"
    )
    moved = column.pushes("--force", "HEAD:refs/tags/churn#staging#3")
    assert moved is not column.has("ruleset: tags")
    story.git("checkout", "--quiet", "--force", "-B", "main", "origin/main")
    story.change({"README.md": "Straight to main.\n"}, "Straight to main")
    assert column.pushes("HEAD:refs/heads/main") is not column.has("ruleset: `main`")


def secrets_are_kept(column: Column) -> None:
    """See whether a branch that nobody reviewed can use the environment `upkeep`."""
    story = column.world
    story.change({".github/workflows/thief.yml": THIEF}, "A thief")
    story.git("push", "--quiet", "origin", "HEAD:refs/heads/feature")
    (run,) = story.settle()
    refused = column.has("branch of an environment")
    assert run.jobs == {"steal": "failure" if refused else "success"}, run.log
    assert ("it is mine" in run.log) is not refused

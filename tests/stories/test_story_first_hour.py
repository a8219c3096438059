"""The first hour on GitHub where as much is switched off as can be."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from mlops.github.switches import SWITCHES
from rehearsal.hub import Hub
from rehearsal.hub.git import ZERO, Update
from rehearsal.hub.identity import Caller
from rehearsal.runner.run import Run
from rehearsal.stories.world import World, replaced
from stories.outcomes import delivered
from stories.worlds import MODEL, repository


def first_push(world: World) -> list[Run]:
    """Let what is on main have been pushed just now, and play what follows."""
    who = Caller("alice", "user", {"contents": "write"})
    update = Update("refs/heads/main", ZERO, world.git("rev-parse", "HEAD"))
    world.hub.pushed(world.hub.owner, [update], who)
    return world.settle()


@pytest.mark.slow
def test_the_first_push_says_once_and_in_order_what_to_switch_on(
    tmp_path: Path, caches: Path
) -> None:
    """A private repository on Free, of an organisation that allows GitHub's actions.

    The default token reads, Actions open no pull request, Pages and Issues are off, and
    there is no environment.
    """
    source = repository(tmp_path / "source")
    old = "    after: staging\n    approvers: []"
    replaced("project.yaml", old, old.replace("[]", '["@alice"]'))(source)
    with Hub(tmp_path / "hub", private=True, plan="free") as hub:
        hub.state.repository["has_issues"] = False
        hub.state.actions.update(allowed_actions="selected")
        hub.state.of_organization = True
        world = World(hub, tmp_path, source, caches=caches)
        runs = {run.workflow: run for run in first_push(world)}
        assert runs.keys() == {"release", "settings", "pages"}

        # A version is made, tried and waits for its approver: none of that is needed.
        release = runs["release"]
        assert release.jobs == delivered(MODEL), release.log
        assert world.tags() == ["churn@v1.0.0", "churn#staging#1"]
        waits = release.summaries[f"production ({MODEL}) / promote"]
        assert "@alice may put it into production, by the workflow promote" in waits

        pages = runs["pages"]
        assert pages.jobs == {"build": "success", "deploy": "skipped"}, pages.log
        assert SWITCHES["Pages"].remedy in pages.summary

        # One job cannot tell anybody, and is red; its summary has the list, once.
        settings = runs["settings"]
        assert settings.jobs == {"settings": "failure"}
        text = html.unescape(settings.summary)
        assert text.count("Still to be switched on, in this order") == 1
        named = ("1. Issues are switched off", "2. GitHub Pages is not switched on")
        order = [text.index(name) for name in named]
        assert order == sorted(order) and "Not seen: the policy on actions" in text
        assert "ruleset main: not in this plan" in text
        assert "mlops github apply" in text

        # The one workflow with an action of others fails before its first job.
        (scorecard,) = world.schedule("scorecard")
        assert "ossf/scorecard-action" in scorecard.log

        hub.state.repository["has_issues"] = True
        (settings,) = world.dispatch("settings")
        assert settings.jobs == {"settings": "success"}, settings.log
        assert SWITCHES["Issues"].effect not in settings.summary

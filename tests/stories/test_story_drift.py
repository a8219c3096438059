"""Drift: one issue, retraining that helps or is refused, and the end of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.conftest import rows_of
from rehearsal.stories.world import PullRequest, World
from stories.outcomes import (
    BORN,
    CHECKED,
    COMMENTED,
    DELIVERED,
    WATCHED,
    answer,
    by_start,
    gate_refuses,
    in_stage,
    is_whole,
    mlops,
    ran,
    trailers,
)
from stories.worlds import MODEL, ROWS_FILE


def halved(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose tenure somebody upstream counts in pairs of months."""
    return rows.assign(tenure=rows["tenure"] // 2)


def served(world: World, rows: pd.DataFrame, days_ago: float) -> None:
    """Let the version in production answer these rows on a day, and log them."""
    path = world.root / "asked.csv"
    rows.drop(columns="churn").to_csv(path, index=False)
    ref = f"{MODEL}@production"
    mlops(
        world, "predict", ref, str(path), "--out", str(path) + ".out", days_ago=days_ago
    )


def arrived(world: World, rows: pd.DataFrame) -> None:
    """Let another system replace the rows; that starts nothing."""

    def edit(root: Path) -> None:
        rows.to_csv(root / ROWS_FILE, index=False)

    assert world.push(edit, "Rows of this month [skip ci]") == []


def checks(world: World) -> list[tuple[str, bool]]:
    """Return version and answer of every check that the journal keeps, sorted."""
    return sorted(
        (check["version"], check["alarm"]) for check in world.journal("monitor")
    )


@pytest.fixture(name="drifting")
def drifting_fixture(story: World) -> World:
    """Return a world whose version in production is asked about other people."""
    state = {"name": "MLOPS_STATE", "value": str(story.root / "state")}
    story.api("POST", "/actions/variables", state)
    served(story, halved(rows_of(n=400, seed=7)), days_ago=3)
    return story


@pytest.mark.slow
def test_drift_leads_to_a_new_version_in_production_and_the_issue_is_closed(
    drifting: World,
) -> None:
    story = drifting
    arrived(story, halved(rows_of(n=1_500, seed=9)))

    watch, release = story.schedule("monitor")
    assert (watch.workflow, watch.jobs) == ("monitor", WATCHED), watch.log
    (issue,) = story.issues()
    assert "tenure has drifted" in issue["body"]
    assert (release.workflow, release.event.name) == ("release", "repository_dispatch")
    assert release.event.payload["client_payload"] == {"model": MODEL}
    assert release.jobs == DELIVERED, release.log
    assert story.tags() == [
        *BORN,
        "churn@v1.0.1",
        "churn#staging#3",
        "churn#production#4",
    ]
    assert trailers(story, "churn@v1.0.1")["Reason"] == "patch: only the data changed"
    is_whole(story, "v1.0.0", "v1.0.1")
    assert story.deployments()[-2:] == [
        ("staging", "success"),
        ("production", "success"),
    ]
    assert [r["outcome"] for r in by_start(story)] == ["promote", "promote"]
    assert answer(story)["version"] == "v1.0.1"

    served(story, halved(rows_of(n=400, seed=8)), days_ago=0.1)
    (watch,) = story.dispatch("monitor", since="7d")
    assert watch.jobs == WATCHED, watch.log
    assert story.issues() == []
    (closed,) = story.issues("closed")
    assert closed["number"] == issue["number"]
    (said,) = story.comments(issue["number"])
    assert "It is over." in said and "churn@&#8203;v1.0.1" in said
    assert checks(story) == [("v1.0.0", True), ("v1.0.1", False)]
    assert len(story.runner.runs) == 3


@pytest.mark.slow
def test_one_issue_over_three_checks_says_that_the_gate_refused_until_it_is_over(
    drifting: World,
) -> None:
    story = drifting
    rows = rows_of(n=1_500, seed=9)
    mixed_up = np.random.default_rng(0).permutation(rows["churn"])
    arrived(
        story, rows.assign(churn=mixed_up)
    )  # labels of other people: nothing can be learned

    watch, release = story.schedule("monitor")
    assert watch.jobs == WATCHED, watch.log
    (issue,) = story.issues()
    assert issue["title"] == "churn: data drift detected"
    assert issue["labels"] == ["model-alarm", "owner: @acme"]
    assert "with an alarm: 1. Retraining was asked for at the first." in issue["body"]
    assert f"/actions/runs/{watch.id}" in issue["body"]
    assert (release.event.name, release.jobs) == (
        "repository_dispatch",
        gate_refuses(MODEL),
    )
    (refusal,) = story.comments(issue["number"])
    assert "The version in production stays." in refusal
    assert "Do not replace the model in production (v1.0.0)." in refusal
    assert "not shown to beat a constant" in refusal
    assert "A loss of up to 0.010 is accepted here." in refusal
    assert f"/actions/runs/{release.id}" in refusal
    assert [r["outcome"] for r in by_start(story)] == ["promote", "reject"]

    for count in (
        2,
        3,
    ):  # it lasts: the same issue, nothing started, nothing said again
        (watch,) = story.dispatch("monitor", since="7d")
        assert watch.jobs == WATCHED
        (same,) = story.issues()
        assert (
            same["number"] == issue["number"]
            and f"with an alarm: {count}." in same["body"]
        )
        assert story.comments(issue["number"]) == [refusal]

    served(story, rows_of(n=400, seed=8), days_ago=0.1)  # upstream is fixed
    (watch,) = story.dispatch("monitor", since="1d")
    assert watch.jobs == WATCHED
    assert story.issues() == []
    (closed,) = story.issues("closed")
    assert closed["number"] == issue["number"]
    _, said = story.comments(issue["number"])
    assert "It is over." in said and "nothing reached the alarm level" in said
    assert story.tags() == BORN and in_stage(story, "production") == "v1.0.0"
    assert set(checks(story)) == {("v1.0.0", True), ("v1.0.0", False)}
    is_whole(story, "v1.0.0")


def proposes(root: Path) -> None:
    """Let an alarm propose a retraining instead of asking for it."""
    path = root / "models" / MODEL / "model.yaml"
    path.write_text(f"{path.read_text()}\nmonitor: {{on_alarm: propose}}\n")


@pytest.mark.slow
def test_a_retraining_that_is_proposed_has_its_verdict_before_it_is_released(
    drifting: World,
) -> None:
    story = drifting
    rows = halved(rows_of(n=1_500, seed=9))

    def edit(root: Path) -> None:
        rows.to_csv(root / ROWS_FILE, index=False)
        proposes(root)

    assert story.push(edit, "Rows of this month, and a rule [skip ci]") == []
    story.runner.secrets["UPDATE_TOKEN"] = story.hub.tokens.issue(
        {"contents": "write", "pull-requests": "write"}, actor="acme", kind="user"
    )
    runs = story.schedule("monitor")
    assert ran(runs) == [
        ("monitor", {**WATCHED, "propose": "success"}),
        ("pull-request", CHECKED),
        ("comment", COMMENTED),
    ], runs[0].log
    (issue,) = story.issues()
    assert "Retraining was proposed by a pull request" in issue["body"]
    (link,) = story.comments(issue["number"])
    assert "proposes it" in link
    (number,) = story.hub.state.pulls
    assert f"/pull/{number}" in link
    (verdict,) = story.comments(number)
    assert "v1.0.0" in verdict
    assert story.tags() == BORN, "nothing is released by itself"

    pull = PullRequest(number, f"retrain-{MODEL}", "acme", False)
    (release,) = story.merge(pull)
    assert release.jobs == DELIVERED, release.log
    assert trailers(story, "churn@v1.0.1")["Reason"] == "patch: only the data changed"
    assert in_stage(story, "production") == "v1.0.1"


@pytest.mark.slow
def test_without_a_token_the_issue_says_how_the_pull_request_is_opened(
    drifting: World,
) -> None:
    story = drifting
    assert story.push(proposes, "A rule [skip ci]") == []
    (watch,) = story.schedule("monitor")
    assert watch.jobs == {**WATCHED, "propose": "success"}, watch.log
    (issue,) = story.issues()
    (how,) = story.comments(issue["number"])
    assert "UPDATE_TOKEN" in how and f"models/{MODEL}/retraining.yaml" in how
    (again,) = story.dispatch("monitor", since="7d")
    assert again.jobs == WATCHED, "it is proposed once"
    assert story.comments(issue["number"]) == [how]

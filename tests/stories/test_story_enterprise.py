"""Elsewhere than on github.com: a server of one's own; private, on the free plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.stories.copies import copied
from rehearsal.stories.world import World
from stories.outcomes import (
    BORN,
    CHECKED,
    COMMENTED,
    DELIVERED,
    answer,
    by_start,
    decides,
    in_stage,
    is_whole,
    ran,
    refused_to_strangers_and_authors,
    the_comment,
    trailers,
)
from stories.worlds import BETTER, approvers, looking_at

NOT_ATTESTED = "not attested: GitHub does not sign here; the chain of digests holds"


@pytest.fixture(name="enterprise")
def enterprise_fixture(released: World, tmp_path: Path) -> Iterator[World]:
    """Return the world on a GitHub Enterprise Server, with its addresses."""
    with copied(released, tmp_path / "enterprise", enterprise_server=True) as world:
        yield world


@pytest.fixture(name="private")
def private_fixture(released: World, tmp_path: Path) -> Iterator[World]:
    """Return the world as a private repository on the free plan."""
    with copied(released, tmp_path / "private", private=True, plan="free") as world:
        yield world


@pytest.mark.slow
def test_a_server_of_ones_own_with_its_addresses(enterprise: World) -> None:
    story = enterprise
    assert story.hub.api_url.endswith("/api/v3")
    pull = story.open_pull_request("plan", looking_at(BETTER), "Look at the plan")
    assert ran(pull.runs) == [("pull-request", CHECKED), ("comment", COMMENTED)]
    assert f"]({story.hub.server_url}/acme/demo/actions/runs/" in the_comment(
        story, pull
    )

    attested = len(story.hub.state.attestations)
    (release,) = story.merge(pull)
    assert ran([release]) == [("release", DELIVERED)], release.log
    assert NOT_ATTESTED in release.log and "not attested" in release.summary
    assert len(story.hub.state.attestations) == attested
    assert story.tags() == [
        *BORN,
        "churn@v1.1.0",
        "churn#staging#3",
        "churn#production#4",
    ]
    is_whole(story, "v1.0.0", "v1.1.0")
    assert by_start(story)[-1]["run_url"].startswith(
        f"{story.hub.server_url}/acme/demo/"
    )
    assert answer(story)["version"] == "v1.1.0"
    asked = [one for one in story.hub.exchanges if one.job]
    refused = [(one.status, one.template) for one in asked if one.status >= 400]
    there_yet = (
        404,
        "/repos/{owner}/{repo}/releases/tags/{tag}",
    )  # asked before it is published
    assert asked and set(refused) <= {there_yet}


@pytest.mark.slow
def test_a_private_repository_on_the_free_plan_says_what_it_does_instead(
    private: World,
) -> None:
    story = private
    carol = story.hub.view.user("carol")["id"]
    for method, path, rule in (
        (
            "PUT",
            "/environments/production",
            {"reviewers": [{"type": "User", "id": carol}]},
        ),
        ("POST", "/rulesets", {"name": "main", "enforcement": "active"}),
    ):
        with pytest.raises(RehearsalError, match=r"40[34]|422"):
            story.api(method, path, rule)

    attested = len(story.hub.state.attestations)
    (release,) = story.push(approvers, "New data, and approvers", actor="alice")
    assert ran([release]) == [("release", DELIVERED)], release.log
    assert NOT_ATTESTED in release.log and len(story.hub.state.attestations) == attested
    said = "waits: @alice, @carol may put it into production, by the workflow promote"
    assert said in release.summaries["production (churn)"]
    waiting = [*BORN, "churn@v1.0.1", "churn#staging#3"]
    assert story.tags() == waiting and in_stage(story, "production") == "v1.0.0"

    refused_to_strangers_and_authors(story)
    run = decides(story, "carol", version="staging")
    assert run.jobs == {"promote": "success"}, run.log
    assert trailers(story, "churn#production#4")["Approver"] == "@carol"
    assert answer(story)["version"] == "v1.0.1"
    is_whole(story, "v1.0.0", "v1.0.1")

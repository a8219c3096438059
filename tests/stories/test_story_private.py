"""A private repository on the free plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.stories.copies import copied
from rehearsal.stories.world import World
from stories.outcomes import (
    BORN,
    DELIVERED,
    answer,
    decides,
    in_stage,
    is_whole,
    ran,
    refused_to_strangers_and_authors,
    trailers,
)
from stories.worlds import approvers

NOT_ATTESTED = "not attested: GitHub does not sign here; the chain of digests holds"


@pytest.fixture(name="private")
def private_fixture(released: World, tmp_path: Path) -> Iterator[World]:
    """Return the world as a private repository on the free plan."""
    with copied(released, tmp_path / "private", private=True, plan="free") as world:
        yield world


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
    assert said in release.summaries["production (churn) / promote"]
    waiting = [*BORN, "churn@v1.0.1", "churn#staging#3"]
    assert story.tags() == waiting and in_stage(story, "production") == "v1.0.0"

    refused_to_strangers_and_authors(story)
    run = decides(story, "carol", version="staging")
    assert run.jobs == {"promote": "success"}, run.log
    assert trailers(story, "churn#production#4")["Approver"] == "@carol"
    assert answer(story)["version"] == "v1.0.1"
    is_whole(story, "v1.0.0", "v1.0.1")

"""A model with a validation part: pull requests look at it, the merge asks the test."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from rehearsal.stories.world import World
from stories.outcomes import BORN, CHECKED, COMMENTED, DELIVERED, ran, the_comment
from stories.worlds import BETTER, SPEC, looking_at


def with_validation(root: Path) -> None:
    """Split a validation part off; the model may not lose more than a little by it.

    Production learned from the rows of the new part, which favours it there.
    """
    path = root / SPEC
    yaml = YAML(pure=True)
    spec = yaml.load(path)
    spec["split"]["validation"] = 0.25
    spec["gate"] = {"rule": "non-inferiority", "margin": 0.03}
    yaml.dump(spec, path)
    looking_at(BETTER)(root)


def test_the_test_part_is_asked_once_at_the_merge(story: World) -> None:
    pull = story.open_pull_request("third", with_validation, "Validation and test")
    assert ran(pull.runs) == [("pull-request", CHECKED), ("comment", COMMENTED)]
    comment = the_comment(story, pull)
    assert "validation rows" in comment
    assert "The test part has not been asked" in comment
    assert "which favours it" in comment
    assert story.journal("questions") == []

    (release,) = story.merge(pull)
    assert ran([release]) == [("release", DELIVERED)]
    assert story.tags() == [
        *BORN,
        "churn@v1.1.0",
        "churn#staging#3",
        "churn#production#4",
    ]
    (question,) = story.journal("questions")
    assert question["model"] == "churn"
    assert question["champion"] == "v1.0.0"
    assert question["passed"] is True
    # Not to lose is no question that spends: the anchor bounds it.
    assert (question["number"], question["alpha"]) == (0, 0)
    assert question["run_url"].endswith(str(release.id))

"""A run that somebody runs again: what expired, who asks, what was decided since."""

from __future__ import annotations

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.runner.run import Run
from rehearsal.stories.world import World, newest
from stories.outcomes import (
    BORN,
    CHECKED,
    DELIVERED,
    decides,
    delivered,
    in_stage,
    is_whole,
    the_comment,
    trailers,
)
from stories.worlds import BETTER, MODEL, approvers, arrivals, looking_at

NOT_REGISTERED = {
    **delivered(MODEL, register="failure"),
    "staging": "skipped",
    "smoke": "skipped",
    "production": "skipped",
}
for gone in ("staging", "smoke", "production"):
    NOT_REGISTERED = {
        name: result
        for name, result in NOT_REGISTERED.items()
        if not name.startswith(f"{gone} (")
    }
AFTER = [*BORN, "churn@v1.0.1", "churn#staging#3", "churn#production#4"]


def unregistered(story: World) -> Run:
    """Push new data while GitHub takes no release; return the run that failed."""
    story.hub.faults.add("POST", "*/releases", 500, times=99)
    run = newest(story.push(arrivals), "release")
    story.hub.faults.clear()
    assert run.jobs == NOT_REGISTERED, run.log
    assert story.tags() == BORN
    return run


@pytest.mark.slow
def test_what_failed_to_be_registered_is_delivered_without_training_it_again(
    story: World,
) -> None:
    run = unregistered(story)
    again = story.rerun(run, actor="bob")[0]
    assert again.jobs == DELIVERED, again.log
    assert "train (churn) |" not in again.log and "mlops plan" not in again.log
    assert story.tags() == AFTER
    is_whole(story, "v1.0.0", "v1.0.1")
    assert len(story.journal()) == 2


@pytest.mark.slow
def test_a_build_that_has_expired_is_missed_and_all_jobs_deliver_it(
    story: World,
) -> None:
    """The download by a pattern is green; nothing to register would be, too."""
    run = unregistered(story)
    story.hub.expire_artifacts(run.id)
    again = story.rerun(run)[0]
    assert again.jobs == NOT_REGISTERED, again.log
    assert "artifacts have expired" in again.log
    assert "start all jobs of the run again" in again.log
    assert story.tags() == BORN
    whole = story.rerun(again, every=True)[0]
    assert whole.jobs == DELIVERED, whole.log
    assert story.tags() == AFTER and whole.attempt == 3


@pytest.mark.slow
def test_whoever_runs_a_decision_again_decides_and_not_who_started_it(
    story: World,
) -> None:
    """The run keeps its first actor; `staging` may hold another version by now."""
    story.push(approvers)
    assert in_stage(story, "production") == "v1.0.0"
    story.hub.faults.add("GET", "*/releases/tags/*", 500, times=99)
    run = decides(story, "carol", version="staging")
    assert run.conclusion == "failure" and "GitHub answered 500" in run.log
    story.hub.faults.clear()
    before = story.tags()
    (by_mallory,) = [one for one in story.rerun(run, "mallory") if one.id == run.id]
    assert by_mallory.conclusion == "failure"
    assert "this person may not approve for production" in by_mallory.log
    assert story.tags() == before
    by_carol = story.rerun(by_mallory, "carol")[0]
    assert by_carol.conclusion == "success", by_carol.log
    assert in_stage(story, "production") == "v1.0.1"
    assert trailers(story, story.tags()[-1])["Approver"] == "@carol"


@pytest.mark.slow
def test_an_old_release_that_runs_again_puts_back_nothing_that_was_taken_out(
    story: World,
) -> None:
    run = newest(story.push(arrivals), "release")
    assert run.jobs == DELIVERED, run.log
    decides(story, "alice", decision="rollback")
    assert in_stage(story, "production") == "v1.0.0"
    before = story.tags()
    # act ends a run whose called workflow has failed, and so the rehearsal says which.
    with pytest.raises(RehearsalError, match=r"production \(churn\) .* has failed"):
        story.rerun(run, every=True)
    assert in_stage(story, "production") == "v1.0.0"
    assert story.tags() == before


@pytest.mark.slow
def test_a_check_that_runs_again_edits_its_comment(story: World) -> None:
    story.hub.faults.add("GET", "*/releases/tags/*", 500, times=99)
    pull = story.open_pull_request("better", looking_at(BETTER))
    run = pull.last("pull-request")
    assert run.jobs[f"model ({MODEL})"] == run.jobs["verdict"] == "failure", run.log
    story.hub.faults.clear()
    again, comment = story.rerun(run)
    assert again.jobs == CHECKED, again.log
    assert comment.workflow == "comment" and comment.conclusion == "success"
    assert "## ✅" in the_comment(story, pull)


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, True])
def test_a_page_whose_publishing_failed_is_published_when_it_runs_again(
    story: World, every: bool
) -> None:
    """The page of the first attempt is still among the artifacts of the run."""
    story.runner.disabled.discard("pages")
    story.api("POST", "/pages", {"build_type": "workflow"})
    story.hub.faults.add("POST", "*/pages/deployments", 503)
    (run,) = story.dispatch("pages")
    assert run.jobs == {"build": "success", "deploy": "failure"}, run.log
    for attempt in (2, 3):
        run = story.rerun(run, every=every or attempt == 3)[0]
        assert run.jobs == {"build": "success", "deploy": "success"}, run.log
        assert story.deployments()[-1] == ("github-pages", "success")

"""Two at once: merges that meet, a push during a run, an old run again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rehearsal.stories.world import Edit, World
from stories.outcomes import (
    BORN,
    COMMENTED,
    DELIVERED,
    checked,
    in_stage,
    is_whole,
    ran,
    trailers,
)
from stories.worlds import BETTER, arrivals, looking_at


def opened(world: World, branch: str, edit: Edit) -> int:
    """Open a pull request, without its checks; other stories tell those."""
    world.git("fetch", "--quiet", "origin")
    world.git("checkout", "--quiet", "--force", "-B", branch, "origin/main")
    world.change(edit, branch)
    world.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    asked = {"title": branch, "head": branch, "base": "main"}
    number = int(world.api("POST", "/pulls", asked)["number"])
    world.hub.events.take()
    return number


def merge(world: World, number: int) -> None:
    """Merge a pull request, and wait for nothing."""
    world.api("PUT", f"/pulls/{number}/merge", {"merge_method": "squash"}, "bob")


@contextmanager
def meanwhile(world: World, job: str, act: Callable[[], None]) -> Iterator[None]:
    """Do something as soon as a job asks the hub for the first time."""
    over, before = threading.Event(), len(world.hub.exchanges)

    def watch() -> None:
        while not over.wait(0.02):
            if any(one.job.endswith(f"/{job}") for one in world.hub.exchanges[before:]):
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_two_merges_before_the_first_release_has_begun_are_both_in_one_version(
    story: World,
) -> None:
    data, code = (
        opened(story, "data", arrivals),
        opened(story, "plan", looking_at(BETTER)),
    )
    merge(story, data)
    merge(story, code)
    first, second = runs = story.settle()
    assert ran(runs) == [("release", DELIVERED)] * 2, (
        first.log + second.log
    )  # none was cancelled
    assert "churn@v1.1.0 is registered" in first.log
    assert "churn@v1.1.0 was registered already" in second.log
    assert story.tags() == [
        *BORN,
        "churn@v1.1.0",
        "churn#staging#3",
        "churn#production#4",
    ]
    is_whole(story, "v1.0.0", "v1.1.0")
    release = story.runner.trees.git("rev-parse", "churn@v1.1.0^{commit}^")
    assert release == story.runner.trees.git("rev-parse", "main"), (
        "it is of the tip: of both"
    )
    assert len(story.journal()) == 3


@pytest.mark.slow
def test_a_merge_during_a_release_waits_and_no_older_run_overwrites_a_newer_version(
    story: World,
) -> None:
    data, code = (
        opened(story, "data", arrivals),
        opened(story, "plan", looking_at(BETTER)),
    )
    merge(story, data)
    with meanwhile(story, "train", lambda: merge(story, code)):
        first, second = runs = story.settle()
    assert ran(runs) == [("release", DELIVERED)] * 2, first.log + second.log
    assert "v1.0.1 is now in production" in first.summary
    assert "v1.1.0 is now in production" in second.summary
    after = [*BORN, "churn@v1.0.1", "churn#staging#3", "churn#production#4"]
    after += ["churn@v1.1.0", "churn#staging#5", "churn#production#6"]
    assert story.tags() == after
    assert trailers(story, "churn@v1.0.1")["Reason"] == "patch: only the data changed"
    assert trailers(story, "churn@v1.1.0")["Reason"].startswith("minor: code")
    is_whole(story, "v1.0.0", "v1.0.1", "v1.1.0")

    (again,) = story.settle(first.event)  # somebody presses "re-run" on the older one
    assert again.jobs == DELIVERED, again.log
    assert "churn@v1.1.0 was registered already" in again.log
    assert story.tags() == after and in_stage(story, "production") == "v1.1.0"


def test_pushing_again_cancels_the_older_run_and_only_the_newer_one_speaks(
    story: World,
) -> None:
    opened(story, "words", {"README.md": "Words.\n"})
    for text in ("More words.\n", "Better words.\n"):
        story.change({"README.md": text}, text)
        story.git("push", "--quiet", "origin", "HEAD:refs/heads/words")
    old, new, silent, comment = story.settle()
    assert (old.workflow, old.conclusion) == ("pull-request", "cancelled")
    assert set(old.jobs.values()) == {"cancelled"}
    assert ran([new]) == [("pull-request", checked(code="skipped"))]
    assert new.event.payload["pull_request"]["head"]["sha"] == story.git(
        "rev-parse", "HEAD"
    )
    assert ran([silent, comment]) == [
        ("comment", {"comment": "skipped"}),
        ("comment", COMMENTED),
    ]

"""When GitHub fails: asked again, waited for, or said clearly; never half a state."""

from __future__ import annotations

import time

import pytest

from mlops.errors import UsageError, WorldError
from mlops.github.client import approved_by, ask, repository
from mlops.github.comment import post

from .github_world import GitHub, github_fixture  # noqa: F401


@pytest.mark.parametrize("answer", [500, 502, 503, 429, "lost"])
@pytest.mark.parametrize("obeyed", [False, True])
def test_a_failure_that_passes(github: GitHub, answer: int | str, obeyed: bool) -> None:
    github.fail("POST issues/7/comments", answer, obeyed)
    post(repository(), 7, "hello")
    assert len(github.comments) == 1


@pytest.mark.parametrize("status", [500, 429])
def test_a_failure_that_stays_is_said(github: GitHub, status: int) -> None:
    github.fail(".*", status, times=99)
    with pytest.raises(WorldError, match=f"GitHub answered {status} when asked to comment on #7"):
        post(repository(), 7, "hello")
    assert len(github.requests) == 4


def test_a_no_is_not_asked_again(github: GitHub) -> None:
    github.fail("GET .*", 403, times=9)
    with pytest.raises(WorldError, match="permissions"):
        post(repository(), 7, "hello")
    assert len(github.requests) == 1


def test_a_rate_limit_is_waited_for(github: GitHub) -> None:
    github.fail("GET .*", 403, retry_after="0")
    soon = str(int(time.time()) - 5)
    github.fail("POST .*", 403, x_ratelimit_remaining="0", x_ratelimit_reset=soon)
    began = time.monotonic()
    post(repository(), 7, "hello")
    assert len(github.comments) == 1 and time.monotonic() - began < 2


def test_a_long_rate_limit_is_left_to_the_next_run(github: GitHub) -> None:
    later = str(int(time.time()) + 3000)
    github.fail("GET .*", 403, x_ratelimit_remaining="0", x_ratelimit_reset=later)
    with pytest.raises(WorldError, match="403"):
        post(repository(), 7, "hello")
    assert len(github.requests) == 1


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, github: GitHub) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    with pytest.raises(WorldError, match="GitHub did not answer when asked to look"):
        ask("look", lambda: list(repository().get_releases()))


def test_a_name_that_is_no_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/demo/../other")
    with pytest.raises(UsageError, match="GITHUB_REPOSITORY"):
        repository()


def test_who_approved(github: GitHub) -> None:
    assert approved_by(repository(), "production") is None
    review = {"environments": [{"name": "production"}], "user": {"login": "ben"}}
    github.approvals = [{**review, "state": "rejected"}, {**review, "state": "approved"}]
    assert approved_by(repository(), "staging") is None
    assert approved_by(repository(), "production") == "@ben"

"""When GitHub fails: asked again, waited for, or said clearly; never half a state."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from github import GithubException
from typer.testing import CliRunner

from mlops.cli.context import release_store
from mlops.cli.main import app
from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, Refused, UsageError
from mlops.github.client import approved_by, ask, current_repository, repository
from mlops.github.comment import post

from .conftest import git
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
    with pytest.raises(
        EnvironmentFailure,
        match=f"GitHub answered {status} when asked to comment on #7",
    ):
        post(repository(), 7, "hello")
    assert len(github.requests) == 4


def test_a_no_is_not_asked_again(github: GitHub) -> None:
    github.fail("GET .*", 403, times=9)
    with pytest.raises(EnvironmentFailure, match="permissions"):
        post(repository(), 7, "hello")
    assert len(github.requests) == 1


def test_a_rate_limit_is_waited_for(github: GitHub) -> None:
    github.fail("GET .*", 403, retry_after="0")
    soon = str(int(time.time()) - 5)
    github.fail("POST .*", 403, x_ratelimit_remaining="0", x_ratelimit_reset=soon)
    began = time.monotonic()
    post(repository(), 7, "hello")
    assert len(github.comments) == 1 and time.monotonic() - began < 20


SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes"


@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_is_waited_for_by_the_minute(status: int) -> None:
    """GitHub often sends no Retry-After, and counts what comes too early as well."""
    waits: list[float] = []
    answers = iter([status, status, 0])

    def action() -> str:
        answer = next(answers)
        if answer:
            raise GithubException(answer, {"message": SECONDARY}, {})
        return "done"

    assert ask("comment", action, waits.append) == "done"
    assert waits == [60, 120]


def test_a_wait_that_github_names_is_kept_to(github: GitHub) -> None:
    waits: list[float] = []
    answers = iter([403, 0])

    def action() -> str:
        answer = next(answers)
        if answer:
            raise GithubException(answer, {"message": SECONDARY}, {"retry-after": "90"})
        return "done"

    assert ask("comment", action, waits.append) == "done"
    assert waits == [90]


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "Mon, 30 Nov 2026 17:00:00 GMT"},  # of a proxy in between
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"},
        {"x-ratelimit-remaining": "0"},
    ],
)
def test_a_wait_that_is_no_number_is_a_minute(headers: dict[str, str]) -> None:
    waits: list[float] = []
    answers = iter([429, 0])

    def action() -> str:
        answer = next(answers)
        if answer:
            raise GithubException(answer, {"message": SECONDARY}, headers)
        return "done"

    assert ask("comment", action, waits.append) == "done"
    assert waits == [60]


def test_a_limit_that_stays_is_no_matter_of_permissions() -> None:
    def action() -> None:
        raise GithubException(403, {"message": SECONDARY}, {})

    with pytest.raises(EnvironmentFailure) as failure:
        ask("comment", action, lambda seconds: None)
    assert "run it again in an hour" in str(failure.value)
    assert "permissions" not in str(failure.value)


def test_a_long_rate_limit_is_left_to_the_next_run(github: GitHub) -> None:
    later = str(int(time.time()) + 3000)
    github.fail("GET .*", 403, x_ratelimit_remaining="0", x_ratelimit_reset=later)
    with pytest.raises(EnvironmentFailure, match="403"):
        post(repository(), 7, "hello")
    assert len(github.requests) == 1


def test_a_server_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, github: GitHub
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    with pytest.raises(
        EnvironmentFailure, match="GitHub did not answer when asked to look"
    ):
        ask("look", lambda: list(repository().get_releases()))


def test_a_name_that_is_no_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/demo/../other")
    with pytest.raises(UsageError, match="GITHUB_REPOSITORY"):
        repository()


def test_who_approved(github: GitHub) -> None:
    assert approved_by(repository(), "production") is None
    review = {"environments": [{"name": "production"}], "user": {"login": "ben"}}
    github.approvals = [
        {**review, "state": "rejected"},
        {**review, "state": "approved"},
    ]
    assert approved_by(repository(), "staging") is None
    assert approved_by(repository(), "production") == "@ben"


def test_of_several_approvals_the_right_one_is_named_or_none(github: GitHub) -> None:
    """A re-run is approved anew, and GitHub lists the reviews of every attempt."""

    def review(login: str, place: str = "production", state: str = "approved") -> Any:
        return {
            "environments": [{"name": place}],
            "user": {"login": login},
            "state": state,
        }

    github.approvals = [review("ben"), review("ben")]
    assert approved_by(repository(), "production") == "@ben"
    github.approvals += [review("ana", "staging"), review("carl", state="rejected")]
    assert approved_by(repository(), "production") == "@ben"
    assert approved_by(repository(), "staging") == "@ana"
    github.approvals.append(review("carl"))
    with pytest.raises(Refused, match="several people approved this run") as caught:
        approved_by(repository(), "production")
    assert "@ben, @carl" in str(caught.value)
    assert "start promote.yml" in str(caught.value)


# -- whose repository, whose token -----------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("https://github.com/acme/demo.git", "acme/demo"),
        ("https://github.com/acme/demo", "acme/demo"),
        ("git@github.com:acme/demo.git", "acme/demo"),
        ("ssh://git@github.com/acme/demo.v2.git", "acme/demo.v2"),
        ("https://gitlab.com/acme/demo.git", ""),
        ("https://github.com.evil.example/acme/demo.git", ""),
        ("/srv/git/demo.git", ""),
        (None, ""),
    ],
)
def test_origin_says_where_releases_lie(
    make_project: Callable[..., Project], origin: str | None, name: str
) -> None:
    project = make_project()
    if origin:
        git(project.root, "remote", "add", "origin", origin)
    assert current_repository(project.root) == name
    store = str(release_store(project))
    assert store == (f"the releases of {name}" if name else str(project.store))


def test_a_github_with_data_residency_is_origin_too(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    git(project.root, "remote", "add", "origin", "git@acme.ghe.com:ml/demo.git")
    assert current_repository(project.root) == ""
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://acme.ghe.com")
    assert current_repository(project.root) == "ml/demo"


def test_a_server_of_ones_own_is_refused_before_anything_is_asked_of_it(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", f"{github.url}/api/v3")
    with pytest.raises(UsageError, match="Enterprise Server is not supported"):
        repository()
    assert not github.requests
    monkeypatch.setenv("GITHUB_API_URL", "https://api.acme.ghe.com")
    assert repository().full_name == "acme/demo"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["doctor"], 1),
        (["pages", "--out", "site"], 2),
        (["promote", "churn@v1.0.0", "staging"], 2),
    ],
)
@pytest.mark.parametrize("api", ["https://git.acme.org/api/v3", ""])
def test_a_command_in_a_clone_from_a_server_of_ones_own_says_that_it_is_not_supported(
    command: list[str],
    code: int,
    api: str,
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_project()
    git(project.root, "remote", "add", "origin", "git@git.acme.org:ml/demo.git")
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.acme.org")
    monkeypatch.setenv("GITHUB_API_URL", api)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == code, done.output
    assert "Enterprise Server is not supported" in " ".join(done.output.split())
    assert "defect of mlops" not in done.output


@pytest.mark.parametrize("server", ["https://acme.ghe.com", "https://git.acme.org"])
def test_the_token_of_another_github_is_not_shown_to_github_com(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/demo")
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-other")
    monkeypatch.setenv("GITHUB_SERVER_URL", server)
    monkeypatch.delenv("GITHUB_API_URL", raising=False)
    with pytest.raises(UsageError, match="whose API would see its token") as refused:
        repository()
    assert "https://api.NAME.ghe.com" in str(refused.value)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com/")
    assert repository().full_name == "acme/demo"


def test_the_token_of_gh_is_the_last_that_is_tried(
    github: GitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gh = tmp_path / "gh"
    gh.write_text(
        '#!/bin/sh\n[ "$*" = "auth token --hostname github.com" ] && echo gho_mine\n'
    )
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def token() -> str | None:
        auth = repository().requester.auth
        return auth.token if auth else None

    monkeypatch.setenv("SETTINGS_TOKEN", "github_pat_admin")
    assert repository("SETTINGS_TOKEN").requester.auth.token == "github_pat_admin"
    assert token() == "ghs_test"
    monkeypatch.delenv("GITHUB_TOKEN")
    assert token() == "gho_mine"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert token() is None
    monkeypatch.delenv("GITHUB_ACTIONS")
    gh.write_text("#!/bin/sh\nexit 1\n")
    assert token() is None, "nobody is logged in"

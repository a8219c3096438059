"""The client of GitHub's API."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops import settings
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.git import GitError, git

if TYPE_CHECKING:
    from github.Repository import Repository


Answer = TypeVar("Answer")

NAME = re.compile(r"[\w-]+/[\w.-]+")

BOT = "Bot"  # the type of user that GITHUB_TOKEN acts as

ATTEMPTS, _PATIENCE = 4, 60  # seconds; what takes longer is for the next run

_ADVICE = {
    401: "set GITHUB_TOKEN to a token that is valid, or `gh auth login`",
    403: "give this job's `permissions:` what the request needs; here, `gh auth login`",
    404: "look at the name; who may not see it gets this answer too: GITHUB_TOKEN, `gh auth login`",
}


def repository(secret: str = "", name: str = "") -> Repository:
    """Return a repository, without asking for anything yet.

    By default it is that of GITHUB_REPOSITORY, else that of git's origin. The token is that of the
    variable `secret` where it has one, else that of GITHUB_TOKEN, else gh's.
    """
    from github import Auth, Github

    now = settings.current()
    name = name or here(now.folder)
    token = (secret and now.secret(secret)) or now.secret("GITHUB_TOKEN") or _of_gh()
    if not NAME.fullmatch(name):
        do = "push this to GitHub, or set GITHUB_REPOSITORY to OWNER/NAME"
        raise UsageError(
            "neither GITHUB_REPOSITORY nor origin is on GitHub", found=name, do=do
        )
    return Github(
        base_url=now.github.api,
        auth=Auth.Token(token) if token else None,
        timeout=round(now.http_timeout) or 1,
        retry=None,  # `ask` does it
        seconds_between_requests=None,
        seconds_between_writes=None,
        per_page=100,
        lazy=True,
    ).get_repo(name)


def here(root: Path) -> str:
    """Return OWNER/NAME of a repository: GITHUB_REPOSITORY, or origin; empty if not on GitHub."""
    if name := settings.current().github.repository:
        return name
    try:
        url = git(root, "remote", "get-url", "origin")
    except GitError:
        return ""
    host = re.escape(server().split("://")[-1])
    found = re.fullmatch(
        rf"(?:https?://|ssh://git@|git@){host}[/:](.+?)(?:\.git)?/?", url
    )
    return found[1] if found else ""


def _of_gh() -> str | None:
    """Return the token of whoever works here, where GitHub's own command line knows one."""
    gh = None if settings.current().github.active else shutil.which("gh")
    if not gh:
        return None
    asked = [gh, "auth", "token", "--hostname", server().split("://")[-1]]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def server() -> str:
    """Return the address of GitHub for people and git."""
    return settings.current().github.server


def login(token: str) -> dict[str, str]:
    """Return what lets git come with a token; in the environment it is in no list of processes."""
    at = settings.current().git_config_count
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": str(at + 1),
        f"GIT_CONFIG_KEY_{at}": f"http.{server()}/.extraheader",
        f"GIT_CONFIG_VALUE_{at}": f"AUTHORIZATION: basic {secret}",
    }


@contextmanager
def logged_in() -> Iterator[None]:
    """Let git read private repositories with GITHUB_TOKEN, where it is set.

    The token is in git's environment: in no list of processes, written to no file.
    """
    now = settings.current()
    token = now.secret("GITHUB_TOKEN")
    if not token:
        yield
        return
    with settings.changed(environment={**now.environment, **login(token)}):
        yield


def address(name: str) -> str:
    """Return where git finds a repository."""
    return f"{server()}/{name}.git"


def ask(what: str, action: Callable[[], Answer]) -> Answer:
    """Do an action, and again where GitHub fails, is too busy or does not answer; else WorldError.

    An answer that got lost may have been a yes. So an action that creates something looks first
    whether it is there, and is repeated as a whole.
    """
    from github import GithubException
    from requests import RequestException

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (GithubException, RequestException) as error:
            answer: Any = (
                error if isinstance(error, GithubException) else error.response
            )
            status = int(
                getattr(answer, "status", 0) or getattr(answer, "status_code", 0)
            )
            wait = _wait(status, getattr(answer, "headers", None) or {}, attempt)
            if attempt < ATTEMPTS and wait is not None and wait <= _PATIENCE:
                time.sleep(wait)
                continue
            said = f"answered {status}" if status else "did not answer"
            raise EnvironmentFailure(
                f"GitHub {said} when asked to {what}",
                found=" ".join(str(error).split())[:300],
                do=_ADVICE.get(status, "run it again: what is done is not done twice"),
            ) from error
    raise AssertionError("the last attempt returns or raises")


def pause(attempt: int) -> float:
    """Return how many seconds to wait after an attempt."""
    return settings.current().retry_seconds * 2.0 ** (attempt - 1)


def _wait(status: int, headers: Mapping[str, str], attempt: int) -> float | None:
    """Return how many seconds to wait before another attempt; None where it would be in vain."""
    if status in (403, 429):
        if "retry-after" in headers:
            return float(headers["retry-after"])
        if headers.get("x-ratelimit-remaining") == "0":
            return max(
                float(headers.get("x-ratelimit-reset", 0)) - time.time() + 1,
                pause(attempt),
            )
    return pause(attempt) if status in (0, 429) or status >= 500 else None


def approved_by(repository: Repository, environment: str) -> str | None:
    """Return who approved this run's deployment to an environment, None where nobody was asked."""
    url = f"{repository.url}/actions/runs/{settings.current().github.run_id or '0'}/approvals"
    get = repository.requester.requestJsonAndCheck
    _, reviews = ask("say who approved this run", lambda: get("GET", url))
    for review in reviews or []:
        named = {place["name"] for place in review["environments"]}
        if review["state"] == "approved" and environment in named:
            return f"@{review['user']['login']}"
    return None

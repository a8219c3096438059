"""The client of GitHub's API."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops import settings
from mlops.errors import EnvironmentFailure, Refused, UsageError, listed
from mlops.github.switches import SWITCHES
from mlops.io.git import (
    PATIENCE_SECONDS,
    UNARCHIVE,
    GitError,
    archived,
    git,
    log,
)

if TYPE_CHECKING:
    from github.Repository import Repository


Answer = TypeVar("Answer")

NAME = re.compile(r"[\w-]+/[\w.-]+")

MERGE_QUEUE = "@github-merge-queue[bot]"  # pushes what it merges

BOT = "Bot"  # the type of user that GITHUB_TOKEN acts as

ATTEMPTS = 4

_PATIENCE = 60  # seconds; what takes longer is for the next run

# Where GitHub says that it is asked too much, it wants a minute at the least.
_THROTTLED_PATIENCE = 900  # seconds
_THROTTLED_FACTOR = 60

_THROTTLED_ADVICE = (
    "GitHub limits how much is asked of it in a minute and in an hour: run it again "
    "in an hour; nothing is done twice"
)

_ADVICE = {
    401: "set GITHUB_TOKEN to a token that is valid, or `gh auth login`",
    403: "give this job's `permissions:` what the request needs; here, `gh auth login`",
    404: "look at the name; without the right to see it: GITHUB_TOKEN, `gh auth login`",
    410: f"{SWITCHES['Issues'].remedy} and run it again",
}


class Gone(EnvironmentFailure):
    """GitHub answered 410: what was asked for is switched off in this repository."""


def repository(secret: str = "", name: str = "") -> Repository:
    """Return a repository, without asking for anything yet.

    By default it is that of GITHUB_REPOSITORY, else that of git's origin. The token is
    that of the variable `secret` where it has one, else that of GITHUB_TOKEN, else
    gh's.
    """
    from github import Auth

    from mlops.github.redirects import client

    now = settings.current()
    name = name or current_repository(now.folder)
    token = (secret and now.secret(secret)) or now.secret("GITHUB_TOKEN") or _of_gh()
    if not NAME.fullmatch(name):
        raise UsageError(
            "neither GITHUB_REPOSITORY nor origin is on GitHub",
            found=name,
            do="push this to GitHub, or set GITHUB_REPOSITORY to OWNER/NAME",
        )
    if now.github.is_mixed:
        raise UsageError(
            "GITHUB_SERVER_URL is not github.com, whose API would see its token",
            key="GITHUB_API_URL",
            found=now.github.api,
            allowed="for https://NAME.ghe.com: https://api.NAME.ghe.com; GitHub "
            "Enterprise Server is not supported",
            do="set both of them, or neither",
        )
    if now.github.api.rstrip("/").endswith("/api/v3"):
        raise UsageError(
            "GitHub Enterprise Server is not supported: it has neither the artifacts "
            "nor the queues that the workflows need",
            key="GITHUB_API_URL",
            found=now.github.api,
            allowed="github.com, or GitHub Enterprise Cloud (ghe.com too)",
            do="keep this repository there",
        )
    return client(
        base_url=now.github.api,
        auth=Auth.Token(token) if token else None,
        timeout=round(now.http_timeout) or 1,
        retry=None,  # `ask` does that
        seconds_between_requests=None,
        seconds_between_writes=None,
        per_page=100,
        lazy=True,
    ).get_repo(name)


def require_present_name(repository: Repository) -> None:
    """Refuse to write by a former name of the repository.

    GitHub answers such a request with 307, which PyGithub takes for a success: nothing
    would be written, and nobody would know. A job has the present name.

    Raises
    ------
    UsageError
        With the present name.
    """
    if settings.current().github.repository:
        return
    get = repository.requester.requestJsonAndCheck
    _, about = ask("look up the repository", lambda: get("GET", repository.url))
    name = str(about["full_name"])
    if not same_repository(repository, name):
        switch = SWITCHES["name"]
        raise UsageError(switch.effect, key="origin", allowed=name, do=switch.remedy)


def same_repository(repository: Repository, name: str) -> bool:
    """Return whether OWNER/NAME is what a repository is asked for by."""
    return repository.url.lower().endswith(f"/repos/{name}".lower())


def current_repository(root: Path) -> str:
    """Return OWNER/NAME of a repository: GITHUB_REPOSITORY, or origin.

    Empty if not on GitHub.
    """
    name = settings.current().github.repository
    if name:
        return name
    try:
        url = git(root, "remote", "get-url", "origin")
    except GitError:
        return ""
    host = re.escape(server().split("://")[-1])
    form = rf"(?:https?://|ssh://git@|git@){host}[/:](.+?)(?:\.git)?/?"
    match = re.fullmatch(form, url)
    return match[1] if match else ""


def _of_gh() -> str | None:
    """Return the token of whoever works here.

    Where GitHub's own command line knows one.
    """
    now = settings.current()
    gh = None if now.github.active else shutil.which("gh")
    if not gh:
        return None
    command = [gh, "auth", "token", "--hostname", server().split("://")[-1]]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=now.http_timeout,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() or None


def server() -> str:
    """Return the address of GitHub for people and git."""
    return settings.current().github.server


def login(token: str) -> dict[str, str]:
    """Return what lets git come with a token.

    In the environment it is in no list of processes.
    """
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


def ask(
    request: str,
    action: Callable[[], Answer],
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Do an action, and again where GitHub fails, is too busy or does not answer.

    An answer that got lost may have been a yes. So an action that creates something
    looks first whether it is there, and is repeated as a whole. No attempt begins when
    a minute has passed; a quarter of an hour, where GitHub says that it is asked too
    much.

    Raises
    ------
    EnvironmentFailure
        When the last attempt fails too, or another one would be in vain. `Gone` where
        GitHub answers that it is switched off.
    """
    import tenacity
    from github import GithubException
    from requests import RequestException

    def worthwhile(error: BaseException) -> bool:
        return isinstance(error, GithubException | RequestException) and (
            _seconds_to_wait(error, 1) is not None
        )

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return _seconds_to_wait(error, state.attempt_number) or 0.0

    def stop(state: tenacity.RetryCallState) -> bool:
        if state.attempt_number >= ATTEMPTS:
            return True
        error = state.outcome.exception() if state.outcome else None
        limit = _THROTTLED_PATIENCE if _throttled(error) else _PATIENCE
        return (state.seconds_since_start or 0.0) + state.upcoming_sleep >= limit

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(worthwhile),
        stop=stop,
        wait=wait,
        sleep=sleep,
        reraise=True,
    )
    try:
        with _announced(request):
            return retrying(action)
    except (GithubException, RequestException) as error:
        status, _ = _status_and_headers(error)
        answered = f"answered {status}" if status else "did not answer"
        failure = Gone if status == 410 else EnvironmentFailure
        raise failure(
            f"GitHub {answered} when asked to {request}",
            found=" ".join(str(error).split())[:300],
            do=_advice(error, status),
        ) from error


def _advice(error: BaseException, status: int) -> str:
    if _throttled(error):
        return _THROTTLED_ADVICE
    if archived(str(error)):
        return UNARCHIVE
    if not status:
        return "look at the network, and run it again: nothing is done twice"
    return _ADVICE.get(status, "run it again: nothing is done twice")


@contextmanager
def _announced(request: str) -> Iterator[None]:
    """Say what is being waited for, where it takes more than two seconds."""
    text = f"waiting for GitHub, which was asked to {request} …"
    timer = threading.Timer(PATIENCE_SECONDS, log.warning, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def pause(attempt: int) -> float:
    """Return how many seconds to wait after an attempt."""
    return settings.current().retry_seconds * 2.0 ** (attempt - 1)


def _status_and_headers(error: BaseException | None) -> tuple[int, Mapping[str, str]]:
    """Return status and headers of the answer that an error is.

    0 where there was none.
    """
    response: Any = getattr(error, "response", None)
    if response is None:
        response = error
    status = getattr(response, "status", 0) or getattr(response, "status_code", 0)
    return int(status or 0), getattr(response, "headers", None) or {}


def _throttled(error: BaseException | None) -> bool:
    """Return whether GitHub says that it is asked too much.

    There are two limits: the requests of an hour, and a secondary one for bursts and
    for what creates something. It is often told by the message alone.

    See https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    status, headers = _status_and_headers(error)
    if status == 429:
        return True
    if status != 403:
        return False
    exhausted = headers.get("x-ratelimit-remaining") == "0"
    text = f"{error} {getattr(getattr(error, 'response', None), 'text', '')}".lower()
    return exhausted or "retry-after" in headers or "rate limit" in text


def _seconds_to_wait(error: BaseException | None, attempt: int) -> float | None:
    """Return how many seconds to wait before another attempt.

    None where it would be in vain. Where GitHub is asked too much and does not say
    when it will answer again, a minute, and twice as long each time.
    """
    status, headers = _status_and_headers(error)
    if _throttled(error):
        after = _seconds(headers.get("retry-after", ""))
        if after is not None:
            return after
        reset = _seconds(headers.get("x-ratelimit-reset", ""))
        if headers.get("x-ratelimit-remaining") == "0" and reset is not None:
            return max(reset - time.time() + 1, pause(attempt))
        return _THROTTLED_FACTOR * pause(attempt)
    if status == 0 or status >= 500:
        return pause(attempt)
    return None


def _seconds(text: str) -> float | None:
    """Return the number of a header; None where a proxy has written a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return None


def approved_by(repository: Repository, environment: str) -> str | None:
    """Return who approved this run's deployment to an environment.

    None where nobody was asked. GitHub lists the reviews of all attempts of a run, with
    neither an attempt nor a time, so that of two people nobody can say which one
    approved this attempt.

    Raises
    ------
    Refused
        When several people approved.
    """
    run = settings.current().github.run_id or "0"
    url = f"{repository.url}/actions/runs/{run}/approvals"
    get = repository.requester.requestJsonAndCheck
    _, reviews = ask("say who approved this run", lambda: get("GET", url))
    people = []
    for review in reviews or []:
        environments = {entry["name"] for entry in review["environments"]}
        if review["state"] == "approved" and environment in environments:
            people.append(f"@{review['user']['login']}")
    who = list(dict.fromkeys(people))
    if len(who) > 1:
        raise Refused(
            "several people approved this run, and GitHub does not say which of them "
            "approved this attempt",
            key=environment,
            found=listed(who),
            do="start promote.yml, whose run one of them approves",
        )
    return who[0] if who else None


def author_of(repository: Repository, commit: str) -> str | None:
    """Return the author of the pull request that a commit is the merge of.

    None where it is the merge of none. The authors that commits name are not asked:
    anybody can write any name into a commit.
    """
    pull = _merged_as(repository, commit)
    return f"@{pull['user']['login']}" if pull else None


def pull_request_of(repository: Repository, commit: str) -> int | None:
    """Return the number of the pull request that a commit is the merge of, or None."""
    pull = _merged_as(repository, commit)
    return int(pull["number"]) if pull else None


def _merged_as(repository: Repository, commit: str) -> dict[str, Any] | None:
    """Return the pull request that a commit is the merge of, as GitHub has it."""
    url = f"{repository.url}/commits/{commit}/pulls"
    get = repository.requester.requestJsonAndCheck
    _, pulls = ask("say whose change this is", lambda: get("GET", url))
    for pull in pulls or []:
        if pull["merged_at"] and pull["merge_commit_sha"] == commit:
            found: dict[str, Any] = pull
            return found
    return None

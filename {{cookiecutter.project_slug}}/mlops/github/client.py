"""GitHub: the one client of its API, and its releases as a release store."""

from __future__ import annotations

import base64
import builtins
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops import Refused, UsageError, WorldError
from mlops.files import GitError, git, sha256_file

if TYPE_CHECKING:
    from github.GitRelease import GitRelease
    from github.GitReleaseAsset import GitReleaseAsset
    from github.Repository import Repository
    from requests import Response

Answer = TypeVar("Answer")
NAME = re.compile(r"[\w-]+/[\w.-]+")
BOT = "Bot"  # the type of user that GITHUB_TOKEN acts as
TIMEOUT = int(os.environ.get("MLOPS_HTTP_TIMEOUT") or 30)  # seconds without an answer
ATTEMPTS, _PATIENCE = 4, 60  # seconds; what takes longer is for the next run
LIMIT = 2**31  # bytes of an asset
_NO_REST = 416
_RELEASE = re.compile(r"v\d+\.\d+\.\d+|draft-[0-9a-f]{64}")
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

    name = name or here(Path.cwd())
    token = os.environ.get(secret) or os.environ.get("GITHUB_TOKEN") or _of_gh()
    if not NAME.fullmatch(name):
        do = "push this to GitHub, or set GITHUB_REPOSITORY to OWNER/NAME"
        raise UsageError("neither GITHUB_REPOSITORY nor origin is on GitHub", found=name, do=do)
    return Github(
        base_url=os.environ.get("GITHUB_API_URL") or "https://api.github.com",
        auth=Auth.Token(token) if token else None,
        timeout=TIMEOUT,
        retry=None,  # `ask` does it
        seconds_between_requests=None,
        seconds_between_writes=None,
        per_page=100,
        lazy=True,
    ).get_repo(name)


def here(root: Path) -> str:
    """Return OWNER/NAME of a repository: GITHUB_REPOSITORY, or origin; empty if not on GitHub."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return name
    try:
        url = git(root, "remote", "get-url", "origin")
    except GitError:
        return ""
    host = re.escape(server().split("://")[-1])
    found = re.fullmatch(rf"(?:https?://|ssh://git@|git@){host}[/:](.+?)(?:\.git)?/?", url)
    return found[1] if found else ""


def _of_gh() -> str | None:
    """Return the token of whoever works here, where GitHub's own command line knows one."""
    gh = None if os.environ.get("GITHUB_ACTIONS") else shutil.which("gh")
    if not gh:
        return None
    asked = [gh, "auth", "token", "--hostname", server().split("://")[-1]]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def server() -> str:
    """Return the address of GitHub for people and git."""
    return os.environ.get("GITHUB_SERVER_URL") or "https://github.com"


def login(token: str) -> dict[str, str]:
    """Return what lets git come with a token; in the environment it is in no list of processes."""
    at = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": str(at + 1),
        f"GIT_CONFIG_KEY_{at}": f"http.{server()}/.extraheader",
        f"GIT_CONFIG_VALUE_{at}": f"AUTHORIZATION: basic {secret}",
    }


def address(name: str) -> str:
    """Return where git finds a repository, and let this process's git come with GITHUB_TOKEN.

    In the environment it is in no list of processes and written to no file.
    """
    if token := os.environ.get("GITHUB_TOKEN"):
        os.environ.update(login(token))
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
            answer: Any = error if isinstance(error, GithubException) else error.response
            status = int(getattr(answer, "status", 0) or getattr(answer, "status_code", 0))
            wait = _wait(status, getattr(answer, "headers", None) or {}, attempt)
            if attempt < ATTEMPTS and wait is not None and wait <= _PATIENCE:
                time.sleep(wait)
                continue
            said = f"answered {status}" if status else "did not answer"
            raise WorldError(
                f"GitHub {said} when asked to {what}",
                found=" ".join(str(error).split())[:300],
                do=_ADVICE.get(status, "run it again: what is done is not done twice"),
            ) from error
    raise AssertionError("the last attempt returns or raises")


def pause(attempt: int) -> float:
    """Return how many seconds to wait after an attempt."""
    return float(os.environ.get("MLOPS_RETRY_SECONDS") or 1) * 2.0 ** (attempt - 1)


def _wait(status: int, headers: Mapping[str, str], attempt: int) -> float | None:
    """Return how many seconds to wait before another attempt; None where it would be in vain."""
    if status in (403, 429):
        if "retry-after" in headers:
            return float(headers["retry-after"])
        if headers.get("x-ratelimit-remaining") == "0":
            return max(float(headers.get("x-ratelimit-reset", 0)) - time.time() + 1, pause(attempt))
    return pause(attempt) if status in (0, 429) or status >= 500 else None


def approved_by(repository: Repository, environment: str) -> str | None:
    """Return who approved this run's deployment to an environment, None where nobody was asked."""
    url = f"{repository.url}/actions/runs/{os.environ.get('GITHUB_RUN_ID', '0')}/approvals"
    get = repository.requester.requestJsonAndCheck
    _, reviews = ask("say who approved this run", lambda: get("GET", url))
    for review in reviews or []:
        named = {place["name"] for place in review["environments"]}
        if review["state"] == "approved" and environment in named:
            return f"@{review['user']['login']}"
    return None


class GitHubStore:
    """A `ReleaseStore`: a release hangs on the tag of its version, ``MODEL@v1.2.0``.

    A draft names a tag that nobody pushes, ``MODEL@draft-DIGEST``; only who may push sees it.
    GitHub lists a release some time after it was made, so what was made or found is remembered.
    Assets go up and down in pieces, so that memory does not grow with the model.
    """

    far = True

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._held: dict[str, dict[str, GitReleaseAsset]] = {}  # by tag and name
        self._drafts: dict[str, GitRelease] = {}  # by tag

    def __str__(self) -> str:
        return f"the releases of {self._repository.full_name}"

    def draft(self, model: str, digest: str) -> None:
        """Create a draft release."""
        tag = f"{model}@draft-{digest}"
        create = self._repository.create_git_release

        def act() -> GitRelease:
            found = self._find(tag)
            return found[0] if found else create(tag, tag, digest, draft=True)

        self._drafts[tag] = ask(f"draft {tag}", act)

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Upload a file, unless the draft holds the same bytes under this name already."""
        if source.stat().st_size >= LIMIT:
            raise Refused("GitHub takes no file of 2 GiB or more", file=str(source))
        tag = f"{model}@draft-{digest}"
        wanted = ("uploaded", f"sha256:{sha256_file(source)}")

        def act() -> GitReleaseAsset:
            release = self._draft(tag, asset)
            for there in release.get_assets():
                if there.name == asset:
                    if (there.state, there.digest) == wanted:
                        return there
                    there.delete_asset()
            kind = "application/octet-stream"
            return release.upload_asset(str(source), name=asset, content_type=kind)

        self._held.setdefault(tag, {})[asset] = ask(f"upload {asset} to {tag}", act)

    def publish(self, model: str, digest: str, version: str) -> None:
        """Publish the draft under the version's tag, which is there already."""
        tag, draft = f"{model}@{version}", f"{model}@draft-{digest}"

        def act() -> None:
            if there := self._find(tag):  # by an attempt whose answer got lost, or by others
                self._delete(draft, but=there[0].id)
                return
            text = f"Fetch and verify it: `mlops pull {tag}`\n\nManifest: `{digest}`"
            release = self._draft(draft, "a draft")
            release.update_release(tag, text, draft=False, tag_name=tag)

        ask(f"publish {tag}", act)
        self._forget(draft)

    def discard(self, model: str, digest: str) -> None:
        """Delete the draft."""
        self.remove(model, f"draft-{digest}")

    def remove(self, model: str, release: str) -> None:
        """Delete a release; its tag stays."""
        tag = f"{model}@{release}"
        ask(f"delete {tag}", lambda: self._delete(tag))
        self._forget(tag)

    def read(self, model: str, release: str, asset: str, start: int = 0) -> Iterator[bytes]:
        """Download an asset; where the answer breaks off, ask for the rest."""
        from requests import RequestException

        tag = f"{model}@{release}"
        url, at, broken = self._look(tag, asset).url, start, 0
        while True:
            answer = ask(f"download {asset} of {tag}", lambda: self._get(url, at))  # noqa: B023
            # A host that takes no range sends all of it again.
            skip = at if answer.status_code == 200 else 0
            try:
                with answer:
                    some = answer.status_code != _NO_REST  # whether it is all, the digest says
                    for piece in answer.iter_content(1 << 20) if some else ():
                        rest, skip = piece[skip:], max(skip - len(piece), 0)
                        if rest:
                            at, broken = at + len(rest), 0
                            yield rest
                return
            except RequestException as error:
                broken += 1
                if broken == ATTEMPTS:
                    what = f"the download of {asset} of {tag} breaks off, again and again"
                    do = "run it again: it goes on where it was"
                    raise WorldError(what, found=str(error)[:300], do=do) from error

    def digest(self, model: str, release: str, asset: str) -> str | None:
        """Return what GitHub reckoned when the asset was uploaded."""
        method, _, digest = (self._look(f"{model}@{release}", asset).digest or "").partition(":")
        return digest if method == "sha256" else None

    def list(self, model: str) -> builtins.list[str]:
        """Return all releases of a model; drafts only where the token may push."""
        tags = ask("list releases", lambda: [r.tag_name for r in self._repository.get_releases()])
        names = {tag.removeprefix(f"{model}@") for tag in tags if tag.startswith(f"{model}@")}
        return sorted(name for name in names if _RELEASE.fullmatch(name))

    def _look(self, tag: str, asset: str) -> GitReleaseAsset:
        """Return what GitHub says of an asset; one question for all of a release."""

        def act() -> dict[str, GitReleaseAsset]:
            return {a.name: a for found in self._find(tag) for a in found.get_assets()}

        if asset not in self._held.get(tag, {}):
            self._held[tag] = ask(f"look into {tag}", act)
        if asset not in self._held[tag]:
            raise self._missing(tag, asset)
        return self._held[tag][asset]

    def _draft(self, tag: str, asset: str) -> GitRelease:
        """Return a draft; what is not listed may only not be listed yet."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(pause(attempt))
            if found := self._find(tag):
                self._drafts[tag] = found[0]
                return found[0]
        raise self._missing(tag, asset)

    def _delete(self, tag: str, but: int = 0) -> None:
        """Delete the releases of a tag but one; what is gone may still be listed."""
        from github import UnknownObjectException

        for found in self._find(tag):
            with suppress(UnknownObjectException):
                if found.id != but:
                    found.delete_release()

    def _forget(self, tag: str) -> None:
        self._held.pop(tag, None)
        self._drafts.pop(tag, None)

    def _find(self, tag: str) -> builtins.list[GitRelease]:
        """Return the releases of a tag: one or none, or twins where a creation was repeated."""
        from github import UnknownObjectException

        if tag in self._drafts:
            return [self._drafts[tag]]
        if "@draft-" in tag:  # GitHub finds only what is published by its tag
            return [r for r in self._repository.get_releases() if r.draft and r.tag_name == tag]
        try:
            return [self._repository.get_release(tag)]
        except UnknownObjectException:
            return []

    def _missing(self, tag: str, asset: str) -> Refused:
        what = "the release store does not hold this file"
        do = "look at the releases on GitHub; those of a private repository take GITHUB_TOKEN, "
        do += "or `gh auth login`; where it is gone, register the version again"
        return Refused(what, file=str(self), found=f"{tag} {asset}", do=do)

    def _get(self, url: str, start: int) -> Response:
        """Return the answer to a download; requests keeps the token from hosts it is sent on to."""
        import requests

        auth: Any = self._repository.requester.auth
        headers = {"Authorization": f"Bearer {auth.token}"} if auth else {}
        headers |= {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        if answer.status_code != _NO_REST:
            answer.raise_for_status()
        return answer

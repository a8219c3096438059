"""People and jobs in the hub's tests: a token, a work tree, three kinds of client."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from github import Auth, Github
from github.Repository import Repository

from rehearsal.hub import Hub

WORKFLOW = """\
name: Promote
on:
  workflow_dispatch:
    inputs:
      version: { required: true, type: string }
      stage: { type: choice, options: [staging, production], default: staging }
jobs: { go: { runs-on: ubuntu-latest, steps: [{ run: echo }] } }
"""


class Desk:
    """A person or job with a token, a work tree and a client."""

    def __init__(self, hub: Hub, folder: Path, token: str) -> None:
        self.hub, self.folder, self.token = hub, folder, token

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Ask without any library's help: status, JSON, headers."""
        data = None if body is None else json.dumps(body).encode()
        shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        head = {"Content-Type": "application/json", **shown}
        head |= {name.replace("_", "-"): value for name, value in headers.items()}
        where = f"{self.hub.api_url}/repos/{self.hub.repository}{path}"
        request = urllib.request.Request(where, data, head, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                content = answer.read()
                return (
                    answer.status,
                    json.loads(content or b"null"),
                    dict(answer.headers),
                )
        except urllib.error.HTTPError as error:
            content = error.read()
            seen = json.loads(content) if content[:1] in (b"{", b"[") else content
            return error.code, seen, dict(error.headers)

    def git(self, *arguments: str, check: bool = True) -> str:
        """Run git in the work tree with the token."""
        done = git(self.folder, *arguments, token=self.token)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip() if check else done.stderr

    def commit(self, name: str, content: str = "x\n") -> str:
        """Commit a file; return the commit."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", f"Write {name}")
        return self.git("rev-parse", "HEAD")

    def repository(self, per_page: int = 30) -> Repository:
        """Return the repository by PyGithub, which retries nothing here."""
        auth = Auth.Token(self.token)
        client = Github(
            auth=auth,
            base_url=self.hub.api_url,
            retry=None,
            per_page=per_page,
            timeout=20,
            seconds_between_requests=None,
            seconds_between_writes=None,
        )
        return client.get_repo(self.hub.repository)


def git(
    folder: Path, *arguments: str, token: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run git under nobody's settings."""
    header = ["-c", f"http.extraHeader=Authorization: Bearer {token}"] if token else []
    who = {
        f"GIT_{r}_{k}": "ada"
        for r in ("AUTHOR", "COMMITTER")
        for k in ("NAME", "EMAIL")
    }
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_TERMINAL_PROMPT": "0",
        **who,
    }
    command = ["git", *header, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )


def started(hub: Hub, folder: Path) -> Desk:
    """Return alice, who has pushed a first commit."""
    token = hub.tokens.issue("write-all", actor="alice", kind="user")
    folder.mkdir()
    desk = Desk(hub, folder, token)
    desk.git("init", "--quiet", "--initial-branch=main")
    desk.git("remote", "add", "origin", f"{hub.server_url}/{hub.repository}.git")
    desk.commit("README.md")
    desk.commit(".github/workflows/promote.yml", WORKFLOW)
    desk.git("push", "--quiet", "origin", "main")
    return desk


def job(hub: Hub, desk: Desk, *, fork: bool = False, **permissions: str) -> Desk:
    """Return a job's desk: same work tree, a token with these permissions."""
    named = {name.replace("_", "-"): level for name, level in permissions.items()}
    return held(hub, desk, named, fork)


def held(
    hub: Hub, desk: Desk, permissions: Mapping[str, str], fork: bool = False
) -> Desk:
    """Return a job's desk: same work tree, permissions by GitHub's own names."""
    token = hub.tokens.issue(permissions, actor="alice", fork=fork)
    return Desk(hub, desk.folder, token)


def opened(
    desk: Desk, branch: str = "better", file: str = "models/churn/features.py"
) -> int:
    """Push a branch and open a pull request; return its number."""
    desk.git("checkout", "--quiet", "-B", branch, "main")
    desk.commit(file)
    desk.git("push", "--quiet", "origin", branch)
    asked = {"title": f"Add {file}", "head": branch, "base": "main"}
    status, pull, _ = desk.ask("POST", "/pulls", asked)
    assert status == 201, pull
    return int(pull["number"])

"""The hub's git: bare repositories, what GitHub refuses to take, git over HTTP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.hub.messages import Reply, Request

ZERO = "0" * 40
# What is refused is decided in the hub, but for what only the pushed objects can show.
_HOOK = """#!/bin/sh
if [ -n "$HUB_REFUSED" ]; then echo "$HUB_REFUSED" >&2; exit 1; fi
updates=$(cat)
while read -r old new ref; do
  case " $HUB_FORWARD_ONLY " in *" $ref "*) ;; *) continue ;; esac
  case "$old" in *[!0]*) ;; *) continue ;; esac
  case "$new" in *[!0]*) ;; *) continue ;; esac
  git merge-base --is-ancestor "$old" "$new" && continue
  echo "GH013: Repository rule violations found for $ref." \\
    "Cannot force-push to this branch" >&2
  exit 1
done <<END
$updates
END
[ "$HUB_WORKFLOWS" = no ] || exit 0
known=$(git for-each-ref --format='%(refname)' refs/heads | while read -r branch; do
  git ls-tree -r "$branch" -- .github/workflows
done)
while read -r old new ref; do
  case "$new" in *[!0]*) ;; *) continue ;; esac
  # Of whatever is pushed, a tag to an old commit too: each file has to be as it is at
  # the tip of some branch.
  file=$(git ls-tree -r "$new" -- .github/workflows | grep -vxF "$known" |
    head -n 1 | cut -f 2)
  [ -z "$file" ] && continue
  echo "refusing to allow a GitHub App to create or update workflow \\`$file\\`" \\
    "without \\`workflows\\` permission" >&2
  exit 1
done <<END
$updates
END
"""


class GitError(Exception):
    """Git refused."""


@dataclass(frozen=True)
class Update:
    """A ref that moved; ``ZERO`` for one that was or is not there."""

    ref: str
    old: str
    new: str


class Bare:
    """A bare repository.

    Parameters
    ----------
    path : Path
        Made with an empty branch ``main`` when nothing is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.mkdir(parents=True)
            self.run("init", "--quiet", "--bare", "--initial-branch=main")
        self.run("config", "http.receivepack", "true")
        self.run("config", "uploadpack.allowAnySHA1InWant", "true")
        hook = path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK, encoding="utf-8")
        hook.chmod(0o755)

    def run(
        self, *arguments: str, given: str | None = None, actor: str = "GitHub"
    ) -> str:
        """Return what a git command says.

        Raises
        ------
        GitError
            When it fails.
        """
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=_environment(actor),
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        if done.returncode:
            raise GitError(done.stderr.strip() or done.stdout.strip())
        return done.stdout.rstrip("\n")

    def raw(self, *arguments: str) -> bytes:
        """Return the bytes that a git command writes."""
        return subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=_environment("GitHub"),
            capture_output=True,
            check=True,
        ).stdout

    def refs(self) -> dict[str, str]:
        """Return every ref and the object that it points to."""
        rows = self.run("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(row.rsplit(" ", 1) for row in rows.splitlines())

    def resolve(self, name: str, kind: str = "commit") -> str | None:
        """Return the object of that kind that a name stands for."""
        try:
            verify = ("rev-parse", "--verify", "--quiet", "--end-of-options")
            return self.run(*verify, f"{name}^{{{kind}}}")
        except GitError:
            return None

    def update(self, ref: str, new: str, old: str | None = None) -> None:
        """Move, make or (to ``ZERO``) remove a ref, if it still is ``old``."""
        self.run("update-ref", ref, new, *([] if old is None else [old]))

    def changed(self, old: str, new: str, options: str = "--name-only") -> list[str]:
        """Return the files that differ; all of ``new`` if ``old`` is ``ZERO``."""
        base = old
        if old == ZERO:
            base = self.run("hash-object", "-t", "tree", "-w", "/dev/null")
        quiet = ("-c", "core.quotePath=false")
        found = self.run(*quiet, "diff", "--no-renames", "-z", options, base, new)
        return [part for part in found.split("\0") if part]

    def common(self, one: str, other: str) -> str:
        """Return where two histories part; ``ZERO`` if they share nothing."""
        try:
            return self.run("merge-base", one, other)
        except GitError:
            return ZERO

    def merge(
        self, base: str, head: str, message: str, actor: str, squash: bool = False
    ) -> str | None:
        """Return the commit that merges two; None when they conflict."""
        try:
            tree = self.run("merge-tree", "--write-tree", base, head).splitlines()[0]
        except GitError:
            return None
        parents = ["-p", base] if squash else ["-p", base, "-p", head]
        return self.run("commit-tree", tree, *parents, given=message, actor=actor)


def _environment(actor: str) -> dict[str, str]:
    """Return variables under which the machine's own git settings have no say."""
    email = f"{actor}@users.noreply.github.com"
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": actor,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_COMMITTER_NAME": actor,
        "GIT_COMMITTER_EMAIL": email,
    }


def commands(body: bytes) -> list[Update]:
    """Return the updates that a push asks for, from the first lines of its request.

    Parameters
    ----------
    body : bytes
        Lines of git's protocol: four hexadecimal digits are the length of each.
    """
    found: list[Update] = []
    at = 0
    while True:
        length = int(body[at : at + 4] or b"0", 16)
        if not length:
            return found
        content = body[at + 4 : at + length].split(b"\0")[0]
        line = content.decode(errors="replace").strip()
        at += length
        if not line.startswith(("shallow ", "push-cert")):
            old, new, ref = line.split(" ", 2)
            found.append(Update(ref, old, new))


def http_backend(
    bare: Bare,
    request: Request,
    tail: str,
    variables: Mapping[str, str] | None = None,
) -> Reply:
    """Return git's own answer to a request of git's protocol.

    Parameters
    ----------
    bare : Bare
    request : Request
    tail : str
        The path below the repository, such as ``/info/refs``.
    variables : mapping, optional
        For the hook.
    """
    environment = {
        **_environment("GitHub"),
        **(variables or {}),
        "GIT_PROJECT_ROOT": str(bare.path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{bare.path.name}{tail}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
    done = subprocess.run(
        ["git", "http-backend"],
        env=environment,
        input=request.body,
        capture_output=True,
        check=False,
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(": ")
        if colon:
            headers[name] = value
    status = headers.pop("Status", "200 OK")
    return Reply(int(status.split()[0]), content, headers)

"""Who calls the hub: which token, and which job of which run."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.event import TokenKind
from rehearsal.hub.permissions import LEVELS, OF_JOBS, OF_OTHERS, checked, of_a_job

_PROC = Path("/proc")
_PREFIX = {"GITHUB_TOKEN": "ghs_", "app": "ghs_", "user": "ghp_"}


@dataclass(frozen=True)
class Token:
    """A token and what it may do; a job's also depends on the job that uses it."""

    text: str
    actor: str
    kind: TokenKind
    permissions: Mapping[str, str] = field(hash=False)
    shared: bool = False


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may.

    Parameters
    ----------
    login : str
        As GitHub shows it: the token of a job acts as ``github-actions[bot]``.
    kind : {"user", "app", "GITHUB_TOKEN"}
    permissions : mapping
    job : str
        ``RUN/JOB``, or nothing when it is no job.
    token : str
        Empty for those who show none.
    """

    login: str
    kind: TokenKind
    permissions: Mapping[str, str] = field(hash=False)
    job: str = ""
    token: str = ""


class Tokens:
    """Every token that the hub takes."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def issue(
        self,
        permissions: Mapping[str, str] | str | None,
        actor: str = "alice",
        fork: bool = False,
        kind: TokenKind = "GITHUB_TOKEN",
    ) -> str:
        """Return a new token with these permissions and no others.

        Parameters
        ----------
        permissions : dict or {"read-all", "write-all"}
            A job's can only hold what ``permissions:`` knows; with "write-all" it is
            the one that act gives to all jobs, and may do what the job that shows it
            may.
        actor : str
            Whose it is; for a job, who started the run.
        fork : bool
            Made for a fork's pull request: nothing writes.
        kind : {"user", "app", "GITHUB_TOKEN"}

        Raises
        ------
        ValueError
            For a permission that does not exist or that such a token cannot have.
        """
        if kind == "GITHUB_TOKEN":
            granted = of_a_job(permissions, fork)
        elif permissions == "write-all":
            granted = {name: "write" for name in OF_OTHERS}
        elif isinstance(permissions, Mapping):
            granted = checked(permissions, OF_OTHERS, fork)
        else:
            raise ValueError(f"permissions: {permissions!r}")
        text = _PREFIX[kind] + _random(kind)
        shared = kind == "GITHUB_TOKEN" and permissions == "write-all"
        self._tokens[text] = Token(text, actor, kind, granted, shared)
        return text

    def actors(self) -> set[str]:
        """Return who has a token."""
        return {token.actor for token in self._tokens.values()}

    def find(self, text: str) -> Token | None:
        """Return a token by its text."""
        return self._tokens.get(text)


def _random(kind: TokenKind) -> str:
    """Return the rest of a token; of an App's, since 2026, it is a JWT and long."""
    if kind == "user":
        return secrets.token_hex(18)
    parts = [secrets.token_urlsafe(size) for size in (48, 240, 64)]
    return f"15368_{'.'.join(parts)}"


def shown_token(authorization: str) -> str:
    """Return the token of an Authorization header, in whichever way it is written."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def caller(
    token: Token | None, run: str, job: str, of_run: Mapping[str, str] | None
) -> Caller:
    """Return who calls.

    Parameters
    ----------
    token : Token or None
    run, job : str
        The registered run and job that the caller is part of; empty when it is none.
    of_run : mapping or None
        What that job's ``permissions:`` grant.
    """
    where = f"{run}/{job}" if run else ""
    if token is None:
        return Caller("", "user", {}, where)
    if token.kind != "GITHUB_TOKEN":
        login = f"{token.actor}[bot]" if token.kind == "app" else token.actor
        return Caller(login, token.kind, token.permissions, where, token.text)
    granted = {} if token.shared and of_run is None else token.permissions
    if of_run is not None:
        # One secret serves all jobs of a run in act; on GitHub each job has its own.
        granted = {
            name: min(
                granted.get(name, "none"),
                of_run.get(name, "none"),
                key=LEVELS.__getitem__,
            )
            for name in OF_JOBS
        }
    return Caller("github-actions[bot]", "GITHUB_TOKEN", granted, where, token.text)


def calling_environment(
    client_port: int, server_port: int, api_url: str
) -> dict[str, str]:
    """Return the variables of the job at the other end of a connection to this machine.

    Looks up the socket's owner and goes from it to its parents until one has
    GITHUB_RUN_ID and GITHUB_API_URL of this hub. Linux only: elsewhere, and for callers
    that are no jobs, empty.
    """
    inode = _inode(client_port, server_port)
    pid = _owner(inode) if inode else None
    while pid and pid != "1":
        variables = _environment(pid)
        if variables.get("GITHUB_API_URL") == api_url and "GITHUB_RUN_ID" in variables:
            return variables
        pid = _parent(pid)
    return {}


def _inode(client_port: int, server_port: int) -> str | None:
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, remote = fields[1].rpartition(":")[2], fields[2].rpartition(":")[2]
            if int(local, 16) == client_port and int(remote, 16) == server_port:
                return fields[9]
    return None


def _owner(inode: str) -> str | None:
    """Return the newest process that holds a socket."""
    target = f"socket:[{inode}]"
    for pid in sorted(
        (p.name for p in _PROC.iterdir() if p.name.isdigit()), key=int, reverse=True
    ):
        try:
            links = list((_PROC / pid / "fd").iterdir())
        except OSError:
            continue
        for link in links:
            try:
                if str(link.readlink()) == target:
                    return pid
            except OSError:
                continue
    return None


def _environment(pid: str) -> dict[str, str]:
    try:
        content = (_PROC / pid / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(p.split("=", 1) for p in content.split("\0") if "=" in p)


def _parent(pid: str) -> str | None:
    """Return the parent of a process, or the process that one on standby stands for."""
    try:
        name, _, asker = (_PROC / pid / "comm").read_text().strip().partition(" ")
        if name == "standby" and asker.isdigit():
            return asker
        # The command's name, in parentheses, may hold anything.
        return (_PROC / pid / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return None

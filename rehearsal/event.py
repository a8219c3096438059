"""What happened on GitHub, as the hub raises it and the router reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

# Who did it: a person, a GitHub App's own token, or the token of a job. The last
# one starts no workflow, except by workflow_dispatch and repository_dispatch.
TokenKind = Literal["user", "app", "GITHUB_TOKEN"]


@dataclass(frozen=True)
class Event:
    """One event, with the payload that a webhook would carry.

    Parameters
    ----------
    name : str
        As in ``on:`` (push, pull_request, repository_dispatch ...).
    payload : dict
        What becomes ``github.event``.
    ref : str
        Full name, as in GITHUB_REF.
    sha : str
        As in GITHUB_SHA: for pull requests the test merge commit.
    actor : str
    token_kind : {"user", "app", "GITHUB_TOKEN"}
    changed_files : tuple of str
        What ``paths:`` filters look at.
    """

    name: str
    payload: dict[str, Any] = field(default_factory=dict)
    ref: str = "refs/heads/main"
    sha: str = ""
    actor: str = "alice"
    token_kind: TokenKind = "user"
    changed_files: tuple[str, ...] = ()

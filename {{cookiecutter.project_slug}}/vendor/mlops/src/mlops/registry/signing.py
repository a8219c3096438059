"""Who it is that git signs for here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlops.config.approvers import same_person
from mlops.errors import UsageError, listed
from mlops.io.git import git
from mlops.io.ssh import public_key
from mlops.registry import branch
from mlops.registry.signatures import signer_lines


def signer(root: Path, path: str, approvers: Iterable[str]) -> str:
    """Return the approver whose key git's ``user.signingKey`` is.

    Parameters
    ----------
    path : str
        The file of allowed signers, as the trusted branch has it.
    approvers : iterable of str
        Handles, one of which is returned as it is spelled here.

    Raises
    ------
    UsageError
        Where the key cannot be found, or is none of theirs.
    """
    handles = list(approvers)
    configured = git(root, "config", "--default=", "--get", "user.signingKey")
    key = public_key(configured)
    tip = branch.tip(root)
    content = branch.read_signers(root, tip, path) if tip else None
    if content is None:
        raise UsageError(
            "the file of allowed signers is not on the default branch yet",
            file=path,
            do="merge it first, then `git fetch origin`",
        )
    names = [n for line in signer_lines(content) if line.key == key for n in line.names]
    for handle in handles:
        if key and any(same_person(name, handle) for name in names):
            return handle
    raise UsageError(
        "the key that git signs with belongs to no approver",
        file=path,
        key="user.signingKey",
        found=configured or "not set",
        allowed=f"a key of {listed(handles)}",
        do="`git config user.signingKey FILE.pub`, or say who you are with --approver",
    )


def without_key(content: bytes, approvers: Iterable[str]) -> list[str]:
    """Return the approvers to whom a file of allowed signers gives no key."""
    names = [name for line in signer_lines(content) for name in line.names]
    return [
        handle
        for handle in approvers
        if not any(same_person(name, handle) for name in names)
    ]

"""Tags written and fetched: annotated, pushed by compare-and-swap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from mlops.errors import EnvironmentFailure, Refused, listed
from mlops.io.git import (
    UNARCHIVE,
    GitError,
    archived,
    git,
    git_remote,
    has_remote,
)
from mlops.io.git_objects import Env, missing, one_line
from mlops.registry.approvals import POLICY
from mlops.registry.tags import Event, parse, read_registry

Trailers = dict[str, str | None]

_PREFIX = "refs/tags/"

_POLICY_LINE = re.compile(f"^{POLICY}: ([0-9a-f]{{40,64}})$", re.MULTILINE)

_SIGNING_ADVICE = (
    "tag.gpgSign asks git to: look at user.signingKey and gpg.format, or "
    "`git config tag.gpgSign false`"
)

_SSH_ADVICE = (
    "user.signingKey has to be your public key, and its private key beside it or in "
    "ssh-agent (`ssh-add -L` lists what is there)"
)


def next_second(now: datetime, events: list[Event]) -> int:
    """Return the time for a new tag: now, or a second after the model's last one.

    So two in one second, or clocks that differ, cannot change the order in which things
    happened.
    """
    last = max((event.time for event in events), default=0)
    return max(int(now.timestamp()), last + 1)


def tag_object(
    root: Path, name: str, target: str, title: str, trailers: Trailers, env: Env
) -> str:
    """Return an annotated tag object that no ref names yet.

    Signed where git is told to sign.
    """
    message = _message(title, trailers)
    option = ("config", "--type=bool", "--default=false", "--get", "tag.gpgSign")
    if git(root, *option) == "true":
        return _signed(root, name, target, message, env)
    tagger = git(root, "var", "GIT_COMMITTER_IDENT", env=env)
    header = f"object {target}\ntype commit\ntag {name}\ntagger {tagger}\n\n"
    return git(root, "mktag", stdin=header + message)


def ssh_signed_tag_object(
    root: Path, name: str, target: str, title: str, trailers: Trailers, env: Env
) -> str:
    """Return an annotated tag object that no ref names yet, signed with an SSH key.

    The key is that of ``user.signingKey``; whether git is told to sign is not asked.

    Raises
    ------
    EnvironmentFailure
        Where git cannot sign.
    """
    key = git(root, "config", "--default=", "--get", "user.signingKey")
    command = git(root, "config", "--default=", "--get", "gpg.ssh.defaultKeyCommand")
    if not key and not command:
        raise EnvironmentFailure(
            "git does not know which key to sign with",
            key="user.signingKey",
            do="`git config user.signingKey ~/.ssh/id_ed25519.pub` (your public key)",
        )
    message = _message(title, trailers)
    return _signed(root, name, target, message, env, ("-c", "gpg.format=ssh"))


def _message(title: str, trailers: Trailers) -> str:
    """Return the message of a tag."""
    lines = [f"{key}: {one_line(text)}" for key, text in trailers.items() if text]
    return f"{one_line(title)}\n\n" + "\n".join(lines) + "\n"


def _signed(
    root: Path,
    name: str,
    target: str,
    message: str,
    env: Env,
    settings: tuple[str, ...] = (),
) -> str:
    """Return a signed tag object, through a ref: git signs only while it makes one."""
    options = ("-s", "--cleanup=verbatim", "-F", "-")
    try:
        git(root, *settings, "tag", *options, name, target, stdin=message, env=env)
    except GitError as error:
        if "sign" not in error.stderr:
            raise
        raise EnvironmentFailure(
            "git cannot sign this tag",
            found=listed(error.stderr.splitlines()[-2:]),
            do=_SSH_ADVICE if settings else _SIGNING_ADVICE,
        ) from error
    oid = git(root, "rev-parse", "--verify", f"{_PREFIX}{name}")
    git(root, "update-ref", "-d", f"{_PREFIX}{name}", oid)
    return oid


class WorkflowsRefused(EnvironmentFailure):
    """Origin took a tag's commit for a change of workflows, which the token may not."""


_WITH_YOUR_RIGHT = (
    "GitHub takes the commit of a version for a change of workflows, which this token "
    "may not make: run the same command in a clone of your own, with your own right to "
    "push"
)
_RIGHT_TO_PUSH = "check your right to push, then run it again"


def claim(root: Path, tags: Mapping[str, str]) -> bool:
    """Create tags, all or none; return False where another one has such a name already.

    With a remote called origin its answer decides, and the local tags follow.

    Raises
    ------
    EnvironmentFailure
        Where origin cannot be reached or does not let us push.
    Refused
        Where a tag that is no event is in the way.
    """
    refs = {f"{_PREFIX}{name}": oid for name, oid in tags.items()}
    present = _present(root, refs)
    taken = {ref for ref, oid in present.items() if oid != refs[ref]}
    if taken:
        _require_events(root, taken)
        return False
    if has_remote(root) and not _pushed(root, refs):
        return False
    lines = "".join(f"create {ref} {oid}\n" for ref, oid in refs.items())
    try:
        git(root, "update-ref", "--stdin", stdin=lines)
    except GitError as error:
        present = _present(root, refs)
        locked = "File exists" in error.stderr
        if not present and not locked:
            raise
        return present == refs
    return True


def _require_events(root: Path, taken: set[str]) -> None:
    """Raise Refused where tags of these names are no events of the registry."""
    models = read_registry(root).models.values()
    events = {event.tag for model in models for event in model.events}
    foreign = {ref.removeprefix(_PREFIX) for ref in taken} - events
    if foreign:
        raise Refused(
            "a tag that is not an event of the registry already has the next name",
            found=listed(sorted(foreign)),
            do="look at it by `git show`; "
            "`git tag -d` (and `git push origin :TAG`) removes it",
        )


def _pushed(root: Path, refs: Mapping[str, str]) -> bool:
    """Push refs to origin, all or none.

    Return False where it has others of these names.
    """
    options = ["--atomic"] if len(refs) > 1 else []
    updates = [f"{oid}:{ref}" for ref, oid in refs.items()]
    try:
        git_remote(root, "push", *options, "origin", *updates)
    except GitError as error:
        theirs = at_origin(root, refs)
        if not theirs:
            names = [ref.removeprefix(_PREFIX) for ref in refs]
            of_workflows = _refuses_workflows(error.stderr)
            failure = WorkflowsRefused if of_workflows else EnvironmentFailure
            advice = UNARCHIVE if archived(error.stderr) else _RIGHT_TO_PUSH
            raise failure(
                f"origin did not accept the tag {listed(names)}",
                found=listed(_refusal(error.stderr)),
                do=_WITH_YOUR_RIGHT if of_workflows else advice,
            ) from error
        return theirs == refs
    return True


def _refusal(stderr: str) -> list[str]:
    """Return what the server said, and its word on each tag; else git's last lines."""
    lines = [line.strip() for line in stderr.splitlines()]
    spoken = [line for line in lines if line.startswith(("remote: ", "! ["))]
    messages = [line.removeprefix("remote: ").strip() for line in spoken]
    return [message for message in messages if message] or lines[-3:]


def _refuses_workflows(refusal: str) -> bool:
    """Return whether origin refused a tag for the workflow files of its commit.

    The token of a workflow may not change them. Whether GitHub takes it for a change
    that they are left out, it does not say.
    """
    return "workflow" in refusal and "permission" in refusal


def at_origin(root: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Return the refs of origin that match, and what they point to.

    Peeled ones left out.
    """
    lines = git_remote(root, "ls-remote", "--refs", "origin", *patterns).splitlines()
    pairs = (line.split("\t") for line in lines)
    return {ref: oid for oid, ref in pairs}


def _present(root: Path, refs: Mapping[str, str]) -> dict[str, str]:
    """Return those of some refs that are there, and what they point to."""
    options = ("for-each-ref", "--format=%(objectname) %(refname)")
    lines = git(root, *options, *refs).splitlines()
    pairs = (line.split(" ") for line in lines)
    # A pattern also matches what lies below such a name.
    return {ref: oid for oid, ref in pairs if ref in refs}


def sync(
    root: Path,
    *options: str,
    only: Iterable[str] = ("*",),
    seconds: float | None = None,
) -> None:
    """Fetch origin's tags, where there is an origin. No tag is ever deleted here.

    Parameters
    ----------
    *options : str
        Further ones for ``git fetch``.
    only : iterable of str
        Patterns of the tags' names.
    seconds : float, optional
        So long origin may say nothing.

    Raises
    ------
    Refused
        Where origin holds another tag under a name that we know: somebody moved it.
    EnvironmentFailure
        Where origin cannot be reached.
    """
    if not has_remote(root):
        return
    refspecs = [f"{_PREFIX}{pattern}:{_PREFIX}{pattern}" for pattern in only]
    fetch = ("fetch", "--no-tags", "--no-prune", *options, "origin", *refspecs)
    try:
        git_remote(root, *fetch, seconds=seconds)
    except GitError as error:
        moved = re.findall(r"! \[rejected\]\s+(\S+)\s+->", error.stderr)
        ours = [tag for tag in moved if parse(tag)]
        if ours:
            raise Refused(
                "origin has different tags with these names: one side was rewritten",
                found=listed(ours),
                do="compare `git ls-remote --tags origin` and `git show-ref --tags`: "
                "who moved "
                "them? Registered here before there was an origin: `mlops registry "
                "adopt` "
                "lists them",
            ) from error
        if not moved:
            raise EnvironmentFailure(
                "origin cannot be reached, so it is not known which names are taken",
                found=listed(error.stderr.splitlines()[-2:]),
                do="check the network and try again; nothing was changed",
            ) from error
    if not options:  # a mirror, which has some, fetches the branch itself
        _fetch_policies(root, seconds)


def _fetch_policies(root: Path, seconds: float | None) -> None:
    """Fetch origin's branches where tags name commits of them that are not here.

    The project.yaml of such a commit says whether the decision counts. Where it cannot
    be had, reading the tags says so.
    """
    bodies = git(root, "for-each-ref", "--format=%(contents:body)", "refs/tags")
    named = set(_POLICY_LINE.findall(bodies))
    if not missing(root, named):
        return
    with suppress(GitError):
        git_remote(root, "fetch", "--no-tags", "--no-prune", "origin", seconds=seconds)

"""git as a database: objects beside branch, index and work tree; refs by compare-and-swap."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from mlops.errors import Problem, Refused, WorldError, listed
from mlops.git import GitError, git, git_bytes, has_remote
from mlops.registry.tags import Event, parse


def contents(root: Path, names: Iterable[str]) -> list[bytes | None]:
    """Return objects by name (``COMMIT:./path``, say) in one call; None for those not there."""
    asked = list(names)
    stdin = "".join(f"{name}\n" for name in asked).encode()
    out = git_bytes(root, "cat-file", "--batch", stdin=stdin)
    found: list[bytes | None] = []
    at = 0
    for _ in asked:
        end = out.index(b"\n", at)
        head, at = out[at:end], end + 1
        if head.endswith((b" missing", b" ambiguous")):
            found.append(None)
            continue
        size = int(head.rsplit(b" ", 1)[1])
        found.append(out[at : at + size])
        at += size + 1
    return found


def one_line(text: str) -> str:
    """Return text as one line, so that nothing a person types can look like a trailer."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f\u2028\u2029]", " ", text).split())


def identity(root: Path, actor: str, seconds: int) -> dict[str, str]:
    """Return the environment that says who commits and when.

    git's own configuration where there is one, else the actor: runners have none.
    """
    env = {f"GIT_{role}_DATE": f"{seconds} +0000" for role in ("AUTHOR", "COMMITTER")}
    try:
        git(root, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT", env=env)
        git(root, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT", env=env)
    except GitError:
        name = re.sub("[<>]", "", one_line(actor)).strip() or "mlops"
        mail = (re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-.") or "mlops") + "@localhost"
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": mail}
    return env


def commit(
    root: Path, parent: str, files: Mapping[str, bytes], message: str, env: dict[str, str]
) -> str:
    """Return a commit, on no branch, that adds files to what its parent holds.

    Parameters
    ----------
    files : mapping of str to bytes
        Paths relative to `root`, which may lie below the top of the work tree.
    """
    prefix = git(root, "rev-parse", "--show-prefix")
    blobs = {
        prefix + path: git(root, "hash-object", "-w", "--stdin", stdin=content.decode())
        for path, content in files.items()
    }
    tree = _tree(root, f"{parent}^{{tree}}", blobs)
    return git(root, "commit-tree", tree, "-p", parent, "-m", message, env=env)


def _tree(root: Path, base: str | None, blobs: Mapping[str, str]) -> str:
    """Return a tree like `base` with some paths replaced."""
    listing = git(root, "ls-tree", "-z", "--full-tree", base) if base else ""
    rows = (line.split("\t", 1) for line in listing.split("\0") if line)
    entries = {name: entry for entry, name in rows}
    below: dict[str, dict[str, str]] = {}
    for path, blob in blobs.items():
        first, _, rest = path.partition("/")
        if rest:
            below.setdefault(first, {})[rest] = blob
        else:
            entries[first] = f"100644 blob {blob}"
    for name, inner in below.items():
        _, kind, oid = entries.get(name, "- - -").split(" ")
        child = _tree(root, oid if kind == "tree" else None, inner)
        entries[name] = f"040000 tree {child}"
    lines = "".join(f"{entry}\t{name}\0" for name, entry in entries.items())
    return git(root, "mktree", "-z", stdin=lines)


def tag_message(title: str, **trailers: str | None) -> str:
    """Return a tag's message: a title, then trailers (`Run_id` becomes ``Run-id``)."""
    lines = [f"{k.replace('_', '-')}: {one_line(v)}" for k, v in trailers.items() if v]
    return f"{one_line(title)}\n\n" + "\n".join(lines) + "\n"


def tag_object(root: Path, name: str, target: str, message: str, env: dict[str, str]) -> str:
    """Return an annotated tag object that no ref names yet; signed where git is told to sign."""
    try:
        sign = git(root, "config", "--type=bool", "--get", "tag.gpgSign") == "true"
    except GitError:
        sign = False
    if sign:  # git signs only while it creates the ref
        git(root, "tag", "-s", "-F", "-", name, target, stdin=message, env=env)
        oid = value(root, f"refs/tags/{name}") or ""
        git(root, "update-ref", "-d", f"refs/tags/{name}", oid)
        return oid
    tagger = git(root, "var", "GIT_COMMITTER_IDENT", env=env)
    head = f"object {target}\ntype commit\ntag {name}\ntagger {tagger}\n\n"
    return git(root, "mktag", stdin=head + message)


def claim(root: Path, name: str, oid: str) -> bool:
    """Create the tag `name`; return False where another one has that name already.

    With a remote called origin its answer decides, and the local tag follows.

    Raises
    ------
    WorldError
        When origin cannot be reached or does not let us push.
    """
    ref = f"refs/tags/{name}"
    if has_remote(root):
        try:
            git(root, "push", "--quiet", "origin", f"{oid}:{ref}")
        except GitError as error:
            there = _remote_value(root, ref)
            if there is None:
                raise WorldError(
                    Problem(
                        f"origin did not take the tag {name}",
                        found=listed(error.stderr.splitlines()[-3:]),
                        do="check the network and your right to push, then run it again",
                    )
                ) from error
            if there != oid:
                return False
    try:
        git(root, "update-ref", ref, oid, "")
    except GitError:
        if (here := value(root, ref)) is None:
            raise
        return here == oid
    return True


def sync(root: Path) -> None:
    """Fetch origin's tags, where there is an origin.

    Raises
    ------
    WorldError
        When origin cannot be reached.
    Refused
        When origin holds another tag under a name that we know: somebody moved it.
    """
    if not has_remote(root):
        return
    try:
        git(root, "fetch", "--no-tags", "origin", "refs/tags/*:refs/tags/*")
    except GitError as error:
        moved = re.findall(r"! \[rejected\]\s+(\S+)\s+->", error.stderr)
        ours = [tag for tag in moved if parse(tag)]
        if ours:
            raise Refused(
                Problem(
                    "origin has other tags under these names: one of the two was rewritten",
                    found=listed(ours),
                    do="find out who moved them; `git ls-remote --tags origin` and "
                    "`git show-ref --tags` show both sides",
                )
            ) from error
        if not moved:
            raise WorldError(
                Problem(
                    "origin cannot be reached, and without it nobody knows what is taken",
                    found=listed(error.stderr.splitlines()[-2:]),
                    do="check the network and try again; nothing was changed",
                )
            ) from error


def next_second(now: datetime, events: list[Event]) -> int:
    """Return the time for a new tag: now, or a second after the model's last one.

    Events are ordered by time, in seconds; so two in one second, or clocks that differ, cannot
    change the order in which things happened.
    """
    return max(int(now.timestamp()), max((e.time for e in events), default=0) + 1)


def attempts() -> Iterator[None]:
    """Yield for each attempt of something that others may do first, and wait a little between."""
    for attempt in range(80):
        yield
        time.sleep(random.uniform(0, min(0.03 * (attempt + 1), 1)))


def contended() -> WorldError:
    """Return the error for when all attempts were in vain."""
    return WorldError(Problem("others were faster, again and again", do="run it again"))


def value(root: Path, ref: str) -> str | None:
    """Return what a ref points to, None where there is no such ref."""
    try:
        return git(root, "rev-parse", "--verify", "-q", ref)
    except GitError:
        return None


def _remote_value(root: Path, ref: str) -> str | None:
    try:
        lines = git(root, "ls-remote", "origin", ref).splitlines()
    except GitError:
        return None
    return next((line.split("\t")[0] for line in lines if line.endswith(f"\t{ref}")), None)

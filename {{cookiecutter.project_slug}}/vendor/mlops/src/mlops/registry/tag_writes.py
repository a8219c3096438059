"""Tags written and fetched: annotated, pushed by compare-and-swap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from mlops.errors import EnvironmentFailure, Refused, listed
from mlops.io.git import GitError, git, has_remote
from mlops.io.git_objects import Env, one_line
from mlops.registry.tags import Event, parse, read

Trailers = dict[str, str | None]


def next_second(now: datetime, events: list[Event]) -> int:
    """Return the time for a new tag: now, or a second after the model's last one.

    So two in one second, or clocks that differ, cannot change the order in which things happened.
    """
    return max(int(now.timestamp()), max((e.time for e in events), default=0) + 1)


def tag_object(
    root: Path, name: str, target: str, title: str, trailers: Trailers, env: Env
) -> str:
    """Return an annotated tag object that no ref names yet; signed where git is told to sign."""
    lines = [f"{key}: {one_line(text)}" for key, text in trailers.items() if text]
    message = f"{one_line(title)}\n\n" + "\n".join(lines) + "\n"
    sign = git(root, "config", "--type=bool", "--default=false", "--get", "tag.gpgSign")
    if sign == "true":  # git signs only while it creates the ref
        git(root, "tag", "-s", "-F", "-", name, target, stdin=message, env=env)
        oid = git(root, "rev-parse", "--verify", f"refs/tags/{name}")
        git(root, "update-ref", "-d", f"refs/tags/{name}", oid)
        return oid
    tagger = git(root, "var", "GIT_COMMITTER_IDENT", env=env)
    head = f"object {target}\ntype commit\ntag {name}\ntagger {tagger}\n\n"
    return git(root, "mktag", stdin=head + message)


def claim(root: Path, tags: Mapping[str, str]) -> bool:
    """Create tags, all or none; return False where another one has such a name already.

    With a remote called origin its answer decides, and the local tags follow; WorldError where it
    cannot be reached or does not let us push, Refused where a tag that is no event is in the way.
    """
    refs = {f"refs/tags/{name}": oid for name, oid in tags.items()}
    if taken := {ref for ref, oid in _present(root, refs).items() if oid != refs[ref]}:
        events = {e.tag for model in read(root).models.values() for e in model.events}
        if odd := {ref.removeprefix("refs/tags/") for ref in taken} - events:
            what = "a tag that is no event of the registry has the name that comes next"
            do = "look at it by `git show`; `git tag -d` (and `git push origin :TAG`) removes it"
            raise Refused(what, found=listed(sorted(odd)), do=do)
        return False
    if has_remote(root):
        how = ["--quiet", "--atomic"] if len(refs) > 1 else ["--quiet"]
        try:
            git(
                root,
                "push",
                *how,
                "origin",
                *(f"{oid}:{ref}" for ref, oid in refs.items()),
            )
        except GitError as error:
            lines = git(root, "ls-remote", "origin", *refs).splitlines()
            there = {ref: oid for oid, ref in (line.split("\t") for line in lines)}
            if not there:
                what = f"origin did not take the tag {listed(tags)}"
                said = listed(error.stderr.splitlines()[-3:])
                do = "check your right to push, then run it again"
                raise EnvironmentFailure(what, found=said, do=do) from error
            if there != refs:
                return False
    new = "".join(f"create {ref} {oid}\n" for ref, oid in refs.items())
    try:
        git(root, "update-ref", "--stdin", stdin=new)
    except GitError as error:
        here = _present(root, refs)
        if not here and "File exists" not in error.stderr:  # no lock of another
            raise
        return here == refs
    return True


def _present(root: Path, refs: Mapping[str, str]) -> dict[str, str]:
    """Return those of some refs that are there, and what they point to."""
    lines = git(
        root, "for-each-ref", "--format=%(objectname) %(refname)", *refs
    ).splitlines()
    found = (line.split(" ") for line in lines)  # and what lies below such a name
    return {ref: oid for oid, ref in found if ref in refs}


def sync(
    root: Path,
    *options: str,
    only: Iterable[str] = ("*",),
    seconds: float | None = None,
) -> None:
    """Fetch origin's tags (those that match `only`), where there is an origin.

    It may be given a limit of seconds.

    Refused where it holds another tag under a name that we know: somebody moved it.
    """
    if not has_remote(root):
        return
    tags = [f"refs/tags/{pattern}:refs/tags/{pattern}" for pattern in only]
    try:
        git(root, "fetch", "--no-tags", *options, "origin", *tags, seconds=seconds)
    except GitError as error:
        moved = re.findall(r"! \[rejected\]\s+(\S+)\s+->", error.stderr)
        if ours := [tag for tag in moved if parse(tag)]:
            what = (
                "origin has other tags under these names: one of the two was rewritten"
            )
            do = "compare `git ls-remote --tags origin` and `git show-ref --tags`: who moved them? "
            do += (
                "Registered here before there was an origin: `git tag -d` lets them go"
            )
            raise Refused(what, found=listed(ours), do=do) from error
        if not moved:
            what = "origin cannot be reached, and without it nobody knows what is taken"
            said = listed(error.stderr.splitlines()[-2:])
            do = "check the network and try again; nothing was changed"
            raise EnvironmentFailure(what, found=said, do=do) from error

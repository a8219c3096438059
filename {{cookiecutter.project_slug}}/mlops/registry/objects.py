"""git as a database: objects beside branch, index and work tree; refs by compare-and-swap."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from mlops.errors import Refused, WorldError, listed
from mlops.git import GitError, git, git_bytes, has_remote
from mlops.registry.tags import Event, parse, read

T = TypeVar("T")
Env = dict[str, str]
Files = dict[str, bytes]
Trailers = dict[str, str | None]


def retry(attempt: Callable[[], T | None]) -> T:
    """Return what an attempt gives; while that is None, others were faster: try again."""
    for number in range(1, 81):
        if (answer := attempt()) is not None:
            return answer
        time.sleep(random.uniform(0, min(0.03 * number, 1)))
    raise WorldError("others were faster, again and again", do="run it again")


def contents(root: Path, names: Iterable[str]) -> list[bytes | None]:
    """Return objects by name (``COMMIT:./path``, say) in one call; None for those not there."""
    asked = list(names)
    out = git_bytes(root, "cat-file", "--batch", stdin="".join(f"{n}\n" for n in asked).encode())
    found: list[bytes | None] = []
    at = 0
    for _ in asked:
        head, at = out[at : out.index(b"\n", at)], out.index(b"\n", at) + 1
        if head.endswith((b" missing", b" ambiguous")):
            found.append(None)
        else:
            size = int(head.rsplit(b" ", 1)[1])
            found.append(out[at : at + size])
            at += size + 1
    return found


def value(root: Path, ref: str) -> str | None:
    """Return what a ref points to, None where there is no such ref."""
    try:
        return git(root, "rev-parse", "--verify", "-q", ref)
    except GitError:
        return None


def move(root: Path, ref: str, oid: str, old: str = "") -> bool:
    """Let a ref that is at `old` (empty: is not there) point to an object; False where it moved."""
    try:
        git(root, "update-ref", ref, oid, old)
    except GitError as error:
        if value(root, ref) == (old or None) and "File exists" not in error.stderr:  # no lock
            raise
        return False
    return True


def one_line(text: str) -> str:
    """Return text as one line, so that nothing a person types can look like a trailer."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f\u2028\u2029]", " ", text).split())


def next_second(now: datetime, events: list[Event]) -> int:
    """Return the time for a new tag: now, or a second after the model's last one.

    So two in one second, or clocks that differ, cannot change the order in which things happened.
    """
    return max(int(now.timestamp()), max((e.time for e in events), default=0) + 1)


def identity(root: Path, actor: str, seconds: int) -> Env:
    """Return the environment that says who commits and when.

    git's own configuration where there is one, else the actor: runners have none.
    """
    env = {f"GIT_{role}_DATE": f"{seconds} +0000" for role in ("AUTHOR", "COMMITTER")}
    if not git(root, "config", "--default=", "--get", "user.email"):
        name = re.sub("[<>]", "", one_line(actor)).strip() or "mlops"
        mail = (re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-.") or "mlops") + "@localhost"
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": mail}
    return env


def commit(
    root: Path,
    parents: list[str],
    files: Files,
    title: str,
    env: Env,
    blobs: Mapping[str, str] | None = None,
    without: str | None = None,
) -> str:
    """Return a commit, on no branch, of all that its first parent holds and some files more.

    Paths are from the top of the work tree; `blobs` are files that git holds already, by name, and
    `without` is a folder that is left out.
    """
    known = dict(blobs or {})
    for path, content in files.items():
        known[path] = git(root, "hash-object", "-w", "--stdin", stdin=content.decode())
    rows = [f"100644 blob {blob}\t{path}\0" for path, blob in known.items()]
    with TemporaryDirectory() as folder:
        index = {**env, "GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", parents[0] if parents else "--empty", env=index)
        if without:
            git(root, "rm", "-rfq", "--cached", "--ignore-unmatch", f":/{without}", env=index)
        git(root, "update-index", "-z", "--index-info", stdin="".join(rows), env=index)
        tree = git(root, "write-tree", "--missing-ok", env=index)
    options = [option for parent in parents for option in ("-p", parent)]
    return git(root, "commit-tree", tree, *options, "-m", title, env=env)


def tag_object(root: Path, name: str, target: str, title: str, trailers: Trailers, env: Env) -> str:
    """Return an annotated tag object that no ref names yet; signed where git is told to sign."""
    lines = [f"{key}: {one_line(text)}" for key, text in trailers.items() if text]
    message = f"{one_line(title)}\n\n" + "\n".join(lines) + "\n"
    sign = git(root, "config", "--type=bool", "--default=false", "--get", "tag.gpgSign")
    if sign == "true":  # git signs only while it creates the ref
        git(root, "tag", "-s", "-F", "-", name, target, stdin=message, env=env)
        oid = value(root, f"refs/tags/{name}") or ""
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
            git(root, "push", *how, "origin", *(f"{oid}:{ref}" for ref, oid in refs.items()))
        except GitError as error:
            lines = git(root, "ls-remote", "origin", *refs).splitlines()
            there = {ref: oid for oid, ref in (line.split("\t") for line in lines)}
            if not there:
                what = f"origin did not take the tag {listed(tags)}"
                said = listed(error.stderr.splitlines()[-3:])
                do = "check your right to push, then run it again"
                raise WorldError(what, found=said, do=do) from error
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
    lines = git(root, "for-each-ref", "--format=%(objectname) %(refname)", *refs).splitlines()
    found = (line.split(" ") for line in lines)  # and what lies below such a name
    return {ref: oid for oid, ref in found if ref in refs}


def sync(
    root: Path, *options: str, only: Iterable[str] = ("*",), seconds: float | None = None
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
            what = "origin has other tags under these names: one of the two was rewritten"
            do = "compare `git ls-remote --tags origin` and `git show-ref --tags`: who moved them? "
            do += "Registered here before there was an origin: `git tag -d` lets them go"
            raise Refused(what, found=listed(ours), do=do) from error
        if not moved:
            what = "origin cannot be reached, and without it nobody knows what is taken"
            said = listed(error.stderr.splitlines()[-2:])
            do = "check the network and try again; nothing was changed"
            raise WorldError(what, found=said, do=do) from error

"""git as a database: objects beside branch and index, refs by compare-and-swap, conditions.

Nothing here touches the work tree or what is checked out.
"""

from __future__ import annotations

import json
import operator
import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from mlops import Refused, UsageError, WorldError, did_you_mean, listed
from mlops.files import GitError, git, git_bytes, has_remote
from mlops.registry.tags import Event, parse, read

T = TypeVar("T")
Env = dict[str, str]
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
    files: Mapping[str, bytes],
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


# -- conditions on documents ------------------------------------------------------------------

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION = re.compile(rf"\s*([\w.-]+)\s*({'|'.join(_COMPARE)})\s*(.+?)\s*")


def condition(text: str, known: Collection[str]) -> Callable[[dict[str, Any]], bool]:
    """Return a test of documents for conditions joined by ``and``: ``PATH OPERATOR VALUE``.

    A path begins with one of the `known` keys and goes on by key (``params.C``) or by name
    (``metrics.roc_auc``). What is not there fulfils no condition.
    """
    tests = []
    for part in re.split(r"\s+and\s+", text):
        match = _CONDITION.fullmatch(part)
        first = match[1].split(".")[0] if match else ""
        if not match or first not in known:
            allowed = "PATH, one of > >= < <= = !=, VALUE; such as metrics.roc_auc>0.9"
            near = did_you_mean(first, known)
            what = "not a condition, or not on anything that is known"
            raise UsageError(what, key="--where", found=part, allowed=allowed, do=near)
        try:
            wanted = json.loads(match[3])
        except ValueError:
            wanted = match[3].strip("\"'")
        tests.append((match[1], _COMPARE[match[2]], wanted))

    def holds(record: dict[str, Any]) -> bool:
        return all(_true(compare, _at(record, path), wanted) for path, compare, wanted in tests)

    return holds


def _at(record: dict[str, Any], path: str) -> Any:
    """Return what stands at a path, or at the short form of one; None where nothing does."""
    found = (_walk(record, start + path) for start in ("", "training.", "verdict."))
    return next((x for x in found if x is not None), None)


def _walk(value: Any, path: str) -> Any:
    if isinstance(value, list):
        value = {x["name"]: x for x in value if isinstance(x, dict) and "name" in x}
    if not path:
        return value.get("value", value.get("decision")) if isinstance(value, dict) else value
    entries = value.items() if isinstance(value, dict) else ()  # a key may have dots in it
    inside = ((x, path[len(key) + 1 :]) for key, x in entries if f"{path}.".startswith(f"{key}."))
    found = (_walk(x, rest) for x, rest in inside)
    return next((x for x in found if x is not None), None)


def _true(compare: Callable[[Any, Any], bool], found: Any, wanted: Any) -> bool:
    try:
        return found is not None and compare(found, wanted)
    except TypeError:  # a number is not above a word
        return False

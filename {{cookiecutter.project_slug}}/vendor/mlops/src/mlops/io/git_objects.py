"""git as a database: objects beside branch and index, refs by compare-and-swap.

Nothing here touches the work tree or what is checked out.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from mlops.errors import EnvironmentFailure
from mlops.io.git import GitError, git, git_bytes

T = TypeVar("T")

Env = dict[str, str]


def retry(attempt: Callable[[], T | None]) -> T:
    """Return what an attempt gives; while that is None, others were faster: try again."""
    for number in range(1, 81):
        if (answer := attempt()) is not None:
            return answer
        time.sleep(random.uniform(0, min(0.03 * number, 1)))
    raise EnvironmentFailure("others were faster, again and again", do="run it again")


def contents(root: Path, names: Iterable[str]) -> list[bytes | None]:
    """Return objects by name (``COMMIT:./path``, say) in one call; None for those not there."""
    asked = list(names)
    out = git_bytes(
        root, "cat-file", "--batch", stdin="".join(f"{n}\n" for n in asked).encode()
    )
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


def identity(root: Path, actor: str, seconds: int) -> Env:
    """Return the environment that says who commits and when.

    git's own configuration where there is one, else the actor: runners have none.
    """
    env = {f"GIT_{role}_DATE": f"{seconds} +0000" for role in ("AUTHOR", "COMMITTER")}
    if not git(root, "config", "--default=", "--get", "user.email"):
        name = re.sub("[<>]", "", one_line(actor)).strip() or "mlops"
        mail = (
            re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-.") or "mlops"
        ) + "@localhost"
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
            git(
                root,
                "rm",
                "-rfq",
                "--cached",
                "--ignore-unmatch",
                f":/{without}",
                env=index,
            )
        git(root, "update-index", "-z", "--index-info", stdin="".join(rows), env=index)
        tree = git(root, "write-tree", "--missing-ok", env=index)
    options = [option for parent in parents for option in ("-p", parent)]
    return git(root, "commit-tree", tree, *options, "-m", title, env=env)

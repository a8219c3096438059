"""git as a database: objects beside branch and index, refs by compare-and-swap.

Nothing here touches the work tree or what is checked out.
"""

from __future__ import annotations

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

_ATTEMPTS = 80

# git 2.45 and later; older ones fetch one by one.
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1"}


def overtaken() -> EnvironmentFailure:
    """Return the error for a writer that others overtook in every attempt."""
    return EnvironmentFailure(
        "another process was faster in every attempt", do="run it again"
    )


def retry(
    attempt: Callable[[], T | None], sleep: Callable[[float], None] = time.sleep
) -> T:
    """Return what an attempt gives; while that is None, others were faster: try again.

    Parameters
    ----------
    attempt : callable
        Returns None where another writer got in first.
    sleep : callable
        Waits so many seconds: a random time, growing to one second at most.

    Raises
    ------
    EnvironmentFailure
        When the others were faster in every attempt.
    """
    import tenacity

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda result: result is None),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.03, max=1),
        sleep=sleep,
    )
    try:
        result = retrying(attempt)
    except tenacity.RetryError as error:
        raise overtaken() from error
    assert result is not None
    return result


def contents(
    root: Path, names: Iterable[str], fetch: bool = True
) -> list[bytes | None]:
    """Return objects by name (``COMMIT:./path``, say) in one call.

    None for missing ones.

    Parameters
    ----------
    fetch : bool
        Whether a mirror, which has not all of them, may fetch what it lacks.
    """
    requested = list(names)
    stdin = "".join(f"{name}\n" for name in requested).encode()
    env = None if fetch else _NO_FETCH
    out = git_bytes(root, "cat-file", "--batch", stdin=stdin, env=env)
    objects: list[bytes | None] = []
    start = 0
    for _ in requested:
        end = out.index(b"\n", start)
        header = out[start:end]
        start = end + 1
        if header.endswith((b" missing", b" ambiguous")):
            objects.append(None)
            continue
        size = int(header.rsplit(b" ", 1)[1])
        objects.append(out[start : start + size])
        start += size + 1
    return objects


def missing(root: Path, commits: Iterable[str]) -> list[str]:
    """Return the commits that are not in a repository. None of them is fetched."""
    names = "".join(f"{commit}\n" for commit in commits)
    out = git(root, "cat-file", "--batch-check", stdin=names, env=_NO_FETCH)
    lines = [line.split(" ") for line in out.splitlines()]
    return [fields[0] for fields in lines if fields[-1] == "missing"]


def value(root: Path, ref: str) -> str | None:
    """Return what a ref points to, None where there is no such ref."""
    try:
        return git(root, "rev-parse", "--verify", "-q", ref)
    except GitError:
        return None


def one_line(text: str) -> str:
    """Return text as one line: nothing a person types can look like a trailer."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f\u2028\u2029]", " ", text).split())


def identity(root: Path, actor: str, seconds: int) -> Env:
    """Return the environment that says who commits and when.

    git's own configuration where there is one, else the actor: runners have none.

    Parameters
    ----------
    seconds : int
        Since 1970.
    """
    env = {}
    for role in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{role}_DATE"] = f"{seconds} +0000"
    if git(root, "config", "--default=", "--get", "user.email"):
        return env
    name = re.sub("[<>]", "", one_line(actor)).strip() or "mlops"
    local_part = re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-.") or "mlops"
    for role in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{role}_NAME"] = name
        env[f"GIT_{role}_EMAIL"] = f"{local_part}@localhost"
    return env


def commit(
    root: Path,
    parents: list[str],
    files: Mapping[str, bytes | str],
    title: str,
    env: Env,
    without: str | None = None,
) -> str:
    """Return a commit, on no branch, of its first parent's files and some more.

    Parameters
    ----------
    parents : list of str
        Commits; none for a commit without history.
    files : mapping of str to bytes or str
        By path from the top of the work tree: the content, or the name of a blob that
        git holds already.
    without : str, optional
        A folder that is left out.
    """
    rows = ""
    for path, file in files.items():
        blob = file if isinstance(file, str) else _write_blob(root, file)
        rows += f"100644 blob {blob}\t{path}\0"
    with TemporaryDirectory() as folder:
        index = {**env, "GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", parents[0] if parents else "--empty", env=index)
        if without:
            remove = ("rm", "-rfq", "--cached", "--ignore-unmatch")
            git(root, *remove, f":/{without}", env=index)
        git(root, "update-index", "-z", "--index-info", stdin=rows, env=index)
        tree = git(root, "write-tree", "--missing-ok", env=index)
    options = []
    for parent in parents:
        options += ["-p", parent]
    return git(root, "commit-tree", tree, *options, "-m", title, env=env)


def _write_blob(root: Path, content: bytes) -> str:
    """Store a file's content as it is, and return its name."""
    out = git_bytes(root, "hash-object", "-w", "--stdin", stdin=content)
    return out.decode().strip()

"""The branch that is trusted, and what its commits say who may approve.

That is the default branch of origin, along its first parents: what came to it by
review. Where git does not know which branch that is, it is what is checked out; in the
job of a pull request the branch that it would be merged into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.config.approvers import Demand, demand_for
from mlops.io.git import GitError, git, head
from mlops.io.git_objects import contents

# Where a mirror keeps origin's branch; it has no branches of its own.
MIRRORED = "refs/mlops/branch"

# Not origin/main by its name: anybody who may push can make a branch of that name where
# the default branch has another one.
_ORIGIN = "refs/remotes/origin/HEAD"
_TIPS = (MIRRORED, _ORIGIN)

# What a job of a pull request has checked out: its first parent is the branch.
_MERGES = "refs/remotes/pull"


@dataclass(frozen=True)
class Policy:
    """What a project.yaml says who may approve.

    Attributes
    ----------
    approvers : mapping of str to tuple of str
        By stage.
    approvers_of : mapping of str to mapping of str to tuple of str
        By stage: who approves instead, by patterns of models' names.
    signers : str
        The path of the file of allowed signers; empty where none is set.
    """

    approvers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    approvers_of: Mapping[str, Mapping[str, tuple[str, ...]]] = field(
        default_factory=dict
    )
    signers: str = ""

    def of(self, stage: str | None, model: str) -> tuple[str, ...]:
        """Return who may approve for a model in a stage."""
        return self.demand(stage, model).handles

    def demand(self, stage: str | None, model: str) -> Demand:
        """Return who may approve for a model in a stage.

        Where there is no stage, of the last that has any.
        """
        if stage is not None:
            people = self.approvers.get(stage, ())
            return demand_for(model, people, self.approvers_of.get(stage, {}))
        every = [self.demand(one, model) for one in self.approvers]
        return next((one for one in reversed(every) if one.handles), Demand())


@dataclass(frozen=True)
class Branch:
    """The first parents of the trusted branch.

    Attributes
    ----------
    commits : tuple of str
        The newest first.
    times : mapping of str to int
        When each was committed, in seconds since 1970.
    """

    commits: tuple[str, ...]
    times: Mapping[str, int]
    places: Mapping[str, int]

    @property
    def tip(self) -> str | None:
        """The newest commit."""
        return self.commits[0] if self.commits else None

    def newest(self, commits: Iterable[str]) -> str | None:
        """Return the newest of some commits that are on the branch."""
        known = [commit for commit in commits if commit in self.places]
        return min(known, key=self.places.__getitem__, default=None)

    def at(self, time: int) -> str | None:
        """Return the newest commit that was there at a time."""
        for commit in self.commits:
            if self.times[commit] <= time:
                return commit
        return None


def tip(root: Path) -> str | None:
    """Return the newest commit of the trusted branch that is known here."""
    form = "--format=%(refname) %(objectname)"
    lines = git(root, "for-each-ref", form, *_TIPS, _MERGES).splitlines()
    refs = dict(line.split(" ", 1) for line in lines)
    for ref in _TIPS:
        if ref in refs:
            return refs[ref]
    present = head(root)
    if present is not None and present in refs.values():
        return git(root, "rev-parse", "--verify", f"{present}^1")
    return present


def default_of_origin(root: Path) -> str:
    """Return which branch this clone takes for origin's default branch.

    Empty where git knows none. `git fetch` does not notice that origin's has changed.
    """
    try:
        ref = git(root, "symbolic-ref", "--quiet", _ORIGIN)
    except GitError:
        return ""
    return ref.removeprefix("refs/remotes/origin/")


def read_branch(root: Path) -> Branch:
    """Return the trusted branch, as far as this clone has it."""
    start = tip(root)
    return _first_parents(root, start) if start else Branch((), {}, {})


def checked_out(root: Path) -> Branch:
    """Return what is checked out, along its first parents; none in a bare mirror."""
    start = head(root)
    return _first_parents(root, start) if start else Branch((), {}, {})


def _first_parents(root: Path, start: str) -> Branch:
    out = git(root, "log", "--first-parent", "--format=%H %ct", start, "--")
    times = {}
    for line in out.splitlines():
        commit, seconds = line.split(" ")
        times[commit] = int(seconds)
    places = {commit: position for position, commit in enumerate(times)}
    return Branch(tuple(times), times, places)


def read_policies(
    root: Path, commits: Iterable[str], fetch: bool = True
) -> dict[str, Policy | None]:
    """Return what project.yaml said at commits.

    None where there is no such commit or file.

    Parameters
    ----------
    fetch : bool
        As of `mlops.io.git_objects.contents`.
    """
    every = list(dict.fromkeys(commits))
    files = contents(root, [f"{commit}:./project.yaml" for commit in every], fetch)
    parsed: dict[bytes, Policy] = {}
    out: dict[str, Policy | None] = {}
    for commit, content in zip(every, files, strict=True):
        out[commit] = None
        if content is not None:
            if content not in parsed:  # most are the same, and YAML takes long to read
                parsed[content] = policy_of(content)
            out[commit] = parsed[content]
    return out


def policy_of(content: bytes) -> Policy:
    """Return what a project.yaml says; nobody where it cannot be read."""
    if b"approvers" not in content:  # most say nothing, and YAML takes long to read
        return Policy()
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw: Any = YAML(typ="safe", pure=True).load(content.decode("utf-8", "replace"))
        approvers = {
            str(stage["name"]): tuple(map(str, stage.get("approvers") or ()))
            for stage in raw["stages"]
        }
        own = {
            str(stage["name"]): {
                str(pattern): tuple(map(str, people))
                for pattern, people in (stage.get("approvers_of") or {}).items()
            }
            for stage in raw["stages"]
        }
        return Policy(approvers, own, str(raw.get("allowed_signers") or ""))
    except (YAMLError, AttributeError, KeyError, TypeError):
        return Policy()


def read_signers(root: Path, commit: str, path: str) -> bytes | None:
    """Return the file of allowed signers at a commit; None where it is not there."""
    if "\n" in path:
        return None
    return contents(root, [f"{commit}:./{path}"])[0]

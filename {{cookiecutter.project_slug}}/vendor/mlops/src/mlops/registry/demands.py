"""Who had to approve a version, by the change that it was made of and before it.

A version is registered from a commit of the branch, its source: what that commit
changed against its first parent is the pull request that brought the version.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mlops.config.approvers import Demand, without_own_change
from mlops.io.git_objects import contents, missing
from mlops.registry.branch import read_policies

_PARENT = b"parent "


class Subject(NamedTuple):
    """What somebody approves.

    Attributes
    ----------
    model : str
    stage : str, optional
        None for what belongs to no stage.
    commit : str
        That of the version.
    registered : bool
        Whether `commit` is a version's, whose first parent is the source; False where
        it is the source itself.
    """

    model: str
    stage: str | None
    commit: str
    registered: bool = True


class OwnChange(NamedTuple):
    """Who had to approve with the change of a version, and without it.

    Attributes
    ----------
    known : bool
        False where the commit before the change is not in this clone.
    """

    after: Demand
    before: Demand
    known: bool = True

    def counting(self, now: Demand) -> tuple[str, ...] | None:
        """Return who may approve by a project.yaml; None where nobody can say."""
        if not self.known and (now.narrow or self.after.narrow):
            return None
        return without_own_change(now, self.after, self.before)


def read_changes(root: Path, subjects: Iterable[Subject]) -> list[OwnChange]:
    """Return the change of each version that somebody approves.

    Commits that a mirror does not have are fetched only where models have approvers of
    their own.
    """
    every = list(subjects)
    with_change = _demands(root, every, {one.commit: one.commit for one in every}, True)
    fetch = any(demand.narrow for demand in with_change)
    registered = {one.commit for one in every if one.registered}
    sources = _first_parents(root, registered, fetch)
    source = {one.commit: sources.get(one.commit) or one.commit for one in every}
    bases = _first_parents(root, set(source.values()), fetch)
    base = {commit: bases.get(origin) for commit, origin in source.items()}
    without = _demands(root, every, base, fetch)
    unknown = set(missing(root, {commit for commit in base.values() if commit}))
    changes = []
    for one, after, before in zip(every, with_change, without, strict=True):
        parent = base[one.commit]
        known = parent is not None and parent not in unknown
        changes.append(OwnChange(after, before, known))
    return changes


def _demands(
    root: Path,
    subjects: Iterable[Subject],
    commits: dict[str, str] | dict[str, str | None],
    fetch: bool,
) -> list[Demand]:
    """Return who had to approve each by the project.yaml of another commit.

    Nobody where that is not known.
    """
    wanted = {commit for commit in commits.values() if commit}
    policies = read_policies(root, sorted(wanted), fetch)
    demands = []
    for one in subjects:
        policy = policies.get(commits[one.commit] or "")
        demands.append(policy.demand(one.stage, one.model) if policy else Demand())
    return demands


def _first_parents(root: Path, commits: set[str], fetch: bool) -> dict[str, str]:
    """Return the first parent of each commit that is known; empty for a first commit.

    The object is read, and not git's walk, which a shallow clone ends early.
    """
    names = sorted(commits)
    parents = {}
    for name, content in zip(names, contents(root, names, fetch), strict=True):
        if content is not None:
            header = content.partition(b"\n\n")[0].splitlines()
            found = [line for line in header if line.startswith(_PARENT)]
            parents[name] = found[0].removeprefix(_PARENT).decode() if found else ""
    return parents

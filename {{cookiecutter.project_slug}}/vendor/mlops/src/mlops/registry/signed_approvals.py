"""Whether decisions hold where project.yaml demands signatures of the approvers.

The date of a tag is whatever its author wrote. What is certain is that a tag is younger
than what it names and than the decisions with lower numbers: from these come the policy
that it is judged by, and the earliest time at which its key has to be valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlops.config.approvers import same_person
from mlops.io.git import git
from mlops.io.git_objects import contents
from mlops.io.ssh import OTHER_KEY
from mlops.registry.approvals import (
    POLICY,
    Case,
    approval_problem,
    not_here,
    subject,
)
from mlops.registry.branch import (
    Branch,
    Policy,
    read_branch,
    read_policies,
    read_signers,
)
from mlops.registry.demands import OwnChange, read_changes
from mlops.registry.signatures import SignerLine, TagContent, signer_lines, tag_content
from mlops.registry.verified import verified

if TYPE_CHECKING:
    from mlops.registry.tags import Event, ModelState


# As `mlops.io.ssh.signature_problem`.
Verify = Callable[[bytes, bytes, bytes, str, int], str]


class Evidence(NamedTuple):
    """What is certain of a decision.

    Attributes
    ----------
    policy : str, optional
        The newest commit of the branch that is older than the decision.
    since : int
        The decision is no older than this, in seconds since 1970.
    """

    policy: str | None
    since: int


class Judged(NamedTuple):
    """A decision with all that it is judged by."""

    case: Case
    content: TagContent
    since: int
    policy: Policy
    allowed: tuple[str, ...]
    signers: bytes | None
    verify: Verify


def problems(root: Path, cases: Iterable[Case]) -> list[tuple[Case, str]]:
    """Return the decisions that do not hold, each with the problem."""
    given = list(cases)
    raw = contents(root, [case.event.oid for case in given])
    tags = [tag_content(content or b"") for content in raw]
    every = [_as_signed(case, tag) for case, tag in zip(given, tags, strict=True)]
    line = read_branch(root)
    sources = _sources(root, {case.event.commit for case in every})
    known = [evidence(case, line, sources.get(case.event.commit)) for case in every]
    named = {_named(case) for case in every}
    commits = {*named, *(one.policy or "" for one in known)} - {""}
    policies = read_policies(root, commits)
    keys = _keys(root, {one.policy or "" for one in known} - {""}, policies)
    changes = read_changes(root, map(subject, every))
    unproven = []
    with verified(root) as signatures:
        for case, one, tag, change in zip(every, known, tags, changes, strict=True):
            policy = policies.get(one.policy or "")
            allowed = _allowed(case, policy, change)
            if tag is None or not _is_of(tag, case.event):
                name = case.event.tag
                problem = f"{name} is not the tag object that was made under this name"
            elif (
                policy is None
                or allowed is None
                or policies.get(_named(case), policy) is None
            ):
                problem = not_here(case.event)
            else:
                signers = keys.get(one.policy or "")
                facts = (case, tag, one.since, policy, allowed, signers)
                problem = decision_problem(Judged(*facts, signatures.problem))
            if problem:
                unproven.append((case, problem))
    return unproven


def _allowed(
    case: Case, policy: Policy | None, change: OwnChange
) -> tuple[str, ...] | None:
    """Return who may approve; None where nobody can say."""
    if policy is None:
        return None
    return change.counting(policy.demand(case.event.stage, case.model.name))


def _keys(
    root: Path, commits: Iterable[str], policies: Mapping[str, Policy | None]
) -> dict[str, bytes | None]:
    """Return the file of allowed signers at each commit whose policy names one."""
    out = {}
    for commit in commits:
        policy = policies[commit]
        if policy is not None and policy.signers:
            out[commit] = read_signers(root, commit, policy.signers)
    return out


def _as_signed(case: Case, tag: TagContent | None) -> Case:
    """Return a decision with the message that is in the object, under its signature."""
    if tag is None:
        return case
    return case._replace(event=case.event._replace(text=tag.message))


def _named(case: Case) -> str:
    """Return the commit that a decision names as its policy."""
    return case.event.trailers.get(POLICY, "")


def _is_of(tag: TagContent, event: Event) -> bool:
    """Return whether an object was made to be this tag, and says what git says."""
    return (tag.tag, tag.commit, tag.time) == (event.tag, event.commit, event.time)


def _sources(root: Path, commits: Iterable[str]) -> dict[str, str]:
    """Return the commit from which each version was registered: its first parent."""
    names = "".join(f"{commit}\n" for commit in sorted(commits))
    lines = git(root, "rev-list", "--no-walk", "--parents", "--stdin", stdin=names)
    pairs = (line.split(" ") for line in lines.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) > 1}


def evidence(case: Case, line: Branch, source: str | None) -> Evidence:
    """Return what is certain of a decision.

    Parameters
    ----------
    line : Branch
        The trusted branch.
    source : str, optional
        The commit from which the version was registered.
    """
    event = case.event
    earlier = _earlier(case.model, event)
    named = event.trailers.get(POLICY, "")
    commits = [other.trailers.get(POLICY, "") for other in earlier]
    commits += [named, source or ""]
    if named not in line.places:
        commits.append(line.at(event.time) or "")
    policy = line.newest(commits) or line.tip
    times = [other.time for other in earlier]
    times += [line.times[commit] for commit in commits if commit in line.times]
    version = case.model.versions.get(event.version or "")
    if version is not None:
        times.append(version.event.time)
    return Evidence(policy, max(times, default=event.time))


def _earlier(model: ModelState, event: Event) -> list[Event]:
    """Return the decisions that were there before this one.

    Those with a lower number. A number is given once: of two that share one, as of one
    without, nothing is known, and all the others count as earlier.
    """
    others = [
        other
        for other in (*model.events, *model.dangling)
        if other.counter is not None and other.tag != event.tag
    ]
    numbers = [other.counter for other in others]
    if event.counter is None or event.counter in numbers:
        return others
    return [other for other in others if (other.counter or 0) < event.counter]


def decision_problem(judged: Judged) -> str:
    """Return why a decision does not hold; empty where it does."""
    case = judged.case
    event = case.event
    if not judged.allowed:
        return ""
    problem = approval_problem(case.model, event, judged.allowed)
    if problem or not judged.policy.signers:
        return problem
    approver = event.trailers["Approver"]
    text = f"{event.tag} has no approval by {approver} that holds"
    if not event.trailers.get("Manifest-SHA256"):
        return f"{text}: it does not name the digest of the manifest"
    if not judged.content.signature:
        return f"{text}: it is not signed with an SSH key"
    if judged.signers is None:
        return f"{text}: {judged.policy.signers} is not in the commit that decides"
    reason = _signature(judged, approver)
    return f"{text}: {reason}" if reason else ""


def _signature(judged: Judged, approver: str) -> str:
    """Return why the signature is none of the approver's; empty where it is."""
    reasons = []
    for line in signer_lines(judged.signers or b""):
        for name in line.names:
            if same_person(name, approver):
                reasons.append(_by_line(judged, line, name))
    if not reasons:
        return f"{judged.policy.signers} gives {approver} no key"
    if "" in reasons:
        return ""
    # That a key has expired says more than that another one did not sign.
    return next((reason for reason in reasons if reason != OTHER_KEY), OTHER_KEY)


def _by_line(judged: Judged, line: SignerLine, name: str) -> str:
    """Return why a signature does not hold by one line of allowed signers."""
    content = judged.content
    signers = f"{line.text}\n".encode()
    signed = (content.payload, content.signature, signers, name)
    reason = judged.verify(*signed, content.time)
    if reason or judged.since <= content.time:
        return reason
    reason = judged.verify(*signed, judged.since)
    if reason:
        return f"{reason} when it was really made: its date is too early"
    return ""

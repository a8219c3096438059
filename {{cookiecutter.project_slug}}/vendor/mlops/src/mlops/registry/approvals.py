"""Whether a decision has the approval that project.yaml demanded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlops.config.approvers import same_person
from mlops.errors import listed
from mlops.io.git_objects import contents
from mlops.registry import branch
from mlops.registry.branch import Policy
from mlops.registry.demands import OwnChange, Subject, read_changes
from mlops.registry.signatures import tag_content

if TYPE_CHECKING:
    from mlops.registry.tags import Event, ModelState, State

# The commit whose project.yaml was asked who may approve.
POLICY = "Policy-Commit"

# What takes back, and puts nothing into a stage.
_TAKING = ("unassign", "deregister", "deprecate")


class Case(NamedTuple):
    """A decision that has to be approved, and the stage that rests on it."""

    model: ModelState
    event: Event
    stage: str


def doubt_unapproved(root: Path, state: State) -> None:
    """Make each stage unresolvable that rests on a decision without its approval."""
    cases: list[Case] = []
    for model in state.models.values():
        for stage in model.trails:
            if stage not in model.unresolved:
                cases += _deciding(model, stage)
    for case, problem in _judged(root, cases):
        if case.stage not in case.model.unresolved:
            case.model.doubt(case.stage, problem)


def unapproved(
    root: Path, model: ModelState, events: Iterable[Event]
) -> dict[str, str]:
    """Return which decisions about stages lack an approval, by tag, and what it lacks.

    Where nothing has to be signed, only assignments are asked for theirs.
    """
    return unapproved_of(root, [(model, event) for event in events])


def unapproved_of(
    root: Path, decisions: Iterable[tuple[ModelState, Event]]
) -> dict[str, str]:
    """Return as `unapproved` does, of decisions about many models."""
    cases = [
        Case(model, event, event.stage) for model, event in decisions if event.stage
    ]
    return {case.event.tag: problem for case, problem in _judged(root, cases)}


def unexplained(root: Path, *models: ModelState) -> dict[str, str]:
    """Return which tags take something back without saying who decided it, by tag.

    Git is asked as often for a hundred models as for one.

    These are withdrawals, retirements and removals from a stage that were made by hand,
    and those that lack the approval which project.yaml demanded. Where nothing has to
    be signed they happen all the same, because what they say cannot put anything into
    production; but nobody should take them for decisions.
    """
    by_tag = {}
    cases = []
    for model in models:
        for event in model.events:
            if event.kind not in _TAKING:
                continue
            trailers = event.trailers
            if "Actor" not in trailers:
                by_tag[event.tag] = (
                    f"{event.tag} was made by hand: it does not say who decided it"
                )
            # Before tags named their project.yaml, these needed no approval.
            if POLICY in trailers:
                cases.append(Case(model, event, event.stage or ""))
    for case, problem in _judged(root, cases, taking=True):
        by_tag.setdefault(case.event.tag, problem)
    return by_tag


def unproven(root: Path, model: ModelState, events: Iterable[Event]) -> dict[str, str]:
    """Return as `unapproved` does, but nothing where nothing has to be signed."""
    cases = [Case(model, event, event.stage or "") for event in events]
    if not cases or not _signs(root, events):
        return {}
    judged = _judged(root, cases, taking=True)
    return {case.event.tag: problem for case, problem in judged}


def is_signed(root: Path, event: Event) -> bool:
    """Return whether a tag carries an SSH signature; whose, is not asked."""
    tag = tag_content(contents(root, [event.oid])[0] or b"")
    return tag is not None and bool(tag.signature)


def _deciding(model: ModelState, stage: str) -> Iterator[Case]:
    """Yield the decisions that a stage rests on.

    The last assignment, and whatever took out what came after it.
    """
    top, _ = next(model.assignments(stage), (None, None))
    if top is not None:
        yield Case(model, top, stage)
    passed_over = {held.version for held in _above(model, stage, top)}
    for event in (*model.events, *model.dangling):
        removes = (event.kind, event.stage) == ("unassign", stage)
        withdraws = event.kind == "deregister" and event.version in passed_over
        if withdraws or (removes and _not_before(event, top)):
            yield Case(model, event, stage)


def _not_before(event: Event, top: Event | None) -> bool:
    """Return whether an event may have happened after an assignment."""
    if top is None:
        return True
    return (event.time, event.counter or 0) >= (top.time, top.counter or 0)


def _above(model: ModelState, stage: str, top: Event | None) -> list[Event]:
    """Return the assignments after the one that holds, of versions withdrawn since."""
    trail = model.trails.get(stage, [])
    if top is None:
        return trail
    return trail[trail.index(top) + 1 :]


def _judged(
    root: Path, cases: list[Case], taking: bool = False
) -> list[tuple[Case, str]]:
    """Return the decisions whose approval is missing, each with the problem.

    Where nothing has to be signed, those that take back are asked with `taking` alone:
    they happen without an approval.
    """
    if not cases:
        return []
    if _signs(root, [case.event for case in cases]):
        from mlops.registry.signed_approvals import problems

        return problems(root, cases)
    sources = _policies(root, [case.event for case in cases])
    every = {commit for commits in sources for commit in commits}
    policies = branch.read_policies(root, every)
    changes = read_changes(root, map(subject, cases))
    out = []
    for case, commits, change in zip(cases, sources, changes, strict=True):
        if case.event.kind != "assign" and not taking:
            continue
        problem = _problem(case, [policies[commit] for commit in commits], change)
        if problem:
            out.append((case, problem))
    return out


def _signs(root: Path, events: Iterable[Event]) -> bool:
    """Return whether approvals have to be signed.

    The trusted branch says so, or a commit that one of the decisions or versions names.
    """
    commits = {branch.tip(root)}
    for event in events:
        commits |= {event.trailers.get(POLICY), event.commit}
    known = branch.read_policies(root, sorted(commit for commit in commits if commit))
    return any(policy is not None and policy.signers for policy in known.values())


def _policies(root: Path, events: Iterable[Event]) -> list[list[str]]:
    """Return the commits whose project.yaml said who had to approve, for each event.

    The one that the tag names. A tag that names none was written by hand or by an older
    engine: that of its version, and that of the branch when the tag was made.
    """
    history: branch.Branch | None = None
    out = []
    for event in events:
        named = event.trailers.get(POLICY)
        if named:
            out.append([named])
            continue
        if history is None:  # read once for all
            history = branch.checked_out(root)
        then = history.at(event.time)
        out.append([event.commit, then] if then else [event.commit])
    return out


def subject(case: Case) -> Subject:
    """Return what a decision is about."""
    version = case.model.versions.get(case.event.version or "")
    commit = version.commit if version else case.event.commit
    return Subject(case.model.name, case.event.stage, commit)


def _problem(case: Case, policies: list[Policy | None], change: OwnChange) -> str:
    """Return what is missing for an assignment to count, empty where nothing is."""
    event = case.event
    if None in policies and event.trailers.get(POLICY):
        return not_here(event)
    allowed = set[str]()
    for policy in filter(None, policies):
        handles = change.counting(policy.demand(event.stage, case.model.name))
        if handles is None:
            return not_here(event)
        allowed.update(handles)
    if not allowed:
        return ""
    return approval_problem(case.model, event, allowed)


def not_here(event: Event) -> str:
    """Return the problem of a decision by a project.yaml that is not known."""
    return (
        f"{event.tag} was decided by a project.yaml that is not in this clone"
        " (`git fetch origin` may bring it)"
    )


def approval_problem(model: ModelState, event: Event, allowed: Iterable[str]) -> str:
    """Return what the trailers of a decision lack, empty where nothing is missing.

    An approval is by somebody who is listed and did not register the version, and it
    names the digest of the manifest. A tag without a policy may lack the digest: an
    older engine wrote it.
    """
    handles = sorted(allowed)
    approver = event.trailers.get("Approver", "")
    text = f"{event.tag} has no approval by {listed(handles, 4)}"
    if not approver:
        return text
    if not any(same_person(approver, handle) for handle in handles):
        return f"{text} (it names {approver})"
    version = model.versions.get(event.version or "")
    if version is None or event.kind != "assign":
        return ""  # whoever may approve may take back what is their own
    if same_person(approver, version.event.actor):
        return f"{text}: {approver} registered this version"
    named = event.trailers.get("Manifest-SHA256")
    registered = version.manifest_sha256
    if registered and event.trailers.get(POLICY) and named != registered:
        return f"{text}: it does not name the manifest of {version.ref}"
    return ""

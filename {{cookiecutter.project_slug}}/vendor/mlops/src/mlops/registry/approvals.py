"""Whether an assignment has the approval that project.yaml demanded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.errors import listed
from mlops.io.git import GitError, git
from mlops.io.git_objects import contents

if TYPE_CHECKING:
    from mlops.registry.tags import Event, ModelState, State

# The commit whose project.yaml was asked who may approve.
POLICY = "Policy-Commit"

# What takes back, and puts nothing into a stage.
_TAKING = ("unassign", "deregister", "deprecate")

Approvers = Mapping[str, tuple[str, ...]]  # by stage


def same_person(one: str, other: str) -> bool:
    """Return whether two handles are one person: ``@Ana`` and ``ana`` are."""
    return one.strip().lstrip("@").casefold() == other.strip().lstrip("@").casefold()


def doubt_unapproved(root: Path, state: State) -> None:
    """Make each stage unresolvable whose assignment lacks an approval."""
    tops = []
    for model in state.models.values():
        for stage in model.stages:
            event, _ = next(model.assignments(stage))
            tops.append((model, event))
    for model, event, problem in _judged(root, tops):
        model.doubt(event.stage or "", problem)


def unapproved(
    root: Path, model: ModelState, events: Iterable[Event]
) -> dict[str, str]:
    """Return which assignments lack an approval, by tag, and what is missing."""
    assigned = [(model, event) for event in events if event.kind == "assign"]
    return {event.tag: problem for _, event, problem in _judged(root, assigned)}


def unexplained(root: Path, model: ModelState) -> dict[str, str]:
    """Return which tags take something back without saying who decided it, by tag.

    These are withdrawals, retirements and removals from a stage that were made by hand,
    and those that lack the approval which project.yaml demanded. They happen all the
    same, because what they say cannot put anything into production; but nobody should
    take them for decisions.
    """
    taking = [event for event in model.events if event.kind in _TAKING]
    found = {
        event.tag: f"{event.tag} was made by hand: it does not say who decided it"
        for event in taking
        if "Actor" not in event.trailers
    }
    # Before tags named the project.yaml that they go by, these needed no approval.
    judged = [(model, e) for e in taking if POLICY in e.trailers]
    for _, event, problem in _judged(root, judged):
        found.setdefault(event.tag, problem)
    return found


def _judged(
    root: Path, assigned: Iterable[tuple[ModelState, Event]]
) -> list[tuple[ModelState, Event, str]]:
    """Return the assignments whose approval is missing, each with the problem."""
    events = list(assigned)
    sources = [_policies(root, event) for _, event in events]
    names = [f"{commit}:./project.yaml" for commits in sources for commit in commits]
    if not names:
        return []
    known = _Known()
    files = iter(contents(root, names))
    out = []
    for (model, event), commits in zip(events, sources, strict=True):
        policies = [known.approvers(next(files)) for _ in commits]
        problem = _problem(model, event, policies)
        if problem:
            out.append((model, event, problem))
    return out


def _policies(root: Path, event: Event) -> list[str]:
    """Return the commits whose project.yaml said who had to approve.

    The one that the tag names. A tag that names none was written by hand or by an older
    engine: that of its version, and that of the branch when the tag was made.
    """
    if named := event.trailers.get(POLICY):
        return [named]
    commits = [event.commit]
    when = datetime.fromtimestamp(event.time, UTC).isoformat()
    try:
        then = git(root, "rev-list", "-1", "--first-parent", f"--before={when}", "HEAD")
    except GitError:  # a clone without a branch
        then = ""
    if then:
        commits.append(then)
    return commits


def _problem(model: ModelState, event: Event, policies: list[Approvers | None]) -> str:
    """Return what is missing for an assignment to count, empty where nothing is."""
    stage = event.stage or ""
    if None in policies and event.trailers.get(POLICY):
        return f"{event.tag} was decided by a project.yaml that is not in this clone"
    demanded = list(filter(None, (_who(policy, stage) for policy in policies)))
    if not demanded:
        return ""
    allowed = sorted({handle for handles in demanded for handle in handles})
    approver = event.trailers.get("Approver", "")
    text = f"{event.tag} has no approval by {listed(allowed, 4)}"
    if not approver:
        return text
    if not any(same_person(approver, handle) for handle in allowed):
        return f"{text} (it names {approver})"
    version = model.versions.get(event.version or "")
    if event.kind != "assign":  # whoever may approve may take back what is their own
        return ""
    if version is not None and same_person(approver, version.event.actor):
        return f"{text}: {approver} registered this version"
    return ""


def _who(policy: Approvers | None, stage: str) -> tuple[str, ...]:
    """Return who may decide about a stage; without one, a version or model."""
    if not policy:
        return ()
    if stage:
        return policy.get(stage, ())
    named = [handles for handles in policy.values() if handles]
    return named[-1] if named else ()


class _Known:
    """The approvers that files say; each content is read once."""

    def __init__(self) -> None:
        self._read: dict[bytes, Approvers] = {}

    def approvers(self, content: bytes | None) -> Approvers | None:
        """Return the approvers by stage, None where there is no file."""
        if content is None:
            return None
        if content not in self._read:
            self._read[content] = _approvers(content)
        return self._read[content]


def _approvers(content: bytes) -> Approvers:
    """Return whom a project.yaml names.

    Nobody where it says nothing that can be read.
    """
    if b"approvers" not in content:  # most say nothing, and YAML takes long to read
        return {}
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw: Any = YAML(typ="safe", pure=True).load(content.decode("utf-8", "replace"))
        stages = raw["stages"]
        return {
            str(stage["name"]): tuple(map(str, stage.get("approvers") or ()))
            for stage in stages
        }
    except (YAMLError, AttributeError, KeyError, TypeError):
        return {}

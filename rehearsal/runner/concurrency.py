"""Which of the runs that wait for one another GitHub lets go on: `concurrency:`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rehearsal.event import Event
from rehearsal.runner.expressions import fill, github_context
from rehearsal.workflow import Workflow


@dataclass(frozen=True)
class Concurrency:
    """What a workflow says of runs at the same time.

    Parameters
    ----------
    group : str
        Empty when it says nothing: then all run.
    cancel : bool
        A newer run stops an older one.
    queue : bool
        All wait for their turn; without it a newer run replaces one that waits.
    """

    group: str = ""
    cancel: bool = False
    queue: bool = False


def concurrency(workflow: Workflow, event: Event) -> Concurrency:
    """Return what `concurrency:` of a workflow comes to for an event."""
    rule = workflow.document.get("concurrency")
    if rule is None:
        return Concurrency()
    if not isinstance(rule, Mapping):
        rule = {"group": rule}
    context = {
        "github": github_context(workflow, event),
        "inputs": event.payload.get("inputs") or {},
    }
    group = str(fill(rule["group"], context))
    cancel = fill(rule.get("cancel-in-progress", False), context)
    return Concurrency(
        # GitHub does not tell the cases of letters in a group apart.
        group=group.lower(),
        cancel=cancel in (True, "true"),
        queue=rule.get("queue") == "max",
    )


class Queue:
    """The order in which runs came, and which of them were replaced by newer ones."""

    def __init__(self) -> None:
        self._arrivals = 0
        self._ended: dict[str, int] = {}

    def arrival(self) -> int:
        """Return the place of a run that comes now."""
        place = self._arrivals
        self._arrivals += 1
        return place

    def ended(self, rule: Concurrency) -> None:
        """Note that a run of a group has ended: those that came before now waited."""
        if rule.group:
            self._ended[rule.group] = self._arrivals

    def superseded(
        self, rule: Concurrency, arrival: int, later: list[Concurrency]
    ) -> bool:
        """Say whether a run was cancelled for a newer one of its group.

        Parameters
        ----------
        rule : Concurrency
            Of the run.
        arrival : int
            Its place in the order of arrival.
        later : list of Concurrency
            Those of the runs that have come since.
        """
        if not rule.group:
            return False
        rivals = [other for other in later if other.group == rule.group]
        if not rivals:
            return False
        waited = arrival < self._ended.get(rule.group, -1)
        return rivals[-1].cancel or (waited and not rule.queue)

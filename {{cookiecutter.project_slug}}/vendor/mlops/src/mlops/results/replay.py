"""Results of a replay: past decisions and alarms under other rules."""

from __future__ import annotations

from pydantic import Field

from mlops.results.base import Result


class ReplayedRun(Result):
    """A past run whose decision would have come out differently, or may have."""

    run: str
    started: str
    pull_request: int | None = None
    recorded: str = Field(description="The decision as it was.")
    replayed: str = Field(description="The decision by the new rules.")
    because: tuple[str, ...] = Field(
        default=(), description="Keys that make the difference."
    )
    not_recorded: tuple[str, ...] = Field(
        default=(),
        description="Changed keys for which the run log lacks what they judge; what "
        "was recorded counts as it was.",
    )

    @property
    def differs(self) -> bool:
        """Whether the decision would have been another one."""
        return self.recorded != self.replayed


class ReplayedCheck(Result):
    """A past check of the monitor that would have come out differently, or may have."""

    until: str
    version: str
    recorded: str
    replayed: str
    because: tuple[str, ...] = ()
    not_recorded: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the check would have had another result."""
        return self.recorded != self.replayed


class Replay(Result):
    """What other rules would have changed in the past of a model."""

    model: str
    keys: tuple[str, ...] = Field(description="Keys of model.yaml that changed.")
    runs: int = Field(default=0, description="Past decisions that were replayed.")
    checks: int = Field(default=0, description="Past checks that were replayed.")
    decisions: tuple[ReplayedRun, ...] = ()
    alarms: tuple[ReplayedCheck, ...] = ()

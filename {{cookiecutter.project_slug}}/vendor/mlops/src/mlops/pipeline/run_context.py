"""Who runs the pipeline, where, and with which registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mlops.config.project import Project
from mlops.results.ledger import Question

if TYPE_CHECKING:
    from mlops.storage.protocol import ReleaseStore


def _nothing(_name: str, _say: Callable[[str], None]) -> None:
    """Bring nothing."""


def _none(_name: str) -> tuple[Question, ...]:
    """Return no question."""
    return ()


@dataclass(frozen=True)
class RunContext:
    """What a run is told by whoever starts it.

    Parameters
    ----------
    project : Project
    actor : str
        Who runs it.
    now : callable
        Returns the time.
    store : callable
        Returns the release store; called only where there is a version in production.
    pull_request : int, optional
        The pull request that it is run for.
    run_url : str, optional
        The page of the workflow's run.
    questions : callable
        Takes the name of a model and returns what test parts of it were asked before;
        called only where it has a validation part.
    bring : callable
        Takes the name of a model and what takes a line of progress, and brings data
        that lie elsewhere.
    """

    project: Project
    actor: str
    now: Callable[[], datetime]
    store: Callable[[], ReleaseStore]
    pull_request: int | None = None
    run_url: str | None = None
    questions: Callable[[str], tuple[Question, ...]] = _none
    bring: Callable[[str, Callable[[str], None]], None] = _nothing

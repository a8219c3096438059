"""What every story starts from: a model whose v1.0.0 is in production."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.hub import Hub
from rehearsal.runner.standby import VARIABLE
from stories.recorder import compare_or_record
from stories.worlds import caches, released, story

__all__ = ["caches", "released", "story"]


@pytest.fixture(scope="session", autouse=True)
def jobs_on_standby(standby: Path) -> Iterator[None]:
    """Keep an interpreter on standby: stories run commands by the hundred.

    `make demo` and `mlops rehearse` start interpreters as a job of GitHub does; the
    test of `mlops rehearse` does so too.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(standby))
        yield


@pytest.fixture(autouse=True)
def calls_on_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compare the calls of each job with those on file, once its story is over."""
    hubs: list[Hub] = []
    leave = Hub.__exit__

    def noted(hub: Hub, *error: Any) -> None:
        if error[0] is None:
            hubs.append(hub)
        leave(hub, *error)

    monkeypatch.setattr(Hub, "__exit__", noted)
    yield
    for hub in hubs:
        compare_or_record(hub)

"""A hub, and someone who may do everything on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.hub import Hub
from rehearsal.hub.desk import Desk, started


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Return a hub that is strict about all that is asked and answered."""
    with Hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def alice(hub: Hub, tmp_path: Path) -> Desk:
    """Return someone who may do everything, on a repository with two commits."""
    desk = started(hub, tmp_path / "alice")
    hub.events.take()
    return desk

"""What every story starts from: a model whose v1.0.0 is in production."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.runner.standby import VARIABLE
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

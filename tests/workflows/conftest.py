"""What the tests of workflows share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from workflows.githubs_own import GitHubsOwn, started


@pytest.fixture(scope="session")
def github() -> Iterator[GitHubsOwn]:
    """Return GitHub's own parser, validator and evaluator."""
    with started() as own:
        yield own

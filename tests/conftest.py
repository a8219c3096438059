"""Which tests run, and in which order.

Tests marked `system` need a program that is no part of Python, git or make.
`make test-system` runs them, and lists those whose program is missing. Every other run
leaves them out.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from rehearsal.runner.standby import Standby, interpreter

# A busy machine fails no test: there is no limit on the time of one example.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# The longest tests, by a file or folder of their path. They run first: one worker does
# them, and makes what they share once, while others do the rest. A test of minutes that
# came last would keep one processor busy, and the others idle.
FIRST = ("test_demo.py", "stories", "test_checks.py")


@pytest.fixture(scope="session")
def standby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the address of an interpreter that has imported the libraries."""
    address = tmp_path_factory.mktemp("standby") / "socket"
    process = Standby(Path(sys.executable), address)
    yield address
    process.close()


@pytest.fixture(scope="session")
def python_on_standby(standby: Path) -> Path:
    """Return an interpreter that runs the engine's commands on standby."""
    return interpreter(Path(sys.executable), standby)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Put the longest first, and leave out those marked `system` unless asked for."""
    for item in items:
        if " at 0x" in item.nodeid:
            # Each worker would collect other tests, and none would run.
            raise pytest.UsageError(f"the name of a test has an address: {item.nodeid}")
    items.sort(key=_turn)
    if "system" in config.option.markexpr:
        return
    needing = [item for item in items if item.get_closest_marker("system")]
    if needing:
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


def _turn(item: pytest.Item) -> int:
    """Return when a test has its turn; those of one turn keep their order."""
    for turn, part in enumerate(FIRST):
        if part in item.path.parts:
            return turn
    return len(FIRST)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, and name the program."""
    marker = item.get_closest_marker("system")
    if marker is None:
        return
    missing = [program for program in marker.args if not shutil.which(program)]
    if missing:
        pytest.skip(f"not run: {', '.join(missing)} is not installed")

"""Which tests run, in which order, and what is asked once all of them have run.

Tests marked `system` need a program that is no part of Python, git or make.
`make test-system` runs them, and lists those whose program is missing. Every other run
leaves them out.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from rehearsal.runner.standby import Standby, interpreter
from stories.recorder import FOLDER, never_made, noted, recorded

# A busy machine fails no test: there is no limit on the time of one example. Examples
# are the same each time, so that no chance decides whether a change passes; with
# HYPOTHESIS_RANDOM=1 others are tried.
hypothesis.settings.register_profile(
    "the same", deadline=None, derandomize="HYPOTHESIS_RANDOM" not in os.environ
)
hypothesis.settings.load_profile("the same")

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


STORIES = Path(__file__).parent / "stories"


def pytest_configure(config: pytest.Config) -> None:
    """Give the stories, in whichever process they run, a folder to note calls in."""
    if not hasattr(config, "workerinput"):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="calls-")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note that every story will run, where none was left out."""
    config = session.config
    options = ("keyword", "markexpr", "deselect", "lf")
    some = any(getattr(config.option, name, None) for name in options)
    if some or any("::" in argument for argument in config.args):
        return
    files = {item.path for item in session.items}
    if files >= set(STORIES.glob("test_*.py")):
        Path(os.environ[FOLDER], "whole").touch()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail for calls on file that none made, where every story has passed."""
    if hasattr(session.config, "workerinput"):
        return
    folder = Path(os.environ.pop(FOLDER))
    whole = (folder / "whole").exists() and exitstatus == 0
    unused = never_made(noted(folder.glob("*.json")), recorded()) if whole else []
    shutil.rmtree(folder)
    if unused:
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        reporter.write_line("")
        reporter.write_line("tests/workflows/calls.json has what no story calls:")
        for line in unused:
            reporter.write_line(f"  {line}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, and name the program."""
    marker = item.get_closest_marker("system")
    if marker is None:
        return
    missing = [program for program in marker.args if not shutil.which(program)]
    if missing:
        pytest.skip(f"not run: {', '.join(missing)} is not installed")

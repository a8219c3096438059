"""Tests marked `system` need a program that is no part of Python, git or make.

`make test-system` runs them, and lists those whose program is missing. Every other run
leaves them out.
"""

from __future__ import annotations

import shutil

import pytest


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave the tests marked `system` out, unless they are asked for by `-m`."""
    if "system" in config.option.markexpr:
        return
    needing = [item for item in items if item.get_closest_marker("system")]
    if needing:
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, and name the program."""
    marker = item.get_closest_marker("system")
    if marker is None:
        return
    missing = [program for program in marker.args if not shutil.which(program)]
    if missing:
        pytest.skip(f"not run: {', '.join(missing)} is not installed")

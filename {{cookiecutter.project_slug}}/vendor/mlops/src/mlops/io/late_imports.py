"""Modules that are loaded when something of them is first used.

A library may import at its top what most of its users never call. Where that is most
of the time that its import takes, the process that imports it says so first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType


class _LateFinder:
    """Finds the named modules on the path, and gives them a lazy loader."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the specification of a named module, and None for every other one."""
        if name not in self._names:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def import_late(*names: str) -> None:
    """Let the named modules be loaded at their first use, in all of this process.

    A module that is missing or broken fails where it is imported or used: nothing is
    hidden, only later.

    Parameters
    ----------
    names : str
        Full names, such as `scipy.stats`. What is already imported stays as it is.
    """
    sys.meta_path.insert(0, _LateFinder(frozenset(names)))

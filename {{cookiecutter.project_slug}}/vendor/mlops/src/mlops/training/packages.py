"""Whether the lock installs the packages that a model needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from mlops.errors import Problem, UsageError
from mlops.io.requirements import pins
from mlops.training.code import ModelCode

# The engine cannot train without these, so whatever installs it installs them.
_ENGINE = frozenset(
    {
        "joblib",
        "mlops",
        "models",
        "numpy",
        "pandas",
        "pyarrow",
        "scipy",
        "sklearn",
        "skops",
        "threadpoolctl",
    }
)


def require_locked(code: ModelCode, types: Iterable[str], lock: Path) -> None:
    """Refuse a model that needs a package which the lock does not install.

    Parameters
    ----------
    code : ModelCode
        Whose imports are looked at, those of features.py, estimator.py and the modules
        that these import.
    types : iterable of str
        Full names of the types that the model file holds.
    lock : Path
        The requirements file; without one nothing can be said.

    Raises
    ------
    UsageError
        Naming each package, where it is used and how to add it.
    """
    if not lock.is_file():
        return
    places: dict[str, tuple[str, str]] = {}
    for file, number, package in code.imports():
        places.setdefault(package, (file, f"line {number}"))
    for name in types:
        places.setdefault(name.split(".")[0], (f"models/{code.model}/estimator.py", ""))
    foreign = {
        package: module
        for package, module in places.items()
        if package not in _ENGINE and package not in sys.stdlib_module_names
    }
    if not foreign:
        return
    locked = {_normal(pin.name) for pin in pins(lock)}
    projects = metadata.packages_distributions()
    problems = []
    for package, (file, line) in sorted(foreign.items()):
        names = projects.get(package, [package])
        if not locked & {_normal(name) for name in names}:
            problems.append(
                Problem(
                    "the lock does not install this package, so no other machine could "
                    "train or load the model",
                    file=file,
                    key=line,
                    found=package,
                    do=f"add {names[0]} to `models` in pyproject.toml, then "
                    "`make lock` and `make setup`",
                )
            )
    if problems:
        raise UsageError(*problems)


def _normal(name: str) -> str:
    """Return a project's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()

"""The engine of a machine learning repository: the command `mlops`.

In Python it offers two functions, for notebooks and scripts: `load_data` and
`load_model`. They are imported when they are asked for, as pandas takes its time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.api import load_data, load_model

__version__ = "0.2.0"

__all__ = ["__version__", "load_data", "load_model"]


def __getattr__(name: str) -> Any:
    """Return a function of `mlops.api`."""
    if name in __all__:
        return getattr(import_module("mlops.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

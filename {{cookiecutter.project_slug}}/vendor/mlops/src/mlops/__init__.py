"""The engine of a machine learning repository: the command `mlops`."""

from __future__ import annotations

__version__ = "0.2.0"

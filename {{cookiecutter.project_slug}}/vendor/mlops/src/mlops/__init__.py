"""The engine of an ML repository: one command, `mlops`, for the whole life of a model."""

from __future__ import annotations

__version__ = "0.2.0"

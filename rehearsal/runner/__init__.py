"""Workflow files, run by act on this machine against the hub."""

from rehearsal.runner.runner import Runner

__all__ = ["Runner"]

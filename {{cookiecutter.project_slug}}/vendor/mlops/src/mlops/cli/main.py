"""The entry point: what the process needs before a command runs."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

from mlops import settings
from mlops.cli.app import app

# In the order of `mlops --help`.
COMMANDS = (
    "new",
    "pipeline",
    "sweep",
    "register",
    "decisions",
    "versions",
    "serving",
    "deliver",
    "explain",
    "replay_row",
    "canary",
    "registry",
    "prune",
    "data",
    "batch",
    "runs",
    "monitor",
    "site",
    "open",
    "doctor",
    "workflow",
    "verdict",
    "smoke",
    "github",
    "rehearse",
)


def main() -> None:
    """Run the command line."""
    # Imports make half a million objects that live to the end. Looking through them
    # again, as the collector does at its own thresholds, is a tenth of the import time.
    gc.set_threshold(100_000, 20, 100)
    settings.prepare_process()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="mlops")


for _module in COMMANDS:
    import_module(f"mlops.cli.{_module}")

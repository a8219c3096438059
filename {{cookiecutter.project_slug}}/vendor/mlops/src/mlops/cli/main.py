"""The entry point: what the process needs before a command runs."""

from __future__ import annotations

import gc
import os
import platform
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

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
    "registry",
    "prune",
    "runs",
    "monitor",
    "site",
    "doctor",
    "workflow",
    "verdict",
    "smoke",
    "github",
    "rehearse",
)


def main() -> None:
    """Run the command line."""
    # Imports make half a million objects that live to the end: looking them through again, as
    # the collector does at its own thresholds, is a tenth of the time of importing.
    gc.set_threshold(100_000, 20, 100)
    # OpenMP threads that spin while they wait slow everything down on busy machines.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    one_kernel()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="mlops")


def one_kernel() -> None:
    """Let OpenBLAS add in one order on every x86-64: by default the CPU decides, and so the bytes.

    Those of Haswell are on all that have AVX2; other machines are left as they are.
    """
    with suppress(OSError), Path("/proc/cpuinfo").open() as cpu:
        if platform.machine() == "x86_64" and " avx2 " in cpu.read(1 << 14):
            os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


for _module in COMMANDS:
    import_module(f"mlops.cli.{_module}")

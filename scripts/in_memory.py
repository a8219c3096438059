"""Run a command with its temporary files in memory, where the machine has enough.

Usage: python scripts/in_memory.py COMMAND [ARGUMENT ...]

The tests make and delete hundreds of thousands of small files, which a disk takes long
for. Where /dev/shm has no room, or there is none, the command runs as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
MEMINFO = Path("/proc/meminfo")
# What the whole suite leaves at the most, and what its processes take beside it.
FILES = 6e9
PROCESSES = 6e9


def available(meminfo: str) -> float:
    """Return how many bytes of memory are free, from what Linux says of it."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return float(value.split()[0]) * 1024
    return 0.0


def has_room(memory: Path = MEMORY, meminfo: Path = MEMINFO) -> bool:
    """Return whether temporary files fit into memory."""
    try:
        space = shutil.disk_usage(memory).free
        free = available(meminfo.read_text(encoding="utf-8"))
    except OSError:
        return False
    return space >= FILES and free >= FILES + PROCESSES


def main() -> int:
    """Run the command; return its exit code."""
    command = sys.argv[1:]
    if "TMPDIR" in os.environ or not has_room():
        return subprocess.call(command)
    with tempfile.TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True) as folder:
        try:
            return subprocess.call(command, env={**os.environ, "TMPDIR": folder})
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())

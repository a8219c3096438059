"""The time that a command takes with every process that it starts."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Processes that outlive their parent become children of this one
# (PR_SET_CHILD_SUBREAPER is 36 on Linux), so that all of them are counted.
_TIMER = """
import ctypes, json, os, resource, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
errors = open(sys.argv[1], "w")
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=errors)
code = process.wait()
wall = time.perf_counter() - begun
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([wall, usage.ru_utime + usage.ru_stime, code]))
"""


@dataclass(frozen=True)
class Spent:
    """Seconds on the wall and of the processor."""

    wall: float
    processor: float


def spent(
    command: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    expect: tuple[int, ...] = (0,),
) -> Spent:
    """Run a command once and return what it took; end where it fails.

    Parameters
    ----------
    command : sequence of str
    folder : Path
        To run it in.
    env : mapping of str to str
    expect : tuple of int
        Exit codes that are no failure.
    """
    with tempfile.NamedTemporaryFile() as errors:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TIMER, errors.name, *command],
            cwd=folder,
            env=dict(env),
            stdout=subprocess.PIPE,
            check=True,
        )
        wall, processor, code = json.loads(done.stdout)
        if code not in expect:
            sys.exit(f"{' '.join(command)} failed:\n{errors.read().decode()}")
    return Spent(wall, processor)

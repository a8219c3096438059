"""Time and peak memory of commands, fairly: run in turn, the median of several."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "{{cookiecutter.project_slug}}"
# The rehearsal and the engine are imported from where they stand.
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ENGINE / "vendor/mlops/src")]
REPEATS = int(os.environ.get("BENCH_REPEATS", "5"))


@dataclass(frozen=True)
class Command:
    """Something to time: `before` runs untimed, each time."""

    arguments: Sequence[str]
    folder: Path
    before: Callable[[], object] = lambda: None
    expect: int = 0


@dataclass(frozen=True)
class Cost:
    """Median wall seconds, the largest resident memory in MB, and processor seconds.

    The processor's are of the command and all that it starts.
    """

    seconds: float
    memory: float
    processor: float = 0.0


def environment() -> dict[str, str]:
    """Return the environment for `python -m mlops`, with compiled bytecode allowed."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {
        **env,
        "PYTHONPATH": str(ENGINE / "vendor/mlops/src"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


# The child's peak counts from its fork, so a small process has to start it, not this
# one.
_TIMER = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
errors = open(sys.argv[1], "w")
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=errors)
_, status, usage = os.wait4(process.pid, 0)
processor = usage.ru_utime + usage.ru_stime
seconds = time.perf_counter() - begun
print(json.dumps([seconds, usage.ru_maxrss / 1024, processor, status]))
"""


def once(command: Command) -> Cost:
    """Run a command once and return what it took."""
    command.before()
    with tempfile.NamedTemporaryFile() as errors:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TIMER, errors.name, *command.arguments],
            cwd=command.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds, memory, processor, status = json.loads(done.stdout)
        if os.waitstatus_to_exitcode(status) != command.expect:
            sys.exit(f"{' '.join(command.arguments)} failed:\n{errors.read().decode()}")
    return Cost(seconds, memory, processor)


def compare(commands: Mapping[str, Command], repeats: int = REPEATS) -> dict[str, Cost]:
    """Run all commands in turn, `repeats` times, and return the medians."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            costs[name].append(once(command))
    return {
        name: Cost(
            statistics.median(c.seconds for c in taken),
            statistics.median(c.memory for c in taken),
            statistics.median(c.processor for c in taken),
        )
        for name, taken in costs.items()
    }


def mlops(*arguments: str) -> list[str]:
    """Return the command line of an `mlops` command."""
    return [sys.executable, "-m", "mlops", *arguments]

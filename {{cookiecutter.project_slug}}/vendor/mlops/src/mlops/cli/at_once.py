"""One command for each of several models, several at once on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import typer

from mlops import settings
from mlops.cli.output import emit, progress


class Ended(NamedTuple):
    """A command that has ended: all that it printed, and how it went."""

    name: str
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def outcome(self) -> str:
        """How it went, in two words."""
        if self.code < 0:
            return f"killed by signal {-self.code}"
        return "ok" if self.code == 0 else f"exit code {self.code}"

    @property
    def exit_code(self) -> int:
        """The code for the whole command: what no command leaves with is 3."""
        return self.code if 0 <= self.code <= 3 else 3


def at_once(
    names: Sequence[str],
    command: Callable[[str], Sequence[str]],
    jobs: int,
    as_json: bool,
) -> None:
    """Run a command for each model, each in a process of its own; all have their turn.

    What a model prints is shown in one piece when it has ended.

    Parameters
    ----------
    names : sequence of str
    command : callable
        Takes a name and returns the words of the command after `mlops`.
    jobs : int
        How many at once; -1: as many as there are processors.
    as_json : bool
        Print one object with what each command prints, by model.

    Raises
    ------
    typer.Exit
        With the worst exit code, where one is not 0.
    """
    say = progress()
    ended: dict[str, Ended] = {}
    for one in _ended(names, command, jobs):
        ended[one.name] = one
        print(one.stderr, end="", file=sys.stderr, flush=True)
        say(f"{one.name}: {one.outcome}, {one.seconds:.0f} s")
        if not as_json and one.stdout:
            print(f"--- {one.name}\n{one.stdout}", flush=True)
    failed = [name for name in names if ended[name].code]
    if failed:
        say(f"{len(failed)} of {len(names)} failed: {', '.join(failed)}")
    if as_json:
        emit({name: _facts(ended[name]) for name in names}, "", as_json)
    if failed:
        raise typer.Exit(max(one.exit_code for one in ended.values()))


def _ended(
    names: Sequence[str], command: Callable[[str], Sequence[str]], jobs: int
) -> Iterator[Ended]:
    """Yield commands as they end; interrupted, no further one is started."""
    most = jobs if jobs > 0 else os.cpu_count() or 1
    pool = ThreadPoolExecutor(max(1, min(most, len(names))))
    now = settings.current()
    try:
        waiting: list[Future[Ended]] = [
            pool.submit(_child, name, command(name), now) for name in names
        ]
        for future in as_completed(waiting):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _child(name: str, words: Sequence[str], now: settings.Settings) -> Ended:
    """Run a command to its end."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "mlops", *words],
        cwd=now.folder,
        env=now.child_environment(PYTHONIOENCODING="utf-8"),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    seconds = time.monotonic() - begin
    return Ended(name, done.returncode, done.stdout, done.stderr, seconds)


def _facts(one: Ended) -> dict[str, Any]:
    """Return what a command printed as JSON, or that it ended without it."""
    try:
        facts = json.loads(one.stdout)
    except ValueError:
        facts = None
    if isinstance(facts, dict):
        own = facts.get(one.name, facts)
        return {"ok": False, **own} if one.code else own
    return {"ok": False, "error": [{"what": one.outcome}], "exit_code": one.exit_code}

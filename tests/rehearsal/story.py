"""Telling what a repository lives through: commands, their output, what must come of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class StoryError(Exception):
    """A step did not do what it said."""


@dataclass
class Story:
    """A repository and the commands that are run in it.

    Parameters
    ----------
    root : Path
        The repository.
    environment : dict
        For every command.
    quiet : bool
        Tell nothing (for tests).
    """

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    quiet: bool = False
    chapter: int = 0
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str = "") -> None:
        """Print a line."""
        if not self.quiet:
            print(text, flush=True)

    def tell(self, title: str, *lines: str) -> None:
        """Begin a chapter."""
        self.chapter += 1
        self.say()
        bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
        self.say(f"{bold}{self.chapter}. {title}{plain}  ({time.monotonic() - self.began:.0f} s)")
        for line in lines:
            self.say(f"   {line}")

    def run(
        self,
        command: str,
        expect: int = 0,
        contains: str = "",
        at: str | None = None,
        show: bool = True,
    ) -> str:
        """Run a command line in the repository and return what it printed.

        Parameters
        ----------
        expect : int
            Its exit code.
        contains : str
            Something that its output must contain.
        at : str, optional
            The day on which it happens, ``YYYY-MM-DD``; the engine's clock is set to it.

        Raises
        ------
        StoryError
            When the exit code or the output is another.
        """
        env = dict(self.environment)
        if at:
            day = time.strptime(f"{at} 12:00 UTC", "%Y-%m-%d %H:%M %Z")
            env["SOURCE_DATE_EPOCH"] = str(int(time.mktime(day)) - time.timezone)
        self.say(f"   $ {command}" + (f"        # on {at}" if at else ""))
        done = subprocess.run(
            command, shell=True, cwd=self.root, env=env, capture_output=True, text=True
        )
        if show:
            for line in (done.stderr + done.stdout).rstrip().splitlines():
                self.say(f"     {line}")
        if done.returncode != expect or contains not in done.stdout + done.stderr:
            raise StoryError(
                f"`{command}` ended with {done.returncode} (expected {expect}"
                + (f", and {contains!r} in its output" if contains else "")
                + f"):\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def ask(self, command: str, expect: int = 0, at: str | None = None) -> Any:
        """Run a verb with --json, show only the command, and return its answer."""
        return json.loads(self.run(f"{command} --json", expect, at=at, show=False))

    def check(self, what: str, holds: bool) -> None:
        """Say what came of a step, or fail."""
        if not holds:
            raise StoryError(f"it was expected that {what}")
        self.say(f"     ✓ {what}")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace one text in a file."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise StoryError(f"{file} holds {old!r} {text.count(old)} times")
        path.write_text(text.replace(old, new), encoding="utf-8")
        self.say(f"   ✎ {file}: {old} → {new}")

    def copy(self, source: Path, to: str) -> None:
        """Copy a file into the repository."""
        shutil.copy(source, self.root / to)
        self.say(f"   + {to}")

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.run(f'git add -A && git commit -q -m "{message}"', show=False)


@dataclass
class Service:
    """A running `mlops serve`."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str) -> Any:
        """Return the JSON at a path."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send JSON and return the answer."""
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def wait_for(self, version: str, seconds: float = 60) -> bool:
        """Wait until a version serves."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.get("/model")["version"] == version:
                return True
            time.sleep(0.2)
        return False


@contextmanager
def serving(story: Story, ref: str, *, interval: float = 0.5) -> Iterator[Service]:
    """Run the service of a stage on a free port while the block lasts."""
    command = f"mlops serve {ref} --port 0 --interval {interval}"
    story.say(f"   $ {command} &")
    log = story.root / ".mlops" / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            command.split(),
            cwd=story.root,
            env=story.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Service(_address(process, log), process)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _address(process: subprocess.Popen[str], log: Path, seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        for word in log.read_text().split():
            if word.startswith("http://"):
                return word.rstrip(".,")
        time.sleep(0.1)
    raise StoryError(f"the service did not start:\n{log.read_text()}")

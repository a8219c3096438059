"""Somebody's clone of the hub's repository: commands are run, a stage is served."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.stories.world import World


class CommandError(Exception):
    """A command failed; the text is what it printed."""


class Clone:
    """A clone, and the environment of whoever works in it.

    Parameters
    ----------
    world : World
    folder : Path
        Where it will be.
    state : Path
        The folder of prediction logs.
    """

    def __init__(self, world: World, folder: Path, state: Path) -> None:
        self.folder = folder
        self.python = world.runner.python
        world.git("clone", "--quiet", world.address(), str(folder))
        token = world.hub.tokens.issue({"contents": "read"}, actor="operator")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(world.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GITHUB_REPOSITORY": world.hub.repository,
            "GITHUB_API_URL": world.hub.api_url,
            "GITHUB_TOKEN": token,
            "MLOPS_STATE": str(state),
            "PYTHONPATH": str(folder / "vendor" / "mlops" / "src"),
        }

    def mlops(self, *arguments: str, days_ago: float = 0) -> str:
        """Run a command of the engine and return what it printed.

        Parameters
        ----------
        days_ago : float
            The engine's clock is set back so far.

        Raises
        ------
        CommandError
            When its exit code is not 0.
        """
        environment = dict(self.environment)
        if days_ago:
            then = time.time() - days_ago * 86_400
            environment["SOURCE_DATE_EPOCH"] = str(int(then))
        done = subprocess.run(
            [self.python, "-m", "mlops", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CommandError(
                f"mlops {' '.join(arguments)}: {done.stdout}{done.stderr}"
            )
        return done.stdout.rstrip()

    @contextmanager
    def serving(self, ref: str, interval: float = 4) -> Iterator[Service]:
        """Run the service of a stage while the block lasts."""
        command = [str(self.python), "-m", "mlops", "serve", ref, "--port", "0"]
        with subprocess.Popen(
            [*command, "--interval", str(interval)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                addresses = [one for one in line.split() if one.startswith("http")]
                if not addresses:
                    raise CommandError(f"the service of {ref} did not start: {line}")
                yield Service(addresses[0])
            finally:
                process.terminate()


@dataclass(frozen=True)
class Service:
    """A running `mlops serve`."""

    address: str

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at a path."""
        request = urllib.request.Request(
            self.address + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def comes_to(self, version: str, seconds: float = 60) -> bool:
        """Wait until a version serves."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.ask("/model")["version"] == version:
                return True
            time.sleep(0.2)
        return False

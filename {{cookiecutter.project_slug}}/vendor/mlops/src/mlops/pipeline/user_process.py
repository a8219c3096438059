"""The model's own code, run apart: another process does the step and hands over files.

This process loads none of that code. It gives the other one a private folder with what
the step reads, waits for it, and takes from there the files that the step writes. Code
that ends the process, kills it, never returns or writes into the build folder fails
its step; whatever it does, the verdict is written here.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from mlops import settings
from mlops.errors import Refused, error_of
from mlops.io.digests import sha256_file
from mlops.io.files import replacing
from mlops.io.user_code import require_allowed
from mlops.pipeline.state import RunState
from mlops.pipeline.step import Step
from mlops.results.training import Training

_LONGEST_LINE = 10_000_000  # bytes of an answer; the files are not in it


class UserProcess:
    """A process that does the steps which run the model's own code.

    One process serves all steps of a run. It starts at once, so that it imports
    libraries while this process reads the data.

    Parameters
    ----------
    state : RunState
    """

    def __init__(self, state: RunState) -> None:
        require_allowed(f"models/{state.name}")
        self._state = state
        self._builds = state.build.with_name(f".{state.name}.private")
        self._private = self._builds / state.name
        self._champion: Path | None = None
        self._anchor: Path | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        shutil.rmtree(self._builds, ignore_errors=True)
        self._private.mkdir(parents=True)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlops.pipeline.child"],
            cwd=state.project.root,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout
        threading.Thread(
            target=_forward,
            args=(self._process.stdout, self._lines.put),
            daemon=True,
        ).start()

    def run(self, step: Step) -> bool:
        """Do a step and return whether it passed.

        Raises
        ------
        MlopsError
            What the step raised there.
        Refused
            When the model's code ended the process, did not return in time, or wrote
            where it should not.
        """
        self._bring(step)
        before = _listing(self._state.build)
        reply = self._ask(step)
        self._require_untouched(before)
        if "defect" in reply:
            raise RuntimeError(f"in the process of user code:\n{reply['defect']}")
        if "problems" in reply:
            raise error_of(reply, "the model's own code failed")
        self._take(step)
        return reply.get("ok") is True

    def close(self) -> None:
        """End the process with all that it started, and remove its folder."""
        if os.name == "posix":
            # The group outlives its first process: also what that one left behind.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()
        shutil.rmtree(self._builds, ignore_errors=True)

    def _bring(self, step: Step) -> None:
        """Copy what a step reads into the private folder."""
        for name in (*step.reads, "features.py", "modules.json"):
            source = self._state.build / name
            if source.is_file():
                shutil.copyfile(source, self._private / name)
        release = self._state.production.release if step.asks_production else None
        if release is not None and self._champion is None:
            self._champion = self._builds / "champion"
            release.save(self._champion)
        anchor = self._state.production.anchor if step.asks_production else None
        if anchor is not None and self._anchor is None:
            self._anchor = self._builds / "anchor"
            anchor.save(self._anchor)

    def _ask(self, step: Step) -> dict[str, Any]:
        """Return what the process answers about a step."""
        state = self._state
        question = {
            "step": step.name,
            "root": str(state.project.root),
            "builds": str(self._builds),
            "name": state.name,
            "spec": state.spec.model_dump(mode="json"),
            "part": state.part,
            "champion": str(self._champion) if self._champion else None,
            "anchor": str(self._anchor) if self._anchor else None,
        }
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{json.dumps(question)}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None
        line = self._wait(step)
        if not line.endswith(b"\n"):
            raise self._ended()
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise Refused(
                "the model's own code wrote into the engine's own channel",
                file=f"models/{state.name}",
                do="print to standard output or standard error only",
            )
        return reply

    def _wait(self, step: Step) -> bytes:
        """Return the next line of the process; an empty one where it is gone."""
        seconds = settings.current().step_seconds
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            is_gone = self._process.poll() is not None
            try:
                return self._lines.get(timeout=min(1.0, seconds))
            except queue.Empty:
                if is_gone:  # what it started may keep the pipe open
                    return b""
        raise Refused(
            f"the model's own code did not return within {seconds:g} seconds",
            file=f"models/{self._state.name}",
            key=step.name,
            do="make it faster, or raise MLOPS_STEP_SECONDS",
        )

    def _ended(self) -> Refused:
        """Return the error for a process that is gone without an answer."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            how = "it closed its connection to the engine"
        else:
            how = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
        return Refused(
            f"the model's own code ended its process early ({how})",
            file=f"models/{self._state.name}",
            do=(
                "look for os._exit, os.kill and the like in its Python files; without "
                "them, signal 9 means that memory ran out"
            ),
        )

    def _require_untouched(self, before: dict[str, tuple[int, int, int]]) -> None:
        """Refuse where the build folder is not as it was before user code ran."""
        after = _listing(self._state.build)
        changed = [
            name
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        ]
        if not changed:
            return
        for name in changed:
            path = self._state.build / name
            if path.is_file() or path.is_symlink():
                path.unlink()  # whatever it is, the engine did not write it
        raise Refused(
            "the model's own code wrote into the build folder, which is the engine's",
            file=str(self._state.build),
            found=", ".join(changed)[:200],
            do="write elsewhere; what was written there is removed: run again",
        )

    def _take(self, step: Step) -> None:
        """Move the files that a step writes into the build folder."""
        build = self._state.build
        for name in step.writes:
            source = self._private / name
            try:
                facts = source.lstat()
            except FileNotFoundError:
                (build / name).unlink(missing_ok=True)
                continue
            if not stat.S_ISREG(facts.st_mode):
                raise Refused("what the step hands over is not a file", file=name)
            with replacing(build / name) as temporary:
                shutil.copyfile(source, temporary, follow_symlinks=False)
        if "model.skops" in step.writes:
            _require_consistent(build)


def _require_consistent(build: Path) -> None:
    """Refuse a model file that is not the one that its training describes."""
    training = Training.load(build)
    digest = sha256_file(build / "model.skops")
    if digest != training.model_sha256:
        raise Refused(
            "the model that was handed over is not the one that was trained",
            file=str(build / "model.skops"),
            found=digest,
            allowed=training.model_sha256,
        )


def _environment() -> dict[str, str]:
    """Return the environment of user code: little, and no credentials."""
    current = settings.current()
    paths = [path or str(current.folder) for path in sys.path]
    return current.user_code_environment(PYTHONPATH=os.pathsep.join(paths))


def _forward(pipe: IO[bytes], put: Callable[[bytes], None]) -> None:
    """Hand on each line of a pipe, and an empty one when it ends."""
    line = b"\n"
    while line.endswith(b"\n"):
        try:
            line = pipe.readline(_LONGEST_LINE)
        except (OSError, ValueError):  # closed
            line = b""
        put(line)


def _listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return the files of a folder with what tells whether they were changed."""
    files = {}
    for path in _walk(folder):
        facts = path.lstat()
        name = path.relative_to(folder).as_posix()
        files[name] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
    return files


def _walk(folder: Path) -> Iterable[Path]:
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path

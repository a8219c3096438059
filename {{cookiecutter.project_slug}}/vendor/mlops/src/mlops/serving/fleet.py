"""Several processes that answer on one port, and the process that leads them.

The leading process listens and hands its socket to the workers, so that the system
gives each connection to one that accepts, and none is lost when a worker ends. It
alone follows the stage. A new version serves once every worker has loaded and proven
it; then all are told at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlops import settings
from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, MlopsError, UsageError, error_of
from mlops.serving.check_seen import CheckSeen
from mlops.serving.follower import RegistrySeen, in_one_line, in_thread, log
from mlops.serving.rates import RATES, new_table
from mlops.serving.server import (
    STOP_SECONDS,
    Address,
    delivered,
    follow,
    listen,
    log_to_terminal,
    url_of,
)

if TYPE_CHECKING:
    from mlops.serving.app import Options

# How long a worker may take until it is ended and started again.
_PREPARE_SECONDS = 900.0
SWAP_SECONDS = 5.0
_STATUS_SECONDS = 60.0

# A worker that ends is started again after a pause, which grows while it ends soon.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0


class WorkerEnded(Exception):
    """A worker is gone, or does not answer and was ended."""


def serve_together(
    project: Project, ref: str, address: Address, options: Options, workers: int
) -> None:
    """Serve a stage from several processes until this one is told to stop.

    Parameters
    ----------
    ref : str
        ``NAME@STAGE``.
    options : Options
        How often to look at the stage, and what is taken from clients.
    workers : int
        How many processes.

    Raises
    ------
    EnvironmentFailure
        When the port is taken, or a worker cannot run.
    Refused
        When the version of the stage cannot be served.
    UsageError
        Where sockets cannot be handed to other processes.
    """
    if not hasattr(socket, "send_fds"):
        raise UsageError(
            "this system cannot hand a socket to other processes",
            key="--workers",
            found=str(workers),
            allowed="1",
            do="start several services, each with a --port of its own",
        )
    log_to_terminal()
    name, _, stage = ref.partition("@")
    follower = follow(project, name, stage)
    with (
        listen(address) as listening,
        TemporaryDirectory(prefix="mlops-serve-") as counts,
    ):
        new_table(Path(counts, RATES), options.tokens.values())
        url = url_of(address, listening)

        def ready(version: str) -> None:
            print(f"{name} {version} ({stage}) on {url}", flush=True)

        fleet = Fleet(
            ref=ref,
            look=follower.resolve,
            seen=follower.seen,
            check=follower.check,
            interval=options.interval,
            ready=ready,
        )
        for number in range(1, workers + 1):
            command = _command(ref, number, counts, options)
            fleet.workers.append(Worker(number, command, listening, Path(counts)))
        with delivered(name, options):
            asyncio.run(fleet.run())


def _command(ref: str, number: int, counts: str, options: Options) -> list[str]:
    """Return what starts a worker."""
    command = [sys.executable, "-m", "mlops", "serve-worker", ref]
    command += ["--number", str(number), "--counts", counts]
    command += ["--rate", str(options.rate)]
    command += ["--backlog", str(options.backlog)]
    if options.explain:
        command.append("--explain")
    return command


class Worker:
    """One process that serves, as the leading process sees it.

    Parameters
    ----------
    number : int
        No two that run have the same.
    command : list of str
        What starts it.
    listening : socket
        What it accepts connections from.
    counts : Path
        The folder in which the workers count together.
    """

    def __init__(
        self, number: int, command: list[str], listening: socket.socket, counts: Path
    ) -> None:
        self.number = number
        self._command = command
        self._listening = listening
        self._counts = counts
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Start the process, and hand it the listening socket."""
        current = settings.current()
        paths = [path or str(current.folder) for path in sys.path]
        environment = current.child_environment(
            PROMETHEUS_MULTIPROC_DIR=str(self._counts),
            PYTHONPATH=os.pathsep.join(paths),
        )
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(ours, [b"\n"], [self._listening.fileno()])
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=theirs.fileno(),
                env=environment,
                cwd=current.folder,
                start_new_session=True,  # Ctrl-C is for the leading process
            )
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)

    async def ask(self, order: dict[str, Any], seconds: float) -> None:
        """Have the worker do something.

        Raises
        ------
        WorkerEnded
            When it is gone; also when it has not replied in time, and was ended.
        MlopsError
            What the worker says is wrong.
        """
        async with self._turn:
            if self._writer is None:
                raise WorkerEnded
            try:
                async with asyncio.timeout(seconds):
                    self._writer.write(json.dumps(order).encode() + b"\n")
                    line = await self._reader.readline()
            except (OSError, TimeoutError, ValueError) as error:
                self.kill()
                raise WorkerEnded from error
        if not line:
            raise WorkerEnded
        reply = json.loads(line)
        if "problems" in reply:
            raise error_of(reply, "a worker failed")

    async def ended(self) -> str:
        """Wait until the process is gone; return how it ended."""
        assert self._process is not None
        code = await self._process.wait()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        from mlops.serving.metrics import forget_worker

        forget_worker(self.number, self._counts)
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    async def stop(self) -> None:
        """Have the worker answer what it has received, and end."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS + 5):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End the process now."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()


@dataclass
class Fleet:
    """Leads workers: starts them, has them serve one version, and stops them.

    Parameters
    ----------
    ref : str
        The stage, for the log.
    look : callable
        Returns the version that the stage has now.
    seen : RegistrySeen
        Kept up to date by `look`.
    check : CheckSeen
        Kept up to date by `look`.
    interval : float
        Seconds between two looks.
    ready : callable
        Called once, with the version, when all workers serve.
    """

    ref: str
    look: Callable[[], str]
    seen: RegistrySeen
    interval: float
    ready: Callable[[str], None]
    check: CheckSeen = field(default_factory=CheckSeen)
    workers: list[Worker] = field(default_factory=list)
    version: str = ""
    failure: str | None = None

    def __post_init__(self) -> None:
        self._up: set[Worker] = set()
        # Whoever holds it decides alone which version a worker serves.
        self._moving = asyncio.Lock()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT comes.

        Raises
        ------
        EnvironmentFailure, Refused
            When the first version cannot be served.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        leading = asyncio.create_task(self._lead())
        stopping = asyncio.create_task(stop.wait())
        both = {leading, stopping}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        with suppress(asyncio.CancelledError):
            await leading

    async def _lead(self) -> None:
        """Start the workers, and look after them and the stage for ever."""
        version = await in_thread(self.look)
        await asyncio.gather(*(worker.start() for worker in self.workers))
        self._up.update(self.workers)
        try:
            await self._move_to(version)
        except WorkerEnded as error:
            raise EnvironmentFailure(
                "a worker ended before it could serve",
                found=self.ref,
                do="what it wrote above says why; signal 9 means that memory ran out",
            ) from error
        await self._tell()
        self.ready(version)
        watching = (self._look_after(worker) for worker in self.workers)
        await asyncio.gather(self._follow(), *watching)

    async def _follow(self) -> None:
        """Look at the stage again and again, and tell the workers what was seen."""
        while True:
            await asyncio.sleep(self.interval)
            await self._refresh()
            await self._tell()

    async def _refresh(self) -> None:
        """Move to the version of the stage; where that fails, the old one serves on."""
        failure = None
        try:
            version = await in_thread(self.look)
            if version != self.version:
                await self._move_to(version)
        except WorkerEnded:
            failure = "a worker ended while it loaded the version"
        except (
            Exception
        ) as error:  # whatever a version brings must not stop the service
            failure = in_one_line(error)
        if failure and failure != self.failure:
            log.error("%s stays out: %s", self.ref, failure)
        self.failure = failure

    async def _move_to(self, version: str) -> None:
        """Have every worker serve a version, or none of them.

        One worker loads and proves it first: what fails then has cost the others
        nothing. A worker that is told to serve it and does not confirm within
        `SWAP_SECONDS` is ended, and started again with the new version. Where every
        worker is gone, those that are started prove it.

        Raises
        ------
        MlopsError
            When the version cannot be served.
        WorkerEnded
            When the worker that loads it first is gone.
        """
        async with self._moving:
            order = {"prepare": version}
            up = sorted(self._up, key=lambda worker: worker.number)
            if up:
                await up[0].ask(order, _PREPARE_SECONDS)
                await _all(up[1:], order, _PREPARE_SECONDS)
            self.version = version
            await _all(up, {"serve": version}, SWAP_SECONDS)
        log.info("%s is %s", self.ref, version)

    async def _tell(self) -> None:
        """Tell the workers what is known of the registry."""
        seen = self.seen.at.isoformat() if self.seen.at else None
        until = self.check.until.isoformat() if self.check.until else None
        check = {"until": until, "alarm": self.check.alarm}
        order = {"status": {"failure": self.failure, "seen": seen, "check": check}}
        await _all(list(self._up), order, _STATUS_SECONDS)

    async def _look_after(self, worker: Worker) -> None:
        """Start a worker again whenever it ends."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            begun = loop.time()
            how = await worker.ended()
            self._up.discard(worker)
            log.error("worker %d ended (%s) and is started again", worker.number, how)
            if loop.time() - begun > _STEADY_SECONDS:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                await worker.start()
                await self._bring_up(worker)
            except (MlopsError, OSError) as error:
                log.error("worker %d: %s", worker.number, in_one_line(error))
                worker.kill()
            except WorkerEnded:
                continue

    async def _bring_up(self, worker: Worker) -> None:
        """Have a worker that was started serve what the others serve."""
        while True:
            version = self.version
            await worker.ask({"prepare": version}, _PREPARE_SECONDS)
            async with self._moving:
                if version == self.version:
                    await worker.ask({"serve": version}, SWAP_SECONDS)
                    self._up.add(worker)
                    return


async def _all(workers: list[Worker], order: dict[str, Any], seconds: float) -> None:
    """Have workers do something at the same time; those that are gone are passed over.

    Raises
    ------
    MlopsError
        The first that one of them reports.
    """
    replies = (worker.ask(order, seconds) for worker in workers)
    for problem in await asyncio.gather(*replies, return_exceptions=True):
        if isinstance(problem, BaseException) and not isinstance(problem, WorkerEnded):
            raise problem

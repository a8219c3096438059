"""Validating: the snapshot is built, and its contract checked in a second process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import settings
from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.contract import check
from mlops.data.sources import lock_note
from mlops.errors import EnvironmentFailure, Problem, Refused, UsageError
from mlops.io.user_code import require_allowed
from mlops.results.data import Expectation, Validation

if TYPE_CHECKING:
    from mlops.data.snapshot import Dataset


def validate(
    project: Project,
    name: str,
    spec: ModelSpec,
    meanwhile: Callable[[], object] = lambda: None,
) -> tuple[Dataset | None, Validation]:
    """Read a model's data, check its contract, and write both to `build/NAME`.

    Parameters
    ----------
    project : Project
    name : str
    spec : ModelSpec
    meanwhile : callable
        Called while the other process checks the contract.

    Returns
    -------
    Dataset or None
        None where declared columns are missing; the contract is not checked then.
    Validation

    Raises
    ------
    UsageError
        When the data cannot be read or learned from, or the contract is not one.
    Refused
        When the contract ends the process that asks it, or does not return.
    """
    started = time.perf_counter()
    folder = project.folder(name)
    out = project.build(name)
    contract = folder / "contract.py"
    with _worker() as worker:
        # This imports pandas, while the worker imports too.
        from mlops.data.snapshot import build

        dataset, expectations = build(spec, folder)
        expectations += _reached(spec, folder)
        if dataset is not None:
            dataset.save(out)
            if worker is None:
                expectations += check(spec, contract, dataset.frame)
            else:
                question = [spec.model_dump(mode="json"), str(contract), str(out)]
                expectations += _ask(
                    worker,
                    json.dumps(question),
                    f"models/{name}/contract.py",
                    meanwhile,
                )
    validation = Validation(
        ok=all(expectation.ok for expectation in expectations),
        snapshot=dataset.snapshot if dataset else None,
        expectations=expectations,
        seconds=round(time.perf_counter() - started, 3),
    )
    validation.save(out)
    return dataset, validation


def _reached(spec: ModelSpec, folder: Path) -> tuple[Expectation, ...]:
    """Return the note that a source was out of reach; nothing where it was not."""
    note = lock_note(spec, folder)
    if not note:
        return ()
    name = "expect_the_source_to_be_within_reach"
    message = f"The newest rows should be read; {note}."
    return (Expectation(name=name, ok=True, message=message),)


@contextlib.contextmanager
def _worker() -> Iterator[subprocess.Popen[bytes] | None]:
    """Start the process that checks; none where this one has the library already."""
    if "great_expectations" in sys.modules:
        yield None
        return
    require_allowed("a data contract")
    command = [sys.executable, "-m", "mlops.data.contract_worker"]
    with subprocess.Popen(
        command,
        env=settings.current().user_code_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(
    worker: subprocess.Popen[bytes],
    question: str,
    contract: str,
    meanwhile: Callable[[], object],
) -> tuple[Expectation, ...]:
    """Return what the other process answers."""
    assert worker.stdin and worker.stdout
    with contextlib.suppress(BrokenPipeError), worker.stdin as pipe:
        pipe.write(question.encode())
    meanwhile()
    reply = _read_reply(worker)
    content = _content(reply)
    if content is None:
        code = worker.wait()
        how = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
        raise Refused(
            f"the data contract ended its process early ({how})",
            file=contract,
            do=(
                "look for exit, os._exit and the like; without them, signal 9 means "
                "that memory ran out"
            ),
        )
    if content["problems"]:
        problems = [Problem(**problem) for problem in content["problems"]]
        for kind in (UsageError, Refused):
            if content["exit_code"] == kind.exit_code:
                raise kind(*problems)
        raise EnvironmentFailure(*problems)
    return tuple(Expectation(**item) for item in content["expectations"])


def _read_reply(worker: subprocess.Popen[bytes]) -> bytes:
    """Return all that the process says; Refused where it takes too long."""
    seconds = settings.current().step_seconds
    timer = threading.Timer(seconds, worker.kill)
    timer.daemon = True
    timer.start()
    begun = time.monotonic()
    try:
        assert worker.stdout
        reply = worker.stdout.read()
    finally:
        timer.cancel()
    if time.monotonic() - begun >= seconds:
        raise Refused(
            f"the data contract did not return within {seconds:g} seconds",
            file="contract.py",
            do="make it faster, or raise MLOPS_STEP_SECONDS",
        )
    return reply


def _content(reply: bytes) -> dict[str, Any] | None:
    """Return what an answer holds; None where it is not one."""
    try:
        content = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and "problems" in content else None

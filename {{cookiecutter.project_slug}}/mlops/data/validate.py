"""`mlops validate`: the snapshot is made, and its contract asked by a process of its own.

On small data, importing Great Expectations takes longer than everything else together. So a second
process does it while this one reads, and answers when the snapshot is there.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mlops.data.contract import check, quiet
from mlops.data.dataset import Dataset, build, snapshot_frame
from mlops.errors import MlopsError, Problem, UsageError, WorldError
from mlops.project import Project
from mlops.results import Expectation, Validation
from mlops.spec import ModelSpec

Answer = tuple[Expectation, ...]
Ask = Callable[[Dataset, Path, Path], Answer]


def validate(
    project: Project, name: str, spec: ModelSpec, meanwhile: Callable[[], object] = lambda: None
) -> tuple[Dataset | None, Validation]:
    """Read a model's data, ask its contract and write snapshot and answer into `build/NAME`.

    No dataset where declared columns are missing; the contract is not asked then. UsageError when
    the data cannot be read or learnt from, or the contract is no contract. While another process
    asks the contract, `meanwhile` is done.
    """
    started = time.perf_counter()
    folder, out = project.folder(name), project.build(name)
    with _apart(meanwhile) if "great_expectations" not in sys.modules else _here() as ask:
        dataset, expectations = build(spec, folder)
        if dataset is not None:
            dataset.save(out)
            expectations += ask(dataset, folder / "contract.py", out)
    validation = Validation(
        ok=all(expectation.ok for expectation in expectations),
        snapshot=dataset.snapshot if dataset else None,
        expectations=expectations,
        seconds=round(time.perf_counter() - started, 3),
    )
    validation.save(out)
    return dataset, validation


@contextlib.contextmanager
def _here() -> Iterator[Ask]:
    """Ask in this process, where Great Expectations is imported already."""
    yield lambda dataset, contract, _: check(dataset.spec, contract, dataset.frame)


@contextlib.contextmanager
def _apart(meanwhile: Callable[[], object]) -> Iterator[Ask]:
    """Start a process that imports Great Expectations, then reads one question and answers it."""
    command = [sys.executable, "-m", "mlops.data.validate"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def ask(dataset: Dataset, contract: Path, snapshot: Path) -> Answer:
            spec = dataset.spec.model_dump(mode="json")
            question = {"spec": spec, "contract": str(contract), "snapshot": str(snapshot)}
            assert process.stdin and process.stdout
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(json.dumps(question).encode())
            meanwhile()
            said = process.stdout.read()
            if process.wait():
                do = "is there enough memory? Its last words are above"
                raise WorldError("the process that asks the data contract died", do=do)
            answer = json.loads(said)
            if answer["problems"]:
                kind = UsageError if answer["exit_code"] == UsageError.exit_code else WorldError
                raise kind(*(Problem(**problem) for problem in answer["problems"]))
            return TypeAdapter(Answer).validate_python(answer["expectations"])

        try:
            yield ask
        finally:
            process.kill()


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return what the contract says of a snapshot, or what is wrong with the contract."""
    spec, snapshot = ModelSpec.model_validate(question["spec"]), Path(question["snapshot"])
    try:
        found = check(spec, Path(question["contract"]), snapshot_frame(snapshot))
    except MlopsError as error:
        problems = [vars(problem) for problem in error.problems]
        return {"problems": problems, "exit_code": error.exit_code}
    return {"problems": [], "expectations": [e.model_dump(mode="json") for e in found]}


if __name__ == "__main__":
    gc.set_threshold(100_000)  # as in mlops.cli
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked was interrupted too, and says so
    with quiet(), contextlib.redirect_stdout(sys.stderr):
        import great_expectations.expectations  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        if asked := sys.stdin.buffer.read():  # nothing: the data could not be read
            answer = _answer(json.loads(asked))
    if asked:
        print(json.dumps(answer), flush=True)
    os._exit(0)  # who asked waits: take nothing apart

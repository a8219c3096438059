"""The validate step: the snapshot is built and its contract checked, in a second process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.contract import check
from mlops.errors import EnvironmentFailure, Problem, UsageError
from mlops.results.data import Expectation, Validation

if TYPE_CHECKING:
    from mlops.data.snapshot import Dataset


def validate(
    project: Project,
    name: str,
    spec: ModelSpec,
    meanwhile: Callable[[], object] = lambda: None,
) -> tuple[Dataset | None, Validation]:
    """Read a model's data, ask its contract and write snapshot and answer into `build/NAME`.

    No dataset where declared columns are missing; the contract is not asked then. UsageError when
    the data cannot be read or learnt from, or the contract is no contract. While another process
    asks the contract, `meanwhile` is done.
    """
    started = time.perf_counter()
    folder, out = project.folder(name), project.build(name)
    with _helper() as helper:
        from mlops.data.snapshot import (
            build,  # and pandas, while the helper imports too
        )

        dataset, expectations = build(spec, folder)
        if dataset is not None:
            dataset.save(out)
            contract = folder / "contract.py"
            if helper is None:
                expectations += check(spec, contract, dataset.frame)
            else:
                question = json.dumps(
                    [spec.model_dump(mode="json"), str(contract), str(out)]
                )
                expectations += _ask_helper(helper, question, meanwhile)
    validation = Validation(
        ok=all(expectation.ok for expectation in expectations),
        snapshot=dataset.snapshot if dataset else None,
        expectations=expectations,
        seconds=round(time.perf_counter() - started, 3),
    )
    validation.save(out)
    return dataset, validation


@contextlib.contextmanager
def _helper() -> Iterator[subprocess.Popen[bytes] | None]:
    """Start a process that imports Great Expectations; none where it is imported here already."""
    if "great_expectations" in sys.modules:
        yield None
        return
    command = [sys.executable, "-m", "mlops.data.contract"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask_helper(
    helper: subprocess.Popen[bytes], question: str, meanwhile: Callable[[], object]
) -> tuple[Expectation, ...]:
    """Return what the other process answers."""
    assert helper.stdin and helper.stdout
    with contextlib.suppress(BrokenPipeError), helper.stdin as pipe:
        pipe.write(question.encode())
    meanwhile()
    said = helper.stdout.read()
    if helper.wait():
        do = "is there enough memory? Its last words are above"
        raise EnvironmentFailure("the process that asks the data contract died", do=do)
    answer = json.loads(said)
    if answer["problems"]:
        kind = (
            UsageError
            if answer["exit_code"] == UsageError.exit_code
            else EnvironmentFailure
        )
        raise kind(*(Problem(**problem) for problem in answer["problems"]))
    return tuple(Expectation(**expectation) for expectation in answer["expectations"])

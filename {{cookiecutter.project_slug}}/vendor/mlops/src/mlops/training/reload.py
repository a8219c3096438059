"""A model read back from its files in a process that never ran the user's code.

What a service or another machine will do with the files of a version is done once, at
the end of training: load them and predict. A model that only works in the process that
made it (a class that cannot be found again, an option that estimator.py sets for the
whole process) is refused here and never written.

The process is started before the user's code is loaded, waits, and answers each
question in a copy of itself, so that it stays as it was. Where the system can copy a
process (Linux) and no user code has run yet, it is a copy of the present process, which
costs milliseconds; elsewhere it is a new interpreter, which costs the imports once.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import stat
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NoReturn

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mlops import settings
from mlops.errors import (
    EnvironmentFailure,
    MlopsError,
    Problem,
    UsageError,
    out_of_memory,
)
from mlops.io import user_code
from mlops.training.model import Model

_ROWS = "rows.parquet"
_ANSWER = "answer.json"
_PREDICTED = "predicted.parquet"

_MOST_ROWS = 20
_MOST_SECONDS = 600

_COPIES = sys.platform == "linux"


class FreshProcess:
    """A process that knows none of the user's code, and the two pipes to it."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers

    def ask(self, folder: Path) -> None:
        """Let a copy of the process answer what lies in a folder; wait until it has.

        Raises
        ------
        EnvironmentFailure
            When the process is gone or does not answer in time.
        """
        try:
            self._requests.write(f"{json.dumps(str(folder))}\n".encode())
            self._requests.flush()
            if os.name == "posix":
                ready, _, _ = select.select([self._answers], [], [], _MOST_SECONDS)
                if not ready:
                    message = f"no model was loaded back within {_MOST_SECONDS} s"
                    raise EnvironmentFailure(message, do="look at estimator.py")
            done = self._answers.readline()
        except OSError as error:
            done = b""
            reason = str(error)
        else:
            reason = "it ended"
        if not done:
            fresh_process.cache_clear()
            message = f"the process that loads the model back has ended: {reason}"
            raise EnvironmentFailure(message, do="run the command again")

    def close(self) -> None:
        """Let the process end."""
        with contextlib.suppress(OSError):
            self._requests.close()
        with contextlib.suppress(OSError):
            self._answers.close()


@cache
def fresh_process() -> FreshProcess:
    """Return the process that loads models back; it is started once.

    Called before the user's code is loaded, it is ready when the model is fitted.
    """
    pristine = _COPIES and not user_code.has_run()
    process = _copied() if pristine else _started()
    atexit.register(process.close)
    return process


def _started() -> FreshProcess:
    """Start a new interpreter."""
    engine = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {engine!r}); "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "import mlops.training.reload as r; r.main()"],
        env=settings.current().user_code_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.returncode = 0  # it ends with its input; nobody has to wait for it
    return FreshProcess(process.stdin, process.stdout)


def _copied() -> FreshProcess:
    """Copy the present process, which has all libraries and none of the user's code."""
    import skops.io  # noqa: F401  (once, here: else each copy of the copy imports it)

    requests_out, requests_in = os.pipe()
    answers_out, answers_in = os.pipe()
    with warnings.catch_warnings():
        # The copy uses no thread and no lock of this process.
        warnings.simplefilter("ignore", DeprecationWarning)
        copy = os.fork()
    if copy:
        os.close(requests_out)
        os.close(answers_in)
        return FreshProcess(os.fdopen(requests_in, "wb"), os.fdopen(answers_out, "rb"))
    try:
        os.close(requests_in)
        os.close(answers_out)
        _close_files()
        _serve(os.fdopen(requests_out, "rb"), os.fdopen(answers_in, "wb"))
    finally:
        os._exit(0)  # nothing of the process that was copied is taken apart


def _close_files() -> None:
    """Close the files that were open in the process that was copied.

    A lock on one of them would otherwise outlive its owner. Pipes stay: libraries have
    some of their own.
    """
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if number > 2 and stat.S_ISREG(os.fstat(number).st_mode):
                os.close(number)


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer folder after folder, each in a copy of this process where that works."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks was interrupted too
    while line := requests.readline():
        folder = Path(json.loads(line))
        if not hasattr(os, "fork"):
            _load_and_predict(folder)
        elif copy := os.fork():
            os.waitpid(copy, 0)
        else:
            _load_and_exit(folder)
        answers.write(b"done\n")
        answers.flush()


def _load_and_exit(folder: Path) -> NoReturn:
    try:
        _load_and_predict(folder)
    finally:
        os._exit(0)


def _load_and_predict(folder: Path) -> None:
    """Load the model in a folder, predict the rows there, write what came of it."""
    problems: list[dict[str, str]] = []
    memory = False
    request = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
    try:
        with threadpool_limits(1):
            model = Model.load(folder, request["model"], tuple(request["trusted"]))
            predicted = model.predict(pd.read_parquet(folder / _ROWS))
        predicted.to_parquet(folder / _PREDICTED)
    except MlopsError as error:
        problems = [vars(problem) for problem in error.problems]
    except MemoryError:
        memory = True
    except BaseException as error:  # user code may raise SystemExit
        problems = [{"what": f"{type(error).__name__}: {error}"[:300]}]
    reply = {"problems": problems, "memory": memory}
    (folder / _ANSWER).write_text(json.dumps(reply), encoding="utf-8")


def load_back(
    process: FreshProcess,
    model: Model,
    files: dict[str, bytes],
    rows: pd.DataFrame,
    trusted: tuple[str, ...],
) -> None:
    """Load the files of a model in a fresh process and compare its predictions.

    Parameters
    ----------
    process : FreshProcess
    model : Model
        As it was fitted.
    files : dict of str to bytes
        Name and content of all that `Model.load` reads.
    rows : DataFrame, shape (n_rows, n_columns)
        Raw rows; the first few are predicted.
    trusted : tuple of str
        `trusted_types` in project.yaml.

    Raises
    ------
    UsageError
        When the model cannot be loaded, or gives different predictions.
    EnvironmentFailure
        When there is not enough memory to load it.
    """
    shown = f"models/{model.name}/estimator.py"
    some = rows.head(_MOST_ROWS).reset_index(drop=True)
    expected = model.predict(some)
    with TemporaryDirectory(prefix="mlops-reload-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        some.to_parquet(folder / _ROWS)
        request = {"model": model.name, "trusted": trusted}
        (folder / "asked.json").write_text(json.dumps(request), encoding="utf-8")
        process.ask(folder)
        if not (folder / _ANSWER).exists():
            raise UsageError(
                "the process that loads the model ended without an answer",
                file=shown,
                do="make sure that no module of the model ends the process",
            )
        reply = json.loads((folder / _ANSWER).read_text(encoding="utf-8"))
        if reply["memory"]:
            raise out_of_memory(shown)
        if reply["problems"]:
            problems = [_problem(shown, **problem) for problem in reply["problems"]]
            raise UsageError(*problems)
        predicted = pd.read_parquet(folder / _PREDICTED)
    if not same_predictions(predicted, expected):
        raise UsageError(
            "the model gives different predictions when it is written and loaded in a "
            "fresh process",
            file=shown,
            do="let predictions depend only on the row and on what `fit` stores in the "
            "estimator, not on options or values of the process (sklearn.set_config)",
        )


def _problem(shown: str, **problem: str) -> Problem:
    """Return a problem of the fresh process, in the words of training."""
    message = (
        f"the trained model cannot be loaded in a fresh process: {problem['what']}"
    )
    return Problem(**{**problem, "what": message, "file": problem.get("file") or shown})


def same_predictions(predicted: pd.DataFrame, expected: pd.DataFrame) -> bool:
    """Return whether two frames of predictions are equal, numbers up to 1e-9."""
    if list(predicted) != list(expected) or len(predicted) != len(expected):
        return False
    for name in expected:
        one = predicted[name]
        other = expected[name]
        if pd.api.types.is_numeric_dtype(other):
            if not np.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True):
                return False
        elif not one.equals(other):
            return False
    return True


def main() -> None:
    """Answer what is asked on standard input until it ends."""
    # What libraries or the user's code print must not be taken for an answer.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        import skops.io  # noqa: F401  (now, while the model is being fitted)

        _serve(sys.stdin.buffer, answers)
    os._exit(0)

"""The process that checks the data contract: it imports Great Expectations meanwhile.

On small data, importing Great Expectations takes longer than everything else together.
So a second process does it while the first one reads, and answers when the snapshot
is there: the question comes on standard input, the answer goes to standard output, as
JSON. What the contract prints goes to standard error, so that it is not in the answer.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mlops.config.model_spec import ModelSpec
from mlops.data.contract import check, quiet
from mlops.errors import MlopsError, out_of_memory
from mlops.io.late_imports import import_late
from mlops.io.parent import end_with_parent

# Great Expectations imports them at its top, for pictures and for one expectation. They
# are a quarter of the time that its import takes.
_SELDOM_USED = ("altair", "scipy.stats")


def validate(question: bytes) -> dict[str, Any]:
    """Return what the contract says of a snapshot, or what is wrong with the contract.

    Parameters
    ----------
    question : bytes
        JSON list of the specification, the contract's file and the snapshot's folder.
    """
    from mlops.data.snapshot import snapshot_frame

    spec, contract, folder = json.loads(question)
    try:
        frame = snapshot_frame(Path(folder))
        expectations = check(ModelSpec(**spec), Path(contract), frame)
    except MlopsError as error:
        return _failure(error)
    except MemoryError:
        return _failure(out_of_memory(contract))
    return {
        "problems": [],
        "expectations": [item.model_dump(mode="json") for item in expectations],
    }


def _failure(error: MlopsError) -> dict[str, Any]:
    return {
        "problems": [vars(problem) for problem in error.problems],
        "exit_code": error.exit_code,
    }


def main() -> None:
    """Import, wait for the question, answer it, and end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    gc.set_threshold(100_000)  # as in mlops.cli
    # Who asked was interrupted too, and says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    import_late(*_SELDOM_USED)
    with quiet(), contextlib.redirect_stdout(sys.stderr):
        import great_expectations.expectations  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        question = sys.stdin.buffer.read()
        reply = validate(question) if question else None
    if reply is not None:  # else the data could not be read
        answers.write(json.dumps(reply).encode())
        answers.flush()
    os._exit(0)  # who asked waits: take nothing apart


if __name__ == "__main__":
    main()

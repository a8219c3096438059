"""Memory: no key of a file takes much of it, and lacking it is not called a defect."""

from __future__ import annotations

import os
import resource
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.data.snapshot import build
from mlops.errors import EnvironmentFailure

from .conftest import ESTIMATOR, FEATURES
from .test_config import CASES, ODD, changed, judged

Make = Callable[..., Project]

MOST = 500 * 2**20  # bytes


def within(extra: int, do: Callable[[], object]) -> str:
    """Call a function in a copy of this process that gets so many more bytes.

    Returns what went wrong; an empty text where nothing did.
    """
    out, write = os.pipe()
    copy = os.fork()
    if copy == 0:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + extra
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            do()
        except BaseException:
            os.write(write, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(out, "rb") as pipe:
        failed = pipe.read().decode()
    _, status = os.waitpid(copy, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return failed


def test_no_value_of_any_key_takes_more_than_500_mb() -> None:
    def judge_all() -> None:
        for document, cls, path in CASES:
            for value in ODD:
                judged(changed(document, path, value), cls, "file.yaml")

    assert within(MOST, judge_all) == ""


def test_the_limit_of_the_test_above_is_one() -> None:
    failed = within(MOST, lambda: np.ones(MOST // 4))
    assert "MemoryError" in failed


MUCH = "import numpy as np\nnp.ones(10**13)\n"  # 80 TB
GREEDY = {
    "estimator at import": ("estimator.py", MUCH + ESTIMATOR),
    "in build": (
        "estimator.py",
        "import numpy as np\ndef build(params):\n    return np.ones(10**13)\n",
    ),
    "features at import": ("features.py", MUCH + FEATURES),
    "in features": (
        "features.py",
        "import numpy as np\ndef features(raw):\n    return np.ones(10**13)\n",
    ),
    "in the contract": (
        "contract.py",
        "import numpy as np\ndef expectations(gxe):\n    return np.ones(10**13)\n",
    ),
}


@pytest.mark.parametrize("case", GREEDY)
def test_code_that_is_refused_memory_is_told_so(
    make_project: Make, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    file, source = GREEDY[case]
    project = make_project(n=100)
    (project.folder("churn") / file).write_text(source)
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(app, ["train", "churn"], prog_name="mlops")
    assert done.exit_code == 3, done.output
    assert "there is not enough memory" in done.stderr
    assert f"models/churn/{file}" in done.stderr.replace(str(project.root), "")
    assert "defect" not in done.stderr


def test_a_table_that_memory_does_not_hold_is_an_environment_error(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow's error is one of a bad table by its other base class."""
    project = make_project(n=50)

    def read_csv(*_given: object, **_options: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 8000000000 failed")

    monkeypatch.setattr("pyarrow.csv.read_csv", read_csv)
    with pytest.raises(EnvironmentFailure, match="not enough memory") as caught:
        build(project.model("churn"), project.folder("churn"))
    assert caught.value.problems[0].file == "models/churn/data/rows.csv"

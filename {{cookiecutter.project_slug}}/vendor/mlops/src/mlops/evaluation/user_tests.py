"""The model's own tests, run by pytest."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from mlops.config.model_spec import ModelSpec
from mlops.evaluation.outcome import EvaluationContext
from mlops.results.evaluation import Check
from mlops.training.model import Model

_OPTIONS = (
    f"-c{os.devnull}",
    "--rootdir=.",
    "-qq",
    "--import-mode=importlib",
    "--capture=sys",
    "--continue-on-collection-errors",
    "--disable-plugin-autoload",
    "-pno:cacheprovider",
)


class Plugin:
    """Fixtures for model tests, and a collector of what became of each test."""

    def __init__(
        self, context: EvaluationContext, model: Model, champion: Model | None
    ) -> None:
        self.context = context
        self.challenger = model
        self.in_production = champion
        self.checks: dict[str, Check] = {}
        self.interrupted = False

    @pytest.fixture
    def spec(self) -> ModelSpec:
        """The specification of the model (model.yaml)."""
        return self.context.spec

    @pytest.fixture
    def model(self) -> Model:
        """The model that was just trained."""
        return self.challenger

    @pytest.fixture
    def champion(self) -> Model | None:
        """The model in production, or None where there is none."""
        return self.in_production

    @pytest.fixture
    def train_set(self) -> pd.DataFrame:
        """The labelled training rows, raw; a copy on write, so a test may change it."""
        return self.context.train.copy(deep=False)

    @pytest.fixture
    def test_set(self) -> pd.DataFrame:
        """The labelled test rows, raw; a copy on write, so a test may change it.

        Columns that only the champion takes are there too, so that it can be asked.
        """
        rows = self.context.test.copy(deep=False)
        if self.in_production is None:
            return rows
        own = self.context.rows_of(self.in_production)
        for name in own.columns.difference(rows.columns):
            rows[name] = own[name].to_numpy()
        return rows

    @pytest.fixture
    def predict(self, model: Model) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """`predict(raw)` of the model; for the unchanged test set it costs nothing."""
        test = self.context.test
        columns = [f.name for f in model.signature.features]

        def predict(raw: pd.DataFrame) -> pd.DataFrame:
            if raw.reindex(columns=columns).equals(test[columns]):
                return self.context.predicted(model).copy(deep=False)
            return model.predict(raw)

        return predict

    def pytest_keyboard_interrupt(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> None:
        """Remember that the user stopped it; `pytest.exit` in a test comes here too."""
        self.interrupted = excinfo.type is KeyboardInterrupt

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is a failed check."""
        if report.failed:
            self._add(report, f"cannot be collected: {_short(report)}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Turn what pytest reports into a result; a failed teardown fails the test."""
        if report.failed:
            where = "" if report.when == "call" else f"in {report.when}: "
            self._add(report, where + _short(report))
        elif report.skipped:
            expected = getattr(report, "wasxfail", None)
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            message = why.removeprefix("Skipped: ")
            if expected is not None:
                message = f"expected to fail: {expected}"
            self._add(report, message)
        elif report.when == "call":
            self._add(report, "")

    def _add(
        self, report: pytest.CollectReport | pytest.TestReport, message: str
    ) -> None:
        self.checks[report.nodeid] = Check(
            name=report.nodeid.partition("/tests/")[2] or report.nodeid,
            ok=not report.failed,
            standard=False,
            skipped=report.skipped,
            message=message,
        )


def _short(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return what went wrong in one line: the assertion's message, no traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    line = crash.message.partition("\n")[0] if crash else _last(report.longreprtext)
    return line.removeprefix("AssertionError: ")[:300]


def _last(text: str) -> str:
    """Return the last line that pytest marks as an error, or else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E  ")]
    return (errors or lines or ["no message"])[-1][:300]


@contextmanager
def _only_new_garbage() -> Iterator[None]:
    """Let the garbage collector look at what is made from here on only.

    pytest collects twice as it ends. There are half a million objects of libraries by
    then: looking through them takes longer than the tests.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def own_tests(
    root: Path,
    folder: Path,
    context: EvaluationContext,
    model: Model,
    champion: Model | None,
) -> list[Check]:
    """Run the tests in a model's folder, where there are any.

    pytest reads no configuration of the repository and leaves no file behind. It can be
    called inside another pytest, and again after the tests have changed.
    """
    if not folder.is_dir():
        return []
    plugin = Plugin(context, model, champion)
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        patch.setattr(sys, "stderr", output)
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_CURRENT_TEST"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "dont_write_bytecode", True)
        # And a relative path: a bracket in it would be taken for a parameter.
        patch.chdir(root)
        paths = (str(folder.relative_to(root)), f"--confcutdir={folder.parent}")
        with _only_new_garbage():
            code = pytest.main([*paths, *_OPTIONS], plugins=[plugin])
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    if plugin.interrupted:
        raise KeyboardInterrupt
    checks = list(plugin.checks.values())
    complete = code in (
        0,
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    )
    if not complete and all(check.ok for check in checks):
        message = f"the tests did not finish: {_last(output.getvalue())}"
        checks.append(
            Check(name=f"{folder.name}/", ok=False, standard=False, message=message)
        )
    return checks

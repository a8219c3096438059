"""`mlops test` is pytest in this process: what is loaded as fixtures, outcomes as results."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops.evaluation.baselines import Baseline
from mlops.evaluation.bench import Bench
from mlops.results import Check, FairnessResult, Metric, Slice
from mlops.spec import ModelSpec
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

_STANDARD = Path(__file__).with_name("standard_checks.py")
_STANDARD_NAME = "mlops.evaluation.standard_checks"
_OPTIONS = (
    "--pyargs",
    "--import-mode=importlib",
    "--capture=sys",
    "--continue-on-collection-errors",
    "--disable-plugin-autoload",
    "--tb=short",
    *(f"-pno:{name}" for name in ("cacheprovider", "faulthandler", "junitxml", "pastebin")),
    *(f"-pno:{name}" for name in ("threadexception", "unraisableexception")),
)


@dataclass(frozen=True)
class Subject:
    """The model under test and all that was computed about it before the checks.

    Parameters
    ----------
    latency_ms : float
        Median time of one row.
    size_mb : float
        Of the model file.
    """

    bench: Bench
    model: Model
    champion: Model | None
    metrics: tuple[Metric, ...]
    baselines: tuple[Baseline, ...]
    slices: tuple[Slice, ...]
    fairness: tuple[FairnessResult, ...]
    latency_ms: float
    size_mb: float


SUBJECT = pytest.StashKey[Subject]()


class Plugin:
    """Fixtures for model tests, and a collector of what became of each test."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.checks: dict[str, Check] = {}
        self.interrupted = False
        self.stopped = ""
        self._names: dict[str, tuple[str, bool]] = {}

    @pytest.fixture(name="subject")
    def _subject(self) -> Subject:
        """What the standard checks judge; not meant for a model's own tests."""
        return self.subject

    @pytest.fixture
    def spec(self) -> ModelSpec:
        """The specification of the model (model.yaml)."""
        return self.subject.bench.spec

    @pytest.fixture
    def model(self) -> Model:
        """The model that was just trained."""
        return self.subject.model

    @pytest.fixture
    def champion(self) -> Model | None:
        """The model in production, or None where there is none."""
        return self.subject.champion

    @pytest.fixture
    def train_set(self) -> pd.DataFrame:
        """The labelled training rows, raw; a copy on write, so a test may change it."""
        return self.subject.bench.train.copy(deep=False)

    @pytest.fixture
    def test_set(self) -> pd.DataFrame:
        """The labelled test rows, raw; a copy on write, so a test may change it."""
        return self.subject.bench.test.copy(deep=False)

    @pytest.fixture
    def predict(self) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """`predict(raw)` of the model; for the unchanged test set it costs nothing."""
        model, test = self.subject.model, self.subject.bench.test
        columns = [feature.name for feature in model.signature.features]

        def predict(raw: pd.DataFrame) -> pd.DataFrame:
            known = len(raw) == len(test) and set(columns) <= set(raw.columns)
            if known and raw[columns].equals(test[columns]):
                return self.subject.bench.predicted(model).copy(deep=False)
            return model.predict(raw)

        return predict

    @pytest.fixture
    def say(self, request: pytest.FixtureRequest) -> Callable[[str], None]:
        """`say(text)` puts a sentence into the report beside this test."""
        return lambda text: request.node.user_properties.append(("message", text))

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let the standard checks find what they are parametrised by."""
        config.stash[SUBJECT] = self.subject

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Give each test the name that people read."""
        standard = item.path == _STANDARD
        name = f"{item.path.name}::{item.nodeid.split('::', 1)[-1]}"
        if standard:
            case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
            name = item.originalname.removeprefix("test_")  # type: ignore[attr-defined]
            name += f"[{_label(case)}]" if case else ""
        self._names[item.nodeid] = (name, standard)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember who stopped the run: the user, or a test that called `pytest.exit`."""
        self.interrupted = type(excinfo.value) is KeyboardInterrupt
        self.stopped = excinfo.exconly()

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember what stopped pytest itself, such as a test file that calls `sys.exit`."""
        self.stopped = excinfo.exconly()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is a failed check."""
        if report.failed:
            name = report.nodeid.rsplit("/", 1)[-1]
            message = f"cannot be collected: {_short(report)}"
            self.checks[report.nodeid] = Check(name=name, ok=False, standard=False, message=message)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Turn what pytest reports into a result; a failing teardown overrules a passing test."""
        if report.passed and report.when != "call":
            return
        name, standard = self._names[report.nodeid]
        message = "; ".join(str(text) for key, text in report.user_properties if key == "message")
        if report.failed:
            message = ("" if report.when == "call" else f"in {report.when}: ") + _short(report)
        elif report.skipped:
            message = _why_skipped(report)
        self.checks[report.nodeid] = Check(
            name=name,
            ok=not report.failed,
            standard=standard,
            skipped=report.skipped,
            message=message,
        )


def _label(case: Any) -> str:
    if isinstance(case, str):
        return case
    metric = getattr(case, "metric", None)
    return f"{case.column}: {metric}" if metric else str(case.column)


def _why_skipped(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}".removesuffix(": ")
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _short(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return what went wrong in one line: the message of the assertion, not the traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else getattr(report.longrepr, "errorstring", "")
    if not text:
        lines = [line.strip() for line in str(report.longrepr).splitlines() if line.strip()]
        marked = [line[1:].strip() for line in lines if line.startswith("E  ")]
        text = (marked or lines or ["no message"])[-1]
    line = text.strip().splitlines()[0].strip()
    return line.removeprefix("AssertionError: ")[:300]


def run(subject: Subject, root: Path, own: Path) -> tuple[Check, ...]:
    """Run the standard checks and the tests in the folder `own`, where there are any.

    pytest reads no configuration of the repository, leaves no file behind, and can be called
    inside another pytest and again after the tests have changed.

    Raises
    ------
    KeyboardInterrupt
        When the user stops it.
    """
    plugin, said = Plugin(subject), io.StringIO()
    # Names relative to the root: pytest would take a bracket in a path for a parameter.
    paths = [_STANDARD_NAME, *([own.relative_to(root).as_posix()] if own.is_dir() else [])]
    with _undisturbed(root, own), tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "pytest.ini"
        empty.write_text("[pytest]\n")
        places = [f"-c{empty}", f"--rootdir={root}", f"--confcutdir={own.parent}"]
        places.append(f"--basetemp={folder}/tmp")
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = pytest.main([*paths, *_OPTIONS, *places], plugins=[plugin])
    if plugin.interrupted:
        raise KeyboardInterrupt
    checks = list(plugin.checks.values())
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and all(c.ok for c in checks):
        lines = [line.strip() for line in said.getvalue().splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("E  ")] or lines or ["no message"]
        why = plugin.stopped or errors[-1].removeprefix("E").strip()
        message = f"the tests could not be run to their end: {why[:300]}"
        checks.append(Check(name=f"{own.name}/", ok=False, standard=False, message=message))
    return tuple(checks)


@contextlib.contextmanager
def _undisturbed(root: Path, own: Path) -> Iterator[None]:
    """Keep an outer pytest, its options and stale modules out, and put everything back."""
    environment, paths, modules = dict(os.environ), list(sys.path), set(sys.modules)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    here = Path.cwd()
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(here)
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file == str(_STANDARD) or Path(file).is_relative_to(own):
                del sys.modules[name]
        sys.dont_write_bytecode = bytecode
        sys.path[:] = paths
        os.environ.clear()
        os.environ.update(environment)

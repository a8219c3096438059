"""What a model has to pass: the checks of every model, and its own tests in pytest.

Each standard check is asked as often as the specification asks for it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops import listed
from mlops.evaluation.outcome import Bench, sample
from mlops.results import Check, Comparison, Evaluation
from mlops.spec import ModelSpec
from mlops.training.model import Model

# What the check is about (empty: the model), whether it holds (None: cannot be told), and why.
Answer = tuple[str, bool | None, str]
_OPTIONS = (
    *(f"-c{os.devnull}", "--rootdir=.", "-qq", "--import-mode=importlib", "--capture=sys"),
    *("--continue-on-collection-errors", "--disable-plugin-autoload", "-pno:cacheprovider"),
)


@dataclass(frozen=True)
class Subject:
    """A model and what was measured about it: all of the evaluation but its checks."""

    bench: Bench
    model: Model
    found: Evaluation
    compared: dict[str, Comparison]
    note: str
    size_mb: float

    @property
    def spec(self) -> ModelSpec:
        """The specification of the model."""
        return self.bench.spec

    def some(self, most: int) -> pd.DataFrame:
        """Return up to `most` test rows, only the features, the same every time."""
        test = self.bench.test
        rows = sample(len(test), most, self.spec.train.seed)
        return test[list(self.spec.features)].iloc[rows].reset_index(drop=True)

    def scored(self, raw: pd.DataFrame) -> np.ndarray:
        """Predict raw rows and return the numbers, shape (n_rows, n_numbers)."""
        return np.asarray(self.model.predict(raw).select_dtypes("number"), dtype=np.float64)


def floor(s: Subject) -> Iterator[Answer]:
    """The metric is not worse than the worst acceptable value."""
    for name, worst in sorted(s.spec.checks.floor.items()):
        m = next(m for m in s.found.metrics if m.name == name)
        ok = m.value >= worst if m.higher_is_better else m.value <= worst
        text = f"{name} is {m.value:.4g} ({m.low:.4g} to {m.high:.4g})"
        yield name, ok, f"{text}; the worst that is acceptable is {worst:.4g}"


def better_than(s: Subject) -> Iterator[Answer]:
    """Better than a constant; and a simpler model is not better (ML Test Score, Mo5)."""
    for name in s.spec.checks.better_than:
        c = s.compared.get(name)
        if c is None:
            yield name, None, "the primary metric is not defined on the rows that were drawn"
            continue
        text = f"{c.metric} is {c.challenger:.4g}, of the {name} model {c.champion:.4g}; better by"
        text += f" {c.difference:.4g} ({c.low:.4g} to {c.high:.4g}); {s.note}"
        if name == "dummy" and c.low <= 0:
            text += "; the test set is too small to exclude chance"
        yield name, c.difference > 0 if name == "dummy" else c.high >= 0, text


def slices(s: Subject) -> Iterator[Answer]:
    """Quality holds in every group of rows."""
    for column in s.spec.slices.columns:
        rows = [part for part in s.found.slices if part.column == column]
        told = sum(part.metric is not None for part in rows)
        text = f"{told} of {len(rows)} groups are large enough to tell"
        if bad := [part.value for part in rows if not part.ok]:
            allowed = f"{s.spec.slices.max_drop:g}"
            text = f"more than {allowed} worse than all rows together on {listed(bad)}"
        yield column, not bad, text


def fairness(s: Subject) -> Iterator[Answer]:
    """The difference between groups stays below its limit, or the exception is in writing."""
    for f in s.found.fairness:
        text = f"{f.metric} differs by {f.difference:.3f}; the limit is {f.limit:g}"
        if f.difference > f.limit and f.exception:
            text += f"; accepted: {f.exception}"
        if not f.measured:
            text = f"fewer than two groups of at least {s.spec.slices.min_rows} rows"
        yield f"{f.column}: {f.metric}", f.ok if f.measured else None, text


def invariant(s: Subject) -> Iterator[Answer]:
    """The column's value does not change a prediction."""
    raw = s.some(500)
    for column in s.spec.checks.invariant:
        before, changed = s.scored(raw), 0
        for value in raw[column].dropna().drop_duplicates().head(5):
            apart = np.abs(s.scored(raw.assign(**{column: value})) - before).max(axis=1)
            changed = max(changed, int((apart > 1e-9).sum()))
        text = f"{changed} of {len(raw)} predictions depend on `{column}`"
        yield column, not changed, text if changed else ""


def directional(s: Subject) -> Iterator[Answer]:
    """The score moves the expected way, on average over the test rows."""
    raw = s.some(2_000)
    for case in s.spec.checks.directional:
        if s.spec.task == "multiclass":
            yield case.column, None, "a multiclass model has no single score that could move"
            continue
        low, high = (s.scored(raw.assign(**{case.column: v})) for v in (case.low, case.high))
        change = float((high - low).mean())
        ok = change > 0 if case.expect == "increase" else change < 0
        text = f"from {case.low} to {case.high} the score changes by {change:.4g}"
        yield case.column, ok, text if ok else f"{text}; it should {case.expect}"


def missing_values(s: Subject) -> Iterator[Answer]:
    """A missing value in any column, or in all, still gives a prediction."""
    yield _accepts(s, list(s.spec.features), None, "a missing value")


def unseen_categories(s: Subject) -> Iterator[Answer]:
    """A category that training never saw still gives a prediction."""
    if names := [name for name, kind in s.spec.features.items() if kind == "category"]:
        yield _accepts(s, names, "a value that was never seen", "an unseen category")
    else:
        yield "", None, "no feature is a category"


def _accepts(s: Subject, columns: list[str], value: Any, what: str) -> Answer:
    """Ask with a value in each of these columns and in all, together and, if need be, apart."""
    raw = s.some(5)
    frames = {name: raw.assign(**{name: value}) for name in columns}
    frames["all of them together"] = raw.assign(**dict.fromkeys(columns, value))

    def refused(frame: pd.DataFrame) -> str:
        try:
            finite = np.isfinite(s.scored(frame)).all()
        except Exception as error:
            return _what_happened(s, error)
        return "" if finite else "a prediction that is no finite number"

    first = refused(pd.concat(frames.values(), ignore_index=True))
    if not first:
        return "", True, ""
    bad = [name for name, frame in frames.items() if refused(frame)]
    return "", False, f"{what} in {listed(bad)}: {first}"


def one_row_equals_batch(s: Subject) -> Iterator[Answer]:
    """A row gets the same answer alone as among others, and so every time."""
    raw = s.some(10)
    alone = np.vstack([s.scored(raw.iloc[[i]]) for i in range(len(raw))])
    apart = float(np.abs(s.scored(raw) - alone).max())
    ok = apart <= 1e-9
    yield "", ok, "" if ok else f"a row alone is predicted differently, by up to {apart:.2g}"


def numerically_stable(s: Subject) -> Iterator[Answer]:
    """Numbers that differ in the eighth digit give nearly the same answer, and a finite one.

    Columns of whole numbers stay as they are: a count has no eighth digit to be wrong in.
    """
    raw = s.some(1_000)
    numbers = [name for name, kind in s.spec.features.items() if kind == "number"]
    broken = [name for name in numbers if (raw[name].dropna() % 1 != 0).any()]
    before = s.scored(raw)
    after = s.scored(raw.assign(**{name: raw[name] * (1 + 1e-8) for name in broken}))
    scale = float(before.std()) if s.spec.task == "regression" else 1.0
    moved = float((np.abs(after - before).max(axis=1) > 0.01 * scale).mean())
    if not np.isfinite(after).all():
        yield "", False, "a prediction is no finite number"
    else:
        ok = moved <= 0.01
        yield "", ok, "" if ok else f"{moved:.0%} of the predictions jump by more than 1 %"


def latency(s: Subject) -> Iterator[Answer]:
    """One row is answered in time."""
    took, limit = s.found.latency_ms or 0.0, s.spec.checks.latency_ms
    yield "", took <= limit, f"one row takes {took:.1f} ms (median); the limit is {limit:g} ms"


def size(s: Subject) -> Iterator[Answer]:
    """The model file is not too large to ship."""
    limit = s.spec.checks.size_mb
    yield "", s.size_mb <= limit, f"{s.size_mb:.2f} MB; the limit is {limit:g} MB"


CHECKS: tuple[Callable[[Subject], Iterator[Answer]], ...] = (
    *(floor, better_than, slices, fairness, invariant, directional),
    *(missing_values, unseen_categories, one_row_equals_batch, numerically_stable),
    *(latency, size),
)


def standard_checks(s: Subject) -> list[Check]:
    """Ask every check; one that the specification does not ask for says so, none is absent."""
    found = []
    for check in CHECKS:
        name = check.__name__
        key = name if name in ("slices", "fairness") else f"checks.{name}"
        answers: list[Answer] = []
        try:
            answers.extend(check(s))
        except Exception as error:
            answers.append(("", False, _what_happened(s, error)))
        for case, ok, message in answers or [("", None, f"model.yaml has no {key}")]:
            full = f"{name}[{case}]" if case else name
            found.append(Check(name=full, ok=ok is not False, skipped=ok is None, message=message))
    return found


def _what_happened(s: Subject, error: Exception) -> str:
    """Return an error in one line; only its kind where it could show a sensitive value."""
    kind = type(error.__cause__ or error).__name__
    if set(s.spec.sensitive) & set(s.spec.features):
        return kind
    line, _, _ = str(error).partition("\n")
    return f"{kind}: {line[:200]}"


class Plugin:
    """Fixtures for model tests, and a collector of what became of each test."""

    def __init__(self, bench: Bench, model: Model, champion: Model | None) -> None:
        self.bench, self.models = bench, (model, champion)
        self.checks: dict[str, Check] = {}
        self.interrupted = False

    @pytest.fixture
    def spec(self) -> ModelSpec:
        """The specification of the model (model.yaml)."""
        return self.bench.spec

    @pytest.fixture
    def model(self) -> Model:
        """The model that was just trained."""
        return self.models[0]

    @pytest.fixture
    def champion(self) -> Model | None:
        """The model in production, or None where there is none."""
        return self.models[1]

    @pytest.fixture
    def train_set(self) -> pd.DataFrame:
        """The labelled training rows, raw; a copy on write, so a test may change it."""
        return self.bench.train.copy(deep=False)

    @pytest.fixture
    def test_set(self) -> pd.DataFrame:
        """The labelled test rows, raw; a copy on write, so a test may change it."""
        return self.bench.test.copy(deep=False)

    @pytest.fixture
    def predict(self, model: Model) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """`predict(raw)` of the model; for the unchanged test set it costs nothing."""
        test, columns = self.bench.test, [f.name for f in model.signature.features]

        def predict(raw: pd.DataFrame) -> pd.DataFrame:
            if raw.reindex(columns=columns).equals(test[columns]):
                return self.bench.predicted(model).copy(deep=False)
            return model.predict(raw)

        return predict

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that the user stopped it; `pytest.exit` in a test comes here too."""
        self.interrupted = excinfo.type is KeyboardInterrupt

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is a failed check."""
        if report.failed:
            self._add(report, f"cannot be collected: {_short(report)}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Turn what pytest reports into a result; a failing teardown overrules a passing test."""
        if report.failed:
            where = "" if report.when == "call" else f"in {report.when}: "
            self._add(report, where + _short(report))
        elif report.skipped:
            expected = getattr(report, "wasxfail", None)
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            skip = why.removeprefix("Skipped: ")
            self._add(report, skip if expected is None else f"expected to fail: {expected}")
        elif report.when == "call":
            self._add(report, "")

    def _add(self, report: pytest.CollectReport | pytest.TestReport, message: str) -> None:
        self.checks[report.nodeid] = Check(
            name=report.nodeid.partition("/tests/")[2] or report.nodeid,
            ok=not report.failed,
            standard=False,
            skipped=report.skipped,
            message=message,
        )


def _short(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return what went wrong in one line: the message of the assertion, not the traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    line = crash.message.partition("\n")[0] if crash else _last(report.longreprtext)
    return line.removeprefix("AssertionError: ")[:300]


def _last(text: str) -> str:
    """Return the last line that pytest marks as an error, or else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E  ")]
    return (errors or lines or ["no message"])[-1][:300]


def own_tests(
    root: Path, folder: Path, bench: Bench, model: Model, champion: Model | None
) -> list[Check]:
    """Run the tests in a model's folder, where there are any.

    pytest reads no configuration of the repository, leaves no file behind, and can be called
    inside another pytest and again after the tests have changed.
    """
    if not folder.is_dir():
        return []
    plugin, said = Plugin(bench, model, champion), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", said)
        patch.setattr(sys, "stderr", said)
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_CURRENT_TEST"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.chdir(root)  # and a relative path: a bracket in it would be taken for a parameter
        paths = (str(folder.relative_to(root)), f"--confcutdir={folder.parent}")
        code = pytest.main([*paths, *_OPTIONS], plugins=[plugin])
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    if plugin.interrupted:
        raise KeyboardInterrupt
    checks = list(plugin.checks.values())
    complete = code in (0, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if not complete and all(check.ok for check in checks):
        message = f"the tests could not be run to their end: {_last(said.getvalue())}"
        checks.append(Check(name=f"{folder.name}/", ok=False, standard=False, message=message))
    return checks

"""The checks that every model has to pass; a pytest module, parametrised by the specification."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.errors import listed
from mlops.evaluation.bench import sample
from mlops.evaluation.plugin import SUBJECT, Subject
from mlops.results import Signature
from mlops.spec import Directional, Fairness, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]
_CASES: dict[str, tuple[str, Callable[[ModelSpec], Any]]] = {
    "test_floor": ("checks.floor", lambda spec: sorted(spec.checks.floor)),
    "test_better_than": ("checks.better_than", lambda spec: spec.checks.better_than),
    "test_slices": ("slices.columns", lambda spec: spec.slices.columns),
    "test_fairness": ("fairness", lambda spec: spec.fairness),
    "test_invariant": ("checks.invariant", lambda spec: spec.checks.invariant),
    "test_directional": ("checks.directional", lambda spec: spec.checks.directional),
}
_UNSEEN = "a value that was never seen"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per entry of the specification; where there is none, one that says so."""
    if "case" in metafunc.fixturenames:
        key, of = _CASES[metafunc.function.__name__]
        cases = list(of(metafunc.config.stash[SUBJECT].bench.spec))
        nothing = pytest.param(None, marks=pytest.mark.skip(reason=f"model.yaml has no {key}"))
        metafunc.parametrize("case", cases or [nothing], ids=range(max(len(cases), 1)))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Few rows at a time: on a busy machine many threads only wait for each other."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def scores(predicted: pd.DataFrame, signature: Signature) -> np.ndarray:
    """Return the numbers of a prediction, shape (n_rows, n_numbers)."""
    if signature.task == "multiclass":
        columns = [f"p_{c}" for c in signature.classes]
    else:
        columns = ["score" if signature.task == "binary" else "prediction"]
    return np.asarray(predicted[columns], dtype=np.float64)


def some(subject: Subject, most: int) -> pd.DataFrame:
    """Return up to `most` test rows, only the features, the same every time."""
    test, spec = subject.bench.test, subject.bench.spec
    columns = [feature.name for feature in subject.model.signature.features]
    return test[columns].iloc[sample(len(test), most, spec.train.seed)].reset_index(drop=True)


def scored(subject: Subject, raw: pd.DataFrame) -> np.ndarray:
    """Predict raw rows and return the numbers."""
    return scores(subject.model.predict(raw), subject.model.signature)


def test_floor(subject: Subject, case: str, say: Say) -> None:
    """The metric is not worse than the worst acceptable value."""
    metric = next(m for m in subject.metrics if m.name == case)
    floor = subject.bench.spec.checks.floor[case]
    ok = metric.value >= floor if metric.higher_is_better else metric.value <= floor
    text = f"{case} is {metric.value:.4g} ({metric.low:.4g} to {metric.high:.4g})"
    text += f"; the worst that is acceptable is {floor:.4g}"
    say(text)
    assert ok, text


def test_better_than(subject: Subject, case: str, say: Say) -> None:
    """Better than a constant; and a simpler model is not better (ML Test Score, Mo5)."""
    found = next(b for b in subject.baselines if b.name == case)
    c = found.comparison
    if c is None:
        pytest.skip("the primary metric is not defined on the rows that were drawn")
    text = f"{c.metric} is {c.challenger:.4g}, of the {case} model {c.champion:.4g}; better by"
    text += f" {c.difference:.4g} ({c.low:.4g} to {c.high:.4g}); {found.note}"
    worse = c.difference <= 0 if case == "dummy" else c.high < 0
    if case == "dummy" and c.low <= 0:
        text += "; the test set is too small to exclude chance"
    say(text)
    assert not worse, text


def test_slices(subject: Subject, case: str, say: Say) -> None:
    """Quality holds in every group of rows."""
    rows = [s for s in subject.slices if s.column == case]
    bad = [s.value for s in rows if not s.ok]
    allowed = subject.bench.spec.slices.max_drop
    say(f"{sum(s.metric is not None for s in rows)} of {len(rows)} groups are large enough to tell")
    assert not bad, f"more than {allowed:g} worse than all rows together on {listed(bad)}"


def test_fairness(subject: Subject, case: Fairness, say: Say) -> None:
    """The difference between groups stays below its limit, or the exception is in writing."""
    at = subject.bench.spec.fairness.index(case)
    result, fewest = subject.fairness[at], subject.bench.spec.slices.min_rows
    if sum(g.rows >= fewest for g in result.groups) < 2:
        pytest.skip(f"fewer than two groups of at least {fewest} rows")
    text = f"{case.metric} differs by {result.difference:.3f}; the limit is {result.limit:g}"
    if result.difference > result.limit and result.exception:
        text += f"; accepted: {result.exception}"
    say(text)
    assert result.ok, text


def test_invariant(subject: Subject, case: str) -> None:
    """The column's value does not change a prediction."""
    raw = some(subject, 500)
    before = scored(subject, raw)
    for value in raw[case].dropna().drop_duplicates().head(5):
        after = scored(subject, raw.assign(**{case: value}))
        changed = int((np.abs(after - before).max(axis=1) > 1e-9).sum())
        assert not changed, f"{changed} of {len(raw)} predictions depend on `{case}`"


def test_directional(subject: Subject, case: Directional, say: Say) -> None:
    """The score moves the expected way, on average over the test rows."""
    if subject.model.signature.task == "multiclass":
        pytest.skip("a multiclass model has no single score that could move")
    raw = some(subject, 2_000)
    low, high = (scored(subject, raw.assign(**{case.column: v})) for v in (case.low, case.high))
    change = float((high - low).mean())
    text = f"from {case.low} to {case.high} the score changes by {change:.4g}"
    say(text)
    moved = change > 0 if case.expect == "increase" else change < 0
    assert moved, f"{text}; it should {case.expect}"


def _accepts(subject: Subject, columns: list[str], value: Any, what: str) -> None:
    """Fail when a value in any of these columns, or in all, is not answered by finite numbers."""
    import pandas as pd

    raw = some(subject, 5)
    frames = {name: raw.assign(**{name: value}) for name in columns}
    frames["all of them together"] = raw.assign(**dict.fromkeys(columns, value))

    def refused(frame: pd.DataFrame) -> str:
        try:
            finite = np.isfinite(scored(subject, frame)).all()
        except Exception as error:
            kind = type(error.__cause__ or error).__name__
            hidden = set(subject.bench.spec.sensitive) & set(raw.columns)
            return kind if hidden else f"{kind}: {str(error).splitlines()[0][:200]}"
        return "" if finite else "a prediction that is no finite number"

    if first := refused(pd.concat(frames.values(), ignore_index=True)):
        bad = [name for name, frame in frames.items() if refused(frame)]
        raise AssertionError(f"{what} in {listed(bad)}: {first}")


def test_missing_values(subject: Subject) -> None:
    """A missing value in any column, or in all, still gives a prediction."""
    names = [feature.name for feature in subject.model.signature.features]
    _accepts(subject, names, None, "a missing value")


def test_unseen_categories(subject: Subject) -> None:
    """A category that training never saw still gives a prediction."""
    features = subject.model.signature.features
    names = [feature.name for feature in features if feature.kind == "category"]
    if not names:
        pytest.skip("no feature is a category")
    _accepts(subject, names, _UNSEEN, "an unseen category")


def test_one_row_equals_batch(subject: Subject) -> None:
    """A row gets the same answer alone as among others."""
    raw = some(subject, 10)
    together = scored(subject, raw)
    alone = np.vstack([scored(subject, raw.iloc[[i]]) for i in range(len(raw))])
    apart = float(np.abs(together - alone).max())
    assert apart <= 1e-9, f"a row alone is predicted differently, by up to {apart:.2g}"


def test_deterministic(subject: Subject) -> None:
    """The same rows get exactly the same answer twice."""
    raw = some(subject, 1_000)
    first, second = scored(subject, raw), scored(subject, raw)
    changed = int((first != second).any(axis=1).sum())
    assert not changed, f"{changed} of {len(raw)} rows were predicted differently the second time"


def test_numerically_stable(subject: Subject) -> None:
    """Numbers that differ in the eighth digit give nearly the same answer, and a finite one.

    Columns of whole numbers stay as they are: a count has no eighth digit to be wrong in.
    """
    raw = some(subject, 1_000)
    kinds = {f.name: f.kind for f in subject.model.signature.features}
    numbers = [c for c in raw if kinds[c] == "number" and (raw[c].dropna() % 1 != 0).any()]
    before = scored(subject, raw)
    after = scored(subject, raw.assign(**{name: raw[name] * (1 + 1e-8) for name in numbers}))
    assert np.isfinite(after).all(), "a prediction is no finite number"
    regression = subject.model.signature.task == "regression"
    scale = float(before.std()) if regression else 1.0
    moved = np.abs(after - before).max(axis=1) > 0.01 * scale
    assert moved.mean() <= 0.01, f"{moved.mean():.0%} of the predictions jump by more than 1 %"


def test_latency(subject: Subject, say: Say) -> None:
    """One row is answered in time."""
    limit = subject.bench.spec.checks.latency_ms
    text = f"one row takes {subject.latency_ms:.1f} ms (median); the limit is {limit:g} ms"
    say(text)
    assert subject.latency_ms <= limit, text


def test_size(subject: Subject, say: Say) -> None:
    """The model file is not too large to ship."""
    limit = subject.bench.spec.checks.size_mb
    text = f"the model file has {subject.size_mb:.2f} MB; the limit is {limit:g} MB"
    say(text)
    assert subject.size_mb <= limit, text

"""The standard checks that every model has to pass.

Each standard check is asked as often as the specification asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops.config.model_spec import ModelSpec
from mlops.errors import listed
from mlops.evaluation.measurements import Measurements
from mlops.evaluation.outcome import EvaluationContext, sample
from mlops.results.evaluation import Check, FairnessResult
from mlops.results.verdict import Comparison
from mlops.training.model import Model

_MOST_ASKED = 500  # rows with a value in one column
_MOST_SINGLE = 2000  # cells of the rows that are predicted one by one


@dataclass(frozen=True)
class NotAsked:
    """The answer of a check that nothing asks for."""


# What the check is about (empty: the model), whether it holds (None: it was asked for
# and could not be measured), why.
Answer = tuple[str, bool | NotAsked | None, str]


@dataclass(frozen=True)
class CheckContext:
    """A model and what was measured of it."""

    context: EvaluationContext
    model: Model
    measured: Measurements
    size_mb: float

    @property
    def spec(self) -> ModelSpec:
        """The specification of the model."""
        return self.context.spec

    def some(self, most: int) -> pd.DataFrame:
        """Return up to `most` test rows, only the features, the same every time."""
        test = self.context.test
        rows = sample(len(test), most, self.spec.train.seed)
        return test[list(self.spec.features)].iloc[rows].reset_index(drop=True)

    def scored(self, raw: pd.DataFrame) -> np.ndarray:
        """Predict raw rows and return the numbers, shape (n_rows, n_numbers)."""
        return np.asarray(
            self.model.predict(raw).select_dtypes("number"), dtype=np.float64
        )


def floor(s: CheckContext) -> Iterator[Answer]:
    """The metric is shown to be no worse than the worst acceptable value.

    The worse end of its interval decides: a model that is as bad as the floor meets it
    with a chance of 2.5 %.
    """
    for name, worst in sorted(s.spec.checks.floor.items()):
        metric = next(m for m in s.measured.metrics if m.name == name)
        text = f"{name} is {metric.value:.4g} ({metric.low:.4g} to {metric.high:.4g})"
        text += f"; the worst that is acceptable is {worst:.4g}"
        ok = metric.worst_within(worst)
        if not ok and metric.is_within(worst):
            text += "; inconclusive: add test rows, or change the floor"
        yield name, ok, text


def better_than(s: CheckContext) -> Iterator[Answer]:
    """Shown to be better than a constant; a simpler model is not shown to be better.

    ML Test Score, Mo5. A worthless model passes with a chance of 2.5 %.
    """
    against = s.measured.baselines
    rows = f"trained on {against.trained_on:,} of {against.of:,} rows"
    note = f"{rows}, compared on {against.compared_on:,}"
    for name in s.spec.checks.better_than:
        compared = against.by_name.get(name)
        if compared is None:
            why = "the primary metric is not defined on the rows that were drawn"
            yield name, None, why
            continue
        text = (
            f"{compared.metric} is {compared.challenger:.4g}, of the {name} model "
            f"{compared.champion:.4g}; {by_how_much(compared)}; {note}"
        )
        if name == "simple":
            yield name, compared.high >= 0, text
            continue
        ok = compared.low > 0
        yield name, ok, text if ok else f"not shown to beat a constant: {text}"


def by_how_much(compared: Comparison) -> str:
    """Return by how much the model is better or worse: a size has no sign."""
    way = "worse" if compared.difference < 0 else "better"
    ends = f"{compared.low:+.4g} to {compared.high:+.4g}"
    return f"{way} by {abs(compared.difference):.4g} (difference {ends})"


def slices(s: CheckContext) -> Iterator[Answer]:
    """Quality holds in every group of rows."""
    for column in s.spec.slices.columns:
        rows = [part for part in s.measured.slices if part.column == column]
        measured = sum(part.metric is not None for part in rows)
        text = f"{measured} of {len(rows)} groups are large enough to tell"
        bad = [part.value for part in rows if not part.ok]
        if bad:
            allowed = f"{s.spec.slices.max_drop:g}"
            text = f"more than {allowed} worse than all rows together on {listed(bad)}"
        yield column, not bad if measured else None, text


def fairness(s: CheckContext) -> Iterator[Answer]:
    """Groups are not shown to differ by more than the limit, or an exception is made.

    Where the bounds lie on both sides of the limit, the check has no result.
    """
    for f in s.measured.fairness:
        if f.limit is not None:
            case = f"{f.column}: {f.metric}"
            yield _limit_between_groups(f, case, s.spec.slices.min_rows)


def _limit_between_groups(f: FairnessResult, case: str, fewest: int) -> Answer:
    """Return whether a limit holds; None where nothing tells."""
    if not f.measured:
        return case, None, f"fewer than two groups of at least {fewest} rows"
    text = f"{f.metric} differs by {f.difference:.3f}"
    if f.low is not None and f.high is not None:
        text += f" (between {f.low:.3f} and {f.high:.3f}, all pairs of groups counted)"
    text += f"; the limit is {f.limit:g}"
    if f.exceeds and f.exception:
        text += f"; accepted: {f.exception}"
    if f.inconclusive:
        return case, None, f"inconclusive: {text}"
    return case, f.ok, text


def invariant(s: CheckContext) -> Iterator[Answer]:
    """The column's value does not change a prediction."""
    raw = s.some(500)
    for column in s.spec.checks.invariant:
        before = s.scored(raw)
        changed = 0
        for value in raw[column].dropna().drop_duplicates().head(5):
            apart = np.abs(s.scored(raw.assign(**{column: value})) - before).max(axis=1)
            changed = max(changed, int((apart > 1e-9).sum()))
        text = f"{changed} of {len(raw)} predictions depend on `{column}`"
        yield column, not changed, text if changed else ""


def directional(s: CheckContext) -> Iterator[Answer]:
    """The score moves the expected way, on average over the test rows."""
    raw = s.some(2_000)
    for case in s.spec.checks.directional:
        if s.spec.task == "multiclass":
            why = "a multiclass model has no single score that could move"
            yield case.column, None, why
            continue
        low = s.scored(raw.assign(**{case.column: case.low}))
        high = s.scored(raw.assign(**{case.column: case.high}))
        change = float((high - low).mean())
        ok = change > 0 if case.expect == "increase" else change < 0
        text = f"from {case.low} to {case.high} the score changes by {change:.4g}"
        yield case.column, ok, text if ok else f"{text}; it should {case.expect}"


def missing_values(s: CheckContext) -> Iterator[Answer]:
    """A missing value in any column, or in all, still gives a prediction."""
    yield _accepts(s, list(s.spec.features), None, "a missing value")


def unseen_categories(s: CheckContext) -> Iterator[Answer]:
    """A category that training never saw still gives a prediction."""
    names = [name for name, kind in s.spec.features.items() if kind == "category"]
    if names:
        yield _accepts(s, names, "a value that was never seen", "an unseen category")
    else:
        yield "", NotAsked(), "no feature is a category"


def _accepts(s: CheckContext, columns: list[str], value: Any, described: str) -> Answer:
    """Ask with a value in each of these columns, and in all of them.

    The time is linear in the cells of one frame: the more columns, the fewer rows each.
    """
    raw = s.some(max(1, min(5, _MOST_ASKED // len(columns))))
    everywhere = _with_value(raw, dict.fromkeys(columns, slice(None)), value)

    def refused(frame: pd.DataFrame) -> str:
        try:
            finite = np.isfinite(s.scored(frame)).all()
        except MemoryError:
            raise
        except Exception as error:
            return _described(s, error)
        return "" if finite else "a prediction that is not finite"

    def refusing(names: list[str]) -> list[str]:
        """Return which columns are refused, asking half by half."""
        if not refused(_one_by_one(raw, names, value)):
            return []
        if len(names) == 1:
            return names
        middle = len(names) // 2
        return refusing(names[:middle]) + refusing(names[middle:])

    together = pd.concat([_one_by_one(raw, columns, value), everywhere])
    first = refused(together.reset_index(drop=True))
    if not first:
        return "", True, ""
    bad = refusing(columns)
    if refused(everywhere):
        bad.append("all of them together")
    return "", False, f"{described} in {listed(bad)}: {first}"


def _one_by_one(raw: pd.DataFrame, columns: list[str], value: Any) -> pd.DataFrame:
    """Return the rows again for each of these columns, with the value in that one."""
    positions = np.tile(np.arange(len(raw)), len(columns))
    where = {name: _repeated(number, len(raw)) for number, name in enumerate(columns)}
    return _with_value(raw.iloc[positions].reset_index(drop=True), where, value)


def _repeated(number: int, rows: int) -> slice:
    """Return where the rows stand that were repeated for a column."""
    return slice(number * rows, (number + 1) * rows)


def _with_value(
    frame: pd.DataFrame, where: dict[str, slice], value: Any
) -> pd.DataFrame:
    """Return a frame with a value in some rows of some columns.

    Every column keeps its type, and the frame is made once: a thousand columns are not
    a thousand copies.
    """
    columns: dict[str, Any] = dict(frame.items())
    for name, rows in where.items():
        column = columns[name]
        if value is None and column.dtype == np.float64:
            # pandas takes fifty times as long to mask one column.
            numbers = column.to_numpy(copy=True)
            numbers[rows] = np.nan
            columns[name] = numbers
            continue
        chosen = np.zeros(len(frame), dtype=bool)
        chosen[rows] = True
        columns[name] = column.mask(chosen, value)
    return pd.DataFrame(columns, index=frame.index)


def one_row_equals_batch(s: CheckContext) -> Iterator[Answer]:
    """A row gets the same answer alone as among others, and so every time."""
    raw = s.some(max(3, min(10, _MOST_SINGLE // len(s.spec.features))))
    single = np.vstack([s.scored(raw.iloc[[i]]) for i in range(len(raw))])
    apart = float(np.abs(s.scored(raw) - single).max())
    if apart <= 1e-9:
        yield "", True, ""
    else:
        yield "", False, f"a row alone is predicted differently, by up to {apart:.2g}"


def numerically_stable(s: CheckContext) -> Iterator[Answer]:
    """Numbers that differ in the eighth digit give nearly the same, finite predictions.

    Columns of whole numbers stay as they are: a count has no wrong eighth digit.
    """
    raw = s.some(1_000)
    numbers = [name for name, kind in s.spec.features.items() if kind == "number"]
    values = raw[numbers].to_numpy(dtype=np.float64)
    whole = np.isnan(values) | (values % 1 == 0)
    columns: dict[str, Any] = dict(raw.items())
    for number in np.flatnonzero(~whole.all(axis=0)).tolist():
        columns[numbers[number]] = values[:, number] * (1 + 1e-8)
    before = s.scored(raw)
    after = s.scored(pd.DataFrame(columns, index=raw.index))
    scale = float(before.std()) if s.spec.task == "regression" else 1.0
    moved = float((np.abs(after - before).max(axis=1) > 0.01 * scale).mean())
    if not np.isfinite(after).all():
        yield "", False, "a prediction is not finite"
    else:
        ok = moved <= 0.01
        text = f"{moved:.0%} of the predictions change by more than 1 %"
        yield "", ok, "" if ok else text


def latency(s: CheckContext) -> Iterator[Answer]:
    """One row is answered in time."""
    took = s.measured.latency_ms
    limit = s.spec.checks.latency_ms
    text = f"one row takes {took:.1f} ms of processor time (median)"
    yield "", took <= limit, f"{text}; the limit is {limit:g} ms"


def size(s: CheckContext) -> Iterator[Answer]:
    """The model file is not too large to ship."""
    limit = s.spec.checks.size_mb
    yield "", s.size_mb <= limit, f"{s.size_mb:.2f} MB; the limit is {limit:g} MB"


@dataclass(frozen=True)
class StandardCheck:
    """One check: its name in reports, what asks it, and the key that tunes it."""

    name: str
    ask: Callable[[CheckContext], Iterator[Answer]]
    key: str


# In the order of the report.
CHECKS = (
    StandardCheck("floor", floor, "checks.floor"),
    StandardCheck("better_than", better_than, "checks.better_than"),
    StandardCheck("slices", slices, "slices"),
    StandardCheck("fairness", fairness, "fairness"),
    StandardCheck("invariant", invariant, "checks.invariant"),
    StandardCheck("directional", directional, "checks.directional"),
    StandardCheck("missing_values", missing_values, "checks.missing_values"),
    StandardCheck("unseen_categories", unseen_categories, "checks.unseen_categories"),
    StandardCheck(
        "one_row_equals_batch", one_row_equals_batch, "checks.one_row_equals_batch"
    ),
    StandardCheck(
        "numerically_stable", numerically_stable, "checks.numerically_stable"
    ),
    StandardCheck("latency", latency, "checks.latency_ms"),
    StandardCheck("size", size, "checks.size_mb"),
)


def standard_checks(s: CheckContext) -> list[Check]:
    """Ask every check; one that the specification does not ask for says so."""
    checks = []
    for check in CHECKS:
        for case, ok, message in _answers(check, s):
            checks.append(
                Check(
                    name=f"{check.name}[{case}]" if case else check.name,
                    ok=ok is not False,
                    skipped=not isinstance(ok, bool),
                    applies=not isinstance(ok, NotAsked),
                    message=message,
                )
            )
    return checks


def _answers(check: StandardCheck, s: CheckContext) -> list[Answer]:
    """Return what a check answers; one that raises has failed, none is absent."""
    answers: list[Answer] = []
    try:
        answers.extend(check.ask(s))
    except MemoryError:
        raise  # the machine failed, not the model
    except Exception as error:
        answers.append(("", False, _described(s, error)))
    return answers or [("", NotAsked(), f"model.yaml has no {check.key}")]


def _described(s: CheckContext, error: Exception) -> str:
    """Return an error in one line, or its kind where it could show sensitive values."""
    kind = type(error.__cause__ or error).__name__
    if set(s.spec.sensitive) & set(s.spec.features):
        return kind
    line, _, _ = str(error).partition("\n")
    return f"{kind}: {line[:200]}"

"""Realistic facts for tests and pictures of reports, from seeded numbers."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np

from mlops.config.model_spec import ModelSpec
from mlops.reporting.run_report import PredictedRows, RunInfo, RunReport
from mlops.results.data import (
    ColumnSummary,
    Expectation,
    Snapshot,
    SourceFile,
    Validation,
)
from mlops.results.evaluation import (
    Check,
    Evaluation,
    FairnessResult,
    FeatureImportance,
    Group,
    Importance,
    Metric,
    Slice,
)
from mlops.results.since_production import Change, SliceDifference, VersionMetric
from mlops.results.training import Feature, Signature, Training
from mlops.results.verdict import (
    Compared,
    Comparison,
    Condition,
    ConditionFailed,
    Failure,
    Ground,
    Verdict,
)

Decision = Literal["promote", "reject", "inconclusive"]


def spec(task: str = "binary", **changes: Any) -> ModelSpec:
    """Return a specification like that of the example."""
    metrics = {
        "binary": {
            "primary": "roc_auc",
            "others": ["average_precision", "accuracy", "brier"],
        },
        "multiclass": {"primary": "macro_f1", "others": ["accuracy", "log_loss"]},
        "regression": {"primary": "mae", "others": ["rmse", "r2"]},
    }[task]
    raw: dict[str, Any] = {
        "description": "Who is in work, from the census of Massachusetts.",
        "task": task,
        "owner": "@acme/data-science",
        "intended_use": "Planning of regional job centres, in aggregates of at least "
        "500 people.",
        "limits": "Not for decisions about one person.",
        "risk": "limited",
        "risk_reason": "Aggregates steer money, no person is judged.",
        "data": {
            "source": "data/2015.csv",
            "target": "employed",
            "time": "year",
            "positive": "yes" if task == "binary" else None,
        },
        "features": {
            "age": "number",
            "schooling": "category",
            "marital_status": "category",
        },
        "sensitive": ["sex", "disability"],
        "metrics": metrics,
        "slices": {"columns": ["schooling", "marital_status"]},
    }
    return ModelSpec.model_validate({**raw, **changes})


def validation(ok: bool = True) -> Validation:
    """Return a validation that passed, or one that two rows in a hundred fail."""
    kept = [
        Expectation(
            name="expect_column_values_to_not_be_null", column=c, ok=True, message=m
        )
        for c, m in (
            ("age", "no value is missing"),
            ("schooling", "no value is missing"),
        )
    ]
    broken = Expectation(
        name="expect_column_values_to_be_between",
        column="age",
        ok=False,
        message="expected 16 to 99, found -4 to 999",
        failed_rows=312,
        failed_share=0.0208,
        examples=("999", "-4", "120"),
    )
    secret = Expectation(
        name="expect_column_values_to_be_in_set",
        column="disability",
        ok=False,
        message="expected yes or no",
        failed_rows=3,
        failed_share=0.0002,
        examples=("SECRET",),
    )
    columns = (
        ColumnSummary(
            name="age", kind="number", missing=0, unique=80, low=16, mean=47.3, high=95
        ),
        ColumnSummary(
            name="schooling",
            kind="category",
            missing=112,
            unique=24,
            top={
                "High school": 4120,
                "Bachelor's degree": 3388,
                "Master's degree": 1904,
            },
        ),
        ColumnSummary(
            name="sex", kind="category", missing=0, unique=2, top={"SECRET": 7800}
        ),
    )
    snapshot = Snapshot(
        digest="9f2c" * 16,
        rows=14980,
        rows_read=15000,
        duplicates_removed=20,
        unlabelled=0,
        train_rows=11235,
        test_rows=3745,
        period=("2015-01-01", "2015-12-31"),
        files=(SourceFile(path="data/2015.csv", sha256="ab" * 32, rows=15000),),
        columns=columns,
    )
    expectations = (*kept, *(() if ok else (broken, secret)))
    return Validation(ok=ok, snapshot=snapshot, expectations=expectations, seconds=1.4)


def training(task: str = "binary") -> Training:
    """Return a training of a histogram gradient boosting."""
    classes = {
        "binary": ("no", "yes"),
        "multiclass": ("bus", "car", "walk"),
        "regression": (),
    }[task]
    signature = Signature(
        task=task,
        target="employed",
        features=(Feature(name="age", kind="number", missing=False, low=16, high=95),),
        classes=classes,
        positive="yes" if task == "binary" else None,
    )
    return Training(
        signature=signature,
        params={"max_depth": 6},
        seed=0,
        rows=11235,
        snapshot="9f2c" * 16,
        code="11d0" * 16,
        lock="77aa" * 16,
        model_sha256="c0de" * 16,
        model_bytes=345_678,
        features_sha256="fe" * 32,
        estimator="HistGradientBoosting",
        seconds=3.2,
    )


def _metric(name: str, value: float, half: float, higher: bool = True) -> Metric:
    return Metric(
        name=name,
        value=value,
        low=value - half,
        high=value + half,
        higher_is_better=higher,
    )


MEASURED = {
    "binary": (
        _metric("roc_auc", 0.8604, 0.0118),
        _metric("average_precision", 0.8891, 0.0132),
        _metric("accuracy", 0.7848, 0.0131),
        _metric("brier", 0.1498, 0.0071, False),
    ),
    "multiclass": (
        _metric("macro_f1", 0.7012, 0.0161),
        _metric("accuracy", 0.7448, 0.0139),
        _metric("log_loss", 0.6312, 0.0271, False),
    ),
    "regression": (
        _metric("mae", 1843.2, 61.5, False),
        _metric("rmse", 2731.9, 112.4, False),
        _metric("r2", 0.8012, 0.0181),
    ),
}
_CENTRE = {"promote": 1.0, "reject": -1.0, "inconclusive": 0.12}


def evaluation(task: str = "binary", ok: bool = True, checks: int = 0) -> Evaluation:
    """Return an evaluation; `checks` adds that many passed tests."""
    rng = np.random.default_rng(3)
    primary = MEASURED[task][0]
    scale = (primary.high - primary.low) / 2
    groups = (
        "High school",
        "Bachelor's degree",
        "Master's degree",
        "Some college",
        "No diploma",
    )
    slices = [
        Slice(
            column="schooling",
            value=name,
            rows=(rows := int(rng.integers(140, 1200))),
            metric=primary.model_copy(
                update={
                    "value": (v := primary.value + float(rng.normal(0, 1.5)) * scale),
                    "low": v - scale * (3745 / rows) ** 0.5,
                    "high": v + scale * (3745 / rows) ** 0.5,
                }
            ),
            ok=True,
        )
        for name in groups
    ]
    weak = primary.model_copy(
        update={
            "value": primary.value
            - 9 * scale * (1 if primary.higher_is_better else -1),
            "low": primary.value - (12 if primary.higher_is_better else -6) * scale,
            "high": primary.value - (6 if primary.higher_is_better else -12) * scale,
        }
    )
    slices.append(
        Slice(column="marital_status", value="Widowed", rows=212, metric=weak, ok=False)
    )
    slices.append(Slice(column="marital_status", value="Separated", rows=61, ok=True))
    sex = FairnessResult(
        column="sex",
        metric="mae" if task == "regression" else "selection_rate",
        difference=0.082 if task != "regression" else 212.0,
        limit=0.2 if task != "regression" else 400.0,
        ok=True,
        groups=(
            Group(
                name="Female",
                rows=1950,
                value=0.569 if task != "regression" else 1940.0,
            ),
            Group(
                name="Male", rows=1795, value=0.651 if task != "regression" else 1728.0
            ),
        ),
    )
    disability = FairnessResult(
        column="disability",
        metric="accuracy" if task != "regression" else "mae",
        difference=0.131,
        limit=0.1,
        ok=True,
        exception="Follows the labels; agreed with the works council on 2 March.",
        groups=(
            Group(name="no", rows=3200, value=0.771),
            Group(name="yes", rows=545, value=0.902),
        ),
    )
    standard = [
        Check(name="better than a dummy", ok=True, message="0.860 against 0.500"),
        Check(
            name="better than a simple model", ok=True, message="0.860 against 0.830"
        ),
        Check(
            name="missing values are accepted",
            ok=True,
            message="every feature, one by one",
        ),
        Check(name="one row equals batch", ok=True, message="largest difference 0"),
        Check(name="latency", ok=True, message="5.1 ms for one row, at most 250 ms"),
        Check(name="size", ok=True, message="0.3 MB, at most 100 MB"),
        Check(
            name="test_schooling_helps",
            ok=ok,
            standard=False,
            message="mean effect +0.041",
        ),
        Check(
            name="test_champion_agrees",
            ok=True,
            skipped=True,
            message="there is no champion",
        ),
    ]
    standard += [
        Check(name=f"check {i}", ok=True, message="x" * 150) for i in range(checks)
    ]
    return Evaluation(
        ok=ok,
        rows=3745,
        metrics=MEASURED[task],
        baselines={
            "dummy": primary.value * (0.6 if primary.higher_is_better else 2.1),
            "simple": primary.value * (0.965 if primary.higher_is_better else 1.06),
        },
        checks=tuple(standard),
        slices=tuple(slices),
        fairness=(sex, disability),
        latency_ms=5.1,
        importance=importance(task),
        seconds=6.4,
    )


def verdict(task: str = "binary", decision: Decision = "promote") -> Verdict:
    """Return a verdict against v1.2.0."""
    compared = []
    for m in MEASURED[task]:
        half = (m.high - m.low) * 0.42
        gain = half * 2.2 * _CENTRE[decision]
        before = m.value - gain if m.higher_is_better else m.value + gain
        compared.append(
            Comparison(
                metric=m.name,
                champion=before,
                challenger=m.value,
                difference=gain,
                low=gain - half,
                high=gain + half,
                smallest_detectable=half * 1.4,
                method="DeLong",
            )
        )
    weak = (Failure(name="marital_status = Widowed"),)
    grounds: dict[str, tuple[Ground, ...]] = {
        "promote": (Compared(finding="better"),),
        "reject": (ConditionFailed(name="slices"), Compared(finding="worse")),
        "inconclusive": (Compared(finding="undecided"),),
    }
    return Verdict(
        decision=decision,
        rule="non-inferiority" if decision == "inconclusive" else "superiority",
        champion="v1.2.0",
        comparison=compared[0],
        others=tuple(compared[1:]),
        conditions=(
            Condition(name="checks", ok=True, asked=8, answered=7),
            Condition(
                name="slices",
                ok=decision != "reject",
                asked=7,
                answered=7,
                failures=weak if decision == "reject" else (),
            ),
            Condition(name="fairness", ok=True, asked=2, answered=2, accepted=1),
        ),
        grounds=grounds[decision],
        margin=0.005,
        rows=3745,
        seconds=0.9,
    )


def rows(task: str = "binary", n: int = 3745) -> PredictedRows:
    """Return test rows of a middling model, with a champion that is a little worse."""
    rng = np.random.default_rng(7)
    signal = rng.normal(0, 1.6, n)
    if task == "binary":
        chance = 1 / (1 + np.exp(-signal - 0.4))
        actual = np.where(rng.random(n) < chance, "yes", "no")
        score = 1 / (1 + np.exp(-signal * 1.1 - 0.4 + rng.normal(0, 0.4, n)))
        champion = 1 / (1 + np.exp(-signal - 0.4 + rng.normal(0, 1.0, n)))
        return PredictedRows(
            actual, np.where(score >= 0.5, "yes", "no"), score, champion
        )
    if task == "multiclass":
        names = np.array(["bus", "car", "walk"])
        actual = rng.choice(3, n, p=[0.3, 0.5, 0.2])
        confidence = rng.beta(5, 2, n)
        right = rng.random(n) < confidence
        wrong = (actual + rng.integers(1, 3, n)) % 3
        return PredictedRows(
            names[actual], names[np.where(right, actual, wrong)], confidence
        )
    actual = np.exp(rng.normal(9.5, 0.5, n))
    return PredictedRows(actual, actual * np.exp(rng.normal(0, 0.15, n)))


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "@octocat please",
    "[click](javascript:alert(1))",
    "![x](//evil.example/x.png)",
    "a | b \\| c \\",
    "`code` ``` ~~~",
    "# heading\n\n- item\n1. one",
    "see acme/demo#12, GH-7 and https://evil.example or www.evil.example",
    "\x1b[31mred\x1b[0m \x00\x07",
    "\u202egpj.exe\u2066 \u200b\ufeff",
    "</td></tr></table><h1>owned</h1>",
    "*bold* _it_ ~~gone~~ $x$ :tada: &lt; <!-- c -->",
    "{{ 7*7 }} {% raw %}",
    "\ud800 \U0001f600 \u4f60\u597d",
)


def hostile(task: str = "binary") -> RunReport:
    """Return facts in which every text of data, specification or tests attacks."""
    attack = " ".join(HOSTILE)
    tests = evaluation(task)
    again = itertools.cycle((*HOSTILE, attack))
    checks = [
        Check(name=next(again), ok=bool(i % 3), standard=False, message=next(again))
        for i in range(3 * len(HOSTILE))
    ]
    slices = [
        s.model_copy(update={"column": next(again), "value": attack})
        for s in tests.slices
    ]
    fair = tests.fairness[0]
    groups = tuple(g.model_copy(update={"name": next(again)}) for g in fair.groups)
    unfair = fair.model_copy(
        update={
            "column": attack,
            "groups": groups,
            "difference": 9.0,
            "exception": attack,
        }
    )
    broken = [
        Expectation(
            name=text,
            column=text,
            ok=False,
            message=text,
            failed_rows=1,
            examples=(text,),
        )
        for text in HOSTILE
    ]
    snapshot = validation().snapshot
    assert snapshot is not None
    column = snapshot.columns[1].model_copy(update={"name": attack, "top": {attack: 1}})
    file = SourceFile(path=attack, sha256="0", rows=1)
    snapshot = snapshot.model_copy(
        update={"columns": (column,), "files": (file,), "period": (attack, attack)}
    )
    features = [
        one.model_copy(update={"feature": text})
        for one, text in zip(
            importance(task).features * len(HOSTILE), HOSTILE, strict=False
        )
    ]
    said = verdict(task, "reject")
    return everything(
        task,
        # A copy is not validated: as if the specification refused nothing.
        spec=spec(task).model_copy(
            update=dict.fromkeys(
                ("description", "owner", "intended_use", "limits"), attack
            )
        ),
        validation=Validation(ok=True, snapshot=snapshot, expectations=tuple(broken)),
        evaluation=tests.model_copy(
            update={
                "checks": tuple(checks),
                "slices": tuple(slices),
                "fairness": (unfair,),
                "importance": importance(task).model_copy(
                    update={"features": tuple(features)}
                ),
            }
        ),
        changes=tuple(
            Change(kind="parameter", name=text, before=text, after=attack)
            for text in HOSTILE
        ),
        versions=tuple(
            one.model_copy(update={"version": attack}) for one in versions(task)
        ),
        verdict=said.model_copy(
            update={
                "champion": attack,
                "grounds": (),
                "reasons": HOSTILE,
                "conditions": tuple(
                    Condition(name=t, ok=False, message=t) for t in HOSTILE
                ),
            }
        ),
    )


def importance(task: str = "binary") -> Importance:
    """Return three features, the last of which does nothing."""
    unit = MEASURED[task][0].value / 20
    losses = {"schooling": 2.0, "age": 1.2, "marital_status": 0.0}
    features = [
        FeatureImportance(
            feature=name,
            loss=loss * unit,
            low=(loss - 0.3) * unit,
            high=(loss + 0.3) * unit,
        )
        for name, loss in losses.items()
    ]
    return Importance(
        metric=MEASURED[task][0].name, rows=2000, features=tuple(features)
    )


def slice_differences(task: str = "binary") -> tuple[SliceDifference, ...]:
    """Return the slices of `evaluation` that have a figure, a little better each."""
    compared = verdict(task).comparison
    assert compared is not None
    return tuple(
        SliceDifference(column=part.column, value=part.value, comparison=compared)
        for part in evaluation(task).slices
        if part.metric
    )


def changed() -> tuple[Change, ...]:
    """Return one change of each kind."""
    return (
        Change(kind="estimator", name="seed", before="0", after="7"),
        Change(kind="parameter", name="max_depth", before="4", after="6"),
        Change(kind="feature", name="marital_status", after="category"),
        Change(kind="data", name="rows", before="15,000 (ab)", after="14,980 (9f)"),
        Change(kind="code", name="code and specification", before="aa", after="11"),
        Change(kind="library", name="numpy", before="2.3.1", after="2.4.0"),
    )


def versions(task: str = "binary") -> tuple[VersionMetric, ...]:
    """Return two versions before this one."""
    m = MEASURED[task][0]
    return tuple(
        VersionMetric(
            version=name,
            rows=3745,
            metric=m.model_copy(
                update={"value": m.value * k, "low": m.low * k, "high": m.high * k}
            ),
        )
        for name, k in (("v1.1.0", 0.95), ("v1.2.0", 0.97))
    )


def everything(
    task: str = "binary", decision: Decision = "promote", n: int = 3745, **changes: Any
) -> RunReport:
    """Return the facts of a run that came to its end."""
    seconds = {"validate": 1.4, "train": 3.2, "test": 6.4, "gate": 0.9}
    facts: dict[str, Any] = {
        "model": "employment",
        "spec": spec(task),
        "validation": validation(),
        "training": training(task),
        "evaluation": evaluation(task),
        "verdict": verdict(task, decision),
        "run": RunInfo(commit="4be1c2d8" * 5, seconds=seconds),
        "rows": rows(task, n),
        "slices": slice_differences(task),
        "changes": changed(),
        "versions": versions(task),
    }
    return RunReport(**{**facts, **changes})

"""A trial is read from the log: a candidate against the version that serves.

In the shadow both predicted the same rows, so that they are compared row by row. A
canary answered requests of its own, which a keyed hash chose: both are samples of the
same requests, and are compared as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import ModelSpec
from mlops.data.known import respell, spellings
from mlops.data.types import as_text
from mlops.errors import Refused
from mlops.evaluation.compare import independent_difference, paired_difference
from mlops.evaluation.intervals import quantile
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import Outcome, outcome
from mlops.gate.findings import finding_of
from mlops.gate.rules import Rule, rule_of
from mlops.io.places import Place
from mlops.monitoring.window import Period
from mlops.registry.chain import Bundle
from mlops.results.training import Signature
from mlops.results.trial import OutputDifference, TrialPart, TrialReport
from mlops.results.verdict import Comparison
from mlops.serving.log_reader import (
    SHADOW,
    Window,
    is_of_canary,
    is_of_service,
    read_log,
)

Floats = NDArray[np.float64]

_CONFIDENCE = 0.95

Compare = Callable[[str, Outcome, Outcome, float], Comparison]


@dataclass(frozen=True)
class TrialRows:
    """What both versions predicted, one row each.

    Parameters
    ----------
    champion, candidate : DataFrame, shape (n_rows, n_columns)
        ``id``, ``at``, the outputs of the model, and ``label``, missing where none has
        come.
    """

    champion: pd.DataFrame
    candidate: pd.DataFrame


def report_trial(
    log_place: Place,
    spec: ModelSpec,
    champion: Bundle,
    candidate: Bundle,
    period: Period,
) -> TrialReport:
    """Compare a candidate with the version that serves, by the prediction log.

    Parameters
    ----------
    log_place : Place
        Of the prediction log.
    spec : ModelSpec
        Its metrics and its gate's rule; `auto` is non-inferiority.

    Raises
    ------
    Refused
        When the versions do not predict the same.
    """
    signature = candidate.manifest.signature
    _require_same_outputs(champion.manifest.signature, signature)
    rule = rule_of(spec, code_changed=False)
    name = champion.version.model
    old, new = champion.version.number, candidate.version.number
    times = (period.since, period.until)
    served = sound_rows(read_log(log_place, name, times, old), signature)
    tried = sound_rows(read_log(log_place, name, times, new), signature)
    shadow = read_log(log_place, name, times, new, kind=SHADOW)
    parts = []
    pairs = rows_of_shadow(served, sound_rows(shadow, signature))
    if len(pairs.candidate):
        parts.append(compare_shadow(pairs, signature, rule))
    apart = rows_of_canary(served, tried)
    if len(apart.candidate):
        parts.append(compare_canary(apart, signature, rule))
    return TrialReport(
        model=name,
        champion=old,
        candidate=new,
        since=period.since,
        until=period.until,
        rule=rule.kind,
        margin=rule.margin,
        parts=tuple(parts),
    )


def sound_rows(window: Window, signature: Signature) -> pd.DataFrame:
    """Return the rows of a log whose outputs are those of a model, each id once."""
    numbers = _numbers_of(signature)
    names = dict.fromkeys([*window.log.columns, "prediction", *numbers])
    log = window.log.reindex(columns=list(names)).drop_duplicates("id")
    sound = np.ones(len(log), dtype=bool)
    for name in numbers:
        log[name] = pd.to_numeric(log[name], errors="coerce").astype("float64")
        sound &= np.isfinite(log[name].to_numpy())
    if signature.task == "regression":
        log["label"] = pd.to_numeric(log["label"], errors="coerce")
    else:
        log["label"] = _classes_of(log["label"], signature)
        sound &= log["prediction"].isin(signature.classes).to_numpy()
    return log[sound].reset_index(drop=True)


def rows_of_shadow(served: pd.DataFrame, shadow: pd.DataFrame) -> TrialRows:
    """Return the rows that both have predicted, in the same order."""
    champion = served.set_index("id", drop=False)
    candidate = shadow.set_index("id", drop=False)
    both = champion.index.intersection(candidate.index)
    return TrialRows(
        champion.loc[both].reset_index(drop=True),
        candidate.loc[both].reset_index(drop=True),
    )


def rows_of_canary(served: pd.DataFrame, tried: pd.DataFrame) -> TrialRows:
    """Return what a canary answered, and what the other version did in that time."""
    candidate = tried[tried["source"].map(is_of_canary).astype(bool)]
    by_service = served["source"].map(is_of_service)
    champion = served[by_service.astype(bool)]
    if len(candidate):
        first, last = candidate["at"].min(), candidate["at"].max()
        champion = champion[champion["at"].between(first, last)]
    return TrialRows(champion.reset_index(drop=True), candidate.reset_index(drop=True))


def compare_shadow(rows: TrialRows, signature: Signature, rule: Rule) -> TrialPart:
    """Compare row by row, as the gate does on test rows."""
    labelled = rows.champion["label"].notna() & rows.candidate["label"].notna()
    of_labels = TrialRows(rows.champion[labelled], rows.candidate[labelled])
    part = TrialPart(
        kind="shadow",
        rows=len(rows.champion),
        candidate_rows=len(rows.candidate),
        labelled=int(labelled.sum()),
        candidate_labelled=int(labelled.sum()),
        outputs=_outputs(rows, signature, _paired),
        other_class=_other_class(rows, signature),
    )
    return _with_metrics(part, of_labels, signature, rule, paired_difference)


def compare_canary(rows: TrialRows, signature: Signature, rule: Rule) -> TrialPart:
    """Compare two samples of the same requests."""
    of_labels = TrialRows(
        rows.champion[rows.champion["label"].notna()],
        rows.candidate[rows.candidate["label"].notna()],
    )
    part = TrialPart(
        kind="canary",
        rows=len(rows.champion),
        candidate_rows=len(rows.candidate),
        labelled=len(of_labels.champion),
        candidate_labelled=len(of_labels.candidate),
        outputs=_outputs(rows, signature, _independent),
    )
    return _with_metrics(part, of_labels, signature, rule, independent_difference)


def _with_metrics(
    part: TrialPart,
    rows: TrialRows,
    signature: Signature,
    rule: Rule,
    compare: Compare,
) -> TrialPart:
    """Return a part with what its labels show, or with why they show nothing."""
    if not len(rows.champion) or not len(rows.candidate):
        return part.model_copy(update={"problem": "no labels yet"})
    old = outcome(signature, rows.champion["label"], rows.champion)
    new = outcome(signature, rows.candidate["label"], rows.candidate)
    metrics = []
    finding = None
    problem = ""
    for name in rule.metrics:
        is_primary = name == rule.metrics[0]
        reason = undefined(name, old) or undefined(name, new)
        if name == "value":  # amounts stand beside the data, not in the log
            reason = "the log has no amounts"
        if reason:
            problem = f"{name}: {reason}" if is_primary else problem
            continue
        confidence = rule.confidence if is_primary else _CONFIDENCE
        compared = compare(name, old, new, confidence)
        metrics.append(compared)
        if is_primary:
            finding = finding_of(compared, rule)
    found = {"metrics": tuple(metrics), "finding": finding, "problem": problem}
    return part.model_copy(update=found)


def _require_same_outputs(old: Signature, new: Signature) -> None:
    """Raise Refused where two versions do not predict the same thing."""
    for key in ("task", "target", "classes", "positive"):
        if getattr(old, key) != getattr(new, key):
            raise Refused(
                "the candidate predicts something else than the version that serves",
                key=key,
                found=str(getattr(new, key)),
                allowed=str(getattr(old, key)),
            )


def _numbers_of(signature: Signature) -> list[str]:
    """Return the outputs that are numbers."""
    if signature.task == "multiclass":
        return [f"p_{name}" for name in signature.classes]
    return ["score" if signature.task == "binary" else "prediction"]


def _classes_of(labels: pd.Series, signature: Signature) -> pd.Series:
    """Return labels as the classes that they name; missing where they name none."""
    texts = respell(as_text(labels), spellings(signature.classes))
    return texts.where(texts.isin(signature.classes))


def _other_class(rows: TrialRows, signature: Signature) -> float | None:
    """Return the share of rows whose predicted class differs."""
    if signature.task == "regression":
        return None
    differs = rows.champion["prediction"] != rows.candidate["prediction"]
    return float(differs.mean())


def _outputs(
    rows: TrialRows,
    signature: Signature,
    spread: Callable[[Floats, Floats], tuple[float, float]],
) -> tuple[OutputDifference, ...]:
    """Return how each numeric output differs on average, none of single rows."""
    if len(rows.champion) < 2 or len(rows.candidate) < 2:
        return ()
    found = []
    for name in _numbers_of(signature):
        old = rows.champion[name].to_numpy(dtype="float64")
        new = rows.candidate[name].to_numpy(dtype="float64")
        error, freedom = spread(old, new)
        difference = float(new.mean() - old.mean())
        reach = quantile(_CONFIDENCE, freedom) * error
        found.append(
            OutputDifference(
                output=name,
                champion=float(old.mean()),
                candidate=float(new.mean()),
                difference=difference,
                low=difference - reach,
                high=difference + reach,
                confidence=_CONFIDENCE,
            )
        )
    return tuple(found)


def _paired(old: Floats, new: Floats) -> tuple[float, float]:
    """Return standard error and degrees of freedom of a mean difference of pairs."""
    apart = new - old
    return float(apart.std(ddof=1)) / math.sqrt(len(apart)), len(apart) - 1.0


def _independent(old: Floats, new: Floats) -> tuple[float, float]:
    """Return those of a difference of two means (Welch 1947)."""
    squares = [float(part.var(ddof=1)) / len(part) for part in (old, new)]
    total = sum(squares)
    if not total:
        return 0.0, len(old) + len(new) - 2.0
    parts = [
        square**2 / (len(part) - 1)
        for square, part in zip(squares, (old, new), strict=True)
    ]
    return math.sqrt(total), total**2 / sum(parts)

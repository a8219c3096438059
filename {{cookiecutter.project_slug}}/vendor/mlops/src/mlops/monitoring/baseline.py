"""The baseline of a version: its columns and losses, counted when it is tested."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import ModelSpec
from mlops.data.known import respell, spellings
from mlops.errors import MlopsError
from mlops.evaluation.outcome import EvaluationContext, Outcome, outcome
from mlops.monitoring.cells import cells_of, code, numbers, tally
from mlops.monitoring.losses import baselines_of
from mlops.monitoring.slices import slice_baselines
from mlops.results.baseline import Baseline, ColumnBaseline, LossBaseline
from mlops.results.training import Feature, Signature
from mlops.training.model import Model

Flags = NDArray[np.bool_]

# Training rows that are predicted for the cells of the outputs: enough for tenths.
_PREDICTED = 5000


def draw_baseline(context: EvaluationContext, model: Model) -> Baseline:
    """Return the baseline of a trained model.

    The cells rest on training rows, the counts on test rows.
    """
    spec = context.spec
    train = context.train
    test = context.test
    sample = train.sample(min(len(train), _PREDICTED), random_state=spec.train.seed)
    columns = []
    shown = _shown(model.signature, spec)
    chosen = _one_of_each_unit(test, spec)
    for feature in shown:
        columns.append(
            _column(feature.kind, train[feature.name], test, chosen, feature)
        )
    then = model.predict(sample)
    now = context.predicted(model)
    for name in outputs_of(now.columns):
        columns.append(_column("number", then[name], now, chosen))
    kinds = {feature.name: feature.kind for feature in shown}
    judged = context.outcome(model)
    return Baseline(
        columns=tuple(columns),
        losses=baselines_of(judged),
        slices=slice_baselines(spec.slices, test, kinds, judged),
        rows=len(test),
        units=None if chosen is None else int(chosen.sum()),
    )


def baseline_of_sample(
    reference: pd.DataFrame, signature: Signature, spec: ModelSpec
) -> Baseline:
    """Return the baseline of a version that has none, from its reference sample.

    The sample is of test rows. Cells must not rest on the rows that are counted in
    them, so a third of the rows, drawn by chance, stands for the training rows.
    """
    mixed = reference.sample(frac=1.0, random_state=0, ignore_index=True)
    third = len(mixed) // 3
    then = mixed[:third]
    now = mixed[third:]
    features = [f for f in _shown(signature, spec) if f.name in reference]
    columns = [_column(f.kind, then[f.name], now, None, f) for f in features]
    known = {f.name for f in signature.features} | {signature.target}
    for name in outputs_of([c for c in reference.columns if c not in known]):
        columns.append(_column("number", then[name], now))
    losses = _losses_of_sample(reference, signature, spec)
    return Baseline(columns=tuple(columns), losses=losses, rows=len(now))


def baseline_of_columns(
    training: pd.DataFrame,
    test: pd.DataFrame,
    kinds: Mapping[str, str],
    features: Mapping[str, Feature],
    chosen: Flags | None = None,
) -> Baseline:
    """Return the baseline of columns; those without a feature are outputs.

    Parameters
    ----------
    training, test : DataFrame, shape (n_rows, n_columns)
        Cast to their kinds.
    chosen : ndarray of bool, shape (n_test_rows,), optional
        Which test rows stand for their units.
    """
    columns = [
        _column(kind, training[name], test, chosen, features.get(name))
        for name, kind in kinds.items()
    ]
    units = None if chosen is None else int(chosen.sum())
    return Baseline(columns=tuple(columns), rows=len(test), units=units)


def outputs_of(columns: Collection[str]) -> list[str]:
    """Return the outputs that are compared: the scores, which say more, if any."""
    outputs = list(columns)
    if len(outputs) > 1:
        outputs.remove("prediction")
    return outputs


def _shown(signature: Signature, spec: ModelSpec) -> list[Feature]:
    """Return the features that are compared.

    Sensitive columns, ids and groups are not: they are not logged. Nor is free text,
    which has no distribution that two samples of it could share.
    """
    hidden = {spec.data.id, spec.split.column, *spec.sensitive}
    return [f for f in signature.features if f.name not in hidden and f.kind != "text"]


def _one_of_each_unit(rows: pd.DataFrame, spec: ModelSpec) -> Flags | None:
    """Return which rows stand for their group, by chance; None without groups.

    Not the first one: the first person of a household is who filled the form in.
    """
    if spec.split.by != "group":
        return None
    group = rows[spec.split.column].reset_index(drop=True)
    mixed = group.sample(frac=1.0, random_state=spec.train.seed)
    chosen = ~mixed.duplicated() | mixed.isna()
    return np.asarray(chosen.sort_index(), dtype=bool)


def _column(
    kind: str,
    training: pd.Series,
    test: pd.DataFrame,
    chosen: Flags | None = None,
    feature: Feature | None = None,
) -> ColumnBaseline:
    """Return the baseline of one column; an output of the model has no `feature`."""
    known = spellings(feature.categories or ()) if feature else {}
    cells, in_training = cells_of(respell(training, known), kind, feature)
    values = respell(test[str(training.name)], known)
    codes = code(cells, values)
    mean, deviation = moments(values, kind)
    return ColumnBaseline(
        cells=cells,
        output=feature is None,
        training=tally(cells, in_training),
        reference=tally(cells, codes),
        reference_units=() if chosen is None else tally(cells, codes[chosen]),
        mean=mean,
        deviation=deviation,
    )


def moments(values: pd.Series, kind: str) -> tuple[float | None, float | None]:
    """Return mean and standard deviation of numbers or dates, None where undefined."""
    if kind not in ("number", "date"):
        return None, None
    known = numbers(values, kind)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(known.mean())
        deviation = float(known.std(ddof=1))
    if not np.isfinite([mean, deviation]).all():
        return None, None
    return mean, deviation


def _losses_of_sample(
    reference: pd.DataFrame, signature: Signature, spec: ModelSpec
) -> tuple[LossBaseline, ...]:
    """Return the losses of the sample; none where it does not show the target."""
    if signature.target not in reference:
        return ()
    rows = reference[reference[signature.target].notna()].reset_index(drop=True)
    try:
        return baselines_of(labelled(rows[signature.target], rows, signature, spec))
    except (MlopsError, ValueError, KeyError):
        # An old sample that does not fit must not stop the watch over drift.
        return ()


def labelled(
    labels: pd.Series, predicted: pd.DataFrame, signature: Signature, spec: ModelSpec
) -> Outcome:
    """Return target and predictions side by side."""
    kind = "float64" if signature.task == "regression" else "str"
    return outcome(
        signature, labels.astype(kind), predicted, amounts=spec.metrics.value
    )

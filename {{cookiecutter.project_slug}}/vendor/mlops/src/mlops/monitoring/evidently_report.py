"""Evidently's report on a window."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mlops.io.files import replacing
from mlops.monitoring.drift import MOST_CATEGORIES


def draw(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    kinds: Mapping[str, str],
    threshold: float,
    path: Path,
) -> None:
    """Write Evidently's report of two samples to one self-contained HTML file (some 4 MB).

    Its scores are Jensen-Shannon distances for every column, by its own binning; its verdicts are
    not ours. Nothing is written where no column has values on both sides.
    """
    # Evidently fails on a column without values.
    drawn = {
        c: k for c, k in kinds.items() if min(reference[c].count(), window[c].count())
    }
    path.unlink(missing_ok=True)
    if not drawn:
        return
    both = _harmless(pd.concat([reference, window], ignore_index=True), drawn)
    old, new = both[: len(reference)], both[len(reference) :].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        numbers = list(both.select_dtypes("number"))
        others = list(both.select_dtypes(exclude="number"))
        shape = DataDefinition(numerical_columns=numbers, categorical_columns=others)
        sides = [
            Dataset.from_pandas(side, data_definition=shape) for side in (new, old)
        ]
        method = {"method": "jensenshannon", "threshold": threshold}
        result = Report([ValueDrift(column=name, **method) for name in both]).run(
            *sides
        )
        with replacing(path) as temporary:
            result.save_html(str(temporary))


def _harmless(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of `kinds` as Evidently can take them: numbers and texts.

    It writes texts into a script element as they are, so angle brackets in them are replaced; it
    draws no dates (now days since 1970); of many categories the rare are one.
    """
    safe = str.maketrans("<>", "‹›")  # noqa: RUF001
    out = {}
    for name, kind in kinds.items():
        column = frame[name]
        if kind == "date":
            column = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        elif kind != "number":
            common = column.value_counts().index[:MOST_CATEGORIES]
            text = column.where(column.isin(common) | column.isna(), "(other)").astype(
                "str"
            )
            column = text.fillna("(missing)").str.translate(safe)
        out[name.translate(safe)] = column
    return pd.DataFrame(out)

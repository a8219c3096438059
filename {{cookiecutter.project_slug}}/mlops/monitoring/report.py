"""What a drift check found: as data, as text, and as Evidently's charts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from mlops.files import replacing
from mlops.monitoring.drift import MOST_CATEGORIES, ColumnDrift
from mlops.results import Metric, Result

if TYPE_CHECKING:
    import pandas as pd


class Performance(Result):
    """One metric on the rows whose label has come."""

    rows: int
    window: Metric
    reference: Metric
    p_value: float = Field(description="One-sided: that it is no worse than when registered.")
    alarm: bool


class DriftCheck(Result):
    """The answer of `mlops monitor`."""

    model: str
    version: str
    stage: str
    since: str
    until: str
    alarm: bool
    enough: bool = Field(description="Whether the window has `monitor.min_rows` rows.")
    rows: int
    labelled: int
    compared: tuple[int, int] = Field(description="Rows of window and reference after sampling.")
    columns: tuple[ColumnDrift, ...] = ()
    performance: tuple[Performance, ...] = ()
    reasons: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the answer for a terminal, the verdict first."""
        verdict = "ALARM" if self.alarm else ("no alarm" if self.enough else "not enough data")
        return "\n".join(
            [
                f"{verdict}: {self.model}@{self.version}, {self.since} to {self.until}",
                f"  {self.rows:,} rows, {self.labelled:,} of them with a label",
                *(f"  {reason}" for reason in self.reasons),
            ]
        )


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
    drawn = {c: k for c, k in kinds.items() if min(reference[c].count(), window[c].count())}
    path.unlink(missing_ok=True)
    if not drawn:
        return
    old, new, numbers = _harmless(reference, window, drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        others = [c for c in old if c not in numbers]
        shape = DataDefinition(numerical_columns=numbers, categorical_columns=others)
        sides = [Dataset.from_pandas(side, data_definition=shape) for side in (new, old)]
        method = {"method": "jensenshannon", "threshold": threshold}
        result = Report([ValueDrift(column=name, **method) for name in old]).run(*sides)
        with replacing(path) as temporary:
            result.save_html(str(temporary))


def _harmless(
    reference: pd.DataFrame, window: pd.DataFrame, kinds: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return both samples as Evidently can take them, and which columns are numbers.

    It writes texts into a script element as they are, so angle brackets in them are replaced; it
    draws no dates (now days since 1970); of many categories the rare are one.
    """
    import pandas as pd

    safe = str.maketrans("<>", "‹›")  # noqa: RUF001
    both = pd.concat([reference, window], ignore_index=True)
    out, numbers = {}, []
    for name, kind in kinds.items():
        column, shown = both[name], name.translate(safe)
        if kind == "date":
            column = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        if kind in {"number", "date"}:
            numbers.append(shown)
        else:
            common = column.value_counts().index[:MOST_CATEGORIES]
            text = column.where(column.isin(common) | column.isna(), "(other)").astype("str")
            column = text.fillna("(missing)").str.translate(safe)
        out[shown] = column
    frame = pd.DataFrame(out)
    return frame[: len(reference)], frame[len(reference) :].reset_index(drop=True), numbers

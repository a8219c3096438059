"""The rows that travel with a version: reference sample and examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mlops.config.model_spec import ModelSpec
from mlops.errors import UsageError, listed
from mlops.io.files import replacing, write_json
from mlops.results.evaluation import EXAMPLES, REFERENCE
from mlops.training.model import Model

_REFERENCE_ROWS = 5000

_EXAMPLE_ROWS = 10


def draw(
    spec: ModelSpec,
    model: Model,
    test: pd.DataFrame,
    predicted: pd.DataFrame,
    folder: Path,
) -> None:
    """Write both samples of the test rows, with their predictions, into a folder."""
    with replacing(folder / REFERENCE) as temporary:
        reference(spec, model, test, predicted).to_parquet(temporary, index=False)
    write_json(folder / EXAMPLES, examples(spec, model, test))


def reference(
    spec: ModelSpec, model: Model, test: pd.DataFrame, predicted: pd.DataFrame
) -> pd.DataFrame:
    """Return what monitoring compares with: test rows as the model saw them.

    Returns
    -------
    DataFrame, shape (at most 5,000, n_features + n_outputs + 1)
        Features, `prediction` (and `score`, or `p_CLASS` columns), target. Never the
        id, the group column or a sensitive column, not even where it is a feature.

    Raises
    ------
    UsageError
        When a column is named like an output of the model.
    """
    hidden = _hidden(spec)
    shown = [column for column in spec.features if column not in hidden]
    target = [column for column in [spec.data.target] if column not in hidden]
    rows = reference_rows(spec, test)
    predicted = predicted.loc[rows.index]
    twice = sorted({*shown, *target} & set(predicted))
    if twice:
        raise UsageError(
            "this column is named like an output of the model",
            file=f"models/{model.name}/model.yaml",
            key="features",
            found=listed(twice),
            do="rename the column",
        )
    columns = [rows[shown], predicted, rows[target]]
    return pd.concat(columns, axis=1).reset_index(drop=True)


def reference_rows(spec: ModelSpec, test: pd.DataFrame) -> pd.DataFrame:
    """Return the test rows of the reference sample, with all of their columns."""
    return _sample(test, _REFERENCE_ROWS, spec)


def examples(spec: ModelSpec, model: Model, test: pd.DataFrame) -> list[dict[str, Any]]:
    """Return ten rows with the predictions that a service must give for them.

    Hidden columns that are features are left empty; the predictions are for the rows as
    shown.
    """
    rows = _sample(test, _EXAMPLE_ROWS, spec)[list(spec.features)]
    rows = rows.assign(**{column: None for column in rows if column in _hidden(spec)})
    predicted = model.predict(rows)
    for column, written in spec.data.formats.items():
        if column in rows and rows[column].dtype.kind == "M":
            rows[column] = rows[column].dt.strftime(written)
    pairs = zip(_plain(rows), _plain(predicted), strict=True)
    return [{"features": row, "expected": outputs} for row, outputs in pairs]


def _hidden(spec: ModelSpec) -> set[str | None]:
    return {spec.data.id, spec.split.column, *spec.sensitive}


def _sample(frame: pd.DataFrame, most: int, spec: ModelSpec) -> pd.DataFrame:
    """Return at most so many rows, drawn with the training's seed, in their order."""
    rows = min(most, len(frame))
    return frame.sample(rows, random_state=spec.train.seed).sort_index()


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values: missing as null, dates as ISO 8601."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): _json(value) for name, value in row.items()} for row in rows]


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, pd.Timestamp) else value

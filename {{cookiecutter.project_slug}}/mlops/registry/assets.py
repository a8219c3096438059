"""The files of a release: the model, what its run wrote, and two samples drawn here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data.dataset import Dataset
from mlops.errors import Problem, UsageError
from mlops.files import replacing, sha256_file, write_json
from mlops.project import Project
from mlops.registry.manifest import Asset
from mlops.spec import ModelSpec
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

REFERENCE, EXAMPLES = "reference.parquet", "examples.json"
REQUIRED = ("model.skops", "features.py", "training.json")
OPTIONAL = ("report.md", "report.html", "card.md")
_REFERENCE_ROWS, _EXAMPLE_ROWS = 5000, 10


def gather(project: Project, name: str, spec: ModelSpec) -> dict[str, Path]:
    """Draw the samples into the build folder and return all files of the release by asset name."""
    build = project.build(name)
    model = Model.load(build, name, project.spec.trusted_types)
    test = Dataset.load(build, spec).part("test")
    with replacing(build / REFERENCE) as temporary:
        reference(spec, model, test).to_parquet(temporary, index=False)
    write_json(build / EXAMPLES, examples(spec, model, test))
    optional = [asset for asset in OPTIONAL if (build / asset).is_file()]
    return {asset: build / asset for asset in (*REQUIRED, REFERENCE, EXAMPLES, *optional)}


def describe(files: dict[str, Path]) -> dict[str, Asset]:
    """Return digest and size of files."""
    return {
        asset: Asset(sha256=sha256_file(path), size=path.stat().st_size)
        for asset, path in files.items()
    }


def reference(spec: ModelSpec, model: Model, test: pd.DataFrame) -> pd.DataFrame:
    """Return what monitoring compares with: test rows as the model saw them, and its answers.

    Returns
    -------
    DataFrame, shape (at most 5,000, n_features + n_outputs + 1)
        Features, `prediction` (and `score`, or `p_CLASS` columns), target. Never the id, the group
        column or a sensitive column, not even where it is a feature.
    """
    import pandas as pd

    rows = _sample(test, _REFERENCE_ROWS, spec.train.seed)
    hidden = _hidden(spec)
    shown = [column for column in spec.features if column not in hidden]
    target = [] if spec.data.target in hidden else [spec.data.target]
    out = pd.concat([rows[shown], model.predict(rows), rows[target]], axis=1)
    twice = sorted(set(out.columns[out.columns.duplicated()]))
    if twice:
        raise UsageError(
            Problem(
                "a column has the name of something that the model returns",
                file=f"models/{model.name}/model.yaml",
                key="features",
                found=", ".join(twice),
                do="rename the column",
            )
        )
    return out


def examples(spec: ModelSpec, model: Model, test: pd.DataFrame) -> list[dict[str, Any]]:
    """Return ten rows with the predictions that a service must give for them.

    Hidden columns that are features are left empty, and the prediction is for the row as shown.
    """
    import pandas as pd

    rows = _sample(test, _EXAMPLE_ROWS, spec.train.seed)[list(spec.features)].copy()
    for column in _hidden(spec) & set(rows.columns):
        rows[column] = pd.Series(index=rows.index, dtype=rows[column].dtype)
    expected = model.predict(rows)
    return [
        {"features": _plain(row), "expected": _plain(answer)}
        for row, answer in zip(rows.to_dict("records"), expected.to_dict("records"), strict=True)
    ]


def _hidden(spec: ModelSpec) -> set[str]:
    return {c for c in (spec.data.id, spec.split.column, *spec.sensitive) if c}


def _sample(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return at most so many rows, drawn with a seed, in their order."""
    import numpy as np

    size = min(most, len(frame))
    chosen = np.random.default_rng(seed).choice(len(frame), size, replace=False)
    return frame.iloc[np.sort(chosen)].reset_index(drop=True)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """Return a row as JSON values: missing as null, dates as ISO 8601."""
    import pandas as pd

    out = {}
    for name, value in row.items():
        if pd.isna(value):
            value = None
        elif isinstance(value, pd.Timestamp):
            value = value.isoformat()
        out[str(name)] = value
    return out

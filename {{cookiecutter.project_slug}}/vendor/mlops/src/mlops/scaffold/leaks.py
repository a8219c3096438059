"""What `mlops new` says of features that give the target away.

Only an exact copy is left out; the others are a question to a person.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mlops.config.model_spec import Task
from mlops.errors import listed
from mlops.evaluation.leaks import Candidate, find_leaks
from mlops.scaffold.inspect import Columns

_MOST_NAMED = 5

_ADVICE = (
    "If it is not known before the target is, move it from features to data.ignore."
)


def leaks(
    columns: Columns, target: str, task: Task, rows: pd.DataFrame
) -> Iterator[str]:
    """Yield which features give the target away; one that is a copy of it is ignored.

    Parameters
    ----------
    columns : Columns
        Changed in place.
    target : str
    task : Task
    rows : DataFrame, shape (n_rows, n_columns)
        The different rows, as text.
    """
    rows = rows[rows[target].notna()]
    features = [
        Candidate(column.name, column.kind, column.unique)
        for column in columns.values()
        if column.role == "feature"
    ]
    leaking = find_leaks(features, rows, rows[target], task)
    for name in leaking.copies:
        reason = f"is a copy of `{target}`, row by row"
        columns[name] = columns[name].model_copy(
            update={"role": "ignored", "reason": reason}
        )
        yield f"`{name}` is left out: it {reason}."
    for name in leaking.single:
        yield f"`{name}` alone predicts `{target}` almost without error. {_ADVICE}"
    if leaking.together:
        names = listed((f"`{name}`" for name in leaking.together), _MOST_NAMED)
        yield (
            f"`{target}` can be told almost without error; most of that comes from "
            f"{names}. If they are not known before the target is, move them from "
            "features to data.ignore."
        )

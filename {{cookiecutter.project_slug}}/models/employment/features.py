"""What the model sees of a person. Training and serving both call `features`."""

import pandas as pd

# The order of schooling, which a category would lose: years until it is reached.
SCHOOLING_YEARS = {
    "no high school": 6.0,
    "no diploma": 11.0,
    "high school": 12.0,
    "GED": 12.0,
    "some college": 13.0,
    "associate's": 14.0,
    "bachelor's": 16.0,
    "master's": 18.0,
    "professional": 19.0,
    "doctorate": 21.0,
}


def features(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the features of each row.

    A row's features depend on that row alone: whatever is learnt from many rows (means,
    categories) belongs in estimator.py, or one person would be scored differently in a
    batch.

    Parameters
    ----------
    raw : DataFrame, shape (n_rows, n_columns)
        The columns under `features` in model.yaml: numbers as float64, categories as
        str. Any value may be missing.

    Returns
    -------
    DataFrame, shape (n_rows, n_features)
    """
    return raw.assign(
        schooling_years=raw["schooling"].map(SCHOOLING_YEARS).astype("float64"),
        # Missing has a meaning here: not a minor who lives with a parent.
        parents_employment=raw["parents_employment"].fillna("does not apply"),
    )

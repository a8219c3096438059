"""The peer of serving.py, run in an environment of MLflow's own: a model to serve.

Usage: python serving_mlflow.py ROWS.csv FOLDER

The columns of the example and a model of its kind. It is fitted here because a model
of another version of scikit-learn could not be loaded.
"""

from __future__ import annotations

import sys

import mlflow.sklearn
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

COLUMNS = ["age", "schooling", "marital_status", "relationship", "parents_employment"]
COLUMNS += ["citizenship", "mobility", "military", "ancestry"]

rows = pd.read_csv(sys.argv[1])
one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
texts = make_column_selector(dtype_exclude="number")
columns = make_column_transformer((one_hot, texts), remainder="passthrough")
model = make_pipeline(columns, HistGradientBoostingClassifier(random_state=0))
model.fit(rows[COLUMNS], rows["employed"])
mlflow.sklearn.save_model(
    model, sys.argv[2], serialization_format="cloudpickle", pyfunc_predict_fn="predict"
)

"""The least that trains and scores the example: read, fit, score; no engine.

It uses the example's own features.py and estimator.py, so that the same model is
fitted.

Usage: python bare.py ROWS.csv FOLDER_OF_THE_MODEL
"""

import runpy
import sys

import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

features = runpy.run_path(f"{sys.argv[2]}/features.py")["features"]
build = runpy.run_path(f"{sys.argv[2]}/estimator.py")["build"]

rows = pd.read_csv(sys.argv[1])
special = [
    "person_id",
    "household_id",
    "year",
    "employed",
    "nativity",
    "sex",
    "race",
    "disability",
]
inputs = features(rows.drop(columns=special))
split = GroupShuffleSplit(n_splits=1, test_size=0.25, random_state=0)
train, test = next(split.split(inputs, groups=rows["household_id"]))
model = build({"learner": "boosting"}).fit(
    inputs.iloc[train], rows["employed"].iloc[train]
)
score = model.predict_proba(inputs.iloc[test])[:, 1]
print(f"{roc_auc_score(rows['employed'].iloc[test] == 'yes', score):.4f}")

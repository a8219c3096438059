"""GridSearchCV over the rows and folds of a sweep of the engine; no engine.

It reads the training part of the snapshot and uses the example's own features.py and
estimator.py, so that the same models are fitted on the same rows.

Usage: python bare_sweep.py FOLDER_OF_THE_MODEL SNAPSHOT.parquet LEARNER NAME VALUE,...
"""

import runpy
import sys

import pandas as pd
from sklearn.model_selection import GridSearchCV, GroupKFold

folder, snapshot, learner, name, values = sys.argv[1:]
features = runpy.run_path(f"{folder}/features.py")["features"]
build = runpy.run_path(f"{folder}/estimator.py")["build"]

rows = pd.read_parquet(snapshot)
rows = rows[~rows["__test__"] & rows["employed"].notna()].reset_index(drop=True)
special = ["person_id", "household_id", "year", "employed", "nativity", "sex", "race"]
special += ["disability", "__test__", "__validation__"]
inputs = features(rows.drop(columns=special, errors="ignore"))
groups, _ = rows["household_id"].factorize()
grid = {f"learner__{name}": [float(value) for value in values.split(",")]}
model = build({"learner": learner})
search = GridSearchCV(model, grid, scoring="roc_auc", cv=GroupKFold(3))
search.fit(inputs, rows["employed"], groups=groups)
print(f"{search.best_params_} {search.best_score_:.4f}")

"""The least that trains and scores a model of `mlops new`: read, split, fit, predict.

Usage: python bare_wide.py FOLDER_OF_THE_MODEL
"""

import re
import runpy
import sys
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

folder = Path(sys.argv[1])
features = runpy.run_path(str(folder / "features.py"))["features"]
build = runpy.run_path(str(folder / "estimator.py"))["build"]
learner = re.search(r"learner: (\w+)", (folder / "model.yaml").read_text())

rows = pd.read_csv(folder / "data" / "rows.csv")
inputs = features(rows.drop(columns="target"))
target = rows["target"]
train, test, known, truth = train_test_split(
    inputs, target, test_size=0.25, random_state=0
)
model = build({"learner": learner[1] if learner else ""}).fit(train, known)
score = model.predict_proba(test)[:, 1]
print(f"{roc_auc_score(truth == 'yes', score):.4f}")

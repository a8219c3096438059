"""A sweep of 50 combinations beside GridSearchCV: the same rows, folds and models.

Both start a process, read the snapshot, fit three folds of each combination and the
best one on all rows. The engine also measures each by all metrics with intervals, and
records each in the run log.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from example import make_project, make_rows
from measure import ROOT, Command, compare, environment, mlops

SIZES = (10_000, 50_000)

# Learner: the parameter, and the least and largest value.
GRIDS = {
    "logistic": ("C", 0.01, 10.0),
    "boosting": ("learning_rate", 0.02, 0.4),
}

COMBINATIONS = 50


def values_of(low: float, high: float) -> str:
    """Return evenly spaced values as a command line lists them."""
    step = (high - low) / (COMBINATIONS - 1)
    return ",".join(f"{low + step * number:.4f}" for number in range(COMBINATIONS))


def sweep_part(where: Path) -> list[str]:
    """Compare `mlops sweep` with GridSearchCV, processor seconds and wall seconds."""
    lines = [
        f"## A sweep of {COMBINATIONS} combinations",
        "",
        "| rows, learner | GridSearchCV | mlops sweep | ratio | processor | ratio |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for rows in SIZES:
        root = make_project(where / str(rows), make_rows(rows))
        subprocess.run(
            mlops("validate", "employment"),
            cwd=root,
            env=environment(),
            check=True,
            capture_output=True,
        )
        for learner, (name, low, high) in GRIDS.items():
            values = values_of(low, high)
            bare = [
                sys.executable,
                str(ROOT / "benchmarks" / "bare_sweep.py"),
                str(root / "models" / "employment"),
                str(root / "build" / "employment" / "snapshot.parquet"),
                learner,
                name,
                values,
            ]
            grid = ["-p", f"learner={learner}", "-p", f"{name}={values}"]
            own = mlops("sweep", "employment", *grid, "--max", "50", "--force")
            costs = compare({"bare": Command(bare, root), "engine": Command(own, root)})
            theirs = costs["bare"]
            ours = costs["engine"]
            lines.append(
                f"| {rows:,} {learner} | {theirs.seconds:.1f} s | "
                f"{ours.seconds:.1f} s | {ours.seconds / theirs.seconds:.2f} | "
                f"{ours.processor:.1f} s | {ours.processor / theirs.processor:.2f} |"
            )
    return [*lines, ""]

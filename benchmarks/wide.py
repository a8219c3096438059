"""Wide tables: a whole run against the bare script, and one row against the pipeline.

Usage: python benchmarks/wide.py [COLUMNS ...]

For each kind of table (numbers, booleans, mixed) and each learner, a model is made by
`mlops new` on 3,000 rows. `mlops run` is compared with `bare_wide.py`, which reads,
splits, fits and predicts with the same features.py and estimator.py: processor time of
all processes that a command starts, the least of BENCH_REPEATS in turn. One row is
compared in one process: `Model.predict` of a raw row against the fitted pipeline on the
typed row.

Nothing here passes or fails. The structure that these figures depend on is tested in
tests/engine/test_data_wide.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from example import git
from measure import ENGINE, REPEATS, ROOT, environment, mlops
from tree import spent

ROWS = 3000
RUN_COLUMNS = 2000
ROW_COLUMNS = 1000
KINDS = ("numbers", "booleans", "mixed")
LEARNERS = ("logistic", "boosting")


def make_table(kind: str, columns: int) -> pd.DataFrame:
    """Return rows of one kind of column and a target that depends on some of them."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(ROWS, columns)).round(4)
    chance = 1 / (1 + np.exp(-numbers[:, :4].sum(axis=1)))
    names = [f"c{number}" for number in range(columns)]
    frame = pd.DataFrame(numbers, columns=names)
    if kind == "booleans":
        frame = frame > 0
    if kind == "mixed":
        letters = np.array(list("abcde"))
        flags = {name: frame[name] > 0 for name in names[1::3]}
        words = {
            name: letters[np.digitize(frame[name], [-1, -0.3, 0.3, 1])]
            for name in names[2::3]
        }
        frame = frame.assign(**flags, **words)
    frame["target"] = np.where(rng.random(ROWS) < chance, "yes", "no")
    return frame


def make_project(where: Path, table: pd.DataFrame, learner: str) -> Path:
    """Return a repository with the model `wide`, as `mlops new` makes it."""
    where.mkdir(parents=True)
    (where / "project.yaml").write_text('name: bench\nowner: "@bench"\n')
    (where / ".gitignore").write_text("build/\n.mlops/\n__pycache__/\n")
    shutil.copytree(ENGINE / "requirements", where / "requirements")
    table.to_csv(where / "rows.csv", index=False)
    subprocess.run(
        mlops("new", "wide", "--data", "rows.csv", "--target", "target"),
        cwd=where,
        env=environment(),
        check=True,
        capture_output=True,
    )
    specification = where / "models" / "wide" / "model.yaml"
    text = specification.read_text(encoding="utf-8")
    for other in LEARNERS:
        text = text.replace(f"learner: {other}", f"learner: {learner}")
    specification.write_text(text, encoding="utf-8")
    git(where, "init", "-q", "-b", "main")
    git(where, "add", "-A")
    git(where, "commit", "-qm", "Bench")
    return where


def processor_seconds(command: Sequence[str], folder: Path) -> float:
    """Return the processor time of a command and of all that it started."""
    # 1: a check of the model failed.
    return spent(command, folder, environment(), expect=(0, 1)).processor


def compare_runs(root: Path) -> tuple[float, float]:
    """Return the processor time of the bare script and of a whole run."""
    bare = [sys.executable, str(ROOT / "benchmarks" / "bare_wide.py"), "models/wide"]
    seconds: dict[str, list[float]] = {"bare": [], "run": []}
    for _ in range(REPEATS):
        shutil.rmtree(root / "build", ignore_errors=True)
        seconds["bare"].append(processor_seconds(bare, root))
        seconds["run"].append(processor_seconds(mlops("run", "wide"), root))
    return min(seconds["bare"]), min(seconds["run"])


def compare_rows(root: Path) -> tuple[float, float]:
    """Return the processor time of one row: of the fitted pipeline, of the engine."""
    from mlops.training.model import Model

    raw = pd.read_csv(root / "models" / "wide" / "data" / "rows.csv", nrows=1)
    model = Model.load(root / "build" / "wide", "wide")
    # A service has the values of a row as JSON has them, not as pandas typed them.
    row = pd.DataFrame([json.loads(raw.to_json(orient="records"))[0]])
    typed = model.features(row)
    bare = milliseconds(lambda: model.pipeline.predict_proba(typed))
    return bare, milliseconds(lambda: model.predict(row))


def milliseconds(do: Callable[[], object]) -> float:
    """Return the least processor time of a call."""
    times = []
    for _ in range(30):
        begun = time.process_time()
        do()
        times.append(time.process_time() - begun)
    return 1000 * min(times)


def main() -> None:
    """Print one table for whole runs and one for single rows."""
    columns = [int(argument) for argument in sys.argv[1:]] or [RUN_COLUMNS, ROW_COLUMNS]
    print(
        "| table | learner | bare script | mlops run | ratio | one row: bare | engine "
        "| ratio |"
    )
    print("| --- | --- | --: | --: | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as folder:
        for width in columns:
            for kind in KINDS:
                table = make_table(kind, width)
                for learner in LEARNERS:
                    where = Path(folder) / f"{width}-{kind}-{learner}"
                    root = make_project(where, table, learner)
                    print(
                        f"| {width:,} {kind} | {learner} {measured(root)}", flush=True
                    )


def measured(root: Path) -> str:
    """Return the figures of one model as the end of a table row."""
    bare, run = compare_runs(root)
    pipeline, engine = compare_rows(root)
    return (
        f"| {bare:.2f} s | {run:.2f} s | {run / bare:.2f} | {pipeline:.1f} ms "
        f"| {engine:.1f} ms | {engine / pipeline:.2f} |"
    )


if __name__ == "__main__":
    main()

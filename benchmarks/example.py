"""Repositories to measure in: the example's people, as many rows as wanted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
from measure import ENGINE

EXAMPLE = ENGINE / "models" / "employment"
# 17 columns: those of the example without the three difficulties, and the target.
COLUMNS = ["person_id", "household_id", "year", "age", "schooling", "marital_status"]
COLUMNS += ["relationship", "parents_employment", "citizenship", "mobility", "military"]
COLUMNS += ["ancestry", "nativity", "sex", "race", "disability", "employed"]


def git(root: Path, *arguments: str) -> None:
    """Run git with an identity of its own."""
    identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.com"]
    subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True
    )


def make_rows(n: int) -> pd.DataFrame:
    """Return the example's people many times, with new ids and shaken ages."""
    data = EXAMPLE / "data"
    people = pd.read_csv(data / "people" / "2015.csv")
    people = people.merge(pd.read_csv(data / "labels" / "2015.csv"), on="person_id")[
        COLUMNS
    ]
    copies = []
    for copy in range(-(-n // len(people))):
        shake = np.random.default_rng(copy).integers(-1, 2, len(people))
        ids = {c: people[c] + copy * 1_000_000 for c in ("person_id", "household_id")}
        copies.append(people.assign(age=(people["age"] + shake).clip(16, 95), **ids))
    return pd.concat(copies).head(n)


def make_project(where: Path, rows: pd.DataFrame) -> Path:
    """Make a repository with the example model on some rows."""
    folder = where / "models" / "employment"
    shutil.copytree(
        EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__")
    )
    (folder / "data").mkdir()
    rows.to_csv(folder / "data" / "rows.csv", index=False)
    text = (folder / "model.yaml").read_text(encoding="utf-8")
    lines = [x for x in text.splitlines() if not x.strip().startswith("labels:")]
    text = "\n".join(lines).replace("data/people/*.csv", "data/rows.csv")
    text = text.replace("learner: logistic", "learner: boosting")
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    (where / "project.yaml").write_text('name: bench\nowner: "@bench"\n')
    (where / ".gitignore").write_text("build/\n.mlops/\nmodels/*/data/\n__pycache__/\n")
    shutil.copytree(ENGINE / "requirements", where / "requirements")
    git(where, "init", "-q", "-b", "main")
    git(where, "add", "-A")
    git(where, "commit", "-qm", "Bench")
    return where

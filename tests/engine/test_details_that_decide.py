"""Details that decide: a mutant of each once passed all other tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.config.yaml import parse
from mlops.data.snapshot import build
from mlops.evaluation.compare import paired_difference
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.outcome import outcome
from mlops.io.digests import sha256
from mlops.pipeline.production import Production
from mlops.registry import decisions
from mlops.reporting.calibration import Tenth, plot
from mlops.results.training import Signature
from mlops.scaffold.infer import infer
from mlops.storage import cache
from mlops.storage.folder import FolderStore
from mlops.storage.protocol import Asset

from .conftest import git, train_in
from .serving_world import NOW, release


def test_the_champion_is_the_version_in_the_last_stage(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    in_production = release(train_in(project))
    path = project.root / "models" / "churn" / "model.yaml"
    changed = path.read_text().replace("learner: logistic", "learner: boosting")
    path.write_text(changed)
    git(project.root, "commit", "-qam", "Another learner")
    in_staging = release(train_in(project), 1)
    decisions.rollback(
        project,
        "churn",
        "production",
        actor="@ana",
        reason="back",
        now=NOW + timedelta(hours=2),
    )
    held = decisions.tags.read_registry(project.root).model("churn").stages
    assert held["staging"].number == in_staging != in_production
    production = Production(project, "churn", lambda: FolderStore(project.store))
    assert production.version == in_production
    assert production.release is not None
    assert production.release.version.number == in_production


@pytest.mark.parametrize(
    ("metric", "higher_is_better"),
    [("roc_auc", True), ("accuracy", True), ("log_loss", False), ("brier", False)],
)
def test_better_is_lower_where_the_metric_says_so(
    metric: str, higher_is_better: bool
) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 2000)
    signature = Signature(
        task="binary",
        target="left",
        classes=("no", "yes"),
        positive="yes",
        outputs=("prediction", "score"),
        features=(),
    )
    target = pd.Series(np.where(truth == 1, "yes", "no"))

    def model(noise: float) -> pd.DataFrame:
        raw = truth + rng.normal(0, noise, len(truth))
        score = 1 / (1 + np.exp(-4 * (raw - 0.5)))
        answers = np.where(score > 0.5, "yes", "no")
        return pd.DataFrame({"prediction": answers, "score": score})

    good = outcome(signature, target, model(0.2))
    poor = outcome(signature, target, model(1.5))
    assert measure_metric(metric, good).higher_is_better is higher_is_better
    comparison = paired_difference(metric, poor, good, 0.95)
    assert comparison.difference > 0, "the challenger is better, whatever the scale"
    assert comparison.low > 0
    assert paired_difference(metric, good, poor, 0.95).high < 0


def test_the_cache_keeps_what_was_read_last_and_not_what_came_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [b"aaaa", b"bbbb", b"cccc"]
    assets = [Asset(sha256=sha256(text), size=4) for text in contents]

    def use(at: int) -> None:
        cache.cache_file(assets[at], lambda start: [contents[at][start:]])

    use(0)
    use(1)
    for age, asset in enumerate(assets[:2]):
        os.utime(cache.cache_path(asset), (1000 + age, 1000 + age))
    use(0)  # read again: now the second is the one that was not used for longest
    monkeypatch.setattr(cache, "MOST", 9)
    use(2)
    kept = [cache.cache_path(asset).is_file() for asset in assets]
    assert kept == [True, False, True]


def test_the_seed_of_a_new_split_leaves_at_least_fifteen_percent_to_test(
    tmp_path: Path,
) -> None:
    """Without a floor the first seed with every class on both sides would be taken."""
    rows = 62  # of these, seed 0 sends 14.5 % to the test part
    path = tmp_path / "rows.csv"
    frame = pd.DataFrame(
        {
            "id": [f"r{at}-{rows}" for at in range(rows)],
            "x": np.arange(rows) * 1.5,
            "answer": ["yes" if at % 2 else "no" for at in range(rows)],
        }
    )
    frame.to_csv(path, index=False)
    spec = infer(path, "answer", None, None).spec
    assert share_of_test(spec, path, 0) < 0.15
    assert share_of_test(spec, path, spec["split"]["seed"]) >= 0.15


def share_of_test(spec: dict[str, Any], path: Path, seed: int) -> float:
    """Return the share of the rows that a seed sends to the test part."""
    seeded = {
        **spec,
        "data": {**spec["data"], "source": path.name},
        "split": {**spec["split"], "seed": seed},
    }
    dataset, _ = build(parse(ModelSpec, seeded, path.name), path.parent)
    assert dataset is not None
    test = len(dataset.part("test"))
    return test / (test + len(dataset.part("train")))


@pytest.mark.parametrize(
    ("low", "high", "dashes"), [(0.0, 1.0, "all"), (0.0, 0.0, 0), (1.0, 1.0, 0)]
)
def test_an_interval_is_drawn_up_to_and_with_both_its_ends(
    low: float, high: float, dashes: str | int
) -> None:
    row = plot([Tenth(100, 0.5, 0.5, low, high)], shares=True).splitlines()[1]
    drawn = row[32:]
    if dashes == "all":
        assert drawn.startswith("-")
        assert drawn.endswith("-")
        scale = plot([Tenth(100, 0.5, 0.5, low, high)], shares=True).splitlines()[0]
        assert len(row) == len(scale), "the last dash stands below the scale's end"
    else:
        assert drawn.count("-") == 1

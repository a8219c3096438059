"""GitHub alone: a batch on a schedule, its log as artifacts, drift, a new version."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from engine.conftest import rows_of
from rehearsal.stories.world import World, replaced
from stories.outcomes import DELIVERED, WATCHED
from stories.worlds import FOLDER, MODEL

from .test_story_drift import arrived, checks, halved

BY_ROLE = {"data": "skipped", "deliver": "skipped"}
SCORED = {
    "plan": "success",
    f"predict ({MODEL})": "success",
    "record": "success",
    **BY_ROLE,
}
IDLE = {"plan": "success", "predict": "skipped", "record": "skipped", **BY_ROLE}
INPUT = "batch"


def came(world: World, name: str, rows: pd.DataFrame) -> None:
    """Let a file of new rows arrive by a push, which starts nothing here."""

    def edit(root: Path) -> None:
        path = root / FOLDER / INPUT / name
        path.parent.mkdir(exist_ok=True)
        rows.drop(columns="churn").to_csv(path, index=False)

    assert world.push(edit, f"Rows of {name} [skip ci]") == []


def declared(root: Path) -> None:
    path = root / FOLDER / "model.yaml"
    path.write_text(path.read_text() + f"\nbatch:\n  input: {INPUT}/*.csv\n")


@pytest.mark.slow
def test_a_batch_on_githubs_machines_alone_finds_drift_and_a_new_version_follows(
    story: World,
) -> None:
    variable = {"name": "MLOPS_PREDICTIONS", "value": "artifacts"}
    story.api("POST", "/actions/variables", variable)
    assert story.push(declared, "Score in batch [skip ci]") == []
    came(story, "monday.csv", halved(rows_of(n=400, seed=7)))

    (run,) = story.schedule("predict")  # anybody could read the artifacts
    assert run.jobs == IDLE, run.log
    assert "anybody can read the artifacts of a public repository" in run.log
    agreed = replaced("project.yaml", "cost:", "predictions:\n  public: true\n\ncost:")
    assert story.push(agreed, "These rows are public [skip ci]") == []

    (run,) = story.schedule("predict")
    assert run.jobs == SCORED, run.log
    assert set(run.artifacts) == {f"{kind}-{MODEL}" for kind in SCORED_ARTIFACTS}
    output = sorted(run.artifacts[f"output-{MODEL}"].rglob("*.parquet"))
    assert sum(len(pd.read_parquet(path)) for path in output) == 400
    (record,) = story.journal("batch")
    assert (record["version"], [f["rows"] for f in record["files"]]) == (
        "v1.0.0",
        [400],
    )
    (again,) = story.schedule("predict")  # nothing is new
    assert again.jobs == IDLE, again.log

    arrived(story, halved(rows_of(n=1_500, seed=9)))
    watch, release = story.schedule("monitor")
    assert (watch.workflow, watch.jobs) == ("monitor", WATCHED), watch.log
    (issue,) = story.issues()
    assert "tenure has drifted" in issue["body"]
    assert (release.event.name, release.jobs) == ("repository_dispatch", DELIVERED)
    assert "churn#production#4" in story.tags()

    came(story, "tuesday.csv", halved(rows_of(n=400, seed=8)))
    (run,) = story.schedule("predict")
    assert run.jobs == SCORED, run.log
    assert [r["version"] for r in by_time(story)] == ["v1.0.0", "v1.0.1"]
    (watch,) = story.schedule("monitor")
    assert watch.jobs == WATCHED, watch.log
    assert story.issues() == []
    (closed,) = story.issues("closed")
    assert closed["number"] == issue["number"]
    assert checks(story) == [("v1.0.0", True), ("v1.0.1", False)]
    rows = {check["version"]: check["rows"] for check in story.journal("monitor")}
    assert rows == {"v1.0.0": 400, "v1.0.1": 400}


SCORED_ARTIFACTS = ("predictions", "output", "batch")


def by_time(world: World) -> list[dict[str, str]]:
    """Return what batches have recorded, oldest first."""
    return sorted(world.journal("batch"), key=lambda record: str(record["at"]))

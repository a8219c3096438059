"""What concerns every model: a second one, other libraries, another engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.conftest import rows_of
from rehearsal.stories.world import World, replaced
from stories.outcomes import (
    BORN,
    CHECKED,
    COMMENTED,
    DELIVERED,
    LONG_AGO,
    REFUSED,
    answer,
    by_start,
    checked,
    delivered,
    in_stage,
    is_whole,
    ran,
    refs,
    the_comment,
    trailers,
    trained,
    writes,
)

TWO = ("churn", "price")
TRAIN = "vendor/mlops/src/mlops/training/fit.py"


def second_model(world: World) -> Callable[[Path], None]:
    """Add a model as the README says: the command and somebody's file."""

    def edit(root: Path) -> None:
        file = root.parent / "prices.csv"
        rows_of("regression", seed=4).rename(columns={"churn": "price"}).to_csv(
            file, index=False
        )
        command = ["new", "price", "--data", str(file), "--target", "price"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(root / "vendor" / "mlops" / "src"),
        }
        subprocess.run(
            [world.runner.python, "-m", "mlops", *command],
            cwd=root,
            env=environment,
            check=True,
        )

    return edit


def newer_library(root: Path) -> None:
    """Take a newer version of a library into every lock, as Dependabot does."""
    for lock in sorted((root / "requirements").glob("*.txt")):
        text = lock.read_text(encoding="utf-8")
        assert "annotated-types==0.8.0" in text
        newer = text.replace("annotated-types==0.8.0", "annotated-types==0.8.1")
        lock.write_text(newer, encoding="utf-8")


@pytest.mark.slow
def test_a_second_model_lives_beside_the_first_and_newer_libraries_train_both(
    story: World,
) -> None:
    before = refs(story)
    pull = story.open_pull_request("price", second_model(story), "What does it cost?")
    assert ran(pull.runs) == [
        ("pull-request", checked("price")),
        ("comment", COMMENTED),
    ]
    said = the_comment(story, pull)
    first = "The first version passed what was measured"
    assert f"## ⚠️ price: {first}" in said and "churn" not in said

    (release,) = story.merge(pull)
    assert ran([release]) == [("release", delivered("price"))], release.log
    assert (
        "price@v1.0.0 in service gives the expected predictions for 10 examples"
        in release.log
    )
    is_whole(story, "churn@v1.0.0", "price@v1.0.0")
    born = [*BORN, "price@v1.0.0", "price#staging#1", "price#production#2"]
    assert story.tags() == born
    assert trailers(story, "price@v1.0.0")["Reason"] == "first version"
    churn = {name: sha for name, sha in before.items() if "churn" in name}
    assert churn.items() <= refs(story).items()
    runs = [(r["model"], r["pull_request"], r["outcome"]) for r in by_start(story)]
    assert runs == [
        ("churn", None, "promote"),
        ("price", pull.number, "promote"),
        ("price", None, "promote"),
    ]
    asked = answer(story, model="price", tenure=30, spend=50.0, plan="basic")
    assert asked["version"] == "v1.0.0" and isinstance(asked["prediction"], float)
    assert answer(story)["version"] == "v1.0.0"

    # Newer libraries: a machine proposes them, each model is trained with them and has
    # to lose nothing; that it comes out better, nobody asks of a library.
    deployed = story.deployments()
    pull = story.open_pull_request(
        "dependabot/pip/annotated-types",
        newer_library,
        "Bump annotated-types from 0.8.0 to 0.8.1",
        actor="dependabot[bot]",
    )
    assert ran(pull.runs) == [("pull-request", checked(*TWO)), ("comment", COMMENTED)]
    assert not writes(story, pull.runs[0])
    said = the_comment(story, pull)
    for model in TWO:
        title = (
            "No change: it makes the same predictions as the model in production "
            "(v1.0.0)."
        )
        assert f"## ✅ {model}: {title}" in said
    assert said.count("; both versions make exactly the same predictions") == 2

    (release,) = story.merge(pull)
    assert ran([release]) == [("release", delivered(*TWO))], release.log
    for model in TWO:  # the same bytes are the same version
        assert f"{model}@v1.0.0 was registered already" in release.log
        assert in_stage(story, "production", model) == "v1.0.0"
    assert story.tags() == born
    assert len(story.deployments()) == len(deployed) + 4
    is_whole(story, "churn@v1.0.0", "price@v1.0.0")


@pytest.mark.slow
def test_an_engine_that_trains_worse_is_refused_and_a_tidier_one_changes_nothing(
    story: World,
) -> None:
    raw = "    raw = rows[list(spec.features)]\n"
    few_rows = "    rows = rows.head(30)\n"
    few = replaced(TRAIN, raw, few_rows + raw)
    pull = story.open_pull_request("engine", few, "Train faster")
    assert ran(pull.runs) == [("pull-request", REFUSED), ("comment", COMMENTED)]
    assert trained(pull.runs)
    said = the_comment(story, pull)
    assert said.count("## ❌ ") == 2 and "## ❌ The checks are red" in said
    assert "## ❌ churn: Do not replace the model in production (v1.0.0)." in said

    def tidier(root: Path) -> None:
        replaced(TRAIN, few_rows, "    # Never of the test.\n")(root)

    runs = story.push_to(pull, tidier)
    assert ran(runs) == [("pull-request", CHECKED), ("comment", COMMENTED)]
    assert "both versions make exactly the same predictions" in the_comment(story, pull)
    assert (story.tags(), story.deployments()) == (BORN, LONG_AGO)

    (release,) = story.merge(pull)
    assert ran([release]) == [("release", DELIVERED)], release.log
    assert "churn@v1.0.0 was registered already" in release.log
    assert story.tags() == BORN
    is_whole(story, "v1.0.0")
    outcomes = [(r["pull_request"], r["outcome"]) for r in by_start(story)]
    mine = pull.number
    assert outcomes == [
        (None, "promote"),
        (mine, "reject"),
        (mine, "promote"),
        (None, "promote"),
    ]

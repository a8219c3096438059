"""Refreshes of refreshes are judged by the version that their line began with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mlops.config.project import Project
from mlops.io.files import read_json
from mlops.registry import tags
from mlops.registry.anchors import line_of, refreshed_from
from mlops.registry.retention import _anchors, candidates
from mlops.reporting.wording import anchored, reasons
from mlops.results.verdict import Anchored, Comparison, Verdict

from .conftest import git
from .test_report_since_production import CHECKS, SLICES, in_production, mlops


def verdict(rule: str, champion: str | None, decision: str = "promote") -> Verdict:
    return Verdict(decision=decision, rule=rule, champion=champion)


FIRST = verdict("first version", None)
BETTER = verdict("superiority", "v1.0.1")


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("v1.0.0", ("v1.0.0",)),
        ("v1.0.1", ("v1.0.1", "v1.0.0")),
        ("v1.1.0", ("v1.1.0",)),
        ("v1.1.2", ("v1.1.2", "v1.1.1", "v1.1.0")),
        ("v1.1.3", ("v1.1.3",)),
        ("v1.1.4", ("v1.1.4", "v1.1.3")),
        ("v1.1.6", ("v1.1.6",)),
        ("v9.0.0", ("v9.0.0",)),
    ],
)
def test_the_line_of_a_version_ends_where_it_was_more_than_a_refresh(
    version: str, line: tuple[str, ...]
) -> None:
    verdicts = {
        "v1.0.0": FIRST,
        "v1.0.1": verdict("non-inferiority", "v1.0.0"),
        "v1.1.0": BETTER,
        "v1.1.1": verdict("non-inferiority", "v1.1.0"),
        "v1.1.2": verdict("non-inferiority", "v1.1.1"),
        # A person registered it against its verdict: the loss was accepted.
        "v1.1.3": verdict("non-inferiority", "v1.1.2", "inconclusive"),
        "v1.1.4": verdict("non-inferiority", "v1.1.3"),
        # What it refreshes was withdrawn.
        "v1.1.6": verdict("non-inferiority", "v1.1.5"),
    }
    assert line_of(version, verdicts) == line


def refresh(project: Project, rows: int) -> None:
    """Leave out rows at the end: a change of the data alone."""
    path = project.folder("churn") / "data" / "rows.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-rows]) + "\n")
    git(project.root, "commit", "-qam", "Fewer rows")
    mlops("run", "churn")


def test_a_refresh_of_a_refresh_is_compared_with_the_first_version(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = {"margin": 0.2}
    project = make_project(n=900, slices=SLICES, checks=CHECKS, gate=loose)
    monkeypatch.chdir(project.root)
    in_production(project)
    refresh(project, 30)
    second = Verdict.load(project.build("churn"))
    assert (second.decision, second.rule) == ("promote", "non-inferiority")
    assert not [g for g in second.grounds if isinstance(g, Anchored)]
    assert "is registered" in mlops("register", "churn", "-m", "fresh data")
    mlops("promote", "churn@v1.0.1", "staging")
    mlops("promote", "churn@v1.0.1", "production", "--yes")

    monkeypatch.setattr("mlops.pipeline.run.APART", True)
    refresh(project, 30)
    third = Verdict.load(project.build("churn"))
    assert (third.decision, third.champion) == ("promote", "v1.0.1")
    (ground,) = [g for g in third.grounds if isinstance(g, Anchored)]
    assert ground.version == "v1.0.0"
    assert ground.finding in ("not worse", "better", "identical")
    assert ground.comparison is not None
    assert "v1.0.0, which the refreshes since then began with" in reasons(third)[-1]
    shown = (project.build("churn") / "report.md").read_text()
    assert "which the refreshes since then began with" in shown
    stored = read_json(project.build("churn") / Verdict.FILE)
    assert Verdict.model_validate(stored) == third

    # As long as a refresh is in a stage, its anchor is not pruned.
    model = tags.read_registry(project.root).model("churn")
    assert refreshed_from(project.root, model, "v1.0.1") == ("v1.0.1", "v1.0.0")
    later = datetime.now(UTC) + timedelta(days=400)
    mlops("register", "churn", "-m", "fresh again")
    for stage in ("staging", "production"):
        mlops("promote", "churn@v1.0.2", stage, "--yes")
    model = tags.read_registry(project.root).model("churn")
    stored_versions = list(model.versions)

    def pruned(anchors: set[str]) -> list[str]:
        found = candidates(model, "production", 1, later, stored_versions, anchors)
        return [version.number for version in found]

    assert pruned(set()) == ["v1.0.0"]
    assert pruned(_anchors(project, model)) == []


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (
            "worse",
            "Small losses have added up: it is more than 0.010 worse",
        ),
        ("undecided", "Small losses may have added up"),
        ("not worse", "It is not worse by more than 0.010 than v1.0.0"),
        (None, "could not be compared with v1.0.0"),
    ],
)
def test_what_the_anchor_shows_is_a_sentence(finding: str | None, words: str) -> None:
    compared = Comparison(
        metric="roc_auc",
        champion=0.84,
        challenger=0.83,
        difference=-0.01,
        low=-0.02,
        high=0.0,
        smallest_detectable=0.01,
        method="DeLong",
    )
    ground = Anchored(version="v1.0.0", finding=finding, comparison=compared)
    refreshed = Verdict(
        decision="promote", rule="non-inferiority", margin=0.01, grounds=(ground,)
    )
    assert words in anchored(ground, refreshed)
    assert reasons(refreshed) == (anchored(ground, refreshed),)

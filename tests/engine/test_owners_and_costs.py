"""Owners, age and cost of models: filters, code owners, labels, a budget that warns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli import monitor as monitor_module
from mlops.cli import workflow
from mlops.cli.main import app
from mlops.cli.selection import select, stale_models
from mlops.config.project import Project
from mlops.config.project_spec import Cost
from mlops.github.code_owners import lines_to_add, parse
from mlops.github.issues import LABEL, open_or_edit
from mlops.registry.tags import read_registry
from mlops.results.costs import MonthlyCost, amount, monthly, over_budget
from mlops.results.runs import Record
from mlops.runlog.journal import append_all

from .grown import FIRST, STEP, Grown, Size


@pytest.fixture(name="project")
def project_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Five models: m000 and m004 are @ana's, m001 is @ben's, and so on."""
    made = Grown(tmp_path / "acme", Size(models=5, versions=5, runs=5))
    monkeypatch.chdir(made.root)
    return Project(made.root)


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def ask(*words: str) -> Any:
    done = invoke(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


# -- what is stale ---------------------------------------------------------------------


def test_a_model_is_stale_without_a_new_version_for_so_long(project: Project) -> None:
    state = read_registry(project.root)
    names = [*project.models(), "never"]
    after_two = datetime.fromtimestamp(FIRST + 2 * STEP - 1, UTC)
    assert stale_models(names, state, after_two)[-1] == "never"
    everything = datetime.fromtimestamp(FIRST + 100 * STEP, UTC)
    assert stale_models(names, state, everything) == names
    assert stale_models(names, state, datetime.fromtimestamp(0, UTC)) == ["never"]


def test_lists_take_patterns_owners_and_an_age_together(project: Project) -> None:
    listed = ask("registry", "list", "m00[0-3]", "--owner", "@ana")
    assert [row["version"] for row in listed] == ["m000@v1.0.0"]
    assert len(ask("registry", "list", "--stale", "1h")) == 5  # grown in 2023
    assert ask("registry", "list", "--stale", "9999w") == []
    runs = ask("runs", "list", "m00[12]")
    assert {run["model"] for run in runs} == {"m001", "m002"}
    assert ask("runs", "list", "--stale", "9999w") == []
    stale = ask("runs", "list", "m00[12]", "--stale", "1h")
    assert {run["model"] for run in stale} == {"m001", "m002"}


def test_a_run_of_what_is_stale_runs_nothing_where_nothing_is(
    project: Project,
) -> None:
    done = invoke("run", "--stale", "9999w")
    assert done.exit_code == 0 and "No model is stale." in done.output
    done = invoke("run", "--stale", "soon")
    assert done.exit_code == 2 and "--stale" in done.output
    done = invoke("run", "--stale", "1h", "--models", '["m000"]')
    assert done.exit_code == 2 and "--models" in done.output


def test_the_monitor_looks_at_the_models_of_one_owner(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        monitor_module, "each_live", lambda *given: asked.append(given[:2])
    )
    assert invoke("monitor", "--owner", "@ana").exit_code == 0
    assert asked == [("monitor", '["m000", "m004"]')]
    assert invoke("monitor", "--owner", "@nobody").exit_code == 2
    assert invoke("monitor", "--owner", "@ana", "--stale", "1h").exit_code == 0
    assert asked[1:] == [("monitor", '["m000", "m004"]')]
    assert "No model is stale." in invoke("monitor", "--stale", "9999w").output
    assert len(asked) == 2


def test_the_doctor_looks_at_what_is_stale(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    monkeypatch.setattr(
        "mlops.registry.health.health",
        lambda _project, _store, names, _most: looked_at.append(names) or ((), ()),
    )
    invoke("doctor", "--stale", "1h", "--owner", "@ana")
    invoke("doctor", "--stale", "9999w")
    invoke("doctor")
    assert looked_at == [["m000", "m004"], [], None]


# -- code owners -----------------------------------------------------------------------

OWNERS = {"a": "@ana", "b": "@acme/team", "c": "The census team"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("* @acme", ["/models/a/ @ana", "/models/b/ @acme/team"]),
        ("* @ana", ["/models/b/ @acme/team"]),
        ("* @acme\n/models/a/ @Ana\n/models/b/ @x @Acme/Team", []),
        ("/models/a/ @ana\n* @acme", ["/models/a/ @ana", "/models/b/ @acme/team"]),
        ("", ["/models/a/ @ana", "/models/b/ @acme/team"]),
    ],
)
def test_the_owner_of_a_model_has_to_review_it(text: str, lines: list[str]) -> None:
    assert lines_to_add(parse(text), OWNERS) == lines


def test_where_all_models_have_one_owner_nothing_is_demanded() -> None:
    assert lines_to_add(parse("* @acme"), {"a": "@ana", "b": "@Ana"}) == []


def test_doctor_says_which_lines_are_missing(project: Project) -> None:
    file = project.root / ".github" / "CODEOWNERS"
    file.parent.mkdir(exist_ok=True)
    file.write_text("* @acme\n")

    def found() -> str:
        rows = json.loads(invoke("doctor", "--json").stdout)
        (row,) = [row for row in rows if row["check"] == "code owners"]
        assert row["ok"] is not bool(row["found"])
        return str(row["found"])

    first, *lines = found().splitlines()
    assert first == ".github/CODEOWNERS lacks owners of model.yaml; add to it:"
    assert lines[0] == "/models/m000/ @ana" and len(lines) == 5
    file.write_text("* @acme\n" + "\n".join(lines) + "\n")
    assert found() == ""


# -- issues ----------------------------------------------------------------------------


class Issues:
    """What is asked of a repository on GitHub to open an issue."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    def get_issues(self, **_: Any) -> list[Any]:
        return []

    def create_issue(self, title: str, body: str, labels: list[str]) -> str:
        self.labels = labels
        return title


@pytest.mark.parametrize(
    ("owner", "labels"),
    [
        ("@ana", [LABEL, "owner: @ana"]),
        ("", [LABEL]),
        ("x" * 80, [LABEL, f"owner: {'x' * 43}"]),
    ],
)
def test_an_issue_has_a_label_of_the_owner(owner: str, labels: list[str]) -> None:
    repository: Any = Issues()
    open_or_edit(repository, LABEL, "title", "body", owner=owner)
    assert repository.labels == labels


# -- cost ------------------------------------------------------------------------------


def run(model: str, month: str, cost: Any, **more: Any) -> dict[str, Any]:
    facts = {"model": model, "started": f"{month}-03T04:05:06+00:00", "seconds": 60.0}
    return {**facts, "cost": cost, **more}


def test_costs_are_summed_by_month_and_model_the_dearest_first() -> None:
    runs = [
        run("a", "2026-10", 1.0),
        run("a", "2026-11", 0.25),
        run("b", "2026-11", 3.0),
        run("b", "2026-11", 1.0),
        run("b", "2026-11", 1.0, currency="EUR"),
        run("gone", "2026-11", None),
    ]
    lines = monthly(runs, {"a": "@ana", "b": "@ben"})
    assert lines[0] == MonthlyCost("2026-11", "@ben", "b", 2, 120.0, 4.0, "USD")
    assert [(one.month, one.model, one.cost) for one in lines] == [
        ("2026-11", "b", 4.0),
        ("2026-11", "b", 1.0),
        ("2026-11", "a", 0.25),
        ("2026-11", "gone", 0.0),
        ("2026-10", "a", 1.0),
    ]
    assert lines[3].owner == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (-1, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), ("9", 0.0)],
)
def test_an_amount_that_a_stranger_wrote_is_finite_and_not_negative(
    value: object, expected: float
) -> None:
    assert amount(value) == expected


@pytest.mark.parametrize(
    ("budget", "coming", "spent", "warns"),
    [
        (None, 1000.0, 1000.0, False),
        (50.0, 20.0, 30.0, False),
        (50.0, 20.5, 30.0, True),
        (50.0, 0.0, 90.0, False),
        (0.0, 0.1, 0.0, True),
    ],
)
def test_a_budget_warns_only_beyond_it(
    budget: float | None, coming: float, spent: float, warns: bool
) -> None:
    text = over_budget(100, coming, spent, Cost(per_month=budget))
    assert bool(text) is warns
    if budget == 50.0 and warns:
        assert text == (
            "over the budget: training 100 models costs about 20.50 USD by their last "
            "runs, and 30.00 of the 50.00 USD of this month are spent"
        )


def test_a_plan_warns_before_a_change_that_trains_beyond_the_budget(
    project: Project,
) -> None:
    now = datetime.now(UTC)
    logged = []
    for name in project.models():
        logged.append(
            Record(
                id=f"now-{name}",
                model=name,
                started=now.isoformat(),
                seconds=3600.0,
                stages={"train": "ran"},
                outcome="promote",
                cost=4.0,
            )
        )
    append_all(project, logged)
    spec = project.root / "project.yaml"
    text = spec.read_text()
    assert "over the budget" not in invoke("plan").output
    spec.write_text(text + "cost: {per_month: 39.0}\n")
    said = " ".join(invoke("plan").output.split())
    assert "training 5 models costs about 20.00 USD by their last runs" in said
    assert "20.00 of the 39.00 USD of this month are spent" in said
    spec.write_text(text + "cost: {per_month: 40.0}\n")
    assert "over the budget" not in invoke("plan").output


def test_a_comment_says_that_merging_goes_over_the_budget(project: Project) -> None:
    record = Record(
        id="pr1",
        model="m000",
        started="2026-11-01T00:00:00+00:00",
        seconds=60.0,
        stages={},
        outcome="promote",
        cost=7.0,
    )
    found = {"m000": record, "m001": None}
    assert workflow._budget_note(project, found) == []
    spec = project.root / "project.yaml"
    spec.write_text(spec.read_text() + "cost: {per_month: 6.5}\n")
    (note,) = workflow._budget_note(Project(project.root), found)
    assert note.startswith("Merging this goes over the budget: training 1 model costs")


def test_the_command_for_costs_has_months_owners_and_a_total(project: Project) -> None:
    rows = ask("runs", "cost", "--since", "9999w")
    assert {row["model"] for row in rows} == set(project.models())
    assert {row["owner"] for row in rows} == {"@ana", "@ben", "@cleo", "@dan"}
    mine = ask("runs", "cost", "--owner", "@ana", "--since", "9999w")
    assert {row["model"] for row in mine} == set(select(project, owner="@ana"))
    text = invoke("runs", "cost", "m00*", "--since", "9999w").output
    assert "In all: 0.00 USD" in text and "2023-11" in text

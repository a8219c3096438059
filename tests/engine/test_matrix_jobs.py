"""How models are shared among the jobs of a matrix, and how such a job runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops import settings
from mlops.cli.actions_env import summary
from mlops.cli.main import app
from mlops.config.project import Project
from mlops.config.project_spec import Jobs
from mlops.errors import UsageError
from mlops.github.verdicts import shortcomings
from mlops.pipeline.jobs import shared
from mlops.results.runs import Record
from mlops.runlog.journal import append_all
from mlops.runlog.query import latest_seconds

from .conftest import ENGINE
from .grown import Grown, Size

LIMITS = Jobs()


def names(number: int) -> list[str]:
    return [f"m{at:03}" for at in range(number)]


def everybody(jobs: dict[str, list[str]]) -> list[str]:
    return sorted(name for members in jobs.values() for name in members)


@pytest.mark.parametrize("number", [0, 1, 10, 20, 21, 100, 255, 256, 257, 300, 1000])
@pytest.mark.parametrize("seconds", [None, 0.0, 10.0, 4000.0])
def test_each_model_is_in_one_job_and_no_matrix_is_too_large(
    number: int, seconds: float | None
) -> None:
    models = names(number)
    known = {} if seconds is None else dict.fromkeys(models, seconds)
    jobs = shared(models, known, LIMITS)
    assert everybody(jobs) == models
    assert len(jobs) <= 256
    assert all(jobs.values())
    if number <= LIMITS.at_once:
        assert jobs == {name: [name] for name in models}


def test_small_models_share_jobs_as_equally_as_they_can() -> None:
    assert [len(group) for group in shared(names(100), {}, LIMITS).values()] == [5] * 20
    sizes = [len(group) for group in shared(names(300), {}, LIMITS).values()]
    assert sizes == [15] * 20
    assert shared(names(3), {}, Jobs(at_once=1)) == {"m000-and-2-more": names(3)}


def test_a_model_that_takes_long_has_a_job_for_itself() -> None:
    models = names(40)
    known = {**dict.fromkeys(models, 30.0), "m007": 3000.0, "m008": 2500.0}
    jobs = shared(models, known, LIMITS)
    assert jobs["m007"] == ["m007"] and jobs["m008"] == ["m008"]
    assert {len(group) for group in jobs.values()} == {1, 2, 3}
    loads = [sum(known[name] for name in group) for group in jobs.values()]
    assert sorted(loads)[-3] <= 90.0


def test_what_was_never_run_is_taken_for_the_usual() -> None:
    """Two slow models are known: the others count as much as the median."""
    jobs = shared(names(4), {"m000": 100.0, "m001": 100.0}, Jobs(at_once=2))
    assert sorted(len(group) for group in jobs.values()) == [2, 2]


def test_more_jobs_where_models_would_take_too_long_together() -> None:
    models = names(100)
    jobs = shared(models, dict.fromkeys(models, 1800.0), Jobs(at_once=10))
    assert all(len(group) <= 2 for group in jobs.values())
    assert 50 <= len(jobs) <= 100
    hours = shared(names(300), dict.fromkeys(names(300), 7200.0), LIMITS)
    assert len(hours) == 256 and everybody(hours) == names(300)


def record(model: str, day: int, seconds: float, train: str = "ran") -> Record:
    return Record(
        id=f"2026-{day}-{model}",
        model=model,
        started=f"2026-11-{day:02}T00:00:00+00:00",
        seconds=seconds,
        stages={"train": train},
        outcome="promote",
    )


def test_the_time_of_a_model_is_that_of_its_last_run_that_trained(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    assert latest_seconds(project) == {}
    logged = [
        record("churn", 1, 500.0),
        record("churn", 2, 70.0),
        record("churn", 3, 0.1, "skipped"),
        record("price", 4, 0.2, "skipped"),
    ]
    append_all(project, logged)
    assert latest_seconds(project) == {"churn": 70.0}


def test_a_plan_for_300_models_leaves_none_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Grown(tmp_path / "acme", Size(models=300, versions=300, runs=600))
    out = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(out))
    monkeypatch.chdir(made.root)
    done = CliRunner().invoke(app, ["plan", "--json"])
    assert done.exit_code == 0, done.output
    said = dict(line.split("=", 1) for line in out.read_text().splitlines())
    members = json.loads(said["members"])
    assert json.loads(said["jobs"]) == list(members)
    assert everybody(members) == json.loads(said["models"]) == made.names
    assert len(members) == int(said["at_once"]) == 20
    assert len(out.read_text()) < 1_000_000  # what GitHub takes of a job


def test_how_many_jobs_run_at_once_is_the_owners_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Grown(tmp_path / "acme", Size(models=7, versions=7, runs=7))
    spec = made.root / "project.yaml"
    spec.write_text(spec.read_text() + "\njobs: {at_once: 3}\n")
    monkeypatch.chdir(made.root)
    facts = json.loads(CliRunner().invoke(app, ["plan", "--live", "--json"]).stdout)
    assert facts["at_once"] == len(facts["jobs"]) == 3
    assert everybody(facts["members"]) == facts["live"] == made.names
    spec.write_text(spec.read_text().replace("at_once: 3", "at_once: 257"))
    done = CliRunner().invoke(app, ["plan", "--live"])
    assert done.exit_code == 2 and "jobs.at_once" in done.output


# -- a job with several models ---------------------------------------------------------


def mlops(
    root: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = str(ENGINE / "vendor/mlops/src")
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.run(
        [sys.executable, "-m", "mlops", *words],
        cwd=root,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_an_error_of_one_model_does_not_keep_the_others_from_running(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    broken = project.root / "models" / "broken"
    broken.mkdir()
    (broken / "model.yaml").write_text("nonsense: 1\n")
    given = json.dumps(["broken", "churn"])
    done = mlops(project.root, "run", "--models", given)
    assert (project.build("churn") / "verdict.json").is_file(), done.stderr
    assert "models/broken/model.yaml" in done.stderr
    assert "1 of 2 failed: broken" in done.stdout
    assert done.returncode == 2


def test_a_model_and_several_models_exclude_each_other(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_project().root)
    for words in (
        ["run", "churn", "--models", '["churn"]'],
        ["monitor", "check"],
        ["monitor", "churn@production", "--models", '["churn"]'],
        ["smoke"],
        ["reproduce"],
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2 and "--models" in done.output, words


@pytest.mark.parametrize(
    ("codes", "worst"),
    [((0, 0), 0), ((0, 1), 1), ((1, 2), 2), ((3, 1), 3), ((-9, 0), 3), ((77, 0), 3)],
)
@pytest.mark.parametrize("command", ["monitor", "smoke", "reproduce"])
def test_a_job_asks_for_what_each_model_has_in_the_last_stage(
    command: str,
    codes: tuple[int, int],
    worst: int,
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(make_project().root)
    asked = []
    left = list(codes)

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(words[3:])
        return subprocess.CompletedProcess(words, left.pop(0))

    monkeypatch.setattr("mlops.cli.each.subprocess.run", run)
    done = CliRunner().invoke(app, [command, "--models", '["churn", "price"]'])
    assert [words[:2] for words in asked] == [
        [command, "churn@production"],
        [command, "price@production"],
    ]
    assert done.exit_code == worst
    assert ("killed by signal 9" in done.output) == (-9 in codes)


def test_the_page_of_a_run_takes_as_many_reports_as_github_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a mebibyte GitHub shows nothing of a step's summary."""
    page = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    with settings.using(settings.read()):
        for number in range(30):
            summary(f"## m{number:03}\n" + "é" * 40_000)
    text = page.read_text(encoding="utf-8")
    assert text.count("## m") == 12 and len(text.encode()) < 1 << 20
    assert text.endswith("The rest is left out here: it is in the run's artifacts.\n")
    assert text.count("left out") == 1


def verdict(folder: Path, job: str, model: str, decision: str = "promote") -> None:
    build = folder / f"report-{job}" / "build" / model
    build.mkdir(parents=True)
    facts: dict[str, Any] = {"decision": decision, "rule": "superiority"}
    (build / "verdict.json").write_text(json.dumps(facts))


def test_each_model_of_a_job_needs_a_verdict_in_the_artifact_of_its_own_job(
    tmp_path: Path,
) -> None:
    jobs = {"a-and-1-more": ["a", "b"], "c": ["c"]}
    verdict(tmp_path, "a-and-1-more", "a")
    verdict(tmp_path, "c", "b")  # of another job's model: it does not count
    verdict(tmp_path, "c", "c", "reject")
    assert shortcomings(jobs, tmp_path) == {
        "b": "there is no verdict: its run did not reach the gate",
        "c": "its verdict is reject",
    }
    verdict(tmp_path, "a-and-1-more", "b")
    assert list(shortcomings(jobs, tmp_path)) == ["c"]
    for wrong in ({"../c": ["c"]}, {"c": ["../c"]}, {"c-and-x-more": ["c"]}):
        with pytest.raises(UsageError, match="not a model"):
            shortcomings(wrong, tmp_path)

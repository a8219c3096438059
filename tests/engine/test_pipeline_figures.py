"""What the test step says of a model is what its predictions say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.errors import Refused
from mlops.pipeline.figures import require_figures
from mlops.pipeline.run import Run
from mlops.pipeline.run_context import RunContext
from mlops.results.evaluation import Evaluation
from mlops.storage.folder import FolderStore

from .conftest import ENGINE, ESTIMATOR

Make = Callable[..., Project]

ASKED: dict[str, Any] = {
    "checks": {"floor": {"roc_auc": 0.5}, "better_than": ["dummy"]},
    "slices": {"columns": ["plan"], "max_drop": 0.5, "min_rows": 20},
    "fairness": [
        {"column": "sex", "metric": "true_positive_rate", "max_difference": 0.9}
    ],
}


def after_its_tests(project: Project) -> Run:
    """Return a run after its test step."""
    context = RunContext(
        project,
        actor="@ana",
        now=lambda: datetime(2026, 11, 30, tzinfo=UTC),
        store=lambda: FolderStore(project.store),
    )
    run = Run(context, "churn", lambda _: None)
    assert run.until("test")
    return run


def handed_over(run: Run, **changes: Any) -> None:
    """Let the test step have said something else."""
    said = Evaluation.load(run.state.build)
    said.model_copy(update=changes).save(run.state.build)


def with_first(items: tuple[Any, ...], **changes: Any) -> tuple[Any, ...]:
    return (items[0].model_copy(update=changes), *items[1:])


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_was_measured_is_found_again(make_project: Make, task: str) -> None:
    asked = {} if task != "binary" else ASKED
    require_figures(after_its_tests(make_project(task, **asked)).state)


LIES: dict[str, Callable[[Evaluation], dict[str, Any]]] = {
    "roc_auc": lambda e: {"metrics": with_first(e.metrics, value=0.99)},
    "metrics": lambda e: {"metrics": (*e.metrics, e.primary)},
    "rows": lambda e: {"rows": e.rows + 1},
    "slices": lambda e: {"slices": with_first(e.slices, ok=False)},
    "slices, left out": lambda e: {"slices": e.slices[:-1]},
    "slices, better": lambda e: {
        "slices": with_first(
            e.slices, metric=e.slices[0].metric.model_copy(update={"low": 0.9})
        )
        if e.slices[0].metric
        else ()
    },
    "true_positive_rate by sex": lambda e: {
        "fairness": with_first(e.fairness, difference=0.0)
    },
    "true_positive_rate by sex, a limit": lambda e: {
        "fairness": with_first(e.fairness, limit=None)
    },
    "fairness": lambda e: {"fairness": ()},
    "floor[roc_auc]": lambda e: {
        "ok": False,
        "checks": with_first(e.checks, ok=False),
    },
    "ok": lambda e: {"ok": not e.ok},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_figure_that_is_not_that_of_the_predictions_is_refused(
    make_project: Make, lie: str
) -> None:
    run = after_its_tests(make_project(**ASKED))
    handed_over(run, **LIES[lie](Evaluation.load(run.state.build)))
    with pytest.raises(Refused, match="not those of the predictions") as caught:
        require_figures(run.state)
    assert lie.partition(",")[0] in caught.value.problems[0].found


LIAR = """\
import mlops.evaluation.measurements as engine

honest = engine.measure_metric


def measure(name, outcome, confidence=0.95):
    return honest(name, outcome, confidence).model_copy(update={"value": 0.99})


engine.measure_metric = measure
"""


def test_code_that_changes_what_the_engine_measures_fails_its_run(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.pipeline.run.APART", True)
    project = make_project(n=200)
    (project.folder("churn") / "estimator.py").write_text(LIAR + ESTIMATOR)
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(app, ["run", "churn"], prog_name="mlops")
    assert done.exit_code == 1, done.output
    assert "not those of the predictions" in done.stderr
    assert "roc_auc" in done.stderr
    assert not (project.build("churn") / "verdict.json").exists()


WHOLE_RUN = """\
import sys
from mlops.cli.main import main

sys.argv = ["mlops", "run", "churn"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = ("sklearn", "scipy.stats", "skops", "fairlearn", "great_expectations", "pytest")
print([name for name in heavy if name in sys.modules])
"""


def test_the_process_that_judges_imports_no_library_of_the_others(
    make_project: Make,
) -> None:
    """Each of them is imported once in a run: importing is most of a small run."""
    project = make_project(n=300, **{**ASKED, "checks": {"floor": {"roc_auc": 0.5}}})
    done = subprocess.run(
        [sys.executable, "-c", WHOLE_RUN],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ENGINE / "vendor" / "mlops" / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"

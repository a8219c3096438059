"""A sweep on several workers: the same results, and nothing is lost with a worker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.cli.workers import BACKENDS as OFFERED
from mlops.cli.workers import workers
from mlops.config.project import Project
from mlops.data.snapshot import build
from mlops.errors import EnvironmentFailure, Refused, UsageError
from mlops.evaluation import trial
from mlops.evaluation.trial import TrialCode, attempt
from mlops.pipeline.workers import BACKENDS, require_backend, spread
from mlops.runlog.query import records
from mlops.training.code import ModelCode
from mlops.training.fit import fit

from .conftest import ESTIMATOR

Make = Callable[..., Project]
Mlops = Callable[..., Result]

GRID = ("-p", "C=0.001,0.01,0.1,1")

# Ends the process that tries C=0.01: the first time only, or each time.
ENDS = """

chosen = build


def build(params):
    import os
    from pathlib import Path

    mark = Path({mark!r})
    if params.get("C") == 0.01 and not ({once} and mark.exists()):
        mark.touch()
        os._exit(1)
    return chosen(params)
"""


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """Return a function that runs a command in a project, in this process."""

    def run(project: Project, *arguments: str) -> Result:
        monkeypatch.chdir(project.root)
        done = CliRunner().invoke(app, list(arguments), prog_name="mlops")
        assert "defect of mlops" not in done.output, done.output
        return done

    return run


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run user code in a process of its own, as outside of tests."""
    monkeypatch.setattr("mlops.pipeline.run.APART", True)


def found(done: Result) -> dict[str, dict[str, Any]]:
    """Return the rows of a sweep by C, without the ids of runs."""
    rows = json.loads(done.stdout)["tried"]
    return {row.pop("C"): row for row in rows if [row.pop("run", None)]}


def swept(project: Project) -> dict[float, Any]:
    """Return what the run log says of each combination, but for its times."""
    known = {}
    for record in records(project, "churn"):
        assert record.training is not None
        training = record.training.model_dump(exclude={"seconds"})
        known[record.training.params["C"]] = (record.metrics, training)
    return known


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_the_same_on_every_backend(
    make_project: Make, mlops: Mlops, tmp_path: Path, backend: str
) -> None:
    plain = make_project(n=200)
    one = found(mlops(plain, "sweep", "churn", *GRID, "--json"))
    spread_out = make_project(n=200, root=tmp_path / "other")
    options = ("--backend", backend, "--jobs", "2", "--json")
    assert found(mlops(spread_out, "sweep", "churn", *GRID, *options)) == one
    assert len(one) == 4 and swept(plain) == swept(spread_out)


@pytest.mark.usefixtures("apart")
def test_a_killed_worker_loses_nothing(
    make_project: Make, mlops: Mlops, tmp_path: Path
) -> None:
    project = make_project(n=200)
    path = project.folder("churn") / "estimator.py"
    mark = str(tmp_path / "mark")
    path.write_text(ESTIMATOR + ENDS.format(mark=mark, once=True))
    done = mlops(project, "sweep", "churn", *GRID, "--jobs", "2", "--json")
    assert done.exit_code == 0 and Path(mark).exists()
    rows = found(done)
    assert len(rows) == 4 and all(row["roc_auc"] > 0.5 for row in rows.values())


@pytest.mark.usefixtures("apart")
def test_parameters_that_kill_each_worker_are_named_and_stop_no_others(
    make_project: Make, mlops: Mlops, tmp_path: Path
) -> None:
    project = make_project(n=200)
    path = project.folder("churn") / "estimator.py"
    mark = str(tmp_path / "mark")
    path.write_text(ESTIMATOR + ENDS.format(mark=mark, once=False))
    done = mlops(project, "sweep", "churn", *GRID, "--jobs", "2", "--json")
    assert done.exit_code == 0
    rows = found(done)
    assert "its worker ended each of the 4 times" in rows.pop("0.01")["failed"]
    assert len(rows) == 3 and all(row["roc_auc"] > 0.5 for row in rows.values())


# -- what was tried before ------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the values of C that are tried from now on."""
    tried: list[float] = []
    measure = trial.TrialData.measure

    def noting(self: trial.TrialData, params: Any) -> trial.CombinationResult:
        tried.append(params["C"])
        return measure(self, params)

    monkeypatch.setattr(trial.TrialData, "measure", noting)
    return tried


def test_what_was_tried_is_not_tried_again(
    make_project: Make, mlops: Mlops, measured: list[float]
) -> None:
    project = make_project(n=200)
    first = mlops(project, "sweep", "churn", "-p", "C=0.1,1", "--json")
    measured.clear()
    again = mlops(project, "sweep", "churn", "-p", "C=0.1,1,10", "--json")
    assert measured == [10]
    rows = found(again)
    assert {key: rows[key] for key in found(first)} == found(first)
    assert len(records(project, "churn")) == 5  # of both sweeps
    measured.clear()
    mlops(project, "sweep", "churn", "-p", "C=0.1", "--force")
    assert measured == [0.1]
    path = project.folder("churn") / "estimator.py"
    path.write_text(path.read_text() + "\n# another\n")
    measured.clear()
    mlops(project, "sweep", "churn", "-p", "C=0.1")
    assert measured == [0.1], "other code"


def test_what_was_tried_long_ago_is_forgotten(
    make_project: Make, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.pipeline.sweep.MOST_KEPT", 3)
    project = make_project(n=200)
    folder = project.build("churn").with_name(".churn.trials")

    def sweep(grid: str) -> str:
        done = mlops(project, "sweep", "churn", "-p", f"C={grid}")
        assert done.exit_code == 0, done.output
        return done.stderr

    sweep("0.01,0.1")
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (number, number))
    assert "1 of 2 unchanged" in sweep("0.1,1")
    assert len(list(folder.iterdir())) == 3
    sweep("2")
    assert len(list(folder.iterdir())) == 3, "the one that nobody used is gone"
    assert "2 of 2 unchanged" in sweep("0.1,1")
    sweep("0.001,0.01,4,8")
    assert len(list(folder.iterdir())) == 4, "a sweep keeps its own"


def test_a_sweep_that_was_ended_goes_on_from_there(
    make_project: Make,
    mlops: Mlops,
    measured: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_project(n=200)
    measure = trial.TrialData.measure

    def ended(self: trial.TrialData, params: Any) -> trial.CombinationResult:
        if params["C"] == 10:
            raise KeyboardInterrupt
        return measure(self, params)

    with monkeypatch.context() as patch:
        patch.setattr(trial.TrialData, "measure", ended)
        done = mlops(project, "sweep", "churn", "-p", "C=0.1,1,10,100")
    assert done.exit_code != 0 and measured == [0.1, 1]
    measured.clear()
    done = mlops(project, "sweep", "churn", "-p", "C=0.1,1,10,100", "--json")
    assert done.exit_code == 0 and measured == [10, 100] and len(found(done)) == 4


def test_a_kept_result_that_is_corrupt_is_made_again(
    make_project: Make, mlops: Mlops, measured: list[float]
) -> None:
    project = make_project(n=200)
    mlops(project, "sweep", "churn", "-p", "C=0.1,1")
    folder = project.build("churn").with_name(".churn.trials")
    whole, cut = sorted(folder.iterdir())
    cut.write_text("{")
    whole.write_text('{"metrics": []}')
    measured.clear()
    mlops(project, "sweep", "churn", "-p", "C=0.1,1")
    assert measured == [0.1, 1]


# -- the best -------------------------------------------------------------------------


def test_only_the_best_is_fitted_on_all_rows(make_project: Make, mlops: Mlops) -> None:
    project = make_project(n=200)
    done = mlops(project, "sweep", "churn", *GRID, "--json")
    best = json.loads(done.stdout)["tried"][0]["run"]
    for record in records(project, "churn"):
        assert record.training is not None
        assert bool(record.training.model_sha256) == (record.id == best)


def test_where_the_best_cannot_be_a_model_the_next_is_the_best(
    make_project: Make, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=200)
    refused: list[float] = []

    def refusing(*of: Any) -> Any:
        if not refused:
            refused.append(of[2].train.params["C"])
            raise Refused("the model file holds types that are not allowed")
        return fit(*of)

    monkeypatch.setattr("mlops.training.fit.fit", refusing)
    done = mlops(project, "sweep", "churn", *GRID, "--json")
    rows = json.loads(done.stdout)["tried"]
    assert float(rows[-1]["C"]) == refused[0] and "not allowed" in rows[-1]["failed"]
    (best,) = [r for r in records(project) if r.training and r.training.model_sha256]
    assert best.id == rows[0]["run"]


# -- what travels ---------------------------------------------------------------------


def packed(project: Project) -> tuple[TrialCode, dict[str, bytes]]:
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    dataset.save(project.build("churn"))
    code = ModelCode.read(project.folder("churn"), "churn")
    tried = TrialCode("churn", dataset.spec, code, dataset.snapshot.digest)
    return tried, tried.packed(project.build("churn"))


def test_a_task_needs_nothing_but_its_arguments(
    make_project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=200)
    tried, package = packed(project)
    project.root.rename(tmp_path / "gone")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = attempt(tried.digest, package, {"learner": "logistic", "C": 1})
    assert found["metrics"][0]["value"] > 0.5
    assert not any((tmp_path / "elsewhere").iterdir())


def test_what_changed_on_its_way_is_refused(
    make_project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, package = packed(make_project(n=200))
    _, other = packed(make_project(n=210, root=tmp_path / "other"))
    params = {"learner": "logistic"}
    monkeypatch.setattr(trial, "_prepared", {})
    code = {**package, "code/estimator.py": b"import os"}
    said = attempt(tried.digest, code, params)
    assert "is not what was sent" in said["problems"][0]["what"]
    rows = {**package, **{name: other[name] for name in trial.ROWS}}
    said = attempt(tried.digest, rows, params)
    assert "not those that were sent" in said["problems"][0]["what"]
    cut = {**package, "snapshot.parquet": package["snapshot.parquet"][:-9]}
    said = attempt(tried.digest, cut, params)
    assert said["exit_code"] == 3


def test_a_worker_with_other_libraries_is_refused(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, package = packed(make_project(n=200))
    digest = tried.digest
    own = {**trial.environment(), "numpy": "1.0"}
    monkeypatch.setattr(trial, "environment", lambda: own)
    monkeypatch.setattr(trial, "_prepared", {})
    said = attempt(digest, package, {})
    (problem,) = said["problems"]
    assert "a worker has not what this repository has: numpy" in problem["what"]
    assert "numpy 1.0" in problem["found"] and said["exit_code"] == 3


def test_a_defect_is_no_result_of_a_combination(make_project: Make) -> None:
    tried, package = packed(make_project(n=200))
    del package["about.json"]
    assert "KeyError" in attempt(f"{tried.digest} ", package, {})["defect"]


# -- options --------------------------------------------------------------------------


def test_workers() -> None:
    assert workers(None, None) == workers(None, 1) == ("", 1)
    assert workers(None, 4) == ("loky", 4) and workers(None, -1) == ("loky", -1)
    assert workers("dask", None) == ("dask", -1) and workers("ray", 8) == ("ray", 8)
    for backend, jobs in ((None, 0), (None, -2), (None, 5000), ("spark", 2)):
        with pytest.raises(UsageError):
            workers(backend, jobs)
    assert tuple(BACKENDS) == OFFERED


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_backend_that_is_not_installed_says_how_to_add_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.pipeline.workers.find_spec", lambda _: None)
    with pytest.raises(EnvironmentFailure, match=f"the backend {name} is not inst"):
        spread(lambda _shared, item: {"item": item}, [1], name, 1, None)
    with pytest.raises(EnvironmentFailure, match="make lock"):
        require_backend(name)


def test_results_are_in_the_order_of_the_items() -> None:
    items = [3, 1, 2]
    done = spread(_plus, items, "threading", 2, 10)
    assert [each["sum"] for each in done] == [13, 11, 12]


def _plus(shared: int, item: int) -> dict[str, Any]:
    return {"sum": shared + item}

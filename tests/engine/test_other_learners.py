"""LightGBM, XGBoost and CatBoost, as docs/how-to/other-learners.md adds them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops.config.project import Project
from mlops.io.digests import sha256_file

from .conftest import ENGINE

pytestmark = pytest.mark.slow

LOCK = Path(__file__).with_name("learners.txt")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "other-learners.md"
SOURCES = ENGINE / "vendor" / "mlops" / "src"

LEARNERS = ("lightgbm", "xgboost", "catboost")
PACKAGES = {"lightgbm": "lightgbm", "xgboost": "xgboost-cpu", "catboost": "catboost"}
TASKS = ("binary", "multiclass", "regression")

# Run in the other environment, one process for all repositories: each trains its model,
# with all that the train step demands.
TRAIN = """\
import json, sys
from pathlib import Path

from mlops.config.project import Project
from mlops.data.snapshot import build
from mlops.errors import MlopsError
from mlops.training.fit import train

answers = {}
for root in sys.argv[1:]:
    project = Project(Path(root))
    spec = project.model("churn")
    dataset, _ = build(spec, project.folder("churn"))
    dataset.save(project.build("churn"))
    try:
        train(project, "churn", spec, dataset)
        answers[root] = {}
    except MlopsError as error:
        answers[root] = {"error": str(error), "exit_code": error.exit_code}
Path("trained.json").write_text(json.dumps(answers))
"""

# And in another one that has trained nothing: load what was written, and fit the same
# once more, which is to give the same predictions and the same bytes.
COMPARE = """\
import json, sys
from pathlib import Path

import numpy as np
from mlops.config.project import Project
from mlops.data.snapshot import Dataset
from mlops.training.fit import fit
from mlops.training.model import Model

answers = {}
for root in sys.argv[1:]:
    project = Project(Path(root))
    spec = project.model("churn")
    folder = project.build("churn")
    dataset = Dataset.load(folder, spec)
    rows = dataset.part("test")
    loaded = Model.load(folder, "churn", project.spec.trusted_types).predict(rows)
    train = dataset.part("train")
    fitted = fit(project, "churn", spec, train, dataset.snapshot.digest)
    answers[root] = {
        "predictions": loaded.equals(fitted.model.predict(rows)),
        "bytes": fitted.files["model.skops"] == (folder / "model.skops").read_bytes(),
        "spread": float(np.ptp(loaded.select_dtypes("number").to_numpy()[:, 0])),
    }
Path("compared.json").write_text(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest) -> str:
    """Return the interpreter of a cached environment of the learners' lock."""
    home = request.config.cache.mkdir(f"learners-{sha256_file(LOCK)[:12]}")
    interpreter = home / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    if not (home / "ready").is_file():
        make = [*uv, "venv", "--quiet", "--allow-existing", str(home)]
        subprocess.run([*make, "--python", sys.executable], check=True)
        install = [*uv, "pip", "install", "--quiet", "--python", str(interpreter)]
        subprocess.run([*install, "--require-hashes", "-r", str(LOCK)], check=True)
        (home / "ready").touch()
    return str(interpreter)


def estimator_of(learner: str) -> str:
    """Return the estimator.py that the documentation shows for a learner."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if f"from {learner} import" in block]
    return str(found)


def trusted_of(learner: str) -> str:
    """Return the lines for project.yaml that the documentation shows for a learner."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if f"{learner}." in block]
    return str(found)


def project_with(
    make: Callable[..., Project], root: Path, learner: str, task: str
) -> Project:
    """Return a repository whose model is made by a learner, as the page says."""
    project = make(task, n=300, root=root, train={"params": {"task": task}})
    (project.folder("churn") / "estimator.py").write_text(estimator_of(learner))
    (project.root / "requirements" / "train.txt").write_text(LOCK.read_text())
    with (project.root / "project.yaml").open("a") as file:
        file.write(trusted_of(learner))
    return project


def run(python: str, script: str, folder: Path, projects: list[Project]) -> None:
    roots = [str(project.root) for project in projects]
    done = subprocess.run(
        [python, "-c", script, *roots],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_models_of_other_learners_are_written_and_loaded_and_predict_the_same(
    python: str, make_project: Callable[..., Project], tmp_path: Path
) -> None:
    projects = [
        project_with(make_project, tmp_path / f"{learner}-{task}", learner, task)
        for learner in LEARNERS
        for task in TASKS
    ]
    run(python, TRAIN, tmp_path, projects)
    trained = json.loads((tmp_path / "trained.json").read_text())
    assert trained == {str(project.root): {} for project in projects}
    run(python, COMPARE, tmp_path, projects)
    compared = json.loads((tmp_path / "compared.json").read_text())
    assert len(compared) == len(LEARNERS) * len(TASKS)
    for root, answer in compared.items():
        assert answer["predictions"] and answer["bytes"], root
        assert answer["spread"] > 0.1, f"{root} has learned something"


def test_what_nobody_trusts_or_no_lock_installs_is_refused_when_it_is_trained(
    python: str, make_project: Callable[..., Project], tmp_path: Path
) -> None:
    distrusted = {}
    unlocked = {}
    for learner in LEARNERS:
        project = project_with(
            make_project, tmp_path / f"{learner}-distrusted", learner, "binary"
        )
        settings = project.root / "project.yaml"
        text = settings.read_text().replace(trusted_of(learner), "")
        settings.write_text(text)
        distrusted[learner] = Project(project.root)
        project = project_with(
            make_project, tmp_path / f"{learner}-unlocked", learner, "binary"
        )
        (project.root / "requirements" / "train.txt").write_text("numpy==2.4.6\n")
        unlocked[learner] = project
    projects = [*distrusted.values(), *unlocked.values()]
    run(python, TRAIN, tmp_path, projects)
    answers = json.loads((tmp_path / "trained.json").read_text())
    for learner in LEARNERS:
        answer = answers[str(distrusted[learner].root)]
        assert answer["exit_code"] == 1
        assert "the model file holds types that are not allowed" in answer["error"]
        assert f"{learner}." in answer["error"]
        assert "trusted_types" in answer["error"]
        answer = answers[str(unlocked[learner].root)]
        assert answer["exit_code"] == 2
        assert f"add {PACKAGES[learner]} to `models`" in answer["error"]
    for project in projects:
        assert not (project.build("churn") / "model.skops").exists()

"""Training a version again: in which environment, on which rows, and what differs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, Refused
from mlops.io.digests import sha256
from mlops.registry.assets import ready
from mlops.registry.chain import fetch
from mlops.registry.manifest import DATA
from mlops.registry.reproduce import _interpreter, reproduce
from mlops.storage.cache import cache_root

from .conftest import Trained, git, rows_of, spec_of, train_in
from .registry_world import World, world_fixture  # noqa: F401
from .serving_world import release

Make = Callable[..., Project]
REF = "churn@v1.0.0"


def test_the_same_bytes_in_the_present_environment(trained: Trained) -> None:
    release(trained)
    lines: list[str] = []
    done = reproduce(trained.project, REF, say=lines.append)
    assert done.same and done.found == done.expected and done.differences == ()
    assert done.environment == "the present environment, which has its lock"
    assert lines == [f"training {REF} again …"]
    assert git(trained.project.root, "worktree", "list").count("\n") == 0
    assert not cache_root().exists()


NOISY = """\
import os

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def build(params):
    columns = make_column_transformer(
        (SimpleImputer(), make_column_selector(dtype_include="number"))
    )
    noise = float(os.environ.get("NOISE", 1))
    return make_pipeline(columns, LogisticRegression(C=noise))
"""


def noisy(make_project: Make) -> Trained:
    """Return a model whose training depends on more than is recorded."""
    project = make_project()
    (project.folder("churn") / "estimator.py").write_text(NOISY)
    git(project.root, "commit", "-qam", "Noise")
    return train_in(project)


def test_the_parts_that_differ_are_named(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = noisy(make_project)
    release(trained)
    monkeypatch.setenv("NOISE", "0.5")
    monkeypatch.setenv("MLOPS_PASS", "NOISE")
    done = reproduce(trained.project, REF)
    assert not done.same and done.found != done.expected
    installed, nothing, *parts = done.differences
    assert installed.startswith("installed is not what is locked: scikit-learn ")
    assert nothing.startswith("nothing that is recorded differs: training is not")
    assert nothing.endswith("or the processors are of two kinds")
    assert parts[0] == "model.steps.logisticregression[1].C: 1.0 then, 0.5 now"
    coefficients = next(part for part in parts if "coef_" in part)
    assert coefficients.startswith(
        "model.steps.logisticregression[1].coef_: 3 of 3 numbers differ"
    )
    assert len(parts) <= 6


# -- the environment -------------------------------------------------------------------

UV = """\
#!/bin/sh
echo "$@" >> "{log}"
[ "$1" = --quiet ] && shift
[ "$1" = "{fails}" ] && {{ echo "no such thing" >&2; exit 2; }}
if [ "$1" = venv ]; then
    for last; do :; done
    mkdir -p "$last/bin" && cd "$last/bin"
    printf '#!/bin/sh\\nexport TRAINED_BY=uv\\nexec {python} "$@"\\n' > python
    chmod +x python
fi
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that puts a stand-in for uv on PATH, and returns its log."""

    def install(fails: str = "nothing") -> Path:
        folder, log = tmp_path / "bin", tmp_path / "uv.log"
        folder.mkdir(exist_ok=True)
        text = UV.format(log=log, fails=fails, python=sys.executable)
        (folder / "uv").write_text(text)
        (folder / "uv").chmod(0o755)
        log.touch()
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return log

    return install


def test_it_trains_in_an_environment_of_its_own_lock_that_is_made_once(
    make_project: Make, uv: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_PASS", "TRAINED_BY")
    project = make_project()
    text = NOISY.replace('"NOISE", 1', '"NOISE", 1 + ("TRAINED_BY" in os.environ)')
    (project.folder("churn") / "estimator.py").write_text(text)
    git(project.root, "commit", "-qam", "Noise")
    release(train_in(project))
    project.lock.write_text("scikit-learn==2.0\n")
    git(project.root, "commit", "-qam", "Newer libraries")
    log = uv("nothing")
    lines: list[str] = []
    done = reproduce(project, REF, say=lines.append)
    assert not done.same, "it is the environment's interpreter that trains"
    assert done.differences[0].startswith("nothing that is recorded differs")
    version = sys.version.split()[0]
    assert done.environment == f"an environment of its own lock, Python {version}"
    assert lines == [
        "making an environment of its lock, once",
        f"training {REF} again …",
    ]
    venv, sync = (line.split()[1:] for line in log.read_text().splitlines())
    assert venv[:4] == ["venv", "--clear", "--python", version.rpartition(".")[0]]
    assert sync[:3] == ["pip", "sync", "--require-hashes"]
    assert sync[-1].endswith("/tree/requirements/train.txt"), (
        "the lock of the version, not ours"
    )
    assert Path(venv[-1]).is_relative_to(cache_root() / "environments")
    manifest = fetch(project, REF).manifest
    again = _interpreter(project, project, manifest, lines.append)
    assert again.path == sync[4]
    assert again.environment.lock_sha256 == manifest.environment.lock_sha256
    assert again.own
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize("fails", ["venv", "pip", "all"])
def test_where_no_environment_can_be_had_the_present_one_is_named(
    world: World, uv: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    world.release("one")
    manifest = fetch(world.project, REF).manifest
    world.project.lock.write_text("scikit-learn==2.0\n")
    uv(fails)
    lines: list[str] = []
    with monkeypatch.context() as patch:
        if fails == "all":
            patch.setattr(shutil, "which", lambda *given, **more: "/nowhere/uv")
        found = _interpreter(world.project, world.project, manifest, lines.append)
    assert found.path == sys.executable
    assert found.description == "the present environment, which is another"
    assert not found.own
    assert found.environment.lock_sha256 == sha256(b"scikit-learn==2.0\n")
    assert lines[-1].startswith("note: its own environment cannot be had: ")
    uv("nothing")
    found = _interpreter(world.project, world.project, manifest, lines.append)
    assert "own lock" in found.description, "what was half made is made anew"


# -- the rows --------------------------------------------------------------------------


def ignoring(make_project: Make, **changes: object) -> Project:
    """Return a project whose rows git does not hold."""
    project = make_project(**changes)
    ignored = project.root / ".gitignore"
    ignored.write_text(ignored.read_text() + "*.csv\n")
    git(project.root, "rm", "-q", "--cached", "models/churn/data/rows.csv")
    git(project.root, "add", "-A")
    git(project.root, "commit", "-qm", "Rows lie elsewhere")
    return project


def rows(project: Project) -> Path:
    return project.folder("churn") / "data" / "rows.csv"


def test_rows_in_git_are_kept_by_git(trained: Trained) -> None:
    release(trained)
    assert ready(trained.project, "churn").notes == ()
    assert DATA not in fetch(trained.project, REF).manifest.assets


def test_rows_that_nothing_keeps_are_said_to_be_lost(make_project: Make) -> None:
    project = ignoring(make_project)
    release(train_in(project))
    (note,) = ready(project, "churn").notes
    assert "cannot be restored: git does not hold models/churn/data/rows.csv" in note
    assert "data.keep" in note
    assert DATA not in fetch(project, REF).manifest.assets
    assert reproduce(project, REF).same, "as long as the very same file is still here"
    rows_of(seed=1).to_csv(rows(project), index=False)
    with pytest.raises(
        EnvironmentFailure, match=r"rows that churn@v1.0.0 was trained on are gone"
    ):
        reproduce(project, REF)
    rows(project).unlink()
    with pytest.raises(EnvironmentFailure, match=r"models/churn/data/rows.csv"):
        reproduce(project, REF)
    assert git(project.root, "worktree", "list").count("\n") == 0


def test_rows_that_the_release_keeps_are_enough(make_project: Make) -> None:
    task = "regression"  # the other test has words to predict
    data = {**spec_of(task)["data"], "keep": True, "ignore": ["note"], "time": "day"}
    frame = rows_of(task).assign(note="x")
    frame["day"] = pd.date_range("2026-01-01", periods=len(frame)).astype(str)
    frame = pd.concat([frame, frame.head(7)])  # duplicates are removed but once
    project = ignoring(make_project, task=task, frame=frame, data=data)
    trained = train_in(project)
    release(trained)
    (note,) = ready(project, "churn").notes
    assert note == (
        "data.parquet holds every row and column, sex too: whoever sees the release can"
    )
    rows(project).unlink()
    assert reproduce(project, REF).same
    bundle = fetch(project, REF)
    bundle.save(project.root / "build" / "pulled")
    kept = pd.read_parquet(project.root / "build" / "pulled" / DATA)
    assert len(kept) == trained.dataset.snapshot.rows == 600
    (project.store / "churn" / "v1.0.0" / DATA).write_bytes(b"other rows")
    with pytest.raises(Refused, match="manifest → asset"):
        reproduce(project, REF)


def test_labels_that_came_apart_are_in_the_rows_that_are_kept(
    make_project: Make,
) -> None:
    data = {
        **spec_of()["data"],
        "keep": True,
        "source": "data/rows.csv",
        "labels": "data/l*.csv",
    }
    project = ignoring(make_project, data=data)
    frame = rows_of()
    frame.drop(columns="churn").to_csv(rows(project), index=False)
    labels = frame[["customer", "churn"]].head(500)  # a hundred have not arrived
    labels.to_csv(rows(project).with_name("labels.csv"), index=False)
    release(train_in(project))
    for path in rows(project).parent.iterdir():
        path.unlink()
    assert reproduce(project, REF).same


def test_a_project_below_the_top_of_its_repository(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project(root=tmp_path / "mono" / "acme")
    shutil.move(project.root / ".git", tmp_path / "mono" / ".git")
    git(tmp_path / "mono", "add", "-A")
    git(tmp_path / "mono", "commit", "-qm", "Move")
    release(train_in(project))
    assert reproduce(project, REF).same

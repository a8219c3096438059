"""What stories start from: a repository whose v1.0.0 is in production, copied."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from engine.conftest import rows_of, spec_of
from rehearsal.hub import Hub
from rehearsal.stories.copies import copied
from rehearsal.stories.template import generate
from rehearsal.stories.world import World, replaced

MODEL = "churn"
FOLDER = f"models/{MODEL}"
# What a story puts into features.py in the place of the other: better, and worse.
LOOKS_AT, BETTER = 'raw.drop(columns="plan")', "raw"
COARSE = 'raw.assign(tenure=raw["tenure"] // 36 * 1.0).drop(columns="plan")'
SPEC, FEATURES_FILE = f"{FOLDER}/model.yaml", f"{FOLDER}/features.py"
ROWS_FILE, LOCK = f"{FOLDER}/data/rows.csv", "requirements/train.txt"
ROWS = 1_500
# Workflows that follow others or run beside them; their own stories switch them on.
ASIDE = ("pages", "security", "settings", "update")

FEATURES = '''"""What the model sees of a customer."""

import pandas as pd


def features(raw: pd.DataFrame) -> pd.DataFrame:
    """Return what is looked at."""
    return raw.drop(columns="plan")
'''

ESTIMATOR = '''"""What is fitted."""

from typing import Any

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build(params: dict[str, Any]) -> Pipeline:
    """Return a logistic regression."""
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    logistic = LogisticRegression(C=params.get("C", 1.0), max_iter=500)
    return make_pipeline(columns, logistic)
'''

CONTRACT = '''"""What has to hold of the data."""

from typing import Any


def expectations(gxe: Any) -> list[Any]:
    """Return the data contract."""
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="tenure"),
        gxe.ExpectColumnValuesToBeBetween(column="tenure", min_value=0, max_value=100),
        gxe.ExpectColumnValuesToBeInSet(
            column="plan", value_set=["basic", "plus", "pro"]
        ),
    ]
'''

OWN_TEST = '''"""What only this model promises."""

from typing import Any


def test_every_customer_has_a_prediction(predict: Any, test_set: Any) -> None:
    """As many answers as rows."""
    assert len(predict(test_set)) == len(test_set)
'''


def looking_at(what: str) -> Callable[[Path], None]:
    """Return an edit of what features.py gives to the model."""

    def edit(root: Path) -> None:
        path = root / FEATURES_FILE
        old = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"return .*", f"return {what}", old), encoding="utf-8")

    return edit


def arrivals(root: Path) -> None:
    """New data: customers of another month."""
    rows_of(n=400, seed=1).to_csv(root / FOLDER / "data" / "more.csv", index=False)


def approvers(root: Path) -> None:
    """From now on two people say what goes into production; and there are new data."""
    arrivals(root)
    old = "    after: staging\n    approvers: []"
    replaced("project.yaml", old, old.replace("[]", '["@alice", "@carol"]'))(root)


def quick(root: Path, name: str = MODEL, **changes: Any) -> None:
    """Write a model that trains in a moment; `changes` replace keys of its spec.

    It does not look at `plan`, though that says much: a story can improve it by a line.
    """
    folder = root / "models" / name
    spec = spec_of(**changes)
    texts = {
        "features.py": FEATURES,
        "estimator.py": ESTIMATOR,
        "contract.py": CONTRACT,
        f"tests/test_{name}.py": OWN_TEST,
    }
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    with (folder / "model.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(spec, file)
    (folder / "data").mkdir()
    rows_of(n=ROWS).to_csv(folder / "data" / "rows.csv", index=False)


def repository(where: Path) -> Path:
    """Generate a repository and put the quick model in the place of the example."""
    root = generate(
        where, project_name="Demo", project_slug="demo", github_owner="acme"
    )
    shutil.rmtree(root / "models" / "employment")
    quick(root)
    return root


@contextmanager
def in_production(where: Path, caches: Path) -> Iterator[World]:
    """Generate a repository, put it on a hub, deliver v1.0.0 to production."""
    with Hub(where / "hub") as hub:
        world = World(hub, where, repository(where / "generated"), caches=caches)
        world.runner.disabled = set(ASIDE)
        (run,) = world.dispatch("release", actor="alice")
        assert run.conclusion == "success", run.log
        yield world


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for what no world builds again: mypy's types, fonts.

    Where several processes run the tests they share it: each file in it is replaced as
    a whole.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    shared = folder / "caches"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory, caches: Path) -> Iterator[World]:
    """Return a world whose v1.0.0 is in production; stories are told in copies."""
    with in_production(tmp_path_factory.mktemp("released"), caches) as world:
        yield world


@pytest.fixture
def story(released: World, tmp_path: Path) -> Iterator[World]:
    """Return a copy of `released`, for one story."""
    with copied(released, tmp_path / "story") as world:
        yield world

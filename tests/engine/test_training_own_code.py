"""Models with classes, functions and modules of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.errors import MlopsError, Refused, UsageError
from mlops.io.digests import sha256
from mlops.registry.assets import ready
from mlops.registry.chain import fetch
from mlops.training.code import ModelCode
from mlops.training.model import Model
from mlops.training.reload import fresh_process

from .conftest import Trained, git, train_in
from .serving_world import release

Make = Callable[..., Project]

# A class, a function and an estimator of the user's own, as people write them.
CLASSES = """\
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin


class Clipper(TransformerMixin, BaseEstimator):
    def __init__(self, share=0.01):
        self.share = share

    def fit(self, X, y=None):
        X = np.nan_to_num(np.asarray(X, dtype=float))
        self.low_ = np.quantile(X, self.share, axis=0)
        self.high_ = np.quantile(X, 1 - self.share, axis=0)
        return self

    def transform(self, X):
        X = np.nan_to_num(np.asarray(X, dtype=float))
        return np.clip(X, self.low_, self.high_)


def doubled(X):
    return np.asarray(X, dtype=float) * FACTOR


FACTOR = 2.0


class Centroids(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = {c: np.asarray(X)[y == c].mean(axis=0) for c in self.classes_}
        return self

    def predict_proba(self, X):
        X = np.asarray(X)
        far = [np.abs(X - self.means_[c]).mean(axis=1) for c in self.classes_]
        near = np.exp(-np.stack(far, axis=1) / 10) + 1e-9
        return near / near.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
"""

BUILD = """\
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


def build(params):
    numbers = make_column_transformer(
        (Clipper(), make_column_selector(dtype_include="number"))
    )
    last = Centroids() if params["learner"] == "centroids" else LogisticRegression()
    return make_pipeline(numbers, FunctionTransformer(doubled), last)
"""

IMPORTS = {
    "in estimator.py": CLASSES,
    "from helper": "from helper import Centroids, Clipper, doubled\n",
    "from models.churn": "from models.churn.helper import Centroids, Clipper\n"
    "from models.churn.helper import doubled\n",
    "relative": "from .helper import Centroids, Clipper, doubled\n",
    "from folder": "from models.churn import helper\n"
    "Centroids, Clipper, doubled = helper.Centroids, helper.Clipper, helper.doubled\n",
    "import": "import helper\n"
    "Centroids, Clipper, doubled = helper.Centroids, helper.Clipper, helper.doubled\n",
    "import as": "import models.churn.helper as h\n"
    "Centroids, Clipper, doubled = h.Centroids, h.Clipper, h.doubled\n",
    "package": "from parts.inner import Centroids, Clipper, doubled\n",
}


def own(make_project: Make, form: str = "in estimator.py", **params: object) -> Project:
    """Return a committed project whose model has code of its own."""
    project = make_project(train={"params": {"learner": "logistic", **params}})
    folder = project.folder("churn")
    if "helper" in IMPORTS[form]:
        (folder / "helper.py").write_text(CLASSES)
    if form == "package":
        (folder / "parts").mkdir()
        (folder / "parts" / "inner.py").write_text("from .deep import *\n" + CLASSES)
        (folder / "parts" / "deep.py").write_text("DEEP = 1\n")
    (folder / "estimator.py").write_text(IMPORTS[form] + BUILD)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-qm", "Own code")
    return project


@pytest.mark.parametrize("form", IMPORTS)
def test_own_modules_are_found_in_every_form_that_people_write(
    make_project: Make, form: str
) -> None:
    project = own(make_project, form)
    code = ModelCode.read(project.folder("churn"), "churn")
    pipeline = code.function("estimator", "build")({"learner": "centroids"})
    kind = type(pipeline.steps[-1][1])
    module = kind.__module__.removeprefix(f"{code.package}.")
    assert code.defines(module, "Centroids")
    travelling = json.loads(code.travelling([module]))
    assert code.modules[module] in travelling
    assert ("parts/deep.py" in travelling) == (form == "package")
    assert (module == "estimator") == (form == "in estimator.py")


@pytest.mark.parametrize("form", ["in estimator.py", "from folder"])
def test_own_classes_and_functions_travel_with_the_model(
    make_project: Make, form: str
) -> None:
    done = train_in(own(make_project, form))
    build = done.project.build("churn")
    assert sha256((build / "modules.json").read_bytes()) == done.training.modules_sha256
    (done.project.folder("churn") / "estimator.py").write_text("raise SystemExit\n")
    again = Model.load(build, "churn")
    rows = done.dataset.part("test")
    pd.testing.assert_frame_equal(again.predict(rows), done.model.predict(rows))


def test_an_own_estimator_travels(make_project: Make) -> None:
    done = train_in(own(make_project, "from helper", learner="centroids"))
    again = Model.load(done.project.build("churn"), "churn")
    rows = done.dataset.part("test")
    pd.testing.assert_frame_equal(again.predict(rows), done.model.predict(rows))
    assert done.training.estimator == "Centroids"


def test_a_model_of_known_types_needs_no_modules(trained: Trained) -> None:
    assert trained.training.modules_sha256 == ""
    assert not (trained.project.build("churn") / "modules.json").exists()


def test_a_model_that_needs_modules_no_longer_leaves_none_behind(
    make_project: Make,
) -> None:
    project = own(make_project)
    train_in(project)
    assert (project.build("churn") / "modules.json").exists()
    plain = "from sklearn.dummy import DummyClassifier\n"
    plain += "def build(params):\n    return DummyClassifier()\n"
    (project.folder("churn") / "estimator.py").write_text(plain)
    train_in(project)
    assert not (project.build("churn") / "modules.json").exists()


def test_two_versions_live_in_one_process(make_project: Make) -> None:
    project = own(make_project, "from helper")
    release(train_in(project))
    first = fetch(project, "churn@v1.0.0").model()
    helper = project.folder("churn") / "helper.py"
    helper.write_text(CLASSES.replace("FACTOR = 2.0", "FACTOR = 0.0"))
    git(project.root, "commit", "-qam", "Another factor")
    done = train_in(project)
    release(done)
    second = fetch(project, "churn@v1.1.0").model()
    rows = done.dataset.part("test")
    assert second.predict(rows)["score"].nunique() == 1
    assert first.predict(rows)["score"].nunique() > 1
    again = fetch(project, "churn@v1.0.0").model()
    pd.testing.assert_frame_equal(again.predict(rows), first.predict(rows))


def test_a_function_that_changes_makes_another_version_even_of_the_same_bytes(
    make_project: Make,
) -> None:
    project = own(make_project, "from helper", learner="centroids")
    first = train_in(project)
    before = ready_digest(first)
    helper = project.folder("churn") / "helper.py"
    helper.write_text(CLASSES.replace("1e-9", "1e-8"))
    git(project.root, "commit", "-qam", "Another offset")
    second = train_in(project)
    assert second.training.model_sha256 == first.training.model_sha256
    assert ready_digest(second) != before
    assert second.training.code != first.training.code


def ready_digest(done: Trained) -> str:
    release_files = done.project.build("churn")
    return sha256((release_files / "modules.json").read_bytes())


def test_a_release_holds_the_modules_and_a_changed_one_is_refused(
    make_project: Make,
) -> None:
    project = own(make_project)
    done = train_in(project)
    release(done)
    bundle = fetch(project, "churn@v1.0.0")
    assert "modules.json" in bundle.manifest.assets
    stored = next(project.store.rglob("modules.json"))
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes().replace(b"FACTOR = 2.0", b"FACTOR = 3.0"))
    with pytest.raises(Refused, match=r"modules\.json"):
        fetch(project, "churn@v1.0.0", whole=True).model()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import os", "os"),
        ("from subprocess import run", "subprocess"),
        ("from urllib import request", "urllib"),
    ],
)
def test_what_travels_imports_nothing_that_reaches_the_machine(
    make_project: Make, line: str, why: str
) -> None:
    project = own(make_project, "from helper")
    (project.folder("churn") / "helper.py").write_text(f"{line}\n{CLASSES}")
    with pytest.raises(UsageError, match="import is not allowed") as caught:
        train_in(project)
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == ("models/churn/helper.py", "line 1")
    assert problem.found == why and "numpy" in problem.allowed


def test_estimator_py_may_import_anything_where_it_does_not_travel(
    make_project: Make,
) -> None:
    project = own(make_project, "from helper")
    path = project.folder("churn") / "estimator.py"
    path.write_text(f"import os\n{path.read_text()}")
    done = train_in(project)
    content = (project.build("churn") / "modules.json").read_text()
    assert "helper.py" in content and "estimator.py" not in content
    assert Model.load(project.build("churn"), "churn").signature == done.model.signature


REFUSED = {
    "a lambda": ("lambda X: X", "cannot name"),
    "a nested function": ("inner()", "cannot name"),
    "a function of another module": ("os.path.join", "not allowed"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_file_cannot_name_is_refused_at_training(
    make_project: Make, kind: str
) -> None:
    project = make_project()
    function, why = REFUSED[kind]
    text = (
        "import os\nfrom sklearn.dummy import DummyClassifier\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import FunctionTransformer\n\n\n"
        "def inner():\n    def f(X):\n        return X\n    return f\n\n\n"
        "class Same(FunctionTransformer):\n"
        "    def transform(self, X):\n        return X\n"
        "    def fit(self, X, y=None):\n        return self\n\n\n"
        f"def build(params):\n    return make_pipeline(Same({function}), "
        "DummyClassifier())\n"
    )
    (project.folder("churn") / "estimator.py").write_text(text)
    with pytest.raises(Refused, match=why):
        train_in(project)
    assert not (project.build("churn") / "model.skops").exists()


GLOBAL = """\
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

sklearn.set_config(transform_output="pandas")


def build(params):
    fill = make_column_transformer(
        (SimpleImputer(), ["tenure", "spend"]), verbose_feature_names_out=False
    )
    pick = make_column_transformer(("passthrough", ["tenure"]))
    return make_pipeline(fill, pick, LogisticRegression())
"""

CHANGING = """\
from sklearn.dummy import DummyClassifier
import numpy as np

SEEN = []


class Moody(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        SEEN.append(1)
        return super().fit(X, y)

    def predict_proba(self, X):
        return super().predict_proba(X) * 0 + (0.5 if SEEN else 0.4)


def build(params):
    return Moody()
"""

ENDING = (
    CHANGING.replace("SEEN = []", "import types\nSEEN = []\n")
    + """\


if not hasattr(np, "FITTING"):
    raise {ending}
"""
)


@pytest.fixture
def _default_options() -> object:
    import sklearn

    yield
    sklearn.set_config(transform_output="default")


@pytest.mark.usefixtures("_default_options")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GLOBAL, "cannot be loaded in a fresh process|gives different predictions"),
        (CHANGING, "gives different predictions"),
    ],
    ids=["an option of the process", "a value of the module"],
)
def test_what_works_in_this_process_only_is_refused_at_training(
    make_project: Make, text: str, why: str
) -> None:
    project = make_project()
    (project.folder("churn") / "estimator.py").write_text(text)
    with pytest.raises(UsageError, match=why):
        train_in(project)
    assert not (project.build("churn") / "model.skops").exists()


@pytest.mark.parametrize("ending", ["SystemExit(0)", "KeyboardInterrupt", "OSError"])
def test_a_module_that_ends_the_process_when_it_is_loaded_is_refused(
    make_project: Make, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    import numpy

    project = make_project()
    text = ENDING.format(ending=ending)
    (project.folder("churn") / "estimator.py").write_text(text)
    fresh_process()  # it is there, and so does not see what is set here
    monkeypatch.setattr(numpy, "FITTING", True, raising=False)
    with pytest.raises(UsageError, match="cannot be loaded in a fresh process"):
        train_in(project)


def test_worker_processes_get_own_classes(make_project: Make) -> None:
    project = own(make_project, "from helper")
    path = project.folder("churn") / "estimator.py"
    text = path.read_text().replace(
        "    return make_pipeline(",
        "    from sklearn.model_selection import GridSearchCV\n"
        "    grid = {'functiontransformer__validate': [True, False]}\n"
        "    return GridSearchCV(n_jobs=2, cv=2, param_grid=grid, "
        "estimator=make_pipeline(",
    )
    path.write_text(text.rstrip()[:-1] + "))\n")
    done = train_in(project)
    assert done.training.estimator == "GridSearchCV"


def test_an_error_in_a_module_names_that_module(make_project: Make) -> None:
    project = own(make_project, "from helper")
    helper = project.folder("churn") / "helper.py"
    helper.write_text(CLASSES.replace("* FACTOR", "* FACTORY"))
    with pytest.raises(
        MlopsError, match=r"models/churn/helper\.py: line 21: NameError"
    ):
        train_in(project)


def test_a_helper_changes_the_digest_of_the_code_and_tests_and_contract_do_not(
    make_project: Make,
) -> None:
    project = make_project()
    folder = project.folder("churn")
    digests = [project.code_digest("churn")]
    (folder / "contract.py").write_text("# another contract\n")
    (folder / "tests" / "test_more.py").write_text("# more\n")
    assert project.code_digest("churn") == digests[0]
    (folder / "helper.py").write_text("A = 1\n")
    digests.append(project.code_digest("churn"))
    (folder / "helper.py").write_text("A = 2\n")
    digests.append(project.code_digest("churn"))
    assert len(set(digests)) == 3


def test_the_digest_of_a_model_without_helpers_is_what_it_was(
    make_project: Make,
) -> None:
    project = make_project()
    assert project.code_digest("churn") == DIGEST


# As the engine of 94b9946 has it for these files.
DIGEST = "a03dc0252e85f6892f63c70c7f2501a82970b2e5fca6d66e6ea8feeebfbd23be"


def test_the_standard_library_keeps_its_names(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("import json\nX = json.dumps({})\n")
    (tmp_path / "estimator.py").write_text("")
    (tmp_path / "json.py").write_text("raise RuntimeError\n")
    code = ModelCode.read(tmp_path, "churn")
    assert code.load("features").X == "{}"


def test_features_may_use_a_helper_of_the_model(make_project: Make) -> None:
    project = make_project()
    folder = project.folder("churn")
    (folder / "columns.py").write_text("LIMIT = 24\n")
    text = (folder / "features.py").read_text()
    text = "from columns import LIMIT\n" + text.replace("> 24", "> LIMIT")
    (folder / "features.py").write_text(text)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-qm", "A helper")
    done = train_in(project)
    assert done.training.modules_sha256
    release(done)
    assert ready(project, "churn").assets["modules.json"].size > 0
    rows = done.dataset.part("test")
    loaded = fetch(project, "churn@v1.0.0").model()
    pd.testing.assert_frame_equal(loaded.predict(rows), done.model.predict(rows))

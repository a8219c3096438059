"""One combination of parameters by cross-validation: the same wherever it is tried.

What is tried travels as plain bytes and values, so that any process on any machine
with the same engine and libraries can try it. Rows are read, divided and turned into
features once for all combinations that a process tries.
"""

from __future__ import annotations

import json
import platform
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from mlops.config.fields import Param
from mlops.config.model_spec import ModelSpec
from mlops.data.snapshot import Dataset
from mlops.errors import EnvironmentFailure, MlopsError, error_facts, out_of_memory
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.outcome import EvaluationContext
from mlops.evaluation.value_function import worth_function
from mlops.io.digests import canonical_json, sha256
from mlops.io.engine import engine_digest
from mlops.io.files import write_bytes
from mlops.io.user_code import blaming
from mlops.results.runs import CombinationResult
from mlops.results.training import Signature
from mlops.training import labels
from mlops.training.code import FEATURES, ModelCode
from mlops.training.fit import (
    class_name,
    classes_of,
    columns_seen,
    fit_estimator,
    require_free_names,
    signature_of,
)
from mlops.training.model import Model, compute_features

FOLDS = 3

# What a worker needs of the build folder.
ROWS = ("snapshot.json", "snapshot.parquet")

_ABOUT = "about.json"
_CODE = "code/"

# Libraries whose version decides what a combination comes to.
_LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")

# One combination at a time in a process: seeds and the modules of a model are the
# process's own, and a second thread would change them meanwhile.
_turn = threading.Lock()

_prepared: dict[str, TrialData] = {}


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and rows to predict, as features.

    Parameters
    ----------
    inputs : DataFrame, shape (n_known, n_features)
    target : Series, shape (n_known,)
    unseen : DataFrame, shape (n_unseen, n_features)
    model : Model
        Without a pipeline: what it saw of the columns.
    """

    inputs: pd.DataFrame
    target: pd.Series
    unseen: pd.DataFrame
    model: Model


@dataclass(frozen=True)
class TrialData:
    """All that is the same for each combination of a sweep.

    Parameters
    ----------
    code : ModelCode
    spec : ModelSpec
    rows : DataFrame, shape (n_rows, n_columns)
        The training part.
    context : EvaluationContext
    signature : Signature
        Of a model of all these rows.
    folds : tuple of Fold
    """

    code: ModelCode
    spec: ModelSpec
    rows: pd.DataFrame
    context: EvaluationContext
    signature: Signature
    folds: tuple[Fold, ...]

    @classmethod
    def of(cls, name: str, code: ModelCode, dataset: Dataset) -> TrialData:
        """Divide the training part of a dataset and compute the features of each fold.

        Each row is to be predicted by a model that has not seen it, nor its group (by
        time: nor anything later).

        Raises
        ------
        UsageError
            When the rows cannot be divided, or for an error in features.py.
        """
        spec = dataset.spec
        value = spec.metrics.value
        context = EvaluationContext(spec, dataset)
        if value is not None and value.function is not None:
            context.worth_of = worth_function(lambda: code, value.function)
        rows = context.train
        target = rows[spec.data.target]
        with blaming(f"models/{name}/model.yaml"):  # too few groups for the folds, say
            positions = list(divided(spec, rows))
        code.forget()
        code.check_features()
        require_free_names(name, spec, target)
        seen = columns_seen(spec, rows[list(spec.features)])
        signature = signature_of(spec, seen, _classes(spec, target))
        folds = [_fold(name, code, spec, rows, *each) for each in positions]
        return cls(code, spec, rows, context, signature, tuple(folds))

    def measure(self, params: Mapping[str, Param]) -> CombinationResult:
        """Return how good some parameters are: all predictions, measured together.

        Raises
        ------
        UsageError, Refused
            When the user's code fails, with file and line.
        """
        started = time.perf_counter()
        train = self.spec.train.model_copy(update={"params": dict(params)})
        spec = self.spec.model_copy(update={"train": train})
        whole = self.folds[0].model.refitted(self.signature, None)
        parts = []
        estimator: Any = None
        for fold in self.folds:
            self.code.forget()
            inputs = fold.inputs.copy()
            estimator, taken = fit_estimator(self.code, spec, inputs, fold.target)
            classes = classes_of(estimator, fold.target, taken)
            signature = signature_of(spec, fold.model.signature.features, classes)
            model = fold.model.refitted(signature, estimator)
            values = model.values(fold.unseen.copy())
            parts.append(model.outputs(values, fold.unseen.index))
        predicted = _together(parts, whole)
        known = self.rows.loc[predicted.index]
        outcome = self.context.outcome_of(whole, known, predicted)
        metrics = tuple(measure_metric(name, outcome) for name in spec.metric_names)
        return CombinationResult(
            params=dict(params),
            metrics=metrics,
            signature=self.signature,
            estimator=class_name(estimator),
            rows=len(self.rows),
            seconds=round(time.perf_counter() - started, 3),
        )


def divided(spec: ModelSpec, rows: pd.DataFrame) -> Iterator[tuple[Any, Any]]:
    """Yield positions to learn from and to predict, separated as `split` does."""
    from sklearn.model_selection import (
        GroupKFold,
        KFold,
        StratifiedKFold,
        TimeSeriesSplit,
    )

    if spec.split.by == "time":
        order = rows[spec.data.time].argsort(kind="stable").to_numpy()
        for learn, ask in TimeSeriesSplit(FOLDS).split(order):
            yield order[learn], order[ask]
    elif spec.split.by == "group":
        groups, _ = rows[spec.split.column].factorize()
        yield from GroupKFold(FOLDS).split(rows, groups=groups)
    else:
        kind = KFold if spec.task == "regression" else StratifiedKFold
        shuffled = kind(FOLDS, shuffle=True, random_state=spec.split.seed)
        yield from shuffled.split(rows, rows[spec.data.target])


def _classes(spec: ModelSpec, target: pd.Series) -> tuple[str, ...]:
    """Return the classes of a target, in the order of a classifier."""
    if spec.task == "regression":
        return ()
    return labels.as_they_are(target).in_order


def _fold(
    name: str,
    code: ModelCode,
    spec: ModelSpec,
    rows: pd.DataFrame,
    learn: Any,
    ask: Any,
) -> Fold:
    """Return the features of both sides of a fold, each computed of its own rows."""
    known = rows.iloc[learn].reset_index(drop=True)
    raw = known[list(spec.features)]
    target = known[spec.data.target]
    function = code.function(FEATURES, "features")
    inputs = compute_features(function, raw, code.shown(FEATURES))
    signature = signature_of(spec, columns_seen(spec, raw), _classes(spec, target))
    model = Model(name, signature, None, code)
    return Fold(inputs, target, model.features(rows.iloc[ask]), model)


def _together(parts: Iterable[pd.DataFrame], whole: Model) -> pd.DataFrame:
    """Return the predictions of all folds, row by row.

    A class that a fold's model never saw has no column there: its probability is zero.
    """
    columns = whole.output_names
    filled = [part.reindex(columns=columns, fill_value=0.0) for part in parts]
    return pd.concat(filled).sort_index()


# -- what travels ---------------------------------------------------------------------


@dataclass(frozen=True)
class TrialCode:
    """What is tried, but for rows and parameters.

    Parameters
    ----------
    name : str
        The model.
    spec : ModelSpec
    code : ModelCode
    snapshot : str
        Digest of the rows.
    """

    name: str
    spec: ModelSpec
    code: ModelCode
    snapshot: str

    @property
    def about(self) -> bytes:
        """All but the code, as bytes; parameters are not in it."""
        train = self.spec.train.model_copy(update={"params": {}})
        spec = self.spec.model_copy(update={"train": train})
        facts = {
            "name": self.name,
            "spec": spec.model_dump(mode="json"),
            "snapshot": self.snapshot,
            "environment": environment(),
        }
        return canonical_json(facts)

    @property
    def digest(self) -> str:
        """One digest of everything that decides what a combination comes to."""
        return _digest_of(self.about, self.code.sources)

    def packed(self, build: Path) -> dict[str, bytes]:
        """Return what a worker needs, as bytes.

        Parameters
        ----------
        build : Path
            The folder with the snapshot.
        """
        package = {_ABOUT: self.about}
        for path, content in self.code.sources.items():
            package[_CODE + path] = content
        for name in ROWS:
            package[name] = (build / name).read_bytes()
        return package


@cache
def environment() -> dict[str, str]:
    """Return the engine, Python and the libraries of this process."""
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"engine": engine_digest(), "python": python, **versions}


def attempt(
    digest: str, package: dict[str, bytes], params: dict[str, Any]
) -> dict[str, Any]:
    """Try one combination, as a worker does.

    Parameters
    ----------
    digest : str
        What `TrialCode.digest` was where it was packed.
    package : dict of str to bytes
        Of `TrialCode.packed`.
    params : dict

    Returns
    -------
    dict
        A `CombinationResult` as JSON values; or the facts of an error, or ``defect``.
    """
    return outcome_of(lambda: _unpacked(package, digest), digest, params)


def outcome_of(
    make: Callable[[], TrialData], digest: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Try one combination and return what came of it, whatever happens.

    Parameters
    ----------
    make : callable
        Makes what is the same for each combination; called once for each digest.
    digest : str
    params : mapping
    """
    try:
        with _turn:
            if digest not in _prepared:
                _prepared.clear()
                _prepared[digest] = make()
            trial = _prepared[digest].measure(params)
        return trial.model_dump(mode="json")
    except MlopsError as error:
        return error_facts(error)
    except MemoryError:
        return error_facts(out_of_memory())
    except Exception:
        return {"defect": traceback.format_exc()}


def _unpacked(package: Mapping[str, bytes], digest: str) -> TrialData:
    """Return what travelled, checked against its digests.

    Raises
    ------
    EnvironmentFailure
        When it is not what was sent, or this process has another engine or library.
    """
    sources = {
        path.removeprefix(_CODE): content
        for path, content in package.items()
        if path.startswith(_CODE)
    }
    if _digest_of(package[_ABOUT], sources) != digest:
        raise EnvironmentFailure(
            "what reached this worker is not what was sent", do="run it again"
        )
    about = json.loads(package[_ABOUT])
    _require_equal(about["environment"])
    spec = ModelSpec.model_validate(about["spec"])
    with tempfile.TemporaryDirectory() as folder:
        for name in ROWS:
            write_bytes(Path(folder, name), package[name])
        dataset = Dataset.load(Path(folder), spec)
    if dataset.snapshot.digest != about["snapshot"]:
        raise EnvironmentFailure(
            "the rows that reached this worker are not those that were sent",
            do="run it again",
        )
    return TrialData.of(about["name"], ModelCode(about["name"], sources), dataset)


def _require_equal(sent: Mapping[str, str]) -> None:
    """Refuse a worker that would not come to the same as who asks it."""
    own = environment()
    unlike = [name for name in sent if own.get(name) != sent[name]]
    if unlike:
        raise EnvironmentFailure(
            "a worker has not what this repository has: " + ", ".join(unlike),
            found=", ".join(f"{name} {own.get(name)}"[:60] for name in unlike),
            allowed=", ".join(f"{name} {sent[name]}"[:60] for name in unlike),
            do="install requirements/train.txt and vendor/mlops of this commit there",
        )


def _digest_of(about: bytes, sources: Mapping[str, bytes]) -> str:
    """Return one digest of what is tried."""
    files = sorted((path, sha256(content)) for path, content in sources.items())
    return sha256(canonical_json([sha256(about), files]))

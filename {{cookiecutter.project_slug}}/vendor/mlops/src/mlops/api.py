"""Data and models in Python: for a notebook, a script, a debugger.

The names that `mlops` itself offers (`from mlops import load_data, load_model`) are all
that other code needs to import of it.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops.cli.context import release_store
from mlops.config.project import Project
from mlops.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from mlops.training.model import Model

Folder = str | PathLike[str]


def load_data(
    name: str,
    part: Literal["train", "test", "all"] = "all",
    *,
    folder: Folder | None = None,
) -> pd.DataFrame:
    """Return the rows of a model, as `mlops validate` reads them now.

    Types are those of `model.yaml`, duplicates are removed, labels are joined, and the
    split is that of `mlops run`. Whether the data contract holds is not asked.

    Parameters
    ----------
    name : str
        The model, such as ``"employment"``.
    part : {"train", "test", "all"}
        The labelled rows of one part; or all rows, those without a label too. Whoever
        looks at the test part to choose a model makes its verdict too good: explore
        with ``"train"``.
    folder : path, optional
        A folder of the repository; default: the current one.

    Returns
    -------
    DataFrame, shape (n_rows, n_columns)
        Numbers and booleans as float64, dates as datetime64, all else as pandas
        ``str``; missing as NaN. The target is one of the columns.

    Raises
    ------
    UsageError
        When there is no such model, its data cannot be read, or a declared column is
        missing.

    Examples
    --------
    >>> from mlops import load_data
    >>> people = load_data("employment", "train")
    >>> "age" in people.columns
    True
    """
    from mlops.data.snapshot import build

    if part not in ("train", "test", "all"):
        raise UsageError(
            "there is no such part", key="part", found=part, allowed="train, test, all"
        )
    project = _project(folder)
    spec = project.model(name)
    dataset, structure = build(spec, project.folder(name))
    if dataset is None:
        problem = next(e for e in structure if not e.ok)
        raise UsageError(
            problem.message or problem.name,
            file=f"models/{name}/model.yaml",
            do=f"`mlops validate {name}` says which columns the data have",
        )
    if part == "all":
        return dataset.frame
    return dataset.part(part)


def load_model(ref: str, *, folder: Folder | None = None) -> Model:
    """Return a model, the same object as in training, tests and service.

    Parameters
    ----------
    ref : str
        A name such as ``"employment"``: what the last `mlops run` trained here. A
        version: ``"employment@v1.2.0"``, ``"employment@production"`` or
        ``"employment@latest"``, fetched where it is not here, every byte verified.
    folder : path, optional
        A folder of the repository; default: the current one.

    Returns
    -------
    Model
        ``predict(rows)`` takes a DataFrame with the columns under `features` in
        `model.yaml`, shape (n_rows, n_columns), and returns the prediction of each row,
        and its score or probabilities. ``features(rows)`` is what the estimator sees,
        ``pipeline`` the fitted scikit-learn estimator, ``signature`` what it takes and
        gives.

    Raises
    ------
    UsageError
        When there is no such model or version, or nothing was trained here yet.
    Refused
        When a file is not the one that was trained or registered.
    EnvironmentFailure
        When the version cannot be fetched.

    Notes
    -----
    The model's own code runs in this process: load only models whose code you trust.

    Examples
    --------
    >>> from mlops import load_data, load_model
    >>> model = load_model("employment")
    >>> predicted = model.predict(load_data("employment", "train").head(3))
    >>> list(predicted.columns)
    ['prediction', 'score']
    """
    project = _project(folder)
    if "@" in ref:
        from mlops.registry.chain import fetch

        return fetch(project, ref, release_store(project)).model()
    from mlops.results.training import Training
    from mlops.training.model import Model

    project.folder(ref)  # names the models that there are
    build = project.build(ref)
    if not (build / Training.FILE).is_file():
        raise UsageError(
            f"{ref} was not trained here yet",
            file=str(build),
            do=f"`mlops run {ref}`, or name a version, such as {ref}@latest",
        )
    return Model.load(build, ref, project.spec.trusted_types)


def _project(folder: Folder | None) -> Project:
    return Project.find(Path(folder) if folder is not None else None)

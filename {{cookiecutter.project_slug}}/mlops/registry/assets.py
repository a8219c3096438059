"""What a release is made of: the results of one run, of this commit, and two samples drawn here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data.dataset import Dataset
from mlops.errors import Problem, Refused, UsageError, listed
from mlops.files import replacing, sha256_file, write_json
from mlops.git import changed_files, git, require_repository
from mlops.project import Project
from mlops.registry.manifest import Asset
from mlops.results import Evaluation, Snapshot, Training, Verdict
from mlops.spec import ModelSpec
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

REFERENCE, EXAMPLES = "reference.parquet", "examples.json"
REQUIRED = ("model.skops", "features.py", "training.json")
OPTIONAL = ("report.md", "report.html", "card.md")
_RESULTS = ("snapshot.json", "evaluation.json", "verdict.json")
_REFERENCE_ROWS, _EXAMPLE_ROWS = 5000, 10


@dataclass(frozen=True)
class Built:
    """What the stages left in the build folder, known to belong to the commit."""

    commit: str
    snapshot: Snapshot
    training: Training
    evaluation: Evaluation
    verdict: Verdict


def ready(project: Project, name: str) -> Built:
    """Return the results in the build folder, if they belong to what is committed.

    If not, the error names all mismatches at once.
    """
    project.folder(name)
    require_repository(project.root)
    build, again = project.build(name), f"run `mlops run {name}`"
    if missing := [file for file in (*_RESULTS, *REQUIRED) if not (build / file).is_file()]:
        what = "there is nothing to register yet"
        raise UsageError(what, file=str(build), found=f"no {listed(missing)}", do=again)
    if dirty := changed_files(project.root):
        what = "there are changes that no commit holds, so nobody could reproduce this version"
        do = "commit or stash them, and run the pipeline again"
        raise Refused(what, found=listed(dirty), do=do)
    built = Built(
        git(project.root, "rev-parse", "HEAD"),
        Snapshot.load(build),
        Training.load(build),
        Evaluation.load(build),
        Verdict.load(build),
    )
    if stale := _stale(project, name, built):
        what = "the results are not of what is committed"
        raise Refused(*(Problem(f"{what}: {part}", str(build), do=again) for part in stale))
    if built.verdict.decision != "promote":
        what = f"the verdict is {built.verdict.decision}"
        raise Refused(what, file=f"models/{name}", found="; ".join(built.verdict.reasons))
    return built


def _stale(project: Project, name: str, built: Built) -> list[str]:
    """Return in which respects the results do not belong to the commit that is checked out."""
    build, training = project.build(name), built.training
    pairs = {
        "code or specification": (training.code, project.code_digest(name)),
        "requirements.txt": (training.lock, _digest(project.lock)),
        "data of the training": (training.snapshot, built.snapshot.digest),
        "model.skops": (training.model_sha256, _digest(build / "model.skops")),
        "features.py": (training.features_sha256, _digest(build / "features.py")),
    }
    for file in built.snapshot.files:
        if "://" not in file.path:
            pairs[file.path] = (file.sha256, _digest(project.root / file.path))
    return [what for what, (recorded, present) in pairs.items() if recorded != present]


def _digest(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""


def gather(project: Project, name: str, spec: ModelSpec) -> dict[str, Path]:
    """Draw the samples into the build folder and return all files of the release by asset name."""
    build = project.build(name)
    model = Model.load(build, name, project.spec.trusted_types)
    test = Dataset.load(build, spec).part("test")
    with replacing(build / REFERENCE) as temporary:
        reference(spec, model, test).to_parquet(temporary, index=False)
    write_json(build / EXAMPLES, examples(spec, model, test))
    optional = [asset for asset in OPTIONAL if (build / asset).is_file()]
    return {asset: build / asset for asset in (*REQUIRED, REFERENCE, EXAMPLES, *optional)}


def describe(files: dict[str, Path]) -> dict[str, Asset]:
    """Return digest and size of files."""
    return {
        asset: Asset(sha256=sha256_file(path), size=path.stat().st_size)
        for asset, path in sorted(files.items())
    }


def reference(spec: ModelSpec, model: Model, test: pd.DataFrame) -> pd.DataFrame:
    """Return what monitoring compares with: test rows as the model saw them, and its answers.

    Returns
    -------
    DataFrame, shape (at most 5,000, n_features + n_outputs + 1)
        Features, `prediction` (and `score`, or `p_CLASS` columns), target. Never the id, the group
        column or a sensitive column, not even where it is a feature.
    """
    import pandas as pd

    rows, hidden = _sample(test, _REFERENCE_ROWS, spec), _hidden(spec)
    shown = [column for column in spec.features if column not in hidden]
    target = [column for column in [spec.data.target] if column not in hidden]
    predicted = model.predict(rows)
    if twice := sorted({*shown, *target} & set(predicted)):
        what, file = "this column is named like an answer of the model", f"{model.name}/model.yaml"
        do = "rename the column"
        raise UsageError(what, file=f"models/{file}", key="features", found=listed(twice), do=do)
    return pd.concat([rows[shown], predicted, rows[target]], axis=1)


def examples(spec: ModelSpec, model: Model, test: pd.DataFrame) -> list[dict[str, Any]]:
    """Return ten rows with the predictions that a service must give for them.

    Hidden columns that are features are left empty, and the prediction is for the row as shown.
    """
    rows = _sample(test, _EXAMPLE_ROWS, spec)[list(spec.features)]
    rows = rows.assign(**{column: None for column in rows if column in _hidden(spec)})
    pairs = zip(_plain(rows), _plain(model.predict(rows)), strict=True)
    return [{"features": row, "expected": answer} for row, answer in pairs]


def _hidden(spec: ModelSpec) -> set[str | None]:
    return {spec.data.id, spec.split.column, *spec.sensitive}


def _sample(frame: pd.DataFrame, most: int, spec: ModelSpec) -> pd.DataFrame:
    """Return at most so many rows, drawn with the seed of the training, in their order."""
    rows = frame.sample(min(most, len(frame)), random_state=spec.train.seed)
    return rows.sort_index().reset_index(drop=True)


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values: missing as null, dates as ISO 8601."""
    import pandas as pd

    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [
        {str(k): v.isoformat() if isinstance(v, pd.Timestamp) else v for k, v in row.items()}
        for row in rows
    ]

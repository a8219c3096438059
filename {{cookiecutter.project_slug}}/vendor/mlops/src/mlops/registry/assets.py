"""The files that a version is made of, checked before it is registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlops.config.project import Project
from mlops.errors import Problem, Refused, UsageError, listed
from mlops.io.digests import pieces, sha256_file
from mlops.io.git import changed_files, git, require_repository
from mlops.registry import sbom
from mlops.registry.manifest import DATA
from mlops.results.baseline import Baseline
from mlops.results.compilation import COMPILED, Compilation
from mlops.results.data import Snapshot, SourceLock
from mlops.results.evaluation import EXAMPLES, REFERENCE, Evaluation
from mlops.results.training import MODULES, Training
from mlops.results.verdict import Verdict
from mlops.storage.protocol import Asset, asset_of

REQUIRED = ("model.skops", "features.py", "training.json", REFERENCE, EXAMPLES)

OPTIONAL = (
    MODULES,
    COMPILED,
    Baseline.FILE,
    "report.md",
    "report.html",
    "card.md",
)

_RESULTS = ("snapshot.json", "evaluation.json", "verdict.json")

_ROWS = "snapshot.parquet"

# What a version depends on, beside its model's own folder.
_DEPENDED = ("vendor/", "requirements", "project.yaml", "pyproject.toml")

# Left out of a version's commit: a job's token may push a tag to files that are there
# only while some branch has the very same ones, and main moves on.
WORKFLOWS = ".github/workflows"


@dataclass(frozen=True)
class Built:
    """What the steps left in the build folder, known to belong to the commit.

    `files` are those of the release by asset name, `assets` what they are, `notes` what
    there is to say about it.
    """

    commit: str
    snapshot: Snapshot
    training: Training
    evaluation: Evaluation
    verdict: Verdict
    compilation: Compilation | None
    files: dict[str, Path]
    assets: dict[str, Asset]
    notes: tuple[str, ...]


def ready(project: Project, name: str, decided: bool = False) -> Built:
    """Return the results in the build folder, if they belong to what is committed.

    If not, the error names all mismatches at once.

    Parameters
    ----------
    decided : bool
        A person decides, whatever the verdict is.
    """
    project.folder(name)
    require_repository(project.root)
    build = project.build(name)
    again = f"run `mlops run {name}`"
    required = (*_RESULTS, *REQUIRED)
    missing = [file for file in required if not (build / file).is_file()]
    if missing:
        raise UsageError(
            "there is nothing to register yet",
            file=str(build),
            found=f"no {listed(missing)}",
            do=again,
        )
    others = _require_committed(project, name)
    snapshot = Snapshot.load(build)
    with_rows, notes = _whether_rows_travel(project, name, snapshot)
    files = gather(project, name, with_rows)
    built = Built(
        commit=git(project.root, "rev-parse", "HEAD"),
        snapshot=snapshot,
        training=Training.load(build),
        evaluation=Evaluation.load(build),
        verdict=Verdict.load(build),
        compilation=_compilation(build),
        files=files,
        assets={asset: asset_of(pieces(path)) for asset, path in sorted(files.items())},
        notes=(*notes, *others),
    )
    stale = _stale(project, name, built)
    if stale:
        problem = "the results do not match HEAD"
        raise Refused(
            *(Problem(f"{problem}: {part}", str(build), do=again) for part in stale)
        )
    if built.verdict.decision != "promote" and not decided:
        # An engine before 0.2 stored sentences; the report words what is stored now.
        grounds = (ground.kind for ground in built.verdict.grounds)
        raise Refused(
            f"the verdict is {built.verdict.decision}",
            file=f"models/{name}",
            found=listed(built.verdict.reasons or grounds),
            do=f"`mlops report {name}` says why; an approver may overrule it, on "
            f"record: `mlops register {name} --decided -m WHY`",
        )
    return built


def _require_committed(project: Project, name: str) -> tuple[str, ...]:
    """Raise Refused where the version depends on changes that no commit holds.

    Returns
    -------
    notes : tuple of str
        Names the other changes, which the version does not depend on.
    """
    prefix = git(project.root, "rev-parse", "--show-prefix")
    inside = tuple(f"{prefix}{start}" for start in (f"models/{name}/", *_DEPENDED))
    changed = changed_files(project.root)
    dirty = [
        path for path in changed if path.startswith(inside) or _shared(path, prefix)
    ]
    if dirty:
        raise Refused(
            "there are uncommitted changes, so nobody could reproduce this version",
            found=listed(dirty),
            do="commit or stash them, and run the pipeline again",
        )
    if not changed:
        return ()
    return (f"not committed, and no part of the version: {listed(changed)}",)


def _shared(path: str, prefix: str) -> bool:
    """Return whether a file lies in `models/` itself.

    Where every model may import it.
    """
    return str(Path(path).parent) == f"{prefix}models"


def _whether_rows_travel(
    project: Project, name: str, snapshot: Snapshot
) -> tuple[bool, tuple[str, ...]]:
    """Return whether the release has to hold the rows, and notes for whoever registers.

    Where every source file is in git the commit holds them. Where not, only `data.keep`
    lets them be published: who may see a release may see its rows.
    """
    paths = [file.path for file in snapshot.files]
    inside = [path for path in paths if not Path(path).is_absolute()]
    listing = git(project.root, "--literal-pathspecs", "ls-files", "-z", "--", *inside)
    absent = sorted(set(paths) - set(listing.split("\0")))
    if not absent:
        return False, ()
    spec = project.model(name)
    if spec.data.keep:
        hidden = f", {listed(spec.sensitive)} too" if spec.sensitive else ""
        note = (
            f"{DATA} holds every row and column{hidden}: whoever sees the release can"
        )
        return True, (note,)
    lost = listed(absent)
    note = f"its rows cannot be restored: git does not hold {lost}; see data.keep"
    return False, (note,)


def _stale(project: Project, name: str, built: Built) -> list[str]:
    """Return in which respects the results do not match HEAD."""
    training = built.training
    assets = built.assets
    lock = project.lock.relative_to(project.root).as_posix()
    pairs = {
        "code or specification": (training.code, project.code_digest(name)),
        lock: (training.lock, project.lock_digest),
        "data of the training": (training.snapshot, built.snapshot.digest),
        "model.skops": (training.model_sha256, assets["model.skops"].sha256),
        "features.py": (training.features_sha256, assets["features.py"].sha256),
        MODULES: (
            training.modules_sha256,
            assets[MODULES].sha256 if MODULES in assets else "",
        ),
    }
    if built.compilation is not None:
        pairs |= _compiled(built.compilation, training, assets)
    locked = _locked(project, name)
    for file in built.snapshot.files:
        if file.size is not None:  # it lies elsewhere
            pairs[file.path] = (file.sha256, locked.get(file.path, ""))
            continue
        path = project.root / file.path
        pairs[file.path] = (file.sha256, sha256_file(path) if path.is_file() else "")
    return [part for part, (recorded, present) in pairs.items() if recorded != present]


def _locked(project: Project, name: str) -> dict[str, str]:
    """Return the digests of what was fetched, by address."""
    build = project.build(name)
    if not (build / SourceLock.FILE).is_file():
        return {}
    return {one.address: one.sha256 for one in SourceLock.load(build).objects}


def _compilation(build: Path) -> Compilation | None:
    """Return what the test step says of compiling; None before engine 0.2."""
    if not (build / Compilation.FILE).is_file():
        return None
    return Compilation.load(build)


def _compiled(
    compilation: Compilation, training: Training, assets: dict[str, Asset]
) -> dict[str, tuple[str, str]]:
    """Return what was compiled, and what lies in the build folder."""
    if not compilation.ok:
        return {}
    present = assets[COMPILED].sha256 if COMPILED in assets else ""
    return {
        "the model that was compiled": (
            compilation.model_sha256,
            training.model_sha256,
        ),
        COMPILED: (compilation.compiled_sha256, present),
    }


def gather(project: Project, name: str, rows: bool) -> dict[str, Path]:
    """Return all files of the release by asset name.

    The list of the environment is written.
    """
    build = project.build(name)
    files = {asset: build / asset for asset in REQUIRED}
    files |= {asset: build / asset for asset in OPTIONAL if (build / asset).is_file()}
    if rows:
        files[DATA] = build / _ROWS
    if project.lock.is_file():
        files[sbom.SBOM] = sbom.bill_of_materials(project)
    return files

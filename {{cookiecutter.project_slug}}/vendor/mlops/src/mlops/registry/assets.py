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
from mlops.results.data import Snapshot
from mlops.results.evaluation import EXAMPLES, REFERENCE, Evaluation
from mlops.results.training import Training
from mlops.results.verdict import Verdict
from mlops.storage.protocol import Asset, measure

REQUIRED = ("model.skops", "features.py", "training.json", REFERENCE, EXAMPLES)

OPTIONAL = ("report.md", "report.html", "card.md")

_RESULTS = ("snapshot.json", "evaluation.json", "verdict.json")

_ROWS = "snapshot.parquet"

# Left out of a version's commit: a job's token may push a tag to files that are there only while
# some branch has the very same ones, and main moves on.
WORKFLOWS = ".github/workflows"

# -- what a release is made of ------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """What the stages left in the build folder, known to belong to the commit.

    `files` are those of the release by asset name, `assets` what they are, `notes` what is to be
    known of it.
    """

    commit: str
    snapshot: Snapshot
    training: Training
    evaluation: Evaluation
    verdict: Verdict
    files: dict[str, Path]
    assets: dict[str, Asset]
    notes: tuple[str, ...]


def ready(project: Project, name: str) -> Built:
    """Return the results in the build folder, if they belong to what is committed.

    If not, the error names all mismatches at once.
    """
    project.folder(name)
    require_repository(project.root)
    build, again = project.build(name), f"run `mlops run {name}`"
    if missing := [
        file for file in (*_RESULTS, *REQUIRED) if not (build / file).is_file()
    ]:
        what = "there is nothing to register yet"
        raise UsageError(what, file=str(build), found=f"no {listed(missing)}", do=again)
    if dirty := changed_files(project.root):
        what = "there are changes that no commit holds, so nobody could reproduce this version"
        do = "commit or stash them, and run the pipeline again"
        raise Refused(what, found=listed(dirty), do=do)
    snapshot = Snapshot.load(build)
    kept, notes = _rows_kept(project, name, snapshot)
    files = gather(project, name, kept)
    commit = git(project.root, "rev-parse", "HEAD")
    results = (Training.load(build), Evaluation.load(build), Verdict.load(build))
    assets = {asset: measure(pieces(path)) for asset, path in sorted(files.items())}
    built = Built(commit, snapshot, *results, files, assets, notes)
    if stale := _stale(project, name, built):
        what = "the results are not of what is committed"
        raise Refused(
            *(Problem(f"{what}: {part}", str(build), do=again) for part in stale)
        )
    if built.verdict.decision != "promote":
        what = f"the verdict is {built.verdict.decision}"
        raise Refused(
            what, file=f"models/{name}", found="; ".join(built.verdict.reasons)
        )
    return built


def _rows_kept(
    project: Project, name: str, snapshot: Snapshot
) -> tuple[bool, tuple[str, ...]]:
    """Return whether the release has to hold the rows, and what to tell whoever registers.

    Where every source file is in git the commit holds them. Where not, only `data.keep` lets them
    be published: who may see a release may see its rows.
    """
    paths = [file.path for file in snapshot.files]
    inside = [path for path in paths if not Path(path).is_absolute()]
    listing = git(project.root, "--literal-pathspecs", "ls-files", "-z", "--", *inside)
    lost = sorted(set(paths) - set(listing.split("\0")))
    spec = project.model(name)
    if lost and spec.data.keep:
        hidden = f", {listed(spec.sensitive)} too" if spec.sensitive else ""
        return True, (
            f"{DATA} holds every row and column{hidden}: whoever sees the release can",
        )
    what = (
        f"its rows cannot be got back: git does not hold {listed(lost)}; see data.keep"
    )
    return False, (what,) if lost else ()


def _stale(project: Project, name: str, built: Built) -> list[str]:
    """Return in which respects the results do not belong to the commit that is checked out."""
    training, assets = built.training, built.assets
    lock = project.lock.relative_to(project.root).as_posix()
    pairs = {
        "code or specification": (training.code, project.code_digest(name)),
        lock: (training.lock, project.lock_digest),
        "data of the training": (training.snapshot, built.snapshot.digest),
        "model.skops": (training.model_sha256, assets["model.skops"].sha256),
        "features.py": (training.features_sha256, assets["features.py"].sha256),
    }
    for file in built.snapshot.files:
        path = project.root / file.path
        pairs[file.path] = (file.sha256, sha256_file(path) if path.is_file() else "")
    return [what for what, (recorded, present) in pairs.items() if recorded != present]


def gather(project: Project, name: str, rows: bool) -> dict[str, Path]:
    """Return all files of the release by asset name; the list of the environment is written."""
    build = project.build(name)
    files = {asset: build / asset for asset in REQUIRED}
    files |= {asset: build / asset for asset in OPTIONAL if (build / asset).is_file()}
    if rows:
        files[DATA] = build / _ROWS
    if project.lock.is_file():
        files[sbom.SBOM] = sbom.bill_of_materials(project)
    return files

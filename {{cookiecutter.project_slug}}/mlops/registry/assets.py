"""What a release is made of: the files that one run of this commit left, and nothing drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlops.errors import Problem, Refused, UsageError, listed
from mlops.evaluation.samples import EXAMPLES, REFERENCE
from mlops.files import pieces, sha256_file, write_bytes
from mlops.git import changed_files, git, require_repository
from mlops.project import Project
from mlops.registry import sbom
from mlops.registry.manifest import Asset, measure
from mlops.results import Evaluation, Snapshot, Training, Verdict

DATA, SBOM = "data.parquet", "sbom.cdx.json"
REQUIRED = ("model.skops", "features.py", "training.json", REFERENCE, EXAMPLES)
OPTIONAL = ("report.md", "report.html", "card.md")
_RESULTS = ("snapshot.json", "evaluation.json", "verdict.json")
_ROWS = "snapshot.parquet"


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
    if missing := [file for file in (*_RESULTS, *REQUIRED) if not (build / file).is_file()]:
        what = "there is nothing to register yet"
        raise UsageError(what, file=str(build), found=f"no {listed(missing)}", do=again)
    if dirty := changed_files(project.root):
        what = "there are changes that no commit holds, so nobody could reproduce this version"
        do = "commit or stash them, and run the pipeline again"
        raise Refused(what, found=listed(dirty), do=do)
    snapshot = Snapshot.load(build)
    kept, notes = _rows_kept(project, name, snapshot)
    files = gather(project, name, kept)
    built = Built(
        git(project.root, "rev-parse", "HEAD"),
        snapshot,
        Training.load(build),
        Evaluation.load(build),
        Verdict.load(build),
        files,
        describe(files),
        notes,
    )
    if stale := _stale(project, name, built):
        what = "the results are not of what is committed"
        raise Refused(*(Problem(f"{what}: {part}", str(build), do=again) for part in stale))
    if built.verdict.decision != "promote":
        what = f"the verdict is {built.verdict.decision}"
        raise Refused(what, file=f"models/{name}", found="; ".join(built.verdict.reasons))
    return built


def _rows_kept(project: Project, name: str, snapshot: Snapshot) -> tuple[bool, tuple[str, ...]]:
    """Return whether the release has to hold the rows, and what to tell whoever registers.

    Where every source file is in git the commit holds them. Where not, only `data.keep` lets them
    be published: who may see a release may see its rows.
    """
    paths = [file.path for file in snapshot.files]
    inside = [path for path in paths if not Path(path).is_absolute() and "://" not in path]
    listing = git(project.root, "--literal-pathspecs", "ls-files", "-z", "--", *inside)
    lost = sorted(set(paths) - set(listing.split("\0")))
    spec = project.model(name)
    if lost and spec.data.keep:
        hidden = f", {listed(spec.sensitive)} too" if spec.sensitive else ""
        return True, (f"{DATA} holds every row and column{hidden}: whoever sees the release can",)
    what = f"its rows cannot be got back: git does not hold {listed(lost)}; see data.keep"
    return False, (what,) if lost else ()


def _stale(project: Project, name: str, built: Built) -> list[str]:
    """Return in which respects the results do not belong to the commit that is checked out."""
    training, assets = built.training, built.assets
    pairs = {
        "code or specification": (training.code, project.code_digest(name)),
        "requirements.txt": (training.lock, _digest(project.lock)),
        "data of the training": (training.snapshot, built.snapshot.digest),
        "model.skops": (training.model_sha256, assets["model.skops"].sha256),
        "features.py": (training.features_sha256, assets["features.py"].sha256),
    }
    for file in built.snapshot.files:
        if "://" not in file.path:
            pairs[file.path] = (file.sha256, _digest(project.root / file.path))
    return [what for what, (recorded, present) in pairs.items() if recorded != present]


def _digest(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""


def gather(project: Project, name: str, rows: bool) -> dict[str, Path]:
    """Return all files of the release by asset name; the list of the environment is written."""
    build = project.build(name)
    files = {asset: build / asset for asset in REQUIRED}
    files |= {asset: build / asset for asset in OPTIONAL if (build / asset).is_file()}
    if rows:
        files[DATA] = build / _ROWS
    if project.lock.is_file():
        # One for all models, as the lock is: where one workflow registers several, it attests one.
        files[SBOM] = project.root / "build" / SBOM
        write_bytes(files[SBOM], sbom.document(project.spec.name, project.lock))
    return files


def describe(files: dict[str, Path]) -> dict[str, Asset]:
    """Return digest and size of files."""
    return {asset: measure(pieces(path)) for asset, path in sorted(files.items())}

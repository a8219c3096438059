"""Whether what lies in the build folder may become a version: all of one run, of this commit."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.errors import Problem, Refused, UsageError, listed
from mlops.files import sha256_file
from mlops.git import changed_files, git, require_repository
from mlops.project import Project
from mlops.registry.assets import REQUIRED
from mlops.results import Evaluation, Snapshot, Training, Verdict


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

    Raises
    ------
    UsageError, Refused
        As `register` does; all mismatches at once.
    """
    project.folder(name)
    require_repository(project.root)
    build = project.build(name)
    again = f"run `mlops run {name}`"
    results = ("snapshot", "training", "evaluation", "verdict")
    missing = [f"{kind}.json" for kind in results if not (build / f"{kind}.json").is_file()]
    missing += [asset for asset in REQUIRED[:2] if not (build / asset).is_file()]
    if missing:
        raise UsageError(
            Problem(
                "there is nothing to register yet",
                str(build),
                found=f"no {listed(missing)}",
                do=again,
            )
        )
    if dirty := changed_files(project.root):
        raise Refused(
            Problem(
                "there are changes that no commit holds, so nobody could reproduce this version",
                found=listed(dirty),
                do="commit or stash them, and run the pipeline again",
            )
        )
    built = Built(
        commit=git(project.root, "rev-parse", "HEAD"),
        snapshot=Snapshot.load(build),
        training=Training.load(build),
        evaluation=Evaluation.load(build),
        verdict=Verdict.load(build),
    )
    if stale := _stale(project, name, built):
        raise Refused(
            *(
                Problem(f"the results are not of {what}", file=str(build), do=again)
                for what in stale
            )
        )
    if built.verdict.decision != "promote":
        raise Refused(
            *(
                Problem(f"the verdict is {built.verdict.decision}: {reason}", file=f"models/{name}")
                for reason in built.verdict.reasons or ("no reason given",)
            )
        )
    return built


def _stale(project: Project, name: str, built: Built) -> list[str]:
    """Return in which respects the results do not belong to the commit that is checked out."""
    build, training = project.build(name), built.training
    lock = sha256_file(project.lock) if project.lock.is_file() else ""
    model, features = (sha256_file(build / asset) for asset in REQUIRED[:2])
    pairs = {
        "this code and specification": (training.code, project.code_digest(name)),
        "this requirements.txt": (training.lock, lock),
        "one training: the data is another": (training.snapshot, built.snapshot.digest),
        "one training: model.skops is another": (training.model_sha256, model),
        "one training: features.py is another": (training.features_sha256, features),
    }
    for file in built.snapshot.files:
        path = project.root / file.path
        now = sha256_file(path) if path.is_file() else ""
        if now or "://" not in file.path:
            pairs[f"this data: {file.path} {'has changed' if now else 'is gone'}"] = (
                file.sha256,
                now,
            )
    return [what for what, (recorded, present) in pairs.items() if recorded != present]

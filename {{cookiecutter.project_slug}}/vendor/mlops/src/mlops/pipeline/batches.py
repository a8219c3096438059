"""What a batch has to score: files that nobody scored, and where that may be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mlops.config.project import Project
from mlops.data.sources import (
    DataFile,
    is_elsewhere,
    shown_path,
    source_files,
)
from mlops.errors import UsageError, counted
from mlops.registry.tags import State
from mlops.results.batch import BatchRun
from mlops.runlog.query import batches


@dataclass(frozen=True)
class Due:
    """What a schedule scores, and what it does not though rows wait for it.

    Parameters
    ----------
    models : tuple of str
    notes : tuple of str
        Why others are not scored, a sentence each.
    """

    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def input_files(
    project: Project, name: str, pattern: str, folder: Path
) -> list[DataFile]:
    """Return the files that a model's batch reads, sorted.

    Parameters
    ----------
    pattern : str
        A path, a glob, a folder, or an address whose objects were fetched; empty:
        `batch.input` of model.yaml.
    folder : Path
        What `pattern` is relative to.

    Raises
    ------
    UsageError
        Where nothing is declared, or no file matches.
    """
    if is_elsewhere(pattern):
        return source_files(pattern, project.folder(name), "batch.input")
    if pattern:
        path = folder / pattern
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.is_file())
            found = [p for p in found if not p.name.startswith(".")]
        else:
            found = _matching(pattern, folder)
        return [DataFile(p, shown_path(p, project.root)) for p in found]
    batch = project.model(name).batch
    if batch is None:
        raise UsageError(
            "this model declares no batch, and no file was named",
            file=f"models/{name}/model.yaml",
            key="batch",
            do="name a FILE or --input, or add `batch: {input: batch/*.csv}`",
        )
    return source_files(batch.input, project.folder(name), "batch.input")


def not_scored(
    files: Iterable[DataFile], earlier: Iterable[BatchRun], version: str = ""
) -> dict[DataFile, str]:
    """Return the files that no batch has scored, with the SHA-256 of each.

    Of files with the same content it is one. What a version could not score waits for
    another version, or another content.

    Parameters
    ----------
    files : iterable of DataFile
    earlier : iterable of BatchRun
    version : str, optional
        That would score them.
    """
    done = set()
    for run in earlier:
        for scored in run.files:
            if not scored.error or run.version == version:
                done.add(scored.sha256)
    found = {}
    for file in files:
        file.require_intact()
        digest = file.sha256
        if digest not in done:
            found[file] = digest
            done.add(digest)
    return found


def due_batches(project: Project, state: State, hindrance: Callable[[], str]) -> Due:
    """Return the models whose batch has files that were not scored.

    Only files are hashed; none is read as a table. Of a batch whose files lie elsewhere
    only that is known: it is due whenever it is looked at.

    Parameters
    ----------
    state : State
        Of the registry.
    hindrance : callable
        Returns why rows cannot be kept where this runs; empty where they can. It is
        called only where there are files.
    """
    models = []
    notes = []
    for name in project.models():
        version = _scoring_version(project, name, state)
        if not version:
            continue
        if is_input_elsewhere(project, name):
            waiting = "files elsewhere"
        else:
            files = _waiting(project, name, version)
            waiting = counted(files, "file") if files else ""
        why = hindrance() if waiting else ""
        if why:
            notes.append(f"{name}: {waiting} not scored: {why}")
        elif waiting:
            models.append(name)
    return Due(tuple(models), tuple(notes))


def is_input_elsewhere(project: Project, name: str) -> bool:
    """Return whether what a model's batch reads has to be fetched."""
    batch = project.model(name).batch
    return batch is not None and is_elsewhere(batch.input)


def is_output_elsewhere(project: Project, name: str) -> bool:
    """Return whether what a model's batch predicts belongs into a bucket."""
    batch = project.model(name).batch
    return batch is not None and is_elsewhere(batch.output)


def _scoring_version(project: Project, name: str, state: State) -> str:
    """Return the version that a schedule scores with; empty where it scores nothing."""
    batch = project.model(name).batch
    last = project.spec.stages[-1].name
    version = state.model(name).stages.get(last)
    if batch is None or not batch.schedule or version is None:
        return ""
    return version.number


def _waiting(project: Project, name: str, version: str) -> int:
    """Return how many files of the repository a version would score."""
    batch = project.model(name).batch
    assert batch is not None
    try:
        files = source_files(batch.input, project.folder(name), "batch.input")
    except UsageError:  # no file yet
        return 0
    return len(not_scored(files, batches(project, name), version))


def _matching(pattern: str, folder: Path) -> list[Path]:
    """Return the files that `--input` names, sorted."""
    path = Path(pattern)
    root = folder / path.anchor
    relative = path.relative_to(path.anchor).as_posix()
    found = sorted(p for p in root.glob(relative) if p.is_file())
    if not found:
        raise UsageError("no file matches", key="--input", found=pattern)
    return found

"""Where a command runs: the project, the actor, the release store, the clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import settings
from mlops.cli.actions_env import event, in_actions
from mlops.cli.app import ORIGIN_SECONDS
from mlops.cli.output import progress
from mlops.errors import EnvironmentFailure, UsageError, listed
from mlops.github import client
from mlops.io.git import GitError, git, require_repository
from mlops.settings import Settings

if TYPE_CHECKING:
    from mlops.config.project import Project
    from mlops.storage.protocol import ReleaseStore

# What `predictions.store` is where runs of predict.yml hand their log on.
ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Context:
    """Where a command runs, and who runs it.

    Parameters
    ----------
    project : Project
    settings : Settings
        The environment of the command.
    """

    project: Project
    settings: Settings

    @property
    def actor(self) -> str:
        """GitHub handle (`@name`) in a workflow, git's user elsewhere.

        A scheduled run has no person behind it, though GitHub names whoever wrote the
        schedule: they may approve what it trains.
        """
        run = self.settings.github
        if run.scheduled:
            return "@github-actions[bot]"
        if run.actor:
            return f"@{run.actor}"
        return git_user(self.project.root, self.settings.user)

    @property
    def decider(self) -> str:
        """Who decides: the actor, or whoever re-ran the run."""
        run = self.settings.github
        if run.triggering_actor and not run.scheduled:
            return f"@{run.triggering_actor}"
        return self.actor

    @property
    def pull_request(self) -> int | None:
        """The number of the pull request that a workflow runs for."""
        match = re.fullmatch(r"refs/pull/(\d+)/\w+", self.settings.github.ref)
        return int(match[1]) if match else None

    @property
    def run_url(self) -> str | None:
        """The page of a workflow's run."""
        run = self.settings.github
        if not run.repository or not run.run_id:
            return None
        return f"{run.server}/{run.repository}/actions/runs/{run.run_id}"

    @cached_property
    def store(self) -> ReleaseStore:
        """Where releases are stored: one for the command, which remembers answers."""
        return release_store(self.project)

    @property
    def keeps_artifacts(self) -> bool:
        """Whether the prediction log is handed on as artifacts of runs."""
        return predictions_store(self.project) == ARTIFACTS

    def now(self) -> datetime:
        """Return the present time; for reproducible output, SOURCE_DATE_EPOCH's."""
        return self.settings.now()

    def catch_up(self) -> None:
        """Fetch origin's tags: no branch holds what was delivered there.

        A job has those of its checkout. Where origin cannot be reached, a note says so
        and the command uses what is known locally.
        """
        from mlops.registry.tag_writes import sync

        require_repository(self.project.root)
        if self.settings.github.active:
            return
        try:
            sync(self.project.root, seconds=ORIGIN_SECONDS)
        except EnvironmentFailure:
            progress()("note: origin cannot be reached; this is what is known locally")


def current_context(fetch: bool = False) -> Context:
    """Return where a command runs; with `fetch`, after catching up with origin."""
    from mlops.config.project import Project

    now = settings.current()
    at = Context(Project.find(now.folder), now)
    if fetch:
        at.catch_up()
    return at


def git_user(root: Path, default: str) -> str:
    """Return git's user name, else `default`."""
    try:
        return git(root, "config", "user.name")
    except GitError:
        return default


def attests() -> bool:
    """Return whether GitHub signs what is released.

    It does in public repositories; in private ones on Enterprise Cloud alone. The
    variable ATTESTATIONS (on, off) overrides this.
    """
    now = settings.current()
    if now.attestations:
        return now.attestations == "on"
    return not is_private()


def is_private() -> bool:
    """Return whether the repository is private.

    The event tells, but that of a schedule: GitHub is asked then.
    """
    repository = event().get("repository")
    if repository is None and in_actions():
        return client.ask("look up the repository", lambda: client.repository().private)
    return bool((repository or {}).get("private"))


def require_pushed(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Return the warnings of the run log.

    Raises
    ------
    EnvironmentFailure
        In a job where the run log was not pushed: it would be lost with the job.
    """
    from mlops.runlog.journal import NOT_PUSHED

    if in_actions() and NOT_PUSHED in warnings:
        raise EnvironmentFailure(
            "the run log could not be pushed to origin",
            do="run this job again: nothing is done twice",
        )
    return warnings


def require_results(project: Project, models: list[str], file: str) -> None:
    """Demand that each of some models has a result here.

    Artifacts expire and can be deleted, and downloading by a pattern succeeds when
    nothing matches. A job that finds nothing to do would then be green.

    Parameters
    ----------
    models : list of str
        Those of the plan.
    file : str
        The file in a model's build folder, such as ``verdict.json``.

    Raises
    ------
    UsageError
        For what is not the name of a model.
    EnvironmentFailure
        With the models that have no such file.
    """
    missing = []
    for model in models:
        project.folder(model)
        if not (project.build(model) / file).is_file():
            missing.append(model)
    if missing:
        raise EnvironmentFailure(
            "results of this run are missing: its artifacts have expired or were "
            "deleted",
            file=f"build/{missing[0]}/{file}",
            found=f"nothing of {listed(missing)}",
            do="start all jobs of the run again, not only those that failed",
        )


def release_store(project: Project) -> ReleaseStore:
    """Return the store of releases: GitHub where origin is there, else a folder."""
    from mlops.storage.folder import FolderStore
    from mlops.storage.github_releases import GitHubStore

    name = client.current_repository(project.root)
    if name:
        return GitHubStore(client.repository(name=name))
    return FolderStore(project.store)


def predictions_store(project: Project) -> str:
    """Return what names the place of the prediction log; empty: the state folder."""
    return settings.current().predictions or project.spec.predictions.store


def cannot_log(project: Project) -> str:
    """Return why this job can keep no prediction log; empty where it can."""
    store = predictions_store(project)
    if store == ARTIFACTS and not project.spec.predictions.public and not is_private():
        return (
            "anybody can read the artifacts of a public repository; if these rows may "
            "be public, set predictions.public in project.yaml"
        )
    if not store and in_actions() and settings.current().state is None:
        return (
            "nothing names a place that outlives this job; set predictions.store in "
            "project.yaml, or the variable MLOPS_PREDICTIONS"
        )
    return ""


@contextmanager
def registry_of(
    source: str | None, model: str
) -> Iterator[tuple[Path, ReleaseStore, Path]]:
    """Yield where a registry's tags and releases are, and the folder to pull into.

    Parameters
    ----------
    source : str, optional
        Another repository: its folder, or ``OWNER/REPO`` or its address on GitHub.
    """
    from mlops.config.project import Project
    from mlops.registry.mirror import mirror
    from mlops.storage.folder import FolderStore
    from mlops.storage.github_releases import GitHubStore

    if source is None:
        at = current_context(fetch=True)
        yield at.project.root, at.store, at.project.root / "build" / "pulled"
        return
    if Path(source).is_dir():
        project = Project.find(Path(source))
        yield project.root, FolderStore(project.store), Path()
        return
    name = source.removeprefix(f"{client.server()}/").removesuffix(".git")
    if not client.NAME.fullmatch(name):
        raise UsageError(
            "not a repository",
            key="--from",
            found=source,
            allowed="an existing folder, OWNER/REPO on GitHub, or the address of that",
        )
    with client.logged_in():
        root = mirror(client.address(name), name, model)
        yield root, GitHubStore(client.repository(name=name)), Path()

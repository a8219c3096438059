"""The edge of the process: who runs this and where, the clock, the store, and what is printed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops import git
from mlops.errors import UsageError, WorldError
from mlops.files import read_json

if TYPE_CHECKING:
    from mlops.project import Project
    from mlops.registry.store import ReleaseStore

_SECONDS = 60  # for origin to answer; then what is known here has to do


def utc_now() -> datetime:
    """Return the present time, or that of SOURCE_DATE_EPOCH (for reproducible output)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """Where a command runs.

    Parameters
    ----------
    actor : str
        GitHub handle (`@name`) in a workflow, git's user elsewhere. A calendar is nobody's act,
        though GitHub names whoever wrote it: they may approve what it trains.
    decider : str
        Who decides: the actor, but of a run that is run again whoever started that.
    now : callable
        Returns the present time with zone.
    pull_request : int, optional
    run_url : str, optional
    """

    actor: str
    decider: str
    now: Callable[[], datetime] = utc_now
    pull_request: int | None = None
    run_url: str | None = None

    @classmethod
    def here(cls, root: Path) -> Context:
        """Read the environment that GitHub Actions sets, or git's configuration."""
        env = os.environ
        pull = re.fullmatch(r"refs/pull/(\d+)/\w+", env.get("GITHUB_REF", ""))
        parts = [env.get(f"GITHUB_{key}", "") for key in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
        actor = f"@{env['GITHUB_ACTOR']}" if env.get("GITHUB_ACTOR") else git_user(root)
        again = env.get("GITHUB_TRIGGERING_ACTOR")
        if env.get("GITHUB_EVENT_NAME") == "schedule":
            actor, again = "@github-actions[bot]", None
        return cls(
            actor=actor,
            decider=f"@{again}" if again else actor,
            pull_request=int(pull[1]) if pull else None,
            run_url=f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else None,
        )


def git_user(root: Path) -> str:
    """Return git's user name, or the system's."""
    try:
        return git.git(root, "config", "user.name")
    except git.GitError:
        return os.environ.get("USER") or os.environ.get("USERNAME") or "unknown"


def event() -> dict[str, Any]:
    """Return GitHub's event, nothing where no workflow runs this."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    found: Any = read_json(Path(path)) if path else {}
    if not isinstance(found, dict):
        raise WorldError("this is no event of GitHub", file=path or "", key="GITHUB_EVENT_PATH")
    return found


def kept(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Return the warnings of the journal; WorldError where what was written goes with this job."""
    from mlops.registry.journal import NOT_PUSHED

    if in_actions() and NOT_PUSHED in warnings:
        do = "run this job again: what is done is not done twice"
        raise WorldError("origin did not take the journal", do=do)
    return warnings


def in_actions() -> bool:
    """Return whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def catch_up(project: Project) -> None:
    """Fetch origin's tags: what was delivered there is in no branch. A job has its checkout's.

    Where origin cannot be reached, say so and go on with what is here.
    """
    from mlops.registry.objects import sync

    git.require_repository(project.root)
    try:
        if not in_actions():
            sync(project.root, seconds=_SECONDS)
    except WorldError:
        progress()("note: origin cannot be reached; this is what is known here")


def release_store(project: Project) -> ReleaseStore:
    """Return where releases lie: on GitHub in a job and where origin is there, else in a folder."""
    from mlops.github.client import here, repository

    if name := here(project.root):
        from mlops.github.store import GitHubStore

        return GitHubStore(repository(name=name))
    from mlops.registry.store import FolderStore

    return FolderStore(project.store)


def registry_of(source: str | None, model: str) -> tuple[Path, ReleaseStore, Path]:
    """Return where a registry's tags and releases are, and the folder for what is pulled from it.

    Parameters
    ----------
    source : str, optional
        Another repository: its folder, ``OWNER/REPO`` on GitHub, or the address of that.
    """
    from mlops.project import Project
    from mlops.registry.store import FolderStore

    if source is None:
        project = Project.find()
        catch_up(project)
        return project.root, release_store(project), project.root / "build" / "pulled"
    if Path(source).is_dir():
        project = Project.find(Path(source))
        return project.root, FolderStore(project.store), Path()

    from mlops.github.client import NAME, address, repository, server
    from mlops.github.store import GitHubStore
    from mlops.registry.mirror import mirror

    name = source.removeprefix(f"{server()}/").removesuffix(".git")
    if not NAME.fullmatch(name):
        allowed = "a folder that is there, OWNER/REPO on GitHub, or the address of that"
        raise UsageError("not a repository", key="--from", found=source, allowed=allowed)
    root = mirror(address(name), name, model)
    return root, GitHubStore(repository(name=name)), Path()


Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]


def progress(prefix: str = "") -> Callable[[str], None]:
    """Return a function that prints one line of progress to standard error.

    A line that ends in `…` says what is under way: the next one takes its place on a terminal.
    """

    def say(line: str) -> None:
        terminal, under_way = sys.stderr.isatty(), line.endswith("…")
        text = f"{prefix}{line:<30}" if terminal else f"{prefix}{line}"
        if terminal or not under_way:
            print(text, end="\r" if under_way else "\n", file=sys.stderr, flush=True)

    return say


def hint(text: str) -> None:
    """Say what comes next; a workflow knows it."""
    if not in_actions():
        progress()(f"Next: {text}")


def emit(value: Any, text: str, as_json: bool) -> None:
    """Print `value` as JSON, or `text`."""
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))
    elif text:
        print(text)


def outputs(**values: Any) -> None:
    """Hand values on to later steps and jobs of a workflow, where one runs this."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    _append("GITHUB_OUTPUT", "".join(f"{key}={text}\n" for key, text in texts.items()))


def summary(markdown: str) -> None:
    """Add to the page of a workflow's run, where one runs this."""
    _append("GITHUB_STEP_SUMMARY", f"{markdown[:200_000]}\n")


def as_markdown(head: str, *lines: str) -> str:
    """Return a heading and a list whose text does nothing but be seen."""
    from mlops.reporting.render import escape

    return "\n".join([f"**{escape(head)}**\n" if head else "", *(f"- {escape(x)}" for x in lines)])


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def leave(yes: bool) -> None:
    """End the command with 1 where the answer is no."""
    if not yes:
        raise typer.Exit(1)

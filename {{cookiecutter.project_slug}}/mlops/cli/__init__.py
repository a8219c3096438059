"""The command line: how it begins and ends, where it runs, and what it prints.

The verbs are in the modules beside; what they do is in the rooms, imported when a verb needs it.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from mlops import MlopsError, UsageError, WorldError, __version__
from mlops.files import GitError, cannot, git, read_json, require_repository
from mlops.github import client

if TYPE_CHECKING:
    from mlops.project import Project
    from mlops.registry.store import ReleaseStore

_SECONDS = 60  # for origin to answer; then what is known here has to do


class Verbs(TyperGroup):
    """Turns every failure into one message and the right exit code; never a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether errors are wanted as data too."""
        self.as_json = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except MlopsError as error:
            stop(error, self.as_json)
        except KeyboardInterrupt:
            print("\ninterrupted; nothing was left half written", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(3) from None
        except OSError as error:
            stop(cannot("use", Path(error.filename or "."), error), self.as_json)
        except Exception as error:
            if type(error).__module__.startswith("typer."):  # its own way to end a command
                raise
            stop(_unexpected(error), self.as_json)


def stop(error: MlopsError, as_json: bool) -> NoReturn:
    """Print an error and leave with its exit code."""
    document = {"error": [vars(p) for p in error.problems], "exit_code": error.exit_code}
    emit(document, "", as_json)
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    raise typer.Exit(error.exit_code) from None


def _unexpected(error: Exception) -> MlopsError:
    """Return the message for a defect of ours; the traceback goes to a file."""
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(
        "w", prefix="mlops-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return WorldError(
        f"this is a defect of mlops {__version__} ({type(error).__name__}: {error}); "
        f"please report it with {file.name}"
    )


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
The whole life of a model, from data to service and back.

Begin with `mlops run`. Each step says what comes next, each verb has `--help`.

Exit codes: 0 yes, 1 the answer is no, 2 wrong usage, 3 the world failed.
""",
)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Hold what belongs to no verb."""
    if show:
        print(f"mlops {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    # Imports make half a million objects that live to the end: looking them through again, as
    # the collector does at its own thresholds, is a tenth of the time of importing.
    gc.set_threshold(100_000, 20, 100)
    # OpenMP threads that spin while they wait slow everything down on busy machines.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    one_kernel()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="mlops")


def one_kernel() -> None:
    """Let OpenBLAS add in one order on every x86-64: by default the CPU decides, and so the bytes.

    Those of Haswell are on all that have AVX2; other machines are left as they are.
    """
    with suppress(OSError), Path("/proc/cpuinfo").open() as cpu:
        if platform.machine() == "x86_64" and " avx2 " in cpu.read(1 << 14):
            os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


# -- where a verb runs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Context:
    """Where a command runs, and who runs it.

    Parameters
    ----------
    project : Project
    """

    project: Project

    @property
    def actor(self) -> str:
        """GitHub handle (`@name`) in a workflow, git's user elsewhere.

        A calendar is nobody's act, though GitHub names whoever wrote it: they may approve what it
        trains.
        """
        if _by_calendar():
            return "@github-actions[bot]"
        name = os.environ.get("GITHUB_ACTOR")
        return f"@{name}" if name else git_user(self.project.root)

    @property
    def decider(self) -> str:
        """Who decides: the actor, but of a run that is run again whoever started that."""
        again = os.environ.get("GITHUB_TRIGGERING_ACTOR")
        return f"@{again}" if again and not _by_calendar() else self.actor

    @property
    def pull_request(self) -> int | None:
        """The number of the pull request that a workflow runs for."""
        found = re.fullmatch(r"refs/pull/(\d+)/\w+", os.environ.get("GITHUB_REF", ""))
        return int(found[1]) if found else None

    @property
    def run_url(self) -> str | None:
        """The page of a workflow's run."""
        parts = [os.environ.get(f"GITHUB_{key}") for key in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
        return "{}/{}/actions/runs/{}".format(*parts) if all(parts) else None

    @property
    def store(self) -> ReleaseStore:
        """Where releases lie."""
        return release_store(self.project)

    def now(self) -> datetime:
        """Return the present time, or that of SOURCE_DATE_EPOCH (for reproducible output)."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)

    def catch_up(self) -> None:
        """Fetch origin's tags: what was delivered there is in no branch. A job has its checkout's.

        Where origin cannot be reached, say so and go on with what is here.
        """
        from mlops.registry.objects import sync

        require_repository(self.project.root)
        try:
            if not in_actions():
                sync(self.project.root, seconds=_SECONDS)
        except WorldError:
            progress()("note: origin cannot be reached; this is what is known here")


def here(fetch: bool = False) -> Context:
    """Return where this is: in a project; with `fetch`, one that has caught up with its origin."""
    from mlops.project import Project

    at = Context(Project.find())
    if fetch:
        at.catch_up()
    return at


def _by_calendar() -> bool:
    return os.environ.get("GITHUB_EVENT_NAME") == "schedule"


def git_user(root: Path) -> str:
    """Return git's user name, or the system's."""
    try:
        return git(root, "config", "user.name")
    except GitError:
        return os.environ.get("USER") or os.environ.get("USERNAME") or "unknown"


def ago(text: str, now: datetime) -> datetime:
    """Return the moment that ``30d``, ``12h`` or ``2w`` before now is."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if not match:
        what, allowed = "not a stretch of time", "12h, 30d, 2w"
        raise UsageError(what, key="--since", found=text, allowed=allowed)
    unit = {"h": "hours", "d": "days", "w": "weeks"}[match[2]]
    return now - timedelta(**{unit: int(match[1])})


def event() -> dict[str, Any]:
    """Return GitHub's event, nothing where no workflow runs this."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    found: Any = read_json(Path(path)) if path else {}
    if not isinstance(found, dict):
        raise WorldError("this is no event of GitHub", file=path or "", key="GITHUB_EVENT_PATH")
    return found


def attests() -> bool:
    """Return whether GitHub signs what is released; the variable ATTESTATIONS (on, off) knows best.

    It does in public repositories; in private ones on Enterprise Cloud alone, on no server of
    one's own (whose API is below /api/v3).
    """
    private = event().get("repository", {}).get("private", False)
    server = os.environ.get("GITHUB_API_URL", "").endswith("/api/v3")
    said = os.environ.get("ATTESTATIONS")
    return said == "on" or (said != "off" and not private and not server)


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


def release_store(project: Project) -> ReleaseStore:
    """Return where releases lie: on GitHub in a job and where origin is there, else in a folder."""
    from mlops.github.client import GitHubStore
    from mlops.registry.store import FolderStore

    name = client.here(project.root)
    return GitHubStore(client.repository(name=name)) if name else FolderStore(project.store)


def registry_of(source: str | None, model: str) -> tuple[Path, ReleaseStore, Path]:
    """Return where a registry's tags and releases are, and the folder for what is pulled from it.

    Parameters
    ----------
    source : str, optional
        Another repository: its folder, ``OWNER/REPO`` on GitHub, or the address of that.
    """
    from mlops.github.client import GitHubStore
    from mlops.project import Project
    from mlops.registry.store import FolderStore, mirror

    if source is None:
        at = here(fetch=True)
        return at.project.root, at.store, at.project.root / "build" / "pulled"
    if Path(source).is_dir():
        project = Project.find(Path(source))
        return project.root, FolderStore(project.store), Path()
    name = source.removeprefix(f"{client.server()}/").removesuffix(".git")
    if not client.NAME.fullmatch(name):
        allowed = "a folder that is there, OWNER/REPO on GitHub, or the address of that"
        raise UsageError("not a repository", key="--from", found=source, allowed=allowed)
    root = mirror(client.address(name), name, model)
    return root, GitHubStore(client.repository(name=name)), Path()


# -- what it prints --------------------------------------------------------------------------------


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


def emit(value: Any, text: str, as_json: bool, *, page: str = "", yes: bool = True) -> None:
    """Give the answer of a verb.

    Parameters
    ----------
    value : object
        Printed as JSON where programs asked, else `text` is.
    page : str
        Markdown for the page of a workflow's run.
    yes : bool
        Else the answer is no, and the command ends with 1.
    """
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))
    elif text:
        print(text)
    if page:
        summary(page)
    if not yes:
        raise typer.Exit(1)


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


for _part in ("pipeline", "releases", "registry", "look", "ci", "github"):  # as --help has them
    import_module(f"mlops.cli.{_part}")

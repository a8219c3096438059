"""The command `mlops rehearse`: this repository's workflows, run on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from typer import Argument, Exit, Option

from mlops import settings
from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.digests import sha256
from mlops.io.files import read_json
from mlops.io.git import git

PLAY = Path("rehearsal", "play.py")
# Where it was when the engine was not yet a package of its own: it cannot run this one.
OLD_PLAY = Path("tests", "rehearsal", "play.py")

# `message` is what a repository_dispatch was called before.
Event = Literal[
    "pull-request", "push", "schedule", "dispatch", "repository-dispatch", "message"
]


@app.command(rich_help_panel="Workflows")
def rehearse(
    event: Annotated[
        Event,
        Argument(
            metavar="EVENT",
            help="pull-request, push, schedule, dispatch or repository-dispatch.",
        ),
    ],
    what: Annotated[
        str,
        Argument(
            metavar="WHAT",
            help="The workflow to start, or the type of a repository-dispatch.",
        ),
    ] = "",
    field: Annotated[
        list[str] | None, Option("-f", "--field", help="Input or payload: key=value.")
    ] = None,
    model: Annotated[
        list[str] | None, Option(help="Make the change touch this model too.")
    ] = None,
    touch: Annotated[
        list[str] | None, Option(help="Make the change touch this file too.")
    ] = None,
    released: Annotated[
        bool, Option("--released", help="First release every model with release.yml.")
    ] = False,
    out: Annotated[Path | None, Option(help="Folder for logs and artifacts.")] = None,
    template: Annotated[
        str | None,
        Option(
            help="Folder or git URL of the template; default: as recorded by cruft."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the workflows of an event on this machine, offline.

    They run as they are in this folder, committed or not. A pull request or push
    contains what differs from main. Exit code 1: a job failed, and its log is shown.

    Example: `mlops rehearse pull-request --model employment`
    """
    if sys.platform != "linux":
        # The stand-in for GitHub reads /proc to know which job calls.
        raise EnvironmentFailure(
            "a rehearsal needs Linux", found=sys.platform, do="use the dev container"
        )
    root = Path(git(current_context().project.root, "rev-parse", "--show-toplevel"))
    folder = fetched(root, template)
    set_up(folder)
    command = [str(folder / ".venv" / "bin" / "python"), "-m", "rehearsal.play"]
    command += ["--python", sys.executable]
    if released:
        command.append("--released")
    if as_json:
        command.append("--json")
    if out:
        command += ["--out", str(out.resolve())]
    repeatable = {"--field": field, "--model": model, "--touch": touch}
    for option, values in repeatable.items():
        for value in values or ():
            command += [option, value]
    command += ["--", str(root), event, what]
    environment = settings.current().child_environment()
    raise Exit(subprocess.run(command, cwd=folder, env=environment).returncode)


def fetched(root: Path, named: str | None) -> Path:
    """Return a checkout of the template: a named folder, or a clone in the cache.

    Parameters
    ----------
    root : Path
        Of the repository.
    named : str or None
        A folder or git address; None for the address and commit that cruft recorded.

    Raises
    ------
    UsageError
        When the address is not known, or the template has no rehearsal for this engine.
    """
    if named and (Path(named) / PLAY).is_file():
        return Path(named).resolve()
    if named and (Path(named) / OLD_PLAY).is_file():
        refuse_without_rehearsal(Path(named), named)
    from mlops.storage.cache import cache_root

    address, commit = recorded(root, named)
    key = sha256(f"{address} {commit}".encode())[:16]
    folder = cache_root() / f"template-{key}"
    if not folder.is_dir():
        print(f"fetching {address} into {folder}, once ...", file=sys.stderr)
        fetch(root, address, commit, folder)
    return folder


def recorded(root: Path, named: str | None) -> tuple[str, str]:
    """Return address and commit of the template.

    Raises
    ------
    UsageError
        When neither the command line nor `.cruft.json` names it.
    """
    commit = "HEAD"
    address = named
    record = root / ".cruft.json"
    if not address and record.is_file():
        known = read_json(record)
        address = known.get("template")
        commit = known.get("commit") or commit
    if not address:
        raise UsageError(
            "it is not known which template this repository was made from",
            file=".cruft.json",
            do="`mlops rehearse ... --template FOLDER` or its git address",
        )
    if address.startswith("gh:"):
        # As cookiecutter reads it.
        address = address.replace("gh:", "https://github.com/", 1)
    return address, commit


def fetch(root: Path, address: str, commit: str, folder: Path) -> None:
    """Clone the template at a commit; nothing is left when that fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
        clone = Path(scratch, "clone")
        git(root, "clone", "--quiet", "--", address, str(clone))
        git(clone, "checkout", "--quiet", commit)
        refuse_without_rehearsal(clone, f"{address} at {commit}")
        if not folder.is_dir():  # else somebody was faster
            clone.rename(folder)


def refuse_without_rehearsal(folder: Path, source: str) -> None:
    """Refuse a template whose rehearsal is missing, or older than this engine.

    Raises
    ------
    UsageError
        With what to do.
    """
    if (folder / PLAY).is_file():
        return
    message = "this template has no rehearsal"
    if (folder / OLD_PLAY).is_file():
        message = "the template is older than the engine of this repository"
    raise UsageError(message, found=source, do="`cruft update`, or another --template")


def set_up(folder: Path) -> None:
    """Install the template's own environment; where it is there, that needs no network.

    Raises
    ------
    EnvironmentFailure
        When the set-up fails.
    """
    own = settings.current().child_environment(VIRTUAL_ENV=None, MAKEFLAGS=None)
    command = ["make", "--silent", "setup", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=folder, env=own, stdout=sys.stderr)
    if done.returncode:
        raise EnvironmentFailure(
            "the template could not be set up", file=str(folder), do="see above"
        )

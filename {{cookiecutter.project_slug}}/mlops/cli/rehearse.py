"""`mlops rehearse`: an event of GitHub, played on this machine by the template's rehearsal."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import app
from mlops.cli.context import Json
from mlops.errors import UsageError, WorldError

PLAY = Path("tests", "rehearsal", "play.py")


class Event(StrEnum):
    """What may happen on GitHub."""

    PULL_REQUEST = "pull-request"
    PUSH = "push"
    SCHEDULE = "schedule"
    DISPATCH = "dispatch"
    MESSAGE = "message"


@app.command(rich_help_panel="Workflows")
def rehearse(
    event: Annotated[Event, typer.Argument(metavar="EVENT", help="What happens on GitHub.")],
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="The workflow of a schedule or dispatch, the type of a message."
        ),
    ] = "",
    field: Annotated[
        list[str] | None, typer.Option("-f", "--field", help="Input or payload: key=value.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Let the change touch this model too.")
    ] = None,
    touch: Annotated[
        list[str] | None, typer.Option(help="Let the change touch this file too.")
    ] = None,
    released: Annotated[
        bool, typer.Option("--released", help="First release every model, by release.yml.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for logs and artifacts.")] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Folder or git address of the template; default: as cruft recorded it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play an event through the workflows, here; nothing is sent.

    They run as the files lie here, committed or not. A pull request or push is what differs from
    main. 1: a job failed, and its log is shown.

    Example: `mlops rehearse pull-request --model employment`
    """
    from mlops import git
    from mlops.project import Project

    if sys.platform != "linux":  # the stand-in for GitHub reads /proc to know which job calls
        raise WorldError("a rehearsal needs Linux", found=sys.platform, do="use the dev container")
    root = Path(git.git(Project.find().root, "rev-parse", "--show-toplevel"))
    folder = fetched(root, template)
    set_up(folder)
    options = ["--released"] * released + ["--json"] * as_json
    options += ["--out", str(out.resolve())] if out else []
    for name, values in {"--field": field, "--model": model, "--touch": touch}.items():
        options += [part for value in values or () for part in (name, value)]
    python = folder / ".venv" / "bin" / "python"
    command = [str(python), "-m", "rehearsal.play", "--python", sys.executable, *options]
    done = subprocess.run(
        [*command, "--", str(root), event.value, what], cwd=folder / PLAY.parents[1]
    )
    raise typer.Exit(done.returncode)


def fetched(root: Path, named: str | None) -> Path:
    """Return a checkout of the template: the folder that is named, or a clone in the user's cache.

    The clone is of the commit that cruft recorded, and made once.
    """
    from tempfile import TemporaryDirectory

    from mlops import git
    from mlops.files import read_json, sha256

    if named and (Path(named) / PLAY).is_file():
        return Path(named).resolve()
    cruft = root / ".cruft.json"
    known = read_json(cruft) if cruft.is_file() and not named else {}
    address, commit = named or known.get("template"), known.get("commit") or "HEAD"
    if not address:
        what = "nobody knows which template this repository is from"
        do = "`mlops rehearse ... --template FOLDER` or its git address"
        raise UsageError(what, file=".cruft.json", do=do)
    if address.startswith("gh:"):
        address = "https://github.com/" + address.removeprefix("gh:")  # as cookiecutter reads it
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "mlops", f"template-{sha256(f'{address} {commit}'.encode())[:16]}")
    if not folder.is_dir():
        print(f"fetching {address} into {folder}, once ...", file=sys.stderr)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
            clone = Path(scratch, "clone")
            git.git(root, "clone", "--quiet", "--", address, str(clone))
            git.git(clone, "checkout", "--quiet", commit)
            if not (clone / PLAY).is_file():
                what, do = "this template has no rehearsal", "`cruft update`, or another --template"
                raise UsageError(what, found=f"{address} at {commit}", do=do)
            if not folder.is_dir():  # else somebody was faster
                clone.rename(folder)
    return folder


def set_up(folder: Path) -> None:
    """Install the template's own environment; where it is there, that needs no network."""
    own = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "MAKEFLAGS")}
    command = ["make", "--silent", "setup", f"PYTHON={sys.executable}"]
    if subprocess.run(command, cwd=folder, env=own, stdout=sys.stderr).returncode:
        raise WorldError("the template could not be set up", file=str(folder), do="see above")

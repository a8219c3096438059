"""The command `mlops rehearse`: the workflows of this repository, run on this machine."""

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

Event = Literal["pull-request", "push", "schedule", "dispatch", "message"]


@app.command(rich_help_panel="Workflows")
def rehearse(
    event: Annotated[Event, Argument(metavar="EVENT", help="What happens on GitHub.")],
    what: Annotated[
        str,
        Argument(
            metavar="WHAT",
            help="The workflow of a schedule or dispatch, the type of a message.",
        ),
    ] = "",
    field: Annotated[
        list[str] | None, Option("-f", "--field", help="Input or payload: key=value.")
    ] = None,
    model: Annotated[
        list[str] | None, Option(help="Let the change touch this model too.")
    ] = None,
    touch: Annotated[
        list[str] | None, Option(help="Let the change touch this file too.")
    ] = None,
    released: Annotated[
        bool, Option("--released", help="First release every model, by release.yml.")
    ] = False,
    out: Annotated[Path | None, Option(help="Folder for logs and artifacts.")] = None,
    template: Annotated[
        str | None,
        Option(
            help="Folder or git address of the template; default: as cruft recorded it."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play an event through the workflows, here; nothing is sent.

    They run as the files lie here, committed or not. A pull request or push is what differs from
    main. 1: a job failed, and its log is shown.

    Example: `mlops rehearse pull-request --model employment`
    """
    if (
        sys.platform != "linux"
    ):  # the stand-in for GitHub reads /proc to know which job calls
        raise EnvironmentFailure(
            "a rehearsal needs Linux", found=sys.platform, do="use the dev container"
        )
    root = Path(git(current_context().project.root, "rev-parse", "--show-toplevel"))
    folder = fetched(root, template)
    set_up(folder)
    options = ["--released"] * released + ["--json"] * as_json
    options += ["--out", str(out.resolve())] if out else []
    for name, values in {"--field": field, "--model": model, "--touch": touch}.items():
        options += [part for value in values or () for part in (name, value)]
    python = folder / ".venv" / "bin" / "python"
    command = [
        str(python),
        "-m",
        "rehearsal.play",
        "--python",
        sys.executable,
        *options,
    ]
    done = subprocess.run(
        [*command, "--", str(root), event, what],
        cwd=folder,
        env=settings.current().child_environment(),
    )
    raise Exit(done.returncode)


def fetched(root: Path, named: str | None) -> Path:
    """Return a checkout of the template: the folder that is named, or a clone in the user's cache.

    The clone is of the commit that cruft recorded, and made once.
    """
    from mlops.storage.cache import cache_root

    if named and (Path(named) / PLAY).is_file():
        return Path(named).resolve()
    if named and (Path(named) / OLD_PLAY).is_file():
        refuse_without_rehearsal(Path(named), named)
    cruft = root / ".cruft.json"
    known = read_json(cruft) if cruft.is_file() and not named else {}
    address, commit = named or known.get("template"), known.get("commit") or "HEAD"
    if not address:
        what = "nobody knows which template this repository is from"
        do = "`mlops rehearse ... --template FOLDER` or its git address"
        raise UsageError(what, file=".cruft.json", do=do)
    if address.startswith("gh:"):
        # As cookiecutter reads it.
        address = address.replace("gh:", "https://github.com/", 1)
    folder = cache_root() / f"template-{sha256(f'{address} {commit}'.encode())[:16]}"
    if not folder.is_dir():
        print(f"fetching {address} into {folder}, once ...", file=sys.stderr)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
            clone = Path(scratch, "clone")
            git(root, "clone", "--quiet", "--", address, str(clone))
            git(clone, "checkout", "--quiet", commit)
            refuse_without_rehearsal(clone, f"{address} at {commit}")
            if not folder.is_dir():  # else somebody was faster
                clone.rename(folder)
    return folder


def refuse_without_rehearsal(folder: Path, source: str) -> None:
    """Raise UsageError for a template whose rehearsal is missing, or older than this engine."""
    if (folder / PLAY).is_file():
        return
    message = "this template has no rehearsal"
    if (folder / OLD_PLAY).is_file():
        message = "the template is older than the engine of this repository"
    raise UsageError(message, found=source, do="`cruft update`, or another --template")


def set_up(folder: Path) -> None:
    """Install the template's own environment; where it is there, that needs no network."""
    own = settings.current().child_environment(VIRTUAL_ENV=None, MAKEFLAGS=None)
    command = ["make", "--silent", "setup", f"PYTHON={sys.executable}"]
    if subprocess.run(command, cwd=folder, env=own, stdout=sys.stderr).returncode:
        raise EnvironmentFailure(
            "the template could not be set up", file=str(folder), do="see above"
        )

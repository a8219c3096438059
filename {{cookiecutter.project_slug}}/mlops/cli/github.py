"""The verbs that keep a repository up: its settings, what its template has new, a rehearsal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Exit, Option, Typer

from mlops import UsageError, WorldError
from mlops.cli import Json, app, as_markdown, emit, here, in_actions
from mlops.files import git, read_json, sha256, write_bytes
from mlops.github.client import repository, server
from mlops.reporting.words import table

if TYPE_CHECKING:
    from github.Repository import Repository

    from mlops.github.settings import Difference, Outcome
    from mlops.github.update import Update

github = Typer(no_args_is_help=True, help="Settings and updates: plan, apply, update, propose.")
app.add_typer(github, name="github", rich_help_panel="Workflows")

PLAY = Path("tests", "rehearsal", "play.py")
DRIFT, NEW = "settings-drift", "template-update"  # labels
# What is ours is written as markdown, which terminals show well enough.
_HOW = f"""By hand{{}}
For the workflow: [a fine-grained token]({server()}/settings/personal-access-tokens/new)
for this repository alone, with write for {{}}, as the secret `{{}}` of the environment `upkeep`."""
HOW_TO_SET = _HOW.format(
    ", as administrator: `gh auth login`, then `mlops github apply`.",
    "Administration, Issues, Pages and Variables, and read for Actions",
    "SETTINGS_TOKEN",
)
HOW_TO_UPDATE = _HOW.format(
    ", in a clean clone: `mlops github update`, and commit it on a branch.",
    "Contents, Pull requests and Workflows",
    "UPDATE_TOKEN",
)
_CONFLICTS = """What stands here has stayed; a file of the same name with `.rej` holds both sides.
Take from it what is good and delete it: while one is left, `make check` fails."""


def _look() -> tuple[Repository, list[Difference], list[Outcome]]:
    """Return the repository, what differs from the file, and what there is to say of it."""
    from mlops.github.settings import Outcome, differences, load, read

    project = here().project
    settings, hub = load(project), repository("SETTINGS_TOKEN")
    found, unseen = read(hub, settings, project)
    differing, said = differences(settings, found), []
    for one in differing:
        if one.lacking:
            said.append(Outcome(one.what, "not in this plan", one.instead))
        elif one.found is None:
            said.append(Outcome(one.what, "differs", "is not there"))
        else:
            there, wanted = (json.dumps(value)[:100] for value in (one.found, one.wanted))
            said.append(Outcome(one.what, "differs", f"{there}, wanted {wanted}"))
    return hub, differing, [*said, *unseen]


def _say(said: list[Outcome], more: str, as_json: bool) -> str:
    """Print what was found or done, and return it as markdown."""
    rows = [one._asdict() for one in said]
    none = "The settings are those of the file."
    text = table(rows, ("what", "result", "said")) if rows else none
    lines = [f"{one.what}: {one.result}. {one.said}" for one in said]
    markdown = "\n\n".join([as_markdown("Settings", *(lines or [text])), more])
    emit(rows, f"{text}\n\n{more}".rstrip(), as_json, page=markdown)
    return markdown


@github.command("plan")
def plan_settings(
    issue: Annotated[
        bool, Option("--issue", help="Keep one issue about it, and leave with 0.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare .github/settings.yaml with GitHub; 1 where they differ.

    3 where it cannot be seen.

    Example: `mlops github plan`
    """
    _, _, said = _look()
    results = {one.result for one in said}
    text = _say(said, HOW_TO_SET if results & {"differs", "not seen"} else "", as_json)
    if not issue:
        raise Exit(1 if "differs" in results else 3 if "not seen" in results else 0)
    from mlops.github.events import close, keep, opened

    hub = repository()  # by the job's own token: what a bot has written is ours
    if "differs" in results:
        keep(hub, DRIFT, "The settings on GitHub are not those of .github/settings.yaml", text)
    elif (there := opened(hub, DRIFT)) and not (
        "not seen" in results and os.environ.get("SETTINGS_TOKEN")
    ):
        close(hub, there, "It is over.", f"<!-- mlops: over {DRIFT} -->")


@github.command("apply")
def apply_settings(as_json: Json = False) -> None:
    """Change what differs, as far as plan and token allow.

    3 where a right is lacking.

    Example: `mlops github apply`
    """
    from mlops.github.settings import apply

    hub, differing, said = _look()
    if in_actions() and not os.environ.get("SETTINGS_TOKEN"):
        _say(said, f"Nothing was changed.\n{HOW_TO_SET}", as_json)
        return
    said = [*apply(hub, differing), *(one for one in said if one.result == "not seen")]
    lacking = any(one.result in ("refused", "not seen") for one in said)
    _say(said, HOW_TO_SET if lacking else "", as_json)
    raise Exit(3 if lacking else 0)


@github.command()
def update(
    out: Annotated[Path | None, Option(help="File for the change, as a patch.")] = None,
    as_json: Json = False,
) -> None:
    """Bring the template's changes here, staged, by cruft.

    Where both changed, ours stays.

    Example: `mlops github update`
    """
    from mlops.github.update import merge

    patch, said = merge(here().project.root)
    if out:
        write_bytes(out, patch)
    emit({"changed": bool(patch), "said": said}, said, as_json, page=as_markdown("", said))


@github.command()
def propose(
    patch: Annotated[
        Path, Argument(metavar="PATCH", help="What `mlops github update --out` wrote.")
    ],
    as_json: Json = False,
) -> None:
    """Make the template's changes one pull request.

    Where UPDATE_TOKEN is not set, one issue.

    Example: `mlops github propose build/template.patch`
    """
    from mlops.github.events import close, keep, opened
    from mlops.github.update import apply
    from mlops.github.update import propose as do

    at = here()
    content, job, token = patch.read_bytes(), repository(), os.environ.get("UPDATE_TOKEN")
    said = "the template has nothing new"
    there = opened(job, NEW)
    if content:
        change = apply(at.project.root, content)
        text = _described(change)
        if token:
            said = do(at.project.root, repository("UPDATE_TOKEN"), token, change, text, at.now())
        else:
            issue, _ = keep(job, NEW, change.title, f"{text}\n\n{HOW_TO_UPDATE}")
            said = f"{issue.html_url} says what to do"
    if there and (token or not content):
        close(job, there, as_markdown("", said), f"<!-- mlops: over {NEW} -->")
    emit({"said": said}, said, as_json, page=as_markdown("", said))


def _described(change: Update) -> str:
    """Return an update in markdown; its names come from the template, so they are escaped."""
    conflicts = [name.removesuffix(".rej") for name in change.files if name.endswith(".rej")]
    more = [f"and {len(change.files) - 50} more"] if len(change.files) > 50 else []
    parts = [as_markdown("Changed here as well", *conflicts), _CONFLICTS] if conflicts else []
    files = as_markdown(f"What {change.template} has new", *change.files[:50], *more)
    return "\n\n".join([change.marker, *parts, files])


Event = Literal["pull-request", "push", "schedule", "dispatch", "message"]


@app.command(rich_help_panel="Workflows")
def rehearse(
    event: Annotated[Event, Argument(metavar="EVENT", help="What happens on GitHub.")],
    what: Annotated[
        str,
        Argument(
            metavar="WHAT", help="The workflow of a schedule or dispatch, the type of a message."
        ),
    ] = "",
    field: Annotated[
        list[str] | None, Option("-f", "--field", help="Input or payload: key=value.")
    ] = None,
    model: Annotated[list[str] | None, Option(help="Let the change touch this model too.")] = None,
    touch: Annotated[list[str] | None, Option(help="Let the change touch this file too.")] = None,
    released: Annotated[
        bool, Option("--released", help="First release every model, by release.yml.")
    ] = False,
    out: Annotated[Path | None, Option(help="Folder for logs and artifacts.")] = None,
    template: Annotated[
        str | None,
        Option(help="Folder or git address of the template; default: as cruft recorded it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play an event through the workflows, here; nothing is sent.

    They run as the files lie here, committed or not. A pull request or push is what differs from
    main. 1: a job failed, and its log is shown.

    Example: `mlops rehearse pull-request --model employment`
    """
    if sys.platform != "linux":  # the stand-in for GitHub reads /proc to know which job calls
        raise WorldError("a rehearsal needs Linux", found=sys.platform, do="use the dev container")
    root = Path(git(here().project.root, "rev-parse", "--show-toplevel"))
    folder = fetched(root, template)
    set_up(folder)
    options = ["--released"] * released + ["--json"] * as_json
    options += ["--out", str(out.resolve())] if out else []
    for name, values in {"--field": field, "--model": model, "--touch": touch}.items():
        options += [part for value in values or () for part in (name, value)]
    python = folder / ".venv" / "bin" / "python"
    command = [str(python), "-m", "rehearsal.play", "--python", sys.executable, *options]
    done = subprocess.run([*command, "--", str(root), event, what], cwd=folder / PLAY.parents[1])
    raise Exit(done.returncode)


def fetched(root: Path, named: str | None) -> Path:
    """Return a checkout of the template: the folder that is named, or a clone in the user's cache.

    The clone is of the commit that cruft recorded, and made once.
    """
    from mlops.registry.store import cache_root

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
    folder = cache_root() / f"template-{sha256(f'{address} {commit}'.encode())[:16]}"
    if not folder.is_dir():
        print(f"fetching {address} into {folder}, once ...", file=sys.stderr)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
            clone = Path(scratch, "clone")
            git(root, "clone", "--quiet", "--", address, str(clone))
            git(clone, "checkout", "--quiet", commit)
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

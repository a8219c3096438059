"""Commands that keep a repository up to date: its settings and the template."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, Typer

from mlops.cli.actions_env import as_markdown, in_actions
from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit
from mlops.github.client import repository, server
from mlops.io.files import write_bytes
from mlops.reporting.terminal import table

if TYPE_CHECKING:
    from github.Repository import Repository

    from mlops.github.repo_settings import Difference
    from mlops.github.repo_settings_api import Outcome
    from mlops.github.update import Update


github = Typer(
    no_args_is_help=True, help="Settings and updates: plan, apply, update, propose."
)

app.add_typer(github, name="github", rich_help_panel="Workflows")

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
    from mlops.github.repo_settings import differences, load
    from mlops.github.repo_settings_api import Outcome, read

    project = current_context().project
    settings, hub = load(project), repository("SETTINGS_TOKEN")
    found, unseen = read(hub, settings, project)
    differing, said = differences(settings, found), []
    for one in differing:
        if one.lacking:
            said.append(Outcome(one.what, "not in this plan", one.instead))
        elif one.found is None:
            said.append(Outcome(one.what, "differs", "is not there"))
        else:
            there, wanted = (
                json.dumps(value)[:100] for value in (one.found, one.wanted)
            )
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
    from mlops.github.issues import close, keep, opened

    hub = repository()  # by the job's own token: what a bot has written is ours
    if "differs" in results:
        keep(
            hub,
            DRIFT,
            "The settings on GitHub are not those of .github/settings.yaml",
            text,
        )
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
    from mlops.github.repo_settings_api import apply

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

    patch, said = merge(current_context().project.root)
    if out:
        write_bytes(out, patch)
    emit(
        {"changed": bool(patch), "said": said},
        said,
        as_json,
        page=as_markdown("", said),
    )


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
    from mlops.github.issues import close, keep, opened
    from mlops.github.update import apply
    from mlops.github.update import propose as do

    at = current_context()
    content, job, token = (
        patch.read_bytes(),
        repository(),
        os.environ.get("UPDATE_TOKEN"),
    )
    said = "the template has nothing new"
    there = opened(job, NEW)
    if content:
        change = apply(at.project.root, content)
        text = _described(change)
        if token:
            said = do(
                at.project.root,
                repository("UPDATE_TOKEN"),
                token,
                change,
                text,
                at.now(),
            )
        else:
            issue, _ = keep(job, NEW, change.title, f"{text}\n\n{HOW_TO_UPDATE}")
            said = f"{issue.html_url} says what to do"
    if there and (token or not content):
        close(job, there, as_markdown("", said), f"<!-- mlops: over {NEW} -->")
    emit({"said": said}, said, as_json, page=as_markdown("", said))


def _described(change: Update) -> str:
    """Return an update in markdown; its names come from the template, so they are escaped."""
    conflicts = [
        name.removesuffix(".rej") for name in change.files if name.endswith(".rej")
    ]
    more = [f"and {len(change.files) - 50} more"] if len(change.files) > 50 else []
    parts = (
        [as_markdown("Changed here as well", *conflicts), _CONFLICTS]
        if conflicts
        else []
    )
    files = as_markdown(f"What {change.template} has new", *change.files[:50], *more)
    return "\n\n".join([change.marker, *parts, files])

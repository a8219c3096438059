"""Commands that keep a repository up to date: its settings and the template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, Typer

from mlops import settings
from mlops.cli.actions_env import as_markdown, in_actions
from mlops.cli.app import app
from mlops.cli.arguments import model_names
from mlops.cli.context import Context, current_context, require_results
from mlops.cli.output import Json, emit
from mlops.cli.switches import in_order, to_switch_on
from mlops.errors import EnvironmentFailure, UsageError, listed
from mlops.github.client import repository, require_present_name, server
from mlops.io.files import read_json, write_bytes
from mlops.reporting.terminal import table

if TYPE_CHECKING:
    from github.Repository import Repository

    from mlops.github.lock import LockUpdate
    from mlops.github.repo_settings import Difference
    from mlops.github.repo_settings_api import SettingOutcome
    from mlops.github.update import Update


github = Typer(
    no_args_is_help=True, help="Settings and updates: plan, apply, update, propose."
)

app.add_typer(github, name="github", rich_help_panel="Workflows")

# Labels of issues and pull requests.
DRIFT = "settings-drift"
NEW = "template-update"
LOCK = "lock-update"

_MOST_FILES = 50  # of an update, named


def _how(by_hand: str, rights: str, secret: str) -> str:
    """Return two ways to do something, in markdown that can be read on a terminal."""
    tokens = f"{server()}/settings/personal-access-tokens/new"
    return (
        f"By hand{by_hand}\n"
        f"For the workflow: [a fine-grained token]({tokens})\n"
        f"for this repository alone, with write for {rights}, "
        f"as the secret `{secret}` of the environment `upkeep`."
    )


def how_to_set() -> str:
    """Return what to do where a token may not read or change the settings."""
    return _how(
        ", as administrator: `gh auth login`, then `mlops github apply`.",
        "Administration, Issues, Pages and Variables, and read for Actions and "
        "Contents",
        "SETTINGS_TOKEN",
    )


def how_to_update() -> str:
    """Return what to do where there is no token to open the pull request with."""
    return _how(
        ", in a clean clone: `mlops github update`, and commit it on a branch.",
        "Contents, Pull requests and Workflows",
        "UPDATE_TOKEN",
    )


def how_to_lock() -> str:
    """Return what to do where there is no token to propose newer locks with."""
    return _how(
        ", in a clean clone: `make lock UPGRADE=1`, and commit it on a branch.",
        "Contents and Pull requests",
        "UPDATE_TOKEN",
    )


def how_to_retrain(model: str) -> str:
    """Return what to do where there is no token to propose a retraining with."""
    from mlops.github.retraining import FILE

    file = f"models/{model}/{FILE}"
    return _how(
        f", on a branch: write the date into `{file}`, and open a pull request.",
        "Contents and Pull requests",
        "UPDATE_TOKEN",
    )


_BY_HAND = "Still to be switched on, in this order"

_CONFLICTS = """\
The files here were not changed. For each one, a file with `.rej` after its name holds
both sides. Take from it what is good and delete it: while one is left, `make check`
fails."""


def _look() -> tuple[Repository, list[Difference], list[SettingOutcome]]:
    """Return the repository, what differs from the file, and how to report it."""
    from mlops.github.repo_settings import differences, load_settings
    from mlops.github.repo_settings_api import read_settings

    project = current_context().project
    wanted = load_settings(project)
    hub = repository("SETTINGS_TOKEN")
    values, unseen = read_settings(hub, wanted, project)
    differing = differences(wanted, values)
    outcomes = [_outcome(difference) for difference in differing]
    return hub, differing, [*outcomes, *unseen]


def _outcome(difference: Difference) -> SettingOutcome:
    """Return how one difference is reported."""
    from mlops.github.repo_settings_api import SettingOutcome

    if difference.lacking:
        return SettingOutcome(
            difference.setting, "not in this plan", difference.instead
        )
    if difference.current is None:
        return SettingOutcome(difference.setting, "differs", "missing")
    value = json.dumps(difference.current)[:100]
    wanted = json.dumps(difference.wanted)[:100]
    return SettingOutcome(difference.setting, "differs", f"{value}, wanted {wanted}")


def _switches(hub: Repository) -> list[str]:
    """Return what is still to be switched on, in order, a numbered line for each.

    A line says what this token may not see of it.
    """
    at = current_context()
    found, unseen = to_switch_on(at.project, hub, at.now())
    # That the settings differ is said thing by thing.
    lines = in_order([one for one in found if one.name != "settings"])
    if unseen:
        lines.append(f"Not seen: {listed(unseen)}.")
    return lines


def _report(
    outcomes: list[SettingOutcome],
    advice: str,
    as_json: bool,
    switches: Sequence[str] = (),
) -> str:
    """Print what was found or done, and return it as markdown.

    Parameters
    ----------
    switches : sequence of str
        What no command changes, a line each.
    """
    rows = [outcome._asdict() for outcome in outcomes]
    # Scripts read these names.
    facts = [
        {"what": o.setting, "result": o.result, "said": o.message} for o in outcomes
    ]
    if rows:
        text = table(rows, ("setting", "result", "message"))
        lines = [f"{o.setting}: {o.result}. {o.message}" for o in outcomes]
    else:
        text = "The settings match the file."
        lines = [text]
    parts = [as_markdown("Settings", *lines), advice]
    texts = [text, advice]
    if switches:
        parts.append(as_markdown(_BY_HAND, *switches))
        texts.append("\n".join([_BY_HAND, *switches]))
    markdown = "\n\n".join(part for part in parts if part)
    shown = "\n\n".join(one for one in texts if one)
    emit(facts, shown, as_json, page=markdown)
    return markdown


@github.command("plan")
def plan_settings(
    issue: Annotated[
        bool,
        Option("--issue", help="Open or edit one issue about it, and exit with 0."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare .github/settings.yaml with the settings on GitHub.

    Exit code 1: they differ. Exit code 3: the settings cannot be read.

    Example: `mlops github plan`
    """
    hub, _, outcomes = _look()
    results = {outcome.result for outcome in outcomes}
    differs = "differs" in results
    unread = "not seen" in results
    # A push runs `apply` before: it has the list already.
    after_apply = issue and not settings.current().github.scheduled
    switches = [] if after_apply else _switches(hub)
    advice = how_to_set() if differs or unread else ""
    text = _report(outcomes, advice, as_json, switches)
    if issue:
        _keep_issue(text, differs, unread)
        return
    if differs:
        raise Exit(1)
    if unread:
        raise Exit(3)


def _keep_issue(text: str, differs: bool, unread: bool) -> None:
    """Open or edit the issue about settings that differ; close it when none does.

    Where a token was given and still not everything could be read, nobody knows whether
    the settings match: the issue stays open.
    """
    from mlops.github.issues import close, open_or_edit, opened

    hub = repository()  # by the job's own token: what a bot has written is ours
    if differs:
        open_or_edit(
            hub, DRIFT, "The settings on GitHub differ from .github/settings.yaml", text
        )
        return
    if unread and settings.current().secret("SETTINGS_TOKEN"):
        return
    issue = opened(hub, DRIFT)
    if issue:
        close(hub, issue, "It is over.", f"<!-- mlops: over {DRIFT} -->")


@github.command("apply")
def apply_settings(as_json: Json = False) -> None:
    """Change the settings that differ, if plan and token allow.

    Workflow files that name another branch than the default one are changed here.

    Exit code 3: a permission is missing.

    Example: `mlops github apply`
    """
    from mlops.github.repo_settings_api import apply_settings

    hub, differing, outcomes = _look()
    require_present_name(hub)
    _require_writable(hub)
    if in_actions() and not settings.current().secret("SETTINGS_TOKEN"):
        advice = f"Nothing was changed.\n{how_to_set()}"
        _report(outcomes, advice, as_json, _switches(hub))
        return
    unread = [outcome for outcome in outcomes if outcome.result == "not seen"]
    outcomes = [*apply_settings(hub, differing), *unread]
    if not in_actions():  # a job's work tree is thrown away
        outcomes += _follow_default_branch(hub)
    incomplete = any(o.result in ("refused", "not seen") for o in outcomes)
    advice = how_to_set() if incomplete else ""
    _report(outcomes, advice, as_json, _switches(hub))
    if incomplete:
        raise Exit(3)


def _require_writable(hub: Repository) -> None:
    """Raise EnvironmentFailure where GitHub has archived the repository."""
    from mlops.github.repo_settings_api import send
    from mlops.github.switches import SWITCHES

    about = send(hub, "GET", "")
    if about.get("archived"):
        switch = SWITCHES["archived"]
        raise EnvironmentFailure(
            switch.effect, found=str(about["full_name"]), do=switch.remedy
        )


def _follow_default_branch(hub: Repository) -> list[SettingOutcome]:
    """Write the default branch into the workflows that name another one."""
    from mlops.github.default_branch import with_branch
    from mlops.github.ref_patterns import selects
    from mlops.github.repo_facts import WORKFLOWS, read_workflow_files
    from mlops.github.repo_settings_api import SettingOutcome, send

    root = current_context().project.root
    named = read_workflow_files(root).branches
    branch = str(send(hub, "GET", "")["default_branch"])
    outcomes = []
    for file, patterns in named.items():
        if selects(patterns, branch):
            continue
        path = root / WORKFLOWS / file
        text = with_branch(path.read_text(encoding="utf-8"), branch)
        if text is None:
            do = f"write {branch} into `branches:` of `on: push:` by hand"
            outcomes.append(SettingOutcome(f"branch of {file}", "differs", do))
            continue
        write_bytes(path, text.encode())
        do = f"commit it, and push it to {branch}"
        outcomes.append(SettingOutcome(f"branch of {file}", "done", do))
    return outcomes


@github.command()
def update(
    out: Annotated[
        Path | None, Option(help="Write the change to this file, as a patch.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Apply the template's changes here with cruft, and stage them.

    Where both sides changed a file, the repository's side is kept.

    Example: `mlops github update`
    """
    # All that is needed is imported first: an update may move the engine itself.
    from mlops.github.update import merge
    from mlops.reporting import markdown  # noqa: F401

    patch, message = merge(current_context().project.root)
    if out:
        write_bytes(out, patch)
    emit(
        {"changed": bool(patch), "said": message},
        message,
        as_json,
        page=as_markdown("", message),
    )


@github.command()
def propose(
    patch: Annotated[
        Path,
        Argument(
            metavar="PATCH",
            help="What `mlops github update --out` wrote, or `git diff` after `make "
            "lock`.",
        ),
    ],
    lock: Annotated[
        bool, Option("--lock", help="The patch brings newer locks, no template.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Propose the template's changes, or newer locks, by a pull request.

    Without UPDATE_TOKEN, as one issue.

    Example: `mlops github propose build/template.patch`
    """
    # All that is needed is imported first: an update may move the engine itself.
    from mlops.github.issues import close, open_or_edit, opened
    from mlops.github.update import propose as do
    from mlops.reporting import markdown  # noqa: F401

    at = current_context()
    content = patch.read_bytes()
    job = repository()
    token = at.settings.secret("UPDATE_TOKEN")
    label = LOCK if lock else NEW
    message = "the locks are fresh" if lock else "the template has nothing new"
    open_issue = opened(job, label)
    if content:
        change, text, how = _change(at.project.root, job, content, lock)
        if token:
            hub = repository("UPDATE_TOKEN")
            message = do(at.project.root, hub, token, change, text, at.now())
        else:
            issue, _ = open_or_edit(job, label, change.title, f"{text}\n\n{how}")
            message = f"{issue.html_url} says what to do"
    if open_issue and (token or not content):
        close(
            job, open_issue, as_markdown("", message), f"<!-- mlops: over {label} -->"
        )
    emit({"said": message}, message, as_json, page=as_markdown("", message))


@github.command()
def retrain(
    models: Annotated[
        str, Option(help="The models that an alarm asks for, as a JSON list.")
    ],
    as_json: Json = False,
) -> None:
    """Propose retrainings that alarms ask for, each by a pull request.

    Its comment has the verdict, and merging it releases the model. Without
    UPDATE_TOKEN, the issue of the alarm says how to open it.

    Example: `mlops github retrain --models '["employment"]'`
    """
    names = model_names(models, "--models")
    at = current_context()
    require_results(at.project, names, "monitor.json")
    lines = [_propose_retraining(at, name) for name in names]
    emit(lines, "\n".join(lines), as_json, page=as_markdown("", *lines))


def _propose_retraining(at: Context, name: str) -> str:
    """Propose the retraining of one model, and say so on its issue."""
    from mlops.github.issues import tell
    from mlops.github.retraining import stage_retraining
    from mlops.github.update import propose as do
    from mlops.reporting.wording import check_summary
    from mlops.results.monitoring import DriftCheck

    at.project.folder(name)
    file = at.project.build(name) / "monitor.json"
    check = DriftCheck.model_validate(read_json(file))
    if check.model != name or not check.alarm:
        raise UsageError("this check is no alarm of the model", found=name)
    change = stage_retraining(at.project.root, check, at.run_url)
    token = at.settings.secret("UPDATE_TOKEN")
    job = repository()
    if not token:
        text = f"Nobody has proposed the retraining yet.\n\n{how_to_retrain(name)}"
        return tell(job, name, text, change.marker)
    summary = check_summary(check)
    alarm = as_markdown(summary.title, *summary.lines)
    text = "\n\n".join([change.marker, alarm, _RETRAINED])
    hub = repository("UPDATE_TOKEN")
    message = do(at.project.root, hub, token, change, text, at.now())
    tell(job, name, f"The retraining: {message}.", change.marker)
    return f"{name}: {message}"


def _change(
    root: Path, job: Repository, patch: bytes, lock: bool
) -> tuple[Update | LockUpdate, str, str]:
    """Bring a patch into the work tree.

    Return what it is, its description, and how it is done by hand.
    """
    from mlops.github.lock import apply_locks
    from mlops.github.update import apply_patch

    if lock:
        newer = apply_locks(root, patch)
        return (
            newer,
            _described_lock(newer, _known_advisories(job, newer)),
            how_to_lock(),
        )
    change = apply_patch(root, patch)
    return change, _described(change), how_to_update()


def _described_lock(change: LockUpdate, advisories: str) -> str:
    """Return newer locks in markdown."""
    newer = as_markdown("What becomes newer", *_first(change.changes))
    return "\n\n".join([change.marker, newer, advisories, _TRAINED])


def _known_advisories(job: Repository, change: LockUpdate) -> str:
    """Return in markdown which security advisories the newer locks settle, or have.

    A database that does not answer keeps nobody from newer versions.
    """
    from mlops.github.advisories import advisory_change

    try:
        known = advisory_change(job, change.before, change.after)
    except EnvironmentFailure as error:
        reason = error.problems[0].what
        line = f"{reason}: whether any affects these versions is not known"
        return as_markdown("Security advisories could not be looked up", line)
    parts = []
    if known.fixed:
        lines = _first([one.text() for one in known.fixed])
        parts.append(as_markdown("Security advisories that this settles", *lines))
    if known.left:
        lines = _first([one.text() for one in known.left])
        title = "Security advisories that affect the newer versions"
        parts.append(as_markdown(title, *lines))
    else:
        parts.append("No known security advisory affects the newer versions.")
    return "\n\n".join(parts)


def _first(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    shown = list(lines[:_MOST_FILES])
    more = len(lines) - len(shown)
    if more:
        shown.append(f"and {more} more")
    return shown


_RETRAINED = """\
The workflows train the model on the data of today and compare it with the version in
production: the comment below has the verdict. Merging releases it, through the gate
once more. Closing this leaves the version in production."""

_TRAINED = "Every model is trained with it and compared with the version in production."


def _described(change: Update) -> str:
    """Return an update in markdown; names from the template are escaped."""
    parts = [change.marker]
    conflicts = [
        name.removesuffix(".rej") for name in change.files if name.endswith(".rej")
    ]
    if conflicts:
        parts += [as_markdown("Changed here as well", *conflicts), _CONFLICTS]
    files = _first(change.files)
    parts.append(as_markdown(f"What {change.template} has new", *files))
    return "\n\n".join(parts)

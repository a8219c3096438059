"""The verbs that look: at runs, at what is served, at it all as a page, and at what is wrong.

Each check of `mlops doctor` is a function whose docstring is what the user reads; it returns an
empty text when all is well, else what was found, as a text or an error.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option, Typer

from mlops import MlopsError, UsageError, listed
from mlops.cli import (
    Json,
    ago,
    app,
    as_markdown,
    emit,
    here,
    hint,
    in_actions,
    progress,
    release_store,
)
from mlops.cli.releases import Followed
from mlops.files import GitError, git, require_repository, write_folder, write_text
from mlops.github.client import server
from mlops.reporting.words import duration, paint, pairs, table

if TYPE_CHECKING:
    from mlops.project import Project

runs = Typer(no_args_is_help=True, help="What was tried: list, show, compare.")
app.add_typer(runs, name="runs", rich_help_panel="Look")

InGroup = Annotated[str | None, Option(help="Only a sweep, or a pull request: pr-12.")]


@runs.command("list")
def runs_list(
    name: Annotated[str | None, Argument(metavar="MODEL")] = None,
    model: Annotated[str | None, Option(help="The same as MODEL.")] = None,
    where: Annotated[
        str | None, Option(help="Conditions: 'metrics.roc_auc>0.8 and outcome=promote'.")
    ] = None,
    since: Annotated[str | None, Option(help="12h, 30d, 2w")] = None,
    group: InGroup = None,
    limit: Annotated[int, Option(help="Only the newest; 0: all.", min=0)] = 100,
    as_json: Json = False,
) -> None:
    """List runs, the newest last.

    Example: `mlops runs list --where 'metrics.roc_auc>0.8' --model employment --since 30d`
    """
    from mlops.registry import journal

    at = here()
    model = name or model
    start = ago(since, at.now()) if since else None
    more = limit + 1 if limit else 0
    found = journal.runs(at.project, model, where=where, since=start, group=group, limit=more)
    if limit and len(found) > limit:
        found = found[1:]
        progress()(f"there are older ones: these are the newest {limit} (`--limit 0` for all)")
    rows = [_row(run) for run in found]
    asked = any((model, where, since, group))
    none = "No run fits." if asked else "No run is recorded: `mlops run MODEL`"
    emit(found, table(rows, list(rows[0])) if rows else none, as_json)


def _row(run: dict[str, Any]) -> dict[str, object]:
    """Return what one line of the list says; a journal may hold records of older engines."""
    metric, training = (run.get("metrics") or [None])[0], run.get("training") or {}
    return {
        "id": run["id"],
        "model": run["model"],
        "outcome": run["outcome"],
        "metric": f"{metric['name']} {metric['value']:.4f}" if metric else None,
        "estimator": training.get("estimator"),
        "took": duration(run["seconds"]),
        "group": run.get("group"),
        "actor": run.get("actor"),
    }


@runs.command("show")
def runs_show(run: Annotated[str, Argument(metavar="RUN")], as_json: Json = False) -> None:
    """Show one run; the first letters of its id are enough.

    Example: `mlops runs show 20261123-10`
    """
    from mlops.registry.journal import find
    from mlops.reporting.render import flat

    (record,) = find(here().project, [run])
    emit(record.model_dump(mode="json"), pairs({"id": record.id, **flat(record)}), as_json)


@runs.command("compare")
def runs_compare(
    chosen: Annotated[list[str] | None, Argument(metavar="RUN")] = None,
    group: InGroup = None,
    html: Annotated[
        Path | None, Option(help="Write one page with charts to this file.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show up to 20 runs side by side, only where they differ.

    Example: `mlops runs compare 20261123-101500 20261123-113000 --html compare.html`
    """
    from mlops.registry import journal
    from mlops.reporting.render import MOST_RUNS, compare, flat, page

    project = here().project
    found = journal.records(project, group=group) if group else []
    found += journal.find(project, chosen or [])
    records = {record.id: record for record in found}
    if not 2 <= len(records) <= MOST_RUNS:
        what, do = "this many runs cannot be shown side by side", "choose from `mlops runs list`"
        raise UsageError(what, found=str(len(records)), allowed=f"2 to {MOST_RUNS}", do=do)
    facts = {name: flat(record) for name, record in records.items()}
    text = compare(facts)
    if html:
        write_text(html, page(list(records.values())))
        text += f"\n\n{html}"
    emit(facts, text, as_json)


@app.command(rich_help_panel="Use")
def monitor(
    ref: Followed,
    since: Annotated[str, Option(help="How far back: 12h, 30d, 2w")] = "7d",
    go_on: Annotated[bool, Option("--go-on", help="Leave with 0 on an alarm too.")] = False,
    as_json: Json = False,
) -> None:
    """Look for drift in what was served lately; 1 is an alarm.

    Example: `mlops monitor employment@production --since 7d`
    """
    from mlops.monitoring.monitor import monitor as check
    from mlops.registry.journal import append_check

    at, say = here(), progress()
    now = at.now()
    name, _, stage = ref.partition("@")
    say("reading the window, comparing, drawing the report …")
    at.catch_up()
    done = check(at.project, name, stage or "production", ago(since, now), now, store=at.store)
    facts = done.model_dump(mode="json")
    if not in_actions():  # there `mlops alarm` does it, in a job that may push
        for warning in append_check(at.project, facts, at.actor):
            say(warning)
    emit(facts, done.text(), as_json, page=as_markdown(*done.text().splitlines()))
    if done.alarm:
        page = at.project.build(name) / "monitor.html"
        hint(f"look at {page}, then train on fresh data: mlops run {name}")
        raise Exit(0 if go_on else 1)


@app.command(rich_help_panel="Look")
def pages(
    out: Annotated[
        Path | None, Option(help="Folder; default: build/site. An older site is replaced.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a web page of models, stages, versions and runs.

    Example: `mlops pages --out site`
    """
    from mlops.reporting.pages import OURS, site

    at = here(fetch=True)
    name = os.environ.get("GITHUB_REPOSITORY")
    address = f"{server()}/{name}" if name else ""
    made = site(at.project, at.store, at.now(), address)
    folder = out or at.project.root / "build" / "site"
    write_folder(made.files, folder, OURS)
    unpublished = _UNPUBLISHED.get(os.environ.get("PAGES", ""))
    lines = [*made.said.lines, *([unpublished] if unpublished else [])]
    title, index = made.said.title, str(folder / "index.html")
    text = "\n".join([title, *lines, f"{index}, {len(made.files)} pages"])
    facts = {"title": title, "lines": lines, "index": index}
    emit(facts, text, as_json, page=as_markdown(title, *lines))


# Why pages.yml did not publish what it made, by what it says in PAGES.
_UNPUBLISHED = {
    "off": "Not published: GitHub Pages is not switched on (Settings, Pages, Source: GitHub "
    "Actions), or this plan has none for a private repository. The page is the artifact `site`.",
    "private": "Not published: this repository is private, and below Enterprise anybody may read "
    "its page. The variable PAGES=on publishes it. The page is the artifact `site`.",
}


def python(project: Project) -> str:
    """Python is 3.11, 3.12 or 3.13."""
    return "" if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"this is {sys.version.split()[0]}"


def packages(project: Project) -> str:
    """The installed packages are those of requirements.txt."""
    from mlops.registry.environment import not_installed

    if not project.lock.is_file():
        return "there is no requirements.txt"
    wrong = not_installed(project.lock)
    return f"{listed(wrong, 4)}; `make setup` mends it" if wrong else ""


def repository(project: Project) -> str:
    """A git repository with a commit is here, and git knows who you are."""
    require_repository(project.root)
    try:
        git(project.root, "var", "GIT_AUTHOR_IDENT")
    except GitError:
        return "`git config --global user.name NAME`, and user.email, say who you are"
    return ""


def settings(project: Project) -> str:
    """project.yaml is valid and every stage comes after one that exists."""
    names = [stage.name for stage in project.spec.stages]
    lost = [s.name for s in project.spec.stages if s.after and s.after not in names]
    return f"no such stage before: {listed(lost)}" if lost else ""


def specifications(project: Project) -> str:
    """Every models/NAME/model.yaml is valid, and its files are there."""
    found = []
    for name in project.models():
        try:
            project.model(name)
        except MlopsError as error:
            found.append(str(error))
        for file in ("contract.py", "features.py", "estimator.py"):
            if not (project.folder(name) / file).is_file():
                found.append(f"models/{name}/{file} is missing")
    return "\n".join(found) if project.models() else "there is no model yet; `mlops new` makes one"


def registry(project: Project) -> str:
    """The tags of the registry can be read, and each version's files are in the store."""
    from mlops.registry.api import problems

    try:
        return "\n".join(problems(project, release_store(project)))
    except MlopsError as error:
        return error.problems[0].what


def disk(project: Project) -> str:
    """There is 1 GB of free disk, and this folder can be written."""
    if not os.access(project.root, os.W_OK):
        return f"{project.root} is read-only for you"
    free = shutil.disk_usage(project.root).free / 1e9
    return "" if free >= 1 else f"{free:.2f} GB are free"


def pre_commit(project: Project) -> str:
    """The checks before a commit are switched on."""
    hook = project.root / ".git" / "hooks" / "pre-commit"
    return "" if hook.is_file() else "`pre-commit install` switches them on"


_CHECKS = (python, packages, disk, repository, pre_commit, settings, specifications, registry)


@app.command(rich_help_panel="Look")
def doctor(as_json: Json = False) -> None:
    """Say what is missing or wrong here, and how to mend it.

    Example: `mlops doctor`
    """
    project, rows, lines = here().project, [], []
    for check in _CHECKS:
        try:
            found = check(project)
        except MlopsError as error:
            found = str(error)
        name = check.__name__.replace("_", "-")
        rows.append({"check": name, "ok": not found, "looks_at": check.__doc__, "found": found})
        mark = paint("mend", "bad") if found else paint("ok  ", "good")
        lines.append(f"{mark}  {check.__doc__}")
        lines += [f"      {line}" for line in found.splitlines()]
    emit(rows, "\n".join(lines), as_json, yes=all(row["ok"] for row in rows))

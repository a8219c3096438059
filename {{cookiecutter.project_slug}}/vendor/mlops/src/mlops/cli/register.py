"""The command `mlops register`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option

from mlops.cli.actions_env import (
    as_markdown,
    in_actions,
    outputs,
    require_default_branch,
)
from mlops.cli.app import app
from mlops.cli.arguments import (
    Actor,
    Approver,
    Expect,
    Override,
    Reason,
    model_names,
)
from mlops.cli.context import (
    Context,
    attests,
    current_context,
    require_pushed,
    require_results,
)
from mlops.cli.output import Json, emit, hint, progress
from mlops.cli.pipeline import run_context
from mlops.cli.questions import log_question
from mlops.errors import (
    EnvironmentFailure,
    MlopsError,
    Refused,
    UsageError,
    counted,
)
from mlops.github.client import MERGE_QUEUE, author_of, repository
from mlops.io.files import write_text
from mlops.io.git import has_remote, head

if TYPE_CHECKING:
    from mlops.config.project import Project
    from mlops.results.verdict import Part


@app.command(rich_help_panel="Release")
def register(
    name: Annotated[
        str | None,
        Argument(
            metavar="MODEL", help="Default: every built model whose verdict is promote."
        ),
    ] = None,
    decided: Annotated[
        bool,
        Option(
            "--decided",
            help="Register against the verdict; an approver says why.",
        ),
    ] = False,
    override: Override = False,
    expect: Expect = "[]",
    reason: Reason = "",
    approver: Approver = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Make a version of the last run: commit, git tag, release.

    Example: `mlops register employment`
    """
    at = current_context(fetch=True)
    if decided and name is None:
        raise UsageError(
            "a decision needs the name of the model", do="mlops register MODEL"
        )
    require_default_branch()
    require_results(at.project, model_names(expect, "--expect"), "verdict.json")
    models = [name] if name else _promotable(at.project)
    decision = {
        "actor": actor or _actor(at),
        "reason": reason,
        "approver": approver,
        "decided": decided,
        "override": override,
    }
    if in_actions() and name is None:
        _register_unattended(at, models, decision, as_json)
        return
    results = [_register(at, model, decision) for model in models]
    texts = [_text(result) for result in results]
    notes = [note for result in results for note in result["notes"]]
    _hand_on(at, {result["model"]: result["ref"] for result in results}, texts)
    emit(
        results[0] if name else results,
        "\n".join(texts) or "nothing to register",
        as_json,
        page=as_markdown("", *texts, *notes),
    )
    if not in_actions() and not has_remote(at.project.root):
        progress()(
            "note: this clone alone has it, as there is no origin. Once there is one: "
            "`mlops registry adopt --yes` brings it there, `--drop --yes` deletes it"
        )
    first = at.project.spec.stages[0].name
    for result in results:
        if result["created"]:
            hint(f"mlops promote {result['ref']} {first}")


def _actor(at: Context) -> str:
    """Return who registers; for what a merge queue pushed, whose change it is.

    The queue is nobody: as its versions, authors could approve their own.
    """
    if at.actor != MERGE_QUEUE:
        return at.actor
    author = None
    commit = head(at.project.root)
    if commit:
        author = author_of(repository(), commit)
    if author is None:
        progress()(
            "note: registered in the name of the merge queue: this commit is the merge "
            "of no pull request"
        )
    return author or at.actor


def _text(result: dict[str, Any]) -> str:
    """Return what became of one model in a sentence."""
    if result["created"]:
        return f"{result['ref']} is registered"
    return f"{result['ref']} was registered already"


class _Unattended:
    """What a job registers: as many models as it can, one after the other.

    Runs train and register beside each other. A newer commit may have been faster, or
    the version that this one was compared with is no longer the one in production.
    Nothing older overwrites what is newer, and nothing is delivered that was compared
    with something else.

    Attributes
    ----------
    results : list of dict
        What was registered.
    texts : list of str
        What became of each model, a sentence each.
    failures : list of MlopsError
        One for each model that could not be registered.
    """

    def __init__(self, at: Context, decision: dict[str, Any]) -> None:
        self._at = at
        self._decision = decision
        self.results: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.failures: list[MlopsError] = []

    def take(self, models: Sequence[str]) -> None:
        """Register each of these models, or note why not.

        An error of the environment, such as a limit of GitHub, would meet the others,
        too: they are left for the next attempt.
        """
        for position, model in enumerate(models):
            try:
                self._take_one(model)
            except EnvironmentFailure as error:
                left = models[position + 1 :]
                self._note(model, error)
                if left:
                    self.texts.append(
                        f"not tried: {', '.join(left)}; run this job again, nothing is "
                        "done twice"
                    )
                return
            except MlopsError as error:
                self._note(model, error)

    def _take_one(self, model: str) -> None:
        from mlops.registry.publish import Overtaken

        hindrance = self._hindrance(model)
        if hindrance:
            self.texts.append(hindrance)
            return
        try:
            result = _register(self._at, model, {**self._decision, "newest_only": True})
        except Overtaken as error:
            self.texts.append(_overtaken(error.newer))
            return
        self.results.append(result)
        self.texts.append(_text(result))

    def _hindrance(self, model: str) -> str:
        """Return why a model is not registered, and what is done instead."""
        from mlops.github.issues import retrain
        from mlops.pipeline.run import Run
        from mlops.registry.publish import newer_version
        from mlops.registry.tag_writes import sync
        from mlops.registry.tags import read_registry

        root = self._at.project.root
        sync(root)
        newer = newer_version(
            root, read_registry(root).model(model).latest, head(root) or ""
        )
        if newer:
            return _overtaken(newer)
        part = _judged_on(self._at.project.build(model))
        stale = Run(run_context(self._at), model, progress(), part=part).stale()
        if not stale or "train" in stale:
            return ""
        retrain(repository(), model)
        return (
            f"{model}: the version in production has changed since the comparison; "
            "it is trained and compared again, by a run of its own"
        )

    def _note(self, model: str, error: MlopsError) -> None:
        self.failures.append(error)
        self.texts.append(f"{model} is not registered: {error.problems[0].what}")
        for problem in error.problems:
            progress()(f"error: {model}: {problem}")


def _overtaken(newer: str) -> str:
    return f"{newer} exists and is of a newer commit: nothing to register"


def _register_unattended(
    at: Context, models: Sequence[str], decision: dict[str, Any], as_json: bool
) -> None:
    """Register what a run built, and hand on what was registered, whatever failed."""
    work = _Unattended(at, decision)
    try:
        work.take(models)
    finally:
        refs = {result["model"]: result["ref"] for result in work.results}
        if refs or not work.failures:
            _hand_on(at, refs, work.texts)
    notes = [note for result in work.results for note in result["notes"]]
    emit(
        work.results,
        "\n".join(work.texts) or "nothing to register",
        as_json,
        page=as_markdown("", *work.texts, *notes),
    )
    if work.failures:
        raise Exit(max(error.exit_code for error in work.failures))


def _not_staged_first(root: Path, refs: dict[str, str]) -> list[str]:
    """Return the models whose version no stage has seen, then the others."""
    from mlops.pipeline.due import was_staged
    from mlops.registry.tags import read_registry

    state = read_registry(root)

    def seen(name: str) -> bool:
        model = state.model(name)
        return was_staged(model, model.versions[refs[name].partition("@")[2]])

    return sorted(refs, key=lambda name: (seen(name), name))


def _hand_on(at: Context, refs: dict[str, str], texts: list[str]) -> None:
    """Tell later jobs which versions there are: no more than a matrix may have.

    Those that no stage has seen come first. The others were delivered by an earlier
    attempt of this run.
    """
    from mlops.config.project_spec import MOST_JOBS

    names = sorted(refs)
    if len(names) > MOST_JOBS:
        texts.append(
            f"{counted(len(names) - MOST_JOBS, 'version')} more than a matrix may have "
            "jobs: run this job again after those before them are in a stage"
        )
        names = sorted(_not_staged_first(at.project.root, refs)[:MOST_JOBS])
    attested = [f"build/{name}/model.skops" for name in names] if attests() else []
    if in_actions() and names and not attested:
        texts.append(
            "not attested: GitHub does not sign here; the chain of digests holds"
        )
    shown = {name: refs[name] for name in names}
    outputs(models=names, refs=shown, attest=",".join(attested))


def _promotable(project: Project) -> list[str]:
    """Return the models whose last run ended with a verdict that says promote."""
    from mlops.results.verdict import Verdict

    promotable = []
    for model in project.models():
        build = project.build(model)
        if not (build / "verdict.json").is_file():
            continue
        if Verdict.load(build).decision == "promote":
            promotable.append(model)
    return promotable


def _register(at: Context, name: str, decision: dict[str, Any]) -> dict[str, Any]:
    """Register one model and return what became of it."""
    from mlops.registry.publish import register as publish
    from mlops.results.runs import Record
    from mlops.runlog.journal import append

    build = at.project.build(name)
    _require_fresh(at, name, build, decision["decided"])
    logged = log_question(at, build)
    has_record = (build / "record.json").is_file()
    record = Record.load(build) if has_record else None
    if decision["decided"]:
        _note_on_card(build / "card.md", decision)
    done = publish(
        at.project,
        name,
        run=record.id if record else "",
        now=at.now(),
        store=at.store,
        **decision,
    )
    notes = [*logged, *done.notes]
    if record and in_actions():  # the job that ran it may not push
        notes += require_pushed(append(at.project, record))
    for note in notes:
        progress()(f"note: {note}")
    return {
        "model": name,
        "version": done.version.number,
        "ref": done.version.ref,
        "created": done.created,
        "notes": notes,
    }


_DECIDED = "## Decided by a person"


def _note_on_card(card: Path, decision: dict[str, Any]) -> None:
    """Say on the model card that a person decided, and why; once."""
    from mlops.reporting.markdown import escape

    if not card.is_file():
        return
    text = card.read_text(encoding="utf-8").split(f"\n{_DECIDED}")[0].rstrip()
    who = escape(decision["approver"] or decision["actor"])
    why = escape(decision["reason"])
    note = f"{who} decided to register this: {why}"
    write_text(card, f"{text}\n\n{_DECIDED}\n\n{note}\n")


def _judged_on(build: Path) -> Part:
    """Return the rows that the verdict in a build folder rests on."""
    from mlops.results.verdict import Verdict

    if not (build / Verdict.FILE).is_file():
        return "test"
    return Verdict.load(build).part


def _require_fresh(at: Context, name: str, build: Path, decided: bool) -> None:
    """Raise Refused where `mlops run` would do a step again.

    What that step found is not about what is checked out. Where there is a validation
    part, the test part has to be asked, unless a person decides.
    """
    from mlops.pipeline.run import Run
    from mlops.results.verdict import Verdict

    part = _judged_on(build)
    waits = part == "validation" and not decided
    if waits and Verdict.load(build).decision == "promote":
        raise Refused(
            "the test part was not asked: the verdict is that of the validation part",
            file=str(build),
            do=f"run `mlops run {name} --test`",
        )
    stale = Run(run_context(at), name, progress(), part=part).stale()
    if stale and (build / "verdict.json").is_file():
        raise Refused(
            "the results do not match what is checked out, or the version in "
            "production has changed since",
            file=str(build),
            found=f"out of date: {', '.join(stale)}",
            do=f"run `mlops run {name}`",
        )

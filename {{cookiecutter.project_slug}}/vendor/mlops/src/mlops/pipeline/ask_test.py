"""Asking the test part: once for a model that validation leaves to it.

Until a version is registered, passed or failed is all that it says: the figures of a
model that failed leave with the files they are in, and those of validation are back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops.pipeline import gate, report, test
from mlops.pipeline.ledger import question_of
from mlops.pipeline.run import Run
from mlops.pipeline.run_context import RunContext
from mlops.results.ledger import Question
from mlops.results.verdict import Verdict

_FILES = (
    *test.STEP.writes,
    *gate.STEP.writes,
    *report.STEP.writes,
    "steps.json",
)


def ask_test_part(
    context: RunContext, validated: Run
) -> tuple[Run, Question | None, bool]:
    """Ask the test part about the model of a run on the validation part.

    Parameters
    ----------
    context : RunContext
        That of the run.
    validated : Run
        The run, with its verdict; the build folder is locked by it.

    Returns
    -------
    Run
        Whose results are in the build folder: on the test part where it passed.
    Question or None
        What was asked; None where the verdict on the validation part forbids it.
    bool
        Whether the model passed.
    """
    from mlops.gate.ledger import may_be_asked

    state = validated.state
    if not may_be_asked(Verdict.load(state.build)):
        return validated, None, False
    say = validated.say
    say("test part …")
    tested = Run(context, state.name, _silent, validated.force, part="test")
    with _restored_unless_passed(state.build) as outcome:
        passed = tested.until(gate.STEP.name)
        question = question_of(tested.state, context.actor, context.run_url)
        outcome["passed"] = passed
    question.save(state.build)
    say(f"test part {'passed' if passed else 'failed'}")
    if passed:
        tested.until(report.STEP.name)
        return tested, question, True
    asked_now = (*state.questions, question)
    again = replace(context, questions=lambda _name: asked_now)
    refused = Run(again, state.name, _silent)
    refused.until(report.STEP.name)
    return refused, question, False


def is_current(context: RunContext, name: str) -> bool:
    """Return whether the build folder holds the test part's results, up to date."""
    run = Run(context, name, _silent, part="test")
    path = run.state.build / Question.FILE
    if not path.is_file() or not (run.state.build / Verdict.FILE).is_file():
        return False
    return Verdict.load(run.state.build).part == "test" and not run.stale()


def _silent(_line: str) -> None:
    """Say nothing: which step failed would be more than failed."""


@contextmanager
def _restored_unless_passed(build: Path) -> Iterator[dict[str, bool]]:
    """Put back the files of the steps that judge, unless the body says it passed."""
    outcome = {"passed": False}
    with TemporaryDirectory(dir=build.parent, prefix=f".{build.name}.") as folder:
        saved = Path(folder)
        for name in _FILES:
            if (build / name).is_file():
                shutil.copy2(build / name, saved / name)
        try:
            yield outcome
        finally:
            if not outcome["passed"]:
                _restore(build, saved)


def _restore(build: Path, saved: Path) -> None:
    """Bring back what was saved, and remove what was not there."""
    for name in _FILES:
        if (saved / name).is_file():
            shutil.copy2(saved / name, build / name)
        else:
            (build / name).unlink(missing_ok=True)

"""Questions that a job asked the test part, on their way to the run log."""

from __future__ import annotations

from pathlib import Path

from mlops.cli.actions_env import in_actions
from mlops.cli.context import Context, require_pushed


def log_question(at: Context, build: Path) -> list[str]:
    """Write the question that a job asked the test part to the run log.

    The job that asked may not push. Where it is in the run log already, it stays as it
    is; on a laptop the command that asks writes it. Return warnings of the run log.
    """
    from mlops.results.ledger import Question
    from mlops.results.training import Training
    from mlops.runlog.journal import append_question

    if not in_actions() or not (build / Question.FILE).is_file():
        return []
    question = Question.load(build)
    if question.model_sha256 != Training.load(build).model_sha256:
        return []  # of a run before this one
    return list(require_pushed(append_question(at.project, question)))

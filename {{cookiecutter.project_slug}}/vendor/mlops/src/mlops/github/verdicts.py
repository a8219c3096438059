"""Whether every model that a pull request trains has a verdict that says promote.

What the jobs of a pull request uploaded is a stranger's: data of limited size is read
here, and none of it is run.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mlops.config.project import MODEL_NAME
from mlops.errors import UsageError
from mlops.results.verdict import Verdict

MOST_BYTES = 1_000_000  # of a verdict

# A job with one model has its name; that of several models is made from the first.
_JOB = re.compile(rf"({MODEL_NAME.pattern})(-and-\d+-more)?")


def shortcomings(jobs: Mapping[str, Sequence[str]], reports: Path) -> dict[str, str]:
    """Return what each planned model lacks; empty where each may be promoted.

    Parameters
    ----------
    jobs : mapping of str to sequence of str
        The jobs of the plan, with the models of each.
    reports : Path
        The folder into which the run's artifacts were downloaded: one folder for each
        artifact, so that no job's artifact can hold the verdict of another job's
        model.

    Returns
    -------
    dict of str to str
        Model: why it is not to be merged.

    Raises
    ------
    UsageError
        When a name of the plan is not that of a model.
    """
    lacking = {}
    for job, models in jobs.items():
        for model in models:
            _require_name(job, _JOB)
            _require_name(model, MODEL_NAME)
            problem = _problem(reports / f"report-{job}" / "build" / model)
            if problem:
                lacking[model] = problem
    return lacking


def _require_name(name: object, form: re.Pattern[str]) -> None:
    """Raise UsageError for what is not the name of a model, or of a job."""
    if not isinstance(name, str) or not form.fullmatch(name):
        raise UsageError(
            "the plan names something that is not a model",
            key="--models",
            found=ascii(name)[:80],
        )


def _problem(folder: Path) -> str:
    """Return why a model's verdict is not promote, an empty string where it is."""
    path = folder / "verdict.json"
    try:
        facts = path.lstat()
    except OSError:
        return "there is no verdict: its run did not reach the gate"
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_BYTES:
        return f"its verdict is not a file of at most {MOST_BYTES:,} bytes"
    try:
        verdict = Verdict.model_validate_json(path.read_bytes())
    except (ValidationError, RecursionError):
        return "its verdict cannot be read"
    if verdict.decision == "promote":
        return ""
    return f"its verdict is {verdict.decision}"

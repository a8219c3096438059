"""The pull request that proposes a retraining: what it changes, and what it is called.

Data that changed are no commit, so the pull request needs something to change: a file
of the model that says which alarm asked. No step reads it, and whatever changes in the
model's folder is trained, compared and, once merged, released.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from mlops.io.digests import sha256
from mlops.io.files import write_text
from mlops.io.git import git
from mlops.results.monitoring import DriftCheck

FILE = "retraining.yaml"

_ABOUT = """\
# Which alarm asked for the last retraining. No step reads this file: that it changes
# makes the workflows train the model, compare it and, once merged, release it.
"""


class Retraining(NamedTuple):
    """A retraining that an alarm asks for.

    Parameters
    ----------
    digest : str
        Of the version and the time of the alarm: one alarm has one pull request.
    """

    model: str
    digest: str

    @property
    def branch(self) -> str:
        """The branch of its pull request."""
        return f"retrain-{self.model}"

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Retrain {self.model} on the data of today"

    @property
    def marker(self) -> str:
        """What a text about it begins with."""
        return f"<!-- mlops: retrain {self.model} {self.digest} -->"


def stage_retraining(root: Path, check: DriftCheck, run_url: str | None) -> Retraining:
    """Bring what a pull request changes into the index, on top of HEAD.

    Parameters
    ----------
    root : Path
        A work tree; its index is thrown away.
    check : DriftCheck
        With an alarm. Its texts are data of another job: they are quoted.
    """
    facts = {
        "alarm": check.began or check.until,
        "check": check.until,
        "version": check.version,
        "run": run_url or "",
    }
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in facts.items()]
    path = root / "models" / check.model / FILE
    git(root, "read-tree", "HEAD")
    write_text(path, _ABOUT + "".join(lines))
    git(root, "add", "--force", "--", str(path))
    alarm = f"{check.version} {check.began or check.until}"
    return Retraining(check.model, sha256(alarm.encode())[:16])

"""What the steps of one run share: where it is, how far it came, what was read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.results.ledger import Question
from mlops.results.verdict import Part

if TYPE_CHECKING:
    from mlops.data.snapshot import Dataset
    from mlops.evaluation.outcome import EvaluationContext
    from mlops.pipeline.handed_over import HandedOverModel
    from mlops.pipeline.production import Production

NOT_REACHED = "not reached"


@dataclass
class RunState:
    """The state of one run.

    This module must not import what only some steps need: whatever it imports is code
    of every step (see `cache`).

    Parameters
    ----------
    project : Project
    name : str
        The model.
    spec : ModelSpec
    started : datetime
    last : str
        The step that the run goes up to.
    production : Production
        The version that the challenger is compared with.
    commit : str, optional
        The commit that is checked out; None outside of a git repository.
    dirty : bool
        Whether files differ from the commit.
    actor : str
        Who runs it.
    pull_request : int, optional
        The pull request that it is run for.
    part : {"test", "validation"}
        The rows that the model is judged on.
    questions : tuple of Question
        What test parts of this model were asked before, by the run log; empty without a
        validation part.
    states : dict of str to str
        Step: ran, skipped, failed or not reached.
    seconds : dict of str to float
        Step: how long it took when it was last done.
    meanwhile : callable
        Called while another process works for this one.
    champion_files, anchor_files : Path, optional
        A folder with the verified files of the version in production, and of the
        version that it is a refresh of.
    dataset, evaluation, challenger, champion
        What a step read or made, kept for the steps after it. Of both models that is
        what they predicted; their code is not in this process.
    """

    project: Project
    name: str
    spec: ModelSpec
    started: datetime
    last: str
    production: Production
    commit: str | None = None
    dirty: bool = False
    actor: str = ""
    pull_request: int | None = None
    part: Part = "test"
    questions: tuple[Question, ...] = ()
    states: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    meanwhile: Callable[[], object] = lambda: None
    champion_files: Path | None = None
    anchor_files: Path | None = None
    dataset: Dataset | None = None
    evaluation: EvaluationContext | None = None
    challenger: HandedOverModel | None = None
    champion: HandedOverModel | None = None

    @property
    def build(self) -> Path:
        """The folder that the steps read from and write to."""
        return self.project.build(self.name)

    @property
    def folder(self) -> Path:
        """The folder of the model."""
        return self.project.folder(self.name)

    def reached(self, step: str) -> bool:
        """Return whether the run came to a step."""
        return self.states.get(step, NOT_REACHED) != NOT_REACHED

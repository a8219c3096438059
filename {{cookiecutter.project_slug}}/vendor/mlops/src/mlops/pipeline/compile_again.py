"""`python -m mlops.pipeline.compile_again ROOT NAME`: compile what was trained.

That is how a version whose model was trained again is compiled again.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from mlops.config.project import Project
from mlops.pipeline.compiling import write_compiled
from mlops.pipeline.models import load_challenger
from mlops.pipeline.predictions import evaluation_context
from mlops.pipeline.production import Production
from mlops.pipeline.state import RunState
from mlops.settings import prepare_process


def main(root: Path, name: str) -> None:
    """Compile the model in the build folder of a repository, as the test step does."""
    project = Project(root)
    state = RunState(
        project=project,
        name=name,
        spec=project.model(name),
        started=datetime.now(UTC),
        last="test",
        production=Production(project, name),
    )
    write_compiled(state, evaluation_context(state), load_challenger(state))


if __name__ == "__main__":
    prepare_process()
    main(Path(sys.argv[1]), sys.argv[2])

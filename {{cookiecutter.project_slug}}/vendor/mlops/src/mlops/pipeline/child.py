"""The process that runs the model's own code: it does steps and hands over files.

`pipeline.user_process` starts it and talks to it by one line of JSON for each question
and answer. Standard output belongs to that conversation, so what user code prints goes
to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from mlops.errors import MlopsError, Refused, error_facts, out_of_memory

# Libraries that both steps need, imported while the first question is on its way.
_HEAVY = ("pandas", "pyarrow.parquet", "skops.io", "sklearn.linear_model", "pytest")


def main() -> None:
    """Answer questions until there are no more."""
    from mlops.io.parent import end_with_parent
    from mlops.settings import prepare_process

    prepare_process()
    end_with_parent(group=True)
    gc.set_threshold(100_000, 20, 100)  # as in mlops.cli.main
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for module in _HEAVY:
        import_module(module)
    for line in questions:
        reply = json.dumps(_reply(json.loads(line)))
        answers.write(f"{reply}\n".encode())
        answers.flush()
    # Nobody waits for what user code left running.
    os._exit(0)


def _reply(question: dict[str, Any]) -> dict[str, Any]:
    """Return how a step went, or what is wrong."""
    try:
        return {"ok": _do(question)}
    except MlopsError as error:
        return error_facts(error)
    except (SystemExit, KeyboardInterrupt) as error:
        kind = type(error).__name__
        return error_facts(Refused(f"the model's own code ends the process ({kind})"))
    except MemoryError:
        return error_facts(out_of_memory())
    except BaseException:
        return {"defect": traceback.format_exc()}


def _do(question: dict[str, Any]) -> bool:
    """Do a step in the private folder and return whether it passed."""
    from mlops.config.model_spec import ModelSpec
    from mlops.config.project import Project
    from mlops.pipeline import cross_validate, test, train
    from mlops.pipeline.production import Production
    from mlops.pipeline.state import RunState

    project = Project(Path(question["root"]), Path(question["builds"]))
    champion = question["champion"]
    anchor = question["anchor"]
    state = RunState(
        project=project,
        name=question["name"],
        spec=ModelSpec.model_validate(question["spec"]),
        started=datetime.now(UTC),
        last=question["step"],
        production=Production(project, question["name"]),
        part=question["part"],
        champion_files=Path(champion) if champion else None,
        anchor_files=Path(anchor) if anchor else None,
    )
    apart = (train.STEP, test.STEP, cross_validate.STEP)
    steps = {step.name: step for step in apart}
    return steps[question["step"]].run(state)


if __name__ == "__main__":
    # Started by path or by -m, the module is called __main__: its own name is imported.
    sys.exit(import_module("mlops.pipeline.child").main())

"""The compiled pipeline of a run, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.pipeline.state import RunState
from mlops.results.compilation import COMPILED, Compilation
from mlops.results.training import Training

if TYPE_CHECKING:
    from mlops.evaluation.outcome import EvaluationContext
    from mlops.training.model import Model

FILES = (Compilation.FILE, COMPILED)


def write_compiled(state: RunState, context: EvaluationContext, model: Model) -> None:
    """Compile a model and write what came of it, and the file where it may be used.

    The rows of the reference sample prove it.
    """
    from mlops.io.files import write_bytes

    (state.build / COMPILED).unlink(missing_ok=True)
    serving = state.spec.serving
    if not serving.compile:
        Compilation(ok=False, reason="serving.compile is false").save(state.build)
        return
    from mlops.evaluation.compiling import compiled
    from mlops.evaluation.samples import reference_rows

    rows = reference_rows(state.spec, context.test)
    secret = not set(state.spec.sensitive).isdisjoint(state.spec.features)
    facts, content = compiled(model, rows, serving.tolerance, secret)
    digest = Training.load(state.build).model_sha256
    facts.model_copy(update={"model_sha256": digest}).save(state.build)
    if facts.ok:
        write_bytes(state.build / COMPILED, content)

"""The models of a run, challenger and champion, loaded with the code that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.pipeline.state import RunState

if TYPE_CHECKING:
    from mlops.training.model import Model


def load_challenger(state: RunState) -> Model:
    """Return the model that was trained."""
    from mlops.training.model import Model

    trusted = state.project.spec.trusted_types
    return Model.load(state.build, state.name, trusted)


def load_champion(state: RunState) -> Model | None:
    """Return the model in production, of verified bytes; None where there is none."""
    folder = state.champion_files
    if folder is not None:
        from mlops.training.model import Model

        return Model.load(folder, state.name, state.project.spec.trusted_types)
    release = state.production.release
    return release.model() if release else None

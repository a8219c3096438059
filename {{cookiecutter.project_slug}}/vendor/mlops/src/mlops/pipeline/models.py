"""The models of a run, challenger and champion, loaded with the code that they need."""

from __future__ import annotations

from pathlib import Path
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
    if state.champion_files is not None:
        return _from_files(state, state.champion_files)
    release = state.production.release
    return release.model() if release else None


def load_anchor(state: RunState) -> Model | None:
    """Return the model that the one in production is a refresh of, or None."""
    if state.anchor_files is not None:
        return _from_files(state, state.anchor_files)
    release = state.production.anchor
    return release.model() if release else None


def _from_files(state: RunState, folder: Path) -> Model:
    from mlops.training.model import Model

    return Model.load(folder, state.name, state.project.spec.trusted_types)

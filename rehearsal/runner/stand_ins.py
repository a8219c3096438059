"""The actions that workflows may use: a stand-in of each, and its inputs on GitHub."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from rehearsal.workflow import Action

HERE = Path(__file__).parent
FOLDER = HERE / "actions"


def stand_in(action: Action) -> Path:
    """Return the folder that stands in for an action's whole repository."""
    return FOLDER / action.name.split("/")[1]


@cache
def action_inputs() -> dict[str, dict[str, Any]]:
    """Return the inputs and outputs of the actions that workflows may use."""
    return dict(json.loads((HERE / "action-inputs.json").read_text(encoding="utf-8")))

"""What a job with credentials leaves beside its copies, for jobs without them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops.errors import MlopsError, UsageError, error_facts, error_of
from mlops.io.files import read_json, write_json

_NOTE = "copied.json"


def note_copies(
    out: Path, copied: Mapping[str, Any], failed: Mapping[str, MlopsError]
) -> None:
    """Note beside copies what they are, and of which models there are none.

    Parameters
    ----------
    out : Path
        The folder of the copies.
    copied : mapping
        What JSON has, by the name of a model.
    failed : mapping
        Why nothing could be copied, by the name of a model.
    """
    facts = {
        "copied": dict(copied),
        "failed": {name: error_facts(error) for name, error in failed.items()},
    }
    write_json(out / _NOTE, facts)


def require_copied(out: Path, name: str, command: str) -> None:
    """Demand that what is copied of a model was: none would look like nothing to copy.

    Parameters
    ----------
    out : Path
        The folder of the copies.
    name : str
        Of the model.
    command : str
        What copies it, for the error.

    Raises
    ------
    MlopsError
        What kept it from being copied.
    UsageError
        When nobody tried to.
    EnvironmentFailure
        When the folder holds no copies.
    """
    facts = read_json(out / _NOTE)
    if name in facts.get("failed", {}):
        raise error_of(facts["failed"][name], "it could not be copied")
    if name not in facts.get("copied", {}):
        raise UsageError(
            "nothing of this model was copied",
            file=str(out),
            found=", ".join(sorted(facts.get("copied", {}))) or "no model",
            do=f"`{command}`",
        )

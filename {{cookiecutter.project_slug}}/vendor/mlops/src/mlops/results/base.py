"""The base classes of all results."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops.errors import EnvironmentFailure
from mlops.io.files import read_json, write_json


class Result(BaseModel):
    """Frozen; keys that a newer engine wrote are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StoredResult(Result):
    """A result with a file of its own; `FILE` is its name."""

    FILE: ClassVar[str]

    def save(self, folder: Path) -> None:
        """Write the file into a folder, atomically."""
        write_json(folder / self.FILE, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        EnvironmentFailure
            When the file is missing or is not what the engine wrote.
        """
        path = folder / cls.FILE
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            message = "this file is not what the engine wrote"
            raise EnvironmentFailure(message, file=str(path), do="delete it") from error

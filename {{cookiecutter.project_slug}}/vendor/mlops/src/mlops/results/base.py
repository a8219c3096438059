"""The base class of all results."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops.errors import EnvironmentFailure
from mlops.io.files import read_json, write_json


class Result(BaseModel):
    """Frozen; keys that a newer engine wrote are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def save(self, folder: Path) -> None:
        """Write to `folder/<lower-case class name>.json`, atomically."""
        write_json(
            folder / f"{type(self).__name__.lower()}.json", self.model_dump(mode="json")
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        WorldError
            When the file is missing or is not what it should be; says which verb makes it.
        """
        path = folder / f"{cls.__name__.lower()}.json"
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            what = "this file is not what the engine wrote"
            raise EnvironmentFailure(what, file=str(path), do="delete it") from error

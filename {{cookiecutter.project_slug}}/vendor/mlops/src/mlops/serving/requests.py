"""The rows of a request, validated against the model's signature."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from reprlib import repr as brief
from typing import TYPE_CHECKING, Annotated, Any, cast

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictStr,
    TypeAdapter,
)
from typing_extensions import TypedDict

from mlops.data.types import as_text
from mlops.errors import Problem, UsageError, did_you_mean, listed
from mlops.results.training import Feature, Signature

if TYPE_CHECKING:
    import pandas as pd


MAX_ROWS = 10_000

_MOST_PROBLEMS = 20

_STRICT = pydantic.ConfigDict(extra="forbid")

_NUMBER = Annotated[float, Field(strict=True, allow_inf_nan=False)]

_TYPES: dict[str, Any] = {
    "number": _NUMBER,
    "category": Annotated[
        StrictStr, BeforeValidator(lambda v: str(v) if type(v) is int else v)
    ],
    "text": StrictStr,
    "boolean": bool,
    "date": Annotated[
        StrictStr, AfterValidator(lambda v: datetime.fromisoformat(v).isoformat())
    ],
}


def _type_of(feature: Feature) -> Any:
    """Return the type of one field; a date is written as training had it."""
    written = feature.format
    if written is None:
        return _TYPES[feature.kind]

    def check(text: str) -> str:
        datetime.strptime(text, written)
        return text

    return Annotated[StrictStr, AfterValidator(check)]


class Feedback(BaseModel):
    """The label of a prediction, which came later."""

    model_config = _STRICT
    id: Annotated[str, Field(min_length=1, max_length=64)]
    label: Any = Field(description="A class of the model; for regression a number.")


class Requests:
    """Reads what clients send to a model, by pydantic types that are made from its signature.

    Every refusal is a `UsageError` with all problems.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.names = [f.name for f in signature.features]
        # A dict and no class with attributes: the name of a column can be any text.
        types = {f.name: _type_of(f) | None for f in signature.features}
        self.row: Any = pydantic.with_config(_STRICT)(
            cast(Any, TypedDict)("Row", types)
        )
        rows: Any = Annotated[
            list[self.row],  # type: ignore[name-defined]
            Field(min_length=1, max_length=MAX_ROWS),
            BeforeValidator(lambda v: [v] if isinstance(v, dict) else v),
        ]
        self.body = pydantic.create_model(
            "Request", __config__=_STRICT, rows=(rows, ...)
        )

    def rows(self, content: bytes) -> pd.DataFrame:
        """Return the rows of ``{"rows": ROW or [ROW, ...]}``, each with every feature."""
        import pandas as pd

        return pd.DataFrame(self._parse(self.body, content).rows, columns=self.names)

    def label(self, content: bytes) -> tuple[str, str | float]:
        """Return prediction id and label of ``{"id": ..., "label": ...}``."""
        import pandas as pd

        sent, classes = self._parse(Feedback, content), self.signature.classes
        if self.signature.task == "regression":
            with suppress(pydantic.ValidationError):
                return sent.id, TypeAdapter(_NUMBER).validate_python(sent.label)
        else:  # true may stand as `True` in the data
            names = {name.lower(): name for name in classes} | {
                name: name for name in classes
            }
            text = as_text(pd.Series([sent.label]))[0]
            if text in names:
                return sent.id, names[text]
        what, allowed = (
            "this is no label of the model",
            listed(classes) or "a finite number",
        )
        raise UsageError(
            what, file="", key="label", found=brief(sent.label), allowed=allowed
        )

    def openapi(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return the request body of ``/predict`` for OpenAPI, with a row that works."""
        row = TypeAdapter(self.row).json_schema()
        rows = {"anyOf": [row, {"type": "array", "items": row, "maxItems": MAX_ROWS}]}
        schema = {"type": "object", "properties": {"rows": rows}, "required": ["rows"]}
        return {
            "content": {
                "application/json": {"schema": schema, "example": {"rows": example}}
            }
        }

    def _parse(self, cls: type[BaseModel], content: bytes) -> Any:
        try:
            return cls.model_validate_json(content)
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False)
        problems = [self._problem(item) for item in found[:_MOST_PROBLEMS]]
        if len(found) > _MOST_PROBLEMS:
            problems.append(Problem(f"and {len(found) - _MOST_PROBLEMS} problems more"))
        raise UsageError(*problems)

    def _problem(self, item: Any) -> Problem:
        advice = "send null where it is not known" if item["type"] == "missing" else ""
        if item["type"] == "extra_forbidden":
            advice = did_you_mean(str(item["loc"][-1]), self.names)
        key = ".".join(map(str, item["loc"]))
        return Problem(item["msg"], key=key, found=brief(item["input"]), do=advice)

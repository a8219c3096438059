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


def _whole_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _iso_date(text: str) -> str:
    return datetime.fromisoformat(text).isoformat()


def _one_as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


_NUMBER = Annotated[float, Field(strict=True, allow_inf_nan=False)]

_TYPES: dict[str, Any] = {
    "number": _NUMBER,
    "category": Annotated[StrictStr, BeforeValidator(_whole_as_text)],
    "text": StrictStr,
    "boolean": bool,
    "date": Annotated[StrictStr, AfterValidator(_iso_date)],
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


def _number(value: Any) -> float | None:
    """Return the label of a regression, None where the value is not one."""
    with suppress(pydantic.ValidationError):
        return TypeAdapter(_NUMBER).validate_python(value)
    return None


class Feedback(BaseModel):
    """The label of a prediction, which came later."""

    model_config = _STRICT
    id: Annotated[str, Field(min_length=1, max_length=64)]
    label: Any = Field(description="A class of the model; for regression a number.")


class Requests:
    """Reads what clients send to a model, by pydantic types made from its signature.

    Each method that reads raises a `UsageError` with all problems.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.names = [f.name for f in signature.features]
        # A dict and no class with attributes: the name of a column can be any text.
        types = {f.name: _type_of(f) | None for f in signature.features}
        row = cast(Any, TypedDict)("Row", types)
        self.row: Any = pydantic.with_config(_STRICT)(row)
        rows: Any = Annotated[
            list[self.row],  # type: ignore[name-defined]
            Field(min_length=1, max_length=MAX_ROWS),
            BeforeValidator(_one_as_list),
        ]
        self.body = pydantic.create_model(
            "Request", __config__=_STRICT, rows=(rows, ...)
        )

    def rows(self, content: bytes) -> pd.DataFrame:
        """Return the rows of ``{"rows": ROW or [ROW, ...]}``, with every feature."""
        import pandas as pd

        return pd.DataFrame(self._parse(self.body, content).rows, columns=self.names)

    def label(self, content: bytes) -> tuple[str, str | float]:
        """Return prediction id and label of ``{"id": ..., "label": ...}``."""
        sent = self._parse(Feedback, content)
        label: str | float | None
        if self.signature.task == "regression":
            label = _number(sent.label)
        else:
            label = self._class(sent.label)
        if label is None:
            raise UsageError(
                "not a label of this model",
                file="",
                key="label",
                found=brief(sent.label),
                allowed=listed(self.signature.classes) or "a finite number",
            )
        return sent.id, label

    def _class(self, value: Any) -> str | None:
        """Return the class that a label names; `true` may be `True` in the data."""
        import pandas as pd

        classes = self.signature.classes
        text = as_text(pd.Series([value]))[0]
        if text in classes:
            return cast(str, text)
        by_lower = {name.lower(): name for name in classes}
        return by_lower.get(text)

    def openapi(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return ``/predict``'s request body for OpenAPI, with a row that works."""
        row = TypeAdapter(self.row).json_schema()
        rows = {"anyOf": [row, {"type": "array", "items": row, "maxItems": MAX_ROWS}]}
        schema = {"type": "object", "properties": {"rows": rows}, "required": ["rows"]}
        content = {"schema": schema, "example": {"rows": example}}
        return {"content": {"application/json": content}}

    def _parse(self, cls: type[BaseModel], content: bytes) -> Any:
        try:
            return cls.model_validate_json(content)
        except pydantic.ValidationError as error:
            mistakes = error.errors(include_url=False)
        problems = [self._problem(item) for item in mistakes[:_MOST_PROBLEMS]]
        more = len(mistakes) - len(problems)
        if more:
            problems.append(Problem(f"and {more} more problems"))
        raise UsageError(*problems)

    def _problem(self, item: Any) -> Problem:
        """Return one of pydantic's errors as a problem."""
        advice = ""
        if item["type"] == "missing":
            advice = "send null where it is not known"
        elif item["type"] == "extra_forbidden":
            advice = did_you_mean(str(item["loc"][-1]), self.names)
        key = ".".join(map(str, item["loc"]))
        return Problem(item["msg"], key=key, found=brief(item["input"]), do=advice)

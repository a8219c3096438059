"""The rows of a request, validated against the model's signature."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from reprlib import repr as short_repr
from typing import TYPE_CHECKING, Annotated, Any, cast

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictStr,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import from_json
from typing_extensions import TypedDict

from mlops.data.types import as_text
from mlops.errors import Problem, UsageError, did_you_mean, listed
from mlops.results.training import Feature, Signature

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 10_000

_MOST_PROBLEMS = 20
_VALUES_AT_ONCE = 2000  # that are checked before problems are counted
_ADVICE = 'send {"rows": [{...}, {...}]}, or one row: {"NAME": VALUE, ...}'

_STRICT = pydantic.ConfigDict(extra="forbid")


def _whole_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _iso_date(text: str) -> str:
    return datetime.fromisoformat(text).isoformat()


def _in_any_case(words: Iterable[str]) -> str:
    """Return a pattern of words, as JSON Schema has them: without flags."""
    spelled = []
    for word in words:
        letters = [f"[{one.upper()}{one}]" if one.isalpha() else one for one in word]
        spelled.append("".join(letters))
    return f"^({'|'.join(spelled)})$"


# What pydantic takes for a boolean.
_BOOLEANS = ("true", "false", "t", "f", "yes", "no", "y", "n", "on", "off", "1", "0")
_BOOLEAN_SCHEMA = {
    "anyOf": [
        {"type": "boolean"},
        {"enum": [0, 1]},
        {"type": "string", "pattern": _in_any_case(_BOOLEANS)},
    ]
}

_NUMBER = Annotated[float, Field(strict=True, allow_inf_nan=False)]

_TYPES: dict[str, Any] = {
    "number": _NUMBER,
    "category": Annotated[
        StrictStr,
        BeforeValidator(_whole_as_text),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    ],
    "text": StrictStr,
    "boolean": Annotated[bool, WithJsonSchema(_BOOLEAN_SCHEMA)],
    "date": Annotated[
        StrictStr,
        AfterValidator(_iso_date),
        WithJsonSchema({"type": "string", "format": "date"}),
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

    Each method that reads raises a `UsageError` with the first problems. No more are
    looked for: the work and the memory for a request are bounded by its size.

    Parameters
    ----------
    hidden : collection of str
        Columns whose values no error shows.
    """

    def __init__(self, signature: Signature, hidden: Collection[str] = ()) -> None:
        self.signature = signature
        self.names = [f.name for f in signature.features]
        self._known = frozenset(self.names)
        self._hidden = frozenset(hidden)
        # A dict and no class with attributes: the name of a column can be any text.
        types = {f.name: _type_of(f) | None for f in signature.features}
        row = cast(Any, TypedDict)("Row", types)
        self.row: Any = pydantic.with_config(_STRICT)(row)
        self._rows: Any = TypeAdapter(list[self.row])  # type: ignore[name-defined]
        self._at_once = max(1, _VALUES_AT_ONCE // max(1, len(self.names)))

    def rows(self, content: bytes) -> list[dict[str, Any]]:
        """Return the rows of ``{"rows": ROW or [ROW, ...]}``, or of one bare row.

        Each has every feature.
        """
        sent, prefix = self._sent_rows(parsed(content))
        return self.typed(sent, prefix)

    def typed(self, sent: list[Any], prefix: str) -> list[dict[str, Any]]:
        """Return rows in their types.

        Parameters
        ----------
        prefix : str
            What the keys of problems begin with; empty for a bare row.
        """
        if len(sent) > MAX_ROWS:
            raise UsageError(
                "too many rows for one request",
                key="rows",
                found=f"{len(sent):,}",
                allowed=f"{MAX_ROWS:,}",
                do="send several requests, or use `mlops predict` for a file",
            )
        rows: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for first in range(0, len(sent), self._at_once):
            part = sent[first : first + self._at_once]
            rows += self._checked(part, first, prefix, problems)
            if len(problems) > _MOST_PROBLEMS:
                break
        if problems:
            raise UsageError(*_first(problems))
        return rows

    def frame(self, rows: list[dict[str, Any]]) -> pd.DataFrame:
        """Return rows as the model takes them.

        Returns
        -------
        DataFrame, shape (n_rows, n_features)
        """
        import pandas as pd

        return pd.DataFrame(rows, columns=self.names)

    def label(self, content: bytes) -> tuple[str, str | float]:
        """Return prediction id and label of ``{"id": ..., "label": ...}``."""
        sent = self._feedback(parsed(content))
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

    def label_schema(self) -> dict[str, Any]:
        """Return what `label` takes for OpenAPI: the classes as JSON may write them."""
        if self.signature.task == "regression":
            return {"type": "number"}
        allowed: list[Any] = []
        for name in self.signature.classes:
            allowed += [name, name.lower()]
            if name.lower() in ("true", "false"):
                allowed.append(name.lower() == "true")
            with suppress(ValueError):
                number = int(name[:20])
                allowed += [number] if str(number) == name else []
        distinct = {(type(value), value): value for value in allowed}
        return {"enum": list(distinct.values())}

    def openapi(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return ``/predict``'s request body for OpenAPI, with a row that works."""
        row = TypeAdapter(self.row).json_schema()
        many = {"type": "array", "items": row, "minItems": 1, "maxItems": MAX_ROWS}
        wrapped = {
            "type": "object",
            "properties": {"rows": {"anyOf": [row, many]}},
            "required": ["rows"],
            "additionalProperties": False,
        }
        schema = {"anyOf": [wrapped, row]}
        content = {"schema": schema, "example": {"rows": example}}
        return {"required": True, "content": {"application/json": content}}

    def openapi_of_row(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return ``/explain``'s request body for OpenAPI, with a row that works."""
        content = {"schema": TypeAdapter(self.row).json_schema(), "example": example}
        return {"required": True, "content": {"application/json": content}}

    def one_row(self, content: bytes) -> dict[str, Any]:
        """Return the row of a request that has one.

        Raises
        ------
        UsageError
            As `rows`, and where there are several.
        """
        rows = self.rows(content)
        if len(rows) > 1:
            raise UsageError(
                "one row is explained at a time",
                key="rows",
                found=f"{len(rows):,}",
                allowed="1",
            )
        return rows[0]

    def _sent_rows(self, body: Any) -> tuple[list[Any], str]:
        """Return the rows of a body, not checked, and what their keys begin with."""
        if not isinstance(body, dict):
            raise UsageError("not a request", found=brief(body), do=_ADVICE)
        rows = body.get("rows")
        is_wrapped = isinstance(rows, dict | list)
        if "rows" in body and not is_wrapped and "rows" not in self._known:
            raise UsageError(
                "neither a row nor a list of rows",
                key="rows",
                found=brief(rows),
                do=_ADVICE,
            )
        if not is_wrapped:
            return [body], ""
        if len(body) > 1:
            others = (key for key in body if key != "rows")
            unknown = list(islice(others, _MOST_PROBLEMS + 1))
            problems = [self._unknown(key, key, ["rows"]) for key in unknown]
            raise UsageError(*_first(problems))
        if not rows:
            raise UsageError("there are no rows", key="rows", do=_ADVICE)
        return (rows if isinstance(rows, list) else [rows]), "rows."

    def _checked(
        self, part: list[Any], first: int, prefix: str, problems: list[Problem]
    ) -> list[dict[str, Any]]:
        """Return rows in their types; problems are added to those that there are.

        Parameters
        ----------
        first : int
            The number of the first row within the request.
        prefix : str
            Empty for a bare row, whose number nobody needs.
        """
        cleaned = []
        for index, row in enumerate(part, first):
            where = f"{prefix}{index}." if prefix else ""
            if isinstance(row, dict) and not row.keys() <= self._known:
                problems += self._unknown_keys(row, where)
                row = {name: row[name] for name in self.names if name in row}
            cleaned.append(row)
            if len(problems) > _MOST_PROBLEMS:
                return []
        try:
            return cast("list[dict[str, Any]]", self._rows.validate_python(cleaned))
        except pydantic.ValidationError as error:
            mistakes = error.errors(include_url=False, include_context=False)
        for mistake in mistakes[: _MOST_PROBLEMS + 1]:
            row_number, *names = mistake["loc"]
            key = ".".join(map(str, names))
            if prefix:
                number = first + int(row_number)
                key = f"{prefix}{number}.{key}" if key else f"{prefix}{number}"
            problems.append(self._problem(mistake, key))
        return []

    def _unknown_keys(self, row: Mapping[str, Any], where: str) -> Iterator[Problem]:
        """Yield the first keys that are no feature."""
        unknown = (key for key in row if key not in self._known)
        for key in islice(unknown, _MOST_PROBLEMS + 1):
            if not where and isinstance(row[key], dict | list):
                yield Problem("not a feature of the model", key=key, do=_ADVICE)
            else:
                yield self._unknown(key, where + key[:200], self.names)

    def _unknown(self, key: str, where: str, allowed: Collection[str]) -> Problem:
        advice = did_you_mean(key, allowed)
        return Problem("Extra inputs are not permitted", key=where, do=advice)

    def _feedback(self, body: Any) -> Feedback:
        try:
            return Feedback.model_validate(body)
        except pydantic.ValidationError as error:
            mistakes = error.errors(include_url=False, include_context=False)
        problems = []
        for mistake in mistakes[: _MOST_PROBLEMS + 1]:
            key = ".".join(map(str, mistake["loc"]))
            problems.append(Problem(mistake["msg"], key=key))
        raise UsageError(*_first(problems))

    def _problem(self, mistake: Any, key: str) -> Problem:
        """Return one of pydantic's errors as a problem."""
        if mistake["type"] == "missing":
            advice = "send null where it is not known"
            return Problem(mistake["msg"], key=key, do=advice)
        if mistake["loc"][-1] in self._hidden:
            return Problem("not a valid value", key=key)
        return Problem(mistake["msg"], key=key, found=brief(mistake["input"]))


def brief(value: Any) -> str:
    """Return a value as a short text, whatever it is."""
    try:
        return short_repr(value)
    except ValueError:  # an integer of more digits than Python converts
        return "a number with thousands of digits"


def parsed(content: bytes) -> Any:
    """Return what a body holds."""
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise UsageError("the body is not JSON", found=str(error), do=_ADVICE) from None


def _first(problems: list[Problem]) -> list[Problem]:
    """Return as many problems as an answer has."""
    if len(problems) <= _MOST_PROBLEMS:
        return problems
    more = Problem(f"only the first {_MOST_PROBLEMS} problems are listed")
    return [*problems[:_MOST_PROBLEMS], more]

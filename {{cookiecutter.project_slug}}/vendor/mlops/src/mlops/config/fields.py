"""The types of values that specifications are made of, each with its limits.

Limits are wide: they keep out what would overflow, what numpy refuses as a seed and
what no file system or library can use, so that a mistake is named with its key.
"""

from __future__ import annotations

import codecs
import re
from datetime import date, datetime
from math import isfinite
from pathlib import PurePath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from mlops.errors import UsageError

LARGEST_INTEGER = 2**63 - 1  # what other JSON readers, databases and numpy hold

LARGEST_AMOUNT = 1e12  # of money, size or loss: sums and products stay finite

_DEPTH = 20  # of a parameter's value

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _scalar(value: Any) -> Any:
    """Return a single JSON value, or raise one error for whatever else it is."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if abs(value) <= LARGEST_INTEGER:
            return value
        raise PydanticCustomError("integer_size", "this number has too many digits")
    if isinstance(value, float):
        if isfinite(value):
            return value
        raise PydanticKnownError("finite_number")
    raise PydanticCustomError(
        "scalar",
        "not a single value",
        {"expected": "text, a number, true, false or null", "do": _advice(value)},
    )


def _param(value: Any, depth: int = 0) -> Any:
    """Return any JSON value, or raise one error for what JSON cannot hold."""
    if depth > _DEPTH:
        raise PydanticCustomError("json_depth", "this value is nested too deep")
    if isinstance(value, list | tuple):
        return [_param(item, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise PydanticCustomError(
                    "json_key",
                    "a key must be text",
                    {"expected": "text", "do": "put the key in quotes"},
                )
        return {key: _param(item, depth + 1) for key, item in value.items()}
    try:
        return _scalar(value)
    except PydanticCustomError as error:
        if error.type != "scalar":
            raise
        raise PydanticCustomError(
            "json_value",
            "not a value that JSON holds",
            {
                "expected": "text, numbers, true, false, null, lists and mappings",
                "do": _advice(value),
            },
        ) from error


def _advice(value: Any) -> str:
    """Return what to do about a value that YAML made an object of."""
    return "put it in quotes" if hasattr(value, "isoformat") else ""


def _label(value: Any) -> Any:
    """Return a value that a target may have: text, a whole number or a truth value."""
    value = _scalar(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) <= LARGEST_INTEGER:
            return int(value)
        raise PydanticCustomError(
            "label",
            "not a class of the target",
            {"expected": "text, a whole number, true or false"},
        )
    return value


# How an address begins; a path of Windows (`C:/data`) does not.
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def _source(pattern: str) -> str:
    """Return a path, glob or address that can name files."""
    if ADDRESS.match(pattern):
        return _address(pattern)
    wrong = ""
    if not pattern.strip():
        wrong = "this path is empty"
    elif "\0" in pattern or "\n" in pattern:
        wrong = "this is not a path"
    elif not PurePath(pattern).name or PurePath(pattern).name == "..":
        wrong = "this is a folder, not a file or glob"
    else:
        parts = PurePath(pattern).parts
        if any("**" in part and part != "**" for part in parts):
            wrong = "`**` stands for folders and must be a part of its own"
    if wrong:
        raise PydanticCustomError(
            "source", "{wrong}", {"wrong": wrong, "expected": "such as data/*.csv"}
        )
    return pattern


def without_secrets(address: str) -> str:
    """Return an address without user, password and query, to be shown and stored.

    A path is returned as it is.
    """
    if not ADDRESS.match(address):
        return address
    scheme, _, rest = address.partition("://")
    plain = re.split("[?#]", rest, maxsplit=1)[0]
    host, slash, path = plain.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _address(text: str) -> str:
    """Return an address of objects in a bucket, or of one file on a web server.

    An error shows neither credentials nor a query, which may hold a signature.
    """
    try:
        parts = urlsplit(text)
    except ValueError:  # of the host
        parts = urlsplit("")
    plain = without_secrets(text)
    wrong = ""
    if parts.scheme not in ("s3", "https"):
        wrong = "an address of this kind is not supported"
    elif "@" in parts.netloc:
        wrong = "credentials do not belong in a file of the repository"
    elif not text.isprintable() or (parts.scheme != "s3" and " " in text):
        wrong = "this is not an address"
    elif parts.fragment or (parts.scheme == "s3" and parts.query):
        wrong = "`?` and `#` have no meaning in this address"
    elif not PurePath(parts.path).name or parts.path.endswith("/"):
        wrong = "this address names no file"
    elif parts.scheme == "s3" and not _BUCKET.fullmatch(parts.netloc):
        wrong = "no bucket has this name"
    elif parts.scheme == "https" and ("*" in parts.path or not parts.hostname):
        wrong = "an address on a web server names one file"
    if wrong:
        raise PydanticCustomError(
            "source",
            "{wrong}",
            {
                "wrong": wrong,
                "found": plain,
                "expected": "a path, s3://bucket/folder/*.parquet or "
                "https://host/file.csv",
            },
        )
    return text


def require_source(text: str, key: str) -> None:
    """Raise UsageError where an option does not name files."""
    try:
        _source(text)
    except PydanticCustomError as error:
        context = error.context or {}
        raise UsageError(
            str(context.get("wrong", "")),
            key=key,
            found=without_secrets(text),
            allowed=str(context.get("expected", "")),
        ) from None


def _encoding(name: str) -> str:
    """Return an encoding that Python reads text with."""
    try:
        known = codecs.lookup(name)
        text = codecs.lookup(name)._is_text_encoding and bool("a".encode(known.name))
    except (LookupError, ValueError, UnicodeError):
        text = False
    if not text:
        raise PydanticCustomError(
            "encoding",
            "no encoding of this name",
            {"expected": "utf-8, utf-16, latin-1, cp1252 and others that Python knows"},
        )
    return name


def _day(value: Any) -> date:
    """Return a day of the calendar, which YAML has read or left as text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError(
        "day", "not a day of the calendar", {"expected": "such as 2026-12-24"}
    )


_ANY_SCALAR = {
    "anyOf": [{"type": t} for t in ("boolean", "integer", "number", "string", "null")]
}

_ANY_LABEL = {"anyOf": [{"type": t} for t in ("boolean", "integer", "string", "null")]}

Scalar = Annotated[
    bool | int | float | str | None,
    BeforeValidator(_scalar),
    WithJsonSchema(_ANY_SCALAR),
]

Param = Annotated[
    Any,
    BeforeValidator(_param),
    WithJsonSchema({"description": "Any JSON value."}),
]

Label = Annotated[
    bool | int | str | None, BeforeValidator(_label), WithJsonSchema(_ANY_LABEL)
]

Fraction = Annotated[float, Field(gt=0, lt=1)]

Amount = Annotated[float, Field(ge=-LARGEST_AMOUNT, le=LARGEST_AMOUNT)]

Positive = Annotated[float, Field(gt=0, le=LARGEST_AMOUNT)]

NotPositive = Annotated[float, Field(ge=-LARGEST_AMOUNT, le=0)]

NotNegative = Annotated[float, Field(ge=0, le=LARGEST_AMOUNT)]

Seed = Annotated[int, Field(ge=0, lt=2**32, description="Seed of the random numbers.")]

Name = Annotated[str, Field(min_length=1, max_length=300)]

Words = Annotated[str, Field(max_length=20_000)]

Source = Annotated[str, Field(max_length=1000), AfterValidator(_source)]

Encoding = Annotated[str, AfterValidator(_encoding)]

Day = Annotated[
    date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})
]

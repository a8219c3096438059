"""What a line of the prediction log or of the feedback has to hold."""

from __future__ import annotations

import json
import re
from datetime import datetime
from hashlib import blake2b
from typing import Any

STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00"

LONGEST_ID = 200  # characters

_STAMP = re.compile(STAMP)
_DIGESTS = 1 << 64

_LARGEST_INTEGER = 2**63 - 1

# These are texts; whatever else a line has beside its features is an output.
_TEXTS = ("id", "at", "version", "model", "unit")

# A prediction and the id of a row may be texts or numbers.
_ANY = ("prediction", "row_id")


def loaded(raw: bytes) -> Any:
    """Return what a line holds; None for one that is not JSON."""
    try:
        value = json.loads(raw)
        if b"\\u" in raw:
            # Half of a character, which JSON can hold and no text file.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


def in_sample(key: str, share: float) -> bool:
    """Return whether a log that has a share of the predictions has this one.

    The same everywhere and always: a hash of the id decides, so that a larger share has
    all that a smaller one has.
    """
    if share >= 1:
        return True
    digest = blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _DIGESTS


def is_prediction(line: Any) -> bool:
    """Return whether a JSON value is a logged prediction."""
    if not isinstance(line, dict) or not isinstance(line.get("features"), dict):
        return False
    if not is_id(line.get("id")) or not is_stamp(line.get("at")):
        return False
    if not isinstance(line.get("version"), str):
        return False
    if not all(is_scalar(value) for value in line["features"].values()):
        return False
    return all(_is_sound(key, line[key]) for key in line if key != "features")


def is_label(line: Any) -> bool:
    """Return whether a JSON value is a label that was sent."""
    if not isinstance(line, dict) or not is_id(line.get("id")):
        return False
    label = line.get("label")
    return label is not None and is_scalar(label)


def is_id(value: Any) -> bool:
    """Return whether a value can be the id of a prediction."""
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_ID


def is_stamp(value: Any) -> bool:
    """Return whether a value is a time as a log writes it."""
    if not isinstance(value, str) or not _STAMP.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_scalar(value: Any) -> bool:
    """Return whether a value is one that a cell of a table can hold."""
    if isinstance(value, int):
        return abs(value) <= _LARGEST_INTEGER
    return value is None or isinstance(value, str | float)


def _is_sound(key: str, value: Any) -> bool:
    """Return whether a value is of the type that its key has."""
    if key in _TEXTS:
        return value is None or isinstance(value, str)
    if key in _ANY:
        return is_scalar(value)
    return is_scalar(value) and not isinstance(value, str)

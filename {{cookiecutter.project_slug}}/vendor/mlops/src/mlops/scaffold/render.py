"""The files of a new model's folder."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from mlops.scaffold.infer import Inference
from mlops.scaffold.inspect import Column

TEMPLATES = Path(__file__).parent / "templates"

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./-]*(?<! )")

_YAML_WORDS = {
    "y",
    "n",
    "yes",
    "no",
    "on",
    "off",
    "true",
    "false",
    "null",
    "nan",
    "inf",
}


def contract(inference: Inference) -> str:
    """Return the text of contract.py: what was seen, with room for what was not."""
    used = [c for c in inference.columns if c.role != "ignored"]
    numbers = [
        c for c in used if c.kind == "number" and c.role in {"feature", "target"}
    ]
    classes = [
        c for c in used if c.role == "target" and inference.spec["task"] != "regression"
    ]
    known = [
        c
        for c in used
        if c.role == "feature" and c.kind == "category" and not c.written
    ]
    values = {
        "fewest_rows": max(20, inference.rows // 2),
        "unique": [c.name for c in used if c.role == "id"],
        "missing": {c.name: _room_to_miss(c) for c in used},
        "ranges": {
            c.name: limits
            for c in numbers
            if c not in classes and (limits := _range(c))
        },
        # The first day of the year before.
        "earliest": {
            c.name: f"{max(2, int(c.earliest[:4])) - 1:04}-01-01"
            for c in used
            if c.earliest
        },
        "values": {c.name: list(c.values) for c in (*classes, *known) if c.values},
    }
    return fill_block("contract_py", values)


def features(inference: Inference) -> str:
    """Return the text of features.py."""
    used = [c for c in inference.columns if c.role == "feature"]
    dates = {c.name: c.written for c in used if c.kind == "date" or "%" in c.written}
    numbers = {
        c.name: "comma" in c.written for c in used if c.written and "%" not in c.written
    }
    text = (TEMPLATES / "features.py").read_text(encoding="utf-8")
    for name, value in (("NUMBERS", numbers), ("DATES", dates)):
        before, start, after = re.split(rf"(?m)^({name}: .* = ){{}}$", text)
        text = before + start + python_literal(value) + after
    return text


def _room_to_miss(column: Column) -> float:
    """Return none where none is missing, else half as much again, as a share of the rows."""
    share = column.missing / column.rows
    return min(1.0, round(1.5 * share + 0.02, 2)) if share else 0.0


def _range(column: Column) -> tuple[float, float] | None:
    """Return lowest and highest value with half the span as room; no room below zero.

    None where numbers end (1.8e308), as there is no room.
    """
    low, high = column.low or 0.0, column.high or 0.0
    if max(abs(low), abs(high)) > 1e300:
        return None
    room = (high - low) / 2
    digits = 1 - math.floor(math.log10(room))
    return (0.0 if 0 <= low <= room else round(low - room, digits)), round(
        high + room, digits
    )


def fill_block(block: str, values: dict[str, Any]) -> str:
    """Return a block of `model.j2` with these values in it."""
    import jinja2

    environment = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "yaml": _yaml,
        "python": python_literal,
        "comment": _comment,
    }
    template = environment.from_string(
        (TEMPLATES / "model.j2").read_text(encoding="utf-8")
    )
    return "".join(template.blocks[block](template.new_context(values)))


def _comment(text: str) -> str:
    """Return a comment of one line, whatever is in the name of a column."""
    return f" # {' '.join(text.split())}" if text.isprintable() and text else ""


def _yaml(value: Any) -> str:
    """Return a value as YAML 1.2 that reads the same in 1.1; text is quoted where it has to be."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if (
        isinstance(value, str)
        and _PLAIN.fullmatch(value)
        and value.lower() not in _YAML_WORDS
    ):
        return value
    # JSON is YAML but for characters that cannot be printed.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def python_literal(value: Any, taken: int = 0) -> str:
    """Return a value as Python source, one item per line, as ruff would format it."""
    if isinstance(value, dict) and value:
        keys = {python_literal(key): item for key, item in value.items()}
        items = [
            f"    {key}: {python_literal(item, 8 + len(key))},\n"
            for key, item in keys.items()
        ]
        return "{\n" + "".join(items) + "}"
    if isinstance(value, list):
        line = f"[{', '.join(map(python_literal, value))}]"
        items = [f"        {python_literal(item)},\n" for item in value]
        return line if len(line) + taken <= 100 else "[\n" + "".join(items) + "    ]"
    text = repr(value)
    return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text

"""The texts of a new model's files, one template for each."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.scaffold.infer import Inference
from mlops.scaffold.inspect import Column

if TYPE_CHECKING:
    import jinja2


TEMPLATES = Path(__file__).parent / "templates"

_LINE = 88  # characters, as ruff has it

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./-]*(?<! )")

# What YAML 1.1 takes for something else than text.
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


# -- the files ------------------------------------------------------------------------


def model_yaml(inference: Inference, owner: str, source: str) -> str:
    """Return the text of model.yaml.

    Parameters
    ----------
    inference : Inference
    owner : str
        Who answers for the model.
    source : str
        Where the data is, relative to the model's folder.
    """
    spec = dict(inference.spec)
    spec["owner"] = owner
    spec["data"] = {**spec["data"], "source": source}
    columns = {column.name: column for column in inference.columns}
    return _fill("model.yaml.j2", {**spec, "columns": columns})


def contract(inference: Inference) -> str:
    """Return the text of contract.py: what was seen, with room for what was not."""
    used = [c for c in inference.columns if c.role != "ignored"]
    features = [c for c in used if c.role == "feature"]
    targets = [c for c in used if c.role == "target"]
    classes = targets if inference.spec["task"] != "regression" else []
    categories = [c for c in features if c.kind == "category" and not c.written]

    ranges = {}
    for column in used:
        if column.kind == "number" and column in (*features, *targets):
            limits = _range(column)
            if limits and column not in classes:
                ranges[column.name] = limits
    earliest = {}
    for column in used:
        if column.earliest:  # the first day of the year before
            year = max(2, int(column.earliest[:4])) - 1
            earliest[column.name] = f"{year:04}-01-01"
    return _fill(
        "contract.py.j2",
        {
            "fewest_rows": max(20, inference.rows // 2),
            "unique": [c.name for c in used if c.role == "id"],
            "missing": {c.name: _room_to_miss(c) for c in used},
            "ranges": ranges,
            "earliest": earliest,
            "values": {
                c.name: list(c.values) for c in (*classes, *categories) if c.values
            },
        },
    )


def features(inference: Inference) -> str:
    """Return the text of features.py."""
    used = [c for c in inference.columns if c.role == "feature"]
    dates = {}
    numbers = {}
    for column in used:
        if column.kind == "date":
            dates[column.name] = ""
        elif "%" in column.written:
            dates[column.name] = column.written
        elif column.converted:
            numbers[column.name] = "comma" in column.written
    values = {"dates": dates, "numbers": numbers, "texts": _texts(inference)}
    return _fill("features.py.j2", values)


def estimator(inference: Inference) -> str:
    """Return the text of estimator.py."""
    return _fill("estimator.py.j2", {"texts": _texts(inference)})


def tests() -> str:
    """Return the text of the model's own tests."""
    return _fill("test_model.py.j2", {})


def _texts(inference: Inference) -> list[str]:
    return [name for name, kind in inference.spec["features"].items() if kind == "text"]


# -- what stands in them --------------------------------------------------------------


def _room_to_miss(column: Column) -> float:
    """Return the largest share that may be missing: none, or half as much again."""
    if not column.missing:
        return 0.0
    share = column.missing / column.rows
    return min(1.0, round(1.5 * share + 0.02, 2))


def _range(column: Column) -> tuple[float, float] | None:
    """Return lowest and highest value with half the span as room; no room below zero.

    None where numbers end (1.8e308), as there is no room.
    """
    low = column.low or 0.0
    high = column.high or 0.0
    if max(abs(low), abs(high)) > 1e300:
        return None
    room = (high - low) / 2
    digits = 1 - math.floor(math.log10(room))
    least = round(low - room, digits)
    if 0 <= low <= room:
        least = 0.0
    return least, round(high + room, digits)


# -- values as text -------------------------------------------------------------------


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["yaml"] = _yaml
    environment.filters["python"] = python_literal
    environment.filters["comment"] = _comment
    return environment


def _fill(template: str, values: dict[str, Any]) -> str:
    """Return a template with these values in it."""
    return _environment().get_template(template).render(values)


def _comment(text: str) -> str:
    """Return a comment of one line, whatever is in the name of a column."""
    if not text or not text.isprintable():
        return ""
    return f" # {' '.join(text.split())}"


def _yaml(value: Any) -> str:
    """Return a value as YAML 1.2 that reads the same in 1.1.

    Text is quoted where it has to be.
    """
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        items = [f"{_yaml(key)}: {_yaml(item)}" for key, item in value.items()]
        return f"{{{', '.join(items)}}}"
    if isinstance(value, str) and _is_plain(value):
        return value
    # JSON is YAML but for characters that cannot be printed.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _is_plain(text: str) -> bool:
    """Return whether text means itself in YAML without quotes."""
    return bool(_PLAIN.fullmatch(text)) and text.lower() not in _YAML_WORDS


def python_literal(value: Any, taken: int = 0) -> str:
    """Return a value as Python source, as ruff would format it.

    Parameters
    ----------
    value : dict, list, str, float or bool
    taken : int
        Characters of the line that stand before the value.
    """
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            name = python_literal(key)
            lines.append(f"    {name}: {python_literal(item, 8 + len(name))},\n")
        return "{\n" + "".join(lines) + "}"
    if isinstance(value, list):
        return _list_literal(value, taken)
    text = repr(value)
    if text.startswith("'") and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def _list_literal(values: list[Any], taken: int) -> str:
    """Return a list on one line where it fits, else one item a line."""
    line = f"[{', '.join(map(python_literal, values))}]"
    if len(line) + taken <= _LINE:
        return line
    lines = [f"        {python_literal(item)},\n" for item in values]
    return "[\n" + "".join(lines) + "    ]"

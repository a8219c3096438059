"""Reading `model.yaml` and `project.yaml`: every mistake at once, each with its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlops.errors import Problem, UsageError, did_you_mean
from mlops.spec import ModelSpec

T = TypeVar("T", bound=BaseModel)


def load_yaml(path: Path) -> Any:
    """Read a YAML 1.2 file; a key that stands twice is an error.

    Raises
    ------
    UsageError
        When the file is missing, is not UTF-8, or is not YAML; with the line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError("there is no such file", file=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot be read: {error}", file=str(path), do="save it as UTF-8"
        ) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        text = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"not valid YAML: {text}", file=str(path), key=place) from error


def parse(cls: type[T], raw: Any, file: str) -> T:
    """Return `raw` as an instance of `cls`.

    Raises
    ------
    UsageError
        With one Problem for every mistake.
    """
    if not isinstance(raw, dict):
        raise UsageError("this file must hold keys and values", file=file, found=type(raw).__name__)
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        raise UsageError(*(_problem(cls, item, file) for item in error.errors())) from error
    except UsageError as error:
        raise UsageError(*(Problem(**{**vars(p), "file": file}) for p in error.problems)) from error


def _problem(cls: type[BaseModel], item: Any, file: str) -> Problem:
    """Return one pydantic error in our words."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    found = item["input"]
    if item["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(cls, location[:-1]))
        return Problem(
            "unknown key",
            file=file,
            key=key,
            found=location[-1],
            allowed=", ".join(allowed),
            do=did_you_mean(location[-1], allowed),
        )
    if item["type"] == "missing":
        return Problem("this key is missing", file=file, key=key, do=f"add `{location[-1]}`")
    expected = str(item.get("ctx", {}).get("expected", ""))
    return Problem(
        item["msg"][0].lower() + item["msg"][1:],
        file=file,
        key=key,
        found=repr(found)[:80],
        allowed=expected,
    )


def _fields_at(cls: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys that are allowed at a place of the document."""
    schema = cls.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = _resolve(schema, node)
        inside = node.get("items") or node.get("additionalProperties") or {}
        node = node.get("properties", {}).get(part) or inside
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref` and the first object of `anyOf`."""
    for option in node.get("anyOf", []):
        if "$ref" in option:
            node = option
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def load_spec(path: Path, shown: str | None = None) -> ModelSpec:
    """Read `model.yaml`; `shown` is the path that errors name."""
    return parse(ModelSpec, load_yaml(path), shown or str(path))

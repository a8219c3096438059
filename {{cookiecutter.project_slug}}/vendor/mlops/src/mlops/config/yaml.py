"""YAML files as validated objects, with errors that name file and key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mlops.errors import Problem, UsageError, did_you_mean
from mlops.io.user_code import T

# -- files of YAML: every mistake at once, each with its key --------------------------------------


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
        what, do = f"cannot be read: {error}", "save it as UTF-8"
        raise UsageError(what, file=str(path), do=do) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        text = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(
            f"not valid YAML: {text}", file=str(path), key=place
        ) from error


def parse(cls: type[T], raw: Any, file: str) -> T:
    """Return `raw` as an instance of `cls`.

    Raises
    ------
    UsageError
        With one Problem for every mistake.
    """
    if not isinstance(raw, dict):
        raise UsageError(
            "this file must hold keys and values", file=file, found=type(raw).__name__
        )
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        raise UsageError(
            *(_problem(cls, item, file) for item in error.errors())
        ) from error
    except UsageError as error:
        raise UsageError(*(replace(p, file=file) for p in error.problems)) from error


def _problem(cls: type[BaseModel], item: Any, file: str) -> Problem:
    """Return one pydantic error in our words."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        last, allowed = location[-1], sorted(_fields_at(cls, location[:-1]))
        about = {
            "found": last,
            "allowed": ", ".join(allowed),
            "do": did_you_mean(last, allowed),
        }
        return Problem("unknown key", file, key, **about)
    if item["type"] == "missing":
        return Problem("this key is missing", file, key, do=f"add `{location[-1]}`")
    what = item["msg"][0].lower() + item["msg"][1:]
    expected = str(item.get("ctx", {}).get("expected", ""))
    return Problem(what, file, key, found=repr(item["input"])[:80], allowed=expected)


def _fields_at(cls: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys that are allowed at a place of the document."""
    for part in location:
        if part in cls.model_fields:
            cls = _class_in(cls.model_fields[part].annotation) or cls
    return list(cls.model_fields)


def _class_in(annotation: Any) -> type[BaseModel] | None:
    """Return the class of keys and values that a type is, or has inside."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_class_in(inside) for inside in get_args(annotation))
    return next((cls for cls in found if cls), None)

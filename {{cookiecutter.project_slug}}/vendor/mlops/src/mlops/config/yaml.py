"""YAML files as validated objects, with errors that name file and key.

A file is limited in size, depth and in what its aliases stand for, before anything is
expanded: a few lines of YAML can otherwise describe more than a machine can hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from mlops.errors import MOST, Problem, UsageError, did_you_mean

Spec = TypeVar("Spec", bound=BaseModel)

MOST_BYTES = 400_000  # thousands of columns fit; reading it takes about three seconds

MOST_DEPTH = 30

MOST_PROBLEMS = 50  # shown at once; a reader fixes these first

# What would turn the text around it: embeddings, overrides and isolates.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def load_yaml(path: Path) -> Any:
    """Read a YAML 1.2 file; a key that stands twice is an error.

    Raises
    ------
    UsageError
        When the file is missing, too large, not UTF-8 or not YAML (with the line), or
        nested or aliased beyond the limits.
    """
    return load_text(read_yaml(path), str(path))


def read_yaml(path: Path) -> str:
    """Return the text of a YAML file.

    Raises
    ------
    UsageError
        When the file is missing, too large or not UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UsageError(
                "this file is too large",
                file=str(path),
                found=f"{size:,} bytes",
                allowed=f"at most {MOST_BYTES:,} bytes",
                do="keep data out of it",
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError("there is no such file", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"this file is not UTF-8: {error.reason} at byte {error.start}",
            file=str(path),
            do="save it as UTF-8",
        ) from error
    except OSError as error:
        raise UsageError(
            f"cannot be read: {(error.strerror or str(error)).lower()}",
            file=str(path),
            do="check the path and its permissions",
        ) from error


def load_text(text: str, file: str) -> Any:
    """Return what YAML text holds; `file` is the name that errors give.

    Raises
    ------
    UsageError
        As `load_yaml`.
    """
    from ruamel.yaml.error import YAMLError

    from mlops.config.yaml_reader import limited_reader

    try:
        return limited_reader(MOST_DEPTH).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        position = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(
            f"not valid YAML: {problem}", file=file, key=position
        ) from error
    except RecursionError as error:
        raise UsageError("this file is nested too deep", file=file) from error


def _unfit(value: Any, path: tuple[str, ...]) -> Iterator[Problem]:
    """Yield what no specification may hold, such as control characters."""
    if len(path) > MOST_DEPTH:
        yield Problem("this is nested too deep", key=".".join(path[:8]))
    elif isinstance(value, dict):
        for key, inner in value.items():
            inner_path = (*path, key if isinstance(key, str) else _shown(key))
            if not isinstance(key, str):
                yield Problem(
                    "a key must be text",
                    key=".".join(inner_path),
                    found=f"{_shown(key)} ({type(key).__name__})",
                    do="put it in quotes",
                )
            yield from _unfit(key, inner_path)
            yield from _unfit(inner, inner_path)
    elif isinstance(value, list | tuple | set):
        for at, inner in enumerate(value):
            yield from _unfit(inner, (*path, str(at)))
    elif isinstance(value, str):
        control = next((c for c in value if _controls(c)), None)
        if control is not None:
            yield Problem(
                "this text contains a control character",
                key=".".join(path),
                found=f"U+{ord(control):04X} in {value[:60]!r}",
                do="remove it",
            )


def _controls(character: str) -> bool:
    """Return whether a character controls a terminal or is half of a character."""
    if character in "\n\t":
        return False
    code = ord(character)
    if code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000:
        return True
    return character in _BIDI


def parse(cls: type[Spec], raw: Any, file: str) -> Spec:
    """Return `raw` as an instance of `cls`.

    Raises
    ------
    UsageError
        With one Problem for every mistake, each of at most 500 characters.
    """
    if not isinstance(raw, dict):
        raise UsageError(
            "this file must hold keys and values", file=file, found=type(raw).__name__
        )
    unfit = list(islice(_unfit(raw, ()), MOST_PROBLEMS))
    if unfit:
        problems = [replace(problem, file=file) for problem in unfit]
        raise UsageError(*_limited(problems))
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        items = error.errors()
        problems = [_problem(cls, item, file) for item in items[:MOST_PROBLEMS]]
        rest = len(items) - len(problems)
        raise UsageError(*_limited(problems, rest)) from error
    except UsageError as error:
        problems = [replace(problem, file=file) for problem in error.problems]
        raise UsageError(*_limited(problems)) from error


def _limited(problems: list[Problem], rest: int = 0) -> list[Problem]:
    """Return problems once each, as many and as long as can be read.

    Parameters
    ----------
    problems : list of Problem
    rest : int
        How many more there are.
    """
    unique = list(dict.fromkeys(problem.within(MOST) for problem in problems))
    shown = unique[:MOST_PROBLEMS]
    rest += len(unique) - len(shown)
    if rest:
        shown.append(Problem(f"and {rest:,} more mistakes", shown[0].file))
    return shown


def _problem(cls: type[BaseModel], item: Any, file: str) -> Problem:
    """Return one of pydantic's errors as a problem."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        last = location[-1]
        allowed = sorted(_fields_at(cls, location[:-1]))
        return Problem(
            "unknown key",
            file,
            key,
            found=last,
            allowed=", ".join(allowed),
            do=did_you_mean(last, allowed),
        )
    if item["type"] == "missing":
        return Problem("this key is missing", file, key, do=f"add `{location[-1]}`")
    message = item["msg"]
    context = item.get("ctx", {})
    return Problem(
        message[:1].lower() + message[1:],
        file,
        key,
        found=str(context.get("found", "")) or _shown(item["input"]),
        allowed=str(context.get("expected", "")),
        do=str(context.get("do", "")),
    )


def _shown(value: Any) -> str:
    """Return a value as errors show it, whatever its size."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python converts
        return "a number with thousands of digits"
    return text if len(text) <= 80 else f"{text[:79]}…"


def _fields_at(cls: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys that are allowed at a place of the document."""
    for part in location:
        if part in cls.model_fields:
            cls = _class_in(cls.model_fields[part].annotation) or cls
    return [field.alias or name for name, field in cls.model_fields.items()]


def _class_in(annotation: Any) -> type[BaseModel] | None:
    """Return the class of keys and values that a type is, or has inside."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inside in get_args(annotation):
        cls = _class_in(inside)
        if cls is not None:
            return cls
    return None

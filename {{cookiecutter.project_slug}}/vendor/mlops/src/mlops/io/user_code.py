"""Functions loaded from the user's Python files; errors in them name file and line."""

from __future__ import annotations

import ast
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlops.errors import MlopsError, Refused, UsageError, out_of_memory

_ran: set[str] = set()

_kept_from: list[str] = []


@contextmanager
def kept_from(command: str) -> Iterator[None]:
    """Let no code of a model run, neither here nor in a process for it.

    Parameters
    ----------
    command : str
        What must not run any, for the message.
    """
    _kept_from.append(command)
    try:
        yield
    finally:
        _kept_from.pop()


def require_allowed(shown: str) -> None:
    """Stop before code of a model runs where it must not.

    Raises
    ------
    RuntimeError
        It is a defect of the engine.
    """
    if _kept_from:
        raise RuntimeError(
            f"`mlops {_kept_from[-1]}` runs no code of a model, and was to run {shown}"
        )


def note_run(shown: str) -> None:
    """Remember that a file of the user is run in this process.

    Raises
    ------
    RuntimeError
        Where none may be run.
    """
    require_allowed(shown)
    _ran.add(shown)


def has_run() -> bool:
    """Return whether any file of the user was run in this process."""
    return bool(_ran)


def parse_python(source: bytes, shown: str) -> ast.Module:
    """Return a Python file as a syntax tree.

    Parameters
    ----------
    source : bytes
        The file's content.
    shown : str
        The path that errors name.

    Raises
    ------
    UsageError
        For a syntax error, with its line.
    """
    try:
        return ast.parse(source, filename=shown)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise UsageError(
            f"not valid Python: {error}",
            file=shown,
            key=f"line {line}" if line else "",
            do="fix the file and run again",
        ) from error


def load_function(source: bytes, shown: str, name: str) -> Callable[..., Any]:
    """Run a Python file that stands alone and return one function of it.

    Parameters
    ----------
    source : bytes
        The file's content.
    shown : str
        The path that errors name.
    name : str
        The function that the file must define.

    Raises
    ------
    UsageError
        For a syntax error (with its line), an error while the file runs, or a function
        that is missing.
    """
    tree = parse_python(source, shown)
    stem = shown.rsplit("/", 1)[-1].removesuffix(".py")
    module = types.ModuleType(f"mlops_user_{stem}")
    module.__file__ = shown
    note_run(shown)
    with blaming(shown):
        exec(compile(tree, shown, "exec"), module.__dict__)
    function = getattr(module, name, None)
    if not callable(function):
        message = f"this file must define `def {name}(...)`"
        raise UsageError(message, file=shown, do=f"write `{name}`")
    return function  # type: ignore[no-any-return]


@contextmanager
def blaming(shown: str) -> Iterator[None]:
    """Turn an exception out of the user's code into one error that names file and line.

    The file is the last one of the same folder that took part, `shown` where none did.
    An exception that ends the process is one too: code that could do that would decide
    how the command ends.

    Raises
    ------
    Refused
        When the code ends the process.
    EnvironmentFailure
        When there is not enough memory for it.
    UsageError
        For any other exception.
    """
    try:
        yield
    except MlopsError:
        raise
    except SystemExit as error:
        file, line = _line_of(error, shown)
        raise Refused(
            "this code ends the process (exit, sys.exit or raise SystemExit)",
            file=file,
            key=line,
            do="return or raise an exception instead",
        ) from error
    except MemoryError as error:
        raise out_of_memory(_line_of(error, shown)[0]) from error
    except Exception as error:
        file, line = _line_of(error, shown)
        message = (str(error).strip().splitlines() or ["no message"])[0][:300]
        raise UsageError(
            f"{type(error).__name__}: {message}",
            file=file,
            key=line,
            do="fix the file and run again",
        ) from error


def _line_of(error: BaseException, shown: str) -> tuple[str, str]:
    """Return the innermost file of the folder that an error came through, and line."""
    folder = shown.rpartition("/")[0] + "/"
    places = [
        (frame.f_code.co_filename, f"line {line}")
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.startswith(folder)
    ]
    return places[-1] if places else (shown, "")

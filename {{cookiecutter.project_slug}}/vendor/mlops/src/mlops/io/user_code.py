"""Functions loaded from the user's Python files."""

from __future__ import annotations

import ast
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel

from mlops.errors import MlopsError, Refused, UsageError

T = TypeVar("T", bound=BaseModel)

# -- files of Python: what goes wrong in them is told with file and line --------------------------


def load_function(
    source: bytes, shown: str, name: str, imports: frozenset[str] | None = None
) -> Callable[..., Any]:
    """Run a Python file and return one function of it.

    Parameters
    ----------
    source : bytes
        The file's content.
    shown : str
        The path that errors name.
    name : str
        The function that the file must define.
    imports : frozenset of str, optional
        Top-level packages that the file may import; None: any.

    Raises
    ------
    UsageError
        For a syntax error (with its line), an import that is not allowed, an error while the file
        runs, or a function that is missing.
    """
    try:
        tree = ast.parse(source, filename=shown)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        key = f"line {line}" if line else ""
        raise UsageError(f"not valid Python: {error}", file=shown, key=key) from error
    if imports is not None:
        _check_imports(tree, shown, imports)
    module = types.ModuleType(
        f"mlops_user_{shown.rsplit('/', 1)[-1].removesuffix('.py')}"
    )
    module.__file__ = shown
    with blaming(shown):
        exec(compile(tree, shown, "exec"), module.__dict__)
    function = getattr(module, name, None)
    if not callable(function):
        what = f"this file must define `def {name}(...)`"
        raise UsageError(what, file=shown, do=f"write `{name}`")
    return function  # type: ignore[no-any-return]


def _check_imports(tree: ast.Module, shown: str, allowed: frozenset[str]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [("." * node.level) + (node.module or "")]
        else:
            continue
        for name in names:
            if name.split(".")[0] not in allowed:
                what = (
                    "this import is not allowed here: the file travels with the model"
                )
                line, others = f"line {node.lineno}", ", ".join(sorted(allowed))
                raise UsageError(what, file=shown, key=line, found=name, allowed=others)


@contextmanager
def blaming(shown: str) -> Iterator[None]:
    """Turn an exception out of the user's file into one error that names file and line.

    That includes `exit()`: code that could end the process would decide how the command
    ends.
    """
    try:
        yield
    except MlopsError:
        raise
    except SystemExit as error:
        lines = _lines(error, shown)
        raise Refused(
            "this code ends the process (exit, sys.exit or raise SystemExit)",
            file=shown,
            key=f"line {lines[-1]}" if lines else "",
            do="return or raise an exception instead",
        ) from error
    except Exception as error:
        lines = _lines(error, shown)
        said = (str(error).strip().splitlines() or ["no message"])[0][:300]
        what, key = (
            f"{type(error).__name__}: {said}",
            f"line {lines[-1]}" if lines else "",
        )
        raise UsageError(
            what, file=shown, key=key, do="mend the file and run again"
        ) from error


def _lines(error: BaseException, shown: str) -> list[int]:
    """Return the lines of a file that an exception came through, the innermost last."""
    frames = traceback.walk_tb(error.__traceback__)
    return [line for frame, line in frames if frame.f_code.co_filename == shown]

"""The user's own Python files: loading them, and naming the file and line of their errors."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlops.errors import MlopsError, UsageError


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
        raise UsageError(
            f"not valid Python: {error}", file=shown, key=f"line {line}" if line else ""
        ) from error
    if imports is not None:
        _check_imports(tree, shown, imports)
    module = types.ModuleType(f"mlops_user_{shown.rsplit('/', 1)[-1].removesuffix('.py')}")
    module.__file__ = shown
    with blaming(shown):
        exec(compile(tree, shown, "exec"), module.__dict__)
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(
            f"this file must define `def {name}(...)`", file=shown, do=f"write `{name}`"
        )
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
                raise UsageError(
                    "this import is not allowed here: the file travels with the model",
                    file=shown,
                    key=f"line {node.lineno}",
                    found=name,
                    allowed=", ".join(sorted(allowed)),
                )


@contextmanager
def blaming(shown: str) -> Iterator[None]:
    """Turn an exception out of the user's file into one error that names file and line."""
    try:
        yield
    except MlopsError:
        raise
    except Exception as error:
        line, frame = None, error.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == shown:
                line = frame.tb_lineno
            frame = frame.tb_next
        text = str(error).strip().splitlines()
        raise UsageError(
            f"{type(error).__name__}: {text[0][:300] if text else 'no message'}",
            file=shown,
            key=f"line {line}" if line else "",
            do="mend the file and run again",
        ) from error

"""Which files of a model's folder are code, and of which step."""

from __future__ import annotations

from pathlib import PurePosixPath

# Files whose name says which step runs them; every other Python file may be imported
# by any of them.
_CONTRACT = "contract.py"
_TRAINING = ("features.py", "estimator.py")


def is_contract(path: str) -> bool:
    """Return whether a file may decide what the data contract answers."""
    return _is_python(path) and path not in _TRAINING


def is_model(path: str) -> bool:
    """Return whether a file may decide what is trained."""
    return _is_python(path) and path != _CONTRACT


def is_test(path: str) -> bool:
    """Return whether a file may decide what the model's own tests answer.

    A test may read whatever lies beside it.
    """
    return _is_below_tests(path) or is_model(path)


def is_nothing(_path: str) -> bool:
    """Return False: the step runs no code of the model."""
    return False


def _is_python(path: str) -> bool:
    return path.endswith(".py") and not _is_below_tests(path)


def _is_below_tests(path: str) -> bool:
    return PurePosixPath(path).parts[0] == "tests"

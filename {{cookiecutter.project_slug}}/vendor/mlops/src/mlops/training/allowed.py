"""The types that a model file may contain: the reviewed list and the model's own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from mlops.training.code import ModelCode

# Written by scripts/allowed_types.py of the template and reviewed like code; it is part
# of the engine and never read from the file that is being loaded.
LIST = "allowed_types.txt"


@cache
def reviewed_types() -> frozenset[str]:
    """Return the types of scikit-learn and of what its estimators hold when fitted."""
    text = files("mlops.training").joinpath(LIST).read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return frozenset(line for line in lines if line)


def is_own(code: ModelCode | None, name: str) -> bool:
    """Return whether a type is a class or function that the model's own modules define.

    Those modules travel with the version, and the chain of digests covers them as it
    covers the model file.
    """
    if code is None:
        return False
    prefix = own_prefix(code)
    if not name.startswith(prefix):
        return False
    module, _, attribute = name.removeprefix(prefix).rpartition(".")
    if code.defines(module, attribute):
        return True
    module, _, owner = module.rpartition(".")  # a bound method: module.Class.method
    return code.defines(module, owner)


def own_prefix(code: ModelCode) -> str:
    """Return how a model file names the model's own modules."""
    return f"models.{code.model}."


def own_modules(types: Iterable[str], code: ModelCode) -> set[str]:
    """Return the model's own modules that define some of these types."""
    modules = set()
    for name in types:
        if is_own(code, name):
            inside = name.removeprefix(own_prefix(code))
            modules |= {m for m in code.modules if inside.startswith(f"{m}.")}
    return modules


def not_allowed(
    types: Iterable[str], extra: Iterable[str], code: ModelCode | None
) -> list[str]:
    """Return which types a model file may not contain, sorted.

    Parameters
    ----------
    types : iterable of str
        Full names, as skops gives them.
    extra : iterable of str
        `trusted_types` in project.yaml.
    code : ModelCode or None
        The modules that travel with the model.
    """
    known = reviewed_types() | set(extra)
    return sorted(
        name for name in types if name not in known and not is_own(code, name)
    )

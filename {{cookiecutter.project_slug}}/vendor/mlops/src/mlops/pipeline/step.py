"""What a step of the pipeline is: what it reads, what it writes, what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.pipeline.state import RunState


@dataclass(frozen=True)
class Step:
    """One step, as its own module declares it.

    Parameters
    ----------
    name : str
        As in `mlops NAME`.
    run : callable
        Does the step and returns whether it passed. The engine's code that the step
        depends on is all that the module of this function imports.
    keys : mapping, optional
        The keys of `model.yaml` that the step reads, as pydantic's `include` takes
        them; None: all of them.
    code : callable
        Takes the path of a file, relative to the model's folder, and says whether it
        is code of this step.
    reads : tuple of str
        Files in the build folder that steps before this one wrote.
    writes : tuple of str
        Files in the build folder that this step writes.
    runs_user_code : bool
        Whether the step runs the model's own code, and so is done in a process of its
        own.
    reads_data : bool
        Whether the step reads the files of `data.source` and `data.labels`.
    asks_production : bool
        Whether the outcome depends on the version in production.
    asks_part : bool
        Whether it reads the rows that judge: of the validation part or the test part.
    reads_ledger : bool
        Whether the outcome on the validation part depends on the questions that the
        test part was asked before.
    shows_commit : bool
        Whether the commit is part of what the step writes.
    """

    name: str
    run: Callable[[RunState], bool]
    keys: Mapping[str, Any] | None
    code: Callable[[str], bool]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    runs_user_code: bool = False
    reads_data: bool = False
    asks_production: bool = False
    asks_part: bool = False
    reads_ledger: bool = False
    shows_commit: bool = False


def keys(*names: str, **parts: tuple[str, ...]) -> dict[str, Any]:
    """Return keys of `model.yaml` in the form that pydantic's `include` takes.

    Parameters
    ----------
    *names : str
        Keys that are read with all that is below them.
    **parts : tuple of str
        Keys of which only some keys below are read.
    """
    include: dict[str, Any] = dict.fromkeys(names, True)
    for name, below in parts.items():
        include[name] = dict.fromkeys(below, True)
    return include

"""The engine of this repository: one command, `mlops`, for the whole life of a model.

Here is every way in which a command can say no, and the exit code that goes with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the words of the person who has to mend it.

    Parameters
    ----------
    what : str
        The problem in one sentence.
    file, key : str
        Where it is: a path (relative to the repository where possible) and the key or column.
    found, allowed : str
        What is there and what may be there.
    do : str
        What to do next.
    """

    what: str
    file: str = ""
    key: str = ""
    found: str = ""
    allowed: str = ""
    do: str = ""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.key) if part)
        lines = [f"{place}: {self.what}" if place else self.what]
        for label, text in (
            ("found", self.found),
            ("allowed", self.allowed),
            ("do", self.do),
        ):
            if text:
                lines.append(f"  {label + ':':<9}{text}")
        return "\n".join(lines)


class MlopsError(Exception):
    """A failure that the user can understand; the command line prints it without a traceback.

    Parameters
    ----------
    *problems : Problem or str
        All problems at once, so that one attempt shows everything there is to mend.
    **about : str
        The other parts of the one problem that a text stands for: file, key, found, allowed, do.
    """

    exit_code = 2

    def __init__(self, *problems: Problem | str, **about: str) -> None:
        self.problems = tuple(
            p if isinstance(p, Problem) else Problem(p, **about) for p in problems
        )
        super().__init__("\n".join(str(p) for p in self.problems))


class UsageError(MlopsError):
    """The input or the specification is wrong: exit code 2."""

    exit_code = 2


class Refused(MlopsError):
    """The question was understood and the answer is no: exit code 1."""

    exit_code = 1


class EnvironmentFailure(MlopsError):
    """Disk, network, permission or another program failed: exit code 3."""

    exit_code = 3


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """Return ``did you mean `x`?`` for the nearest allowed word, or an empty string."""
    near = difflib.get_close_matches(found, list(allowed), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""


def listed(items: Iterable[object], most: int = 8) -> str:
    """Return items as a short comma-separated text, the tail counted."""
    texts = [str(item) for item in items]
    tail = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + tail

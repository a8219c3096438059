"""Every way in which a command can fail, and the exit code that goes with it.

Exit codes: 0 yes, 1 failed, 2 wrong usage, 3 environment failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

# The most characters of each part of an error, so that no text of somebody's file or
# of a server floods a terminal.
_MOST = {
    "what": 600,
    "file": 400,
    "key": 160,
    "found": 400,
    "allowed": 600,
    "do": 600,
}

MOST = 500  # characters of an error about what a file holds

# What is shortened first where an error has to be shorter still.
_SHORTENED = ("allowed", "found", "key", "do", "what", "file")


def printable(value: object, most: int = 300) -> str:
    """Return a value as one printable line of at most `most` characters.

    White space becomes single spaces. Characters that control a terminal or the
    direction of text are dropped.
    """
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python converts
        text = "a number with thousands of digits"
    line = " ".join(text[: 4 * most].split())
    if not line.isprintable():
        line = "".join(c for c in line if c.isprintable())
        line = " ".join(line.split())
    if len(line) <= most:
        return line
    return line[: most - 1].rstrip() + "…"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the words of the person who has to fix it.

    Every part is one printable line of limited length, whatever it is made from.

    Parameters
    ----------
    what : str
        The problem in one sentence.
    file, key : str
        Where it is: a path (relative to the repository where possible) and the key or
        column.
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

    def __post_init__(self) -> None:
        for part in fields(self):
            text = printable(getattr(self, part.name), _MOST[part.name])
            object.__setattr__(self, part.name, text)

    def __str__(self) -> str:
        location = ": ".join(part for part in (self.file, self.key) if part)
        lines = [f"{location}: {self.what}" if location else self.what]
        for label, text in (
            ("found", self.found),
            ("allowed", self.allowed),
            ("do", self.do),
        ):
            if text:
                lines.append(f"  {label + ':':<9}{text}")
        return "\n".join(lines)

    def within(self, most: int) -> Problem:
        """Return the problem in at most `most` characters, at least 300."""
        problem = self
        for name in _SHORTENED:
            excess = len(str(problem)) - most
            if excess <= 0:
                break
            text = getattr(problem, name)
            room = max(40, len(text) - excess)
            problem = replace(problem, **{name: printable(text, room)})
        return problem


class MlopsError(Exception):
    """A failure that the user can understand; it is printed without a traceback.

    Parameters
    ----------
    *problems : Problem or str
        All problems at once, so that one attempt shows everything there is to fix.
    **about : str
        The other parts of the one problem that a text stands for: file, key, found,
        allowed, do.
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
    """The command was understood, and failed: exit code 1."""

    exit_code = 1


class EnvironmentFailure(MlopsError):
    """Disk, network, permission or another program failed: exit code 3."""

    exit_code = 3


def error_facts(error: MlopsError) -> dict[str, Any]:
    """Return an error as JSON values, for the process that asked."""
    problems = [asdict(problem) for problem in error.problems]
    return {"problems": problems, "exit_code": error.exit_code}


def error_of(facts: Mapping[str, Any], otherwise: str) -> MlopsError:
    """Return the error that another process sent by `error_facts`.

    Parameters
    ----------
    otherwise : str
        The problem, where these are no such facts.
    """
    kinds: dict[Any, type[MlopsError]] = {
        kind.exit_code: kind for kind in (UsageError, Refused, EnvironmentFailure)
    }
    kind = kinds.get(facts.get("exit_code"), Refused)
    try:
        problems = [Problem(**entry) for entry in facts["problems"]]
    except (KeyError, TypeError):
        problems = [Problem(otherwise)]
    return kind(*problems)


def out_of_memory(file: str = "") -> EnvironmentFailure:
    """Return the error for a process that was refused memory.

    Parameters
    ----------
    file : str
        What was being read or run.
    """
    return EnvironmentFailure(
        "there is not enough memory for this",
        file=file,
        do="close other programs, use a machine with more, or use fewer rows",
    )


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return ``did you mean `x`?`` for the nearest allowed word, or an empty string."""
    near = difflib.get_close_matches(name[:200], list(allowed), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""


def counted(n: int, noun: str) -> str:
    """Return ``1 row``, ``1,234 rows``; the noun is in the singular."""
    if n == 1:
        return f"{n:,} {noun}"
    return f"{n:,} {noun}s"


def megabytes(size: int) -> str:
    """Return a size in bytes as ``1,234.5 MB``."""
    return f"{size / 1e6:,.1f} MB"


def listed(items: Iterable[object], most: int = 8) -> str:
    """Return items as a short comma-separated text, the tail counted."""
    texts = [str(item) for item in items]
    tail = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + tail

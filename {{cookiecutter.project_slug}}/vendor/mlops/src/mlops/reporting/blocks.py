"""What every output is made of: tables, sections, summaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

# What stands before a row or a title: good is measured and passed, bad is failed,
# unsure asks for a person. What was measured only in part, what was not measured, and
# what nobody has written, is neither.
Tone = Literal["good", "bad", "unsure", "partly", "unmeasured", "unwritten", ""]


class Link(NamedTuple):
    """Where to read more; only pages have them, reports stand alone."""

    text: str
    href: str


Cell = str | tuple[Link, ...]

Row = tuple[Tone, tuple[Cell, ...]]


class Table(NamedTuple):
    """Rows, each with a tone; `align` has one letter per column, l or r."""

    title: str
    columns: Sequence[str]
    align: str
    rows: Sequence[Row]
    folded: bool = False


class Section(NamedTuple):
    """One part of a report; a table without rows is left out."""

    key: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()


class Summary(NamedTuple):
    """The result: a title and at most two sentences."""

    tone: Tone
    title: str
    lines: tuple[str, ...] = ()


class Chart(NamedTuple):
    """An SVG element, its section, its title, and what it shows in a sentence."""

    id: str
    section: str
    title: str
    alt: str
    svg: str

"""Tables and colours on a terminal."""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from mlops import settings
from mlops.reporting.words import MINUS, NONE, clean

# -- on a terminal, in colour only there -----------------------------------------------

_CODES = {
    "good": "32",
    "bad": "31",
    "unsure": "33",
    "partly": "33",
    "unmeasured": "33",
    "unwritten": "33",
    "muted": "2",
}

_TONES = {
    **dict.fromkeys(
        ("promote", "passed", "met", "holds", "ok", "production", "ran"), "good"
    ),
    **dict.fromkeys(
        (
            "reject",
            "failed",
            "not met",
            "below its threshold",
            "above its limit",
            "drift",
        ),
        "bad",
    ),
    **dict.fromkeys(
        (
            "inconclusive",
            "skipped",
            "partly measured",
            "not measured",
            "not measured: too few rows",
            "not declared",
            "not written",
            "deprecated",
            "unknown",
        ),
        "unsure",
    ),
}


def paint(text: str, style: str) -> str:
    """Return text in colour where standard output is a terminal that wants it."""
    if not style or not sys.stdout.isatty() or not settings.current().colour:
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def table(
    rows: Iterable[Mapping[str, object] | Sequence[object]],
    columns: Sequence[str],
    align: str = "",
) -> str:
    """Return rows under their columns, aligned.

    On a terminal the table fits its width: text is wrapped, and where that is not
    enough, columns of text are left out and named. Ids, versions, dates and numbers are
    never cut. Where even those do not fit, each row becomes a list.

    Heads are in capitals, except names: a version, the id of a run, a parameter.

    Parameters
    ----------
    rows : iterable of mappings or sequences
        A mapping is read by the names of the columns.
    columns : sequence of str
    align : str
        One letter per column, l or r; without it a column of numbers stands right.
    """
    read = [_values(row, columns) for row in rows]
    sides = align or "".join(map(_side, zip(*read, strict=True)))
    sides = sides or "l" * len(columns)
    heads = [name if re.search(r"[\d_]", name) else name.upper() for name in columns]
    body = [[_plain(value) for value in row] for row in read]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        return _fitted(heads, body, sides, width)
    return _joined(heads, body, sides)


def _values(
    row: Mapping[str, object] | Sequence[object], columns: Sequence[str]
) -> Sequence[object]:
    if isinstance(row, Mapping):
        return [row.get(name) for name in columns]
    return row


def _side(column: Sequence[object]) -> str:
    """Return where a column stands: numbers on the right, what is missing aside."""
    values = [value for value in column if value is not None]
    numbers = all(isinstance(value, int | float) for value in values)
    return "r" if values and numbers else "l"


def _joined(heads: list[str], body: list[list[str]], sides: str) -> str:
    """Return a table at its natural width, for a pipe or a file."""
    lines = [heads, *body]
    widths = [max(map(_wide, column)) for column in zip(*lines, strict=True)]
    out = []
    for line in lines:
        cells = []
        for text, width, side in zip(line, widths, sides, strict=True):
            filling = " " * (width - _wide(text))
            cells.append(filling + text if side == "r" else text + filling)
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def _fitted(heads: list[str], body: list[list[str]], sides: str, width: int) -> str:
    """Return a table that fits a terminal."""
    columns = list(zip(heads, *body, strict=True))
    widths = [max(map(_wide, column)) for column in columns]
    wraps = [_wraps(column) for column in columns]
    shown = list(range(len(columns)))

    def needed() -> int:
        least = (min(widths[i], _NARROWEST) if wraps[i] else widths[i] for i in shown)
        return sum(least) + 2 * (len(shown) - 1)

    hidden: list[int] = []
    while needed() > width:
        droppable = [i for i in shown[1:] if wraps[i]]
        if not droppable:
            return _listed(heads, body)
        hidden.insert(0, droppable[-1])
        shown.remove(droppable[-1])
    text = _drawn(
        [heads[i] for i in shown],
        [[line[i] for i in shown] for line in body],
        [(sides[i], wraps[i]) for i in shown],
        width,
    )
    if hidden:
        names = ", ".join(heads[i].lower() for i in hidden)
        note = f"not shown at this width: {names} (--json has everything)"
        text += "\n" + paint(note, "muted")
    return text


_NARROWEST = 12  # cells of a column of text


def _wraps(column: Sequence[str]) -> bool:
    """Return whether a column is text, which may be wrapped, unlike ids and numbers."""
    return any(_wide(cell) > 40 or len(_WORD.findall(cell)) > 2 for cell in column)


_WORD = re.compile(r"(?<!\S)[^\W\d]{2,}")  # at the start, or after a space


def _drawn(
    heads: list[str],
    body: list[list[str]],
    layout: list[tuple[str, bool]],
    width: int,
) -> str:
    """Return a table drawn by rich: text is wrapped, the rest is whole."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for head, (side, wraps) in zip(heads, layout, strict=True):
        drawn.add_column(
            Text(head, _STYLES["muted"]),
            justify="right" if side == "r" else "left",
            no_wrap=not wraps,
            overflow="fold",
        )
    for line in body:
        drawn.add_row(*(Text(cell, _STYLES[_TONES.get(cell, "")]) for cell in line))
    colour = settings.current().colour
    console = Console(
        width=width,
        force_terminal=True,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
    )
    with console.capture() as capture:
        console.print(drawn)
    lines = capture.get().splitlines()
    return "\n".join(line.rstrip() for line in lines)


_STYLES = {"": "", "good": "green", "bad": "red", "unsure": "yellow", "muted": "dim"}


def _listed(heads: list[str], body: list[list[str]]) -> str:
    """Return each row as a list of its values, for a narrow terminal."""
    blocks = [pairs(dict(zip(heads, line, strict=True))) for line in body]
    return "\n\n".join(blocks)


def _wide(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    double = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + double - sum(unicodedata.combining(c) > 0 for c in text)


def _plain(value: object) -> str:
    """Return a cell's text, with dashes that every terminal has."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = clean(value).replace(MINUS, "-").replace(NONE, "-")
    return text or "-"


def pairs(items: Mapping[str, object]) -> str:
    """Return one aligned line per key; what is None or empty is left out."""
    known = {k: _plain(v) for k, v in items.items() if v is not None and v != ""}
    width = max(map(_wide, known), default=0)
    return "\n".join(f"{paint(k.ljust(width), 'muted')}  {v}" for k, v in known.items())

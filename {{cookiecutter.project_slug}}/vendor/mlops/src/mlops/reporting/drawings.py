"""Drawings of a check of the monitor, in SVG and without a library.

The jobs that watch have no matplotlib. The colours are those of the page, so that one
drawing is for light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from markupsafe import escape

from mlops.reporting import words
from mlops.results.monitoring import CellCount

_WIDTH = 460

_MOST_CELLS = 14

# -- shares of a column side by side ---------------------------------------------------

_ROW = 33
_TOP = 26
_LABELS = 150  # where the bars begin
_BARS = 176  # their length at most


def shares(cells: Sequence[CellCount], title_id: str) -> str:
    """Return bars of the shares of rows per cell, period above reference.

    Of many cells those are drawn whose share changed most.
    """
    sizes = _sizes(cells)
    drawn = _most_changed(cells, sizes)
    most = max(max(_share(cell, sizes)) for cell in drawn) or 1.0
    height = _TOP + _ROW * len(drawn) + 4
    parts = [_root(height, title_id), _legend()]
    for at, cell in enumerate(drawn):
        before, now = _share(cell, sizes)
        y = _TOP + _ROW * at
        parts += [
            _text(_LABELS - 8, y + 16, words.clean(cell.name, 21), "end", "ink"),
            _bar(y + 3, now / most, "new"),
            _bar(y + 14, before / most, "old"),
            _text(
                _LABELS + _BARS + 8,
                y + 16,
                f"{words.share(now)}, was {words.share(before)}",
            ),
        ]
    return "".join([*parts, "</svg>"])


def not_drawn(cells: Sequence[CellCount]) -> int:
    """Return how many cells `shares` leaves out."""
    return max(0, len(cells) - _MOST_CELLS)


def _sizes(cells: Sequence[CellCount]) -> tuple[int, int]:
    before = sum(cell.reference for cell in cells)
    now = sum(cell.window for cell in cells)
    return max(before, 1), max(now, 1)


def _share(cell: CellCount, sizes: tuple[int, int]) -> tuple[float, float]:
    """Return the share of a cell in reference and period."""
    return cell.reference / sizes[0], cell.window / sizes[1]


def _most_changed(
    cells: Sequence[CellCount], sizes: tuple[int, int]
) -> list[CellCount]:
    """Return the cells that are drawn, in their order."""

    def size(at: int) -> float:
        before, now = _share(cells[at], sizes)
        return abs(now - before)

    ranked = sorted(range(len(cells)), key=size, reverse=True)[:_MOST_CELLS]
    return [cells[at] for at in sorted(ranked)]


def _legend() -> str:
    return (
        f'<rect x="{_LABELS}" y="6" width="11" height="9" fill="var(--new)"/>'
        + _text(_LABELS + 16, 15, "this period")
        + f'<rect x="{_LABELS + 96}" y="6" width="11" height="9" fill="var(--old)"/>'
        + _text(_LABELS + 112, 15, "reference")
    )


def _bar(y: float, share: float, colour: str) -> str:
    width = max(share * _BARS, 1.0) if share > 0 else 0.0
    return (
        f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="10" '
        f'fill="var(--{colour})"/>'
    )


# -- values over time ------------------------------------------------------------------


class Point(NamedTuple):
    """A value at a time, with its interval where it has one."""

    at: datetime
    value: float
    low: float | None = None
    high: float | None = None


class Series(NamedTuple):
    """Points of one kind: measured ones are dots, estimates rings, levels a line."""

    name: str
    kind: Literal["measured", "estimated", "level"]
    points: Sequence[Point]


class Mark(NamedTuple):
    """What happened at a time: an alarm, another version, an accepted reference."""

    at: datetime
    text: str
    alarm: bool = False


_LEFT = 52
_RIGHT = 14
_UPPER = 50
_PLOT = 150  # high
_COLOURS = {"measured": "new", "estimated": "old", "level": "muted"}


def over_time(series: Sequence[Series], marks: Sequence[Mark], title_id: str) -> str:
    """Return values over time; alarms and events are vertical lines."""
    points = [point for one in series for point in one.points]
    scale = _scale(points, marks)
    height = _UPPER + _PLOT + 34
    parts = [_root(height, title_id), _names(series, marks), _grid(scale)]
    parts += [_mark(mark, scale) for mark in marks]
    parts += [_drawn(one, scale) for one in series]
    return "".join([*parts, "</svg>"])


class _Scale(NamedTuple):
    """Where times and values lie in the drawing."""

    first: float
    last: float
    low: float
    high: float

    def x(self, at: datetime) -> float:
        """Return where a time lies."""
        share = (at.timestamp() - self.first) / (self.last - self.first)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Return where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return _UPPER + (1 - share) * _PLOT


def _scale(points: Sequence[Point], marks: Sequence[Mark]) -> _Scale:
    """Return a scale on which all points have room."""
    times = [point.at.timestamp() for point in points]
    times += [mark.at.timestamp() for mark in marks]
    values = [point.value for point in points]
    values += [p.low for p in points if p.low is not None]
    values += [p.high for p in points if p.high is not None]
    room_x = (max(times) - min(times)) * 0.04 or 43_200.0
    room_y = (max(values) - min(values)) * 0.08 or abs(values[0]) * 0.1 or 1.0
    return _Scale(
        first=min(times) - room_x,
        last=max(times) + room_x,
        low=min(values) - room_y,
        high=max(values) + room_y,
    )


def _grid(scale: _Scale) -> str:
    """Return lines and labels of both axes."""
    parts = []
    for step in range(5):
        value = scale.low + (scale.high - scale.low) * step / 4
        y = scale.y(value)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "line"))
        parts.append(_text(_LEFT - 6, y + 4, words.number(value), "end"))
    for step in range(4):
        seconds = scale.first + (scale.last - scale.first) * (0.06 + 0.88 * step / 3)
        moment = datetime.fromtimestamp(seconds, UTC)
        x = scale.x(moment)
        parts.append(_text(x, _UPPER + _PLOT + 20, f"{moment:%Y-%m-%d}", "middle"))
    return "".join(parts)


def _names(series: Sequence[Series], marks: Sequence[Mark]) -> str:
    """Return the legend, in the drawing's first line."""
    parts = []
    x = float(_LEFT)
    for one in series:
        parts.append(_sign(one.kind, x + 6, 11))
        parts.append(_text(x + 17, 15, one.name))
        x += 27 + 6.6 * len(one.name)
    if any(mark.alarm for mark in marks):
        parts.append(_triangle(x + 6, 11))
        parts.append(_text(x + 17, 15, "alarm"))
    return "".join(parts)


def _drawn(series: Series, scale: _Scale) -> str:
    colour = _COLOURS[series.kind]
    path = " ".join(
        f"{scale.x(p.at):.1f},{scale.y(p.value):.1f}" for p in series.points
    )
    dashes = ' stroke-dasharray="4 3"' if series.kind == "estimated" else ""
    width = "1" if series.kind == "level" else "1.6"
    parts = [
        f'<polyline points="{path}" fill="none" stroke="var(--{colour})" '
        f'stroke-width="{width}"{dashes}/>'
    ]
    if series.kind == "level":
        return parts[0]
    for point in series.points:
        x = scale.x(point.at)
        if point.low is not None and point.high is not None:
            parts.append(_line(x, scale.y(point.low), x, scale.y(point.high), colour))
        parts.append(_sign(series.kind, x, scale.y(point.value)))
    return "".join(parts)


def _mark(mark: Mark, scale: _Scale) -> str:
    x = scale.x(mark.at)
    bottom = _UPPER + _PLOT
    if mark.alarm:
        return _line(x, _UPPER, x, bottom, "bad", "2 3") + _triangle(x, bottom)
    anchor = "end" if x > _WIDTH - 90 else "start"
    label = _text(x, _UPPER - 8, words.clean(mark.text, 24), anchor, "ink")
    return _line(x, _UPPER - 4, x, bottom, "muted", "5 3") + label


# -- pieces ----------------------------------------------------------------------------


def _root(height: float, title_id: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-labelledby="{title_id}" font-size="12">'
    )


def _text(
    x: float, y: float, text: str, anchor: str = "start", colour: str = "muted"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        f'fill="var(--{colour})">{escape(text)}</text>'
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = ""
) -> str:
    pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="var(--{colour})"{pattern}/>'
    )


def _sign(kind: str, x: float, y: float) -> str:
    """Return a dot, a ring, or a short line."""
    colour = f"var(--{_COLOURS[kind]})"
    if kind == "level":
        return _line(x - 7, y, x + 7, y, "muted")
    fill = colour if kind == "measured" else "var(--card)"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" '
        f'stroke="{colour}" stroke-width="1.6"/>'
    )


def _triangle(x: float, y: float) -> str:
    corners = f"{x - 5:.1f},{y + 4:.1f} {x + 5:.1f},{y + 4:.1f} {x:.1f},{y - 5:.1f}"
    return f'<polygon points="{corners}" fill="var(--bad)"/>'

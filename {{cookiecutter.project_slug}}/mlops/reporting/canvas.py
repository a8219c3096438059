"""From matplotlib to an element of the page: same drawing, same bytes, the page's own colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.reporting.words import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholders, replaced by the CSS variables of these names: one drawing is for light, dark, paper.
INK, MUTED, LINE, NEW, OLD, GOOD, BAD = (f"#00000{i}" for i in range(1, 8))
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", NEW: "new", OLD: "old"}
_VARIABLES |= {GOOD: "good", BAD: "bad"}


@dataclass(frozen=True)
class Chart:
    """A drawing, the section it belongs to, its title, and what it shows in a sentence."""

    section: str
    title: str
    figure: Figure
    alt: str


def axes(
    height: float = 3.9, left: float = 0.13, top: float = 0.36, **grid: Any
) -> tuple[Figure, Any]:
    """Return an empty figure 6.4 inches wide and its axes, with the same margins everywhere."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height))
    bottom, top = 0.56 / height, 1 - top / height
    figure.subplots_adjust(left=left, right=0.97, bottom=bottom, top=top, hspace=0.12)
    return figure, figure.subplots(**grid)


def key(target: Axes) -> None:
    """Put the legend above the drawing, where it covers nothing."""
    target.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, ncols=3, handlelength=1.6
    )


def room(names: Sequence[str]) -> float:
    """Return how much of the width names take on the left."""
    return 0.05 + 0.0155 * min(30, max(len(name) for name in names))


def named_rows(target: Axes, names: Sequence[str]) -> None:
    """Give each row of a horizontal chart its name, the first one on top."""
    target.set_yticks(range(len(names)), [clean(name, 30) for name in names])
    target.set_ylim(len(names) - 0.5, -0.5)
    target.tick_params(axis="y", length=0, labelcolor=INK)
    target.grid(axis="y", visible=False)


def forest(target: Axes, rows: Sequence[tuple[str, float, float, float, str]]) -> None:
    """Draw an interval per row: name, low, value, high, colour; a square is a failure."""
    for y, (_, low, value, high, colour) in enumerate(rows):
        target.plot([low, high], [y, y], color=colour, solid_capstyle="butt")
        target.plot([value], [y], "s" if colour == BAD else "o", color=colour, markersize=6.5)
    named_rows(target, [row[0] for row in rows])
    target.locator_params(axis="x", nbins=6)


def svg(chart: Chart, index: int) -> str:
    """Return a chart as an element without metadata, fonts, unused ids; described by its caption.

    Its place on the page, `index`, makes the ids its own.
    """
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the reader's fonts draw it, not ours
        chart.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    box = re.search(r'viewBox="[^"]+"', text)
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(r'( id="|url\(#|href="#)([\w-]+)', rf"\g<1>c{index}-\2", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body).replace("xlink:", "")
    body = re.sub(r"\n\s*", "\n", re.sub(r"<defs>\s*</defs>", "", body)).strip()
    return f'<svg {box[0] if box else ""} role="img" aria-labelledby="c{index}">\n{body}'

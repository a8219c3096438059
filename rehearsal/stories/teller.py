"""Telling a rehearsal to people: chapters, jobs as they run, what others see of it."""

from __future__ import annotations

import html
import itertools
import os
import re
import sys
import textwrap
import time
from typing import TextIO

from rehearsal.runner.joblog import JobLog

WIDTH = 96
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32"}
_MARKS = str.maketrans({"✅": "✓", "❌": "✗", "⚠": "!", "\ufe0f": None, "\u200b": None})


class StoryError(Exception):
    """A step did not do what it said."""


class Teller:
    """Writes lines; on a terminal in colour, with the jobs of the moment below them.

    Parameters
    ----------
    out : file, optional
        Default: standard output.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.live = self.out.isatty() and os.environ.get("TERM") != "dumb"
        self._running: list[str] = []
        self._chapters: list[tuple[str, float]] = []

    def say(self, text: str = "") -> None:
        """Write a line."""
        self.out.write(("\r\x1b[K" if self.live else "") + text + "\n")
        self._now()

    def _now(self) -> None:
        """Show what runs at the moment, in a line that the next one replaces."""
        if self.live and self._running:
            now = self.paint(f"   … {', '.join(self._running)}"[:WIDTH], "dim")
            self.out.write(f"\r\x1b[K{now}")
        self.out.flush()

    def paint(self, text: str, colour: str) -> str:
        """Return text in a colour, where there are colours."""
        coloured = self.live and not os.environ.get("NO_COLOR")
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if coloured else text

    def prose(self, *texts: str) -> None:
        """Write paragraphs."""
        for text in texts:
            for line in textwrap.wrap(text, WIDTH - 3):
                self.say(f"   {line}")

    def quote(self, *lines: str) -> None:
        """Show what people see elsewhere."""
        for line in lines:
            self.say(f"   {self.paint('│', 'dim')} {line}".rstrip())

    def job(self, workflow: str, job: JobLog, over: bool) -> None:
        """Show a job that begins, or how it ended: what a `Runner` calls."""
        if not over:
            self._running.append(job.name)
            self._now()
            return
        self._running.remove(job.name)
        # act calls all jobs of a matrix failed when one is.
        good = job.result == "success" or (job.values and not job.failed)
        mark = self.paint("✓", "green") if good else self.paint("✗", "red")
        seconds = self.paint(f"{job.ended - job.began:6.1f} s", "dim")
        self.say(f"   {mark} {workflow:<13}{job.name:<26}{seconds}")

    # ----- a story

    def chapter(self, title: str, *texts: str) -> None:
        """Begin a chapter."""
        self._chapters.append((title, time.monotonic()))
        self.say()
        self.say(self.paint(f"{len(self._chapters)}. {title}", "bold"))
        self.prose(*texts)

    def check(self, what: str, holds: object) -> None:
        """Say what came of a step, or raise StoryError where it is not so."""
        if not holds:
            raise StoryError(f"it was expected that {what}")
        first, *more = textwrap.wrap(what, WIDTH - 5)
        self.say(f"   {self.paint('✓', 'green')} {first}")
        for line in more:
            self.say(f"     {line}")

    def seconds(self) -> None:
        """Say how long each chapter took."""
        ends = [began for _, began in self._chapters[1:]]
        ends.append(time.monotonic())
        rows = []
        for (title, began), end in zip(self._chapters, ends, strict=True):
            rows.append((title, end - began))
        rows.append(("Together", sum(seconds for _, seconds in rows)))
        for title, seconds in rows:
            self.say(self.paint(f"   {title:<44}{seconds:5.0f} s", "dim"))


def excerpt(markdown: str) -> list[str]:
    """Return the lines of a comment or issue before its first section, and its table.

    A table that is too wide loses its third column, and so on.
    """
    plain = re.sub(r"<!--.*?-->|\[[^]]*\]\([^)]*\)", "", markdown)
    text = html.unescape(plain).translate(_MARKS)
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    lines: list[str] = []
    for block in itertools.takewhile(lambda block: not block.startswith("###"), blocks):
        for line in block.splitlines():
            indent = "  " if line.startswith("- ") else ""
            lines += textwrap.wrap(
                line.lstrip("# ").strip("*"), WIDTH - 5, subsequent_indent=indent
            )
        lines.append("")
    tables = [block for block in blocks if block.startswith("|")]
    return lines + _aligned(tables[0]) if tables else lines[:-1]


def _aligned(table: str) -> list[str]:
    """Return a table of markdown with its cells in columns, the first to the left."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    del rows[1]  # the rule
    while True:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if sum(widths) + 2 * len(widths) <= WIDTH - 5 or len(widths) < 4:
            break
        rows = [row[:2] + row[3:] for row in rows]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += map(str.rjust, row[1:], widths[1:])
        lines.append("  ".join(cells).rstrip())
    return lines

"""Sections of results.md: each has its own heading, and says when it was measured."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from measure import REPEATS, ROOT

RESULTS = ROOT / "benchmarks" / "results.md"
_MARK = "\n## "


def with_section(text: str, section: str) -> str:
    """Return a file's text with a section in the place of the one of its heading.

    Parameters
    ----------
    text : str
        Of a file whose sections begin with ``## ``.
    section : str
        It begins with its heading. A new one comes last.
    """
    head, *old = text.rstrip().split(_MARK)
    heading, _, _ = section.partition("\n")
    new = section.removeprefix("## ").strip()
    sections = []
    found = False
    for one in old:
        if one.partition("\n")[0] == heading.removeprefix("## "):
            sections.append(new)
            found = True
        else:
            sections.append(one.rstrip())
    if not found:
        sections.append(new)
    return f"\n{_MARK}".join([head.rstrip(), *sections]) + "\n"


def when() -> str:
    """Return a sentence that says when, where and how often was measured."""
    version = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} at commit {version}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}; the "
        f"median of {REPEATS}."
    )


def write_section(lines: Sequence[str], path: Path = RESULTS) -> None:
    """Put a section into the file, and print it.

    Parameters
    ----------
    lines : sequence of str
        The first is the heading.
    path : Path
    """
    heading, *rest = lines
    section = "\n".join([heading, "", when(), *rest]).rstrip() + "\n"
    text = path.read_text(encoding="utf-8")
    path.write_text(with_section(text, section), encoding="utf-8")
    print(section, flush=True)

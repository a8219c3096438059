"""Pins of a requirements file, the lock of an environment."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """One package of the lock, with the digests of the files that may be it."""

    name: str
    version: str
    hashes: tuple[str, ...]


def pins(lock: Path) -> list[Pin]:
    """Return what a requirements file installs on this machine, sorted by name."""
    return pins_of(lock.read_text(encoding="utf-8"))


def pins_of(lock: str) -> list[Pin]:
    """Return what the text of a requirements file installs, as `pins` does."""
    from packaging.requirements import InvalidRequirement, Requirement

    pinned = []
    text = re.sub(r"\\\n\s*", " ", lock)
    for line in text.splitlines():
        with suppress(InvalidRequirement):  # a comment, or a marker that nobody knows
            pin = Requirement(line.split(" --")[0])
            exact = str(pin.specifier)
            if exact.startswith("==") and (not pin.marker or pin.marker.evaluate()):
                hashes = tuple(_HASH.findall(line))
                pinned.append(Pin(pin.name.lower(), exact.removeprefix("=="), hashes))
    return sorted(pinned)

"""The locked environment as data: its pins, and the list of them that scanners read (CycloneDX)."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from mlops.files import canonical_json

_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[.*\])?==([^\s;]+)\s*(?:;(.*))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """One package of the lock, with the digests of the files that may be installed as it."""

    name: str
    version: str
    hashes: tuple[str, ...]


def pins(lock: Path) -> list[Pin]:
    """Return what a requirements file installs on this machine, sorted by name."""
    found = []
    text = re.sub(r"\\\n\s*", " ", lock.read_text(encoding="utf-8"))
    for line in text.splitlines():
        pin = _PIN.fullmatch(line.split(" --")[0].strip())
        if pin and (not pin[3] or _applies(pin[3])):
            found.append(Pin(pin[1].lower(), pin[2], tuple(_HASH.findall(line))))
    return sorted(found)


def _applies(marker: str) -> bool:
    """Return whether an environment marker holds here; unknown ones count as not."""
    from packaging.markers import InvalidMarker, Marker

    try:
        return Marker(marker).evaluate()
    except InvalidMarker:
        return False


def not_installed(lock: Path) -> list[str]:
    """Return the pins that this interpreter has not, or has in another version."""
    wrong = []
    for pin in pins(lock):
        try:
            have = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            have = "nothing"
        if have != pin.version:
            wrong.append(f"{pin.name} {have} (locked: {pin.version})")
    return wrong


def document(name: str, lock: Path) -> bytes:
    """Return a CycloneDX 1.6 document of a locked environment.

    No clock and no random number is in it: the same lock on the same kind of machine is the same
    bytes, so that a registration that was killed goes on with its own draft.
    """
    version = platform.python_version()
    python = {
        "type": "platform",
        "bom-ref": "python",
        "name": platform.python_implementation(),
        "version": version,
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }
    found = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "root", "name": name}},
        "components": [python, *map(_component, pins(lock))],
    }
    return canonical_json(found) + b"\n"


def _component(pin: Pin) -> dict[str, Any]:
    """Return a package; its digests are those of its files, of which one is installed."""
    purl = f"pkg:pypi/{pin.name.replace('_', '-')}@{pin.version.replace('+', '%2B')}"
    hashes = [{"alg": "SHA-256", "content": digest} for digest in pin.hashes]
    files = {"type": "distribution", "url": purl, "hashes": hashes}
    component = {"type": "library", "bom-ref": purl, "name": pin.name, "version": pin.version}
    return {**component, "purl": purl, **({"externalReferences": [files]} if hashes else {})}

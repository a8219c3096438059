"""The locked environment as a bill of materials.

From the version's tag alone; the bytes are compared.
"""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from mlops.config.project import Project
from mlops.io.digests import canonical_json
from mlops.io.files import write_bytes
from mlops.registry.manifest import Environment

SBOM = "sbom.cdx.json"

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """One package of the lock, with the digests of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]


def pins(lock: Path) -> list[Pin]:
    """Return what a requirements file installs on this machine, sorted by name."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    text = re.sub(r"\\\n\s*", " ", lock.read_text(encoding="utf-8"))
    for line in text.splitlines():
        with suppress(InvalidRequirement):  # a comment, or a marker that nobody knows
            pin = Requirement(line.split(" --")[0])
            exact = str(pin.specifier)
            if exact.startswith("==") and (not pin.marker or pin.marker.evaluate()):
                hashes = tuple(_HASH.findall(line))
                found.append(Pin(pin.name.lower(), exact.removeprefix("=="), hashes))
    return sorted(found)


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


def present(lock_sha256: str) -> Environment:
    """Return the environment of this process, whose lock has that digest."""
    system = f"{platform.system()}-{platform.machine()}"
    return Environment(
        lock_sha256=lock_sha256, python=platform.python_version(), platform=system
    )


def bill_of_materials(project: Project) -> Path:
    """Write the document of the project's lock, and return where.

    It is one for all models, as the lock is: where a workflow registers several, it
    attests one.
    """
    path = project.root / "build" / SBOM
    write_bytes(path, document(project.spec.name, project.lock))
    return path


def document(name: str, lock: Path) -> bytes:
    """Return a CycloneDX 1.6 document of a locked environment.

    No clock and no random number is in it: the same lock on the same kind of machine is
    the same bytes, so that a registration that was killed goes on with its own draft.
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
        "metadata": {
            "component": {"type": "application", "bom-ref": "root", "name": name}
        },
        "components": [python, *map(_component, pins(lock))],
    }
    return canonical_json(found) + b"\n"


def _component(pin: Pin) -> dict[str, Any]:
    """Return a package; its digests are those of its files.

    Of which one is installed.
    """
    purl = f"pkg:pypi/{pin.name.replace('_', '-')}@{pin.version.replace('+', '%2B')}"
    hashes = [{"alg": "SHA-256", "content": digest} for digest in pin.hashes]
    files = {"type": "distribution", "url": purl, "hashes": hashes}
    component = {
        "type": "library",
        "bom-ref": purl,
        "name": pin.name,
        "version": pin.version,
    }
    return {
        **component,
        "purl": purl,
        **({"externalReferences": [files]} if hashes else {}),
    }

"""The locked environment as a bill of materials.

From the version's tag alone; the bytes are compared.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from mlops.config.project import Project
from mlops.io.digests import canonical_json
from mlops.io.files import write_bytes
from mlops.io.requirements import Pin, pins
from mlops.registry.manifest import Environment

SBOM = "sbom.cdx.json"


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
    the same bytes, so that a killed registration is resumed with its own draft.
    """
    version = platform.python_version()
    python = {
        "type": "platform",
        "bom-ref": "python",
        "name": platform.python_implementation(),
        "version": version,
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "root", "name": name}
        },
        "components": [python, *map(_component, pins(lock))],
    }
    return canonical_json(bom) + b"\n"


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

"""The anchor of a version: what many small losses are measured by.

A refresh (new data or libraries, judged by non-inferiority) may lose a little. So that
thirty of them cannot lose thirty times as much, each is also compared with the last
version that was promoted for more than not being worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlops.errors import Refused
from mlops.registry.manifest import manifests
from mlops.registry.tags import ModelState
from mlops.results.verdict import Verdict


def refreshed_from(root: Path, model: ModelState, version: str) -> tuple[str, ...]:
    """Return a version and those that it refreshes, the newest first.

    The last one is its anchor. Versions that are withdrawn, or whose manifest cannot be
    read, end the line.
    """
    active = [known for known in model.versions.values() if known.active]
    verdicts = {
        number: manifest.verdict
        for number, manifest in manifests(root, active)
        if not isinstance(manifest, Refused)
    }
    return line_of(version, verdicts)


def line_of(version: str, verdicts: Mapping[str, Verdict]) -> tuple[str, ...]:
    """Return a version and those that it refreshes, by the verdicts of all versions."""
    line = [version]
    while line[-1] in verdicts and is_refresh(verdicts[line[-1]]):
        before = verdicts[line[-1]].champion
        if before is None or before not in verdicts or before in line:
            break
        line.append(before)
    return tuple(line)


def is_refresh(verdict: Verdict) -> bool:
    """Return whether a version was promoted for not being worse.

    What a person registered against its verdict is no refresh: its loss was accepted.
    """
    return verdict.rule == "non-inferiority" and verdict.decision == "promote"

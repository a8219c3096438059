"""Cut GitHub's list of endpoint permissions down to what the rehearsal's hub answers.

Usage: python scripts/cut_permissions.py PERMISSIONS.json

The list is `generated/api.github.com.json` of the npm package @octokit/app-permissions
(MIT), which is read off GitHub's page "Permissions required for GitHub Apps".
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "rehearsal" / "hub" / "app-permissions.json"


def cut(permissions: dict[str, Any], endpoints: Iterable[tuple[str, str]]) -> Any:
    """Return which permissions are enough for each endpoint, where the list has it.

    Parameters
    ----------
    permissions : dict
        As the package has it: each permission with its routes to read and to write.
    endpoints : iterable of (str, str)
        Method and path.
    """
    enough: dict[str, set[str]] = {}
    for name, about in permissions["permissions"].items():
        for level in ("read", "write"):
            for route in about.get(level, []):
                need = f"{name.replace('_', '-')}:{level}"
                enough.setdefault(_plain(route), set()).add(need)
    found = {}
    for method, path in sorted(endpoints):
        needs = enough.get(_plain(f"{method} {path}"))
        if needs:
            found[f"{method} {path}"] = sorted(needs)
    return found


def _plain(route: str) -> str:
    """Return a route without the names of its parameters, which differ."""
    return re.sub(r"\{[^}]*\}", "{}", route).lower()


def text(document: Any) -> str:
    """Return the file's text."""
    return json.dumps(document, indent=1) + "\n"


def main() -> None:
    """Write the cut."""
    sys.path.insert(0, str(ROOT))
    from rehearsal.hub.permissions import endpoints

    permissions = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    TARGET.write_text(text(cut(permissions, endpoints())), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

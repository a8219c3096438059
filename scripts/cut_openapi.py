"""Cut GitHub's description of its API down to what the rehearsal's hub answers.

Usage: python scripts/cut_openapi.py DESCRIPTION.json

The description is `generated/api.github.com.json` of the npm package @octokit/openapi
(MIT), or any other OpenAPI 3.0 description of GitHub's API.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "rehearsal" / "hub" / "github.json"
# Left out: prose, and the hint which of several schemas is meant, which fits no list.
PROSE = frozenset(
    (
        *(
            "summary",
            "externalDocs",
            "tags",
            "servers",
            "example",
            "examples",
            "discriminator",
        ),
        *("x-github", "x-octokit", "x-multi-segment", "x-github-breaking-changes"),
    )
)
# Where the hub's answers start from. Repositories are nested everywhere: one is enough.
EXAMPLES = (
    *(
        "artifact",
        "branch-get",
        "check-run",
        "commit",
        "deployment",
        "deployment-status",
    ),
    *(
        "diff-entry-items",
        "environment",
        "full-repository",
        "global-advisory-items",
        "git-commit-2",
        "git-ref",
        "git-tag",
    ),
    *(
        "issue",
        "issue-comment",
        "job-paginated",
        "label",
        "page",
        "pull-request",
        "release",
    ),
    *("release-asset", "repository-ruleset", "status", "workflow", "workflow-run"),
)
REPEATED = frozenset(
    ("template_repository", "parent", "source", "organization", "repo")
)
_REFERENCE = re.compile(r"#/components/(\w+)/(.+)")


def cut(
    description: dict[str, Any], operations: set[tuple[str, str]]
) -> dict[str, Any]:
    """Return a description with these operations and what they refer to.

    Parameters
    ----------
    description : dict
    operations : set of (method, path template)

    Raises
    ------
    KeyError
        When the description lacks one of them.
    """
    paths: dict[str, Any] = {}
    for method, path in sorted(operations):
        paths.setdefault(path, {})[method.lower()] = _lean(
            description["paths"][path][method.lower()]
        )
    components: dict[str, dict[str, Any]] = {}
    _collect(paths, description["components"], components)
    components["examples"] = {
        name: _short(description["components"]["examples"][name]) for name in EXAMPLES
    }
    return {
        "openapi": description["openapi"],
        "info": {k: description["info"][k] for k in ("title", "version", "license")},
        "paths": paths,
        "components": components,
    }


def _lean(node: Any, names: bool = False) -> Any:
    """Return a copy without prose and examples.

    ``names``: the keys of this mapping are names of data, not OpenAPI's own words.
    """
    if isinstance(node, list):
        return [_lean(item) for item in node]
    if not isinstance(node, dict):
        return node
    lean = {}
    for key, value in node.items():
        if names:
            lean[key] = _lean(value)
        elif key == "description":
            if not {
                "schema",
                "type",
                "name",
                "properties",
                "anyOf",
                "allOf",
                "oneOf",
            } & set(node):
                lean[key] = ""  # a response must have one
        elif key == "enum" and node.get("nullable"):
            lean[key] = [
                *(v for v in value if v is not None),
                None,
            ]  # OpenAPI wants it said twice
        elif key not in PROSE:
            lean[key] = _lean(
                value, key in ("properties", "responses", "headers", "content")
            )
    return lean


def _short(node: Any) -> Any:
    """Return an example whose lists have one element."""
    if isinstance(node, list):
        return [_short(item) for item in node[:1]]
    if not isinstance(node, dict):
        return node
    return {k: _short(v) for k, v in node.items() if k not in REPEATED}


def text(description: dict[str, Any]) -> str:
    """Return JSON with a line for each path and each component."""
    groups = {"paths": description["paths"], **description["components"]}
    lines = []
    for group, items in groups.items():
        rows = (
            f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}"
            for k, v in sorted(items.items())
        )
        lines.append(f"{json.dumps(group)}: {{\n" + ",\n".join(rows) + "\n}")
    head = {k: v for k, v in description.items() if k not in ("paths", "components")}
    return (
        json.dumps(head)[:-1]
        + ",\n"
        + lines[0]
        + ',\n"components": {\n'
        + ",\n".join(lines[1:])
        + "\n}}\n"
    )


def _collect(
    node: Any, source: dict[str, Any], found: dict[str, dict[str, Any]]
) -> None:
    """Add every component that is referred to."""
    if isinstance(node, list):
        for item in node:
            _collect(item, source, found)
    elif isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and (match := _REFERENCE.fullmatch(reference)):
            kind, name = match.groups()
            if name not in found.setdefault(kind, {}):
                found[kind][name] = _lean(source[kind][name])
                _collect(found[kind][name], source, found)
        for value in node.values():
            _collect(value, source, found)


def main(source: Path) -> None:
    """Write the cut beside the hub."""
    sys.path.insert(0, str(ROOT))
    from rehearsal.hub.permissions import endpoints

    description = json.loads(source.read_text(encoding="utf-8"))
    result = cut(description, set(endpoints()))
    TARGET.write_text(text(result), encoding="utf-8")
    print(
        f"{len(result['paths'])} paths, {TARGET.stat().st_size // 1024} KiB in {TARGET}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

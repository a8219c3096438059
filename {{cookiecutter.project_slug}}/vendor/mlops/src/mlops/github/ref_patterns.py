"""The two grammars in which GitHub's settings and workflows name branches.

`branches:` of a workflow takes filter patterns: `?` and `+` repeat the character before
them. Rulesets and environments take those of Ruby's `File.fnmatch`, with paths: `?`
is one character. In both of them `*` stops at a slash.

References
----------
https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def selects(patterns: Iterable[str], branch: str) -> bool:
    """Return whether patterns of a workflow's `branches:` select a branch.

    The last one that fits decides; `!` takes out.
    """
    found = False
    for pattern in patterns:
        if _matches(pattern.removeprefix("!"), branch, _filter_part):
            found = not pattern.startswith("!")
    return found


def fits(pattern: str, name: str) -> bool:
    """Return whether a pattern of a ruleset or an environment fits a name."""
    return _matches(pattern, name, _fnmatch_part)


def _matches(
    pattern: str, name: str, translate: Callable[[str, int], tuple[str, int]]
) -> bool:
    """Return whether a pattern fits; False for one that GitHub could not read."""
    parts = []
    at = 0
    while at < len(pattern):
        part, length = translate(pattern, at)
        parts.append(part)
        at += length
    try:
        return re.fullmatch("".join(parts), name) is not None
    except re.error:
        return False


def _filter_part(pattern: str, at: int) -> tuple[str, int]:
    """Return the expression for what stands at a position, and how long that is."""
    rest = pattern[at:]
    if rest.startswith("**/") and _begins(pattern, at):
        return "(?:.*/)?", 3
    if rest.startswith("**"):
        return ".*", 2
    if rest[0] in "?+" and at:
        return rest[0], 1
    return _common_part(rest)


def _fnmatch_part(pattern: str, at: int) -> tuple[str, int]:
    """Return the expression for what stands at a position, and how long that is."""
    rest = pattern[at:]
    if rest.startswith("**/") and _begins(pattern, at):
        return "(?:.*/)?", 3
    if rest.startswith("**"):
        return "[^/]*", 2
    if rest[0] == "?":
        return "[^/]", 1
    return _common_part(rest)


def _begins(pattern: str, at: int) -> bool:
    """Return whether a part of a path begins at a position."""
    return at == 0 or pattern[at - 1] == "/"


def _common_part(rest: str) -> tuple[str, int]:
    """Return what both grammars make of the beginning of a text."""
    if rest[0] == "*":
        return "[^/]*", 1
    if rest[0] == "[" and "]" in rest:
        end = rest.index("]") + 1
        return rest[:end], end
    if rest[0] == "\\" and len(rest) > 1:
        return re.escape(rest[1]), 2
    return re.escape(rest[0]), 1

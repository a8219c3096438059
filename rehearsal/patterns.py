"""GitHub's filter patterns of branches, tags and paths."""

from __future__ import annotations

import re
from collections.abc import Iterable


def selected(patterns: Iterable[str], name: str) -> bool:
    """Say whether patterns select a name: the last match decides, `!` takes out."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            found = found and not pattern_to_regex(pattern[1:]).fullmatch(name)
        else:
            found = found or bool(pattern_to_regex(pattern).fullmatch(name))
    return found


def pattern_to_regex(pattern: str) -> re.Pattern[str]:
    """Translate a filter pattern.

    ``*`` stops at a slash, ``**`` does not (and ``**/`` may be nothing), ``?`` and
    ``+`` repeat the character before them, ``[]`` is a set, a backslash takes the
    meaning from what follows.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        part, length = _first_part(pattern, at)
        parts.append(part)
        at += length
    return re.compile("".join(parts))


def _first_part(pattern: str, at: int) -> tuple[str, int]:
    """Return the expression for what stands at a place, and how long that is."""
    rest = pattern[at:]
    if rest.startswith("**/") and (at == 0 or pattern[at - 1] == "/"):
        return "(?:.*/)?", 3
    if rest.startswith("**"):
        return ".*", 2
    if rest[0] == "*":
        return "[^/]*", 1
    if rest[0] in "?+" and at:
        return rest[0], 1
    if rest[0] == "[" and "]" in rest:
        end = rest.index("]") + 1
        return rest[:end], end
    if rest[0] == "\\" and len(rest) > 1:
        return re.escape(rest[1]), 2
    return re.escape(rest[0]), 1

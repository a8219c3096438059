"""Which files judge models, and which of them nobody has to review."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# Where GitHub looks for the file; the first one that exists counts.
PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")

# What a verdict rests on besides the model's own files: the workflows, the engine, the
# packages, and who approves.
_JUDGING = re.compile(
    r"(\.github|vendor|requirements)/.*|project\.yaml|pyproject\.toml|(.*/)?CODEOWNERS",
    re.DOTALL,
)

# A pattern ends at the first space without a backslash before it.
_LINE = re.compile(r"((?:\\.|[^\s\\])+)(.*)")

_OWNER = re.compile(r"@[\w-]+(/[\w.-]+)?|[^@\s]+@[^@\s]+\.[^@\s]+")


class OwnerRule(NamedTuple):
    """A line of CODEOWNERS.

    Parameters
    ----------
    pattern : re.Pattern
        Of paths from the top of the repository.
    owners : tuple of str
        Users, teams and addresses; nobody owns what a rule without owners fits.
    """

    pattern: re.Pattern[str]
    owners: tuple[str, ...]


def judging(paths: Iterable[str]) -> list[str]:
    """Return the paths of what judges models, each once, in order."""
    return sorted({path for path in paths if _JUDGING.fullmatch(path)})


def parse(text: str) -> list[OwnerRule]:
    """Return the rules of a CODEOWNERS file, in order.

    As on GitHub, a line with a syntax that it does not support (`!`, `[`), or with an
    owner that is neither a user, a team nor an address, is passed over.
    """
    rules = []
    for line in text.splitlines():
        rule = _rule(line.strip())
        if rule:
            rules.append(rule)
    return rules


def _rule(line: str) -> OwnerRule | None:
    """Return the rule of a line, None for one that GitHub passes over."""
    match = _LINE.match(line)
    if not match or line.startswith(("#", "!")) or "[" in match[1]:
        return None
    owners = match[2].partition("#")[0].split()
    if not all(_OWNER.fullmatch(owner) for owner in owners):
        return None
    return OwnerRule(_pattern(match[1]), tuple(owners))


def _pattern(pattern: str) -> re.Pattern[str]:
    """Return what paths a pattern of CODEOWNERS fits.

    A slash before its end anchors it to the top. It fits what is below a folder, too,
    except where its last part is a lone `*`.

    References
    ----------
    https://docs.github.com/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
    """
    anchored = "/" in pattern.rstrip("/")
    folder = pattern.endswith("/")
    body = pattern.strip("/")
    regex = "".join(_part(token) for token in _TOKENS.findall(body))
    start = "" if anchored else "(?:.*/)?"
    if folder:
        end = "/.*"
    elif anchored and body.endswith("/*"):
        end = ""
    else:
        end = "(?:/.*)?"
    return re.compile(start + regex + end, re.DOTALL)


_TOKENS = re.compile(r"/\*\*/|\*\*/|/\*\*|\*|\?|\\.|[^*?\\/]+|/")

_WILDCARDS = {
    "/**/": "/(?:.*/)?",
    "**/": "(?:.*/)?",
    "/**": "/.*",
    "*": "[^/]*",
    "?": "[^/]",
}


def _part(token: str) -> str:
    """Return the regular expression of one part of a pattern."""
    if token in _WILDCARDS:
        return _WILDCARDS[token]
    return re.escape(token.removeprefix("\\"))


def without_owner(rules: list[OwnerRule], paths: Iterable[str]) -> list[str]:
    """Return the paths that no rule gives an owner: the last one that fits decides."""
    found = []
    for path in paths:
        owners: tuple[str, ...] = ()
        for rule in rules:
            if rule.pattern.fullmatch(path):
                owners = rule.owners
        if not owners:
            found.append(path)
    return found

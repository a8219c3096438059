"""Which files judge models, and which of them nobody has to review."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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


def lines_to_add(rules: list[OwnerRule], owners: Mapping[str, str]) -> list[str]:
    """Return the lines that would make the owner of each model its code owner.

    Parameters
    ----------
    rules : list of OwnerRule
    owners : mapping of str to str
        By model, as `model.yaml` has it. Where all have the same owner, and for one who
        is no user or team, there is nothing to tell apart.
    """
    if len({owner.casefold() for owner in owners.values()}) < 2:
        return []
    lines = []
    for model, owner in owners.items():
        path = f"models/{model}/model.yaml"
        found = {name.casefold() for name in _owners_of(rules, path)}
        if _OWNER.fullmatch(owner) and owner.casefold() not in found:
            lines.append(f"/models/{model}/ {owner}")
    return lines


def _owners_of(rules: list[OwnerRule], path: str) -> tuple[str, ...]:
    """Return the owners of a path: the last rule that fits decides."""
    owners: tuple[str, ...] = ()
    for rule in rules:
        if rule.pattern.fullmatch(path):
            owners = rule.owners
    return owners


def without_owner(rules: list[OwnerRule], paths: Iterable[str]) -> list[str]:
    """Return the paths that no rule gives an owner: the last one that fits decides."""
    return [path for path in paths if not _owners_of(rules, path)]

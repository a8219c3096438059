"""Known security advisories of pinned packages, as GitHub's database has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from mlops.errors import EnvironmentFailure

if TYPE_CHECKING:
    from github.Repository import Repository

Pins = Mapping[str, Sequence[str]]

# Packages in one request: its address stays below what servers take.
_TOGETHER = 100
MOST_REQUESTS = 6
_PAGE = 100  # advisories that one request lists at the most


class Advisory(NamedTuple):
    """What is known of a version of a package.

    Parameters
    ----------
    package, ghsa, severity, summary : str
        The severity is low, medium, high, critical or unknown.
    """

    package: str
    ghsa: str
    severity: str
    summary: str

    def text(self) -> str:
        """Return it in a line."""
        return f"{self.package}: {self.ghsa} ({self.severity}), {self.summary}"


class AdvisoryChange(NamedTuple):
    """What newer versions of packages change about what is known of them.

    Parameters
    ----------
    fixed : list of Advisory
        They affect a version that is replaced, and none that replaces it.
    left : list of Advisory
        They affect the newer lock.
    """

    fixed: list[Advisory]
    left: list[Advisory]


def advisory_change(
    repository: Repository, before: Pins, after: Pins
) -> AdvisoryChange:
    """Return which advisories an update of locks settles, and which it leaves.

    GitHub's database is public: any token, and none, may ask. At most six requests are
    made, each once: the pull request need not wait for a database that is slow.

    Parameters
    ----------
    before, after : mapping
        The versions of each package.

    Raises
    ------
    EnvironmentFailure
        Where GitHub does not answer, or there are too many packages.

    References
    ----------
    https://docs.github.com/rest/security-advisories/global-advisories
    """
    changed = {name: pins for name, pins in before.items() if pins != after.get(name)}
    groups = [*_groups(changed), *_groups(after)]
    if len(groups) > MOST_REQUESTS:
        raise EnvironmentFailure(
            "the lock names more packages than are looked up",
            found=f"{len(groups)} requests",
            allowed=f"{MOST_REQUESTS} requests of {_TOGETHER} packages",
        )
    old = _affecting(repository, _groups(changed))
    left = _affecting(repository, _groups(after))
    return AdvisoryChange([one for one in old if one not in left], left)


def _groups(pins: Pins) -> list[list[str]]:
    """Return each package with its version, in groups for one request each."""
    named = [f"{name}@{one}" for name, versions in pins.items() for one in versions]
    return [named[at : at + _TOGETHER] for at in range(0, len(named), _TOGETHER)]


def _affecting(
    repository: Repository, groups: Iterable[Sequence[str]]
) -> list[Advisory]:
    """Return the advisories that affect any of these versions, the worst first."""
    found: dict[Advisory, None] = {}
    for group in groups:
        names = {_plain(one.partition("@")[0]) for one in group}
        for row in _rows(repository, group):
            for package in _packages(row):
                if _plain(package) in names:
                    about = (row["ghsa_id"], row["severity"], row["summary"])
                    found[Advisory(_plain(package), *map(str, about))] = None
    order = ("critical", "high", "medium", "low", "unknown")
    return sorted(found, key=lambda one: (order.index(one.severity), one))


def _rows(repository: Repository, group: Sequence[str]) -> list[dict[str, Any]]:
    """Return what GitHub's database has of these versions; it is asked once."""
    from github import GithubException
    from requests import RequestException

    base = repository.url.partition("/repos/")[0]
    query = {"ecosystem": "pip", "affects": ",".join(group), "per_page": _PAGE}
    url = f"{base}/advisories?{urlencode(query)}"
    try:
        _, rows = repository.requester.requestJsonAndCheck("GET", url)
    except (GithubException, RequestException) as error:
        status = getattr(error, "status", 0)
        answered = f"answered {status}" if status else "did not answer"
        raise EnvironmentFailure(
            f"GitHub {answered} when asked for advisories"
        ) from error
    return list(rows)


def _packages(row: Mapping[str, Any]) -> list[str]:
    """Return the packages of PyPI that an advisory is about."""
    found = []
    for one in row.get("vulnerabilities") or ():
        package = one.get("package") or {}
        if package.get("ecosystem") == "pip" and package.get("name"):
            found.append(str(package["name"]))
    return found


def _plain(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()

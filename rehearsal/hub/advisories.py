"""GitHub's own database of security advisories, with what a story puts into it."""

from __future__ import annotations

from rehearsal.hub.call import Call, Failure, on
from rehearsal.hub.state import Record

MOST_PACKAGES = 1000
_MOST_ON_A_PAGE = 100
_USUAL_ON_A_PAGE = 30


@on("GET //advisories")
def list_advisories(call: Call) -> list[Record]:
    """List the advisories of packages; of an exact version where one is named."""
    affects = call.query.get("affects[]") or call.asked("affects").split(",")
    wanted = [one for one in affects if one]
    if len(wanted) > MOST_PACKAGES:
        raise Failure(422, f"affects: at most {MOST_PACKAGES} packages.")
    ecosystem = call.asked("ecosystem")
    found = []
    for advisory in call.state.advisories:
        if ecosystem and advisory["ecosystem"] != ecosystem:
            continue
        if not wanted or any(_is_affected(advisory, one) for one in wanted):
            found.append(_shown(call, advisory))
    size = int(call.asked("per_page") or _USUAL_ON_A_PAGE)
    return found[: min(size, _MOST_ON_A_PAGE)]


def _is_affected(advisory: Record, wanted: str) -> bool:
    name, _, version = wanted.partition("@")
    if name != advisory["package"]:
        return False
    return not version or version in advisory["versions"]


def _shown(call: Call, advisory: Record) -> Record:
    ghsa = advisory["ghsa_id"]
    package = {"ecosystem": advisory["ecosystem"], "name": advisory["package"]}
    vulnerability = {
        "package": package,
        "vulnerable_version_range": advisory.get("range", ""),
        "first_patched_version": advisory.get("patched"),
        "vulnerable_functions": [],
    }
    over = {
        "ghsa_id": ghsa,
        "cve_id": advisory.get("cve_id"),
        "summary": advisory["summary"],
        "severity": advisory["severity"],
        "html_url": f"{call.view.server}/advisories/{ghsa}",
        "url": f"{call.hub.api_url}/advisories/{ghsa}",
        "vulnerabilities": [vulnerability],
        # GitHub's own example has texts in the place of these numbers.
        "epss": {"percentage": 0.16, "percentile": 0.5},
    }
    return call.view.of("global-advisory-items", over)

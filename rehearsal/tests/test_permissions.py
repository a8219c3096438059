"""What the hub demands of a job is what GitHub demands."""

from __future__ import annotations

import json

import pytest
from cut_permissions import TARGET

from rehearsal.hub.permissions import endpoints

# By "METHOD path": the permissions each of which is enough, as GitHub's page says.
ENOUGH = json.loads(TARGET.read_text(encoding="utf-8"))
# The page names Issues alone, the endpoint's own page Pull requests too; no job asks.
OTHERWISE = {"GET /repos/{owner}/{repo}/issues/{issue_number}"}


@pytest.mark.parametrize("endpoint", sorted(ENOUGH.keys() - OTHERWISE))
def test_the_hub_lets_nobody_do_what_github_would_not(endpoint: str) -> None:
    method, path = endpoint.split(" ")
    need = endpoints()[method, path]
    if need == "none" or "metadata:read" in ENOUGH[endpoint]:
        assert ENOUGH[endpoint] == ["metadata:read"]  # whoever has a token may
        return
    for all_of in need.split("+"):
        alternatives = set(all_of.split("|"))
        for level in ("read", "write"):
            if f"thread:{level}" in alternatives:
                alternatives = {f"issues:{level}", f"pull-requests:{level}"}
        stricter = "administration:write" in alternatives
        assert alternatives <= set(ENOUGH[endpoint]) or stricter


def test_the_cut_is_of_endpoints_that_the_hub_has() -> None:
    known = {f"{method} {path}" for method, path in endpoints()}
    assert len(ENOUGH) > 60 and ENOUGH.keys() <= known

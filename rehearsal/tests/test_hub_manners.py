"""Pages, ETags, limits and faults of the hub, and nothing that GitHub does not know."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import cut_openapi
import pytest
from github import Auth, Github
from openapi_core import OpenAPI

from rehearsal.hub import Hub, HubError
from rehearsal.hub.call import HANDLERS
from rehearsal.hub.description import description
from rehearsal.hub.desk import Desk, job, opened
from rehearsal.hub.permissions import endpoints


def test_pages_etags_and_limits(hub: Hub, alice: Desk) -> None:
    for number in range(7):
        alice.ask("POST", "/issues", {"title": f"issue {number}"})
    assert [i.title for i in alice.repository(per_page=3).get_issues()] == [
        f"issue {n}" for n in range(6, -1, -1)
    ]
    status, page, headers = alice.ask("GET", "/issues?per_page=3&page=2")
    assert (status, len(page)) == (200, 3)
    relations = {part.split('"')[1] for part in headers["Link"].split(",")}
    assert relations == {"prev", "next", "last", "first"}
    bot = job(hub, alice, issues="read")
    _, _, first = bot.ask("GET", "/issues")
    status, _, again = bot.ask("GET", "/issues", If_None_Match=first["ETag"])
    assert (status, again["x-ratelimit-used"]) == (304, first["x-ratelimit-used"])
    alice.ask("POST", "/issues", {"title": "new"})
    assert bot.ask("GET", "/issues", If_None_Match=first["ETag"])[0] == 200
    hub.limits["GITHUB_TOKEN"] = 2
    status, body, headers = bot.ask("GET", "/issues")
    assert (status, headers["x-ratelimit-remaining"]) == (403, "0")
    assert "rate limit exceeded" in body["message"]
    assert alice.ask("GET", "/issues")[0] == 200


def test_a_token_makes_eighty_things_a_minute(hub: Hub, alice: Desk) -> None:
    assert hub.creations_a_minute == 80
    hub.creations_a_minute = 2  # to save time
    makes = [alice.ask("POST", "/issues", {"title": "one more"}) for _ in range(3)]
    assert [status for status, _, _ in makes] == [201, 201, 403]
    _, body, headers = makes[-1]
    assert "secondary rate limit" in body["message"]
    assert "Retry-After" not in headers
    assert alice.ask("GET", "/issues")[0] == 200
    other = job(hub, alice, issues="write")
    assert other.ask("POST", "/issues", {"title": "by another"})[0] == 201


def test_a_token_makes_five_hundred_things_an_hour(hub: Hub, alice: Desk) -> None:
    assert hub.creations_an_hour == 500
    hub.creations_an_hour = 3  # to save time
    seconds = [0.0]
    hub.monotonic = lambda: seconds[0]
    statuses = []
    for moment in (0, 70, 140, 210, 3599, 3601):
        seconds[0] = moment
        statuses.append(alice.ask("POST", "/issues", {"title": "one more"})[0])
    assert statuses == [201, 201, 201, 403, 403, 201]


def test_the_requests_of_an_hour_are_back_in_the_next(hub: Hub, alice: Desk) -> None:
    bot = job(hub, alice, issues="read")
    start = hub.state.clock()
    hub.limits["GITHUB_TOKEN"] = 1
    assert [bot.ask("GET", "/issues")[0] for _ in range(2)] == [200, 403]
    hub.state.clock = lambda: start + timedelta(hours=1)
    status, _, headers = bot.ask("GET", "/issues")
    assert (status, headers["x-ratelimit-used"]) == (200, "1")


def test_the_requests_of_a_command_are_counted_by_operation(
    hub: Hub, alice: Desk
) -> None:
    alice.ask("GET", "/issues")
    with hub.counting() as requests:
        for _ in range(2):
            alice.ask("GET", "/issues")
        alice.ask("POST", "/issues", {"title": "one more"})
        alice.git("fetch", "origin")
    assert requests == {
        "GET /repos/{owner}/{repo}/issues": 2,
        "POST /repos/{owner}/{repo}/issues": 1,
    }
    assert requests.total() == 3
    assert str(requests).splitlines()[0].split() == [
        "2",
        "GET",
        "/repos/{owner}/{repo}/issues",
    ]


@pytest.mark.parametrize(
    ("fault", "status"), [(500, 500), (502, 502), (429, 429), (403, 403)]
)
def test_faults_come_as_often_as_they_were_asked_for(
    hub: Hub, alice: Desk, fault: int, status: int
) -> None:
    hub.faults.retry_after = 1
    hub.faults.add("POST", "*/issues", fault, times=2)
    answers = [alice.ask("POST", "/issues", {"title": "x"}) for _ in range(3)]
    assert [a[0] for a in answers] == [status, status, 201]
    assert answers[0][2].get("Retry-After") == ("1" if fault == 429 else None)
    assert len(hub.state.issues) == 1


def test_an_answer_can_be_lost_after_it_was_done_or_never_come(
    hub: Hub, alice: Desk
) -> None:
    hub.faults.add("POST", "*/issues", 502, done_first=True)
    assert alice.ask("POST", "/issues", {"title": "x"})[0] == 502
    assert len(hub.state.issues) == 1
    hub.faults.retry_after = 3
    hub.faults.add("GET", "*/issues", "secondary")
    limited = alice.ask("GET", "/issues")
    assert (limited[0], limited[2]["Retry-After"]) == (403, "3")
    hub.faults.add("GET", "/repos/acme/demo", "timeout")
    request = urllib.request.Request(f"{hub.api_url}/repos/acme/demo")
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.3)
    hub.faults.add("*", "/acme/demo.git/*", 500)
    assert "500" in alice.git("push", "origin", "main", check=False)
    assert [x.status for x in hub.exchanges[-2:]] == [0, 500]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/issues", {"title": "x", "colour": "red"}),
        ("POST", "/issues", {"body": "no title"}),
        ("GET", "/issues?lables=drift", None),
        ("GET", "/pulls?state=unknown", None),
        ("GET", "/nothing", None),
        ("POST", "/deployments/1/statuses", {"state": "done"}),
    ],
)
def test_what_github_does_not_know_fails_the_story(
    tmp_path: Path, method: str, path: str, body: object
) -> None:
    with pytest.raises(HubError), Hub(tmp_path / "hub") as hub:
        token = hub.tokens.issue("write-all", kind="user")
        assert Desk(hub, tmp_path, token).ask(method, path, body)[0] in (404, 422)
        assert len(hub.violations) == 1


def test_the_table_the_handlers_and_the_description_are_about_the_same() -> None:
    document = description().document
    described = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
    }
    assert set(HANDLERS) == set(endpoints()) == described
    OpenAPI.from_dict(document)  # raises when it is none


def test_the_cut_holds_nothing_more_than_it_says() -> None:
    document = description().document
    again = cut_openapi.cut(document, set(endpoints()))
    assert cut_openapi.text(again) == cut_openapi.TARGET.read_text(encoding="utf-8")
    fewer = cut_openapi.cut(document, {("GET", "/rate_limit")})
    assert set(fewer["paths"]) == {"/rate_limit"}
    assert "rate-limit" in fewer["components"]["schemas"]
    assert "issue" not in fewer["components"]["schemas"]
    with pytest.raises(KeyError):
        cut_openapi.cut(document, {("GET", "/nothing")})


def test_everything_that_can_be_looked_at(hub: Hub, alice: Desk) -> None:
    number = opened(alice)
    alice.ask("POST", "/releases", {"tag_name": "v1"})
    sha = alice.git("rev-parse", "HEAD")
    alice.ask("POST", f"/statuses/{sha}", {"state": "success", "context": "verdict"})
    check = {"name": "verdict", "head_sha": sha, "conclusion": "success"}
    made = alice.ask("POST", "/check-runs", check)[1]
    hub.tokens.issue("write-all", actor="bob", kind="user")
    looks = [
        "",
        "/branches",
        "/branches/main",
        "/commits?sha=main",
        f"/commits/{sha}",
        "/commits/main",
        f"/commits/{sha}/status",
        f"/commits/{sha}/check-runs",
        "/contents/README.md",
        "/contents/.github/workflows",
        f"/git/commits/{sha}",
        "/git/matching-refs/heads",
        "/git/ref/heads/main",
        "/issues",
        "/issues/comments",
        "/labels",
        "/pulls",
        f"/pulls/{number}/commits",
        "/releases",
        "/releases/latest",
        "/releases/tags/v1",
        "/tags",
        "/deployments",
        "/environments",
        "/actions/runs",
        "/actions/artifacts",
        "/actions/workflows",
        "/actions/variables",
        "/actions/permissions",
        "/rulesets",
        f"/check-runs/{made['id']}",
        "/actions/workflows/promote.yml/runs",
        f"/attestations/sha256:{'0' * 64}",
    ]
    answers = {path: alice.ask("GET", path)[0] for path in looks}
    assert {path: status for path, status in answers.items() if status != 200} == {}
    client = Github(auth=Auth.Token(alice.token), base_url=hub.api_url, retry=None)
    assert client.get_user().login == "alice"
    assert client.get_rate_limit().rate.limit == 5000


def test_the_list_of_releases_ends_after_a_thousand(hub: Hub, alice: Desk) -> None:
    status, answer, _ = alice.ask("GET", "/releases?per_page=100&page=11")
    assert (status, answer["message"]) == (
        422,
        "Only the first 1000 results are available.",
    )
    assert alice.ask("GET", "/releases?per_page=100&page=10")[0] == 200


def test_a_page_of_variables_holds_thirty_at_the_most(hub: Hub, alice: Desk) -> None:
    """Unlike any other list, and ten where nobody says how many."""
    for number in range(41):
        alice.ask("POST", "/actions/variables", {"name": f"V{number}", "value": "x"})
    for query, shown in (("", 10), ("?per_page=100", 30), ("?per_page=30&page=2", 11)):
        _, answer, _ = alice.ask("GET", f"/actions/variables{query}")
        assert (len(answer["variables"]), answer["total_count"]) == (shown, 41)

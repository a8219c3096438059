"""Who may do what on the hub: git, tokens, and processes that are jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rehearsal.hub import Hub
from rehearsal.hub.desk import Desk, git, held, job, started
from rehearsal.hub.rules import rules_of
from rehearsal.hub.state import State

# ----- git


def test_pushes_and_clones_over_http(hub: Hub, alice: Desk, tmp_path: Path) -> None:
    address = f"{hub.server_url}/acme/demo.git"
    assert git(tmp_path, "clone", "--quiet", address, "anyone").returncode == 0
    big = alice.commit(
        "data/big.bin", os.urandom(1_500_000).hex()
    )  # chunked, and gzipped back
    alice.git("push", "--quiet", "origin", "main")
    for name in ("a#b#1", "churn@v1.0.0"):
        alice.git("tag", "-a", "-m", "Text\n\nReason: none", name)
    alice.git("push", "--quiet", "origin", "--tags")
    assert git(tmp_path / "anyone", "pull", "--quiet", "--tags").returncode == 0
    assert git(tmp_path / "anyone", "rev-parse", "HEAD").stdout.strip() == big
    assert [(e.name, e.ref) for e in hub.events.take()] == [
        ("push", "refs/heads/main"),
        ("push", "refs/tags/a#b#1"),
        ("push", "refs/tags/churn@v1.0.0"),
    ]
    tag = alice.repository().get_git_ref("tags/a#b#1")
    assert tag.object.type == "tag"
    assert (
        alice.repository().get_git_tag(tag.object.sha).message == "Text\n\nReason: none"
    )
    for name in "abcd":
        alice.git("tag", name)
    alice.git("push", "--quiet", "origin", "--tags")
    assert hub.events.take() == []  # more than three tags at once


def test_what_a_push_needs(hub: Hub, alice: Desk) -> None:
    alice.git("checkout", "--quiet", "-b", "journal")
    alice.commit("one.json")
    nobody = Desk(hub, alice.folder, "").git("push", "origin", "journal", check=False)
    assert "could not read Username" in nobody
    reads = job(hub, alice, contents="read").git(
        "push", "origin", "journal", check=False
    )
    assert "403" in reads
    forked = job(hub, alice, fork=True, contents="write").git(
        "push", "origin", "journal", check=False
    )
    assert "403" in forked
    writer = job(hub, alice, contents="write")
    writer.git("push", "--quiet", "origin", "journal")
    (event,) = hub.events.take()
    assert (event.actor, event.token_kind) == ("github-actions[bot]", "GITHUB_TOKEN")
    writer.commit(".github/workflows/new.yml", "on: push\n")
    refused = writer.git("push", "origin", "journal", check=False)
    assert "without `workflows` permission" in refused
    assert hub.events.take() == []
    assert "hidden ref" in alice.git(
        "push", "origin", "HEAD:refs/pull/9/head", check=False
    )


def test_a_job_tags_only_workflow_files_that_some_branch_has(
    hub: Hub, alice: Desk
) -> None:
    alice.commit(".github/workflows/old.yml", "on: push\n")
    alice.git("push", "--quiet", "origin", "main")
    writer = job(hub, alice, contents="write")
    writer.git("push", "--quiet", "origin", "HEAD:refs/tags/tip")
    alice.commit(".github/workflows/old.yml", "on: pull_request\n")
    alice.git("push", "--quiet", "origin", "main")
    said = writer.git("push", "origin", "HEAD^:refs/tags/past", check=False)
    assert "workflow `.github/workflows/old.yml` without `workflows` permission" in said
    alice.git("push", "--quiet", "origin", "HEAD^:refs/heads/past")
    writer.git("push", "--quiet", "origin", "HEAD^:refs/tags/past")
    alice.git("rm", "-r", "--quiet", ".github")
    alice.git("commit", "--quiet", "--message", "None")
    writer.git(
        "push", "--quiet", "origin", "HEAD:refs/tags/none"
    )  # none is made or changed


def test_two_pushes_at_once_get_one_winner(
    hub: Hub, alice: Desk, tmp_path: Path
) -> None:
    address = f"{hub.server_url}/acme/demo.git"
    desks = []
    for name in ("one", "two"):
        git(tmp_path, "clone", "--quiet", address, name)
        desks.append(Desk(hub, tmp_path / name, alice.token))
        desks[-1].commit(name)
    said: dict[int, str] = {}

    def push(index: int) -> None:
        said[index] = desks[index].git("push", "origin", "main", check=False)

    threads = [threading.Thread(target=push, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("rejected" in text or "failed" in text for text in said.values()) == 1
    assert len(hub.events.take()) == 1


def test_a_private_repository_is_not_there_for_strangers(tmp_path: Path) -> None:
    with Hub(tmp_path / "hub", private=True) as hub:
        alice = started(hub, tmp_path / "alice")
        stranger = Desk(hub, tmp_path, "")
        assert stranger.ask("GET", "")[0] == 404
        address = f"{hub.server_url}/acme/demo.git"
        assert git(tmp_path, "clone", address, "x").returncode != 0
        assert job(hub, alice).git("ls-remote", "origin", check=False).strip() != ""
        assert "main" in job(hub, alice, contents="read").git("ls-remote", "origin")
        reviewers = {"reviewers": [{"type": "User", "id": 1}]}
        refused = alice.ask("PUT", "/environments/production", reviewers)
        assert (refused[0], "billing plan" in refused[1]["message"]) == (422, True)
        policy = {"protected_branches": False, "custom_branch_policies": True}
        refused = alice.ask(
            "PUT", "/environments/x", {"deployment_branch_policy": policy}
        )
        assert (refused[0], "billing plan" in refused[1]["message"]) == (422, True)
        assert alice.ask("PUT", "/environments/production")[0] == 200
        assert alice.ask("GET", "/rulesets")[0] == 403
        assert alice.ask("POST", "/pages", {"build_type": "workflow"})[0] == 422
        assert (
            job(hub, alice, attestations="write").ask(
                "POST", "/attestations", {"bundle": {}}
            )[0]
            == 403
        )


# ----- permissions


JOB = """
import json, os, sys, urllib.error, urllib.request
address, method, path, token = sys.argv[1:]
head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
body = None if method == "GET" else b'{"title": "from a job"}'
request = urllib.request.Request(address + path, body, head, method=method)
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["message"])
"""


def in_job(hub: Hub, token: str, run: int, name: str, method: str, path: str) -> str:
    """Ask from a process whose parent's environment is that of a job."""
    command = [
        sys.executable,
        "-c",
        JOB,
        f"{hub.api_url}/repos/acme/demo",
        method,
        path,
        token,
    ]
    about = {
        "GITHUB_RUN_ID": str(run),
        "GITHUB_JOB": name,
        "GITHUB_API_URL": hub.api_url,
    }
    shell = ["sh", "-c", 'env -u GITHUB_RUN_ID "$@"; exit $?', "sh", *command]
    environment = {"PATH": os.environ["PATH"], **about}
    done = subprocess.run(
        shell, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_job_may_do_what_its_permissions_say(hub: Hub, alice: Desk) -> None:
    jobs = {"open": {"issues": "write"}, "look": {"issues": "read"}, "none": None}
    hub.runs.register(7, "monitor", jobs)
    token = hub.tokens.issue("write-all", actor="alice")
    denied = "403 Resource not accessible by integration"
    assert in_job(hub, token, 7, "open", "POST", "/issues") == "201"
    assert in_job(hub, token, 7, "look", "POST", "/issues") == denied
    assert in_job(hub, token, 7, "look", "GET", "/issues") == "200"
    assert in_job(hub, token, 7, "none", "GET", "/issues") == denied
    assert in_job(hub, token, 7, "unheard-of", "GET", "/issues") == denied
    assert (
        in_job(hub, token, 8, "open", "GET", "/issues") == denied
    )  # a run that nobody registered
    assert {x.job for x in hub.exchanges if x.status == 201} == {"7/open"}
    assert len(hub.state.issues) == 1
    hub.runs.register(9, "comment", {"open": {"issues": "write"}}, fork=True)
    assert in_job(hub, token, 9, "open", "POST", "/issues") == denied
    # A person's token is not narrowed by the job that uses it.
    assert in_job(hub, alice.token, 7, "none", "POST", "/issues") == "201"


def test_the_denial_says_what_would_have_been_enough(hub: Hub, alice: Desk) -> None:
    status, body, headers = job(hub, alice).ask("POST", "/releases", {"tag_name": "v1"})
    assert (status, body["message"]) == (403, "Resource not accessible by integration")
    assert headers["X-Accepted-GitHub-Permissions"] == "contents=write"


@pytest.mark.parametrize(
    ("permission", "method", "path", "body"),
    [
        (
            "deployments",
            "POST",
            "/deployments",
            {"ref": "main", "required_contexts": []},
        ),
        (
            "actions",
            "POST",
            "/actions/workflows/promote.yml/dispatches",
            {"ref": "main"},
        ),
        ("statuses", "POST", f"/statuses/{'0' * 40}", {"state": "success"}),
        ("checks", "POST", "/check-runs", {"name": "verdict", "head_sha": "0" * 40}),
        ("contents", "POST", "/dispatches", {"event_type": "retrain"}),
        (
            "pull-requests",
            "POST",
            "/pulls",
            {"title": "x", "head": "better", "base": "main"},
        ),
        ("attestations", "POST", "/attestations", {"bundle": {}}),
    ],
)
def test_each_permission_opens_its_door_alone(
    hub: Hub, alice: Desk, permission: str, method: str, path: str, body: object
) -> None:
    enough = {permission: "write"}
    others = {name: "write" for name in EVERY if name != permission}
    assert held(hub, alice, others).ask(method, path, body)[0] == 403
    assert held(hub, alice, enough).ask(method, path, body)[0] != 403


EVERY = (
    "actions",
    "attestations",
    "checks",
    "contents",
    "deployments",
    "issues",
    "pull-requests",
    "statuses",
)


def test_tokens_hold_what_exists(hub: Hub, alice: Desk) -> None:
    with pytest.raises(ValueError, match="administration"):
        hub.tokens.issue({"administration": "write"})
    with pytest.raises(ValueError, match="contents: admin"):
        hub.tokens.issue({"contents": "admin"})
    with pytest.raises(ValueError, match="pull_requests"):
        hub.runs.register(1, "x", {"a": {"pull_requests": "write"}})
    assert Desk(hub, alice.folder, "ghs_wrong").ask("GET", "")[0] == 401
    assert Desk(hub, alice.folder, "").ask("GET", "/issues")[0] == 200
    assert Desk(hub, alice.folder, "").ask("POST", "/issues", {"title": "x"})[0] == 401
    settings = hub.tokens.issue(
        {"administration": "write", "variables": "write"}, kind="app"
    )
    app = Desk(hub, alice.folder, settings)
    assert (
        app.ask("POST", "/actions/variables", {"name": "runner", "value": "x"})[0]
        == 201
    )
    assert hub.state.variables["RUNNER"]["value"] == "x"


def test_the_latest_check_of_a_name_counts(hub: Hub, alice: Desk) -> None:
    sha = hub.git.resolve("main") or ""
    ruleset = {
        "target": "branch",
        "enforcement": "active",
        "conditions": {"ref_name": {"include": ["refs/heads/main"], "exclude": []}},
        "rules": [
            {
                "type": "required_status_checks",
                "parameters": {"required_status_checks": [{"context": "verdict"}]},
            }
        ],
    }
    hub.state.rulesets[1] = ruleset
    assert hub.lacking_checks("main", sha) == "verdict"
    for run, result in ((7, "success"), (8, "failure")):
        hub.runs.register(run, "pull-request", {"verdict": {}}, head_sha=sha)
        hub.runs.finish(run, {"verdict": result})
    assert hub.lacking_checks("main", sha) == "verdict"  # it had passed once
    hub.runs.register(9, "pull-request", {"verdict": {}}, head_sha=sha)
    hub.runs.finish(9, {"verdict": "success"})
    assert hub.lacking_checks("main", sha) == ""


@pytest.mark.parametrize(
    ("pattern", "ref", "covered"),
    [
        ("refs/tags/*@*", "refs/tags/churn@v1.0.0", True),
        ("refs/tags/*@*", "refs/tags/team/churn@v1.0.0", False),
        ("refs/tags/**", "refs/tags/team/churn@v1.0.0", False),
        ("refs/tags/**/*", "refs/tags/team/of/churn@v1.0.0", True),
        ("refs/tags/**/*", "refs/tags/churn@v1.0.0", True),
        ("refs/heads/?ain", "refs/heads/main", True),
        ("refs/heads/?ain", "refs/heads/ain", False),
        ("refs/heads/[a-m]ain", "refs/heads/main", True),
        ("refs/heads/a\\*", "refs/heads/a*", True),
        ("refs/heads/a\\*", "refs/heads/ab", False),
        ("refs/tags/*#*", "refs/tags/churn#staging#1", True),
        ("refs/heads/*", "refs/heads/release/1", False),
        ("refs/tags/v1.0", "refs/tags/v1x0", False),
    ],
)
def test_a_star_of_a_ruleset_stops_at_a_slash(
    pattern: str, ref: str, covered: bool
) -> None:
    state = State()
    state.rulesets[1] = {
        "target": "tag" if ref.startswith("refs/tags/") else "branch",
        "enforcement": "active",
        "conditions": {"ref_name": {"include": [pattern], "exclude": []}},
        "rules": [{"type": "deletion"}],
    }
    assert bool(rules_of(state, ref)) is covered


def only_forward(hub: Hub, branch: str) -> None:
    hub.state.rulesets[1] = {
        "target": "branch",
        "enforcement": "active",
        "conditions": {
            "ref_name": {"include": [f"refs/heads/{branch}"], "exclude": []}
        },
        "rules": [{"type": "non_fast_forward"}],
    }


def test_a_branch_that_only_grows_takes_no_push_by_force(hub: Hub, alice: Desk) -> None:
    only_forward(hub, "journal")
    alice.git("checkout", "--quiet", "-b", "journal")
    alice.commit("one.json")
    alice.git("push", "--quiet", "origin", "journal")
    grown = alice.commit("two.json")
    alice.git("push", "--quiet", "origin", "journal")
    alice.git("reset", "--quiet", "--hard", "HEAD~2")
    alice.commit("other.json")
    refused = alice.git("push", "--force", "origin", "journal", check=False)
    assert "GH013" in refused and "Cannot force-push" in refused
    assert hub.git.resolve("refs/heads/journal") == grown
    alice.git("push", "--force", "--quiet", "origin", "journal:other")


def test_a_branch_that_only_grows_is_moved_back_by_no_request(
    hub: Hub, alice: Desk
) -> None:
    old = alice.git("rev-parse", "HEAD")
    alice.git("checkout", "--quiet", "-b", "journal")
    new = alice.commit("one.json")
    alice.git("push", "--quiet", "origin", "journal")
    back = {"sha": old, "force": True}
    only_forward(hub, "journal")
    status, body, _ = alice.ask("PATCH", "/git/refs/heads/journal", back)
    assert (status, "Cannot force-push" in body["message"]) == (422, True)
    assert hub.git.resolve("refs/heads/journal") == new
    hub.state.rulesets.clear()
    assert alice.ask("PATCH", "/git/refs/heads/journal", back)[0] == 200

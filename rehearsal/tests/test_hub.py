"""The hub's API: pull requests, issues, releases, deployments, settings."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests
from github import GithubException

from rehearsal.hub import Hub
from rehearsal.hub.desk import Desk, git, job, opened

# ----- pull requests


def test_a_pull_request_from_its_first_push_to_its_merge(hub: Hub, alice: Desk) -> None:
    number = opened(alice)
    push, first = hub.events.take()
    assert (push.name, push.ref, push.changed_files) == (
        "push",
        "refs/heads/better",
        ("models/churn/features.py",),
    )
    assert (first.name, first.payload["action"]) == ("pull_request", "opened")
    assert (first.actor, first.token_kind) == ("alice", "user")
    assert first.changed_files == ("models/churn/features.py",)
    assert first.ref == f"refs/pull/{number}/merge"
    assert hub.git.resolve(first.ref) == first.sha
    assert first.payload["pull_request"]["head"]["sha"] == alice.git(
        "rev-parse", "HEAD"
    )

    second = alice.commit("models/churn/more.py")
    alice.git("push", "--quiet", "origin", "better")
    assert [(e.name, e.payload.get("action")) for e in hub.events.take()] == [
        ("push", None),
        ("pull_request", "synchronize"),
    ]
    pull = alice.repository().get_pull(number)
    assert (pull.head.sha, pull.mergeable, pull.commits, pull.changed_files) == (
        second,
        True,
        2,
        2,
    )
    assert {f.filename: f.status for f in pull.get_files()} == {
        "models/churn/features.py": "added",
        "models/churn/more.py": "added",
    }
    merged = pull.merge(merge_method="squash")
    assert hub.git.resolve("refs/heads/main") == merged.sha
    assert hub.git.run("rev-list", "--count", "main") == "3"
    closed, pushed = hub.events.take()
    assert (closed.payload["action"], closed.payload["pull_request"]["merged"]) == (
        "closed",
        True,
    )
    assert (pushed.name, pushed.ref, pushed.sha) == (
        "push",
        "refs/heads/main",
        merged.sha,
    )
    assert pushed.changed_files == ("models/churn/features.py", "models/churn/more.py")
    assert hub.state.pulls[number]["state"] == "closed"
    found = alice.repository().get_commit(merged.sha).get_pulls()
    assert [p.number for p in found] == [number]


def test_a_conflict_raises_no_event_and_cannot_be_merged(hub: Hub, alice: Desk) -> None:
    number = opened(alice, file="README.txt")
    alice.git("checkout", "--quiet", "main")
    alice.commit("README.txt", "another\n")
    alice.git("push", "--quiet", "origin", "main")
    hub.events.take()
    alice.git("checkout", "--quiet", "better")
    alice.commit("README.txt", "mine\n")
    alice.git("push", "--quiet", "origin", "better")
    assert [e.name for e in hub.events.take()] == ["push"]
    pull = alice.repository().get_pull(number)
    assert (pull.mergeable, pull.mergeable_state) == (False, "dirty")
    with pytest.raises(GithubException, match="not mergeable") as refused:
        pull.merge()
    assert refused.value.status == 405


def test_a_base_that_moves_is_in_the_merge_and_not_in_the_event(
    hub: Hub, alice: Desk
) -> None:
    """As on GitHub: `base.sha` is as old as the last push to the pull request."""
    number = opened(alice)
    before = hub.state.pulls[number]["base"]["sha"]
    alice.git("checkout", "--quiet", "main")
    newer = alice.commit("models/other/features.py")
    alice.git("push", "--quiet", "origin", "main")
    pull = alice.repository().get_pull(number)
    assert pull.base.sha == before
    assert hub.git.resolve(f"refs/pull/{number}/merge^1") == newer
    alice.git("checkout", "--quiet", "better")
    alice.commit("models/churn/more.py")
    alice.git("push", "--quiet", "origin", "better")
    assert alice.repository().get_pull(number).base.sha == newer
    assert pull.merge().merged


def test_a_pull_request_that_is_opened_again_names_the_base_of_before(
    hub: Hub, alice: Desk
) -> None:
    number = opened(alice)
    pull = alice.repository().get_pull(number)
    pull.edit(state="closed")
    alice.git("checkout", "--quiet", "main")
    newer = alice.commit("vendor/engine.py")
    alice.git("push", "--quiet", "origin", "main")
    hub.events.take()
    pull.edit(state="open")
    (event,) = hub.events.take()
    about = event.payload["pull_request"]
    assert (event.name, event.payload["action"]) == ("pull_request", "reopened")
    assert about["base"]["sha"] != newer == hub.git.resolve(f"{event.sha}^1")


def test_a_merge_of_what_has_moved_meanwhile_is_refused(hub: Hub, alice: Desk) -> None:
    number = opened(alice)
    status, body, _ = alice.ask("PUT", f"/pulls/{number}/merge", {"sha": "0" * 40})
    assert (status, body["message"][:24]) == (409, "Head branch was modified")


def test_a_pull_request_from_a_fork(hub: Hub, alice: Desk, tmp_path: Path) -> None:
    hub.fork("mallory")
    token = hub.tokens.issue("write-all", actor="mallory", kind="user")
    mallory = Desk(hub, alice.folder, token)
    mallory.git("checkout", "--quiet", "-b", "evil;$(id)")
    sha = mallory.commit("models/churn/model.yaml")
    mallory.git("push", "--quiet", f"{hub.server_url}/mallory/demo.git", "evil;$(id)")
    asked = {"title": "<img src=x>", "head": "mallory:evil;$(id)", "base": "main"}
    status, pull, _ = mallory.ask("POST", "/pulls", asked)
    assert status == 201
    assert pull["head"]["repo"]["full_name"] == "mallory/demo"
    assert (pull["head"]["repo"]["fork"], pull["base"]["repo"]["fork"]) == (True, False)
    (event,) = hub.events.take()
    assert (event.name, event.actor) == ("pull_request", "mallory")
    number = pull["number"]
    assert hub.git.resolve(f"refs/pull/{number}/head") == sha
    # GitHub does not find a fork's pull request by its commit, but by its branch.
    assert alice.ask("GET", f"/commits/{sha}/pulls")[1] == []
    found = alice.ask("GET", "/pulls?head=mallory%3Aevil%3B%24%28id%29")[1]
    assert [p["number"] for p in found] == [number]
    refused = git(
        alice.folder,
        "push",
        f"{hub.server_url}/mallory/demo.git",
        "main",
        token=alice.token,
    )
    assert "denied to alice" in refused.stderr or "403" in refused.stderr


# ----- issues, comments, labels


def test_one_comment_that_is_edited(hub: Hub, alice: Desk) -> None:
    number = opened(alice)
    bot = job(hub, alice, pull_requests="write").repository
    hub.events.take()
    with pytest.raises(GithubException, match="Resource not accessible by integration"):
        job(hub, alice, issues="write", contents="read").repository().get_issue(number)
    pull = bot().get_pull(number)
    comment = pull.create_issue_comment("<!-- mlops -->\n**promote**")
    comment.edit("<!-- mlops -->\n**reject**")
    (kept,) = hub.state.comments(number)
    assert (kept["body"], kept["user"]) == (
        "<!-- mlops -->\n**reject**",
        "github-actions[bot]",
    )
    events = hub.events.take()
    assert [(e.payload["action"], e.token_kind) for e in events] == [
        ("created", "GITHUB_TOKEN"),
        ("edited", "GITHUB_TOKEN"),
    ]
    too_long = alice.ask("POST", f"/issues/{number}/comments", {"body": "x" * 65537})
    assert too_long[0] == 422
    assert "too long" in too_long[1]["errors"][0]["message"]


def test_an_issue_is_opened_labelled_edited_and_closed(hub: Hub, alice: Desk) -> None:
    repository = job(hub, alice, issues="write").repository()
    repository.create_label("drift", "d73a4a", "A model is not what it was")
    issue = repository.create_issue("churn drifts", "First", labels=["drift", "churn"])
    issue.edit(body="Second")
    assert [i.number for i in repository.get_issues(labels=["drift"])] == [issue.number]
    issue.edit(state="closed", state_reason="completed")
    assert list(repository.get_issues(labels=["drift"])) == []
    kept = hub.state.issues[issue.number]
    assert (kept["state"], kept["body"], kept["labels"]) == (
        "closed",
        "Second",
        ["drift", "churn"],
    )
    assert kept["closed_by"] == "github-actions[bot]"
    actions = [e.payload["action"] for e in hub.events.take()]
    assert actions == ["opened", "edited", "closed"]
    assert {label.name for label in repository.get_labels()} == {"drift", "churn"}


def test_pull_requests_are_among_the_issues(hub: Hub, alice: Desk) -> None:
    number = opened(alice)
    plain = alice.repository().create_issue("plain").number
    listed = {
        i.number: i.pull_request is not None for i in alice.repository().get_issues()
    }
    assert listed == {number: True, plain: False}


# ----- releases


def test_a_release_from_draft_to_download(
    hub: Hub, alice: Desk, tmp_path: Path
) -> None:
    writer = job(hub, alice, contents="write")
    release = writer.repository().create_git_release(
        "churn@v1.0.0", "churn 1.0.0", "Card", draft=True
    )
    content = bytes(range(256)) * 300
    file = tmp_path / "model.skops"
    file.write_bytes(content)
    asset = release.upload_asset(str(file), content_type="application/octet-stream")
    assert asset.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    with pytest.raises(GithubException) as again:
        release.upload_asset(str(file))
    assert again.value.data["errors"][0]["code"] == "already_exists"
    reader = job(hub, alice, contents="read").repository()
    assert list(reader.get_releases()) == []
    assert hub.git.resolve("refs/tags/churn@v1.0.0") is None
    assert writer.ask("GET", "/releases/tags/churn%40v1.0.0")[0] == 404

    release.update_release("churn 1.0.0", "Card", draft=False)
    assert hub.git.resolve("refs/tags/churn@v1.0.0") == hub.git.resolve("main")
    published = reader.get_release("churn@v1.0.0")
    (found,) = published.get_assets()
    head = {
        "Authorization": f"Bearer {writer.token}",
        "Accept": "application/octet-stream",
    }
    assert requests.get(found.url, headers=head, timeout=20).content == content
    with urllib.request.urlopen(found.browser_download_url) as answer:
        assert answer.read() == content
    assert [(r["tag_name"], r["draft"]) for r in hub.state.releases.values()] == [
        ("churn@v1.0.0", False)
    ]
    duplicate = writer.ask("POST", "/releases", {"tag_name": "churn@v1.0.0"})
    assert (duplicate[0], duplicate[1]["errors"][0]["code"]) == (422, "already_exists")
    for forbidden in (found.delete_asset, published.delete_release):
        with pytest.raises(GithubException, match="not accessible"):
            forbidden()


def test_storage_refuses_those_who_show_it_the_token(hub: Hub, alice: Desk) -> None:
    release = alice.ask("POST", "/releases", {"tag_name": "v1", "draft": True})[1]
    assets = f"{hub.api_url}/repos/acme/demo/releases/{release['id']}/assets"
    where = f"{assets}?name=a%20b%23.txt"
    head = {"Authorization": f"Bearer {alice.token}", "Content-Type": "text/plain"}
    with urllib.request.urlopen(
        urllib.request.Request(where, b"hello", head)
    ) as answer:
        asset = json.load(answer)
    assert asset["name"] == "a.b..txt"  # as GitHub renames
    # urllib carries the Authorization header over to the host it is sent to.
    status, said, _ = alice.ask(
        "GET", f"/releases/assets/{asset['id']}", Accept="application/octet-stream"
    )
    assert (status, said) == (400, b"Only one auth mechanism allowed")


def test_immutable_releases_keep_assets_and_tag(hub: Hub, alice: Desk) -> None:
    assert alice.ask("GET", "/immutable-releases")[0] == 404
    assert alice.ask("PUT", "/immutable-releases")[0] == 204
    release = alice.ask(
        "POST", "/releases", {"tag_name": "v1", "target_commitish": "main"}
    )[1]
    assert release["immutable"] is True
    upload = f"/releases/{release['id']}/assets?name=late.txt"
    assert alice.ask("POST", upload, {"any": "thing"})[0] == 422
    assert "immutable" in alice.git("push", "origin", ":refs/tags/v1", check=False)
    assert alice.ask("DELETE", "/git/refs/tags/v1")[0] == 422
    assert alice.ask("DELETE", f"/releases/{release['id']}")[0] == 204
    burnt = alice.ask("POST", "/releases", {"tag_name": "v1"})
    assert burnt[0] == 422
    assert "immutable" in burnt[1]["errors"][0]["message"]


# ----- dispatches, deployments, artifacts, settings


def test_dispatches(hub: Hub, alice: Desk) -> None:
    bot = job(hub, alice, contents="write", actions="write").repository()
    assert bot.create_repository_dispatch("retrain", {"model": "churn"})
    workflow = bot.get_workflow("promote.yml")
    assert workflow.name == "Promote"
    assert workflow.create_dispatch("main", {"version": "v1.0.0"})
    first, second = hub.events.take()
    assert (first.name, first.token_kind) == ("repository_dispatch", "GITHUB_TOKEN")
    assert first.payload["action"] == "retrain"
    assert first.payload["client_payload"] == {"model": "churn"}
    assert (second.name, second.ref) == ("workflow_dispatch", "refs/heads/main")
    assert second.payload["inputs"] == {"version": "v1.0.0", "stage": "staging"}
    assert [d["event"] for d in hub.state.dispatches] == [
        "repository_dispatch",
        "workflow_dispatch",
    ]
    address = "/actions/workflows/promote.yml/dispatches"
    for inputs in (
        {},
        {"version": "v1", "stage": "moon"},
        {"version": "v1", "other": "x"},
    ):
        assert alice.ask("POST", address, {"ref": "main", "inputs": inputs})[0] == 422
    assert alice.ask("POST", address, {"ref": "nowhere"})[0] == 422
    assert (
        alice.ask("POST", address.replace("promote", "none"), {"ref": "main"})[0] == 404
    )
    assert hub.events.take() == []


def test_a_deployment_makes_the_one_before_inactive(hub: Hub, alice: Desk) -> None:
    repository = job(hub, alice, deployments="write").repository()
    for version in ("v1", "v2"):
        deployment = repository.create_deployment(
            "main",
            environment="production",
            payload={"v": version},
            required_contexts=[],
        )
        deployment.create_status("in_progress")
        deployment.create_status("success", environment_url="https://example.com")
    states = [
        [s["state"] for s in d["statuses"]] for d in hub.state.deployments.values()
    ]
    assert states == [
        ["in_progress", "success", "inactive"],
        ["in_progress", "success"],
    ]
    newest = next(iter(repository.get_deployments(environment="production")))
    assert newest.payload == {"v": "v2"}
    assert [s.state for s in newest.get_statuses()] == ["success", "in_progress"]


def test_runs_and_their_artifacts(hub: Hub, alice: Desk, tmp_path: Path) -> None:
    sha = hub.git.resolve("main")
    hub.runs.register(
        42, "pull-request", {"train": {}}, name="Pull request", head_sha=sha
    )
    folder = hub.artifacts_folder / "42" / "build-churn"
    (folder / "churn").mkdir(parents=True)
    (folder / "churn" / "verdict.json").write_text("{}")
    reader = job(hub, alice, actions="read").repository()
    run = reader.get_workflow_run(42)
    assert (run.name, run.status, run.head_sha) == ("Pull request", "in_progress", sha)
    hub.runs.finish(42, {"train": "success"})
    assert reader.get_workflow_run(42).conclusion == "success"
    assert [j.conclusion for j in reader.get_workflow_run(42).jobs()] == ["success"]
    assert [r.id for r in reader.get_workflow_runs(status="success")] == [42]
    hub.runs.approve(42, "bob", "production")
    (review,) = job(hub, alice, actions="read").ask(
        "GET", "/actions/runs/42/approvals"
    )[1]
    assert (review["user"]["login"], review["environments"][0]["name"]) == (
        "bob",
        "production",
    )
    (artifact,) = run.get_artifacts()
    request = urllib.request.Request(
        artifact.archive_download_url,
        headers={"Authorization": f"Bearer {alice.token}"},
    )
    opener = urllib.request.build_opener(StripAuthorization)
    content = opener.open(request).read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["churn/verdict.json"]
    assert artifact.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    hub.expire_artifacts(42)
    assert [one.expired for one in run.get_artifacts()] == [True]
    with pytest.raises(urllib.error.HTTPError, match="410"):
        opener.open(request)
    assert not folder.exists()  # a job of the run finds nothing, and is told of nothing


class StripAuthorization(urllib.request.HTTPRedirectHandler):
    """Does what a client of GitHub must: shows the token to no other host."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        request = super().redirect_request(*arguments)
        if request:
            request.remove_header("Authorization")
        return request


def test_rules_hold_for_pushes_and_merges(hub: Hub, alice: Desk) -> None:
    check = {"context": "verdict"}
    rules = [
        {"type": "pull_request", "parameters": RULE},
        {
            "type": "required_status_checks",
            "parameters": {
                "required_status_checks": [check],
                "strict_required_status_checks_policy": False,
            },
        },
    ]
    conditions = {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}}
    asked = {
        "name": "main",
        "enforcement": "active",
        "rules": rules,
        "conditions": conditions,
    }
    status, made, _ = alice.ask("POST", "/rulesets", asked)
    assert status == 201, made
    assert alice.ask("POST", "/rulesets", asked)[0] == 422
    assert alice.ask("GET", f"/rulesets/{made['id']}")[1]["rules"] == rules
    assert alice.repository().get_branch("main").protected
    alice.commit("direct")
    assert "through a pull request" in alice.git("push", "origin", "main", check=False)
    number = opened(alice)
    sha = alice.git("rev-parse", "HEAD")
    lacking = alice.ask("PUT", f"/pulls/{number}/merge")
    assert (lacking[0], "verdict" in lacking[1]["message"]) == (405, True)
    hub.runs.register(3, "pull-request", {"verdict": {}}, head_sha=sha)
    hub.runs.finish(3, {"verdict": "success"})
    assert alice.ask("PUT", f"/pulls/{number}/merge")[0] == 200


def test_a_code_owners_review_is_wanted_of_all_but_administrators(
    hub: Hub, alice: Desk
) -> None:
    rule = {
        "type": "pull_request",
        "parameters": {**RULE, "require_code_owner_review": True},
    }
    admins = {
        "actor_type": "RepositoryRole",
        "actor_id": 5,
        "bypass_mode": "pull_request",
    }
    asked = {
        "name": "review",
        "enforcement": "active",
        "rules": [rule],
        "conditions": {"ref_name": {"include": ["refs/heads/main"], "exclude": []}},
        "bypass_actors": [admins],
    }
    made = alice.ask("POST", "/rulesets", asked)[1]
    assert made["bypass_actors"] == [admins]
    seen = job(hub, alice, contents="read").ask("GET", f"/rulesets/{made['id']}")[1]
    assert "bypass_actors" not in seen and seen["rules"] == [rule]
    number = opened(alice)
    refused = alice.ask("PUT", f"/pulls/{number}/merge")
    assert (refused[0], "code owner" in refused[1]["message"]) == (405, True)
    hub.state.collaborators["alice"] = "admin"
    assert alice.ask("PUT", f"/pulls/{number}/merge")[0] == 200


RULE = {
    "dismiss_stale_reviews_on_push": False,
    "require_code_owner_review": False,
    "require_last_push_approval": False,
    "required_approving_review_count": 1,
    "required_review_thread_resolution": False,
}


def test_settings_come_back_as_they_were_set(hub: Hub, alice: Desk) -> None:
    assert alice.ask("PATCH", "", {"delete_branch_on_merge": True})[1][
        "delete_branch_on_merge"
    ]
    policy = {"protected_branches": False, "custom_branch_policies": True}
    asked = {"wait_timer": 5, "deployment_branch_policy": policy}
    environment = alice.ask("PUT", "/environments/production", asked)[1]
    assert environment["deployment_branch_policy"] == policy
    assert {r["type"] for r in environment["protection_rules"]} == {
        "wait_timer",
        "branch_policy",
    }
    rest = "/environments/production/deployment-branch-policies"
    made = alice.ask("POST", rest, {"name": "main", "type": "branch"})[1]
    assert alice.ask("GET", rest)[1]["branch_policies"] == [made]
    assert alice.ask("DELETE", f"{rest}/{made['id']}")[0] == 204
    workflow = {
        "default_workflow_permissions": "read",
        "can_approve_pull_request_reviews": True,
    }
    assert alice.ask("PUT", "/actions/permissions/workflow", workflow)[0] == 204
    assert alice.ask("GET", "/actions/permissions/workflow")[1] == workflow
    assert alice.ask("GET", "/pages")[0] == 404
    assert alice.ask("POST", "/pages", {"build_type": "workflow"})[0] == 201
    assert alice.ask("GET", "/pages")[1]["build_type"] == "workflow"
    hub.state.collaborators["bob"] = "maintain"
    assert alice.ask("GET", "/collaborators/bob/permission")[1]["permission"] == "write"
    assert alice.ask("GET", "/collaborators/eve/permission")[1]["permission"] == "read"

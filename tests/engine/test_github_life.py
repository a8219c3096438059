"""The life of a repository on GitHub: renamed, moved, hidden, archived, restored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.context import attests
from mlops.cli.main import app
from mlops.errors import EnvironmentFailure, UsageError
from mlops.github.client import repository
from mlops.github.issues import open_or_edit
from mlops.github.pages import publishing
from mlops.github.repo_settings_api import send
from mlops.github.switches import SWITCHES
from mlops.registry import tags
from mlops.registry.chain import fetch
from mlops.registry.health import health
from mlops.registry.tag_writes import claim
from mlops.storage.cache import cache_root
from mlops.storage.github_releases import GitHubStore
from rehearsal.event import Event
from rehearsal.hub import Hub
from rehearsal.hub.rules import rules_of
from rehearsal.router import Router

from .conftest import ENGINE, git
from .registry_world import MODEL, World, world_fixture  # noqa: F401
from .test_github_settings import NAMED, Desk, desk_of

RIGHTS = {"contents": "write", "issues": "write", "pages": "read", "actions": "read"}


class Life:
    """A repository on a hub whose v1.0.0 is in production, and a clone of it."""

    def __init__(
        self, hub: Hub, world: World, folder: Path, patch: pytest.MonkeyPatch
    ) -> None:
        self.hub, self.world, self.folder, self.patch = hub, world, folder, patch
        token = hub.tokens.issue("write-all", actor="alice", kind="user")
        facts = {
            "GITHUB_API_URL": hub.api_url,
            "GITHUB_SERVER_URL": hub.server_url,
            "GITHUB_TOKEN": token,
            "MLOPS_RETRY_SECONDS": "0.001",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{hub.server_url}/.extraheader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Bearer {token}",
        }
        for name, value in facts.items():
            patch.setenv(name, value)
        patch.delenv("GITHUB_REPOSITORY", raising=False)
        patch.chdir(world.root)
        git(world.root, "remote", "add", "origin", self.address())
        git(world.root, "push", "-q", "origin", "HEAD:refs/heads/main")

    def address(self) -> str:
        return f"{self.hub.server_url}/{self.hub.repository}.git"

    def store(self) -> GitHubStore:
        """Return the store of a command that begins now."""
        return GitHubStore(repository())

    def deliver(self, text: str, number: str) -> None:
        """Register a version, and put it into both stages."""
        self.world.change_code(text)
        git(self.world.root, "push", "-q", "origin", "HEAD:refs/heads/main")
        self.world.build(text)
        version = self.world.register(store=self.store()).version
        assert version.number == number
        for stage in ("staging", "production"):
            self.world.promote(number, stage, store=self.store())

    def production(self) -> str:
        """Return the version in production, downloaded and verified."""
        shutil.rmtree(cache_root(), ignore_errors=True)
        bundle = fetch(self.world.project, f"{MODEL}@production", self.store())
        assert bundle.read("model.skops")
        return bundle.version.number

    def in_a_job(self, **event: Any) -> None:
        """Go on as a job of the repository, by its present name."""
        path = self.folder / "event.json"
        path.write_text(json.dumps({"repository": {**self.shown(), **event}}))
        self.patch.setenv("GITHUB_REPOSITORY", self.hub.repository)
        self.patch.setenv("GITHUB_EVENT_PATH", str(path))

    def shown(self) -> dict[str, Any]:
        return dict(self.hub.view.repository())

    def doctor(self) -> str:
        done = CliRunner().invoke(app, ["doctor", "--json"])
        assert "defect of mlops" not in done.output, done.output
        rows = {row["check"]: row["found"] for row in json.loads(done.stdout)}
        assert rows["registry"] == ""
        return str(rows["GitHub"])


@pytest.fixture(name="life")
def life_fixture(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Life]:
    with Hub(tmp_path / "hub") as hub:
        life = Life(hub, world, tmp_path, monkeypatch)
        life.deliver("one", "v1.0.0")
        yield life


@pytest.mark.parametrize("name", ["acme/better-name", "beta/demo"])
def test_a_renamed_or_transferred_repository_goes_on_by_its_new_name(
    life: Life, name: str
) -> None:
    life.hub.rename(name)
    life.in_a_job()
    git(life.world.root, "remote", "set-url", "origin", life.address())
    assert life.production() == "v1.0.0"
    life.deliver("two", "v1.1.0")
    assert life.production() == "v1.1.0"
    assert health(life.world.project, life.store()).problems == ()


@pytest.mark.parametrize("name", ["acme/better-name", "beta/demo"])
def test_a_clone_of_before_still_reads_and_is_told_the_new_name(
    life: Life, name: str
) -> None:
    life.hub.rename(name)
    git(life.world.root, "fetch", "-q", "origin")  # GitHub leads git on
    assert life.production() == "v1.0.0"
    found = life.doctor()
    assert f"it is {name}" in found and SWITCHES["name"].remedy in found
    life.world.change_code("two")
    life.world.build("two")
    with pytest.raises(UsageError) as failure:
        life.world.register(store=life.store())
    assert name in str(failure.value) and "git remote set-url" in str(failure.value)
    assert "v1.1.0" not in tags.read_registry(life.world.root).model(MODEL).versions
    with pytest.raises(UsageError, match="former name"):
        life.store().remove(MODEL, "v1.0.0")
    assert life.store().holds(MODEL, "v1.0.0")
    git(life.world.root, "remote", "set-url", "origin", life.address())
    assert SWITCHES["name"].effect not in life.doctor()
    assert life.world.register(store=life.store()).version.number == "v1.1.0"


def test_a_repository_that_is_made_private_is_neither_attested_nor_published(
    life: Life,
) -> None:
    life.hub.state.pages = {"build_type": "workflow"}
    for private in (False, True, False):
        life.hub.state.private = private
        life.in_a_job()
        assert attests() is not private
        answer = publishing(repository(), private=private, wanted="")
        assert answer == ("private" if private else "on")
        assert life.production() == "v1.0.0"
    life.deliver("two", "v1.1.0")


def test_the_settings_of_a_repository_that_is_made_private_and_public_again(
    tmp_path: Path,
) -> None:
    """On Free GitHub drops the rules; they are applied again where it has them."""
    with desk_of(tmp_path) as desk:
        desk.said("apply", code=0)
        assert desk.said("plan", code=0) == {}
        desk.hub.state.private = True
        rows = desk.said("plan", code=0)
        assert {result for result, _ in rows.values()} == {"not in this plan"}
        assert "ruleset main" in rows
        desk.hub.state.private = False
        desk.hub.state.rulesets.clear()
        assert desk.differs() == [
            f"ruleset {name}" for name in ("main", "review", "registry", "journal")
        ]
        desk.said("apply", code=0)
        assert desk.said("plan", code=0) == {}


def with_workflows(desk: Desk) -> None:
    """Put the generated workflows into a repository, and that on the hub."""
    folder = desk.root / ".github" / "workflows"
    shutil.copytree(ENGINE / ".github" / "workflows", folder)
    git(desk.root, "init", "-q", "-b", "main")
    git(desk.root, "add", "-A")
    git(desk.root, "commit", "-qm", "First")
    git(desk.root, "push", "-q", str(desk.hub.origin), "HEAD:refs/heads/main")
    desk.token({**NAMED, "contents": "read"})


def started(desk: Desk, branch: str, *changed: str) -> list[str]:
    """Return the workflows that a push to a branch starts."""
    event = Event("push", {}, ref=f"refs/heads/{branch}", changed_files=changed)
    workflows = Router(desk.root / ".github" / "workflows").starts(event)
    return [workflow.path.name for workflow in workflows]


@pytest.mark.parametrize("branch", ["trunk", "team/next-1.0", "c++"])
def test_a_default_branch_of_another_name_is_one_command(
    tmp_path: Path, branch: str
) -> None:
    """Whatever names it by hand follows, and what is declared holds of it."""
    with desk_of(tmp_path) as desk:
        with_workflows(desk)
        desk.said("apply", code=0)
        git(desk.hub.origin, "branch", "-m", "main", branch)
        desk.hub.state.repository["default_branch"] = branch
        listed = " ".join(desk.run("plan").output.split())
        assert f"it is {branch}: release.yml, settings.yml" in listed
        rows = desk.said("apply", code=0)
        assert rows["branch of release.yml"] == (
            "done",
            f"commit it, and push it to {branch}",
        )
        assert "settings.yaml" not in git(desk.root, "status", "--short")
        assert SWITCHES["default branch"].effect not in desk.run("plan").output
        changed = ("project.yaml",)
        assert started(desk, branch, *changed) == ["release.yml", "settings.yml"]
        assert started(desk, "main", *changed) == []
        upkeep = desk.hub.state.environments["upkeep"]
        assert [policy["name"] for policy in upkeep["policies"]] == [branch]
        merged = rules_of(desk.hub.state, f"refs/heads/{branch}")
        assert {"pull_request", "required_status_checks"} <= {r["type"] for r in merged}
        assert rules_of(desk.hub.state, "refs/heads/main") == []
        assert desk.said("plan", code=0) == desk.said("apply", code=0) == {}


def test_a_job_names_the_files_and_changes_none(tmp_path: Path) -> None:
    with desk_of(tmp_path) as desk:
        with_workflows(desk)
        desk.hub.state.repository["default_branch"] = "trunk"
        git(desk.hub.origin, "branch", "-m", "main", "trunk")
        desk.patch.setenv("GITHUB_ACTIONS", "true")
        desk.token({**NAMED, "contents": "read"}, variable="SETTINGS_TOKEN")
        assert "it is trunk: release.yml" in desk.run("apply").output
        assert git(desk.root, "status", "--short") == ""


def test_a_clone_that_still_trusts_the_former_default_branch_is_told(
    life: Life,
) -> None:
    """`git fetch` leaves origin/HEAD as it is, and approvals are judged by it."""
    git(life.world.root, "remote", "set-head", "origin", "main")
    assert SWITCHES["clone"].effect not in life.doctor()
    life.hub.state.repository["default_branch"] = "trunk"
    git(life.hub.origin, "branch", "-m", "main", "trunk")
    git(life.hub.origin, "symbolic-ref", "HEAD", "refs/heads/trunk")
    git(life.world.root, "fetch", "-q", "--prune", "origin")
    found = life.doctor()
    assert f"{SWITCHES['clone'].effect} (main)" in found
    git(life.world.root, "remote", "set-head", "origin", "--auto")
    assert SWITCHES["clone"].effect not in life.doctor()
    assert life.production() == "v1.0.0"
    life.world.change_code("two")
    git(life.world.root, "push", "-q", "origin", "HEAD:refs/heads/trunk")
    life.world.build("two")
    assert life.world.register(store=life.store()).version.number == "v1.1.0"


def test_a_filter_of_a_read_by_a_former_name_is_kept(life: Life) -> None:
    """GitHub sends it on; without its query another list would come back."""
    state = life.hub.state
    for number in range(40):
        state.labels[f"label-{number}"] = {
            "id": number + 1,
            "color": "ffffff",
            "description": None,
        }
    open_or_edit(repository(), "label-1", "one", "text")
    open_or_edit(repository(), "label-2", "two", "text")
    life.hub.rename("acme/better-name")
    hub = repository()
    assert hub.url.endswith("/repos/acme/demo")
    assert len(send(hub, "GET", "/labels?per_page=100")) == 40
    second = send(hub, "GET", "/labels?per_page=30&page=2")
    assert len(second) == 10
    listed = send(hub, "GET", "/issues?labels=label-1&state=open")
    assert [one["title"] for one in listed] == ["one"]
    assert len(list(hub.get_labels())) == 40


@pytest.mark.parametrize(
    ("settings", "ok"),
    [
        ('environments: {upkeep: {branches: ["~DEFAULT_BRANCH"]}}', True),
        ("environments: {upkeep: {branches: [tr*]}}", True),
        ("environments: {upkeep: {branches: [main]}}", False),
        ("environments: {upkeep: {branches: []}}", True),
        ("environments: {preview: {branches: [develop]}}", True),
        ("environments: {production: {branches: [release/*]}}", False),
        (
            "rulesets: {m: {target: branch, include: [MAIN], rules: RULE}}",
            False,
        ),
        ("rulesets: {m: {target: branch, include: [~ALL], rules: RULE}}", True),
        (
            "rulesets: {m: {target: branch, include: [~ALL], "
            "exclude: [refs/heads/trunk], rules: RULE}}",
            False,
        ),
        ("rulesets: {m: {target: branch, include: [a], rules: {deletion: {}}}}", True),
    ],
)
def test_settings_that_name_another_branch_are_named(
    life: Life, settings: str, ok: bool
) -> None:
    """Those of a repository that was generated before they named none."""
    (life.world.root / ".github").mkdir()
    text = settings.replace("RULE", "{pull_request: {}}")
    text = text.replace("MAIN", "refs/heads/main").replace("[~ALL]", '["~ALL"]')
    (life.world.root / ".github" / "settings.yaml").write_text(text)
    life.hub.state.repository["default_branch"] = "trunk"
    found = life.doctor()
    assert ("it is trunk: .github/settings.yaml" in found) is not ok


def test_an_archived_repository_is_read_and_says_why_nothing_can_be_written(
    life: Life,
) -> None:
    life.hub.state.repository["archived"] = True
    assert life.production() == "v1.0.0"
    assert SWITCHES["archived"].remedy in life.doctor()
    life.world.change_code("two")
    life.world.build("two")
    with pytest.raises(EnvironmentFailure, match="archived") as failure:
        life.world.register(store=life.store())
    assert SWITCHES["archived"].remedy in str(failure.value)
    with pytest.raises(EnvironmentFailure, match="archived") as failure:
        claim(
            life.world.root, {"churn@v9.0.0": git(life.world.root, "rev-parse", "HEAD")}
        )
    assert SWITCHES["archived"].remedy in str(failure.value)
    assert "right to push" not in str(failure.value)
    with pytest.raises(EnvironmentFailure, match="archived") as failure:
        life.store().remove(MODEL, "v1.0.0")
    assert SWITCHES["archived"].remedy in str(failure.value)
    life.hub.state.repository["archived"] = False
    assert life.world.register(store=life.store()).version.number == "v1.1.0"


def test_a_repository_is_restored_from_a_clone_and_the_files_of_its_releases(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/how-to/move.md says: push what is in git, then each release."""
    life.deliver("two", "v1.1.0")
    saved = tmp_path / "saved"
    for release in life.hub.state.releases.values():
        folder = saved / release["tag_name"]
        folder.mkdir(parents=True)
        for asset in life.hub.state.assets_of(release["id"]):
            shutil.copy(asset["path"], folder / asset["name"])
    with Hub(tmp_path / "elsewhere", repository="acme/again") as hub:
        git(life.world.root, "remote", "remove", "origin")
        again = Life(hub, life.world, tmp_path, monkeypatch)
        git(life.world.root, "push", "-q", "--all", "origin")
        git(life.world.root, "push", "-q", "--tags", "origin")
        problems = health(life.world.project, again.store()).problems
        assert len(problems) == 2  # its versions have no files yet
        for folder in sorted(saved.iterdir()):
            created = repository().create_git_release(folder.name, folder.name, "")
            for file in sorted(folder.iterdir()):
                created.upload_asset(str(file))
        assert health(life.world.project, again.store()).problems == ()
        assert again.production() == "v1.1.0"
        again.deliver("three", "v1.2.0")
        assert again.production() == "v1.2.0"


# -- a job's token may not change workflows --------------------------------------------

WORKFLOW = ".github/workflows/x.yml"


def changed_workflow(life: Life, text: str) -> None:
    """Let a person change a workflow of main, beside what is checked out here."""
    root = life.folder / "another"
    if not root.exists():
        git(life.folder, "clone", "-q", life.address(), str(root))
    git(root, "pull", "-q", "origin", "main")
    (root / ".github" / "workflows").mkdir(parents=True, exist_ok=True)
    (root / WORKFLOW).write_text(text)
    git(root, "add", "-A")
    who = ("-c", "user.name=bob", "-c", "user.email=bob@example.com")
    git(root, *who, "commit", "-qm", "Another workflow")
    git(root, "push", "-q", "origin", "HEAD:refs/heads/main")


def with_a_jobs_token(life: Life) -> None:
    """Go on with a token that may write contents, and no workflow."""
    token = life.hub.tokens.issue({"contents": "write"}, actor="alice")
    life.patch.setenv("GITHUB_TOKEN", token)
    life.patch.setenv("GIT_CONFIG_VALUE_0", f"Authorization: Bearer {token}")


def test_a_version_is_delivered_though_main_has_other_workflows_by_now(
    life: Life,
) -> None:
    """Its commit brings the workflow of before, which no branch has any more."""
    changed_workflow(life, "on: push\n")
    git(life.world.root, "pull", "-q", "origin", "main")
    life.world.change_code("two")
    git(life.world.root, "push", "-q", "origin", "HEAD:refs/heads/main")
    life.world.build("two")
    changed_workflow(life, "on: pull_request\n")
    with_a_jobs_token(life)
    version = life.world.register(store=life.store()).version
    assert version.number == "v1.1.0"
    for stage in ("staging", "production"):
        life.world.promote("v1.1.0", stage, store=life.store())
    assert life.production() == "v1.1.0"
    life.world.rollback("production", store=life.store())
    assert life.production() == "v1.0.0"
    listed = git(life.world.root, "ls-tree", "-r", "--name-only", version.commit)
    assert WORKFLOW not in listed.splitlines()


@pytest.mark.parametrize("moved", [False, True])
def test_where_leaving_workflows_out_counts_as_well_only_the_tip_is_delivered(
    life: Life, moved: bool
) -> None:
    """The hub as harsh as GitHub may be: a file that is gone is a change, too."""
    changed_workflow(life, "on: push\n")
    git(life.world.root, "pull", "-q", "origin", "main")
    life.world.change_code("two")
    git(life.world.root, "push", "-q", "origin", "HEAD:refs/heads/main")
    life.world.build("two")
    if moved:
        changed_workflow(life, "on: pull_request\n")
    hook = life.hub.origin / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\n"
        f'git cat-file -e "$3:{WORKFLOW}" && exit 0\n'
        f'echo "refusing to allow a GitHub App to create or update workflow '
        f"'{WORKFLOW}' without 'workflows' permission\" >&2\nexit 1\n"
    )
    hook.chmod(0o755)
    with_a_jobs_token(life)
    if moved:
        with pytest.raises(EnvironmentFailure, match="in a clone of your own"):
            life.world.register(store=life.store())
        assert (
            "v1.1.0" not in tags.read_registry(life.world.root).models[MODEL].versions
        )
        return
    assert life.world.register(store=life.store()).version.number == "v1.1.0"
    for stage in ("staging", "production"):
        life.world.promote("v1.1.0", stage, store=life.store())
    assert life.production() == "v1.1.0"

"""What keeps a repository up: settings as code, template updates, security checks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.hub import Hub
from rehearsal.runner.run import Run
from rehearsal.stories.template import TREE
from rehearsal.stories.world import World, replaced
from stories.worlds import MODEL, repository

ADMINISTRATION = {"administration": "write", "issues": "write", "pages": "write"}
ADMINISTRATION |= {"variables": "write", "actions": "read"}
PROPOSING = {"contents": "write", "pull-requests": "write", "workflows": "write"}
SETTINGS = ".github/settings.yaml"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a generated repository with a quick model, and somebody who approves."""
    root = repository(tmp_path_factory.mktemp("source"))
    old = "    after: staging\n    approvers: []"
    replaced("project.yaml", old, old.replace("[]", '["@alice"]'))(root)
    return root


def begun(hub: Hub, root: Path, source: Path, caches: Path | None = None) -> World:
    """Put a repository on the hub; its page has a story of its own."""
    world = World(hub, root, source, caches=caches)
    world.runner.disabled = {"pages"}
    return world


def secret(world: World, name: str, **permissions: str) -> None:
    """Keep the token of somebody's App or their own as a secret of the repository."""
    world.runner.secrets[name] = world.hub.tokens.issue(
        permissions, actor="acme", kind="user"
    )


def only(runs: list[Run], workflow: str) -> Run:
    """Return the run of a workflow, which must have run once."""
    (run,) = (run for run in runs if run.workflow == workflow)
    return run


@pytest.fixture
def world(source: Path, tmp_path: Path) -> Iterator[World]:
    """Return a public repository."""
    with Hub(tmp_path / "hub") as hub:
        yield begun(hub, tmp_path, source)


@pytest.mark.slow
def test_settings_are_applied_by_a_push_and_drift_is_one_issue_until_it_is_over(
    world: World,
) -> None:
    state = world.hub.state
    world.token("alice")
    secret(world, "SETTINGS_TOKEN", **ADMINISTRATION)
    edit = replaced(SETTINGS, "variables: {}", "variables: {RETENTION_DAYS: '14'}")
    run = only(world.push(edit, "Keep for two weeks"), "settings")
    assert run.jobs == {"settings": "success"}, run.log
    assert (
        "ruleset main: done" in run.summary and "The settings match the file" in run.log
    )
    assert {r["name"] for r in state.rulesets.values()} == {
        "main",
        "review",
        "registry",
        "journal",
    }
    (approver,) = state.environments["production"]["reviewers"]
    assert approver["id"] == world.hub.view.user("alice")["id"]
    assert (
        state.variables["RETENTION_DAYS"]["value"] == "14" and state.immutable_releases
    )
    assert world.deployments() == [] and world.issues() == []

    # Under these rules a release comes through, and nothing else does.
    world.approves("production", "alice")
    run = only(world.message("retrain", actor="bob", model=MODEL), "release")
    assert run.conclusion == "success", run.log
    assert world.tags() == ["churn@v1.0.0", "churn#staging#1", "churn#production#2"]
    assert state.burnt_tags == {"churn@v1.0.0"}
    with pytest.raises(
        RehearsalError, match="Changes must be made through a pull request"
    ):
        world.push({"README.md": "Straight to main.\n"})
    for tag in ("churn@v1.0.0", "churn#production#2"):
        with pytest.raises(RehearsalError, match=r"GH013|immutable"):
            world.git("push", "--force", "origin", f"HEAD:refs/tags/{tag}")
        with pytest.raises(RehearsalError, match=r"GH013|immutable"):
            world.git("push", "origin", f":refs/tags/{tag}")

    next(r for r in state.rulesets.values() if r["name"] == "main")["enforcement"] = (
        "disabled"
    )
    for _ in range(2):
        (run,) = world.schedule("settings")
        assert run.jobs == {"settings": "success"}, run.log
        (issue,) = world.issues()
    assert issue["title"] == "The settings on GitHub differ from .github/settings.yaml"
    assert "ruleset main: differs" in issue["body"] and "disabled" in issue["body"]
    (run,) = world.dispatch("settings")
    assert "ruleset main: done" in run.summary
    assert world.issues() == [] and len(world.issues("closed")) == 1
    (said,) = world.comments(issue["number"])
    assert "It is over." in said


@pytest.mark.slow
def test_without_tokens_it_says_what_it_sees_and_how_to_get_one(world: World) -> None:
    (run,) = world.dispatch("settings")
    assert run.jobs == {"settings": "success"}, run.log
    assert "Nothing was changed." in run.summary
    assert "as the secret `SETTINGS_TOKEN` of the environment `upkeep`" in run.summary
    assert "ruleset registry: differs" in run.summary
    assert (
        "immutable releases: not seen" in run.summary
    )  # administration: read, which no job has
    assert not world.hub.state.rulesets and not world.hub.state.environments
    (issue,) = world.issues()
    assert "gh auth login" in issue["body"]

    (run,) = world.schedule("update")
    assert run.jobs == {"merge": "success", "propose": "success"}, run.log
    assert "this repository was not made with cruft" in run.summary
    assert len(world.issues()) == 1


@pytest.mark.slow
def test_a_private_repository_of_the_free_plan_says_what_holds_instead(
    source: Path, tmp_path: Path
) -> None:
    with Hub(tmp_path / "hub", private=True) as hub:
        world = begun(hub, tmp_path, source)
        hub.state.collaborators["alice"] = "write"  # who approves
        secret(world, "SETTINGS_TOKEN", **ADMINISTRATION, contents="read")
        (run,) = world.dispatch("settings")
        assert run.jobs == {"settings": "success"}, run.log
        assert (
            "ruleset main: not in this plan. whoever may push can also push to it"
            in run.summary
        )
        assert (
            "pages: not in this plan. pages.yml keeps the page as an artifact"
            in run.summary
        )
        assert (
            hub.state.labels and hub.state.immutable_releases and world.issues() == []
        )

        (run,) = world.schedule("security")
        skipped = dict.fromkeys(("dependencies", "codeql"), "skipped")
        assert run.jobs == {"zizmor": "success", **skipped}, run.log
        (run,) = world.schedule("scorecard")
        assert run.jobs == {"scorecard": "skipped"}
        world.api(
            "POST", "/actions/variables", {"name": "ADVANCED_SECURITY", "value": "on"}
        )
        (run,) = world.schedule("security")
        assert list(run.jobs.values()) == ["success", "skipped", "success"], run.jobs
        (run,) = world.schedule("scorecard")
        assert run.jobs == {"scorecard": "success"}
        world.api("POST", "/actions/variables", {"name": "SCHEDULES", "value": "off"})
        for workflow in ("security", "scorecard", "settings", "update", "lock"):
            (run,) = world.schedule(workflow)
            assert set(run.jobs.values()) == {"skipped"}, workflow


# ----- newer libraries

# What `make lock UPGRADE=1` would find at a registry.
NEWER = "lock:\n\t@sed -i 's/^numpy==[0-9.]*/numpy==99.1.0/' requirements/*.txt\n"


def newer_numpy(root: Path) -> None:
    """Let the command that compiles the locks find a newer numpy."""
    path = root / "Makefile"
    head, _, _ = path.read_text(encoding="utf-8").partition("lock:\n")
    path.write_text(head + NEWER, encoding="utf-8")


@pytest.mark.slow
def test_newer_libraries_are_proposed_with_what_is_known_of_them(world: World) -> None:
    world.change(newer_numpy, "A registry with a newer numpy")
    world.git("push", "--quiet", "origin", "main")
    world.hub.events.take()  # what a release does is told elsewhere
    lock = (world.work / "requirements" / "all.txt").read_text(encoding="utf-8")
    (old,) = re.findall(r"^numpy==(\S+)", lock, re.MULTILINE)
    world.hub.state.advisories.append(
        {
            "ghsa_id": "GHSA-aaaa-bbbb-cccc",
            "ecosystem": "pip",
            "package": "numpy",
            "versions": (old,),
            "severity": "high",
            "summary": "numpy is unsafe",
        }
    )
    run = only(world.schedule("lock"), "lock")
    assert run.jobs == {"compile": "success", "propose": "success"}, run.log
    (issue,) = world.issues()  # nobody gave it a token
    text = issue["body"].replace("\\", "")
    assert f"numpy {old} → 99.1.0" in text and "make lock UPGRADE=1" in text
    settled = text.partition("Security advisories that this settles")[2]
    assert "GHSA-aaaa-bbbb-cccc (high), numpy is unsafe" in settled


# ----- the template moves on


def git(root: Path, *arguments: str) -> str:
    """Run git as whoever keeps the template."""
    who = [
        f"{key}={text}"
        for key, text in (("user.name", "t"), ("user.email", "t@example.com"))
    ]
    options = [option for pair in who for option in ("-c", pair)]
    command = ["git", *options, *arguments]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True
    ).stdout


def cruft(folder: Path, *arguments: str) -> str:
    """Run cruft as an owner of the repository."""
    done = subprocess.run(
        [sys.executable, "-m", "cruft", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def made(source: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return a template with a history, and a repository that cruft made of it."""
    template = tmp_path / "template"
    shutil.copytree(source.parents[1] / "template", template)
    git(template, "init", "--quiet", "--initial-branch=main")
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "-m", "First")
    answers = {"project_name": "Demo", "project_slug": "demo", "github_owner": "acme"}
    made = tmp_path / "made"
    made.mkdir()
    context = json.dumps(answers)
    cruft(made, "create", str(template), "--no-input", "--extra-context", context)
    return template, made / "demo"


def own_changes(root: Path) -> None:
    """Make the owners' changes: their words, a target of their own, another model."""
    (root / "README.md").write_text("# Ours\n", encoding="utf-8")
    replaced("Makefile", "run: $(READY)", "ours: $(READY)\n\t@true\n\nrun: $(READY)")(
        root
    )
    replaced("project.yaml", "per_hour: 0.48", "per_hour: 0.96")(root)
    shutil.rmtree(root / "models" / "employment")


@pytest.mark.slow
def test_the_template_is_updated_in_a_repository_that_changed_its_own_files(
    made: tuple[Path, Path], source: Path, tmp_path: Path, caches: Path
) -> None:
    template, root = made
    with Hub(tmp_path / "hub") as hub:
        world = begun(hub, tmp_path, root, caches)
        secret(world, "SETTINGS_TOKEN", **ADMINISTRATION)

        def ours(work: Path) -> None:
            own_changes(work)
            shutil.copytree(source / "models" / "churn", work / "models" / "churn")

        world.change(ours, "Our own")
        world.git("push", "--quiet", "origin", "main")
        hub.events.take()  # what a release does is told elsewhere
        (run,) = world.dispatch("settings")  # from now on the rules hold
        assert run.jobs == {"settings": "success"}, run.log

        tree = template / TREE
        (tree / "README.md").write_text("# Theirs\n", encoding="utf-8")
        replaced(
            "Makefile", "check: $(READY)", "# What a commit must pass.\ncheck: $(READY)"
        )(tree)
        replaced(".github/workflows/reproduce.yml", '"11 4 1 * *"', '"12 4 1 * *"')(
            tree
        )
        with (tree / "models" / "employment" / "features.py").open("a") as file:
            file.write("# of a model that is not here\n")
        (tree / "NEWS.md").write_text("# News\n", encoding="utf-8")
        git(template, "add", "--all")
        git(template, "commit", "--quiet", "-m", "Second")

        (run,) = world.schedule("update")  # nobody gave it a token: it says so
        assert run.jobs == {"merge": "success", "propose": "success"}, run.log
        (issue,) = world.issues()
        assert "NEWS.md" in issue["body"] and "UPDATE_TOKEN" in issue["body"]

        secret(world, "UPDATE_TOKEN", **PROPOSING)
        runs = world.schedule("update")
        assert [run.workflow for run in runs] == [
            "update",
            "pull-request",
            "security",
            "comment",
        ]
        assert world.issues() == []
        (pull,) = hub.state.pulls.values()
        assert pull["title"].startswith("Update from the template, ")
        changed = [
            "README.md.rej",
            "Makefile",
            "NEWS.md",
            ".cruft.json",
            "reproduce.yml",
        ]
        assert all(name in pull["body"] for name in changed)
        assert (
            "Changed here as well" in pull["body"] and "employment" not in pull["body"]
        )
        # A conflict is left: the verdict is no, and nobody can merge it.
        checked = only(runs, "pull-request").jobs
        assert (checked["code"], checked["verdict"]) == ("failure", "failure")
        assert (
            "FAILED tests/test_repository.py::test_no_conflict"
            in only(runs, "pull-request").log
        )
        world.hub.state.collaborators["bob"] = "admin"
        with pytest.raises(RehearsalError, match=r"Required status check .*verdict"):
            world.api("PUT", "/pulls/2/merge", {"merge_method": "squash"}, actor="bob")
        looked = dict.fromkeys(("zizmor", "dependencies", "codeql"), "success")
        assert only(runs, "security").jobs == looked

        runs = resolve(world)
        checked = only(runs, "pull-request").jobs
        assert (checked["code"], checked["verdict"]) == ("success", "success"), runs[
            0
        ].log
        with pytest.raises(RehearsalError, match="Waiting on code owner review"):
            world.api("PUT", "/pulls/2/merge", {"merge_method": "squash"}, actor="eve")
        world.api("PUT", "/pulls/2/merge", {"merge_method": "squash"}, actor="bob")
        world.settle()

        world.git("fetch", "--quiet", "origin")
        world.git("checkout", "--quiet", "--force", "-B", "main", "origin/main")
        work = world.work
        assert (work / "README.md").read_text() == "# Ours\n" and (
            work / "NEWS.md"
        ).is_file()
        makefile = (work / "Makefile").read_text()
        assert "ours: $(READY)" in makefile and "# What a commit must pass." in makefile
        assert '"12 4 1 * *"' in (work / ".github/workflows/reproduce.yml").read_text()
        assert "per_hour: 0.96" in (work / "project.yaml").read_text()
        assert not (work / "models" / "employment").exists()
        assert "up to date" in cruft(work, "check")
        (run,) = world.schedule("update")
        assert (
            "the template has nothing new" in run.summary and len(hub.state.pulls) == 1
        )


def resolve(world: World) -> list[Run]:
    """Take the template's side off the table: ours is what is wanted."""
    world.git("fetch", "--quiet", "origin")
    world.git("checkout", "--quiet", "-B", "template-update", "origin/template-update")
    world.git("rm", "--quiet", "README.md.rej")
    world.commit("Our README stays")
    world.git("push", "--quiet", "origin", "HEAD:template-update")
    return world.settle()

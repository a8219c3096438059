"""Where GitHub is stricter, or otherwise, than one expects; on the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from github.Repository import Repository
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.errors import EnvironmentFailure
from mlops.github.client import Gone, repository
from mlops.github.comment import post
from mlops.github.issues import open_or_edit, opened
from mlops.github.pages import publishing
from mlops.storage.github_releases import GitHubStore
from rehearsal.hub import Hub, releases

from .conftest import git

SITE = {"actions": "read", "contents": "read", "pages": "read"}


class Job:
    """A job of GitHub Actions on a hub."""

    def __init__(self, hub: Hub, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.hub, self.patch, self.folder = hub, patch, folder
        event = folder / "event.json"
        event.write_text(json.dumps({"repository": hub.view.repository()}))
        facts = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": hub.api_url,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REPOSITORY": hub.repository,
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "MLOPS_RETRY_SECONDS": "0.001",
        }
        for name, value in facts.items():
            patch.setenv(name, value)

    def may(self, per_page: int = 100, **permissions: str) -> Repository:
        """Return the repository by the job's own client, with these rights."""
        token = self.hub.tokens.issue(permissions, actor="alice")
        self.patch.setenv("GITHUB_TOKEN", token)
        found = repository()
        found.requester.per_page = per_page
        return found


@pytest.fixture(name="job")
def job_fixture(
    bare_origin: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Job]:
    with Hub(bare_origin.parent) as hub:
        yield Job(hub, monkeypatch, tmp_path)


@pytest.fixture(name="bare_origin")
def bare_origin_fixture(tmp_path: Path) -> Path:
    origin = tmp_path / "hub" / "origin.git"
    origin.parent.mkdir()
    git(origin.parent, "init", "-q", "--bare", "-b", "main", str(origin))
    tree = git(origin, "hash-object", "-w", "-t", "tree", "/dev/null")
    commit = git(origin, "commit-tree", tree, "-m", "First commit")
    git(origin, "update-ref", "refs/heads/main", commit)
    return origin


# -- more releases than GitHub lists ---------------------------------------------------


def release(hub: Hub, tag: str, draft: bool = False) -> None:
    """Let there be a release, without the many requests that it takes."""
    record = hub.state.stamped(
        {
            "tag_name": tag,
            "target_commitish": "main",
            "name": tag,
            "body": None,
            "draft": draft,
            "prerelease": False,
            "author": "alice",
            "published_at": None if draft else hub.state.now(),
            "immutable": False,
        }
    )
    hub.state.releases[record["id"]] = record


def test_a_version_is_registered_and_found_beyond_what_github_lists(
    job: Job, tmp_path: Path
) -> None:
    """GitHub ends its list after a thousand; here after four, to save time."""
    job.patch.setattr(releases, "MOST_LISTED", 4)
    release(job.hub, "churn@v1.0.0")
    for number in range(5):
        release(job.hub, f"other@v1.0.{number}")
    hub = job.may(contents="write", per_page=2)
    store = GitHubStore(hub)
    assert store.list("churn") == []  # it is listed no more
    assert store.list("churn", ["v1.0.0", "v9.0.0"]) == ["v1.0.0"]
    assert store.holds("churn", "v1.0.0") and not store.holds("churn", "v9.0.0")
    digest = "ab" * 32
    store.draft("churn", digest)
    path = tmp_path / "a.bin"
    path.write_bytes(b"bytes")
    store.upload("churn", digest, "a.bin", path)
    again = GitHubStore(hub)  # of a job that goes on with it
    again.publish("churn", digest, "v1.1.0")
    assert again.holds("churn", "v1.1.0")
    assert b"".join(again.read("churn", "v1.1.0", "a.bin")) == b"bytes"


@pytest.mark.parametrize(("others", "whole"), [(2, True), (3, True), (4, False)])
def test_a_list_that_ends_where_github_ends_it_is_known_for_what_it_is(
    job: Job, others: int, whole: bool
) -> None:
    """With just as many as GitHub lists there is no further page to be refused."""
    job.patch.setattr(releases, "MOST_LISTED", 4)
    release(job.hub, "churn@v1.0.0")
    for number in range(others):
        release(job.hub, f"other@v1.0.{number}")
    listing = GitHubStore(job.may(contents="read", per_page=2)).listing()
    assert listing.whole is whole
    assert ("churn@v1.0.0" in listing.refs) is whole
    assert len(listing.refs) == min(others + 1, 4)


def test_what_github_lists_no_more_is_removed_and_published_all_the_same(
    job: Job, tmp_path: Path
) -> None:
    job.patch.setattr(releases, "MOST_LISTED", 4)
    release(job.hub, "churn@v1.0.0")
    release(job.hub, "churn@v1.1.0")
    for number in range(5):
        release(job.hub, f"other@v1.0.{number}")
    hub = job.may(contents="write", per_page=2)
    store = GitHubStore(hub)
    assert store.list("churn", ["v1.0.0", "v1.1.0"]) == ["v1.0.0", "v1.1.0"]
    store.remove("churn", "v1.0.0")
    store.remove("churn", "v1.0.0")  # killed before it was told: again
    assert store.list("churn", ["v1.0.0", "v1.1.0"]) == ["v1.1.0"]
    # A job that is run again, beyond the drafts among which it looks for its own.
    digest = "cd" * 32
    store.draft("churn", digest)
    for number in range(5):
        release(job.hub, f"another@v1.0.{number}")
    path = tmp_path / "a.bin"
    path.write_bytes(b"bytes")
    again = GitHubStore(hub)
    again.draft("churn", digest)
    again.upload("churn", digest, "a.bin", path)
    again.publish("churn", digest, "v1.2.0")
    assert b"".join(again.read("churn", "v1.2.0", "a.bin")) == b"bytes"


def test_a_list_that_is_refused_from_its_first_page_is_an_error(job: Job) -> None:
    """It is no end of a list: nothing was listed."""
    job.patch.setattr(releases, "MOST_LISTED", 0)
    with pytest.raises(EnvironmentFailure, match="GitHub answered 422"):
        GitHubStore(job.may(contents="read")).listing()


# -- Issues that are switched off ------------------------------------------------------


def test_an_issue_that_cannot_be_opened_says_where_to_switch_issues_on(
    job: Job,
) -> None:
    job.hub.state.repository["has_issues"] = False
    hub = job.may(issues="write")
    assert (
        opened(hub, "model-alarm") is None
    )  # nothing to close, and that is no failure
    with pytest.raises(Gone) as failure:
        open_or_edit(hub, "model-alarm", "churn", "an alarm")
    assert "GitHub answered 410" in str(failure.value)
    assert "switch Issues on (Settings, General, Features)" in str(failure.value)


def test_a_pull_request_has_its_comment_where_issues_are_off(job: Job) -> None:
    """GitHub then shows no pull request as an issue, and takes comments on it."""
    issue = job.may(issues="write").create_issue("an alarm")
    job.hub.state.repository["has_issues"] = False
    pull = new_thread_of(job)
    hub = job.may(contents="read", **{"pull-requests": "write"})
    for text in ("the verdict", "another verdict"):
        assert post(hub, pull, text)
    (comment,) = job.hub.state.comments(pull)
    assert comment["body"].endswith("another verdict")
    with pytest.raises(Gone, match="switch Issues on"):
        post(job.may(issues="write"), issue.number, "no longer")


def new_thread_of(job: Job) -> int:
    """Let there be a pull request; return its number."""
    origin = job.hub.origin
    tree = git(origin, "rev-parse", "main^{tree}")
    commit = git(origin, "commit-tree", tree, "-p", "main", "-m", "Better")
    git(origin, "update-ref", "refs/heads/better", commit)
    rights = {"contents": "write", "pull-requests": "write"}
    made = job.may(**rights).create_pull(base="main", head="better", title="Better")
    return int(made.number)


# -- Pages -----------------------------------------------------------------------------


def test_a_page_is_published_only_where_a_workflow_builds_it(job: Job) -> None:
    hub = job.may(**SITE)
    assert publishing(hub, private=False, wanted="") == "off"
    source = {"branch": "main", "path": "/"}
    job.hub.state.pages = {"build_type": "legacy", "source": source}
    assert job.hub.view.repository()["has_pages"]  # which an event says, and no more
    assert publishing(hub, private=False, wanted="on") == "branch"
    job.hub.state.pages = {"build_type": "workflow"}
    assert publishing(hub, private=False, wanted="") == "on"
    assert publishing(hub, private=True, wanted="") == "private"
    assert publishing(hub, private=True, wanted="on") == "on"


def test_the_right_to_see_how_pages_is_built_is_needed(job: Job) -> None:
    job.hub.state.pages = {"build_type": "workflow"}
    with pytest.raises(EnvironmentFailure, match="permissions"):
        publishing(job.may(contents="read"), private=False, wanted="")


@pytest.mark.parametrize(
    ("site", "result", "why"),
    [
        (None, "off", "Pages is not switched on"),
        ({"build_type": "legacy"}, "branch", "is built from a branch"),
        ({"build_type": "workflow"}, "on", ""),
    ],
)
def test_the_job_that_makes_the_page_says_what_becomes_of_it(
    job: Job,
    make_project: Callable[..., Project],
    site: dict[str, str] | None,
    result: str,
    why: str,
) -> None:
    project = make_project()
    job.patch.chdir(project.root)
    job.may(**SITE)
    job.hub.state.pages = site
    done = CliRunner().invoke(app, ["pages", "--out", "site"])
    assert done.exit_code == 0, done.output
    assert (job.folder / "output").read_text() == f"pages={result}\n"
    assert ("Not published" in done.output) == bool(why)
    assert why in (job.folder / "summary").read_text()
    shutil.rmtree(project.root / "site")


def test_the_page_and_its_run_name_a_schedule_that_is_silent(
    job: Job, make_project: Callable[..., Project]
) -> None:
    project = make_project()
    workflows = project.root / ".github" / "workflows"
    workflows.mkdir(parents=True)
    text = "on:\n  schedule:\n    - cron: 41 5 * * *\njobs: {}\n"
    (workflows / "monitor.yml").write_text(text)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-qm", "A schedule")
    git(project.root, "push", "-qf", str(job.hub.origin), "HEAD:refs/heads/main")
    job.patch.chdir(project.root)
    job.may(**SITE)
    for days, shown in ((1, False), (3, True)):
        since = datetime.now(UTC) - timedelta(days=days)
        job.hub.state.workflows["monitor.yml"] = {"created_at": since.isoformat()}
        done = CliRunner().invoke(app, ["pages", "--out", "site"])
        assert done.exit_code == 0, done.output
        page = (project.root / "site" / "index.html").read_text()
        said = "monitor.yml is due every day and has not run since"
        assert (said in page) is (said in done.output) is shown
    job.may(contents="read", pages="read")  # who may not see it says nothing
    done = CliRunner().invoke(app, ["pages", "--out", "site"])
    assert done.exit_code == 0 and "is silent" not in done.output

"""The repository's web page: made after what changes it, published, and inert."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.conftest import rows_of
from engine.html_page import Page
from rehearsal.runner.run import Run
from rehearsal.stories.world import World, replaced
from stories.worlds import FOLDER, MODEL, SPEC

DELIVERED = {
    "plan": "success",
    "train (churn)": "success",
    "data": "skipped",
    "refused": "skipped",
    "register": "success",
    "staging (churn) / promote": "success",
    "smoke (churn)": "success",
    "production (churn) / promote": "success",
    "redeploy": "skipped",
}
PUBLISHED = {"build": "success", "deploy": "success"}
KEPT = {"build": "success", "deploy": "skipped"}
NOTHING = dict.fromkeys(PUBLISHED, "skipped")
ATTACK = (
    '<script>alert(1)</script><img src="https://evil.example/x"> '
    "[x](javascript:alert(1))"
)
# A fork may call a workflow of its own pull request what it likes.
IMPOSTOR = """\
name: release
on: pull_request
permissions: {}
jobs:
  pretend:
    runs-on: ubuntu-latest
    steps:
      - run: exit 0
"""


def news(root: Path) -> None:
    """New data, and a description that would like to do something."""
    rows_of(n=400, seed=1).to_csv(root / FOLDER / "data" / "more.csv", index=False)
    replaced(
        SPEC, "description: Will this customer leave?", f"description: '{ATTACK}'"
    )(root)


def page_of(folder: Path) -> Page:
    """Return a site's first page, which is whole, requests nothing and runs nothing."""
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    assert not {"script", "img", "iframe", "form"} & {tag for tag, _ in page.elements}
    links = [str(link.get("href")) for link in page.all("a")]
    for link in links:
        assert (
            link.startswith(("#", f"{MODEL}/", "http://", "https://"))
            and "evil" not in link
        )
        if link.startswith(f"{MODEL}/"):
            assert (folder / link).is_file()
    return page


def said(run: Run) -> str:
    """Return the summary of the job that made the page."""
    return run.summaries["build"]


@pytest.fixture
def told(story: World) -> World:
    """Return a story in which the page is made."""
    story.runner.disabled.discard("pages")
    return story


def test_the_page_is_published_and_follows_release_and_rollback(told: World) -> None:
    told.api("POST", "/pages", {"build_type": "workflow"})
    release, page = told.push(news, "News")
    assert (release.workflow, release.jobs) == ("release", DELIVERED), release.log
    assert (page.workflow, page.event.name, page.jobs) == (
        "pages",
        "workflow_run",
        PUBLISHED,
    )
    assert told.deployments()[-1] == ("github-pages", "success")
    site = told.runner.machine.pages
    pages = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    both = {
        f"{MODEL}/{v}/{name}.html"
        for v in ("v1.0.0", "v1.0.1")
        for name in ("report", "card")
    }
    assert pages == {"index.html", *both}
    shown = page_of(site)
    assert "churn v1.0.1 is in production." in shown.text and ATTACK in shown.text
    assert "Every version that is in a stage was verified to its last byte." in said(
        page
    )
    assert "patch: only the data changed" in shown.text
    assert f"/releases/tag/{MODEL}%40v1.0.1" in str(
        [link["href"] for link in shown.all("a")]
    )
    report = Page((site / MODEL / "v1.0.1" / "report.html").read_text(encoding="utf-8"))
    assert "Replace the model in production (v1.0.0)" in report.text

    back = {
        "model": MODEL,
        "stage": "production",
        "decision": "rollback",
        "reason": ATTACK,
    }
    promoted, page = told.dispatch("promote", actor="bob", **back)
    assert (promoted.workflow, promoted.jobs) == ("promote", {"promote": "success"})
    assert (page.workflow, page.jobs) == ("pages", PUBLISHED), page.log
    shown = page_of(site)
    assert "churn v1.0.0 is in production." in shown.text
    assert "back from v1.0.1" in shown.text and f"why: {ATTACK}" in shown.text


def test_where_it_cannot_be_published_it_is_an_artifact_and_the_run_says_why(
    told: World,
) -> None:
    (page,) = told.dispatch("pages")
    assert page.jobs == KEPT, page.log
    assert "Pages is not switched on" in said(page) and "artifact" in said(page)
    assert "churn v1.0.0 is in production." in page_of(page.artifacts["site"]).text

    # Private, on the plan Team: anybody could read the page, so its owner decides.
    told.api("POST", "/pages", {"build_type": "workflow"})
    told.hub.state.private, told.hub.state.plan = True, "team"
    (page,) = told.dispatch("pages")
    assert page.jobs == KEPT and list(page.artifacts) == ["site"]
    assert "this repository is private" in said(page)
    assert not told.runner.machine.pages.exists()
    told.api("POST", "/actions/variables", {"name": "PAGES", "value": "on"})
    (page,) = told.dispatch("pages")
    assert page.jobs == PUBLISHED and page_of(told.runner.machine.pages)

    # The calendar is off: monitor does nothing, and so there is nothing new to show.
    told.api("POST", "/actions/variables", {"name": "SCHEDULES", "value": "off"})
    watch, page = told.schedule("monitor")
    assert set(watch.jobs.values()) == {"skipped"}
    assert (page.workflow, page.jobs) == ("pages", NOTHING)


def test_a_fork_cannot_have_the_page_made(told: World) -> None:
    impostor = {".github/workflows/impostor.yml": IMPOSTOR}
    pull = told.open_pull_request(
        "main", impostor, "I am release", actor="mallory", fork=True
    )
    assert told.runner.runs and {run.workflow for run in pull.runs} >= {
        "impostor",
        "pages",
    }
    (page,) = (run for run in pull.runs if run.workflow == "pages")
    assert page.event.payload["workflow_run"]["name"] == "release"
    assert page.event.payload["workflow_run"]["head_branch"] == "main"
    assert page.jobs == NOTHING

"""docs/explanation/plans.md: each column of the table is played, cell by cell."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from mlops.cli.context import attests
from mlops.github.client import repository
from mlops.github.issues import close, open_or_edit
from rehearsal.hub import Hub
from rehearsal.hub.desk import Desk as Client

from .plans_page import PAGE, PLANS, cell, table
from .registry_world import MODEL, World, world_fixture  # noqa: F401
from .test_github_life import Life
from .test_github_settings import NAMED, Desk, desk_of

# By the first words of a row: what `mlops github apply` says of that.
SETTINGS = {
    "versions, stages": "label model-alarm",
    "immutable releases": "immutable releases",
    "branch of an environment": "environment upkeep",
    "reviewers of a stage": "reviewers of production",
    "ruleset: `main`": "ruleset main",
    "ruleset: tags": "ruleset registry",
    "ruleset: the run log": "ruleset journal",
    "web page": "pages",
}
ATTESTED = "attestations"


def may_attest(desk: Desk) -> bool:
    """Say whether GitHub keeps an attestation of a job that has the right to it."""
    token = desk.hub.tokens.issue({"attestations": "write"}, actor="alice")
    payload = base64.b64encode(b"{}").decode()
    bundle = {"dsseEnvelope": {"payload": payload}}
    asked = ("POST", "/attestations", {"bundle": bundle})
    status, _, _ = Client(desk.hub, desk.root, token).ask(*asked)
    assert status in (201, 403)
    return status == 201


def test_the_table_has_every_plan_and_every_row_is_played() -> None:
    cells = table()
    assert list(cells) == list(PLANS)
    for rows in cells.values():
        starts = [*SETTINGS, ATTESTED]
        assert len(rows) == len(starts)
        assert all(any(name.startswith(s) for s in starts) for name in rows)


@pytest.mark.parametrize("plan", PLANS)
def test_each_cell_is_what_the_plan_has(plan: str, tmp_path: Path) -> None:
    with desk_of(tmp_path, **PLANS[plan]) as desk:
        rows = desk.said("apply", code=0)
        for start, setting in SETTINGS.items():
            result, message = rows[setting]
            assert (
                result == {"yes": "done", "no": "not in this plan"}[cell(plan, start)]
            ), (start, result, message)
        assert cell(plan, ATTESTED) == ("yes" if may_attest(desk) else "no")
        # What is left is named as lacking, and is no drift: the plan is settled.
        lacking = {row for row, (result, _) in rows.items() if result != "done"}
        assert desk.said("plan", code=0).keys() == lacking


def test_pro_is_as_team(tmp_path: Path) -> None:
    said = []
    for plan in ("pro", "team"):
        folder = tmp_path / plan
        folder.mkdir()
        with desk_of(folder, private=True, plan=plan) as desk:
            said.append((desk.said("apply", code=0), may_attest(desk)))
    assert said[0] == said[1]


@pytest.mark.parametrize("plan", PLANS)
def test_what_the_registry_rests_on_is_on_every_plan(
    plan: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version is delivered, rolled back, alarmed of and recorded without the rest."""
    assert cell(plan, "versions, stages") == "yes"
    with Hub(tmp_path / "hub", **PLANS[plan]) as hub:
        life = Life(hub, world, tmp_path, monkeypatch)
        life.deliver("one", "v1.0.0")
        life.deliver("two", "v1.1.0")
        assert life.production() == "v1.1.0"
        world.rollback("production", store=life.store())
        assert life.production() == "v1.0.0"
        issue, _ = open_or_edit(repository(), "model-alarm", "churn drifts", "text")
        close(repository(), issue, "It is over.", "<!-- over -->")
        (shown,) = hub.state.issues.values()
        assert shown["state"] == "closed"
        names = set(hub.git.refs())
        assert {f"refs/tags/{MODEL}@v1.0.0", f"refs/tags/{MODEL}@v1.1.0"} <= names
        assert [r["draft"] for r in hub.state.releases.values()] == [False, False]


@pytest.mark.parametrize("plan", PLANS)
def test_a_release_attests_by_itself_only_where_every_plan_can(
    plan: str, tmp_path: Path
) -> None:
    """Nothing says which plan a private repository has: there a variable does."""
    with desk_of(tmp_path, **PLANS[plan]) as desk:
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"repository": desk.hub.view.repository()}))
        desk.patch.setenv("GITHUB_EVENT_PATH", str(event))
        assert attests() is (plan == "public")
        desk.patch.setenv("ATTESTATIONS", "on")
        assert attests()


@pytest.mark.parametrize("plan", ["private, Free", "private, Pro or Team"])
def test_what_the_page_says_holds_instead_is_what_apply_says(
    plan: str, tmp_path: Path
) -> None:
    page = " ".join(PAGE.read_text("utf-8").lower().split())
    with desk_of(tmp_path, **PLANS[plan]) as desk:
        rows = desk.said("apply", code=0)
    instead = {text for result, text in rows.values() if result != "done"}
    assert instead
    page = page.replace("`", "")
    assert [text for text in instead if text.replace("`", "").lower() not in page] == []


def test_the_token_of_these_plays_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    with desk_of(tmp_path) as desk:
        desk.token(NAMED)
        assert set(desk.said("apply", code=0).values()) == {("done", "")}

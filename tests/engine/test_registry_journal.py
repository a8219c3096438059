"""The journal: nothing is lost, whoever writes and however many at once."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import UsageError
from mlops.registry import journal
from mlops.registry.journal import ago, append, condition, records
from mlops.results import Metric, Record, Verdict

from .registry_world import (  # noqa: F401
    MODEL,
    NOW,
    World,
    finished,
    git,
    python,
    training,
    world_fixture,
)


def record(identity: str = "r1", minutes: int = 0, auc: float = 0.9, **changes: Any) -> Record:
    facts: dict[str, Any] = {
        "id": identity,
        "model": MODEL,
        "started": (NOW + timedelta(minutes=minutes)).isoformat(),
        "seconds": 1.5,
        "stages": {"train": "ran"},
        "outcome": "promote",
        "actor": "@ana",
        "training": training(params={"C": 0.5, "model.depth": 3}),
        "metrics": (Metric(name="roc_auc", value=auc, low=0, high=1),),
        "verdict": Verdict(decision="promote", rule="first version"),
    }
    return Record(**{**facts, **changes})


def test_a_record_comes_back(world: World) -> None:
    head, status = git(world.root, "rev-parse", "HEAD"), git(world.root, "status", "--porcelain")
    written = record(outcome="Ünïcode\nand a line")
    assert append(world.project, written) == ()
    assert records(world.project) == [written]
    path = "runs/churn/2026/11/r1.json"
    assert git(world.root, "ls-tree", "-r", "--name-only", "journal") == path
    assert git(world.root, "rev-parse", "HEAD") == head
    assert git(world.root, "status", "--porcelain") == status
    assert git(world.root, "rev-list", "--count", "journal") == "1"
    git(world.root, "fsck", "--strict")


def test_order_model_and_since(world: World) -> None:
    for identity, minutes in (("b", 5), ("a", 0), ("c", -60 * 24 * 40)):
        append(world.project, record(identity, minutes))
    append(world.project, record("d", 1, model="other"))
    assert [r.id for r in records(world.project)] == ["c", "a", "d", "b"]
    assert [r.id for r in records(world.project, MODEL)] == ["c", "a", "b"]
    assert [r.id for r in records(world.project, MODEL, since=NOW)] == ["a", "b"]
    assert [r.id for r in records(world.project, since=ago("8w", NOW))] == ["c", "a", "d", "b"]
    assert records(world.project, "unheard") == []


def test_an_empty_journal(world: World) -> None:
    assert records(world.project) == []


@pytest.mark.parametrize("identity", ["../x", "a/b", "", ".git", "a\nb", "a b"])
def test_ids_are_file_names(world: World, identity: str) -> None:
    with pytest.raises(UsageError, match="id"):
        append(world.project, record(identity))


def test_without_git(world: World, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(UsageError, match="not a git repository"):
        append(World(tmp_path / "plain").project, record())


def test_without_an_identity(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("HOME", "")
    append(world.project, record(actor="@ana"))
    assert git(world.root, "log", "-1", "--format=%cn", "journal") == "@ana"


WRITE = (
    "from engine.test_registry_journal import append, record\n"
    "for at in range(int(sys.argv[3])):\n"
    "    print(append(World(Path(sys.argv[1])).project, record(f'{sys.argv[2]}-{at}')))\n"
)


def test_twenty_writers_at_once_lose_nothing(world: World) -> None:
    running = [python(WRITE, str(world.root), f"w{at}", "2") for at in range(20)]
    assert {line for p in running for line in finished(p).split("\n")} == {"()"}
    found = [r.id for r in records(world.project)]
    assert sorted(found) == sorted(f"w{at}-{n}" for at in range(20) for n in range(2))


def test_writers_in_clones_of_one_origin(world: World, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(world.root), str(tmp_path / "origin.git"))
    running = []
    for at in range(8):
        git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), f"clone{at}")
        running.append(python(WRITE, str(tmp_path / f"clone{at}"), f"w{at}", "2"))
    assert {line for p in running for line in finished(p).split("\n")} == {"()"}
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), "reader")
    found = [r.id for r in records(World(tmp_path / "reader").project)]
    assert sorted(found) == sorted(f"w{at}-{n}" for at in range(8) for n in range(2))


def test_a_push_that_fails_is_a_warning_and_is_made_up_for(world: World, tmp_path: Path) -> None:
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    (warning,) = append(world.project, record("offline"))
    assert "not pushed" in warning
    assert [r.id for r in records(world.project)] == ["offline"]
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(world.root, "push", "-q", "origin", "main")
    other = world.clone(tmp_path / "other")
    git(other.root, "remote", "set-url", "origin", str(tmp_path / "origin.git"))
    git(other.root, "update-ref", "-d", "refs/remotes/origin/journal")
    append(other.project, record("elsewhere"))
    assert append(world.project, record("online")) == ()
    expected = {"offline", "elsewhere", "online"}
    assert {r.id for r in records(world.project)} == expected
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), str(fresh))
    assert {r.id for r in records(World(fresh).project)} == expected


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("metrics.roc_auc>0.85", True), ("metrics.roc_auc > 0.95", False),
        ("metrics.roc_auc>=0.9 and outcome=promote", True), ("outcome == 'reject'", False),
        ("outcome!=reject", True), ("params.C=0.5", True), ("training.params.C<0.5", False),
        ("params.model.depth=3", True), ("verdict=promote", True), ("decision=promote", True),
        ("seconds<=1.5", True), ("metrics.unheard>0", False), ("params.C>word", False),
        ("stages.train=ran", True), ("pull_request>0", False), ("dirty=false", True),
        ("training.signature.classes.yes=1", False), ("data.rows>1", False),
    ],
)  # fmt: skip
def test_conditions(text: str, holds: bool) -> None:
    assert condition(text)(record().model_dump(mode="json")) is holds


@pytest.mark.parametrize(
    "text", ["", "metrics.roc_auc", "metrics.roc_auc>", ">1", "metics.x>1", "__import__('os')=1"]
)
def test_conditions_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="condition"):
        condition(text)


@given(st.text(max_size=40))
def test_no_condition_crashes(text: str) -> None:
    plain = record().model_dump(mode="json")
    for conditions in (f"outcome={text}", text):
        with suppress(UsageError):
            assert condition(conditions)(plain) in (True, False)


def test_ago() -> None:
    assert ago("12h", NOW) == datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
    assert ago("30d", NOW) == NOW - timedelta(days=30)
    with pytest.raises(UsageError, match="2w"):
        ago("yesterday", NOW)


def test_reading_a_thousand_records_is_two_git_calls(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(world.project, record("first"))
    content = git(world.root, "show", "journal:runs/churn/2026/11/first.json")
    parent = git(world.root, "rev-parse", "journal")
    who = "committer T <t@t> 1700000000 +0000"
    stream = f"commit refs/heads/journal\n{who}\ndata 4\nmany\nfrom {parent}\n"
    for at in range(1000):
        text = content.replace('"id":"first"', f'"id":"n{at}"')
        size = len(text.encode())
        stream += f"M 100644 inline runs/churn/2026/11/n{at}.json\ndata {size}\n{text}\n"
    command = ["git", "fast-import", "--quiet"]
    subprocess.run(command, cwd=world.root, input=stream, text=True, check=True)
    calls = []
    run = journal.git
    monkeypatch.setattr(journal, "git", lambda *a, **k: calls.append(a) or run(*a, **k))
    assert len(records(world.project)) == 1001
    assert len(calls) == 2  # one listing for the local journal, one for origin's

"""The run log: nothing is lost, whoever writes and however many at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.cli.output import ago
from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io import git_objects
from mlops.io.digests import canonical_json
from mlops.results.evaluation import Metric
from mlops.results.runs import Record
from mlops.results.verdict import Verdict
from mlops.runlog import journal, query
from mlops.runlog.conditions import matching
from mlops.runlog.journal import append, append_check
from mlops.runlog.query import KNOWN, checks, find_runs, records

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


def record(
    identity: str = "r1", minutes: int = 0, auc: float = 0.9, **changes: Any
) -> Record:
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
    head, status = (
        git(world.root, "rev-parse", "HEAD"),
        git(world.root, "status", "--porcelain"),
    )
    written = record(outcome="Ünïcode\nand a line")
    assert append(world.project, written) == ()
    assert records(world.project) == [written]
    path = "runs/churn/2026/11/r1.json"
    assert git(world.root, "ls-tree", "-r", "--name-only", "journal") == path
    assert git(world.root, "rev-parse", "HEAD") == head
    assert git(world.root, "status", "--porcelain") == status
    assert git(world.root, "rev-list", "--count", "journal") == "1"
    git(world.root, "fsck", "--strict")


def test_many_records_are_one_push_and_each_model_has_its_last_ones(
    world: World, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(world.root), str(tmp_path / "o.git"))
    git(world.root, "remote", "add", "origin", str(tmp_path / "o.git"))
    written = [
        record(f"r{at}", minutes=at, model=f"m{at % 3}", training=None)
        for at in range(30)
    ]
    assert journal.append_all(world.project, written) == ()
    assert journal.append_all(world.project, []) == ()
    assert git(tmp_path / "o.git", "rev-list", "--count", "journal") == "1"
    assert [one.id for one in records(world.project)] == [f"r{at}" for at in range(30)]
    latest = query.latest_runs(world.project, 4)
    for model, expected in {"m0": 27, "m1": 28, "m2": 29}.items():
        ids = [f"r{expected - 3 * back}" for back in range(4)]
        assert [one.id for one in latest[model]] == ids


def test_order_model_and_since(world: World) -> None:
    for identity, minutes in (("b", 5), ("a", 0), ("c", -60 * 24 * 40)):
        append(world.project, record(identity, minutes))
    append(world.project, record("d", 1, model="other"))
    assert [r.id for r in records(world.project)] == ["c", "a", "d", "b"]
    assert [r.id for r in records(world.project, MODEL)] == ["c", "a", "b"]
    assert [r.id for r in records(world.project, MODEL, since=NOW)] == ["a", "b"]
    assert [r.id for r in records(world.project, since=ago("8w", NOW))] == [
        "c",
        "a",
        "d",
        "b",
    ]
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
    "    run = record(f'{sys.argv[2]}-{at}')\n"
    "    print(append(World(Path(sys.argv[1])).project, run))\n"
)


def test_twenty_writers_at_once_lose_nothing(world: World) -> None:
    running = [python(WRITE, str(world.root), f"w{at}", "2") for at in range(20)]
    assert {line for p in running for line in finished(p).split("\n")} == {"()"}
    found = [r.id for r in records(world.project)]
    assert sorted(found) == sorted(f"w{at}-{n}" for at in range(20) for n in range(2))


def origin_of(world: World, folder: Path, clones: int = 0) -> list[World]:
    """Put a bare origin beside the world; return clones of it."""
    git(folder, "clone", "-q", "--bare", str(world.root), str(folder / "origin.git"))
    first = folder / "clone0"
    git(folder, "clone", "-q", str(folder / "origin.git"), str(first))
    for at in range(1, clones):
        shutil.copytree(first, folder / f"clone{at}")
    return [World(folder / f"clone{at}") for at in range(clones)]


def delivered(folder: Path) -> list[str]:
    """Return the ids in origin's journal, as somebody with a fresh clone reads them.

    Nothing may be waiting there any more, and no merge is in its history.
    """
    origin, reader = (
        folder / "origin.git",
        folder / f"reader{len(list(folder.iterdir()))}",
    )
    git(folder, "clone", "-q", str(origin), str(reader))
    assert git(origin, "for-each-ref", "refs/mlops") == ""
    assert git(origin, "rev-list", "--merges", "journal") == ""
    return [r.id for r in records(World(reader).project)]


def test_a_hundred_writers_at_once_lose_nothing(world: World, tmp_path: Path) -> None:
    clones, start = origin_of(world, tmp_path, 100), threading.Barrier(100)

    def write(at: int) -> tuple[str, ...]:
        start.wait()
        return append(clones[at].project, record(f"w{at:02}"))

    with ThreadPoolExecutor(100) as pool:
        assert set(pool.map(write, range(100))) == {()}
    assert delivered(tmp_path) == [f"w{at:02}" for at in range(100)]
    # Together, not one after the other: that is why it does not take a hundred rounds.
    assert int(git(tmp_path / "origin.git", "rev-list", "--count", "journal")) < 50


def test_origin_moves_between_fetch_and_push(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = origin_of(world, tmp_path, 2)
    run, rivals = journal.git_remote, iter(range(3))

    def slow(root: Path, *arguments: str, **options: Any) -> str:
        if (
            arguments[0] == "push"
            and root == one.root
            and arguments[-1].endswith(journal.LOCAL)
        ):
            for at in rivals:
                append(other.project, record(f"rival{at}", -1))
                break
        return run(root, *arguments, **options)

    monkeypatch.setattr(journal, "git_remote", slow)
    assert append(one.project, record("slow")) == ()
    assert "slow" in delivered(tmp_path)
    assert len(list(rivals)) == 2, "the rival took along what had waited at origin"


class Killed(BaseException):
    """The process ends here."""


def killed_at(number: int, project: Project) -> tuple[bool, list[str]]:
    """Append a record and die before a call of git; return whether, and the calls."""
    calls = list[str]()

    def dying(run: Callable[..., str]) -> Callable[..., str]:
        def call(root: Path, *arguments: str, **options: Any) -> str:
            if len(calls) == number:
                raise Killed
            calls.append(arguments[0])
            return run(root, *arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "git_remote", dying(journal.git_remote))
        patch.setattr(git_objects, "git", dying(journal.git))
        patch.setattr(journal, "git", dying(journal.git))
        try:
            append(project, record("killed"))
        except Killed:
            return True, calls
    return False, calls


def test_killed_anywhere_what_was_written_is_delivered_by_the_next(
    world: World, tmp_path: Path
) -> None:
    (start,) = origin_of(world, tmp_path, 1)
    died, number = True, 0
    while died:
        folder = tmp_path / f"killed{number}"
        shutil.copytree(tmp_path / "origin.git", folder / "origin.git")
        shutil.copytree(start.root, folder / "acme")
        git(folder / "acme", "remote", "set-url", "origin", str(folder / "origin.git"))
        project = World(folder / "acme").project
        died, calls = killed_at(number, project)
        here = ["killed"] if "update-ref" in calls else []
        assert [r.id for r in records(project)] == here
        assert append(project, record("next", 1)) == ()
        assert delivered(folder) == [*here, "next"]
        number += 1
    assert number > 15


def test_what_a_killed_writer_left_at_origin_is_taken_along(
    world: World, tmp_path: Path
) -> None:
    gone, other = origin_of(world, tmp_path, 2)
    env = git_objects.identity(gone.root, "@ana", int(NOW.timestamp()))
    left = {
        "runs/churn/2026/11/left.json": canonical_json(
            record("left").model_dump(mode="json")
        )
    }
    waiting = journal.WAITING + (
        oid := git_objects.commit(gone.root, [], left, "left", env)
    )
    git(gone.root, "push", "-q", "origin", f"{oid}:{waiting}")
    append(other.project, record("next", 1))
    assert delivered(tmp_path) == ["left", "next"]


def test_an_origin_that_takes_nothing(world: World, tmp_path: Path) -> None:
    (here,) = origin_of(world, tmp_path, 1)
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    for at in range(3):
        (warning,) = append(here.project, record(f"r{at}", at))
        assert "not pushed" in warning
    assert [r.id for r in records(here.project)] == ["r0", "r1", "r2"]
    assert git(here.root, "for-each-ref", "refs/mlops") == "", (
        "they are in the journal here"
    )
    hook.unlink()
    assert append(here.project, record("r3", 3)) == ()
    assert delivered(tmp_path) == ["r0", "r1", "r2", "r3"]


def test_what_is_written_is_never_changed(world: World, tmp_path: Path) -> None:
    one, other = origin_of(world, tmp_path, 2)
    append(one.project, record("same", outcome="promote"))
    append(other.project, record("same", outcome="reject"))
    (found,) = records(other.project)
    assert found.outcome == "promote" and delivered(tmp_path) == ["same"]


def test_drift_checks_are_kept_beside_the_runs(world: World) -> None:
    check = {
        "model": MODEL,
        "version": "v1.0.0",
        "until": "2026-11-23T12:00+00:00",
        "alarm": True,
    }
    later = {**check, "until": "2026-11-24T12:00+00:00", "alarm": False}
    for one in (later, check, check):
        assert append_check(world.project, one, "@ana") == ()
    append(world.project, record())
    assert checks(world.project) == checks(world.project, MODEL) == [check, later]
    assert checks(world.project, MODEL, since=NOW + timedelta(hours=1)) == [later]
    assert checks(world.project, "other") == []
    assert len(records(world.project)) == 1
    names = git(
        world.root, "ls-tree", "-r", "--name-only", "journal", "monitor/"
    ).split()
    assert [re.sub("-[0-9a-f]{6}", "", name) for name in names] == [
        "monitor/churn/2026/11/20261123-1200.json",
        "monitor/churn/2026/11/20261124-1200.json",
    ]


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"id": "x"}', b'{"started": "soon"}']
)
def test_a_file_that_somebody_broke_is_named(world: World, content: bytes) -> None:
    append(world.project, record())
    env = git_objects.identity(world.root, "@ana", int(NOW.timestamp()))
    tip = git(world.root, "rev-parse", "journal")
    files = {"runs/churn/2026/11/broken.json": content}
    git(
        world.root,
        "update-ref",
        journal.LOCAL,
        git_objects.commit(world.root, [tip], files, "x", env),
    )
    with pytest.raises(EnvironmentFailure, match=r"runs/churn/2026/11/broken\.json"):
        records(world.project)


def test_group_limit_and_find(world: World) -> None:
    for at, group in enumerate(("pr-1", None, "sweep", "sweep")):
        append(world.project, record(f"r{at}-x", at * 60 * 24 * 20, group=group))
    assert [r.id for r in records(world.project, group="sweep")] == ["r2-x", "r3-x"]
    assert [r.id for r in records(world.project, limit=2)] == ["r2-x", "r3-x"]
    assert [r.id for r in records(world.project, group="sweep", limit=1)] == ["r3-x"]
    assert [
        r.id for r in records(world.project, where=[("group", "eq", "pr-1")], limit=3)
    ] == ["r0-x"]
    assert [r.id for r in find_runs(world.project, ["r3", "r0-x"])] == ["r3-x", "r0-x"]
    with pytest.raises(UsageError, match="several"):
        find_runs(world.project, ["r"])
    with pytest.raises(UsageError, match="no run of this id"):
        find_runs(world.project, ["r9"])


def test_a_push_that_fails_is_a_warning_and_is_made_up_for(
    world: World, tmp_path: Path
) -> None:
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
        ("metrics.roc_auc gt 0.85", True), ("metrics.roc_auc gt .95", False),
        ("metrics.roc_auc ge 0.9", True), ("outcome eq reject", False),
        ("outcome ne reject", True), ("params.C eq 0.5", True),
        ("training.params.C lt 0.5", False), ("params.model.depth eq 3", True),
        ("verdict eq promote", True), ("decision eq promote", True),
        ("seconds le 1.5", True), ("stages.train eq ran", True),
        ("pull_request gt 0", False), ("dirty eq false", True),
        ("outcome in reject,promote", True),
    ],
)  # fmt: skip
def test_conditions_on_a_record(text: str, holds: bool) -> None:
    key, name, value = text.split(" ")
    documents = [record().model_dump(mode="json")]
    assert matching(documents, [(key, name, value)], KNOWN) == [holds]


@pytest.mark.parametrize(
    "words",
    [
        ("metics.x", "gt", "1"),
        ("metrics.unheard", "gt", "0"),
        ("params.C", "gt", "word"),
        ("__import__('os')", "eq", "1"),
        ("", "", ""),
    ],
)
def test_conditions_that_are_none(words: tuple[str, str, str]) -> None:
    documents = [record().model_dump(mode="json")]
    with pytest.raises(UsageError, match="--where"):
        matching(documents, [words], KNOWN)


@given(st.text(max_size=40), st.sampled_from(["eq", "lt", "in"]))
def test_no_condition_crashes(text: str, name: str) -> None:
    documents = [record().model_dump(mode="json")]
    for words in (("outcome", name, text), (text, name, "1"), ("seconds", name, text)):
        with suppress(UsageError):
            assert matching(documents, [words], KNOWN) in ([True], [False])


def test_ago() -> None:
    assert ago("12h", NOW) == datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
    assert ago("30d", NOW) == NOW - timedelta(days=30)
    with pytest.raises(UsageError, match="2w"):
        ago("yesterday", NOW)


def test_a_thousand_records_are_listed_by_one_call_of_git_for_each_journal(
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
        stream += (
            f"M 100644 inline runs/churn/2026/11/n{at}.json\ndata {size}\n{text}\n"
        )
    command = ["git", "fast-import", "--quiet"]
    subprocess.run(command, cwd=world.root, input=stream, text=True, check=True)
    calls = []
    run = query.git
    monkeypatch.setattr(query, "git", lambda *a, **k: calls.append(a) or run(*a, **k))
    assert len(records(world.project)) == 1001
    assert len(calls) <= 2  # one listing for the local journal, one for origin's

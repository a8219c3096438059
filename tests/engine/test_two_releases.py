"""Two runs of release.yml at once, and one that ends part-way: order, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli import register as command
from mlops.cli.context import Context
from mlops.cli.decisions import _NewerThere, _Review
from mlops.cli.main import app
from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError
from mlops.registry import tag_writes, tags
from mlops.registry.manifest import manifest_of
from mlops.registry.publish import Overtaken
from mlops.settings import Settings, read

from .registry_world import (
    MODEL,
    World,
    finished,
    git,
    python,
    world_fixture,  # noqa: F401
)

# Each process registers what its clone has built; the older ones may be overtaken.
AT_ONCE = """
from mlops.registry.publish import Overtaken
children = {}
for root in sys.argv[1:]:
    if (child := os.fork()) == 0:
        try:
            done = World(Path(root)).register(run=root, newest_only=True)
            text = done.version.number
        except Overtaken as error:
            text = f"overtaken by {error.newer}"
        Path(f"{root}.txt").write_text(text)
        os._exit(0)
    children[child] = root
print(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def commits_of(world: World) -> dict[str, str]:
    """Return the source commit of each version."""
    versions = tags.read_registry(world.root).models[MODEL].versions.values()
    return {v.number: manifest_of(world.root, v)[0].code.commit for v in versions}


def test_of_runs_at_once_the_newest_commit_has_the_newest_version(
    world: World, tmp_path: Path
) -> None:
    """Six commits of one model, registered at once from a clone each, newest first."""
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "-q", "--bare", str(world.root), str(origin))
    git(world.root, "remote", "add", "origin", str(origin))
    roots = []
    order = []
    for number in range(6):
        world.change_code(f"change {number}")
        git(world.root, "push", "-q", "origin", "main")
        root = tmp_path / f"clone{number}"
        git(tmp_path, "clone", "-q", str(origin), str(root))
        World(root).build(f"model {number}")
        roots.append(root)
        order.append(git(root, "rev-parse", "HEAD"))
    assert finished(python(AT_ONCE, *map(str, reversed(roots)))) == "0"
    said = [Path(f"{root}.txt").read_text() for root in roots]
    git(world.root, "fetch", "-q", "--tags", "origin")
    commits = commits_of(world)
    by_number = [order.index(commits[number]) for number in commits]
    assert by_number == sorted(by_number), said  # nothing older after what is newer
    assert by_number[-1] == 5, said  # the newest is never kept out
    registered = [text for text in said if text.startswith("v")]
    assert sorted(registered, key=tags.version_key) == list(commits)
    overtaken = [text for text in said if text.startswith("overtaken by churn@v")]
    assert len(registered) + len(overtaken) == 6
    assert not tags.read_registry(world.root).warnings


def test_who_is_overtaken_between_looking_and_writing_writes_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.release("first")
    world.change_code("older")
    older = world.clone(tmp_path / "older")
    older.build("older")
    world.change_code("newer")
    world.build("newer")
    claim = tag_writes.claim

    def meanwhile(root: Path, names: dict[str, str]) -> bool:
        monkeypatch.setattr(tag_writes, "claim", claim)
        world.register()
        return claim(root, names)

    monkeypatch.setattr(tag_writes, "claim", meanwhile)
    with pytest.raises(Overtaken) as caught:
        older.register(newest_only=True)
    assert caught.value.newer == f"{MODEL}@v1.1.0"
    assert list(commits_of(older)) == ["v1.0.0", "v1.1.0"]
    assert older.store.list(MODEL) == []  # no draft is left


def reviewing(world: World, settings: Settings) -> _Review:
    return _Review(Context(world.project, settings), "staging", False, keep_newer=True)


@pytest.mark.parametrize("first", ["older", "newer"])
def test_a_stage_keeps_the_version_of_the_newer_commit_whatever_its_number(
    world: World, first: str
) -> None:
    """The run of the older commit came second, and its number is higher."""
    world.release("start")
    start = git(world.root, "rev-parse", "HEAD")
    world.change_code("older")
    older_commit = git(world.root, "rev-parse", "HEAD")
    world.change_data("newer")
    world.build("newer")
    newer = world.register().version
    git(world.root, "checkout", "-q", older_commit)
    world.build("older")
    older = world.register().version
    assert start != older_commit
    assert tags.version_key(older.number) > tags.version_key(newer.number)
    there, comes = (older, newer) if first == "older" else (newer, older)
    world.promote(there.number, "staging")
    review = reviewing(world, read())
    if first == "older":
        review(comes)
        return
    with pytest.raises(_NewerThere) as caught:
        review(comes)
    assert caught.value.holder == newer.ref


# -- a job that registers several models -----------------------------------------------


@pytest.fixture(name="job")
def job_fixture(
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Path:
    """Return the file of a job's outputs; the job has built the models a, b and c."""
    root = make_project().root
    out = tmp_path / "output"
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "main"}}))
    for key, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_OUTPUT": str(out),
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(root)
    monkeypatch.setattr(command, "_promotable", lambda project: ["a", "b", "c"])
    monkeypatch.setattr(command._Unattended, "_hindrance", lambda self, model: "")
    return out


def failing(monkeypatch: pytest.MonkeyPatch, errors: dict[str, Exception]) -> list[str]:
    """Let registering fail for some models; return the names as they are tried."""
    tried = []

    def register(at: Context, model: str, decision: dict[str, Any]) -> dict[str, Any]:
        tried.append(model)
        assert decision["newest_only"] is True
        if model in errors:
            raise errors[model]
        ref = f"{model}@v1.0.0"
        return {"model": model, "ref": ref, "created": True, "notes": ()}

    monkeypatch.setattr(command, "_register", register)
    return tried


def outputs(path: Path) -> dict[str, Any]:
    lines = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert lines["attest"] == ",".join(
        f"build/{name}/model.skops" for name in json.loads(lines["models"])
    )
    return {"models": json.loads(lines["models"]), "refs": json.loads(lines["refs"])}


def test_a_model_that_is_refused_keeps_no_other_from_being_registered(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = failing(monkeypatch, {"b": UsageError("this is wrong")})
    done = CliRunner().invoke(app, ["register"])
    assert tried == ["a", "b", "c"] and done.exit_code == 2
    assert "b is not registered: this is wrong" in done.output
    assert outputs(job) == {
        "models": ["a", "c"],
        "refs": {"a": "a@v1.0.0", "c": "c@v1.0.0"},
    }


def test_what_was_registered_before_a_limit_is_delivered_and_the_rest_is_named(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = failing(monkeypatch, {"b": EnvironmentFailure("GitHub answered 403")})
    done = CliRunner().invoke(app, ["register"])
    assert tried == ["a", "b"] and done.exit_code == 3
    assert "not tried: c; run this job again" in done.output
    assert outputs(job) == {"models": ["a"], "refs": {"a": "a@v1.0.0"}}


def test_a_defect_leaves_the_outputs_of_what_was_registered(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {"c": RuntimeError("a defect")})
    done = CliRunner().invoke(app, ["register"])
    assert done.exit_code == 3
    assert outputs(job)["models"] == ["a", "b"]


def test_no_more_versions_are_handed_on_than_a_matrix_has_jobs(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"m{number:03}" for number in range(300)]
    monkeypatch.setattr(command, "_promotable", lambda project: names)
    delivered_before = names[:50]

    def not_staged_first(root: Path, refs: dict[str, str]) -> list[str]:
        return sorted(refs, key=lambda name: (name in delivered_before, name))

    monkeypatch.setattr(command, "_not_staged_first", not_staged_first)
    failing(monkeypatch, {})
    done = CliRunner().invoke(app, ["register"])
    assert done.exit_code == 0
    handed = outputs(job)["models"]
    assert len(handed) == 256 and set(names[50:]) <= set(handed)
    assert "44 versions more than a matrix may have jobs" in done.output

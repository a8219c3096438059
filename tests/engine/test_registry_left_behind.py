"""What was left: by a killed pull, in the work tree, before there was an origin."""

from __future__ import annotations

import json

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.cli.pipeline import next_step
from mlops.errors import Refused
from mlops.io.git import changed_files
from mlops.registry import tags
from mlops.registry.chain import chain
from mlops.registry.health import problems
from mlops.registry.local_tags import adopt, drop, local_only
from mlops.registry.queries import sensitive_columns, show
from mlops.registry.tag_writes import sync

from .registry_world import MODEL, World, git, world_fixture  # noqa: F401


def test_what_a_killed_pull_left_is_swept_by_the_next(world: World) -> None:
    world.release("one")
    bundle = chain(world.root, "churn@v1.0.0", world.store)
    folder = world.root.parent / "pulled"
    folder.mkdir()
    left = [folder / ".model.skops.0a1b2c3d", folder / ".manifest.json.00ff00ff"]
    others = [folder / ".model.skops.mine", folder / "notes.0a1b2c3d"]
    for path in left + others:
        path.write_text("half")
    bundle.save(folder)
    assert not any(path.exists() for path in left)
    assert all(path.read_text() == "half" for path in others)
    names = {path.name for path in folder.iterdir()} - {path.name for path in others}
    assert names == set(bundle.files)


# -- In the work tree ------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["notes.txt", "docs/draft.md", "models/other/features.py", "README.md"]
)
def test_a_file_that_no_version_depends_on_is_named_and_in_nobodys_way(
    world: World, path: str
) -> None:
    world.build("one")
    file = world.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    done = world.register()
    assert done.created and any(path in note for note in done.notes)


@pytest.mark.parametrize(
    "path",
    [
        "models/churn/helper.py",
        "models/shared.py",
        "vendor/mlops/src/mlops/own.py",
        "requirements/train.txt",
        "project.yaml",
    ],
)
def test_a_file_that_the_version_depends_on_has_to_be_committed(
    world: World, path: str
) -> None:
    world.build("one")
    file = world.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text() if file.is_file() else ""
    file.write_text(f"{before}\n# changed\n")
    assert path in changed_files(world.root)
    with pytest.raises(Refused, match="uncommitted changes") as caught:
        world.register()
    assert path in str(caught.value)


# -- Before there was an origin --------------------------------------------------------


@pytest.fixture
def late(world: World) -> World:
    """Two versions, one in staging, then an origin that knows nothing of them."""
    world.release("one")
    world.promote("v1.0.0", "staging")
    origin = world.root.parent / "origin.git"
    git(world.root.parent, "init", "-q", "--bare", "-b", "main", str(origin))
    git(world.root, "remote", "add", "origin", str(origin))
    git(world.root, "push", "-q", "origin", "main")
    git(world.root, "tag", "mine")
    return world


def at_origin(world: World) -> set[str]:
    lines = git(world.root, "ls-remote", "--refs", "--tags", "origin").splitlines()
    return {line.split("refs/tags/")[1] for line in lines}


def own_version_at_origin(world: World) -> World:
    """Let somebody else register the same number at origin."""
    other = World(world.root.parent / "other")
    git(
        world.root.parent, "clone", "-q", str(world.root.parent / "origin.git"), "other"
    )
    other.build("theirs")
    assert other.register(actor="@ben").version.number == "v1.0.0"
    return other


def test_versions_of_the_time_before_origin_are_adopted(late: World) -> None:
    assert any("does not have churn" in line for line in problems(late.project))
    names = ["churn#staging#1", "churn@v1.0.0"]
    assert sorted(adopt(late.project, late.store)) == names
    assert at_origin(late) == set(names), "the user's own tag stays here"
    assert local_only(late.root).missing == ()
    assert problems(late.project) == []
    assert adopt(late.project, late.store) == []


def test_versions_that_are_in_the_way_can_only_be_dropped(late: World) -> None:
    own_version_at_origin(late)
    with pytest.raises(Refused, match="mlops registry adopt"):
        sync(late.root)
    found = local_only(late.root)
    assert found.conflicting == ("churn@v1.0.0",)
    with pytest.raises(Refused, match="versions of its own"):
        adopt(late.project, late.store)
    assert sorted(drop(late.root)) == ["churn#staging#1", "churn@v1.0.0"]
    state = tags.read_registry(late.root)
    assert state.models[MODEL].versions["v1.0.0"].event.actor == "@ben"
    assert "mine" in git(late.root, "tag").split()
    sync(late.root)


def test_the_command_lists_them_and_does_it_only_when_told(
    late: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(late.root)

    def mlops(*words: str) -> Result:
        return CliRunner().invoke(app, ["registry", "adopt", *words])

    listed = mlops()
    assert listed.exit_code == 0 and "--yes pushes" in listed.output
    assert at_origin(late) == set()
    done = json.loads(mlops("--yes", "--json").stdout)
    assert sorted(done["tags"]) == ["churn#staging#1", "churn@v1.0.0"] and done["done"]
    assert at_origin(late) == {"churn#staging#1", "churn@v1.0.0"}
    assert "Every tag" in mlops().output


@pytest.mark.parametrize(
    ("dirty", "has_origin", "said"),
    [
        (False, True, "mlops register churn"),
        (True, True, "commit; then open a pull request, or: mlops register churn"),
        (False, False, "push to a repository on GitHub, which registers it; "),
        (True, False, "commit and push to a repository on GitHub, which registers it"),
    ],
)
def test_next_does_not_lead_into_a_history_of_ones_own(
    dirty: bool, has_origin: bool, said: str
) -> None:
    step = next_step("churn", dirty, has_origin)
    assert step.startswith(said)
    assert step.endswith("mlops register churn")
    assert ("in this clone alone" in step) is not has_origin


def test_doctor_sees_what_origin_does_not_have_or_has_otherwise(
    late: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(late.root)

    def found() -> str:
        done = CliRunner().invoke(app, ["doctor", "--json"])
        (row,) = [r for r in json.loads(done.stdout) if r["check"] == "registry"]
        assert row["ok"] is not bool(row["found"])
        return str(row["found"])

    assert "origin does not have churn" in found()
    assert "`mlops registry adopt`" in found()
    own_version_at_origin(late)
    assert "origin has other tags of these names: churn@v1.0.0" in found()
    drop(late.root)
    assert "origin" not in found()


# -- A retired model whose folder is gone ----------------------------------------------


def test_a_model_whose_folder_is_deleted_is_still_known(world: World) -> None:
    world.build("one", sensitive=True)
    world.register()
    git(world.root, "rm", "-rq", "models/churn")
    world.commit("Retired")
    assert world.project.models() == []
    version, manifest = show(world.project, "churn@v1.0.0")
    assert version.number == "v1.0.0"
    assert sensitive_columns(world.project, manifest) == {"sex"}

"""A repository of template 0.1.0 is updated, and nothing that it holds is lost."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.registry import reproduce as reproduction
from mlops.registry.chain import fetch
from mlops.storage.folder import FolderStore

from .conftest import TREE, Kept, restore

VERSIONS = ("churn@v1.0.0", "churn@v1.0.1", "price@v1.0.0")
OLD_LAYOUT = ("mlops", "requirements.txt")


def test_the_new_layout_replaces_the_old_one(updated: tuple[Kept, str]) -> None:
    kept, said = updated
    assert "the template's changes are staged" in said
    tracked = kept.git("ls-files").splitlines()
    assert "vendor/mlops/pyproject.toml" in tracked
    left = [path for path in tracked if path.split("/")[0] in OLD_LAYOUT]
    assert left == []


def test_what_the_owner_changed_is_kept(updated: tuple[Kept, str]) -> None:
    kept, _ = updated
    assert "# Ana looks after this file." in (kept.root / "project.yaml").read_text()
    workflow = kept.root / ".github/workflows/pull-request.yml"
    assert "# Acme: ask #ml-help" in workflow.read_text()
    assert (kept.root / "models/churn/notes.md").read_text() == (
        "Ask sales before July.\n"
    )
    both = (kept.root / "pyproject.toml").read_text()
    rejected = kept.root / "pyproject.toml.rej"
    if rejected.exists():
        both += rejected.read_text()
    assert 'keywords = ["acme"]' in both


def test_the_settings_of_the_project_are_still_valid_toml(
    updated: tuple[Kept, str],
) -> None:
    kept, _ = updated
    project = tomllib.loads((kept.root / "pyproject.toml").read_text())
    assert project["project"]["name"] == "acme-models-repository"


def test_a_file_that_was_renamed_here_is_reported_with_what_the_template_changed(
    updated: tuple[Kept, str],
) -> None:
    kept, said = updated
    assert "tests/test_repository.py, which is tests/test_our_repository.py" in said
    tracked = kept.git("ls-files").splitlines()
    assert "tests/test_repository.py" not in tracked
    patch = (kept.root / "tests/test_our_repository.py.rej").read_text()
    assert "-from mlops.project import Project" in patch
    assert "+from mlops.config.project import Project" in patch


def test_the_registry_lists_the_same_versions_and_stages(
    before: Kept, updated: tuple[Kept, str]
) -> None:
    kept, _ = updated
    rows = json.loads(kept.mlops("registry", "list", "--all", "--json"))
    assert {row["version"]: row["stages"] for row in rows} == {
        "churn@v1.0.0": "production",
        "churn@v1.0.1": "staging",
        "price@v1.0.0": "staging",
    }
    listing = ("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags")
    assert kept.git(*listing) == before.git(*listing)


def test_the_history_tells_the_same_decisions(updated: tuple[Kept, str]) -> None:
    kept, _ = updated
    events = json.loads(kept.mlops("registry", "history", "churn", "--json"))
    text = json.dumps(events)
    assert "support asked for it" in text
    assert "more data" in text


def test_the_run_log_is_read(updated: tuple[Kept, str]) -> None:
    kept, _ = updated
    runs = json.loads(kept.mlops("runs", "list", "--json"))
    assert {run["model"] for run in runs} == {"churn", "price"}
    # Three runs that were registered, each with its registration, and a sweep of three.
    assert len(runs) >= 6


@pytest.mark.parametrize("ref", VERSIONS)
def test_each_version_is_verified_and_answers_its_examples(
    updated: tuple[Kept, str], ref: str
) -> None:
    kept, _ = updated
    project = Project(kept.root)
    bundle = fetch(project, ref, FolderStore(project.store))
    examples = json.loads(bundle.read("examples.json"))
    rows = pd.DataFrame([example["features"] for example in examples])
    expected = pd.DataFrame([example["expected"] for example in examples])
    answers = bundle.model().predict(rows)
    shared = [column for column in expected if column in answers]
    assert shared
    pd.testing.assert_frame_equal(
        answers[shared].reset_index(drop=True),
        expected[shared],
        check_dtype=False,
        atol=1e-9,
    )


def test_the_version_in_production_predicts_a_file(updated: tuple[Kept, str]) -> None:
    kept, _ = updated
    rows = kept.root / "models/churn/data/churn.csv"
    out = kept.root / "build" / "answers.csv"
    kept.mlops("predict", "churn@production", str(rows), "--out", str(out))
    assert len(pd.read_csv(out)) == 400


@pytest.mark.parametrize("ref", ["churn@v1.0.0", "price@v1.0.0"])
def test_an_old_version_is_reproduced_by_the_engine_of_its_own_commit(
    updated: tuple[Kept, str], ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, _ = updated
    project = Project(kept.root)

    def no_environment(*given: object) -> str:
        raise OSError("this test makes no environment of its own")

    monkeypatch.setattr(reproduction, "_environment_of", no_environment)
    engines: list[Path] = []
    real = reproduction.engine_of

    def engine_of(root: Path) -> Path:
        engines.append(real(root))
        return engines[-1]

    monkeypatch.setattr(reproduction, "engine_of", engine_of)
    answer = reproduction.reproduce(project, ref, FolderStore(project.store))
    assert answer.same, answer.differences
    (engine,) = engines
    assert engine.name == "tree", "the old layout: the engine lies at the top"


def test_the_old_engine_stages_the_whole_update_although_it_goes_with_it(
    updated: tuple[Kept, str], tmp_path: Path
) -> None:
    """What docs/how-to/upgrade.md says to whoever has run 0.1.0 for it."""
    kept = restore(tmp_path)
    said = kept.said("github", "update", engine=kept.root, code=3)
    assert "No module named 'mlops.reporting.render'" in said
    staged = set(kept.git("ls-files").splitlines())
    expected = set(updated[0].git("ls-files").splitlines())
    assert expected - staged == {"tests/test_our_repository.py.rej"}
    assert staged - expected == set()


def test_what_the_owner_changed_in_the_engine_is_not_lost(tmp_path: Path) -> None:
    kept = restore(tmp_path)
    package = kept.root / "mlops/__init__.py"
    package.write_text(package.read_text() + "\n# Acme's own line.\n")
    kept.git("commit", "--quiet", "--all", "--message", "A line of our own")
    kept.said("github", "update")
    assert not package.exists(), "it would be imported instead of the new engine"
    held = kept.git("grep", "--cached", "--name-only", "# Acme's own line.")
    assert held


def test_the_first_model_keeps_the_name_that_it_was_given(tmp_path: Path) -> None:
    """Template 0.1 asked for it; the present one does not."""
    kept = restore(tmp_path)
    kept.git("mv", "models/employment", "models/leaving")
    state_file = kept.root / ".cruft.json"
    state = json.loads(state_file.read_text())
    state["context"]["cookiecutter"]["model_name"] = "leaving"
    state_file.write_text(json.dumps(state, indent=2))
    kept.git("commit", "--quiet", "--all", "--message", "Our name")
    before = kept.git("ls-tree", "-r", "HEAD", "models")
    kept.said("github", "update")
    kept.git("commit", "--quiet", "--message", "Update")
    after = kept.git("ls-tree", "-r", "HEAD", "models").splitlines()
    assert [line for line in after if not line.endswith(".rej")] == before.splitlines()


def test_an_update_that_moves_the_running_engine_ends_well(
    updated: tuple[Kept, str],
) -> None:
    """The next change of layout is brought by an engine that it removes."""
    kept, _ = updated
    engine = kept.template / TREE / "vendor" / "mlops"
    engine.rename(engine.with_name("moved"))
    kept.git("add", "--all", folder=kept.template)
    kept.git("commit", "--quiet", "--message", "Moved again", folder=kept.template)
    own = kept.root / "vendor/mlops/src"
    try:
        said = kept.said("github", "update", engine=own)
        assert "the template's changes are staged" in said
        assert not (own / "mlops/cli/main.py").exists()
    finally:
        kept.git("reset", "--quiet", "--hard")

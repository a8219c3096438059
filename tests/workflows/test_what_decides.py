"""Which jobs run, by GitHub's own evaluator, over a table of events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflows.githubs_own import GitHubsOwn, Happens, Run

GENERATED = Path(__file__).resolve().parents[2] / "{{cookiecutter.project_slug}}"
FOLDER = GENERATED / ".github" / "workflows"

MAIN = {"name": "demo", "default_branch": "main", "fork": False, "private": False}
FORK = {**MAIN, "fork": True}
PRIVATE = {**MAIN, "private": True}
BY_HAND = ("workflow_dispatch", {"repository": MAIN})
PUSH = ("push", {"repository": MAIN})
SCHEDULE = ("schedule", {"schedule": "23 3 * * 1"})  # it has no `repository`
MESSAGE = ("repository_dispatch", {"repository": MAIN, "action": "retrain"})

Given = tuple[str, dict[str, Any]]


def jobs_of(file: str) -> dict[str, Any]:
    workflow = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))
    return dict(workflow["jobs"])


def contexts(
    given: Given, variables: dict[str, str] | None = None, ref: str = "refs/heads/main"
) -> dict[str, Any]:
    name, payload = given
    return {
        "github": {
            "event_name": name,
            "event": payload,
            "ref": ref,
            "repository": "acme/demo",
        },
        "vars": variables or {},
        "inputs": {},
    }


def planned(*models: str, **others: str) -> Happens:
    """Return what a plan says: models as a list, and whatever else it has."""
    jobs = json.dumps(models)
    members = json.dumps({model: [model] for model in models})
    each = {"models": jobs, "jobs": jobs, "members": members, "at_once": "20"}
    deployed = {"deploy": "[]", "deploy_jobs": others.get("deploy", "[]")}
    return Happens(outputs={**each, **deployed, **others})


ON: dict[str, str] = {}
OFF = {"SCHEDULES": "off"}
FALSE = {"SCHEDULES": "false"}


WITH_A_SCHEDULE = [
    "lock.yml",
    "release.yml",
    "reproduce.yml",
    "settings.yml",
    "update.yml",
]


@pytest.mark.parametrize("file", WITH_A_SCHEDULE)
@pytest.mark.parametrize(
    ("given", "variables", "starts"),
    [
        (SCHEDULE, ON, True),
        (SCHEDULE, OFF, False),
        (SCHEDULE, FALSE, False),
        (SCHEDULE, {"SCHEDULES": "on"}, True),
        (BY_HAND, ON, True),
        (BY_HAND, OFF, True),
        (("workflow_dispatch", {"repository": FORK}), ON, True),
        (PUSH, OFF, True),
        (("push", {"repository": FORK}), ON, False),
        (MESSAGE, OFF, True),
        (("repository_dispatch", {"repository": FORK}), ON, False),
    ],
)
def test_what_nobody_asked_for_starts_in_no_fork_and_by_no_schedule_that_is_off(
    github: GitHubsOwn,
    file: str,
    given: Given,
    variables: dict[str, str],
    starts: bool,
) -> None:
    jobs = jobs_of(file)
    first = next(iter(jobs))
    run = Run(github, {first: jobs[first]}, contexts(given, variables)).play()
    assert run.results == {first: "success" if starts else "skipped"}


@pytest.mark.parametrize(
    ("given", "variables", "starts"),
    [
        (SCHEDULE, ON, False),
        (SCHEDULE, {"MONITOR_RUNNER": "ours"}, True),
        (SCHEDULE, {"MLOPS_STATE": "/var/state"}, True),
        (SCHEDULE, {"MLOPS_PREDICTIONS": "artifacts"}, True),
        (SCHEDULE, {"MLOPS_PREDICTIONS": "artifacts", **OFF}, False),
        (SCHEDULE, {"MLOPS_STATE": "/var/state", **OFF}, False),
        (SCHEDULE, {"MLOPS_STATE": "/var/state", **FALSE}, False),
        (BY_HAND, ON, True),
        (BY_HAND, OFF, True),
        (("workflow_dispatch", {"repository": FORK}), ON, True),
    ],
)
def test_the_calendar_starts_the_monitor_only_where_it_can_see_predictions(
    github: GitHubsOwn, given: Given, variables: dict[str, str], starts: bool
) -> None:
    first = {"plan": jobs_of("monitor.yml")["plan"]}
    run = Run(github, first, contexts(given, variables)).play()
    assert run.results == {"plan": "success" if starts else "skipped"}


@pytest.mark.parametrize(
    ("given", "variables", "starts"),
    [
        (SCHEDULE, ON, False),
        (SCHEDULE, {"MLOPS_STATE": "/var/state"}, False),
        (SCHEDULE, {"MLOPS_PREDICTIONS": "artifacts"}, True),
        (SCHEDULE, {"MLOPS_PREDICTIONS": "artifacts", **OFF}, False),
        (BY_HAND, ON, True),
    ],
)
def test_the_calendar_scores_only_where_the_log_has_a_place(
    github: GitHubsOwn, given: Given, variables: dict[str, str], starts: bool
) -> None:
    first = {"plan": jobs_of("predict.yml")["plan"]}
    run = Run(github, first, contexts(given, variables)).play()
    assert run.results == {"plan": "success" if starts else "skipped"}


BATCH = Happens(outputs={"batch": '["a", "b"]', "artifacts": "true"})


@pytest.mark.parametrize(
    ("happens", "ran"),
    [
        ({"plan": Happens(outputs={"batch": "[]"})}, {"plan": "success"}),
        ({"plan": Happens("failure")}, {"plan": "failure"}),
        (
            {"plan": BATCH},
            {"plan": "success", "predict": ["a", "b"], "record": "success"},
        ),
        (
            {"plan": BATCH, "predict": Happens("failure")},
            {"plan": "success", "predict": "failure", "record": "success"},
        ),
    ],
)
def test_what_was_scored_is_recorded_also_where_a_file_failed(
    github: GitHubsOwn, happens: dict[str, Happens], ran: dict[str, Any]
) -> None:
    known = contexts(SCHEDULE, {"MLOPS_PREDICTIONS": "artifacts"})
    assert Run(github, jobs_of("predict.yml"), known, happens).play().ran() == ran


BATCH_AWAY = Happens(outputs={**BATCH.outputs, "artifacts": "false", "away": "true"})
TO_SCORE = {"batch": '["b"]', "read": "true", "files": "true"}
ALL_AWAY = {"data": "success", "predict": ["b"], "deliver": "success"}
ROLE_OF_DATA = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/data"}


@pytest.mark.parametrize(
    ("happens", "ran", "recorded"),
    [
        (
            {"data": Happens(outputs=TO_SCORE)},
            {**ALL_AWAY, "record": "success"},
            '["b"]',
        ),
        # The files of one of several models could not be read: the others are scored.
        (
            {"data": Happens("failure", TO_SCORE)},
            {**ALL_AWAY, "data": "failure", "record": "success"},
            '["b"]',
        ),
        (
            {"data": Happens(outputs={**TO_SCORE, "read": "false"})},
            {"data": "success"},
            "",
        ),
        ({"data": Happens("failure")}, {"data": "failure"}, ""),
        (
            {"data": Happens(outputs=TO_SCORE), "deliver": Happens("failure")},
            {**ALL_AWAY, "deliver": "failure", "record": "success"},
            "[]",
        ),
        ({}, {"predict": ["a", "b"], "record": "success"}, ""),
    ],
    ids=["read", "some read", "nothing new", "none read", "not written", "no role"],
)
def test_a_batch_in_a_bucket_is_scored_as_far_as_it_was_read_and_recorded_where_written(
    github: GitHubsOwn, happens: dict[str, Happens], ran: dict[str, Any], recorded: str
) -> None:
    if ran.get("deliver") == "success":
        happens = {**happens, "deliver": Happens(outputs={"models": '["b"]'})}
    variables = {"MLOPS_PREDICTIONS": "s3://log", **(ROLE_OF_DATA if happens else {})}
    known = contexts(SCHEDULE, variables)
    jobs = jobs_of("predict.yml")
    run = Run(github, jobs, known, {"plan": BATCH_AWAY, **happens}).play()
    assert run.ran() == {"plan": "success", **ran}
    if "record" not in ran:
        return
    needs = {
        job: {
            "result": run.results[job],
            "outputs": happens[job].outputs if job in happens else {},
        }
        for job in ("data", "deliver")
    }
    step = next(s for s in jobs["record"]["steps"] if "mlops" in s.get("run", ""))
    delivered = github.evaluate(step["env"]["DELIVERED"], {**known, "needs": needs})
    assert delivered == recorded
    for step in (s for s in jobs["predict"]["steps"] if "mlops" in s.get("run", "")):
        starts = github.evaluate(step["if"], {**known, "needs": needs}, condition=True)
        assert starts is (step["run"].endswith(" --fetched") == bool(happens))


STORED = Happens(outputs={**planned("a").outputs, "live": '["a"]', "stored": "true"})


@pytest.mark.parametrize(
    ("data", "ran", "folder"),
    [
        (
            Happens(outputs={"read": "true"}),
            {"data": "success", "reproduce": ["a"]},
            "build/_stored",
        ),
        (Happens("failure"), {"data": "failure"}, ""),
        (None, {"reproduce": ["a"]}, ""),
    ],
    ids=["copied", "not copied", "no role"],
)
def test_rows_in_a_bucket_are_copied_for_the_job_that_trains_again(
    github: GitHubsOwn, data: Happens | None, ran: dict[str, Any], folder: str
) -> None:
    happens = {"plan": STORED} | ({"data": data} if data else {})
    known = contexts(SCHEDULE, ROLE_OF_DATA if data else {})
    jobs = jobs_of("reproduce.yml")
    run = Run(github, jobs, known, happens).play()
    assert run.ran() == {"plan": "success", **ran}
    outputs = data.outputs if data else {}
    needs = {"data": {"result": run.results["data"], "outputs": outputs}}
    step = next(s for s in jobs["reproduce"]["steps"] if "STORED" in s.get("env", {}))
    assert github.evaluate(step["env"]["STORED"], {**known, "needs": needs}) == folder


AFTER_A_RUN = ("workflow_run", {"repository": MAIN})


@pytest.mark.parametrize(
    "file",
    [
        *("lock.yml", "monitor.yml", "pages.yml", "predict.yml", "promote.yml"),
        *("release.yml", "reproduce.yml", "settings.yml", "update.yml"),
    ],
)
@pytest.mark.parametrize(
    ("given", "ref", "refused"),
    [
        (PUSH, "refs/heads/main", False),
        (AFTER_A_RUN, "refs/heads/main", False),
        (SCHEDULE, "refs/heads/main", False),
        (BY_HAND, "refs/heads/main", False),
        (BY_HAND, "refs/heads/feature", True),
        (BY_HAND, "refs/tags/main", True),
        (MESSAGE, "refs/heads/main", False),
    ],
)
def test_only_the_default_branch_acts(
    github: GitHubsOwn, file: str, given: Given, ref: str, refused: bool
) -> None:
    first = next(iter(jobs_of(file).values()))["steps"][0]
    known = contexts(given, ref=ref)
    assert github.evaluate(first["if"], known, condition=True) is refused


NOTHING = planned()
BOTH = planned("a", "b")
ONE = planned("a")
FAILED = Happens("failure")
REGISTERED = Happens(outputs={"models": '["a"]', "refs": '{"a": "a@v1.0.0"}'})
NONE_NEW = Happens(outputs={"models": "[]", "refs": "{}"})
DELIVERED = {"register": "success", "staging": ["a"], "smoke": ["a"]}


@pytest.mark.parametrize(
    ("happens", "ran"),
    [
        pytest.param({"plan": NOTHING}, {"plan": "success"}, id="nothing is planned"),
        pytest.param({"plan": FAILED}, {"plan": "failure"}, id="the plan failed"),
        pytest.param(
            {"plan": ONE, "register": REGISTERED},
            {"plan": "success", "train": ["a"], **DELIVERED, "production": ["a"]},
            id="one is delivered",
        ),
        pytest.param(
            {"plan": ONE, "register": NONE_NEW},
            {"plan": "success", "train": ["a"], "register": "success"},
            id="it is there already",
        ),
        pytest.param(
            {"plan": BOTH, "train": FAILED, "register": REGISTERED},
            {
                "plan": "success",
                "train": "failure",
                "refused": "success",
                **DELIVERED,
                "production": ["a"],
            },
            id="one of two is refused",
        ),
        pytest.param(
            {"plan": ONE, "train": Happens("cancelled"), "register": NONE_NEW},
            {"plan": "success", "train": "cancelled", "register": "success"},
            id="a training was cancelled by its time limit",
        ),
        pytest.param(
            {"plan": ONE, "register": FAILED},
            {"plan": "success", "train": ["a"], "register": "failure"},
            id="registering failed",
        ),
        pytest.param(
            {
                "plan": BOTH,
                "register": Happens("failure", REGISTERED.outputs),
            },
            {
                "plan": "success",
                "train": ["a", "b"],
                **DELIVERED,
                "register": "failure",
                "production": ["a"],
            },
            id="one of two is registered before an error",
        ),
        pytest.param(
            {"plan": ONE, "register": REGISTERED, "staging": FAILED},
            {
                "plan": "success",
                "train": ["a"],
                "register": "success",
                "staging": "failure",
            },
            id="staging failed",
        ),
        pytest.param(
            {"plan": ONE, "register": REGISTERED, "smoke": FAILED},
            {
                "plan": "success",
                "train": ["a"],
                "register": "success",
                "staging": ["a"],
                "smoke": "failure",
            },
            id="the smoke test failed",
        ),
        pytest.param(
            {"plan": planned(deploy='["a"]')},
            {"plan": "success", "redeploy": ["a"]},
            id="application code alone",
        ),
    ],
)
def test_what_a_release_does(
    github: GitHubsOwn, happens: dict[str, Happens], ran: dict[str, Any]
) -> None:
    known = contexts(PUSH)
    run = Run(github, jobs_of("release.yml"), known, happens).play()
    # The plan that does not say what to train has no models, and so no matrix.
    assert run.ran() == ran


def test_a_release_that_was_cancelled_delivers_nothing(github: GitHubsOwn) -> None:
    happens = {"plan": ONE, "train": Happens("cancelled")}
    jobs = jobs_of("release.yml")
    run = Run(github, jobs, contexts(PUSH), happens, cancelled=True).play()
    assert "register" not in run.ran() and "refused" not in run.ran()


@pytest.mark.parametrize(
    ("register", "version"),
    [
        (REGISTERED, "a@v1.0.0"),
        (NONE_NEW, None),
        (Happens("failure", REGISTERED.outputs), "a@v1.0.0"),
        (Happens("failure"), None),
    ],
)
def test_a_smoke_test_is_of_the_version_that_the_run_registered(
    github: GitHubsOwn, register: Happens, version: str | None
) -> None:
    needs = {"register": {"result": register.result, "outputs": register.outputs}}
    jobs = jobs_of("release.yml")
    expressions = [jobs["smoke"]["env"]["VERSION"]]
    for calling in ("staging", "production"):
        expressions.append(jobs[calling]["with"]["version"])
    for expression in expressions:
        known = {"needs": needs, "matrix": {"model": "a"}}
        assert github.evaluate(expression, known) == version


@pytest.mark.parametrize(
    ("train", "expected"),
    [("success", '["a", "b"]'), ("failure", "[]"), ("cancelled", "[]")],
)
def test_every_build_is_expected_where_every_training_succeeded(
    github: GitHubsOwn, train: str, expected: str
) -> None:
    step = jobs_of("release.yml")["register"]["steps"][3]
    needs = {
        "plan": {"result": "success", "outputs": BOTH.outputs},
        "train": {"result": train, "outputs": {}},
    }
    assert github.evaluate(step["env"]["BUILT"], {"needs": needs}) == expected


PULL = (
    "pull_request",
    {"repository": MAIN, "pull_request": {"number": 7, "base": {"sha": "b" * 40}}},
)
QUEUE = ("merge_group", {"repository": MAIN, "merge_group": {"base_sha": "c" * 40}})


@pytest.mark.parametrize("job", ["data", "verdict"])
@pytest.mark.parametrize(
    ("about", "checked_out"),
    [
        # A pull request that was opened again: its event has the base of long ago.
        ({"base_ref": "main", "event": PULL[1]}, "refs/heads/main"),
        (
            {"base_ref": "v1", "event": PULL[1]},
            "refs/heads/v1",
        ),  # a tag may be called so
        ({"base_ref": "", "event": QUEUE[1]}, "c" * 40),
    ],
)
def test_the_engine_that_judges_is_that_of_the_base_as_it_is_now(
    github: GitHubsOwn, job: str, about: dict[str, Any], checked_out: str
) -> None:
    steps = jobs_of("pull-request.yml")[job]["steps"]
    refs = [step["with"]["ref"] for step in steps if "ref" in step.get("with", {})]
    assert [github.evaluate(one, {"github": about}) for one in refs] == [checked_out]


CODE = {"code": "true"}
NO_CODE = {"code": "false"}


@pytest.mark.parametrize("given", [PULL, QUEUE], ids=["pull request", "merge queue"])
@pytest.mark.parametrize(
    ("happens", "ran", "red"),
    [
        pytest.param(
            {"plan": planned(**NO_CODE)},
            {"plan": "success", "verdict": "success"},
            False,
            id="docs only",
        ),
        pytest.param(
            {"plan": planned(**CODE)},
            {"plan": "success", "code": "success", "verdict": "success"},
            False,
            id="code only",
        ),
        pytest.param(
            {"plan": planned("a", **NO_CODE)},
            {"plan": "success", "model": ["a"], "verdict": "success"},
            False,
            id="one model",
        ),
        pytest.param(
            {"plan": planned("a", "b", **CODE), "model": FAILED},
            {
                "plan": "success",
                "code": "success",
                "model": "failure",
                "verdict": "success",
            },
            True,
            id="a model failed",
        ),
        pytest.param(
            {"plan": planned("a", **CODE), "code": FAILED},
            {
                "plan": "success",
                "code": "failure",
                "model": ["a"],
                "verdict": "success",
            },
            True,
            id="code failed",
        ),
        pytest.param(
            {"plan": FAILED},
            {"plan": "failure", "verdict": "success"},
            True,
            id="the plan failed",
        ),
        pytest.param(
            {"plan": planned("a", **NO_CODE), "model": Happens("cancelled")},
            {"plan": "success", "model": "cancelled", "verdict": "success"},
            True,
            id="a model was cancelled",
        ),
    ],
)
def test_the_verdict_is_asked_whatever_happened(
    github: GitHubsOwn,
    given: Given,
    happens: dict[str, Happens],
    ran: dict[str, Any],
    red: bool,
) -> None:
    jobs = jobs_of("pull-request.yml")
    run = Run(github, jobs, contexts(given), happens).play()
    assert run.ran() == ran
    needs = {
        name: {"result": run.results[name], "outputs": happen.outputs}
        for name in ("plan", "code", "data", "model")
        for happen in [happens.get(name, Happens())]
    }
    known = {**contexts(given), "needs": needs}
    fork, first, download, *_ = jobs["verdict"]["steps"]
    assert github.evaluate(fork["if"], known, condition=True) is False
    assert github.evaluate(first["if"], known, condition=True) is red
    reads = github.evaluate(download["if"], known, condition=True)
    # A plan that failed has no output: the step before has ended the job by then.
    assert reads is (happens["plan"].outputs.get("models") != "[]")


def of_repository(name: str) -> Given:
    """Return a pull request from a repository."""
    head = {"sha": "d" * 40, "repo": {"full_name": name}}
    pull = {"number": 7, "base": {"sha": "b" * 40}, "head": head}
    return "pull_request", {"repository": MAIN, "pull_request": pull}


@pytest.mark.parametrize(
    ("given", "fetched"),
    [
        (of_repository("acme/demo"), True),
        (of_repository("ana/demo"), False),
        (QUEUE, True),
    ],
    ids=["of the repository", "of a fork", "of the queue"],
)
def test_data_elsewhere_are_fetched_for_whoever_may_write_and_else_the_verdict_is_red(
    github: GitHubsOwn, given: Given, fetched: bool
) -> None:
    jobs = jobs_of("pull-request.yml")
    happens = {"plan": planned("a", data='["a"]', **NO_CODE)}
    run = Run(github, jobs, contexts(given), happens).play()
    assert run.results["data"] == ("success" if fetched else "skipped")
    assert run.results["model"] == "success"
    needs = {
        "plan": {"result": "success", "outputs": happens["plan"].outputs},
        "data": {"result": run.results["data"], "outputs": {}},
    }
    if fetched:
        needs["data"]["outputs"] = {"read": "true"}
    fork, *_ = jobs["verdict"]["steps"]
    known = {**contexts(given), "needs": needs}
    assert "no role to read data" in fork["name"] and fork["run"] == "exit 1"
    assert github.evaluate(fork["if"], known, condition=True) is not fetched
    take = next(s for s in jobs["model"]["steps"] if "download" in s.get("uses", ""))
    assert github.evaluate(take["if"], known, condition=True) is fetched
    # Where the data of one of several models could not be read, its run says why.
    needs["data"]["result"] = "failure" if fetched else "skipped"
    assert github.evaluate(take["if"], known, condition=True) is fetched
    needs["data"]["outputs"] = {}
    assert github.evaluate(take["if"], known, condition=True) is False


@pytest.mark.parametrize(
    ("data", "results", "trained"),
    [
        pytest.param(None, "skipped", ["a", "b"], id="all in git"),
        pytest.param(planned("a", "b"), "success", ["a", "b"], id="something new"),
        pytest.param(planned("b"), "success", ["b"], id="nothing new of one"),
        pytest.param(planned(), "success", "skipped", id="nothing new of any"),
        pytest.param(Happens("failure"), "failure", ["a", "b"], id="out of reach"),
        pytest.param(
            Happens("failure", planned("b").outputs),
            "failure",
            ["b"],
            id="of one out of reach, and nothing new of another",
        ),
    ],
)
def test_what_the_data_job_leaves_is_trained(
    github: GitHubsOwn, data: Happens | None, results: str, trained: Any
) -> None:
    """Where a bucket is out of reach, models with data in git are trained."""
    elsewhere = "[]" if data is None else '["a", "b"]'
    happens = {"plan": planned("a", "b", data=elsewhere)}
    if data is not None:
        happens["data"] = data
    jobs = jobs_of("release.yml")
    del jobs["redeploy"]
    chosen = {name: jobs[name] for name in ("plan", "data", "train")}
    run = Run(github, chosen, contexts(SCHEDULE), happens).play()
    assert run.results["data"] == results
    assert run.ran().get("train", "skipped") == trained


def test_a_base_without_the_command_leaves_the_verdict_to_the_jobs(
    github: GitHubsOwn,
) -> None:
    *_, check = jobs_of("pull-request.yml")["verdict"]["steps"]
    known = {"needs": {"plan": {"result": "success", "outputs": ONE.outputs}}}
    there = ["vendor/mlops/src/mlops/cli/verdict.py"]
    assert github.evaluate(check["if"], known, condition=True, files=there) is True
    assert github.evaluate(check["if"], known, condition=True) is False


@pytest.mark.parametrize(
    ("event", "conclusion", "writes"),
    [
        ("pull_request", "success", True),
        ("pull_request", "failure", True),
        ("pull_request", "timed_out", True),
        ("pull_request", "cancelled", False),
        ("pull_request", "skipped", False),
        ("pull_request", "action_required", False),
        ("pull_request", "startup_failure", False),
        ("merge_group", "success", False),
    ],
)
def test_a_comment_is_by_the_conclusion(
    github: GitHubsOwn, event: str, conclusion: str, writes: bool
) -> None:
    run_of_it = {"event": event, "conclusion": conclusion}
    given = ("workflow_run", {"repository": MAIN, "workflow_run": run_of_it})
    run = Run(github, jobs_of("comment.yml"), contexts(given)).play()
    assert ("comment" in run.ran()) is writes


LIVE = Happens(outputs={"live": '["a", "b"]', "jobs": '["a", "b"]'})


@pytest.mark.parametrize(
    ("happens", "ran"),
    [
        ({"plan": Happens(outputs={"live": "[]"})}, {"plan": "success"}),
        ({"plan": FAILED}, {"plan": "failure"}),
        (
            {"plan": LIVE},
            {"plan": "success", "check": ["a", "b"], "alarm": "success"},
        ),
        (
            {"plan": LIVE, "check": FAILED},
            {"plan": "success", "check": "failure", "alarm": "success"},
        ),
        (
            {"plan": LIVE, "alarm": Happens(outputs={"propose": "[]"})},
            {"plan": "success", "check": ["a", "b"], "alarm": "success"},
        ),
        (
            {"plan": LIVE, "alarm": Happens(outputs={"propose": '["a"]'})},
            {
                "plan": "success",
                "check": ["a", "b"],
                "alarm": "success",
                "propose": "success",
            },
        ),
    ],
)
def test_an_alarm_follows_every_check(
    github: GitHubsOwn, happens: dict[str, Happens], ran: dict[str, Any]
) -> None:
    known = contexts(SCHEDULE, {"MONITOR_RUNNER": "ours"})
    assert Run(github, jobs_of("monitor.yml"), known, happens).play().ran() == ran


AWAY = Happens(outputs={**LIVE.outputs, "away": "true"})
BY_ROLE = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/data"}
CHECKED_TOO = {"check": ["a", "b"], "alarm": "success"}


@pytest.mark.parametrize(
    ("data", "ran", "takes"),
    [
        (Happens(outputs={"read": "true"}), {"data": "success", **CHECKED_TOO}, True),
        # Of one of several models the log could not be copied: its check says why.
        (
            Happens("failure", {"read": "true"}),
            {"data": "failure", **CHECKED_TOO},
            True,
        ),
        (FAILED, {"data": "failure"}, False),
        (None, CHECKED_TOO, False),
    ],
    ids=["copied", "some copied", "nothing read", "no role"],
)
def test_a_log_in_a_bucket_is_checked_as_far_as_it_was_copied(
    github: GitHubsOwn, data: Happens | None, ran: dict[str, Any], takes: bool
) -> None:
    happens = {"plan": AWAY} | ({"data": data} if data else {})
    known = contexts(SCHEDULE, {"MONITOR_RUNNER": "ours", **(BY_ROLE if data else {})})
    jobs = jobs_of("monitor.yml")
    run = Run(github, jobs, known, happens).play()
    assert run.ran() == {"plan": "success", **ran}
    outputs = data.outputs if data else {}
    needs = {"data": {"result": run.results["data"], "outputs": outputs}}
    step = next(s for s in jobs["check"]["steps"] if "download" in s.get("uses", ""))
    evaluated = github.evaluate(step["if"], {**known, "needs": needs}, condition=True)
    assert evaluated is takes
    check = next(s for s in jobs["check"]["steps"] if "env" in s and "run" in s)
    folder = github.evaluate(check["env"]["FETCHED"], {**known, "needs": needs})
    assert folder == ("build/_log" if takes else "")


RELEASED = {
    "event": "push",
    "conclusion": "success",
    "head_branch": "main",
    "head_repository": {"full_name": "acme/demo"},
}


@pytest.mark.parametrize(
    ("differs", "builds"),
    [
        ({}, True),
        ({"conclusion": "failure"}, True),
        ({"event": "schedule"}, True),
        ({"event": "pull_request"}, False),
        ({"conclusion": "skipped"}, False),
        ({"head_branch": "feature"}, False),
        ({"head_repository": {"full_name": "stranger/demo"}}, False),
    ],
)
def test_pages_are_built_after_a_run_of_the_default_branch(
    github: GitHubsOwn, differs: dict[str, Any], builds: bool
) -> None:
    about = {"repository": MAIN, "workflow_run": {**RELEASED, **differs}}
    given = ("workflow_run", about)
    site = {"build": Happens(outputs={"pages": "on"})}
    run = Run(github, jobs_of("pages.yml"), contexts(given), site).play()
    both = {"build": "success", "deploy": "success"}
    assert run.ran() == (both if builds else {})


def test_pages_that_are_off_are_not_deployed(github: GitHubsOwn) -> None:
    site = {"build": Happens(outputs={"pages": "off"})}
    run = Run(github, jobs_of("pages.yml"), contexts(BY_HAND), site).play()
    assert run.ran() == {"build": "success"}


PAID = {"ADVANCED_SECURITY": "on"}


@pytest.mark.parametrize(
    ("given", "variables", "ran"),
    [
        (PULL, ON, {"zizmor", "dependencies", "codeql"}),
        (PULL, {"CODEQL": "off"}, {"zizmor", "dependencies"}),
        (("pull_request", {"repository": PRIVATE}), ON, {"zizmor"}),
        (
            ("pull_request", {"repository": PRIVATE}),
            PAID,
            {"zizmor", "dependencies", "codeql"},
        ),
        (SCHEDULE, ON, {"zizmor"}),
        (SCHEDULE, PAID, {"zizmor", "codeql"}),
        (SCHEDULE, {**PAID, **OFF}, set()),
        (SCHEDULE, OFF, set()),
    ],
)
def test_what_costs_a_licence_runs_where_it_is_there(
    github: GitHubsOwn, given: Given, variables: dict[str, str], ran: set[str]
) -> None:
    run = Run(github, jobs_of("security.yml"), contexts(given, variables)).play()
    assert set(run.ran()) == ran
    if given is SCHEDULE:
        card = Run(github, jobs_of("scorecard.yml"), contexts(given, variables)).play()
        assert set(card.ran()) == ({"scorecard"} if variables == PAID else set())

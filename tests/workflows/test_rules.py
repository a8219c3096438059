"""What every generated workflow keeps to: wiring only, and least rights."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mlops.cli.extras import EXTRAS, LIGHT, RUNS_MODEL_CODE
from mlops.cli.main import app
from rehearsal.runner.policy import refused_actions
from rehearsal.runner.stand_ins import action_inputs
from rehearsal.workflow import Workflow

HERE = Path(__file__).parent
GENERATED = HERE.parents[1] / "{{cookiecutter.project_slug}}"
FOLDER = GENERATED / ".github"
# Versions, commits, inputs and outputs of the actions in use, as their own repositories
# say.
ACTIONS = action_inputs()
FILES = sorted(FOLDER.glob("workflows/*.yml"))
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES
}
SETUP = yaml.safe_load(
    (FOLDER / "actions/setup/action.yml").read_text(encoding="utf-8")
)
JOBS = {
    f"{file}:{job}": body
    for file, w in WORKFLOWS.items()
    for job, body in w["jobs"].items()
}


def on(workflow: dict[Any, Any]) -> Any:
    return workflow[True]  # YAML 1.1 reads `on` so


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    return list(job.get("steps", []))


def every_step() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in JOBS.items():
        for step in steps(job):
            yield name, step
    for step in SETUP["runs"]["steps"]:
        yield "setup", step


STEPS = [
    pytest.param(
        step, id=f"{name}:{step.get('run') or step.get('uses', '').split('@')[0]}"
    )
    for name, step in every_step()
]
jobs = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
workflows = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)


@workflows
def test_nothing_is_permitted_at_the_top(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {}


@jobs
def test_a_job_says_what_it_may_and_how_long(job: dict[str, Any]) -> None:
    assert isinstance(job["permissions"], dict)
    if "uses" not in job:
        assert 0 < job["timeout-minutes"] <= 360
        logs = job in (JOBS["monitor.yml:check"], JOBS["predict.yml:predict"])
        own = "vars.MONITOR_RUNNER || " if logs else ""
        assert job["runs-on"] == f"${{{{ {own}vars.RUNNER || 'ubuntu-latest' }}}}"


@workflows
def test_every_command_is_bashs_on_windows_too(workflow: dict[Any, Any]) -> None:
    """There the default is PowerShell, to which `"$MODEL"` is nothing."""
    assert workflow["defaults"] == {"run": {"shell": "bash"}}
    assert all(
        "shell" not in step for job in workflow["jobs"].values() for step in steps(job)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_each_permission_has_its_reason(path: Path) -> None:
    granted = re.findall(
        r"^ +[a-z-]+: (?:read|write)\b.*$", path.read_text("utf-8"), re.MULTILINE
    )
    assert granted and all(" # " in line for line in granted)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_one_command(step: dict[str, Any]) -> None:
    if "run" in step:
        command = step["run"]
        assert re.match(r"(mlops|make|git) |exit 1$", command)
        assert not re.search(r"[\n;|&`]|\$\(|\$\{\{", command)


def kind_needed(command: str) -> str:
    """Return which file of requirements/ holds what a command of a job needs."""
    words = shlex.split(command)
    if words[0] == "make":
        return {"check": "all", "audit": "dev", "lock": "base"}[words[1]]
    if words[1:3] == ["github", "update"]:
        return "dev"  # cruft is one of the tools
    if tuple(words[1:3]) in LIGHT:
        return "base"
    return EXTRAS.get(words[1], "base")


def runs_code_of_others(command: str) -> bool:
    """Return whether a command runs code that a model, a change or a template brings.

    The engine keeps every `mlops` command from the code of models that does not say
    that it runs some. The tools of `make` and of an update run the repository's.
    """
    words = shlex.split(command)
    if words[0] == "mlops":
        if tuple(words[1:3]) in LIGHT:
            return False
        return words[1] in RUNS_MODEL_CODE or kind_needed(command) == "dev"
    return words[0] == "make"


@jobs
def test_a_job_that_runs_code_of_others_can_only_read(job: dict[str, Any]) -> None:
    commands = [step["run"] for step in steps(job) if "run" in step]
    if not any(map(runs_code_of_others, commands)):
        return
    assert set(job["permissions"].values()) <= {"read"}
    assert "secrets." not in json.dumps(job)
    for step in steps(job):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@jobs
def test_what_a_job_unpacks_can_replace_no_code(job: dict[str, Any]) -> None:
    """Another job made it, and may have run code of others."""
    if "write" not in job["permissions"].values():
        return
    for step in steps(job):
        if step.get("uses", "").startswith("actions/download-artifact@"):
            place = step["with"].get("path", ".").replace("${{ runner.temp }}/", "")
            assert place in ("build", "report")


def test_an_archive_is_unpacked_to_where_it_was_packed() -> None:
    """The folders of a pattern before its first wildcard are not in the archive."""
    jobs = (("release.yml", "train"), ("monitor.yml", "check"))
    for file, job in (*jobs, ("predict.yml", "predict")):
        upload = JOBS[f"{file}:{job}"]["steps"][-1]
        for path in upload["with"]["path"].splitlines():
            assert re.match(r"!?build/(\*|\$\{\{ matrix\.model \}\}\*)/", path)
        downloads = [
            step["with"]
            for body in WORKFLOWS[file]["jobs"].values()
            for step in steps(body)
            if step.get("uses", "").startswith("actions/download-artifact@")
        ]
        assert downloads
        for taken in downloads:
            if taken.get("name") == "data":  # of one artifact it is the content
                assert taken == {"name": "data", "path": "build"}
                continue
            assert taken["merge-multiple"] is True and taken["path"] == "build"


def test_the_jobs_that_run_code_of_others_are_told_apart_from_those_that_write() -> (
    None
):
    runs = {
        name
        for name, job in JOBS.items()
        if any(runs_code_of_others(step.get("run", "exit")) for step in steps(job))
    }
    assert {"release.yml:train", "release.yml:smoke", "pull-request.yml:code"} <= runs
    writes = {
        name for name, job in JOBS.items() if "write" in job["permissions"].values()
    }
    assert {"release.yml:register", "release.yml:staging"} <= writes
    assert not runs & writes


@jobs
def test_a_job_installs_what_its_commands_need_and_no_more(job: dict[str, Any]) -> None:
    kinds = {
        step["with"]["kind"]
        for step in steps(job)
        if step.get("uses") == "./.github/actions/setup"
    }
    commands = [step["run"] for step in steps(job) if "run" in step]
    needed = {kind_needed(c) for c in commands if c.startswith(("mlops ", "make "))}
    if len(needed) > 1:
        needed.discard("base")  # the others have it
    assert kinds == needed


def test_every_kind_of_job_has_its_lock() -> None:
    kinds = set(re.findall(r"^ +kind: (\w+)$", "".join(map(read, FILES)), re.M))
    locks = {path.stem for path in (GENERATED / "requirements").glob("*.txt")}
    assert {"base", "train", "serve", "all"} <= kinds <= locks


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("step", STEPS)
def test_a_verb_and_its_options_exist(step: dict[str, Any]) -> None:
    words = shlex.split(step.get("run", ""))
    if words[:1] != ["mlops"]:
        return
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[1] not in command.commands:
            words.insert(1, command.default)
        command, words = command.commands[words[1]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= known
    values = sum(
        not getattr(parameter, "is_flag", False)
        for parameter in command.params
        if set(parameter.opts) & set(words)
    )
    given = [w for w in words[1:] if not w.startswith("--")]
    wanted = [
        p for p in command.params if p.param_type_name == "argument" and p.required
    ]
    assert len(given) - values >= len(wanted)


@pytest.mark.parametrize("step", STEPS)
def test_an_action_is_pinned_and_takes_what_it_is_given(step: dict[str, Any]) -> None:
    if (used := step.get("uses", "./")).startswith("./"):
        assert set(step.get("with", {})) <= set(SETUP["inputs"])
        return
    name, _, commit = used.partition("@")
    facts = ACTIONS[name]
    assert commit == facts["commit"]
    assert set(step.get("with", {})) <= set(facts["inputs"])
    assert set(step.get("with", {})) >= set(facts["required"])
    text = "".join(path.read_text("utf-8") for path in FOLDER.rglob("*.yml"))
    assert set(re.findall(rf"{re.escape(used)} # (\S+)", text)) == {facts["version"]}


def test_every_action_is_kept_up_to_date() -> None:
    updates = yaml.safe_load((FOLDER / "dependabot.yml").read_text(encoding="utf-8"))[
        "updates"
    ]
    (folders,) = [
        u["directories"] for u in updates if u["package-ecosystem"] == "github-actions"
    ]
    own = [
        path.parent.relative_to(GENERATED)
        for path in FOLDER.glob("actions/*/action.yml")
    ]
    assert folders == ["/", *(f"/{folder.as_posix()}" for folder in own)]


def test_no_robot_proposes_a_pin_changed_in_place() -> None:
    """Dependabot edits one line of a lock that is one resolution, with its hashes."""
    updates = yaml.safe_load(read(FOLDER / "dependabot.yml"))["updates"]
    (libraries,) = [u for u in updates if u["package-ecosystem"] == "pip"]
    assert libraries["open-pull-requests-limit"] == 0  # security updates alone


@workflows
def test_code_of_strangers_gets_no_secret(workflow: dict[Any, Any]) -> None:
    events = on(workflow)
    assert "pull_request_target" not in events
    if "pull_request" in events:
        assert "secrets." not in json.dumps(workflow["jobs"])
        for job in workflow["jobs"].values():
            writes = {
                name for name, level in job["permissions"].items() if level != "read"
            }
            if job is JOBS["pull-request.yml:data"]:
                continue  # a test of its own
            # What was found may be shown by jobs that read the code and run none of it.
            reads = not any(
                "run" in step or "./" in step.get("uses", "") for step in steps(job)
            )
            assert writes <= ({"security-events"} if reads else set())
    if "workflow_run" in events:
        for job in workflow["jobs"].values():
            checkouts = [
                s
                for s in steps(job)
                if s.get("uses", "").startswith("actions/checkout@")
            ]
            assert checkouts or not any("run" in step for step in steps(job))
            assert not any({"ref", "repository"} & set(s["with"]) for s in checkouts)


# The branch that is merged into, as it is now. What a pull request's event says of its
# base is as old as the last push: an engine of then may not read what one of now wrote.
BASE = (
    "${{ github.base_ref && format('refs/heads/{0}', github.base_ref) "
    "|| github.event.merge_group.base_sha }}"
)


def test_the_job_with_a_role_of_the_cloud_runs_nothing_of_a_pull_request() -> None:
    job = JOBS["pull-request.yml:data"]
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    assert job["environment"] == "data"
    of_a_fork = "github.event.pull_request.head.repo.full_name == github.repository"
    assert f"|| {of_a_fork})" in " ".join(job["if"].split())
    engine, proposed, setup, command, handed_on = steps(job)
    assert engine["with"]["ref"] == BASE
    assert "path" not in engine["with"]
    assert proposed["with"]["path"] == command["working-directory"] == "proposed"
    assert setup["uses"] == "./.github/actions/setup"  # of the base, as it lies there
    assert command["run"].startswith("mlops data fetch ")
    assert command["run"].endswith(" --base ..")  # it says what may be public
    assert not runs_code_of_others(command["run"])
    assert handed_on["with"]["retention-days"] == 1


def test_no_other_job_takes_a_role_of_the_cloud() -> None:
    roles = {name for name, job in JOBS.items() if "vars.AWS_ROLE_ARN" in str(job)}
    files = ("monitor", "predict", "pull-request", "release", "reproduce")
    assert roles == {*(f"{file}.yml:data" for file in files), "predict.yml:deliver"}
    for name in roles:
        assert not any(
            runs_code_of_others(step.get("run", "exit")) for step in steps(JOBS[name])
        )


def test_whoever_trains_takes_the_data_of_its_run_and_nothing_newer() -> None:
    for name in ("pull-request.yml:model", "release.yml:train"):
        commands = [step.get("run", "") for step in steps(JOBS[name])]
        assert any(re.match("mlops run .*--locked", command) for command in commands)
        assert "data" in JOBS[name]["needs"]
    kept = JOBS["release.yml:train"]["steps"][-1]["with"]["path"].split()
    assert kept == ["build/*/", "!build/*/sources/**"]


def test_a_fork_cannot_have_the_pages_made_and_their_job_runs_no_code() -> None:
    build, deploy = WORKFLOWS["pages.yml"]["jobs"].values()
    of_the_run = (
        "event != 'pull_request'",
        "head_repository.full_name == github.repository",
    )
    for condition in (
        *of_the_run,
        "head_branch == github.event.repository.default_branch",
    ):
        assert f"github.event.workflow_run.{condition}" in " ".join(build["if"].split())
    reads = {"actions": "read", "contents": "read", "pages": "read"}
    assert build["permissions"] == reads
    assert [step["uses"].split("@")[0] for step in deploy["steps"]] == [
        "actions/deploy-pages"
    ]


def test_a_page_that_is_made_again_has_an_artifact_of_its_own() -> None:
    """Those of earlier attempts stay, and deploy-pages refuses two of one name."""
    build, deploy = WORKFLOWS["pages.yml"]["jobs"].values()
    (upload,) = (step for step in steps(build) if "upload-pages-artifact@" in str(step))
    name = "github-pages-${{ github.run_attempt }}"
    assert upload["with"]["name"] == build["outputs"]["artifact"] == name
    taken = deploy["steps"][-1]["with"]["artifact_name"]
    assert taken == "${{ needs.build.outputs.artifact }}"  # of the attempt that made it


def test_a_run_that_waits_for_a_person_or_was_cancelled_gets_no_comment() -> None:
    condition = JOBS["comment.yml:comment"]["if"]
    of_the_run = (
        r"contains\(fromJSON\('(.+)'\), github\.event\.workflow_run\.conclusion\)"
    )
    (answered,) = re.findall(rf"&& {of_the_run}$", condition)
    assert json.loads(answered) == [
        "success",
        "failure",
        "timed_out",
    ]  # not: action_required


@jobs
def test_credentials_stay_only_where_something_is_pushed(job: dict[str, Any]) -> None:
    for step in steps(job):
        if step.get("uses", "").startswith("actions/checkout@"):
            kept = step["with"]["persist-credentials"]
            assert kept is False or job["permissions"]["contents"] == "write"


def restores_a_cache(job: dict[str, Any]) -> bool:
    """Say whether a job takes something that another job left in a cache."""
    return any(
        step.get("uses", "").startswith("actions/cache")
        or step.get("with", {}).get("cache", "false") != "false"
        for step in steps(job)
    )


@jobs
def test_who_may_write_gets_nothing_from_a_cache(job: dict[str, Any]) -> None:
    """Whoever fills a cache could otherwise do what the job may do.

    A secret is a right, too: some may write where the job's own token only reads.
    """
    writes = "write" in job["permissions"].values()
    holds_a_secret = "secrets." in json.dumps(job) or bool(environments(job))
    assert not ((writes or holds_a_secret) and restores_a_cache(job))
    assert SETUP["inputs"]["cache"]["default"] == "false"


@pytest.mark.parametrize(
    "step",
    [
        {"uses": "actions/cache@x"},
        {"uses": "actions/cache/restore@x"},
        {"uses": "actions/setup-python@x", "with": {"cache": "pip"}},
        {"uses": "./.github/actions/setup", "with": {"cache": True}},
    ],
)
def test_every_way_to_take_something_from_a_cache_is_seen(step: dict[str, Any]) -> None:
    assert restores_a_cache({"steps": [step]})
    assert not restores_a_cache({"steps": [{"uses": step["uses"][:7] + "x"}]})


def test_the_set_up_of_a_job_takes_nothing_from_a_cache_but_where_it_is_asked() -> None:
    taking = [
        step for step in SETUP["runs"]["steps"] if restores_a_cache({"steps": [step]})
    ]
    assert [step["if"] for step in taking] == ["inputs.cache == 'true'"]


def test_every_command_of_the_set_up_is_bashs_too() -> None:
    """`defaults` of a workflow do not hold inside an action."""
    commands = [step for step in SETUP["runs"]["steps"] if "run" in step]
    assert commands and all(step["shell"] == "bash" for step in commands)


@workflows
def test_what_is_attested_is_made_without_a_cache(workflow: dict[Any, Any]) -> None:
    """A signature says how the bytes came to be: not from what somebody else left."""
    every = workflow["jobs"].values()
    attests = any("attestations" in job["permissions"] for job in every)
    assert not (attests and any(restores_a_cache(job) for job in every))


def environments(job: dict[str, Any]) -> set[str]:
    """Return the environments of a job, and of those of the workflow that it calls."""
    if "uses" in job:
        called = WORKFLOWS[Path(job["uses"]).name]["jobs"].values()
        return set().union(*(environments(one) for one in called))
    declared = job.get("environment", {})
    name = declared["name"] if isinstance(declared, dict) and declared else declared
    return {name} if name else set()


def may_wait_for_a_reviewer(job: dict[str, Any]) -> bool:
    """Say whether a job is of the environment of a stage: those have reviewers."""
    stages = {"staging", "production", "${{ inputs.stage }}"}
    return bool(environments(job) & stages)


def may_wait(workflow: dict[Any, Any]) -> bool:
    """Say whether a run of a workflow may wait for a reviewer."""
    return any(map(may_wait_for_a_reviewer, workflow["jobs"].values()))


def test_whoever_waits_for_a_reviewer_holds_no_group_meanwhile() -> None:
    """They may wait for 30 days: a rollback would wait behind a promotion."""
    waiting = {name for name, job in JOBS.items() if may_wait_for_a_reviewer(job)}
    assert waiting == {
        "promote.yml:promote",
        "release.yml:production",
        "release.yml:redeploy",
        "release.yml:staging",
        "stage.yml:promote",
    }
    for name in waiting:
        assert "concurrency" not in JOBS[name]
        assert "concurrency" not in WORKFLOWS[name.split(":")[0]]


@workflows
def test_runs_of_one_kind_do_not_meet(workflow: dict[Any, Any]) -> None:
    if "workflow_call" in on(workflow) or may_wait(workflow):
        return
    assert workflow["concurrency"]["group"]


def test_a_push_cancels_the_older_run_and_a_comment_is_queued() -> None:
    assert WORKFLOWS["pull-request.yml"]["concurrency"]["cancel-in-progress"] is True
    assert (
        WORKFLOWS["comment.yml"]["concurrency"]["queue"] == "max"
    )  # each run has a record


def test_a_release_that_waits_for_its_reviewer_holds_up_nobody() -> None:
    """A job may wait for 30 days, and whatever waits for it is dropped at 100."""
    release = WORKFLOWS["release.yml"]
    assert "concurrency" not in release
    groups = {
        name: job["concurrency"]["group"]
        for name, job in release["jobs"].items()
        if "concurrency" in job
    }
    # Whatever writes a version has a turn ...
    assert groups == {"register": "register-${{ needs.plan.outputs.queue }}"}
    turn = release["jobs"]["register"]["concurrency"]
    assert turn["queue"] == "max" and turn["cancel-in-progress"] is False
    # ... and the one that waits puts its own version into production, nothing older.
    for name in ("staging", "production"):
        given = release["jobs"][name]["with"]
        assert given["stage"] == name
        assert "needs.register.outputs.refs" in given["version"]
    promote = JOBS["stage.yml:promote"]
    assert promote["environment"] == "${{ inputs.stage }}"
    command = promote["steps"][-1]["run"]
    assert command.startswith('mlops promote "$VERSION" "$STAGE" --ask --keep-newer ')


def test_whoever_calls_a_workflow_grants_what_its_jobs_declare_and_no_more() -> None:
    calls = {name: job for name, job in JOBS.items() if "uses" in job}
    assert {job["uses"] for job in calls.values()} == {"./.github/workflows/stage.yml"}
    for job in calls.values():
        called = WORKFLOWS[Path(job["uses"]).name]["jobs"]
        assert all(one["permissions"] == job["permissions"] for one in called.values())
    assert list(calls) == ["release.yml:staging", "release.yml:production"]


def test_an_administrators_token_is_for_main_alone_and_never_near_strangers_code() -> (
    None
):
    settings = yaml.safe_load((FOLDER / "settings.yaml").read_text(encoding="utf-8"))
    assert settings["environments"]["upkeep"] == {"branches": ["~DEFAULT_BRANCH"]}
    copies = "secrets.MLFLOW_TRACKING_TOKEN"  # for where the owner sends them
    pager = "secrets.MLOPS_WEBHOOK"
    told = {
        name: json.dumps(job).replace(copies, "").replace(pager, "")
        for name, job in JOBS.items()
    }
    holders = {name: job for name, job in JOBS.items() if "secrets." in told[name]}
    assert set(holders) == {
        "settings.yml:settings",
        "update.yml:propose",
        "lock.yml:propose",
        "monitor.yml:propose",
    }
    for name, job in holders.items():
        assert job["environment"] == {"name": "upkeep", "deployment": False}
        for step in steps(job):  # each secret is in the one step that needs it
            assert "secrets." not in json.dumps(step) or step["run"].startswith(
                "mlops github "
            )
        assert set(on(WORKFLOWS[name.split(":")[0]])) <= {
            "push",
            "schedule",
            "workflow_dispatch",
        }
    takers = {name for name, job in JOBS.items() if copies in json.dumps(job)}
    assert takers == {
        "comment.yml:comment",
        "release.yml:refused",
        "release.yml:register",
    }
    pagers = {name for name, job in JOBS.items() if pager in json.dumps(job)}
    assert pagers == {"monitor.yml:alarm"}, "it runs no code of a model"
    # They run what the template says, and build what is compiled from source.
    for job in (JOBS["update.yml:merge"], JOBS["lock.yml:compile"]):
        assert job["permissions"] == {"contents": "read"}
        assert (
            "token"
            not in json.dumps([step.get("env", {}) for step in steps(job)]).lower()
        )


def test_what_is_required_and_labelled_is_what_workflows_have() -> None:
    settings = yaml.safe_load((FOLDER / "settings.yaml").read_text(encoding="utf-8"))
    rules = [rule["rules"] for rule in settings["rulesets"].values()]
    checks = [
        r["required_status_checks"] for r in rules if "required_status_checks" in r
    ]
    named = [
        check["context"] for rule in checks for check in rule["required_status_checks"]
    ]
    assert named == ["verdict"] and "pull-request.yml:verdict" in JOBS
    from mlops.cli.github import DRIFT, LOCK, NEW
    from mlops.github.issues import LABEL

    assert set(settings["labels"]) == {DRIFT, LOCK, NEW, LABEL}
    used = {
        job["environment"]
        for job in JOBS.values()
        if isinstance(job.get("environment"), str)
    }
    # GitHub makes the environment `data` when a job first uses it; it has no reviewers.
    named = {name for name in used if "${{" not in name}
    assert named - {"data"} <= set(settings["environments"])


def test_somebody_has_to_approve_a_change_besides_a_code_owner() -> None:
    """Whether a code owner is asked for where 0 approvals are, GitHub does not say."""
    settings = yaml.safe_load((FOLDER / "settings.yaml").read_text(encoding="utf-8"))
    review = settings["rulesets"]["review"]["rules"]["pull_request"]
    assert review["require_code_owner_review"] is True
    assert review["required_approving_review_count"] == 1


def test_the_verdict_looks_at_every_job() -> None:
    every = dict(WORKFLOWS["pull-request.yml"]["jobs"])
    verdict = every.pop("verdict")
    assert set(verdict["needs"]) == set(every) and verdict["if"] == "always()"
    step = verdict["steps"][1]
    assert step["run"] == "exit 1"
    for result in ("failure", "cancelled"):
        assert f"contains(needs.*.result, '{result}')" in step["if"]


def test_the_verdict_runs_nothing_of_the_pull_request() -> None:
    verdict = JOBS["pull-request.yml:verdict"]
    checkouts = [
        place
        for place, step in enumerate(verdict["steps"])
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert len(checkouts) == 1
    assert verdict["steps"][checkouts[0]]["with"]["ref"] == BASE
    for step in verdict["steps"][: checkouts[0]]:
        assert step.get("run", "exit 1") == "exit 1"
        assert not step.get("uses", "").startswith("./")
    assert verdict["permissions"] == {"contents": "read"}


def test_the_verdict_demands_one_of_every_planned_model() -> None:
    """Each artifact stays in a folder of its own: none can bring another's verdict."""
    download, _, *rest = JOBS["pull-request.yml:verdict"]["steps"][2:]
    assert download["with"].keys() == {"pattern", "path"}
    upload = JOBS["pull-request.yml:model"]["steps"][-1]
    assert upload["with"]["name"] == "report-${{ matrix.job }}"
    check = rest[-1]
    assert check["run"].startswith('mlops verdict --models "$MODELS" --reports ')
    assert check["env"]["MODELS"] == "${{ needs.plan.outputs.members }}"
    planned = "needs.plan.outputs.models != '[]'"
    known = "hashFiles('vendor/mlops/src/mlops/cli/verdict.py') != ''"
    assert check["if"] == f"{planned} && {known}"
    assert (GENERATED / "vendor/mlops/src/mlops/cli/verdict.py").is_file()


def downloads_by_pattern(job: dict[str, Any]) -> bool:
    """Say whether a job takes artifacts of its own run by a pattern."""
    return any(
        "pattern" in step.get("with", {}) and "run-id" not in step["with"]
        for step in steps(job)
        if step.get("uses", "").startswith("actions/download-artifact@")
    )


@pytest.mark.parametrize(
    "job", [name for name, body in JOBS.items() if downloads_by_pattern(body)]
)
def test_a_job_that_takes_artifacts_by_a_pattern_knows_which_there_must_be(
    job: str,
) -> None:
    """They expire, and a pattern that matches nothing is no error."""
    body = JOBS[job]
    after_a_failure = "result == 'failure'" in body["if"]
    commands = [step.get("run", "") for step in steps(body)]
    demands = [c for c in commands if re.search(r"--(expect|models) \"\$", c)]
    assert after_a_failure != bool(demands)
    for step in steps(body):
        if step.get("run") in demands:
            env = json.dumps(step["env"])
            assert re.search(r"needs\.(plan|data|alarm)\.outputs\.", env)


def acts(workflow: dict[Any, Any]) -> bool:
    """Say whether any job of a workflow writes, or holds a secret."""
    every = workflow["jobs"].values()
    writes = any("write" in job["permissions"].values() for job in every)
    return writes or "secrets." in json.dumps(workflow["jobs"])


@workflows
def test_whatever_is_started_by_hand_and_acts_refuses_other_branches(
    workflow: dict[Any, Any],
) -> None:
    """GitHub offers all of them, each with approvers and settings of its own.

    The event of a schedule does not name the default branch, and is always about it.
    """
    if "workflow_dispatch" not in on(workflow) or not acts(workflow):
        return
    first = next(iter(workflow["jobs"].values()))["steps"][0]
    default = "format('refs/heads/{0}', github.event.repository.default_branch)"
    by_others = "github.event_name != 'schedule'"
    assert first["if"] == f"{by_others} && github.ref != {default}"
    assert first["run"] == "exit 1" and first["name"].startswith("Only the default")
    for job in list(workflow["jobs"].values())[1:]:  # none begins beside the first
        assert "needs" in job


def test_the_workflows_that_act_by_hand_are_known() -> None:
    acting = {
        file
        for file, workflow in WORKFLOWS.items()
        if "workflow_dispatch" in on(workflow) and acts(workflow)
    }
    reading = {
        file
        for file, workflow in WORKFLOWS.items()
        if "workflow_dispatch" in on(workflow) and not acts(workflow)
    }
    assert {"promote.yml", "release.yml", "reproduce.yml", "settings.yml"} <= acting
    assert reading == set()


def test_a_chain_is_never_by_an_event_that_the_token_does_not_raise() -> None:
    raised = {
        "release",
        "create",
        "registry_package",
        "deployment",
        "issues",
        "issue_comment",
    }
    for workflow in WORKFLOWS.values():
        assert not raised & set(on(workflow))
        assert "tags" not in (on(workflow).get("push") or {})


# Whatever nobody asked for by hand: not in a fork, and not by a schedule that is off.
SWITCHED_ON = """!contains(fromJSON('["off", "false"]'), vars.SCHEDULES)"""
NOT_A_FORK = "!github.event.repository.fork"
GUARD = (
    f"github.event_name == 'workflow_dispatch' || ({NOT_A_FORK} "
    f"&& (github.event_name != 'schedule' || {SWITCHED_ON}))"
)
# The calendar starts the monitor only where it can see something.
SEES_PREDICTIONS = (
    "&& (vars.MONITOR_RUNNER || vars.MLOPS_STATE || vars.MLOPS_PREDICTIONS)"
)
# And the batch only where its log has a place.
LOGS = "&& vars.MLOPS_PREDICTIONS"


@workflows
def test_a_schedule_is_odd_and_can_be_switched_off(workflow: dict[Any, Any]) -> None:
    for entry in on(workflow).get("schedule", []):
        assert int(entry["cron"].split()[0]) % 5
        for job in workflow["jobs"].values():
            of_pulls = re.match(r"\S+ == 'pull_request' &&", job.get("if", ""))
            if "needs" not in job and not of_pulls:
                assert SWITCHED_ON in job["if"] and NOT_A_FORK in job["if"]


@workflows
def test_a_fork_does_by_itself_nothing_that_its_owner_did_not_ask_for(
    workflow: dict[Any, Any],
) -> None:
    """A push to a fork's main runs the workflows of the fork."""
    if not {"push", "schedule"} & set(on(workflow)) or "pull_request" in on(workflow):
        return
    for job in workflow["jobs"].values():
        if job is JOBS["monitor.yml:plan"]:
            assert job["if"] == f"{GUARD[:-1]} {SEES_PREDICTIONS})"
        elif job is JOBS["predict.yml:plan"]:
            assert job["if"] == f"{GUARD[:-1]} {LOGS})"
        elif "needs" not in job and "workflow_dispatch" in on(workflow):
            assert job["if"] == GUARD
        elif "needs" not in job:
            assert job["if"].startswith(NOT_A_FORK)


def test_one_workflow_alone_needs_an_action_that_is_not_githubs() -> None:
    """An organisation that allows GitHub's own refuses the whole file of another."""
    policy = {"allowed_actions": "selected", "github_owned_allowed": True}
    strangers = {
        path.name for path in FILES if refused_actions(Workflow.read(path), policy)
    }
    assert strangers == {"scorecard.yml"}


def test_nothing_assumes_where_github_is() -> None:
    sources = [*GENERATED.glob("vendor/mlops/src/**/*.py"), *FOLDER.rglob("*.yml")]
    lines = [line for path in sources for line in path.read_text("utf-8").splitlines()]
    said = [line for line in lines if re.search(r"(//|api\.)github\.com\b", line)]
    # The defaults of settings.py, and cookiecutter's own short form.
    meant = ("    server: str = ", "    api: str = ", '"gh:"', 'Variable("GITHUB_')
    assert said and all(any(word in line for word in meant) for line in said), said


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_workflow_begins_by_saying_what_it_is_for(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert f"`{path.name}`" in (GENERATED / "README.md").read_text(encoding="utf-8")

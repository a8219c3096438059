"""What a repository on GitHub needs switched on: one list, on the hub and on paper."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.cli.switches import proposing
from mlops.config.project import Project
from mlops.github.default_branch import with_branch
from mlops.github.readiness import (
    Missing,
    RepositoryFacts,
    ScheduledWorkflow,
    WorkflowFiles,
    missing,
    period_of,
    refused_actions,
)
from mlops.github.ref_patterns import fits, selects
from mlops.github.repo_facts import _FactReader, read_workflow_files
from mlops.github.repo_settings import RepositorySettings, guards
from mlops.github.repo_settings_api import Denied
from mlops.github.switches import SWITCHES
from rehearsal.hub import Hub
from rehearsal.patterns import selected

from .conftest import ENGINE, git
from .test_github_settings import NAMED, Desk, desk_of

NOW = datetime(2026, 11, 30, tzinfo=UTC)
READY = RepositoryFacts(
    policy={"enabled": True, "allowed_actions": "all"},
    pages="workflow",
    labels=frozenset({"model-alarm"}),
    owner_errors=(),
    variables={},
    schedules=(),
)
CHECKOUT = f"actions/checkout@{'a' * 40}"
FILES = WorkflowFiles(
    actions={
        "release.yml": frozenset({CHECKOUT}),
        "scorecard.yml": frozenset({CHECKOUT, f"ossf/scorecard-action@{'b' * 40}"}),
    },
    branches={"release.yml": ("main",)},
)
WEEK = timedelta(days=7)
ADMINISTERS = {**NAMED, "contents": "read"}


def found(**facts: Any) -> list[Missing]:
    return missing(replace(READY, **facts), FILES, ["model-alarm"], NOW)


def ran(days: float, state: str = "active") -> tuple[ScheduledWorkflow, ...]:
    """Return a weekly schedule that ran so many days ago."""
    return (ScheduledWorkflow("release.yml", WEEK, NOW - timedelta(days), state),)


# ----- on paper


def test_nothing_is_missing_where_all_is_switched_on() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("facts", "name", "details"),
    [
        ({"archived": True}, "archived", ""),
        ({"moved_to": "acme/new"}, "name", "it is acme/new"),
        ({"policy": {"enabled": False}}, "Actions", ""),
        ({"default_branch": "trunk"}, "default branch", "it is trunk: release.yml"),
        ({"issues": False}, "Issues", ""),
        ({"labels": frozenset()}, "settings", "no label model-alarm"),
        ({"pages": "off"}, "Pages", ""),
        ({"pages": "branch"}, "Pages", "it is built from a branch"),
        ({"owner_errors": ("CODEOWNERS line 1",)}, "code owners", "CODEOWNERS line 1"),
        ({"schedules": ran(15)}, "schedules", "due every 7 days and has not run"),
        ({"schedules": ran(1, "disabled_inactivity")}, "schedules", "by inactivity"),
    ],
)
def test_each_thing_that_is_missing_is_named_with_what_helps(
    facts: dict[str, Any], name: str, details: str
) -> None:
    (one,) = found(**facts)
    assert one.name == name and details in one.details
    assert SWITCHES[name].effect in one.text() and SWITCHES[name].remedy in one.text()


def test_what_is_missing_comes_in_the_order_in_which_it_is_changed() -> None:
    every = found(
        schedules=ran(15),
        owner_errors=("line 1",),
        pages="off",
        issues=False,
        archived=True,
        labels=frozenset(),
        variables={"RUNNER": "gpu-box"},
    )
    names = [one.name for one in every]
    assert names == [name for name in SWITCHES if name in names] and len(names) == 7


@pytest.mark.parametrize(
    ("patterns", "branch", "heard"),
    [
        (("main",), "main", True),
        (("main",), "trunk", False),
        (("release/**", "main"), "main", True),
        (("**",), "team/trunk", True),
        (("release/*",), "release/2", True),
        (("**", "!trunk"), "trunk", False),
        (("!trunk", "trunk"), "trunk", True),
        (("c\\+\\+",), "c++", True),
        ((), "main", False),
        # A star stops at a slash; `?` and `+` are about the character before them.
        (("*",), "main", True),
        (("*",), "team/trunk", False),
        (("team/*",), "team/next/trunk", False),
        (("team/**/trunk",), "team/trunk", True),
        (("main?",), "mai", True),
        (("main?",), "main", True),
        (("main?",), "main1", False),
        (("v[0-9]+",), "v12", True),
        (("v[0-9]+",), "v", False),
        (("!trunk",), "trunk", False),
    ],
)
def test_patterns_of_branches_are_read_as_github_does(
    patterns: tuple[str, ...], branch: str, heard: bool
) -> None:
    assert selects(patterns, branch) is heard
    assert selected(patterns, branch) is heard  # the rehearsal's router


@pytest.mark.parametrize("pattern", ["[b-a]", "a?+?+", "(", "["])
def test_a_pattern_that_nobody_can_read_selects_nothing(pattern: str) -> None:
    assert not selects((pattern,), "a") and not fits(pattern, "a")


@pytest.mark.parametrize(
    ("pattern", "ok"),
    [
        ("team/trunk", True),
        ("team/*", True),
        ("**/*", True),
        ("*", False),
        ("**", False),
        ("team*", False),
        ("team/trun?", True),
        ("team/trunk?", False),
        ("team/[a-t]runk", True),
    ],
)
def test_what_is_declared_for_merges_holds_of_a_branch_as_github_reads_it(
    pattern: str, ok: bool
) -> None:
    """Of rulesets and of environments alike; GitHub lets no star go over a slash."""
    rules = {"pull_request": {}}
    ruleset = {"target": "branch", "include": [f"refs/heads/{pattern}"], "rules": rules}
    environment = {"branches": [pattern]}
    for declared in (
        {"rulesets": {"main": ruleset}},
        {"environments": {"production": environment}},
    ):
        settings = RepositorySettings.model_validate(declared)
        assert guards(settings, "team/trunk", ["production"]) is ok


@pytest.mark.parametrize("branch", ["trunk", "team/next-1.0", "c++", "!x", "on", "1.0"])
@pytest.mark.parametrize("names", ["[main]", '["main"]', "[main, 'release/**']"])
def test_the_default_branch_is_written_into_a_workflow(branch: str, names: str) -> None:
    text = f"name: x\non:\n  push:\n    # why\n    branches: {names}\n    paths: [a]\n"
    changed = with_branch(text, branch)
    assert changed is not None
    push = YAML(typ="safe").load(changed)["on"]["push"]
    assert selected(push["branches"], branch) and push["paths"] == ["a"]
    assert len(push["branches"]) == (3 if "release" in names else 1)


@pytest.mark.parametrize("branches", ["\n      - main", " &names [main]", " main"])
def test_branches_in_another_form_are_left_to_a_person(branches: str) -> None:
    assert with_branch(f"on:\n  push:\n    branches:{branches}\n", "trunk") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n",
        "on: push\njobs: {a: null}\n",
        "on: [push]\njobs: []\n",
        "on: {push: null, schedule: null}\n",
        'on: {schedule: [{cron: "@daily"}, {}, text]}\njobs: {a: {steps: {}}}\n',
    ],
)
def test_a_workflow_that_is_half_written_stops_no_doctor(
    text: str, tmp_path: Path
) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "release.yml").write_text(text, encoding="utf-8")
    assert read_workflow_files(tmp_path) == WorkflowFiles()


def test_of_several_schedules_the_most_frequent_counts_and_others_are_used(
    tmp_path: Path,
) -> None:
    """What a workflow calls of another repository is under the policy as well."""
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "own.yml").write_text(
        "on:\n  push: {branches: gh-pages}\n"
        '  schedule: [{cron: "1 2 1 * *"}, {cron: "1 2 * * *"}]\n'
        "jobs:\n  a: {uses: acme/shared/.github/workflows/x.yml@v1}\n"
        "  b: {uses: ./.github/workflows/y.yml}\n",
        encoding="utf-8",
    )
    files = read_workflow_files(tmp_path)
    assert files.crons == {"own.yml": "1 2 * * *"}
    assert files.actions == {
        "own.yml": frozenset({"acme/shared/.github/workflows/x.yml@v1"})
    }
    assert files.branches == {}  # a workflow of one's own may listen to any branch


@pytest.mark.parametrize("field", ["policy", "pages", "labels", "owner_errors"])
def test_what_cannot_be_seen_is_not_said_to_be_missing(field: str) -> None:
    assert found(**{field: None}) == []


@pytest.mark.parametrize(
    ("private", "variables", "named"),
    [
        (True, {"RUNNER": "gpu-box"}, "RUNNER is gpu-box"),
        (False, {"RUNNER": "gpu-box"}, "anybody, from a fork"),
        (False, {"MONITOR_RUNNER": "logs"}, "MONITOR_RUNNER is logs"),
        (True, {"MONITOR_RUNNER": "logs"}, ""),
        (False, {"RUNNER": "ubuntu-24.04-arm"}, ""),
        (False, {"RUNNER": "windows-2025"}, ""),
        (False, {"RUNNER": "Ubuntu-Latest"}, ""),
        (False, {}, ""),
    ],
)
def test_a_machine_of_ones_own_that_takes_pull_requests_is_warned_of(
    private: bool, variables: dict[str, str], named: str
) -> None:
    warned = found(private=private, variables=variables)
    assert [one.name for one in warned] == (["runner"] if named else [])
    assert not any(one.blocks for one in warned)
    assert all(named in one.details for one in warned)


@pytest.mark.parametrize("days", [0, 6, 13.9])
def test_a_schedule_is_silent_after_two_periods_and_not_before(days: float) -> None:
    assert found(schedules=ran(days)) == []
    assert found(schedules=ran(days + 14.1)) != []


@pytest.mark.parametrize("value", ["off", "false", "OFF", "False"])
def test_a_schedule_that_is_switched_off_may_be_silent(value: str) -> None:
    assert found(schedules=ran(99), variables={"SCHEDULES": value}) == []


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        ({"allowed_actions": "all"}, []),
        ({}, []),
        (
            {"allowed_actions": "local_only"},
            ["release.yml: actions/checkout", "scorecard.yml: actions/checkout"],
        ),
        (
            {"allowed_actions": "selected", "github_owned_allowed": True},
            ["scorecard.yml: ossf/scorecard-action"],
        ),
        (
            {
                "allowed_actions": "selected",
                "github_owned_allowed": True,
                "patterns_allowed": ["ossf/*"],
            },
            [],
        ),
        (
            {
                "allowed_actions": "selected",
                "github_owned_allowed": True,
                "verified_allowed": True,
            },
            [],
        ),
        (
            {
                "allowed_actions": "selected",
                "github_owned_allowed": True,
                "verified_allowed": True,
                "patterns_allowed": ["OSSF/*", "!ossf/scorecard-action@*"],
            },
            ["scorecard.yml: ossf/scorecard-action"],
        ),
        (
            {
                "allowed_actions": "selected",
                "patterns_allowed": ["actions/checkout@*", "ossf/scorecard-action@*"],
            },
            [],
        ),
        ({"allowed_actions": "all", "sha_pinning_required": True}, []),
    ],
)
def test_a_policy_refuses_whole_workflows(
    policy: dict[str, Any], refused: list[str]
) -> None:
    assert refused_actions(FILES, policy) == refused
    names = [one.name for one in found(policy=policy)]
    assert names == (["actions policy"] if refused else [])


def test_a_policy_that_demands_commits_refuses_what_names_a_tag() -> None:
    files = WorkflowFiles(
        actions={
            "own.yml": frozenset({"acme/shared/.github/workflows/x.yml@v1", CHECKOUT}),
            "release.yml": frozenset({CHECKOUT}),
        }
    )
    policy = {"allowed_actions": "all", "sha_pinning_required": True}
    (one,) = refused_actions(files, policy)
    assert one.startswith("own.yml: acme/shared/.github/workflows/x.yml")
    assert "not pinned" in one
    assert refused_actions(files, {"allowed_actions": "all"}) == []


def test_what_an_action_of_the_repository_uses_is_under_the_policy_too(
    tmp_path: Path,
) -> None:
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "own.yml").write_text(
        "on: push\njobs: {a: {steps: [{uses: ./.github/actions/one}]}}\n"
    )
    for name, used in (("one", "./.github/actions/two"), ("two", "acme/x@v1")):
        folder = tmp_path / ".github" / "actions" / name
        folder.mkdir(parents=True)
        steps = f"[{{uses: {used}}}, {{uses: ./.github/actions/one}}]"
        (folder / "action.yml").write_text(
            f"runs: {{using: composite, steps: {steps}}}\n"
        )
    files = read_workflow_files(tmp_path)
    assert files.actions == {"own.yml": frozenset({"acme/x@v1"})}
    generated = read_workflow_files(ENGINE).actions["release.yml"]
    assert any(one.startswith("actions/setup-python@") for one in generated)


@pytest.mark.parametrize(
    ("cron", "days"),
    [("41 5 * * *", 1), ("23 3 * * 1", 7), ("11 4 1 * *", 31), ("1 2 3 4 *", 366)],
)
def test_the_period_of_a_schedule(cron: str, days: int) -> None:
    assert period_of(cron) == timedelta(days=days)


def test_the_generated_workflows_are_read_whole() -> None:
    files = read_workflow_files(ENGINE)
    assert {"release.yml", "settings.yml"} == files.branches.keys()
    assert all(named == ("main",) for named in files.branches.values())
    assert files.crons["monitor.yml"] == "41 5 * * *"
    assert files.crons.keys() >= {"release.yml", "reproduce.yml", "lock.yml"}
    strangers = {
        name
        for name, actions in files.actions.items()
        if any(one.split("/")[0] not in ("actions", "github") for one in actions)
    }
    assert strangers == {"scorecard.yml"}


# ----- on the hub


@pytest.fixture(name="desk")
def desk_fixture(tmp_path: Path) -> Iterator[Desk]:
    """Return a repository with the generated workflows, and its administrator."""
    with desk_of(tmp_path) as desk:
        settled(desk)
        yield desk


def settled(desk: Desk, **permissions: str) -> None:
    """Put the generated workflows into a repository, and into its first commit."""
    shutil.copytree(
        ENGINE / ".github" / "workflows", desk.root / ".github" / "workflows"
    )
    owners = desk.root / ".github" / "CODEOWNERS"
    owners.write_text("* @acme\n/project.yaml @acme @acme/ml @dora\n", encoding="utf-8")
    publish(desk)
    desk.token({**ADMINISTERS, **permissions})


def publish(desk: Desk) -> None:
    """Commit what is here, and put it on the hub."""
    if not (desk.root / ".git").is_dir():
        git(desk.root, "init", "-q", "-b", "main")
    git(desk.root, "add", "-A")
    git(desk.root, "commit", "-qm", "Change")
    git(desk.root, "push", "-q", "-f", str(desk.hub.origin), "HEAD:refs/heads/main")


def doctor(desk: Desk) -> dict[str, Any]:
    """Return what doctor found at GitHub."""
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert "defect of mlops" not in done.output, done.output
    (row,) = [r for r in json.loads(done.stdout) if r["check"] == "GitHub"]
    return dict(row)


def test_doctor_asks_github_who_owns_code(desk: Desk) -> None:
    desk.said("apply", code=0)
    row = doctor(desk)
    assert row["ok"] is False
    wrong = ".github/CODEOWNERS line 2: Unknown owner"
    assert row["found"].count(wrong) == 2  # a team and a person that nobody knows
    assert SWITCHES["code owners"].remedy in row["found"]
    desk.hub.state.teams["acme/ml"] = "write"
    desk.hub.state.collaborators["dora"] = "read"
    assert doctor(desk)["found"].count(wrong) == 1  # who only reads is nobody
    desk.hub.state.collaborators["dora"] = "write"
    assert doctor(desk) == {
        "check": "GitHub",
        "ok": True,
        "looks_at": "What the workflows need on GitHub is switched on.",
        "found": "",
    }
    desk.hub.state.of_organization = True
    assert doctor(desk)["found"].count("Unknown owner") == 2  # both lines name it


def test_what_the_hub_finds_wrong_in_a_file_is_what_github_would(desk: Desk) -> None:
    owners = desk.root / ".github" / "CODEOWNERS"
    owners.write_text("!a @acme\nb acme\n\n# c @nobody\nd @acme x@example.org\n")
    publish(desk)
    row = doctor(desk)
    assert "line 1: Invalid pattern" in row["found"]
    assert "line 2: Invalid owner" in row["found"] and "line 4" not in row["found"]
    assert "line 5" not in row["found"]
    owners.unlink()
    publish(desk)
    assert "CODEOWNERS line" not in doctor(desk)["found"]  # 404: there is no file


def test_lists_are_read_to_their_end(desk: Desk) -> None:
    """GitHub shows 30 variables, or 100 labels, at a time, whatever one asks for."""
    (desk.root / ".github" / "CODEOWNERS").write_text("* @acme\n")
    publish(desk)
    desk.said("apply", code=0)
    state = desk.hub.state
    for number in range(70):
        name = f"A{number:02}"
        variable = state.stamped({"name": name, "value": "x"})
        state.variables[name] = {k: v for k, v in variable.items() if k != "id"}
    for number in range(120):
        label = {"id": 1000 + number, "color": "ffffff", "description": None}
        state.labels[f"a{number:03}"] = label
    assert doctor(desk)["ok"], doctor(desk)["found"]  # its labels come last
    assert desk.differs() == []  # and so does SCHEDULES
    state.variables["RUNNER"] = {**state.variables["A00"], "name": "RUNNER"}
    assert "RUNNER is x" in doctor(desk)["found"]


def test_variables_of_the_organisation_count_and_the_repositorys_come_first(
    desk: Desk,
) -> None:
    """A label of a machine is mostly set once for the whole organisation."""
    state = desk.hub.state
    state.of_organization = True

    def variable(name: str, value: str) -> dict[str, Any]:
        made = state.stamped({"name": name, "value": value, "visibility": "all"})
        made["selected_repositories_url"] = f"{desk.hub.view.api}/x"
        return {key: text for key, text in made.items() if key != "id"}

    for number in range(35):
        name = f"A{number}"
        state.organization_variables[name] = variable(name, "x")
    state.organization_variables["RUNNER"] = variable("RUNNER", "gpu-box")
    assert "RUNNER is gpu-box" in doctor(desk)["found"]
    state.variables["RUNNER"] = variable("RUNNER", "ubuntu-latest")
    assert "gpu-box" not in doctor(desk)["found"]


def test_the_first_hour_is_one_list_in_order_and_then_it_is_over(desk: Desk) -> None:
    state = desk.hub.state
    state.repository["has_issues"] = False
    state.actions.update(allowed_actions="selected")
    (desk.root / ".github" / "CODEOWNERS").write_text("* @acme\n")
    publish(desk)
    lines = doctor(desk)["found"].splitlines()
    order = ("actions policy", "Issues", "settings", "Pages")
    assert [line.split(" (")[0].split(": ")[0] for line in lines] == [
        SWITCHES[name].effect.split(": ")[0] for name in order
    ]
    assert "scorecard.yml: ossf/scorecard-action" in lines[0]

    text = desk.run("apply").output
    assert text.count("Still to be switched on, in this order") == 1
    assert text.index("1. the policy on actions") < text.index("2. Issues are")
    assert "Pages is not switched on" not in text  # `apply` has done that
    state.repository["has_issues"] = True
    state.selected_actions["patterns_allowed"] = ["ossf/scorecard-action@*"]
    assert doctor(desk)["found"] == "" and doctor(desk)["ok"]
    assert "Still to be switched on" not in desk.run("apply").output


def test_a_push_says_what_is_missing_once_and_a_schedule_too(
    desk: Desk, tmp_path: Path
) -> None:
    """settings.yml runs `apply` and `plan --issue`; a schedule the second alone."""
    desk.hub.state.repository["has_issues"] = False
    desk.patch.setenv("GITHUB_ACTIONS", "true")
    rights = {"actions": "read", "contents": "read", "issues": "write", "pages": "read"}
    for event, commands in (
        ("push", (["apply"], ["plan", "--issue"])),
        ("schedule", (["plan", "--issue"],)),
    ):
        summary = tmp_path / f"summary-{event}"
        desk.patch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        desk.patch.setenv("GITHUB_EVENT_NAME", event)
        desk.token(rights, kind="GITHUB_TOKEN")
        for command in commands:
            desk.run(*command)
        text = summary.read_text(encoding="utf-8")
        assert text.count("Still to be switched on") == 1
        assert text.count(SWITCHES["Issues"].remedy) == 1
        assert "Not seen: the policy on actions, variables" in text


def test_a_schedule_that_github_switched_off_is_named(desk: Desk) -> None:
    (desk.root / ".github" / "CODEOWNERS").write_text("* @acme\n")
    publish(desk)
    desk.said("apply", code=0)
    assert doctor(desk)["ok"]
    state = desk.hub.state
    state.variables.clear()  # SCHEDULES=off
    long_ago = {"created_at": "2026-01-01T00:00:00Z"}
    state.workflows["release.yml"] = dict(long_ago)
    row = doctor(desk)
    assert row["ok"] is False and row["found"].count(".yml") == 1 + row["found"].count(
        "pages.yml"
    )
    assert "release.yml is due every 7 days and has not run since 2026-01-01" in str(
        row["found"]
    )
    desk.hub.runs.register(77, "release", {}, event="schedule")
    assert "release.yml" not in doctor(desk)["found"]
    state.workflows["monitor.yml"] = {"state": "disabled_inactivity"}
    assert "monitor.yml is disabled by inactivity" in doctor(desk)["found"]


def test_a_token_that_sees_little_says_what_it_cannot_see(desk: Desk) -> None:
    (desk.root / ".github" / "CODEOWNERS").write_text("* @acme\n")
    publish(desk)
    desk.said("apply", code=0)
    desk.token({"contents": "read", "issues": "read"})
    row = doctor(desk)
    assert row["ok"] and row["found"].startswith("this token may not see: ")
    for name in ("the policy on actions", "Pages", "variables", "scheduled runs"):
        assert name in row["found"]


def test_doctor_says_when_github_cannot_be_asked(desk: Desk) -> None:
    desk.patch.setenv("GITHUB_TOKEN", "ghp_gone")
    row = doctor(desk)
    assert row["ok"] and "GitHub answered 401" in row["found"]


def test_doctor_asks_a_bounded_number_of_things(desk: Desk) -> None:
    """Nine where every schedule ran lately; one more for each that did not."""
    hub: Hub = desk.hub
    crons = read_workflow_files(desk.root).crons
    for number, file in enumerate(crons, start=70):
        hub.runs.register(number, file.removesuffix(".yml"), {}, event="schedule")
    with hub.counting() as requests:
        doctor(desk)
    assert requests.total() <= 10  # with one of the registry
    hub.state.runs.clear()
    with hub.counting() as more:
        doctor(desk)
    assert more.total() == requests.total() + len(crons)


# ----- the token of the job that proposes retrainings


def test_a_proposal_without_its_token_is_named_with_the_models() -> None:
    (one,) = found(has_update_token=False, proposing=("churn", "orders"))
    assert one.name == "UPDATE_TOKEN" and not one.blocks
    assert "`monitor.on_alarm` is `propose`: churn, orders" in one.text()
    assert "the secret UPDATE_TOKEN of the environment `upkeep`" in one.text()
    assert found(has_update_token=True, proposing=("churn",)) == []
    assert found(has_update_token=False) == [], "nobody proposes"
    assert found(has_update_token=None, proposing=("churn",)) == [], "not shown"


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"/environments/upkeep/secrets": ["UPDATE_TOKEN"]}, True),
        ({"/environments/upkeep/secrets": ["OTHER"]}, False),
        ({"/actions/secrets": ["UPDATE_TOKEN"]}, True),
        ({"/actions/organization-secrets": ["UPDATE_TOKEN"]}, True),
        ({"/environments/upkeep/secrets": 404}, False),
        ({"/actions/secrets": 403}, None),
        ({"/environments/upkeep/secrets": 403}, None),
    ],
)
def test_the_names_of_the_secrets_that_a_job_of_upkeep_has(
    monkeypatch: pytest.MonkeyPatch, lists: dict[str, Any], expected: bool | None
) -> None:
    def listed_by(_repository: Any, path: str, key: str) -> list[dict[str, str]]:
        assert key == "secrets"
        names = lists.get(path, [])
        if isinstance(names, int):
            raise Denied(names, "no")
        return [{"name": name} for name in names]

    monkeypatch.setattr("mlops.github.repo_facts.send_for_list", listed_by)
    hub: Any = None
    reader = _FactReader(hub, of_organization=True)
    assert reader.look("names of secrets", reader.has_update_token) is expected
    assert bool(reader.unseen) is (expected is None)


def test_only_models_whose_alarm_proposes_are_asked_about(
    make_project: Callable[..., Project],
) -> None:
    assert proposing(make_project(monitor={"on_alarm": "propose"})) == ["churn"]


def test_a_model_that_does_not_propose_needs_no_token(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    assert proposing(project) == []
    (project.folder("churn") / "model.yaml").write_text("task: [")
    assert proposing(Project(project.root)) == []

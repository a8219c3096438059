"""Settings as code: differences are reported and fixed, a refusal stops nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.github import how_to_set
from mlops.cli.main import app
from mlops.github.repo_settings import covers
from rehearsal.hub import Hub
from rehearsal.hub.git import ZERO, Update
from rehearsal.hub.identity import Caller
from rehearsal.hub.rules import refusal, rules_of

from .conftest import ENGINE

PROJECT = (
    'name: demo\nowner: "@acme"\n'
    "stages: [{name: staging}, {name: production, after: staging"
)
NAMED = {  # the token that the message asks for
    "administration": "write",
    "issues": "write",
    "pages": "write",
    "variables": "write",
    "actions": "read",
}
EVERYTHING = [
    *("label model-alarm", "label settings-drift", "label template-update"),
    "label lock-update",
    *("variable SCHEDULES", "immutable releases", "pages"),
    *("environment staging", "environment production", "reviewers of production"),
    *("environment upkeep", "ruleset main", "ruleset review", "ruleset registry"),
    "ruleset journal",
]


class Desk:
    """A repository on the hub, its files here, and somebody with a token."""

    def __init__(self, hub: Hub, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.hub, self.root, self.patch = hub, root, patch
        (root / ".github").mkdir()
        shutil.copy(ENGINE / ".github" / "settings.yaml", root / ".github")
        self.edit("variables: {}", "variables: {SCHEDULES: off}")
        self.approvers("@ana")
        hub.tokens.issue("write-all", actor="ana", kind="user")
        hub.state.collaborators["ana"] = "write"
        for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "SETTINGS_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("GITHUB_REPOSITORY", hub.repository)
        patch.setenv("GITHUB_API_URL", hub.api_url)
        patch.setenv("MLOPS_RETRY_SECONDS", "0.001")
        patch.chdir(root)
        self.token(NAMED)

    def token(
        self, permissions: Any, kind: Any = "user", variable: str = "GITHUB_TOKEN"
    ) -> None:
        token = self.hub.tokens.issue(permissions, actor="alice", kind=kind)
        self.patch.setenv(variable, token)

    def edit(self, old: str, new: str) -> None:
        path = self.root / ".github" / "settings.yaml"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")

    def approvers(self, *names: str) -> None:
        text = f"{PROJECT}, approvers: {json.dumps(names)}}}]\n"
        (self.root / "project.yaml").write_text(text, encoding="utf-8")

    def run(self, command: str, *options: str) -> Result:
        done = CliRunner().invoke(app, ["github", command, *options])
        assert "defect of mlops" not in done.output, done.output
        return done

    def said(self, command: str, code: int) -> dict[str, tuple[str, str]]:
        done = self.run(command, "--json")
        assert done.exit_code == code, done.output
        return {
            row["what"]: (row["result"], row["said"]) for row in json.loads(done.stdout)
        }

    def differs(self) -> list[str]:
        done = self.run("plan", "--json")
        return [
            row["what"] for row in json.loads(done.stdout) if row["result"] == "differs"
        ]

    def written(self) -> list[str]:
        asked = [
            f"{one.method} {one.path}"
            for one in self.hub.exchanges
            if one.method != "GET"
        ]
        self.hub.exchanges.clear()
        return [line.replace("/repos/acme/demo", "") for line in asked]


@contextmanager
def desk_of(root: Path, **about: Any) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch, Hub(root / "hub", **about) as hub:
        (root / "work").mkdir()
        yield Desk(hub, root / "work", patch)


@pytest.fixture(name="desk")
def desk_fixture(tmp_path: Path) -> Iterator[Desk]:
    with desk_of(tmp_path) as desk:
        yield desk


# ----- plan, apply, plan


def test_everything_is_made_once(desk: Desk) -> None:
    assert list(desk.said("plan", code=1)) == EVERYTHING
    assert desk.written() == []
    assert set(desk.said("apply", code=0).values()) == {("done", "")}
    state = desk.hub.state
    assert {r["name"] for r in state.rulesets.values()} == {
        "main",
        "review",
        "registry",
        "journal",
    }
    assert (state.pages, state.immutable_releases) == ({"build_type": "workflow"}, True)
    assert state.variables["SCHEDULES"]["value"] == "off"
    assert state.labels["model-alarm"]["color"] == "d73a4a"
    production = state.environments["production"]
    assert [rule["id"] for rule in production["reviewers"]] == [
        desk.hub.view.user("ana")["id"]
    ]
    assert (
        production["prevent_self_review"] is False
    )  # else a sole approver could not act
    assert [policy["name"] for policy in production["policies"]] == ["main"]
    desk.written()
    assert desk.said("plan", code=0) == desk.said("apply", code=0) == {}
    assert desk.written() == []
    assert "The settings match the file." in desk.run("plan").output


def test_the_run_log_only_grows_once_the_settings_are_applied(desk: Desk) -> None:
    desk.said("apply", code=0)
    state = desk.hub.state
    ref = "refs/heads/journal"
    assert {rule["type"] for rule in rules_of(state, ref)} == {
        "deletion",
        "non_fast_forward",
    }
    caller = Caller("ana", "user", {"contents": "write"})
    gone = refusal(state, [Update(ref, "1" * 40, ZERO)], caller)
    assert "Cannot delete ref" in gone
    for old, new in ((ZERO, "1" * 40), ("1" * 40, "2" * 40)):
        assert refusal(state, [Update(ref, old, new)], caller) == ""
    of(state, "journal")["rules"].pop()
    assert desk.differs() == ["ruleset journal"]


def test_settings_that_are_applied_before_the_first_push_let_it_make_the_branch(
    desk: Desk,
) -> None:
    """No commit of it can have passed a check yet; later ones need their verdict."""
    desk.said("apply", code=0)
    state = desk.hub.state
    caller = Caller("ana", "user", {"contents": "write"})
    first = Update("refs/heads/main", ZERO, "1" * 40)
    assert refusal(state, [first], caller) == ""
    again = Update("refs/heads/main", "1" * 40, "2" * 40)
    assert "through a pull request" in refusal(state, [again], caller)
    (demanded,) = (
        rule["parameters"]
        for rule in of(state, "main")["rules"]
        if rule["type"] == "required_status_checks"
    )
    demanded["do_not_enforce_on_create"] = False
    assert "Required status checks" in refusal(state, [first], caller)
    assert desk.differs() == ["ruleset main"]


def test_who_starts_a_run_can_be_kept_from_approving_it(desk: Desk) -> None:
    desk.edit("prevent_self_review: false", "prevent_self_review: true")
    desk.hub.state.collaborators["ben"] = "write"
    desk.approvers("@ana", "@ben")
    desk.said("apply", code=0)
    production = desk.hub.state.environments["production"]
    assert production["prevent_self_review"] is True
    assert len(production["reviewers"]) == 2
    assert desk.said("plan", code=0) == {}
    production["prevent_self_review"] = False
    assert desk.differs() == ["reviewers of production"]
    desk.said("apply", code=0)
    assert production["prevent_self_review"] is True


def test_without_approvers_nobody_can_be_kept_from_approving(desk: Desk) -> None:
    desk.edit("prevent_self_review: false", "prevent_self_review: true")
    desk.approvers()
    done = desk.run("apply")
    assert done.exit_code == 2 and desk.hub.exchanges == []
    assert "environments.production.prevent_self_review" in done.output
    assert "the stage names no approvers" in done.output


def test_a_team_cannot_approve_and_it_says_why(desk: Desk) -> None:
    desk.approvers("@ana", "@acme/ml-leads")
    done = desk.run("plan")
    assert done.exit_code == 2 and desk.hub.exchanges == []
    assert "project.yaml" in done.output and "@acme/ml-leads" in done.output
    assert "a team cannot approve" in done.output
    assert "list those of the team" in done.output


def test_what_is_not_named_is_left_alone(desk: Desk) -> None:
    desk.said("apply", code=0)
    state = desk.hub.state
    state.environments["production"] |= {"wait_timer": 30}
    state.environments["preview"] = state.stamped({"name": "preview", "policies": []})
    state.labels["bug"] = {"id": 7, "color": "ffffff", "description": None}
    state.variables["OWN"] = {"name": "OWN", "value": "x", "created_at": state.now()}
    state.variables["OWN"]["updated_at"] = state.now()
    (review,) = (r for r in state.rulesets.values() if r["name"] == "review")
    review["rules"][0]["parameters"]["required_review_thread_resolution"] = False
    review["rules"][0]["parameters"]["allowed_merge_methods"] = ["squash"]
    review["enforcement"] = "disabled"
    state.environments["production"]["policies"].clear()
    assert desk.differs() == ["environment production", "ruleset review"]
    desk.said("apply", code=0)
    assert state.environments["production"]["wait_timer"] == 30
    assert state.environments["production"]["reviewers"]
    assert {"preview"} < set(state.environments) and {"bug"} < set(state.labels)
    assert review["enforcement"] == "active"
    assert review["rules"][0]["parameters"]["allowed_merge_methods"] == ["squash"]
    assert "OWN" in state.variables and desk.differs() == []
    text = (desk.root / ".github" / "settings.yaml").read_text(encoding="utf-8")
    (desk.root / ".github" / "settings.yaml").write_text(
        "labels: {}\n", encoding="utf-8"
    )
    assert desk.said("plan", code=0) == {} and "rulesets" in text


def of(state: Any, name: str) -> Any:
    return next(
        ruleset for ruleset in state.rulesets.values() if ruleset["name"] == name
    )


# What somebody changes by hand, and what the plan calls it.
DRIFT: dict[str, tuple[Callable[[Any], object], str]] = {
    "check": (lambda s: of(s, "main")["rules"].pop(), "ruleset main"),
    "more rules": (
        lambda s: of(s, "main")["rules"].append({"type": "update"}),
        "ruleset main",
    ),
    "bypass": (
        lambda s: of(s, "main")["bypass_actors"].append(
            {"actor_type": "Team", "actor_id": 1, "bypass_mode": "always"}
        ),
        "ruleset main",
    ),
    "asleep": (
        lambda s: of(s, "registry").update(enforcement="disabled"),
        "ruleset registry",
    ),
    "refs": (
        lambda s: of(s, "registry")["conditions"]["ref_name"]["include"].pop(),
        "ruleset registry",
    ),
    "ruleset": (lambda s: s.rulesets.pop(min(s.rulesets)), "ruleset main"),
    "label": (
        lambda s: s.labels["model-alarm"].update(color="000000"),
        "label model-alarm",
    ),
    "pages": (lambda s: s.pages.update(build_type="legacy"), "pages"),
    "no pages": (lambda s: setattr(s, "pages", None), "pages"),
    "immutable": (
        lambda s: setattr(s, "immutable_releases", False),
        "immutable releases",
    ),
    "token": (
        lambda s: s.workflow_permissions.update(default_workflow_permissions="write"),
        "permissions of workflows",
    ),
    "approve": (
        lambda s: s.workflow_permissions.update(can_approve_pull_request_reviews=True),
        "permissions of workflows",
    ),
    "branch": (
        lambda s: s.environments["upkeep"]["policies"].append(
            {"id": 5, "node_id": "x", "name": "*", "type": "branch"}
        ),
        "environment upkeep",
    ),
    "any branch": (
        lambda s: s.environments["upkeep"].update(
            deployment_branch_policy=None, policies=[]
        ),
        "environment upkeep",
    ),
    "environment": (lambda s: s.environments.pop("staging"), "environment staging"),
    "reviewer": (
        lambda s: s.environments["production"].update(reviewers=[]),
        "reviewers of production",
    ),
    "own review": (
        lambda s: s.environments["production"].update(prevent_self_review=True),
        "reviewers of production",
    ),
    "variable": (
        lambda s: s.variables["SCHEDULES"].update(value="on"),
        "variable SCHEDULES",
    ),
}


def rounds() -> list[list[str]]:
    """Return the changes in groups that touch each thing once."""
    groups: list[list[str]] = []
    for name, (_, what) in DRIFT.items():
        fits = (g for g in groups if what not in [DRIFT[n][1] for n in g])
        group = next(fits, None)
        if group is None:
            groups.append(group := [])
        group.append(name)
    return groups


def test_drift_of_every_kind_is_seen_and_mended(desk: Desk) -> None:
    desk.said("apply", code=0)
    for names in rounds():
        for name in names:
            DRIFT[name][0](desk.hub.state)
        touched = sorted(DRIFT[name][1] for name in names)
        assert sorted(desk.differs()) == touched
        rows = desk.said("apply", code=0)
        assert sorted(rows) == touched and set(rows.values()) == {("done", "")}
    assert desk.differs() == []


# ----- who may


def test_the_token_that_is_asked_for_is_just_enough(desk: Desk) -> None:
    assert all(word in how_to_set().lower() for word in NAMED)
    desk.said("apply", code=0)
    for lost, name in {
        "administration": "immutable",
        "issues": "label",
        "pages": "pages",
        "variables": "variable",
    }.items():
        change, what = DRIFT[name]
        change(desk.hub.state)
        desk.token({**NAMED, lost: "read"})
        result, said = desk.said("apply", code=3)[what]
        assert result == "refused" and f"{lost}" in said and "403" in said
    del desk.hub.state.labels["settings-drift"]
    desk.token({key: value for key, value in NAMED.items() if key != "actions"})
    done = desk.run("apply")
    assert done.exit_code == 3 and "label settings-drift" in done.output
    assert "not seen" in done.output and "needs actions=read" in done.output
    assert "as the secret `SETTINGS_TOKEN` of the environment `upkeep`" in done.output
    desk.token(NAMED)
    assert desk.said("plan", code=0) == {}


def test_a_job_without_the_secret_looks_and_changes_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    desk.patch.setenv("GITHUB_ACTIONS", "true")
    desk.patch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    seen = {"actions": "read", "issues": "write", "pages": "read", "contents": "read"}
    desk.token(seen, kind="GITHUB_TOKEN")
    done = desk.run("apply")
    assert done.exit_code == 0 and desk.written() == []
    text = (tmp_path / "summary").read_text(encoding="utf-8")
    assert "ruleset main: differs" in text and "Nothing was changed." in text
    assert "administration=read" in text  # what it cannot see, and why
    assert "[a fine-grained token](https://github.com/" in text
    assert desk.run("plan").exit_code == 1

    desk.token(NAMED, variable="SETTINGS_TOKEN")
    assert desk.run("apply").exit_code == 0
    assert desk.differs() == [] and "PUT /immutable-releases" in desk.written()
    desk.patch.delenv("SETTINGS_TOKEN")
    assert (
        desk.run("plan").exit_code == 3
    )  # all that it sees is well, and it does not see all


def test_a_token_that_is_not_valid_is_one_error(desk: Desk) -> None:
    desk.patch.setenv("GITHUB_TOKEN", "ghp_gone")
    done = desk.run("apply")
    assert done.exit_code == 3 and done.output.count("error:") == 1
    assert "401" in done.output and "a token that is valid" in done.output


# ----- plans


def test_a_private_repository_of_the_free_plan_hears_what_holds_instead(
    tmp_path: Path,
) -> None:
    with desk_of(tmp_path, private=True) as desk:
        lacking = [
            "pages",
            *(w for w in EVERYTHING if w.split()[0] in ("ruleset", "reviewers")),
        ]
        lacking += [
            f"environment {name}" for name in ("staging", "production", "upkeep")
        ]
        rows = desk.said("plan", code=1)
        assert [w for w, (result, _) in rows.items() if result == "differs"] == [
            w for w in EVERYTHING if w not in lacking
        ]
        for command in ("apply", "plan"):
            rows = desk.said(command, code=0)
            missing = {
                w: said for w, (result, said) in rows.items() if result != "done"
            }
            assert sorted(missing) == sorted(lacking)
            assert {rows[what][0] for what in missing} == {"not in this plan"}
            assert (
                "checks the approvers of project.yaml"
                in missing["reviewers of production"]
            )
            assert "delivers nothing that its gate refuses" in missing["ruleset main"]
            assert "keep no secret in it" in missing["environment upkeep"]
            assert "can rewrite the run log" in missing["ruleset journal"]
        assert desk.hub.state.immutable_releases and desk.hub.state.labels


def test_environments_of_the_free_plan_may_only_not_be_found(tmp_path: Path) -> None:
    """GitHub need not say that it is the plan."""
    with desk_of(tmp_path, private=True) as desk:
        desk.hub.faults.add("GET", "*/environments", 404, times=99)
        desk.hub.faults.add("PUT", "*/environments/*", 404, times=99)
        for command in ("apply", "plan"):
            rows = desk.said(command, code=0)
            names = [
                f"environment {name}" for name in ("staging", "production", "upkeep")
            ]
            results = [rows[what][0] for what in (*names, "reviewers of production")]
            assert results == ["not in this plan"] * 4
            assert "keep no secret in it" in rows["environment upkeep"][1]

        desk.token(
            {**NAMED, "administration": "read"}
        )  # that is not the plan, and is said
        desk.hub.faults.clear()
        result, said = desk.said("apply", code=3)["environment upkeep"]
        assert result == "refused" and "administration" in said


def test_a_private_repository_of_a_team_lacks_reviewers_alone(tmp_path: Path) -> None:
    with desk_of(tmp_path, private=True, plan="team") as desk:
        rows = desk.said("apply", code=0)
        assert [w for w, row in rows.items() if row[0] != "done"] == [
            "reviewers of production"
        ]
        assert list(desk.said("plan", code=0)) == ["reviewers of production"]


def test_reviewers_are_drift_where_the_plan_shows_that_it_has_them(
    tmp_path: Path,
) -> None:
    with desk_of(tmp_path, private=True, plan="enterprise") as desk:
        desk.approvers("@ana", "bob ")
        desk.hub.state.collaborators["bob"] = "write"
        assert desk.said("apply", code=0)["reviewers of production"] == ("done", "")
        ids = [
            one["id"] for one in desk.hub.state.environments["production"]["reviewers"]
        ]
        assert ids == [desk.hub.view.user(login)["id"] for login in ("ana", "bob")]
        desk.approvers("@ana")
        assert desk.differs() == ["reviewers of production"]


# ----- what goes wrong


def test_all_mistakes_of_the_file_at_once(desk: Desk) -> None:
    desk.edit("color: fbca04", "color: amber")
    desk.edit("target: tag", "target: tags")
    desk.edit("pages: workflow", "page: workflow")
    desk.edit("SCHEDULES: off", "git-x: 1")
    desk.edit("  staging:\n    branches", "  staging:\n    brnches")
    done = desk.run("apply")
    assert done.exit_code == 2 and desk.hub.exchanges == []
    for key in (
        "labels.settings-drift.color",
        "rulesets.registry.target",
        "page",
        "git-x",
    ):
        assert f".github/settings.yaml: {key}" in done.output or key in done.output
    assert (
        "did you mean `pages`?" in done.output
        and "did you mean `branches`?" in done.output
    )


def test_failures_that_pass_and_answers_that_are_lost(desk: Desk) -> None:
    for path, done_first in (
        ("*/rulesets", False),
        ("*/labels", False),
        ("*/pages", True),
    ):
        desk.hub.faults.add("POST", path, 502, done_first=done_first)
    desk.hub.faults.add("GET", "*/environments", 429)
    desk.run("apply")  # a lost yes is a no the second time: it is there already
    assert desk.said("apply", code=0) == {} and desk.differs() == []


def test_killed_half_way_the_next_run_goes_on(desk: Desk) -> None:
    desk.hub.faults.add("POST", "*/environments/production/*", 500, times=4)
    done = desk.run("apply")
    assert done.exit_code == 3 and "GitHub answered 500" in done.output
    assert desk.differs()[0] == "environment production"
    rows = desk.said("apply", code=0)
    assert next(iter(rows)) == "environment production" and len(rows) < len(EVERYTHING)
    assert desk.differs() == []


def test_a_rule_that_github_refuses_stops_no_other(desk: Desk) -> None:
    desk.edit("      update: {}", "      upgrade_me: {}")
    rows = desk.said("apply", code=3)
    assert rows["ruleset registry"][0] == "refused"
    assert rows["ruleset review"] == rows["label model-alarm"] == ("done", "")
    assert desk.hub.violations and not desk.hub.violations.clear()


def test_nobody_of_that_name_approves(desk: Desk, tmp_path: Path) -> None:
    desk.approvers("@ana", "@nobody")
    desk.hub.faults.add("GET", "*/collaborators/nobody/permission", 404, times=2)
    rows = desk.said("apply", code=3)
    assert (
        rows["@nobody"][0] == "not seen"
        and rows["reviewers of production"][0] == "done"
    )


@pytest.mark.parametrize("plan", ["team", "enterprise"])
def test_an_approver_who_may_not_read_a_private_repository_keeps_no_other_out(
    tmp_path: Path, plan: str
) -> None:
    """GitHub refuses all reviewers of an environment for the sake of one."""
    with desk_of(tmp_path, private=True, plan=plan) as desk:
        desk.approvers("@ana", "@mallory")
        rows = desk.said("apply", code=3)
        assert rows["@mallory"][0] == "not seen"
        assert "may not read this repository" in rows["@mallory"][1]
        reviewers = desk.hub.state.environments["production"].get("reviewers") or []
        asked = ["ana"] if plan == "enterprise" else []
        assert [one["id"] for one in reviewers] == [
            desk.hub.view.user(login)["id"] for login in asked
        ]
        desk.hub.state.collaborators["mallory"] = "read"
        assert "@mallory" not in desk.said("apply", code=0)


def test_a_refusal_that_is_only_taken_for_the_plan_is_quoted(tmp_path: Path) -> None:
    with desk_of(tmp_path, private=True, plan="team") as desk:
        desk.said("apply", code=0)
        desk.hub.faults.add("PUT", "*/environments/production", 422)
        result, said = desk.said("apply", code=0)["reviewers of production"]
        assert result == "not in this plan" and "GitHub answered 422" in said


@pytest.mark.parametrize("private", [False, True])
def test_settings_of_an_archived_repository_are_read_and_not_changed(
    tmp_path: Path, private: bool
) -> None:
    """Each request would be refused, and each refusal be taken for the plan's."""
    with desk_of(tmp_path, private=private) as desk:
        desk.hub.state.repository["archived"] = True
        done = desk.run("apply")
        assert done.exit_code == 3 and desk.written() == []
        assert done.output.count("error:") == 1
        assert "the repository is archived" in done.output
        assert "unarchive it (Settings, General, Danger Zone)" in done.output
        assert "not in this plan" not in done.output
        listed = desk.run("plan").output
        assert "1. the repository is archived" in listed
        desk.hub.state.repository["archived"] = False
        desk.said("apply", code=0)


# ----- the issue


def test_one_issue_while_settings_differ(desk: Desk) -> None:
    desk.token(
        {"actions": "read", "issues": "write", "pages": "read"}, kind="GITHUB_TOKEN"
    )
    desk.token(NAMED, variable="SETTINGS_TOKEN")
    issues = desk.hub.state.issues
    assert desk.run("apply").exit_code == 0
    assert desk.run("plan", "--issue").exit_code == 0 and issues == {}

    desk.hub.state.labels["model-alarm"]["description"] = "<b>@everyone</b>"
    assert desk.run("plan", "--issue").exit_code == 0
    (issue,) = issues.values()
    assert (
        issue["labels"] == ["settings-drift"] and "label model-alarm" in issue["body"]
    )
    assert "<b>" not in issue["body"] and "@everyone" not in issue["body"]
    assert "](https://github.com/settings/personal-access-tokens/new)" in issue["body"]
    desk.hub.state.immutable_releases = False
    desk.run("plan", "--issue")
    assert len(issues) == 1 and "immutable releases" in issue["body"]

    desk.token(
        {"issues": "read"}, variable="SETTINGS_TOKEN"
    )  # it sees less: nothing is over
    desk.hub.state.labels["model-alarm"]["description"] = "Data drift was detected"
    desk.run("plan", "--issue")
    assert issue["state"] == "open"

    desk.token(NAMED, variable="SETTINGS_TOKEN")
    desk.run("apply")
    desk.run("plan", "--issue")
    desk.run("plan", "--issue")
    assert issue["state"] == "closed" and len(issues) == 1
    (comment,) = desk.hub.state.comments(issue["number"])
    assert "It is over." in comment["body"]


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": 1}, False),
        ([{"a": 1, "z": 0}, {"a": 2}], [{"a": 2}, {"a": 1}], True),
        ([{"a": 1}], [{"a": 1}, {"a": 1}], False),
        ([1, 2], [1], False),
        (None, [], True),
        (None, {"a": 1}, False),
    ],
)
def test_what_is_covered(found: Any, wanted: Any, same: bool) -> None:
    assert covers(found, wanted) is same

"""The router: `on:` as GitHub reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.event import Event
from rehearsal.inputs import inputs
from rehearsal.patterns import pattern_to_regex, selected
from rehearsal.router import Router


def router(folder: Path, **on: str) -> Router:
    """Write workflows that have these `on:` and nothing else."""
    for name, text in on.items():
        (folder / f"{name}.yml").write_text(
            f"name: {name.title()}\non: {text}\njobs: {{}}\n"
        )
    return Router(folder)


def started(folder: Path, event: Event, **on: str) -> list[str]:
    return [workflow.key for workflow in router(folder, **on).starts(event)]


def pull(
    action: str = "opened", base: str = "main", *files: str, kind: Any = "user"
) -> Event:
    payload = {
        "action": action,
        "pull_request": {"base": {"ref": base}, "head": {"ref": "x"}},
    }
    return Event(
        "pull_request",
        payload,
        "refs/pull/1/merge",
        changed_files=files,
        token_kind=kind,
    )


def push(ref: str, *files: str, **payload: Any) -> Event:
    return Event("push", payload, ref, changed_files=files)


# The examples of GitHub's "filter pattern cheat sheet", and their opposites.
@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("feature/*", ["feature/a", "feature/your-branch"], ["feature/a/b", "feature"]),
        ("feature/**", ["feature/a", "feature/a/b"], ["features"]),
        ("main", ["main"], ["maintenance", "a/main"]),
        ("*", ["main", "releases"], ["all/the/branches"]),
        ("**", ["main", "all/the/branches"], []),
        ("*feature", ["mona-feature", "feature"], ["feature-x", "a/feature"]),
        ("v2*", ["v2", "v2.0", "v2.9"], ["v1", "a/v2"]),
        ("v[12].[0-9]+.[0-9]+", ["v1.10.1", "v2.0.0"], ["v3.0.0", "v1.x.0", "v1a0.0"]),
        ("*.jsx?", ["page.js", "page.jsx"], ["page.j", "a/page.js"]),
        ("**.js", ["index.js", "js/index.js", "src/js/app.js"], ["app.jsx"]),
        ("docs/*", ["docs/README.md"], ["docs/a/b.md", "docs"]),
        (
            "docs/**/*.md",
            ["docs/README.md", "docs/a/b/c.md"],
            ["README.md", "docs/a.txt"],
        ),
        ("**/docs/**", ["docs/hello.md", "dir/docs/my-file.txt"], ["docs", "mydocs/a"]),
        ("**/README.md", ["README.md", "js/README.md"], ["README.mdx", "MYREADME.md"]),
        ("**/*src/**", ["a/src/app.js", "my-src/code/js/app.js"], ["src"]),
        (
            "**/migrate-*.sql",
            ["migrate-10909.sql", "db/sept/migrate-v1.sql"],
            ["db/x.sql"],
        ),
        ("employment@v*", ["employment@v1.2.0"], ["employment#production#7"]),
        (r"v1\+", ["v1+"], ["v11", "v1"]),
    ],
)
def test_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    regex = pattern_to_regex(pattern)
    assert [name for name in [*yes, *no] if regex.fullmatch(name)] == yes


def test_the_last_pattern_that_matches_decides() -> None:
    patterns = ["releases/**", "!releases/**-alpha", "releases/9-alpha"]
    assert selected(patterns, "releases/10")
    assert not selected(patterns, "releases/10-alpha")
    assert selected(patterns, "releases/9-alpha")
    assert not selected(["!main"], "other")


@pytest.mark.parametrize(
    "on", ["push", "[push, fork]", "{push: }", "{push: {branches: [main]}}"]
)
def test_on_in_every_form(tmp_path: Path, on: str) -> None:
    assert started(tmp_path, push("refs/heads/main"), one=on) == ["one"]


@pytest.mark.parametrize(
    ("on", "event", "starts"),
    [
        ("{push: {branches: [main]}}", push("refs/heads/side"), False),
        ("{push: {branches-ignore: [main]}}", push("refs/heads/side"), True),
        ("{push: {branches: [main]}}", push("refs/tags/v1"), False),
        ("{push: {tags: ['v*']}}", push("refs/tags/v1"), True),
        ("{push: {tags: ['v*']}}", push("refs/heads/v1"), False),
        ("{push: {tags-ignore: ['v*']}}", push("refs/tags/v1"), False),
        ("{push: {branches: [main], tags: ['v*']}}", push("refs/tags/v1"), True),
        ("{push: {paths: ['docs/**']}}", push("refs/tags/v1"), True),
        ("push", push("refs/tags/v1"), True),
        ("{push: {paths: ['docs/**']}}", push("refs/heads/main", "a", "docs/b"), True),
        ("{push: {paths: ['docs/**']}}", push("refs/heads/main", "a"), False),
        (
            "{push: {paths: ['**', '!docs/**']}}",
            push("refs/heads/main", "docs/b"),
            False,
        ),
        (
            "{push: {paths-ignore: ['docs/**']}}",
            push("refs/heads/main", "docs/b"),
            False,
        ),
        (
            "{push: {paths-ignore: ['docs/**']}}",
            push("refs/heads/main", "docs/b", "a"),
            True,
        ),
        (
            "{push: {branches: [main], paths: [a]}}",
            push("refs/heads/side", "a"),
            False,
        ),
        ("push", push("refs/heads/side", deleted=True), False),
        (
            "push",
            push("refs/heads/main", head_commit={"message": "x [skip ci]"}),
            False,
        ),
        ("pull_request", pull("opened"), True),
        ("pull_request", pull("synchronize"), True),
        ("pull_request", pull("labeled"), False),
        ("pull_request", pull("closed"), False),
        ("{pull_request: {types: [closed]}}", pull("closed"), True),
        ("{pull_request: {types: closed}}", pull("opened"), False),
        ("{pull_request: {branches: [main]}}", pull("opened", "release/1"), False),
        (
            "{pull_request: {paths: ['models/**']}}",
            pull("opened", "main", "models/a/x"),
            True,
        ),
        (
            "{pull_request: {paths: ['models/**']}}",
            pull("opened", "main", "README.md"),
            False,
        ),
        ("issues", Event("issues", {"action": "labeled"}), True),
        ("{issues: {types: [opened]}}", Event("issues", {"action": "labeled"}), False),
        (
            "{repository_dispatch: {types: [retrain]}}",
            Event("repository_dispatch", {"action": "retrain"}),
            True,
        ),
        (
            "{repository_dispatch: {types: [retrain]}}",
            Event("repository_dispatch", {"action": "other"}),
            False,
        ),
        ("repository_dispatch", Event("repository_dispatch", {"action": "any"}), True),
        (
            "{schedule: [{cron: '7 3 * * 1'}]}",
            Event("schedule", {"schedule": "7 3 * * 1"}),
            True,
        ),
        (
            "{schedule: [{cron: '7 3 * * 1'}]}",
            Event("schedule", {"schedule": "8 3 * * 1"}),
            False,
        ),
        (
            "merge_group",
            Event(
                "merge_group",
                {
                    "action": "checks_requested",
                    "merge_group": {"base_ref": "refs/heads/main"},
                },
            ),
            True,
        ),
    ],
)
def test_filters(tmp_path: Path, on: str, event: Event, starts: bool) -> None:
    assert started(tmp_path, event, one=on) == (["one"] if starts else [])


@pytest.mark.parametrize(
    ("rule", "starts"),
    [
        ("{workflows: [Pull request], types: [completed]}", True),
        ("{workflows: [Other], types: [completed]}", False),
        ("{workflows: [Pull request], types: [requested]}", False),
        ("{workflows: [Pull request], branches: [main]}", False),
        ("{workflows: [Pull request], branches-ignore: [main]}", True),
    ],
)
def test_workflow_run_goes_by_the_name_and_the_head_branch(
    tmp_path: Path, rule: str, starts: bool
) -> None:
    run = {"name": "Pull request", "head_branch": "side"}
    event = Event(
        "workflow_run", {"action": "completed", "workflow_run": run}, token_kind="app"
    )
    assert bool(started(tmp_path, event, one=f"{{workflow_run: {rule}}}")) is starts


def test_what_a_job_did_with_its_token_starts_only_what_it_dispatches(
    tmp_path: Path,
) -> None:
    on = {
        "one": "{push: , release: , repository_dispatch: , "
        "workflow_dispatch: , issues: }"
    }
    kind: Any = {"token_kind": "GITHUB_TOKEN"}
    for name in ("push", "release", "issues"):
        assert started(tmp_path, Event(name, {"action": "opened"}, **kind), **on) == []
    assert started(
        tmp_path, Event("repository_dispatch", {"action": "retrain"}, **kind), **on
    )
    assert started(
        tmp_path, Event("workflow_dispatch", {"workflow": "one.yml"}, **kind), **on
    )
    assert started(tmp_path, Event("push"), **on)


def test_a_pull_request_of_a_job_waits_for_a_person(tmp_path: Path) -> None:
    two = router(tmp_path, one="pull_request", two="push")
    event = pull(kind="GITHUB_TOKEN")
    assert two.starts(event) == []
    assert [workflow.key for workflow in two.waiting(event)] == ["one"]
    assert two.waiting(pull("closed", kind="GITHUB_TOKEN")) == []
    assert two.waiting(pull()) == []
    assert [workflow.key for workflow in two.starts(pull(kind="app"))] == ["one"]


DISPATCH = """
  workflow_dispatch:
    inputs:
      version: { type: string, required: true }
      stage: { type: choice, options: [staging, production], default: staging }
      force: { type: boolean }
      days: { type: number, default: 30 }
"""


def dispatch(workflow: str = "promote.yml", **given: Any) -> Event:
    return Event("workflow_dispatch", {"workflow": workflow, "inputs": given})


def test_inputs_have_their_defaults(tmp_path: Path) -> None:
    one = router(tmp_path, promote=DISPATCH)
    (workflow,) = one.starts(dispatch(version="v1.0.0", force=True))
    assert inputs(workflow, dispatch(version="v1.0.0", force=True)) == {
        "version": "v1.0.0",
        "stage": "staging",
        "force": "true",
        "days": "30",
    }


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (dispatch(), "input `version` is required"),
        (dispatch(version=""), "input `version` is required"),
        (dispatch(version="v1", stage="moon"), "'moon': one of staging, production"),
        (dispatch(version="v1", force="yes"), "'yes': true or false"),
        (dispatch(version="v1", days="many"), "'many': a number"),
        (dispatch(version="v1", other=1), "unexpected input `other`"),
        (
            dispatch("nothing.yml"),
            "there is no workflow 'nothing.yml'; there are promote.yml",
        ),
        (
            dispatch("quiet.yml"),
            "quiet.yml does not have a `workflow_dispatch` trigger",
        ),
    ],
)
def test_a_dispatch_that_github_would_refuse(
    tmp_path: Path, event: Event, said: str
) -> None:
    on = {"promote": DISPATCH} | ({"quiet": "push"} if "quiet" in said else {})
    with pytest.raises(RehearsalError, match=said):
        router(tmp_path, **on).starts(event)


def test_all_reasons_at_once(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError) as refused:
        router(tmp_path, promote=DISPATCH).starts(dispatch(stage="moon", other=1))
    assert len(refused.value.reasons) == 3


def test_the_schedules_are_known(tmp_path: Path) -> None:
    one = router(tmp_path, monitor="{schedule: [{cron: '7 3 * * *'}]}", other="push")
    assert one.schedules() == {"monitor": ["7 3 * * *"]}


@pytest.mark.parametrize("text", ["on: [", "- a list"])
def test_a_file_that_is_no_workflow(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yml").write_text(text)
    with pytest.raises(RehearsalError, match=r"bad\.yml: not"):
        Router(tmp_path)

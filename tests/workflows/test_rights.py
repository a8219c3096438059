"""A job may do what its calls need, and nothing that none of them needs.

calls.json has what the hub answered to the token of each job in the stories. A story
fails where a job makes a call that is not in it, and RECORD_CALLS=1 puts it there
(tests/stories/recorder.py). Rights that an action or another case needs are named
below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from rehearsal.hub.permissions import endpoints, missing
from stories.recorder import FOLDER as NOTED
from stories.recorder import never_made, note, noted, recorded

HERE = Path(__file__).parent
GENERATED = HERE.parents[1] / "{{cookiecutter.project_slug}}"
FOLDER = GENERATED / ".github" / "workflows"
CALLS: dict[str, list[str]] = json.loads(
    (HERE / "calls.json").read_text(encoding="utf-8")
)
RIGHTS: dict[str, dict[str, str]] = {
    f"{path.name}:{name}": job["permissions"]
    for path in sorted(FOLDER.glob("*.yml"))
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
    if "uses" not in job  # it calls another workflow, whose jobs are here
}
# GitHub's page of permissions says that either is enough: `thread` is one of the two.
THREADS = ("issues", "pull-requests")
OF_GIT = {"git fetch": "contents:read", "git push": "contents:write"}

# What actions need beside the calls that their stand-ins make, and calls of cases that
# the recorded stories do not have.
ELSEWHERE = {
    # The engine asks for a token of OIDC, and AWS for credentials of a role.
    "monitor.yml:data": {"id-token": "write"},
    "predict.yml:data": {"id-token": "write"},
    "predict.yml:deliver": {"id-token": "write"},
    "pull-request.yml:data": {"id-token": "write"},
    "release.yml:data": {"id-token": "write"},
    "reproduce.yml:data": {"id-token": "write"},
    # actions/attest asks for a token of OIDC; a merge queue's merge is another's.
    "release.yml:register": {"id-token": "write", "pull-requests": "read"},
    # The pull request of a merge whose model the test part refused; either right would
    # do for what is recorded, which is about issues.
    "release.yml:refused": {"issues": "write", "pull-requests": "write"},
    # ossf/scorecard-action and github/codeql-action, whose stand-ins do nothing.
    "scorecard.yml:scorecard": {
        "actions": "read",
        "checks": "read",
        "issues": "read",
        "pull-requests": "read",
        "security-events": "write",
    },
    "security.yml:codeql": {"actions": "read", "security-events": "write"},
}
NOT_RECORDED: set[str] = set()


def need_of(call: str) -> str:
    """Return what a call needs, as the hub's table says it."""
    if call in OF_GIT:
        return OF_GIT[call]
    method, path = call.split(" ")
    return endpoints()[method, path]


def lacking(call: str, rights: Mapping[str, str]) -> bool:
    """Say whether a call needs more than these rights, for an issue and for a pull."""
    need = need_of(call)
    if need == "none":
        return False
    return all(missing(need, rights, thread) for thread in THREADS)


def less(rights: Mapping[str, str], name: str) -> dict[str, str]:
    """Return rights with one of them a level lower."""
    lower = {"write": "read", "read": "none"}
    return {**rights, name: lower[rights[name]]}


@pytest.mark.parametrize("job", CALLS)
def test_a_job_has_what_its_calls_need(job: str) -> None:
    assert CALLS[job]
    assert [call for call in CALLS[job] if lacking(call, RIGHTS[job])] == []


@pytest.mark.parametrize("job", CALLS)
def test_a_job_has_no_right_that_none_of_its_calls_needs(job: str) -> None:
    rights = RIGHTS[job]
    known = ELSEWHERE.get(job, {})
    needless = {
        name: level
        for name, level in rights.items()
        if not any(lacking(call, less(rights, name)) for call in CALLS[job])
    }
    assert needless == known


def test_every_job_is_recorded_or_said_not_to_be() -> None:
    assert CALLS.keys() | NOT_RECORDED == RIGHTS.keys()
    assert not CALLS.keys() & NOT_RECORDED


def test_a_call_on_file_that_no_story_makes_is_named(tmp_path: Path) -> None:
    """tests/conftest.py asks for them where every story has run."""
    on_file = recorded()
    job = "stage.yml:promote"
    note(on_file, tmp_path)
    assert never_made(noted(tmp_path.glob("*.json")), on_file) == []
    fewer = {**on_file, job: on_file[job] - {"git push"}}
    other = tmp_path / "other"
    other.mkdir()
    note(fewer, other)
    note({job: {"git fetch"}}, other)  # of another story, in the same process
    made = noted(other.glob("*.json"))
    assert never_made(made, on_file) == [f"{job} git push"]


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("lacks", [True, False])
def test_a_whole_run_fails_for_calls_that_none_of_its_stories_made(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_whole: bool,
    lacks: bool,
) -> None:
    folder = tmp_path / "calls"  # the hook removes it
    folder.mkdir()
    job = "stage.yml:promote"
    on_file = recorded()
    note({**on_file, job: on_file[job] - {"git push"}} if lacks else on_file, folder)
    if is_whole:
        (folder / "whole").touch()
    monkeypatch.setenv(NOTED, str(folder))
    lines: list[str] = []
    reporter = SimpleNamespace(write_line=lines.append)
    plugins = SimpleNamespace(getplugin=lambda name: reporter)
    session = SimpleNamespace(
        config=SimpleNamespace(pluginmanager=plugins), exitstatus=0
    )
    (hooks,) = [
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", "") == str(HERE.parent / "conftest.py")
    ]

    hooks.pytest_sessionfinish(session, 0)

    fails = is_whole and lacks
    assert (session.exitstatus != 0) == fails
    assert (f"  {job} git push" in lines) == fails
    assert not folder.exists()


@pytest.mark.parametrize(
    ("rights", "call", "refused"),
    [
        ({"contents": "read"}, "git push", True),
        ({"contents": "write"}, "git push", False),
        ({}, "GET /repos/{owner}/{repo}/issues", True),
        (
            {"pull-requests": "write"},
            "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
            False,
        ),
        ({"contents": "write"}, "POST /repos/{owner}/{repo}/issues", True),
    ],
)
def test_rights_are_told_from_calls(
    rights: dict[str, str], call: str, refused: bool
) -> None:
    assert lacking(call, rights) is refused

"""The runner on toy workflows: what act does, what it passes over, what follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.event import Event
from rehearsal.hub import Hub
from rehearsal.runner import Runner
from rehearsal.runner.act import find_act, write_pairs
from rehearsal.runner.expressions import evaluate
from rehearsal.runner.policy import refused_actions
from rehearsal.runner.run import Run
from rehearsal.runner.stand_ins import FOLDER, action_inputs
from rehearsal.stories.world import World, replaced
from rehearsal.workflow import Workflow

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"
DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def world(hub: Hub, tmp_path: Path) -> World:
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_text("A repository.\n")
    return World(hub, tmp_path, source)


def push(world: World, files: dict[str, str], branch: str = "main") -> Event:
    """Push files and return the event, which nobody has followed yet."""
    world.change(files, f"Change {', '.join(files)}")
    world.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    return world.hub.events.take()[-1]


def play(world: World, workflow: str, **files: str) -> Run:
    """Push a workflow that starts on push and return its run."""
    (run,) = world.push({".github/workflows/toy.yml": workflow, **files})
    return run


JOBS = """
name: Toy
on: push
permissions: {}
jobs:
  plan:
    runs-on: ${{ vars.RUNNER || 'ubuntu-latest' }}
    outputs:
      models: ${{ steps.plan.outputs.models }}
      code: ${{ steps.plan.outputs.code || 'no' }}
    steps:
      - id: plan
        run: |
          echo 'models=["a","b"]' >> "$GITHUB_OUTPUT"
          echo "## Plan" >> "$GITHUB_STEP_SUMMARY"
          touch left-behind
  train:
    needs: plan
    runs-on: ubuntu-latest
    permissions: { contents: write }
    strategy:
      fail-fast: false
      matrix:
        model: ${{ fromJSON(needs.plan.outputs.models) }}
    steps:
      - env:
          MODEL: ${{ matrix.model }}
        run: |
          [ ! -e left-behind ]
          echo "trained $MODEL" >> "$GITHUB_STEP_SUMMARY"
          [ "$MODEL" = a ]
  never:
    needs: train
    runs-on: ubuntu-latest
    steps:
      - run: exit 1
  verdict:
    needs: [plan, train, never]
    if: always()
    runs-on: ubuntu-latest
    environment: production
    concurrency: one
    steps:
      - continue-on-error: true
        run: exit 1
      - env:
          NEEDS: ${{ toJSON(needs) }}
        run: echo "::warning::$(echo "$NEEDS" | tr -d '[:space:]')"
"""


HASHES = """
name: Toy
on: push
permissions: {}
jobs:
  hashes:
    runs-on: ubuntu-latest
    steps:
      - uses: CHECKOUT
      - run: |
          echo "one ${{ hashFiles('data/rows.csv') }}."
          echo "matched ${{ hashFiles('data/*.csv') }}."
          echo "folder ${{ hashFiles('data') }}."
          echo "missing ${{ hashFiles('nothing.csv') }}."
"""


def test_one_file_is_hashed_as_a_pattern_that_matches_it_is(world: World) -> None:
    files = {
        ".github/workflows/toy.yml": HASHES.replace("CHECKOUT", CHECKOUT),
        "data/rows.csv": "a,b\n1,2\n",
    }
    (run,) = world.push(files)
    said = re.findall(r"^hashes \| (\w+) (\w*)\.$", run.log, re.MULTILINE)
    hashes = dict(said)
    assert len(hashes["one"]) == 64
    assert hashes["one"] == hashes["matched"] == hashes["folder"]
    assert hashes["missing"] == ""


def test_the_exact_jobs_with_their_results_outputs_and_summaries(world: World) -> None:
    run = play(world, JOBS)
    assert run.jobs == {
        "plan": "success",
        "train (a)": "success",
        "train (b)": "failure",
        "never": "skipped",
        "verdict": "success",
    }
    assert run.conclusion == "failure"
    assert world.deployments() == [("production", "success")]
    assert run.outputs["plan"] == {"models": '["a","b"]', "code": "no"}
    assert run.summaries["plan"] == "## Plan\n"
    assert set(run.summary.split("\n")) >= {"## Plan", "trained a", "trained b"}
    (level, said) = run.annotations[0]
    assert level == "warning"
    assert '"never":{"outputs":null,"result":"skipped"}' in said


def test_every_job_is_registered_with_its_permissions(world: World) -> None:
    run = play(world, JOBS)
    assert world.hub.runs.permissions(str(run.id), "train") == {"contents": "write"}
    assert world.hub.runs.permissions(str(run.id), "plan") == {}


CONTEXT = """
name: Toy
on: push
jobs:
  look:
    runs-on: ubuntu-latest
    steps:
      - env:
          SEEN: >-
            ${{ github.ref }} ${{ github.sha }} ${{ github.actor }} ${{ vars.COLOUR }}
          TOKEN: ${{ github.token }}
          SECRET: ${{ secrets.ODD }}
        run: |
          echo "context $SEEN"
          echo "environment $GITHUB_REPOSITORY $GITHUB_API_URL $GITHUB_SERVER_URL $HOME"
          echo "$GITHUB_WORKFLOW_REF"
          [ "$SECRET" = 'a"b$c' ] && echo "secret as it is"
          echo "token $TOKEN"
          git config --global user.name Nobody
          command -v python3 mlops || true
"""


def test_the_context_is_that_of_the_event_and_the_home_is_a_sandbox(
    world: World, tmp_path: Path
) -> None:
    hub = world.hub
    world.api("POST", "/actions/variables", {"name": "COLOUR", "value": "blue's"})
    world.runner.secrets["ODD"] = 'a"b$c'
    event = push(world, {".github/workflows/toy.yml": CONTEXT})
    (run,) = world.settle(event)
    assert f"context refs/heads/main {event.sha} alice blue's" in run.log
    home = tmp_path / "rehearsal" / "runs" / str(run.id) / "home"
    assert f"environment acme/demo {hub.api_url} {hub.server_url} {home}" in run.log
    assert "acme/demo/.github/workflows/toy.yml@refs/heads/main" in run.log
    assert "secret as it is" in run.log
    assert "token ***" in run.log and "ghs_" not in run.log
    assert f"{tmp_path}/rehearsal/bin/python3" in run.log
    assert "/mlops" not in run.log.replace("/mlops-", "")


STEPS = """
name: Toy
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    permissions: {{ contents: read }}
    steps:
{steps}
"""


def steps(text: str) -> str:
    """Return a workflow of one job."""
    return STEPS.format(
        steps="\n".join(f"      {line}" for line in text.strip().splitlines())
    )


def test_checkout_fetches_what_was_asked_for(world: World) -> None:
    push(world, {"first": "1\n"})
    run = play(
        world,
        steps(f"""
- uses: {CHECKOUT}
  with: {{ persist-credentials: false }}
- run: |
    cat first && git status --short --branch
    echo "commits $(git rev-list --count HEAD)"
    git config --get-regexp extraheader || echo "no credentials"
- uses: {CHECKOUT}
  id: deep
  with: {{ fetch-depth: 0, path: deep }}
- env:
    COMMIT: ${{{{ steps.deep.outputs.commit }}}}
  run: |
    cd deep && echo "commits $(git rev-list --count HEAD)"
    [ "$(git rev-parse HEAD)" = "$COMMIT" ]
    git config --get-regexp extraheader && git branch --show-current
"""),
    )
    assert run.jobs == {"one": "success"}, run.log
    for said in (
        "one | ## main...origin/main",
        "commits 1",
        "no credentials",
        "commits 3",
    ):
        assert said in run.log
    assert "extraheader AUTHORIZATION: basic ***" in run.log


def test_checkout_takes_the_commit_of_the_event_though_the_branch_has_moved_on(
    world: World,
) -> None:
    workflow = steps(f"""
- uses: {CHECKOUT}
- run: cat first && git branch --show-current
- uses: {CHECKOUT}
  with: {{ ref: main }}
- run: cat first
- uses: {CHECKOUT}
  with: {{ ref: v1 }}
- run: cat first
""")
    event = push(world, {".github/workflows/toy.yml": workflow, "first": "old\n"})
    push(world, {"first": "newer\n"})
    world.git("tag", "-a", "-m", "one", "v1")
    world.git("push", "--quiet", "origin", "v1")
    push(world, {"first": "newest\n"})
    (run,) = world.settle(event)
    assert run.jobs == {"one": "success"}, run.log
    seen = ["one | old", "one | main", "one | newest", "one | newer"]
    assert [line for line in run.log.splitlines() if line in seen] == seen


def test_a_step_has_no_terminal_and_nothing_to_read(world: World) -> None:
    text = """
- run: |
    for f in 0 1 2; do [ ! -t $f ]; done
    read -r line || echo "nothing to read"
    echo "to errors" >&2
    exit 7
- if: failure()
  shell: sh
  run: echo cat | sh && [ ! -t 0 ] && echo still
"""
    run = play(world, steps(text))
    assert run.jobs == {"one": "failure"}
    assert (
        "nothing to read" in run.log
        and "to errors" in run.log
        and "one | still" in run.log
    )
    assert "exit status 7" in run.log


FAILS_AFTER_MUCH = """
name: Toy
on: push
permissions: {}
jobs:
  in-bash:
    runs-on: ubuntu-latest
    strategy: { fail-fast: false, matrix: { n: [1, 2, 3, 4] } }
    steps:
      - shell: bash
        run: seq 3000; printf '::error::why\\nno end of line'; exit 3
  in-sh:
    runs-on: ubuntu-latest
    strategy: { fail-fast: false, matrix: { n: [1, 2, 3, 4] } }
    steps:
      - shell: sh
        run: seq 3000; printf '::error::why\\nno end of line'; exit 3
"""


def test_all_that_a_step_prints_is_read_before_its_failure(world: World) -> None:
    run = play(world, FAILS_AFTER_MUCH)
    assert set(run.jobs.values()) == {"failure"}
    assert run.annotations == [("error", "why")] * 8
    lines = run.log.splitlines()
    for name in run.jobs:
        of_job = [line for line in lines if line.startswith(f"{name} | ")]
        printed = [line.removeprefix(f"{name} | ") for line in of_job]
        assert printed[:3000] == [str(n) for n in range(1, 3001)]
        assert printed[3000:3002] == ["::error::why", "no end of line"]
    assert "rehearsal-last-line" not in run.log


def test_a_local_action_and_what_it_puts_on_path(world: World) -> None:
    action = """
name: Setup
description: Toy
inputs:
  who: { description: Name, required: true }
outputs:
  greeting: { description: Text, value: "${{ steps.greet.outputs.greeting }}" }
runs:
  using: composite
  steps:
    - id: greet
      shell: bash
      env: { WHO: "${{ inputs.who }}" }
      run: |
        mkdir tools && printf '#!/bin/sh\\necho a tool' > tools/tool
        chmod +x tools/tool
        echo "$PWD/tools" >> "$GITHUB_PATH"
        echo "greeting=hello $WHO" >> "$GITHUB_OUTPUT"
        echo "once" >> "$GITHUB_STEP_SUMMARY"
"""
    text = f"""
- uses: {CHECKOUT}
- id: setup
  uses: ./.github/actions/setup
  with: {{ who: you }}
- env: {{ GREETING: "${{{{ steps.setup.outputs.greeting }}}}" }}
  run: tool && echo "$GREETING"
"""
    files = {".github/actions/setup/action.yml": action}
    run = play(world, steps(text), **files)
    assert "one | a tool\none | hello you" in run.log
    assert run.summary == "once\n"


def test_setup_finds_a_warm_environment_with_the_engine_that_was_checked_out(
    world: World,
) -> None:
    uv = "astral-sh/setup-uv@20cfd1bf945f4377ade1205e4dbc17946fc9a30d"
    makefile = "setup: .venv/.ready-all\n.venv/.ready-%: requirements/%.txt\n\tfalse\n"
    run = play(
        world,
        steps(f"""
- uses: {CHECKOUT}
- uses: {uv}
- run: make setup && echo "$PWD/.venv/bin" >> "$GITHUB_PATH"
- run: |
    mlops say
    cd / && python -c 'import mlops, sys, pytest; print(mlops.__file__, sys.prefix)'
    pytest --version && ruff --version
"""),
        **{
            "Makefile": makefile,
            "requirements/all.txt": "",
            ".gitignore": ".venv/\n",
            "vendor/mlops/src/mlops/__init__.py": "",
            "vendor/mlops/src/mlops/__main__.py": (
                "import sys; print('engine of the checkout', sys.argv[1:])"
            ),
        },
    )
    assert run.jobs == {"one": "success"}, run.log
    assert "engine of the checkout ['say']" in run.log
    assert "hostexecutor/vendor/mlops/src/mlops/__init__.py" in run.log
    assert "hostexecutor/.venv" in run.log


ARTIFACTS = f"""
name: Toy
on: push
jobs:
  make:
    runs-on: ubuntu-latest
    steps:
      - run: |
          mkdir -p build/a/deep
          echo 1 > build/a/one && echo 2 > build/a/deep/two && echo > build/a/.not
      - uses: {UPLOAD}
        with: {{ name: folder, path: build/a }}
      - uses: {UPLOAD}
        with: {{ name: file, path: build/a/one }}
      - uses: {UPLOAD}
        with: {{ name: pattern, path: "build/*/one" }}
      - uses: {UPLOAD}
        with:
          name: several
          include-hidden-files: true
          path: |
            build/a
            !build/a/deep
            build/a/.not
      - id: again
        continue-on-error: true
        uses: {UPLOAD}
        with: {{ name: file, path: build/a/deep/two }}
      - continue-on-error: true
        uses: {UPLOAD}
        with: {{ name: none, path: nowhere, if-no-files-found: error }}
      - env: {{ AGAIN: "${{{{ steps.again.outcome }}}}" }}
        run: '[ "$AGAIN" = failure ]'
  take:
    needs: make
    runs-on: ubuntu-latest
    steps:
      - uses: {DOWNLOAD}
        with: {{ name: folder, path: build/a }}
      - uses: {DOWNLOAD}
        with: {{ pattern: "f*", path: all }}
      - uses: {DOWNLOAD}
        with: {{ pattern: "f*", path: merged, merge-multiple: true }}
      - run: find . -type f | sort | tr '\\n' ' '
      - uses: {DOWNLOAD}
        with: {{ name: none }}
"""


@pytest.mark.parametrize(
    ("policy", "uses", "allowed"),
    [
        ("all", "ossf/scorecard-action", True),
        ("selected", "ossf/scorecard-action", False),
        ("selected", "github/codeql-action/init", True),
        ("selected", "actions/checkout", True),
        ("local_only", "actions/checkout", False),
    ],
)
def test_one_action_that_is_not_allowed_fails_its_whole_workflow(
    tmp_path: Path, policy: str, uses: str, allowed: bool
) -> None:
    path = tmp_path / ".github" / "workflows" / "toy.yml"
    path.parent.mkdir(parents=True)
    path.write_text(steps(f"- uses: {uses}@{'a' * 40}\n- run: echo"))
    refused = refused_actions(Workflow.read(path), {"allowed_actions": policy})
    assert refused == ([] if allowed else [uses])


@pytest.mark.parametrize(("ref", "allowed"), [("a" * 40, True), ("v7", False)])
def test_a_policy_may_demand_that_actions_are_pinned_to_commits(
    tmp_path: Path, ref: str, allowed: bool
) -> None:
    path = tmp_path / ".github" / "workflows" / "toy.yml"
    path.parent.mkdir(parents=True)
    path.write_text(steps(f"- uses: actions/checkout@{ref}\n- run: echo"))
    policy = {"allowed_actions": "all", "sha_pinning_required": True}
    refused = refused_actions(Workflow.read(path), policy)
    assert refused == ([] if allowed else ["actions/checkout"])


def test_a_run_that_the_policy_refuses_begins_no_job(world: World) -> None:
    world.hub.state.actions["allowed_actions"] = "selected"
    run = play(world, steps(f"- run: echo begun\n- uses: acme/own@{'a' * 40}"))
    assert (run.conclusion, set(run.jobs.values())) == ("failure", {"failure"})
    assert "not allowed to be used in acme/demo: acme/own" in run.log
    assert "begun" not in run.log


def test_artifacts_go_from_job_to_job(world: World) -> None:
    run = play(world, ARTIFACTS)
    assert run.jobs == {"make": "success", "take": "failure"}, run.log
    assert set(run.artifacts) == {"folder", "file", "pattern", "several"}

    def held(name: str) -> set[str]:
        top = run.artifacts[name]
        return {
            path.relative_to(top).as_posix()
            for path in top.rglob("*")
            if path.is_file()
        }

    assert held("folder") == {"one", "deep/two"}
    assert held("file") == {"one"}
    assert held("pattern") == {"a/one"}
    assert held("several") == {"one", ".not"}
    there = (
        "./all/file/one ./all/folder/deep/two ./all/folder/one "
        "./build/a/deep/two ./build/a/one"
    )
    assert f"{there} ./merged/deep/two ./merged/one" in run.log
    assert "an artifact with this name already exists" in run.log
    assert "Artifact not found for name: none" in run.log


# A pull request's run may not write; the run that follows it may, and comments.
COMMENTED = {
    ".github/workflows/toy.yml": steps(f"""
- env: {{ DEPLOY: "${{{{ secrets.DEPLOY }}}}", TOKEN: "${{{{ github.token }}}}" }}
  run: |
    echo "secret <$DEPLOY> $GITHUB_REF $GITHUB_HEAD_REF to $GITHUB_BASE_REF"
    address=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/1/comments
    curl -s -H "Authorization: Bearer $TOKEN" "$address" -d '{{"body": "from within"}}'
    mkdir report && echo "hello" > report/text
- uses: {CHECKOUT}
  with: {{ path: code }}
- run: cat code/change && git -C code log -1 --format=%H | grep "$GITHUB_SHA"
- uses: {UPLOAD}
  with: {{ name: report, path: report }}
""")
    .replace("on: push", "on: pull_request")
    .replace("contents: read", "contents: read, pull-requests: write"),
    ".github/workflows/comment.yml": f"""
name: Comment
on: {{ workflow_run: {{ workflows: [Toy], types: [completed] }} }}
jobs:
  comment:
    runs-on: ubuntu-latest
    permissions: {{ actions: read, pull-requests: write }}
    steps:
      - uses: {DOWNLOAD}
        with:
          name: report
          run-id: ${{{{ github.event.workflow_run.id }}}}
          github-token: ${{{{ github.token }}}}
      - env: {{ TOKEN: "${{{{ github.token }}}}", SECRET: "${{{{ secrets.DEPLOY }}}}" }}
        run: |
          address=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/1/comments
          body="{{\\"body\\": \\"$(cat text)\\"}}"
          curl -sf -H "Authorization: Bearer $TOKEN" "$address" -d "$body"
          [ "$SECRET" = hunter2 ]
""",
}


@pytest.mark.parametrize("fork", [False, True])
def test_a_pull_request_is_run_and_then_commented_on(world: World, fork: bool) -> None:
    world.runner.secrets["DEPLOY"] = "hunter2"
    world.push(COMMENTED)
    pull = world.open_pull_request(
        "patch", {"change": "changed"}, actor="mallory", fork=fork
    )
    first, second = pull.runs
    assert (first.jobs, second.jobs) == ({"one": "success"}, {"comment": "success"}), (
        second.log
    )
    assert (
        f"secret <{'' if fork else '***'}> refs/pull/1/merge patch to main" in first.log
    )
    assert ("Resource not accessible by integration" in first.log) is fork
    assert world.comments(pull) == (["hello"] if fork else ["from within", "hello"])
    assert "one | changed" in first.log
    run = world.api("GET", f"/actions/runs/{first.id}")
    assert [one["number"] for one in run["pull_requests"]] == ([] if fork else [1])
    assert run["head_branch"] == "patch" and run["conclusion"] == "success"


def test_a_pull_request_that_is_pushed_to_and_merged(world: World) -> None:
    on = "{ push: { branches: [main] }, pull_request: }"
    world.push({".github/workflows/toy.yml": steps("- run: echo").replace("push", on)})
    pull = world.open_pull_request("patch", {"change": "1"})
    world.push_to(pull, {"change": "2"})
    assert [run.event.payload["action"] for run in pull.runs] == [
        "opened",
        "synchronize",
    ]
    (run,) = world.merge(pull)
    assert (run.event.name, run.event.ref, run.event.actor) == (
        "push",
        "refs/heads/main",
        "bob",
    )
    assert run.event.changed_files == ("change",)
    assert world.last("toy") is run and pull.last("toy") is pull.runs[-1]


DISPATCHED = """
name: Toy
on:
  repository_dispatch: { types: [retrain] }
  schedule: [{ cron: "7 3 * * *" }]
  workflow_dispatch: { inputs: { days: { type: number, default: 30 } } }
jobs:
  one:
    runs-on: ubuntu-latest
    permissions: { contents: write }
    steps:
      - if: github.event_name == 'schedule'
        env: { TOKEN: "${{ github.token }}" }
        run: |
          address=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/dispatches
          curl -sf -H "Authorization: Bearer $TOKEN" "$address" \\
            -d '{"event_type": "retrain"}'
      - env:
          DAYS: ${{ inputs.days }}
          WHY: ${{ github.event.client_payload.why }}
        run: echo "on $GITHUB_EVENT_NAME days <$DAYS> because <$WHY>"
"""


def test_dispatches_and_the_calendar(world: World) -> None:
    world.push({".github/workflows/toy.yml": DISPATCHED})
    (run,) = world.dispatch("toy", days=7)
    assert "on workflow_dispatch days <7> because <>" in run.log
    (run,) = world.message("retrain", why="drift")
    assert "on repository_dispatch" in run.log and "because <drift>" in run.log
    assert world.message("other") == []
    first, second = world.schedule("toy")
    assert "on schedule" in first.log and "on repository_dispatch" in second.log
    asked = Event(
        "workflow_dispatch", {"workflow": "toy.yml", "inputs": {"days": "many"}}
    )
    with pytest.raises(RehearsalError, match="'many': a number"):
        world.settle(asked)
    with pytest.raises(RehearsalError, match="nothing has no schedule; toy have"):
        world.schedule("nothing")


def test_an_environment_waits_for_somebody_else(world: World) -> None:
    text = steps("- run: echo deployed").replace(
        "permissions:", "environment: live\n    permissions:"
    )
    carol = world.hub.view.user("carol")["id"]
    reviewers = {
        "reviewers": [{"type": "User", "id": carol}],
        "prevent_self_review": True,
    }
    world.api("PUT", "/environments/live", reviewers)
    with pytest.raises(RehearsalError, match="until somebody approves live"):
        play(world, text)
    world.approves("live", "alice")
    with pytest.raises(RehearsalError, match="until somebody else approves live"):
        world.push({"change": "1"})
    world.approves("live", "carol")
    (run,) = world.push({"change": "2"})
    (review,) = world.api("GET", f"/actions/runs/{run.id}/approvals")
    assert (review["state"], review["user"]["login"]) == ("approved", "carol")
    assert world.deployments() == [("live", "success")]
    without = (
        "environment:\n      name: live\n      deployment: false # only its secrets"
    )
    play(world, text.replace("environment: live", without))
    assert world.deployments() == [("live", "success")]


PUSHES = steps(f"""
- uses: {CHECKOUT}
- run: |
    git config user.name Bot && git config user.email bot@example.com
    git tag -a -m one v1 && git push --quiet origin v1
""").replace("contents: read", "contents: LEVEL")


@pytest.mark.parametrize("level", ["read", "write"])
def test_a_job_pushes_only_with_its_permission(world: World, level: str) -> None:
    run = play(world, PUSHES.replace("LEVEL", level))
    assert run.conclusion == ("success" if level == "write" else "failure")
    assert world.tags() == (["v1"] if level == "write" else [])


def test_an_edit_that_finds_nothing_is_an_error(world: World) -> None:
    replaced("README.md", "repository", "change")(world.work)
    assert (world.work / "README.md").read_text() == "A change.\n"
    with pytest.raises(RehearsalError, match="holds 'repository' 0 times"):
        replaced("README.md", "repository", "change")(world.work)


CHAIN = {
    ".github/workflows/first.yml": steps("- run: echo first").replace("Toy", "First"),
    ".github/workflows/second.yml": """
name: Second
on: { workflow_run: { workflows: [First], types: [completed] } }
jobs:
  tell:
    if: github.event.workflow_run.conclusion == 'success'
    runs-on: ubuntu-latest
    steps:
      - env: { SHA: "${{ github.event.workflow_run.head_sha }}" }
        run: echo "about $SHA on $GITHUB_SHA $GITHUB_REF"
""",
}


def test_a_workflow_run_follows_with_the_default_branchs_file(world: World) -> None:
    main = push(world, CHAIN)
    side = push(
        world, {"x": "1", ".github/workflows/second.yml": "on: issues"}, branch="side"
    )
    first, second = world.settle(side)
    assert (first.workflow, second.workflow) == ("first", "second")
    assert f"about {side.sha} on {main.sha} refs/heads/main" in second.log


CALLS = """
name: Toy
on: push
permissions: {}
jobs:
  plan:
    runs-on: ubuntu-latest
    outputs: { models: "${{ steps.plan.outputs.models }}" }
    steps:
      - id: plan
        run: echo 'models=["x", "y"]' >> "$GITHUB_OUTPUT"
  deliver:
    name: deliver (${{ matrix.model }})
    needs: plan
    strategy:
      fail-fast: false
      matrix: { model: "${{ fromJSON(needs.plan.outputs.models) }}" }
    permissions: { contents: write }
    uses: ./.github/workflows/called.yml
    with: { model: "${{ matrix.model }}" }
  after:
    needs: deliver
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
"""
CALLED = """
name: Called
on: { workflow_call: { inputs: { model: { type: string, required: true } } } }
permissions: {}
jobs:
  train:
    runs-on: ubuntu-latest
    permissions: { contents: read }
    steps:
      - env: { MODEL: "${{ inputs.model }}" }
        run: echo "$MODEL" >> "$GITHUB_STEP_SUMMARY" && [ "$MODEL" = x ]
  refused:
    needs: train
    if: failure()
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
  register:
    needs: train
    permissions: { contents: write }
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
"""


def calling(world: World, calls: str, called: str = CALLED) -> Run:
    event = push(
        world,
        {".github/workflows/toy.yml": calls, ".github/workflows/called.yml": called},
    )
    (run,) = world.settle(event)
    return run


def test_a_called_workflow_has_its_own_jobs_and_permissions(world: World) -> None:
    run = calling(world, CALLS)
    assert run.jobs == {
        "plan": "success",
        "deliver (x) / train": "success",
        "deliver (x) / refused": "skipped",
        "deliver (x) / register": "success",
        "deliver (y) / train": "failure",
        "deliver (y) / refused": "success",
        "deliver (y) / register": "skipped",
        "after": "skipped",
    }
    assert run.summaries["deliver (y) / train"] == "y\n"
    assert world.hub.runs.permissions(str(run.id), "train") == {"contents": "read"}
    assert world.hub.runs.permissions(str(run.id), "register") == {"contents": "write"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("needs: deliver", "needs: deliver\n    if: always()"),
            "would go on with after",
        ),
        (("with: { model:", "with: { modal:"), "called.yml has no input `modal`"),
        (
            ("    with: { model:", "    # { model:"),
            "called.yml needs the input `model`",
        ),
        (
            ("contents: write }", "contents: read }"),
            "register asks for contents: write",
        ),
        (("name: deliver (${{ matrix.model }})", "name: deliver"), "needs a `name:`"),
        (("after:", "train:"), "two jobs are called train"),
        (("called.yml", "nothing.yml"), "is no workflow of this repository"),
    ],
)
def test_a_call_that_is_wrong_is_an_error(
    world: World, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(RehearsalError, match=said):
        calling(world, CALLS.replace(*change))


def test_where_act_gives_up_before_a_job_that_always_runs_is_an_error(
    world: World,
) -> None:
    fails = JOBS.replace("touch left-behind", "exit 1").replace("models=[", "nothing=[")
    with pytest.raises(
        RehearsalError, match="after plan has failed; GitHub would go on with verd"
    ):
        play(world, fails)


CANCELS = "{group: x, cancel-in-progress: \"${{ github.event_name == 'schedule' }}\"}"


@pytest.mark.parametrize(
    ("rule", "conclusions"),
    [
        ("x-${{ github.ref }}", ["success", "cancelled", "success"]),
        ("\n  group: x\n  queue: max # all of them", ["success"] * 3),
        ("{group: x, cancel-in-progress: true}", ["cancelled", "cancelled", "success"]),
        (CANCELS, ["success", "cancelled", "success"]),
        ("{group: '${{ github.sha }}', cancel-in-progress: true}", ["success"] * 3),
    ],
)
def test_of_runs_that_came_together_github_lets_go_on(
    world: World, rule: str, conclusions: list[str]
) -> None:
    text = steps("- run: echo").replace("on: push", f"on: push\nconcurrency: {rule}")
    events = [
        push(world, {".github/workflows/toy.yml": text, "n": str(n)}) for n in range(3)
    ]
    assert [run.conclusion for run in world.settle(*events)] == conclusions


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("github.head_ref || github.sha", "abc"),
        ("github.event_name == 'PUSH' && 'yes' || 'no'", "yes"),
        ("!(github.event.number != 7)", True),
        ("github.event.missing.deep", None),
        ("'it''s'", "it's"),
    ],
)
def test_expressions_of_a_group(expression: str, value: object) -> None:
    github = {
        "head_ref": "",
        "sha": "abc",
        "event_name": "push",
        "event": {"number": 7},
    }
    assert evaluate(expression, {"github": github}) == value


@pytest.mark.parametrize(
    "expression", ["format('{0}', 1)", "github.sha github.sha", "a[0]"]
)
def test_an_expression_that_is_not_understood_is_not_guessed(expression: str) -> None:
    with pytest.raises(RehearsalError, match="more than the rehearsal evaluates"):
        evaluate(expression, {})


def test_a_killed_run_leaves_its_jobs_cancelled(world: World) -> None:
    text = steps(
        "- run: |\n    echo half way\n    sleep 60\n- run: touch /nowhere/at/all"
    )
    event = push(world, {".github/workflows/toy.yml": text})
    (workflow,) = world.runner.deliver(event)
    run = world.runner.run(workflow, event, kill_at="half way")
    assert run.jobs == {"one": "cancelled"}
    assert run.conclusion == "cancelled"
    assert run.wall < 30


def test_a_run_without_end_is_stopped_and_said(world: World, tmp_path: Path) -> None:
    event = push(world, {".github/workflows/toy.yml": steps("- run: sleep 60")})
    slow = Runner(world.hub, tmp_path / "other")
    slow.timeout = 1
    with pytest.raises(RehearsalError, match="no end after 1 s"):
        slow.play(event)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("ubuntu-latest", "windows-latest"),
            "runs-on: windows-latest would be skipped",
        ),
        (("ubuntu-latest", "${{ 'a' }}"), "Skipping unsupported platform"),
        (
            ("steps:", "services: { db: { image: db } }\n    steps:"),
            "act starts no service",
        ),
        (("steps:", "container: python\n    steps:"), "there is no container"),
        (
            ("steps:", "continue-on-error: true\n    steps:"),
            "act fails the run all the same",
        ),
        (
            ("- run: echo", f"- uses: {CHECKOUT}\n        with: {{ dept: 1 }}"),
            "no input `dept`",
        ),
        (("- run: echo", f"- uses: {UPLOAD}"), "needs the input `path`"),
        (("- run: echo", "- uses: acme/unheard-of@v1"), "not in action-inputs.json"),
        (("- run: echo", "- uses: ./.github/actions/none"), "no such local action"),
        (
            (
                "- run: echo",
                f"- uses: {CHECKOUT}\n        id: c\n"
                "      - run: echo ${{ steps.c.outputs.sha }}",
            ),
            "has no output `sha`",
        ),
    ],
)
def test_what_act_would_pass_over_is_an_error(
    world: World, change: tuple[str, str], said: str
) -> None:
    text = steps("- run: echo").replace(*change)
    assert change[1] in text
    with pytest.raises(RehearsalError, match=said.replace("(", r"\(")):
        play(world, text)


def test_every_action_that_may_be_used_has_a_stand_in() -> None:
    names = {name.split("/")[1] for name in action_inputs()}
    assert names == {path.name for path in FOLDER.iterdir()}


def test_act_is_found_and_nothing_in_a_value_is_expanded(tmp_path: Path) -> None:
    assert Path(find_act()).is_file()
    write_pairs(tmp_path / "pairs", {"A": "x\"$HOME\\n\n'y"})
    assert (tmp_path / "pairs").read_text() == 'A="x\\"\\$HOME\\\\n\\n\'y"\n'

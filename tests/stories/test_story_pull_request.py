"""Pull requests, from the push to what is served, by the real workflows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from engine.conftest import rows_of
from rehearsal.stories.world import World, replaced
from stories.outcomes import (
    ASSETS,
    BORN,
    CHECKED,
    COMMENTED,
    DELIVERED,
    LONG_AGO,
    NOTHING_DELIVERED,
    REFUSED,
    answer,
    by_start,
    checked,
    delivered,
    gate_refuses,
    ran,
    refs,
    the_comment,
    trained,
    writes,
)
from stories.worlds import (
    BETTER,
    COARSE,
    ESTIMATOR,
    FOLDER,
    LOOKS_AT,
    MODEL,
    ROWS_FILE,
    SPEC,
    looking_at,
)

APPLICATION, DOCUMENTS = checked(), checked(code="skipped")
BROKEN_DATA = {**REFUSED, "code": "skipped"}


@pytest.mark.slow
def test_a_better_model_goes_from_the_pull_request_to_production(story: World) -> None:
    before = answer(story)
    assert before["version"] == "v1.0.0"

    # The first attempt is worse, the second is better: one comment, edited in place.
    pull = story.open_pull_request("plan", looking_at(COARSE), "Look at the plan")
    assert ran(pull.runs) == [("pull-request", REFUSED), ("comment", COMMENTED)]
    assert "Do not replace the model in production (v1.0.0)" in the_comment(story, pull)
    (first,) = story.hub.state.comments(pull.number)

    runs = story.push_to(pull, looking_at(BETTER))
    assert ran(runs) == [("pull-request", CHECKED), ("comment", COMMENTED)]
    (second,) = story.hub.state.comments(pull.number)
    assert second["id"] == first["id"]
    said = second["body"]
    assert (
        "## ✅ churn: Replace the model in production (v1.0.0) with this one." in said
    )
    assert re.search(
        r"better by 0\.\d+ \(95% CI of the difference: \+0\.\d+ to \+0\.\d+\)", said
    )
    assert f"actions/runs/{runs[0].id}" in said and str(pull.runs[0].id) not in said
    assert "Replace the model in production (v1.0.0) with this one." in runs[0].summary
    # What a pull request does reaches nobody: nothing is released, staged or served.
    assert (story.tags(), story.deployments()) == (BORN, LONG_AGO)
    assert not writes(
        story, *(run for run in pull.runs if run.workflow == "pull-request")
    )

    (release,) = story.merge(pull)
    assert ran([release]) == [("release", DELIVERED)]
    assert (
        "v1.1.0 in service gives the expected predictions for 10 examples"
        in release.log
    )
    assert story.tags() == [
        *BORN,
        "churn@v1.1.0",
        "churn#staging#3",
        "churn#production#4",
    ]
    assert story.releases() == {"churn@v1.0.0": ASSETS, "churn@v1.1.0": ASSETS}
    replaced_by = [("staging", "success"), ("production", "success")]
    assert story.deployments() == [
        ("staging", "inactive"),
        ("production", "inactive"),
        *replaced_by,
    ]
    assert story.issues() == []
    runs_of = [(r["pull_request"], r["outcome"], r["actor"]) for r in by_start(story)]
    assert runs_of == [
        (None, "promote", "@alice"),
        (pull.number, "reject", "@alice"),
        (pull.number, "promote", "@alice"),
        (None, "promote", "@bob"),
    ]

    after = answer(story)
    assert after["version"] == "v1.1.0"
    assert after["score"] != pytest.approx(before["score"], abs=0.01)


def broken(root: Path) -> None:
    """Spoil seven ages and five plans of the rows."""
    rows = pd.read_csv(root / ROWS_FILE)
    rows.loc[:6, "tenure"] = 300
    rows.loc[10:14, "plan"] = "gold"
    rows.to_csv(root / ROWS_FILE, index=False)


def test_data_that_break_the_contract_are_refused_and_nothing_is_trained(
    story: World,
) -> None:
    pull = story.open_pull_request("data", broken, "Rows of this week")
    assert ran(pull.runs) == [("pull-request", BROKEN_DATA), ("comment", COMMENTED)]
    assert not trained(pull.runs)
    said = the_comment(story, pull)
    assert "## ❌ churn: No new model: data validation failed." in said
    assert "2 of " in said and " expectations failed" in said
    differences = said.partition("Differences")[2] or said
    (tenure,) = (
        line for line in differences.splitlines() if line.startswith("| ❌ tenure |")
    )
    (plan,) = (
        line for line in differences.splitlines() if line.startswith("| ❌ plan |")
    )
    assert "| 7 (0.5%) | 300 |" in tenure and "at least 0 and at most 100" in tenure
    assert "| 5 (0.3%) | gold |" in plan and "basic" in plan
    assert (story.tags(), story.deployments()) == (BORN, LONG_AGO)
    (record,) = (r for r in story.journal() if r["pull_request"] == pull.number)
    assert record["outcome"] == "validate" and record["training"] is None


def test_a_worse_model_is_rejected_and_cannot_be_delivered(story: World) -> None:
    before = refs(story)
    pull = story.open_pull_request(
        "coarse", looking_at(COARSE), "Years instead of months"
    )
    assert ran(pull.runs) == [("pull-request", REFUSED), ("comment", COMMENTED)]
    assert trained(pull.runs)
    said = the_comment(story, pull)
    assert "## ❌ churn: Do not replace the model in production (v1.0.0)." in said
    assert re.search(
        r"worse by 0\.\d+ \(95% CI of the difference: \S0\.\d+ to \S0\.\d+\)", said
    )

    # Merged all the same, main refuses it again.
    (release,) = story.merge(pull)
    assert ran([release]) == [("release", gate_refuses(MODEL))]
    assert (story.tags(), story.deployments()) == (BORN, LONG_AGO)
    assert answer(story)["version"] == "v1.0.0"
    moved = {name for name, sha in refs(story).items() if before.get(name) != sha}
    assert moved == {"refs/heads/coarse", "refs/heads/journal", "refs/heads/main"}


def leaving(root: Path) -> None:
    """Let the estimator end its process as if all were well, once it is asked."""
    path = root / FOLDER / "estimator.py"
    text = path.read_text(encoding="utf-8")
    head, body, rest = text.partition("    columns = make_column_transformer(\n")
    leave = "    if params is not None:\n        os._exit(0)\n"
    head = head.replace(
        "from typing import Any\n", "import os\nfrom typing import Any\n"
    )
    path.write_text(f"{head}{leave}{body}{rest}", encoding="utf-8")


def test_a_model_whose_code_ends_its_process_is_red(story: World) -> None:
    pull = story.open_pull_request("leaving", leaving, "A faster estimator")
    ended = {**REFUSED, "code": "success"}
    assert ran(pull.runs) == [("pull-request", ended), ("comment", COMMENTED)]
    checks, _ = pull.runs
    assert "the model's own code ended its process early" in checks.log
    assert not trained(pull.runs)
    said = the_comment(story, pull)
    assert "✅" not in said and "Replace the model" not in said
    assert (story.tags(), story.deployments()) == (BORN, LONG_AGO)


def test_a_change_that_nobody_can_tell_from_chance_is_inconclusive(
    story: World,
) -> None:
    edit = replaced(SPEC, "learner: logistic", "learner: logistic\n    C: 0.8")
    pull = story.open_pull_request("weaker", edit, "A little more restraint")
    assert ran(pull.runs) == [("pull-request", REFUSED), ("comment", COMMENTED)]
    said = the_comment(story, pull)
    keep = "Keep the model in production (v1.0.0): no significant difference."
    assert f"## ⚠️ churn: {keep}" in said
    assert re.search(
        r"A difference of 0\.\d+ would be detected in 4 of 5 such tests\.", said
    )
    assert (story.tags(), story.deployments()) == (BORN, LONG_AGO)
    (_, record) = by_start(story)
    assert (record["pull_request"], record["outcome"]) == (pull.number, "inconclusive")


DOCS = {"README.md": "# Demo\n\nWhat it is for.\n", f"{FOLDER}/notes.md": "Notes.\n"}


def test_documents_alone_train_nothing_and_claim_nothing(story: World) -> None:
    before = refs(story)
    pull = story.open_pull_request("docs", DOCS, "Say what it is for")
    assert ran(pull.runs) == [("pull-request", DOCUMENTS), ("comment", COMMENTED)]
    assert story.comments(pull) == []
    (release,) = story.merge(pull)
    assert ran([release]) == [("release", NOTHING_DELIVERED)]
    assert not trained([*pull.runs, release])
    assert (story.tags(), story.deployments()) == (BORN, LONG_AGO)
    assert len(story.journal()) == 1
    moved = {name for name, sha in refs(story).items() if before.get(name) != sha}
    assert moved == {"refs/heads/docs", "refs/heads/main"}


def test_a_model_that_is_given_up_leaves_no_claim_behind(story: World) -> None:
    pull = story.open_pull_request(
        "coarse", looking_at(COARSE), "Years instead of months"
    )
    assert "Do not replace" in the_comment(story, pull)
    runs = story.push_to(pull, lambda root: (looking_at(LOOKS_AT)(root), docs(root)))
    assert ran(runs) == [("pull-request", DOCUMENTS), ("comment", COMMENTED)]
    said = the_comment(story, pull)
    assert "It trains no model." in said
    assert "replace" not in said and "❌" not in said


def docs(root: Path) -> None:
    """Write the documents."""
    for name, text in DOCS.items():
        (root / name).write_text(text, encoding="utf-8")


def test_application_code_alone_redeploys_and_trains_nothing(story: World) -> None:
    edit = replaced(
        "vendor/mlops/src/mlops/serving/app.py",
        "from __future__",
        "# Another day.\nfrom __future__",
    )
    pull = story.open_pull_request("serving", edit, "Serve as before")
    assert ran(pull.runs) == [("pull-request", APPLICATION), ("comment", COMMENTED)]
    said = the_comment(story, pull)
    assert "> **This pull request changes code that judges models.**" in said
    assert "\n> - vendor/mlops/src/mlops/serving/app.py\n" in said
    assert "churn" not in said
    (release,) = story.merge(pull)
    again = delivered() | {"redeploy (churn)": "success"}
    del again["redeploy"]
    assert ran([release]) == [("release", again)]
    assert not trained([*pull.runs, release])
    assert (
        "v1.0.0 in service gives the expected predictions for 10 examples"
        in release.log
    )
    assert story.tags() == BORN
    assert story.releases() == {"churn@v1.0.0": ASSETS}
    staging, (production, _) = LONG_AGO
    assert story.deployments() == [
        staging,
        (production, "inactive"),
        (production, "success"),
    ]
    assert len(story.journal()) == 1


# Wherever a shell reads these as its own, the file that $LOOT names appears.
TITLE = (
    "a$(touch $LOOT)`touch $LOOT`\";touch $LOOT;\"';touch $LOOT;' @everyone "
    "<img src=x onerror=alert(1)> ::error::LOOT ${{ github.token }}"
)
BRANCH = 'a$(touch${IFS}$LOOT)`touch${IFS}$LOOT`";touch${IFS}$LOOT;"'
FILE = (
    "a$(touch $LOOT)`touch $LOOT` @everyone <img src=x> ](http:evil) | #1"
    "\n::error::LOOT.csv"
)


@pytest.mark.parametrize("text", [TITLE, BRANCH, FILE])
def test_the_hostile_texts_would_do_harm(tmp_path: Path, text: str) -> None:
    loot = tmp_path / "loot"
    subprocess.run(
        ["bash", "-c", f'echo "{text}"'],
        env={"PATH": os.environ["PATH"], "LOOT": str(loot)},
        capture_output=True,
    )
    assert loot.exists()


# What a fork's code does with what it finds: writes with the token, and forges the
# results.
EVIL = (
    "@everyone <img src=x onerror=alert(1)> [free](http://evil.example) | "
    "<!-- fixes #1 -->"
)

THIEF = '''
import atexit
import json
import os
import pathlib
import urllib.error
import urllib.request


def steal() -> None:
    """Write to the repository, and say what is not so."""
    root = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}"
    token = os.environ.get("GITHUB_TOKEN", "")
    for path, body in (
        ("issues/1/comments", {"body": "pwned"}),
        ("issues", {"title": "pwned"}),
        ("git/refs", {"ref": "refs/tags/pwned", "sha": os.environ["GITHUB_SHA"]}),
        ("dispatches", {"event_type": "retrain"}),
    ):
        headers = {"Authorization": f"Bearer {token}"}
        headers["Content-Type"] = "application/json"
        content = json.dumps(body).encode()
        request = urllib.request.Request(f"{root}/{path}", content, headers)
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            print("the thief was answered", error.code)
    build = pathlib.Path("build/churn")
    evil = "EVIL"
    verdict = json.loads((build / "verdict.json").read_text())
    verdict["reasons"] = [evil]
    (build / "verdict.json").write_text(json.dumps(verdict))
    record = json.loads((build / "record.json").read_text())
    record |= {"pull_request": 1, "actor": "@alice"}
    record |= {"id": "../../main", "model": "other"}
    (build / "record.json").write_text(json.dumps(record))
    (build / "report.md").write_text(evil)


atexit.register(steal)
'''.replace("EVIL", EVIL)


def hostile(root: Path) -> None:
    """Change the model as a stranger with bad intentions would."""
    looking_at(BETTER)(root)
    head, _, rest = ESTIMATOR.partition("\n")
    (root / FOLDER / "estimator.py").write_text(
        f"{head}\n{THIEF}{rest}", encoding="utf-8"
    )
    rows_of(n=20, seed=5).to_csv(root / FOLDER / "data" / FILE, index=False)


def spoiled(folder: Path) -> list[str]:
    """Add models, each corrupt in its own way, to an upload; return their names.

    The verdict of the model that was uploaded gives hostile text as its reason, as a
    verdict by an engine before 0.2 could.
    """
    (mine,) = folder.rglob(MODEL)
    verdict = json.loads((mine / "verdict.json").read_text(encoding="utf-8"))
    verdict |= {"grounds": [], "reasons": [EVIL]}
    (mine / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")

    def put(name: str, file: str, content: str) -> str:
        other = mine.with_name(name)
        shutil.copytree(mine, other)
        (other / file).write_text(content, encoding="utf-8")
        return name

    names = [
        put(
            "wrong_types",
            "verdict.json",
            '{"decision": "@everyone <b>yes</b>", "rows": "many"}',
        ),
        put("too_large", "evaluation.json", json.dumps({"ok": "x" * 2_000_000})),
        put("no_json", "validation.json", "\x00<script>alert(2)</script>"),
        put("a_link", "record.json", ""),
        put("@everyone <b>", "spec.json", "{}"),
    ]
    link = mine.with_name("a_link") / "record.json"
    link.unlink()
    link.symlink_to("/etc/passwd")
    return names


def test_a_fork_writes_nothing_and_hostile_text_is_inert(story: World) -> None:
    # Another pull request is open, of a branch with the same name.
    story.hub.fork("mallory")
    loot = story.root / "loot"
    story.runner.environment["LOOT"] = str(loot)
    other = story.open_pull_request(BRANCH, DOCS, "Documents")
    before, deployed = refs(story), story.deployments()

    pull = story.open_pull_request(
        BRANCH, hostile, TITLE, f"{TITLE}\n\nfixes #1", actor="mallory", fork=True
    )
    assert [run.workflow for run in pull.runs] == ["pull-request", "comment"]
    run, comment = pull.runs
    assert (run.jobs, comment.jobs) == (
        {**CHECKED, "code": "failure", "verdict": "failure"},
        COMMENTED,
    )

    # Its code runs in a process that has no token, so that it cannot even ask.
    assert writes(story, run) == []
    moved = {name for name, sha in refs(story).items() if before.get(name) != sha}
    assert moved == {"refs/heads/journal"}
    assert (story.tags(), story.deployments(), story.issues()) == (BORN, deployed, [])

    # The comment is where it belongs; beside it the journal was pushed, and no more. It
    # is red first: the gate would promote this model, but the code that makes it fails
    # its checks.
    assert story.comments(other) == []
    said = the_comment(story, pull)
    red, green = re.findall("^## .*", said, re.MULTILINE)
    assert red == "## ❌ The checks are red: the run says what failed"
    assert green.startswith("## ✅ churn: ")
    assert f"actions/runs/{run.id}" in said
    path = f"/repos/acme/demo/issues/{pull.number}/comments"
    assert writes(story, comment) == [
        ("comment", "POST", path, 201),
        ("comment", "POST", "/acme/demo.git/git-receive-pack", 200),
    ]
    record = by_start(story)[-1]
    facts = ("pull_request", "actor", "model", "commit")
    head = story.git("rev-parse", "HEAD")
    assert [record[key] for key in facts] == [pull.number, "@mallory", "churn", head]

    # What it wrote is shown and does nothing.
    for text in ("@everyone", "<img", "<!-- fixes", "http://evil", "::error"):
        assert text not in said
    assert not re.search(r"(?<!&)#\d", said)
    (link,) = re.findall(r"\]\((.*?)\)", said)
    assert link == f"{story.hub.server_url}/acme/demo/actions/runs/{run.id}"
    assert not loot.exists()
    assert not [
        text for _, text in run.annotations + comment.annotations if "LOOT" in text
    ]

    # Its artifact may hold anything: what is not of the right kind is named, the rest
    # is shown.
    names = spoiled(run.artifacts["report-churn"])
    (comment,) = story.settle(story.runner.completed(run))
    assert ran([comment]) == [("comment", COMMENTED)]
    said = the_comment(story, pull)
    assert said.count("Could not be shown: ") == len(names)
    assert "wrong_types/verdict.json: " in said
    assert len(said) < 60_000 and "root:" not in said and "alert(2)" not in said
    assert "onerror" in said
    for text in ("@everyone", "<b>", "<script", "<img", "<!-- fixes", "http://evil"):
        assert text not in said
    assert [r["id"] for r in by_start(story)][1:] == [record["id"]], (
        "one run, one record"
    )

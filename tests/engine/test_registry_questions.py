"""What the registry answers: list, show, best, diff, lineage, by its commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.io.digests import sha256, sha256_file
from mlops.registry import tags
from mlops.results.data import Snapshot
from mlops.results.runs import Record
from mlops.runlog.journal import append
from mlops.serving.prediction_log import PredictionLog, find_prediction, new_id

from .registry_world import (
    AGE,
    MODEL,
    NOW,
    PLAN,
    World,
    git,
    signature,
    world_fixture,  # noqa: F401
)

Ask = Callable[..., Result]


@pytest.fixture
def ask(world: World, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return a function that runs `mlops registry ...` in this world or another."""

    def run(*arguments: str, at: World = world) -> Result:
        monkeypatch.chdir(at.root)
        result = CliRunner().invoke(app, ["registry", *arguments], prog_name="mlops")
        assert (
            "Traceback" not in result.output and "defect of mlops" not in result.output
        )
        return result

    return run


def data(result: Result) -> Any:
    return json.loads(result.stdout)


def three(world: World) -> None:
    """Three versions: other data, then other parameters; the second in production."""
    world.release("one")
    world.promote("v1.0.0", "staging")
    world.change_data("plus")
    world.build("two", auc=0.95)
    world.register(run="run-2")
    for stage in ("staging", "production"):
        world.promote("v1.0.1", stage)
    world.build("three", auc=0.92, params={"C": 2.0}, sensitive=True)
    world.register(run="run-3", actor="@ben")


# -- list, show, history ---------------------------------------------------------------


def test_list_leaves_out_what_is_gone_unless_all_is_asked_for(
    world: World, ask: Ask
) -> None:
    three(world)
    world.withdraw("v1.0.0")
    assert [row["version"] for row in data(ask("list", "--json"))] == [
        "churn@v1.1.0",
        "churn@v1.0.1",
    ]
    everything = data(ask("list", "--all", "--json"))
    assert [(row["version"], row["stages"]) for row in everything] == [
        ("churn@v1.1.0", ""),
        ("churn@v1.0.1", "staging, production"),
        ("churn@v1.0.0", "withdrawn"),
    ]
    world.deprecate()
    assert data(ask("list", "--json")) == [] and "retired: churn" in ask("list").stderr
    assert len(data(ask("list", "churn", "--json"))) == 2
    assert len(data(ask("list", "--all", "--json"))) == 3


def test_odd_tags_are_mentioned(world: World, ask: Ask) -> None:
    world.release("one")
    assert ask("list").stderr == ""
    git(world.root, "tag", "churn@v7.0.0")
    git(world.root, "tag", "-am", "x", "churn@v1")
    git(world.root, "tag", "-am", "x", "nightly")
    assert "2 unrecognised tags, see `mlops doctor`" in ask("list").stderr


def test_history_says_who_did_what_why_and_in_which_run(world: World, ask: Ask) -> None:
    three(world)
    world.reject("v1.0.1", "production", actor="@ben", approver="@ben", run="run-9")
    world.withdraw("v1.0.0")
    world.deprecate()
    rows = data(ask("history", "churn", "--json"))
    assert [row["event"] for row in rows[-3:]] == [
        "rejected v1.0.1 for production",
        "withdrew v1.0.0",
        "retired the model",
    ]
    no = rows[-3]
    assert (no["actor"], no["approver"], no["reason"], no["run"], no["tag"]) == (
        "@ben", "@ben", "it is unfair", "run-9", "churn#production!#4",
    )  # fmt: skip
    text = ask("history", "churn").stdout
    assert "RUN" in text and "churn#" not in text and "it is unfair" in text
    for number in ("v1.0.1", "v1.1.0"):
        with_stage = (
            tags.read_registry(world.root).models[MODEL].versions[number].stages
        )
        if with_stage:
            world.reject(number, with_stage[0])
        world.withdraw(number)
    assert ask("history", "churn").exit_code == 0, (
        "also where every version is withdrawn"
    )


def test_show_hides_the_values_of_sensitive_features(world: World, ask: Ask) -> None:
    sex = PLAN.model_copy(update={"name": "sex", "categories": ("female", "male")})
    world.build(signature=signature(AGE, sex), sensitive=True)
    world.register()
    shown = ask("show", "churn@latest")
    assert "limited" in shown.stdout and "data/*.csv" in shown.stdout
    told = ask("show", "churn@latest", "--json")
    assert "female" not in shown.output + told.output
    names = [feature["name"] for feature in data(told)["signature"]["features"]]
    assert names == ["age", "sex"] and data(told)["schema"] == 1


# -- best ------------------------------------------------------------------------------


def where(*words: str) -> tuple[str, ...]:
    return ("--where", *words)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["v1.0.1", "v1.1.0", "v1.0.0"]),
        (("--metric", "roc_auc", *where("risk", "eq", "limited")), ["v1.1.0"]),
        (
            (*where("metrics.roc_auc", "gt", ".91"), *where("risk", "eq", "minimal")),
            ["v1.0.1"],
        ),
        (where("params.C", "eq", "2"), ["v1.1.0"]),
        (
            (*where("decision", "eq", "promote"), *where("actor", "in", "@ana,@x")),
            ["v1.0.1", "v1.0.0"],
        ),
        (("--stage", "staging"), ["v1.0.1", "v1.0.0"]),
        (("--stage", "production"), ["v1.0.1"]),
    ],
)
def test_best(
    world: World, ask: Ask, options: tuple[str, ...], expected: list[str]
) -> None:
    three(world)
    answer = ask("best", "churn", *options, "--json")
    assert [row["version"].split("@")[1] for row in data(answer)] == expected
    assert answer.exit_code == 0
    assert (
        ask("best", "churn", *options)
        .stdout.splitlines()[1]
        .startswith(f"churn@{expected[0]}")
    )


def test_best_where_low_is_good(world: World, ask: Ask) -> None:
    for text, loss in (("one", 0.4), ("two", 0.2), ("three", 0.3)):
        world.change_code(text)
        world.build(text, auc=loss, metric="log_loss")
        world.register()
    rows = data(ask("best", "churn", "--metric", "log_loss", "--json"))
    assert [row["value"] for row in rows] == [0.2, 0.3, 0.4]


def test_best_says_no_and_what_it_left_out(world: World, ask: Ask) -> None:
    three(world)
    none = ask("best", "churn", *where("metrics.roc_auc", "gt", "0.99"))
    assert none.exit_code == 1
    wrong = ask("best", "churn", "--metric", "rocauc")
    assert wrong.exit_code == 2 and "did you mean `roc_auc`" in wrong.stderr
    wrong = ask("best", "churn", *where("riks", "eq", "low"))
    assert wrong.exit_code == 2 and "did you mean `risk`" in wrong.stderr
    assert ask("best", "churn", "--stage", "prodcution").exit_code == 2
    world.withdraw("v1.0.0")
    git(world.root, "tag", "-am", "by hand", "churn@v3.0.0", "HEAD")
    answer = ask("best", "churn")
    assert "v1.0.0" not in answer.stdout
    assert (
        "churn@v3.0.0 is left out" in answer.stderr
        and "names no manifest" in answer.stderr
    )
    assert "from different data" not in answer.stderr
    world.release("four")
    assert len(data(ask("best", "churn", "--json"))) == 3


# -- diff ------------------------------------------------------------------------------


def test_diff_shows_only_what_differs(world: World, ask: Ask) -> None:
    three(world)
    lines = ask("diff", "churn@v1.0.0", "churn@v1.0.1").stdout.splitlines()
    assert lines[0].split() == ["WHAT", "churn@v1.0.0", "churn@v1.0.1", "CHANGE"]
    assert [line.split() for line in lines[-1:]] == [
        ["metrics.roc_auc", "0.9000", "0.9500", "+0.0500"]
    ]
    assert [line.split()[0] for line in lines[1:-1]] == [
        "data.digest",
        "data.files.models/churn/data/rows.csv",
        "code.commit",
    ]
    rows = data(ask("diff", "churn@production", "churn@latest", "--json"))
    by = {row["what"]: (row["before"], row["after"], row["change"]) for row in rows}
    assert by["params.C"] == (1.0, 2.0, None)
    assert by["code.files"] == (None, "model.yaml", None)
    assert by["risk"] == ("minimal", "limited", None)
    assert by["columns.sex"] == (None, "category", None)
    assert by["fairness.selection_rate by sex"] == (None, 0.04, None)
    assert by["slices.plan = basic"] == (None, 0.92, None)
    assert by["metrics.roc_auc"] == (0.95, 0.92, pytest.approx(-0.03))
    assert len(by["code.commit"][0]) == 40
    assert all(row["before"] != row["after"] for row in rows)
    same = ask("diff", "churn@v1.0.0", "v1.0.0")
    assert same.exit_code == 0 and "do not differ" in same.stdout


def test_diff_of_signatures_hides_what_became_sensitive_later(
    world: World, ask: Ask
) -> None:
    def sex(*values: str) -> Any:
        return PLAN.model_copy(update={"name": "sex", "categories": values})

    world.build(
        signature=signature(
            AGE.model_copy(update={"low": 18, "high": 60}), sex("f", "male")
        )
    )
    world.register()
    older = AGE.model_copy(update={"low": 18, "high": 75, "missing": True})
    world.build("two", signature=signature(older, sex("female"), PLAN), sensitive=True)
    world.register()
    answer = ask("diff", "churn@v1.0.0", "churn@v2.0.0")
    assert "signature.features.age.high" in answer.stdout and "75.0" in answer.stdout
    assert (
        "signature.features.plan" in answer.stdout
        and "features.sex" not in answer.stdout
    )
    assert "male" not in answer.output


# -- lineage ---------------------------------------------------------------------------


def record(world: World, run: str) -> Record:
    return Record(
        id=run,
        model=MODEL,
        started=NOW.isoformat(),
        seconds=3,
        stages={},
        outcome="promote",
        actor="@carl",
        pull_request=12,
        run_url="https://example.com/run/2",
        data=Snapshot.load(world.project.build(MODEL)),
    )


def test_what_is_behind_a_version(world: World, ask: Ask) -> None:
    three(world)
    append(world.project, record(world, "run-2"))
    told = data(ask("lineage", "churn@production", "--json"))
    rows = world.root / "models" / MODEL / "data" / "rows.csv"
    assert told["version"] == "churn@v1.0.1" and told["stages"] == [
        "staging",
        "production",
    ]
    assert told["data.digest"] == sha256(rows.read_bytes())
    assert told["data.files.models/churn/data/rows.csv"] == sha256_file(rows)
    assert told["code.commit"] == git(world.root, "rev-parse", "churn@v1.0.1^{commit}^")
    assert (told["run.id"], told["run.pull_request"]) == ("run-2", 12)
    assert (told["previous"], told["next"]) == ("v1.0.0", ["v1.1.0"])
    assert told["same_data"] == ["v1.1.0"]
    lines = [
        line.split() for line in ask("lineage", "churn@production").stdout.splitlines()
    ]
    assert ["run.pull_request", "12"] in lines and ["run.actor", "@carl"] in lines
    assert ["data.digest", told["data.digest"][:12]] in lines
    first = data(ask("lineage", "churn@v1.0.0", "--json"))
    assert first["run.id"] == "run-1" and "run.actor" not in first


def test_who_used_this_data(world: World, ask: Ask) -> None:
    three(world)
    append(world.project, record(world, "run-2"))
    rows = world.root / "models" / MODEL / "data" / "rows.csv"
    world.reject("v1.0.1", "production")
    world.reject("v1.0.1", "staging")
    world.withdraw("v1.0.1")
    digest = sha256_file(rows)
    found = data(ask("lineage", digest[:10], "--json"))
    assert [row["used_by"] for row in found] == [
        "churn@v1.1.0",
        "churn@v1.0.1",
        "run run-2",
    ]
    nothing = ask("lineage", "0123456789")
    assert nothing.exit_code == 1
    assert "No recorded version used this data." in nothing.stdout
    assert ask("lineage", "churn").exit_code == 2


def test_a_file_that_went_into_a_snapshot(world: World, ask: Ask) -> None:
    world.release("one")
    path = world.project.build(MODEL) / "snapshot.json"
    raw = json.loads(path.read_text())
    raw["files"][0]["sha256"] = "beef" * 16
    run = record(world, "run-1").model_copy(
        update={"data": Snapshot.model_validate(raw)}
    )
    append(world.project, run)
    (found,) = data(ask("lineage", "beefbeef", "--json"))
    assert (found["used_by"], found["data"]) == (
        "run run-1",
        "models/churn/data/rows.csv",
    )


def test_what_is_behind_a_prediction(world: World, ask: Ask) -> None:
    three(world)
    late = NOW.replace(hour=23, minute=59, second=59, microsecond=900_000)
    ids = [new_id(late) for _ in range(3)]
    log = PredictionLog(world.project.state, MODEL, ("age",))
    asked = pd.DataFrame({"age": [91, 92, 93], "plan": ["basic"] * 3})
    said = pd.DataFrame({"prediction": ["yes"] * 3, "row_id": ["ana", "ben", "carl"]})
    log.write(asked[:2], said[:2], ids[:2], "v1.0.1", late)
    log.write(
        asked[2:], said[2:], ids[2:], "v1.1.0", late + timedelta(seconds=1)
    )  # tomorrow
    path = world.project.state / "predictions" / MODEL / "2026-11-23.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "' + ids[0].encode())  # a crash
    told = data(ask("lineage", ids[1], "--json"))
    assert (told["prediction"], told["version"]) == (ids[1], "churn@v1.0.1")
    assert told["answered"].startswith("2026-11-23T23:59:59")
    text = ask("lineage", ids[2]).stdout
    assert "churn@v1.1.0" in text and "carl" not in text and "basic" not in text
    shutil.rmtree(world.project.state / "predictions" / MODEL)
    gone = ask("lineage", ids[0])
    assert gone.exit_code == 1 and "not in the log" in gone.stderr
    assert find_prediction(world.project.state, ids[0]) is None


# -- origin ----------------------------------------------------------------------------


@pytest.fixture
def origin(world: World, tmp_path: Path) -> Path:
    """The world's origin, which has its versions."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "origin.git")
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(world.root, "push", "-q", "origin", "main")
    three(world)
    git(world.root, "push", "-q", "origin", "main")
    return tmp_path / "origin.git"


READING = (
    "list",
    "show churn@latest",
    "history churn",
    "best churn",
    "lineage churn@latest",
)
READING += ("diff churn@v1.0.0 churn@v1.0.1", "prune")


def test_reading_sees_what_others_did(
    world: World, origin: Path, tmp_path: Path, ask: Ask
) -> None:
    for at, command in enumerate(READING):
        git(tmp_path, "clone", "-q", "--no-tags", str(origin), f"other{at}")
        other = World(tmp_path / f"other{at}")
        assert git(other.root, "tag") == ""
        answer = ask(*command.split(), at=other)
        assert answer.exit_code == 0 and "origin" not in answer.stderr, command
        assert git(other.root, "tag") == git(world.root, "tag")


def test_without_a_network_reading_works_on_what_is_here_and_says_so(
    origin: Path, ask: Ask
) -> None:
    shutil.rmtree(origin)
    for command in READING:
        answer = ask(*command.split())
        assert answer.exit_code == 0, command
        assert (
            "origin cannot be reached; this is what is known locally" in answer.stderr
        ), command


def test_a_tag_that_origin_rewrote_is_an_alarm(
    world: World, origin: Path, ask: Ask
) -> None:
    git(origin, "tag", "-f", "-am", "moved", "churn@v1.0.0", "churn@v1.0.1^{commit}")
    before = git(world.root, "show-ref", "--tags")
    for command in READING:
        answer = ask(*command.split())
        assert answer.exit_code == 1, command
        assert "rewritten" in answer.stderr and "churn@v1.0.0" in answer.stderr, command
        assert git(world.root, "show-ref", "--tags") == before


def test_a_shallow_clone_gets_what_it_needs(
    world: World, origin: Path, tmp_path: Path, ask: Ask
) -> None:
    world.change_code("later")
    git(world.root, "push", "-q", "origin", "main")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{origin}", "shallow")
    shallow = World(tmp_path / "shallow")
    assert git(shallow.root, "tag") == ""
    assert (
        data(ask("show", "churn@production", "--json", at=shallow))["version"]
        == "v1.0.1"
    )
    assert len(data(ask("list", "--json", at=shallow))) == 3
    assert ask("diff", "churn@v1.0.0", "churn@v1.1.0", at=shallow).exit_code == 0
    shutil.copytree(world.project.store, shallow.project.store)
    shallow.now = world.now
    shallow.promote("v1.1.0", "staging")
    assert "churn#staging#4" in git(origin, "tag")


def test_a_shallow_clone_without_network_says_what_it_lacks(
    world: World, origin: Path, tmp_path: Path, ask: Ask
) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{origin}", "shallow")
    shutil.rmtree(origin)
    answer = ask("list", at=World(tmp_path / "shallow"))
    assert (
        "Nothing is registered" in answer.stdout
        and "origin cannot be reached" in answer.stderr
    )


def test_no_remote_is_no_matter(world: World, ask: Ask) -> None:
    three(world)
    assert ask("list").stderr == ""

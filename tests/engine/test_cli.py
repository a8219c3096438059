"""The commands as users meet them: exit codes, JSON, and what bad input gets."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.cli.output import emit
from mlops.config.project import Project
from mlops.io.digests import canonical_json
from mlops.io.files import write_json

from .conftest import ENGINE, PROJECT, git, rows_of, spec_of

Make = Callable[..., Project]


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command in a project, in this process."""

    def run(project: Project | Path, *arguments: str) -> Result:
        monkeypatch.chdir(project if isinstance(project, Path) else project.root)
        result = CliRunner().invoke(app, list(arguments), prog_name="mlops")
        assert "Traceback" not in result.output, result.output
        assert "defect of mlops" not in result.output, result.output
        return result

    return run


def answer(result: Result) -> Any:
    """Return the data that a command printed with --json."""
    return json.loads(result.stdout)


def leftovers(project: Project) -> list[str]:
    """Return temporary files that a killed writer would leave."""
    return [str(p) for p in project.root.rglob(".*.????????") if p.is_file()]


# -- the loop --------------------------------------------------------------------------


def test_a_whole_life(make_project: Make, mlops: Callable[..., Result]) -> None:
    project = make_project()
    first = mlops(project, "run", "churn", "--json")
    assert first.exit_code == 0, first.output
    assert answer(first)["churn"]["gate"]["rule"] == "first version"
    for file in ("report.md", "report.html", "card.md", "record.json"):
        assert (project.build("churn") / file).stat().st_size > 100
    assert (
        mlops(project, "register", "churn")
        .output.strip()
        .endswith("v1.0.0 is registered")
    )
    assert "was registered already" in mlops(project, "register", "churn").output
    assert mlops(project, "promote", "churn@v1.0.0", "production").exit_code == 1
    for stage in ("staging", "production"):
        assert (
            mlops(project, "promote", "churn@v1.0.0", stage, "-m", "first").exit_code
            == 0
        )
    again = mlops(
        project, "promote", "churn@v1.0.0", "production", "-m", "again", "--json"
    )
    assert (again.exit_code, answer(again)["created"]) == (0, False)

    listed = answer(mlops(project, "registry", "list", "--json"))
    assert [(v["version"], v["stages"]) for v in listed] == [
        ("churn@v1.0.0", "staging, production")
    ]
    events = answer(mlops(project, "registry", "history", "churn", "--json"))
    assert [e["event"] for e in events] == [
        "registered v1.0.0",
        "put v1.0.0 into staging",
        "put v1.0.0 into production",
    ]
    assert (
        answer(mlops(project, "registry", "show", "churn@latest", "--json"))["model"]
        == "churn"
    )
    assert mlops(project, "reproduce", "churn@v1.0.0").exit_code == 0

    out = project.root / "answers.csv"
    data = str(project.folder("churn") / "data" / "rows.csv")
    done = mlops(project, "predict", "churn@production", data, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(out)) == 600

    spec = project.folder("churn") / "model.yaml"
    spec.write_text(spec.read_text().replace("learner: logistic", "learner: boosting"))
    git(project.root, "commit", "-qam", "Boosting")
    second = mlops(project, "run", "churn", "--json")
    verdict = answer(second)["churn"]["gate"]
    assert verdict["champion"] == "v1.0.0" and verdict["rule"] == "superiority"
    assert second.exit_code == (0 if verdict["decision"] == "promote" else 1)

    runs = answer(mlops(project, "runs", "list", "churn", "--json"))
    assert [r["training"]["params"]["learner"] for r in runs] == [
        "logistic",
        "boosting",
    ]
    compared = mlops(project, "runs", "compare", *[r["id"] for r in runs])
    assert "params.learner" in compared.output and "boosting" in compared.output
    chosen = mlops(
        project,
        *("runs", "list", "--json"),
        *("--where", "params.learner", "eq", "boosting"),
    )
    assert [r["id"] for r in answer(chosen)] == [runs[1]["id"]]
    assert mlops(project, "runs", "show", runs[0]["id"][:-1]).exit_code == 0
    options = ["--model", "churn", "--since", "30d"]
    options += ["--where", "metrics.roc_auc", "gt", "0.5"]
    filtered = mlops(project, "runs", "list", *options, "--limit", "1", "--json")
    assert [r["id"] for r in json.loads(filtered.stdout)] == [runs[1]["id"]]
    assert "older runs exist" in filtered.stderr
    page = project.root / "build" / "compare.html"
    both = mlops(
        project, "runs", "compare", *[r["id"] for r in runs], "--html", str(page)
    )
    assert both.exit_code == 0 and "boosting" in page.read_text()
    pulled = mlops(
        project, "pull", "churn@production", "--out", str(project.root / "got")
    )
    assert pulled.exit_code == 0 and (project.root / "got" / "model.skops").is_file()


def test_a_clone_knows_what_was_delivered_since(
    make_project: Make, mlops: Callable[..., Result], tmp_path: Path
) -> None:
    """The tags of versions are on no branch: `git pull` does not bring them."""
    project = make_project(n=300)
    store = f"registry:\n  store: {tmp_path / 'releases'}\n"
    (project.root / "project.yaml").write_text(PROJECT + store)
    git(project.root, "commit", "-qam", "One store for all")
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(origin))
    git(project.root, "remote", "add", "origin", str(origin))
    git(project.root, "push", "-q", "origin", "main")
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    for line in ("run churn", "register churn", "promote churn@v1.0.0 staging"):
        assert mlops(project, *line.split()).exit_code == 0
    assert mlops(project, "promote", "churn@staging", "production").exit_code == 0

    elsewhere = Project(clone)
    data = str(elsewhere.folder("churn") / "data" / "rows.csv")
    for line in (f"predict churn@production {data}", "pull churn@production"):
        assert git(clone, "tag") == "", "not by the command before"
        done = mlops(elsewhere, *line.split())
        assert done.exit_code == 0, done.output
        git(clone, "tag", "-d", *git(clone, "tag").split())
    verdict = answer(mlops(elsewhere, "run", "churn", "--json"))["churn"]["gate"]
    assert (verdict["decision"], verdict["champion"]) == ("promote", "v1.0.0")

    git(clone, "tag", "-d", *git(clone, "tag").split())
    git(clone, "remote", "set-url", "origin", str(tmp_path / "gone.git"))
    done = mlops(elsewhere, "run", "churn", "--json")
    assert answer(done)["churn"]["gate"]["rule"] == "first version"
    assert "origin cannot be reached; this is what is known locally" in done.stderr


def test_libraries_alone_have_to_lose_nothing_and_another_split_is_named(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    project = make_project()
    assert mlops(project, "run").exit_code == mlops(project, "register").exit_code == 0
    for stage in ("staging", "production"):
        assert mlops(project, "promote", "churn@v1.0.0", stage).exit_code == 0

    project.lock.write_text(project.lock.read_text() + "numpy==3.0\n")
    git(project.root, "commit", "-qam", "Newer libraries")
    newer = mlops(project, "run", "--json")
    verdict = answer(newer)["churn"]["gate"]
    assert (newer.exit_code, verdict["rule"], verdict["decision"]) == (
        0,
        "non-inferiority",
        "promote",
    )
    assert "was registered already" in mlops(project, "register", "churn").output

    spec = project.folder("churn") / "model.yaml"
    spec.write_text(spec.read_text().replace("  seed: 1\n", "  seed: 2\n"))
    git(project.root, "commit", "-qam", "Another split")
    verdict = answer(mlops(project, "run", "--json"))["churn"]["gate"]
    assert verdict["rule"] == "superiority"
    assert (
        "The split has changed: v1.0.0 may have been trained on up to"
        in verdict["reasons"][-1]
    )


@pytest.mark.parametrize("kept", [True, False])
def test_a_feature_can_be_removed_from_what_is_in_production(
    make_project: Make, mlops: Callable[..., Result], kept: bool
) -> None:
    """The champion predicts while the file has its column; else a person decides."""
    features = {"tenure": "number", "plan": "category", "spend": "number"}
    frame = rows_of().assign(spare=1)
    project = make_project(frame=frame, features={**features, "spare": "number"})
    assert mlops(project, "run").exit_code == mlops(project, "register").exit_code == 0
    for stage in ("staging", "production"):
        assert mlops(project, "promote", "churn@v1.0.0", stage).exit_code == 0
    data = {**spec_of()["data"], "ignore": ["spare"] if kept else []}
    spec = spec_of(
        features=features, data=data, gate={"rule": "non-inferiority", "margin": 0.1}
    )
    (project.folder("churn") / "model.yaml").write_text(json.dumps(spec))
    if not kept:
        frame.drop(columns="spare").to_csv(data_of(project), index=False)
    git(project.root, "commit", "-qam", "Without spare")
    second = mlops(project, "run", "--json")
    assert second.exit_code == (0 if kept else 1), second.output
    verdict = answer(second)["churn"]["gate"]
    assert (verdict["comparison"] is not None) is kept
    record = json.loads((project.build("churn") / "record.json").read_text())
    assert (record["commit"], record["outcome"]) == (
        git(project.root, "rev-parse", "HEAD"),
        "promote" if kept else "inconclusive",
    )
    report = (project.build("churn") / "report.md").read_text()
    assert ("columns are missing: spare" in report) is not kept
    if kept:
        assert "v2.0.0 is registered" in mlops(project, "register", "churn").output


def test_a_run_records_what_a_replay_of_other_rules_needs(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    limit = {"column": "plan", "metric": "accuracy", "max_difference": 0.9}
    slices = {"columns": ["plan"], "min_rows": 20}
    project = make_project(slices=slices, fairness=[limit])
    assert mlops(project, "run").exit_code == 0
    record = json.loads((project.build("churn") / "record.json").read_text())
    assert set(record["rules"]) == {"gate", "checks", "slices", "fairness", "monitor"}
    judged = record["judged"]
    assert judged["latency_ms"] > 0
    assert {part["value"] for part in judged["slices"]} == {""}, "no value of the data"
    assert {str(one["groups"]) for one in judged["fairness"]} == {"[]"}
    (fair,) = [one for one in judged["fairness"] if one["column"] == "plan"]
    path = project.folder("churn") / "model.yaml"
    stricter = path.read_text().replace("difference: 0.9", "difference: 0")
    path.write_text(stricter)
    (found,) = answer(mlops(project, "gate", "--replay", "--json"))
    assert (found["keys"], found["runs"]) == (["fairness"], 1)
    replayed = [(one["replayed"], one["not_recorded"]) for one in found["decisions"]]
    assert replayed == ([("reject", [])] if fair["low"] > 0 else [])


def test_what_is_done_is_not_done_again(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    project = make_project()
    states = answer(mlops(project, "run", "churn", "--json"))["churn"]["stages"]
    assert set(states.values()) == {"ran"}

    def again(*arguments: str) -> dict[str, str]:
        out: dict[str, str] = answer(
            mlops(project, "run", "churn", "--json", *arguments)
        )["churn"]["stages"]
        return out

    assert set(again().values()) == {"skipped"}
    assert len(answer(mlops(project, "runs", "list", "--json"))) == 1, (
        "a no-op is no run"
    )
    assert set(again("--force").values()) == {"ran"}
    test = project.folder("churn") / "tests" / "test_churn.py"
    test.write_text(test.read_text() + "\n\ndef test_more(model):\n    assert model\n")
    assert again() == {
        "validate": "skipped",
        "train": "skipped",
        "test": "ran",
        "gate": "ran",
        "report": "ran",
    }
    (test.parent / "golden.json").write_text("1")
    assert again()["test"] == "ran", (
        "whatever lies beside the tests may be read by them"
    )
    for file in ("spec.json", "record.json"):
        (project.build("churn") / file).unlink()
        again()
        assert (project.build("churn") / file).is_file(), "what is gone is made again"
    for corrupt in ('{"train": {"x": 1}}', "[]"):
        (project.build("churn") / "steps.json").write_text(corrupt)
        assert set(again().values()) == {"ran"}, "not what was written"
    (project.build("churn") / "model.skops").write_bytes(b"changed by hand")
    assert again()["train"] == "ran"
    with (project.folder("churn") / "data" / "rows.csv").open("a") as file:
        file.write("c-new,10,20.5,basic,female,yes\n")
    assert set(again().values()) == {"ran"}, "new data"
    assert set(again().values()) == {"skipped"}


def test_runs_belong_to_groups(
    make_project: Make, mlops: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    assert mlops(project, "run", "churn", "--group", "a b").exit_code == 2
    assert mlops(project, "run", "churn", "--group", "trees").exit_code == 0
    monkeypatch.setenv("MLOPS_GROUP", "night")
    assert mlops(project, "run", "churn", "--force").exit_code == 0
    monkeypatch.delenv("MLOPS_GROUP")
    monkeypatch.setenv("GITHUB_REF", "refs/pull/12/merge")
    assert mlops(project, "run", "churn", "--force").exit_code == 0
    listed = answer(mlops(project, "runs", "list", "--json"))
    assert [r["group"] for r in listed] == ["trees", "night", "pr-12"]
    assert not listed[0]["data"]["columns"], "they are in the report"
    (one,) = answer(mlops(project, "runs", "list", "--group", "night", "--json"))
    assert one["id"] == listed[1]["id"]
    assert (
        mlops(project, "runs", "compare", "--group", "night", listed[0]["id"]).exit_code
        == 0
    )
    alone = mlops(project, "runs", "compare", "--group", "night")
    assert alone.exit_code == 2 and "2 to 20" in alone.output


def test_json_of_an_error(make_project: Make, mlops: Callable[..., Result]) -> None:
    result = mlops(make_project(), "run", "chrun", "--json")
    assert result.exit_code == 2
    error = answer(result)["error"][0]
    assert error["found"] == "chrun" and "churn" in error["do"]


COMMANDS = "new validate train test gate report run register promote rollback predict"
COMMANDS += " serve monitor reject withdraw deprecate sweep reproduce pull pages doctor"
COMMANDS += " rehearse"
GROUPED = ("registry list", "registry show", "registry history")
GROUPED += ("registry best", "registry diff", "registry lineage", "registry prune")
GROUPED += ("runs list", "runs show", "runs compare")
GROUPED += ("monitor check", "monitor accept", "monitor history")
GROUPED += ("github plan", "github apply", "github update", "github propose")
GROUPED += ("github retrain",)


@pytest.mark.parametrize("command", [*COMMANDS.split(), *GROUPED])
def test_every_verb_has_help_with_an_example(
    tmp_path: Path, command: str, mlops: Any
) -> None:
    result = mlops(tmp_path, *command.split(), "--help")
    assert result.exit_code == 0
    assert f"Example: mlops {command}" in " ".join(result.output.split())


def test_a_command_is_explained_in_one_line_of_the_list(
    tmp_path: Path, mlops: Any
) -> None:
    for group in ("", "registry", "runs", "github"):
        text = mlops(tmp_path, *group.split(), "--help").output
        panels = re.split("^╭─ ", text, flags=re.MULTILINE)
        commands = [panel for panel in panels[1:] if not panel.startswith("Options")]
        lines = "".join(commands).splitlines()
        assert len([line for line in lines if re.match(r"│ [a-z]", line)]) >= 3
        two = [line for line in lines if re.match("│ {5}", line)]
        assert not two, "two lines for one command"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mlops.cli.main import app;"
        # typer has its own reason to import it, later
        "assert 'pydantic' not in sys.modules;"
        "from typer.testing import CliRunner;"
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0;"
        "heavy={'pandas','sklearn','numpy','great_expectations','evidently','fastapi','scipy'};"
        "heavy|={'jinja2','requests','github','pytest','matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(ENGINE / "vendor/mlops/src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_what_is_no_number_in_json_is_never_written(
    tmp_path: Path, value: float
) -> None:
    for write in (canonical_json, lambda v: write_json(tmp_path / "a.json", v)):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write({"value": [value]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit({"value": value}, "", as_json=True)
    assert not list(tmp_path.glob("*a.json*"))


# -- bad input -------------------------------------------------------------------------


def data_of(project: Project) -> Path:
    """Return the model's data file."""
    return project.folder("churn") / "data" / "rows.csv"


def rewrite(**columns: Any) -> Callable[[Project], None]:
    """Return a change of the data: columns set to a value."""

    def change(project: Project) -> None:
        rows_of().assign(**columns).to_csv(data_of(project), index=False)

    return change


def only_test_rows_of_one_class(project: Project) -> None:
    """Make every row of the test part a `no`."""
    from mlops.data.snapshot import build

    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    frame = dataset.frame
    frame.loc[dataset.test, "churn"] = "no"
    frame.to_csv(data_of(project), index=False)


BROKEN: dict[str, tuple[Callable[[Project], object], int, tuple[str, ...]]] = {
    "missing file": (
        lambda p: data_of(p).unlink(),
        2,
        ("data.source", "data/*.csv", "no file matches"),
    ),
    "empty file": (lambda p: data_of(p).write_text(""), 2, ("rows.csv", "empty")),
    "blank file": (lambda p: data_of(p).write_text("\n\n"), 2, ("rows.csv", "empty")),
    "header only": (
        lambda p: data_of(p).write_text("customer,tenure,spend,plan,sex,churn\n"),
        2,
        ("rows.csv", "no rows"),
    ),
    "binary file": (
        lambda p: data_of(p).write_bytes(b"\0\1\2" * 99),
        2,
        ("rows.csv", "binary"),
    ),
    "wrong encoding": (
        lambda p: data_of(p).write_bytes(
            data_of(p).read_bytes().replace(b"basic", "básico".encode("latin-1"))
        ),
        2,
        ("rows.csv", "utf-8", "data.encoding"),
    ),
    "ragged rows": (
        lambda p: data_of(p).write_text(data_of(p).read_text() + "a,b,c,d,e,f,g,h\n"),
        2,
        ("rows.csv", "not a table"),
    ),
    "column twice": (
        lambda p: data_of(p).write_text(
            data_of(p).read_text().replace("tenure,spend", "tenure,tenure")
        ),
        2,
        ("rows.csv", "tenure", "twice"),
    ),
    "target missing": (
        lambda p: rows_of().drop(columns="churn").to_csv(data_of(p), index=False),
        1,
        ("churn", "missing"),
    ),
    "target constant": (rewrite(churn="no"), 2, ("rows.csv", "churn", "constant")),
    "target empty": (
        rewrite(churn=None),
        2,
        ("rows.csv", "churn", "no row has a target"),
    ),
    "three classes": (
        rewrite(churn=["yes", "no", "maybe"] * 200),
        2,
        ("churn", "two values", "multiclass"),
    ),
    "class absent from test": (
        only_test_rows_of_one_class,
        2,
        ("rows.csv", "churn", "no yes among test rows", "split"),
    ),
    "column renamed": (
        lambda p: (
            rows_of()
            .rename(columns={"tenure": "Tenure"})
            .to_csv(data_of(p), index=False)
        ),
        1,
        ("tenure", "Tenure"),
    ),
    "extra column": (rewrite(postcode="x"), 1, ("postcode", "data.ignore")),
    "infinite value": (
        rewrite(spend=[np.inf, -np.inf] + [1.0] * 598),
        1,
        ("spend", "finite", "2"),
    ),
    "words among numbers": (
        rewrite(tenure=["many"] + ["3"] * 599),
        1,
        ("tenure", "many"),
    ),
    "times among numbers": (
        rewrite(tenure="2024-01-01 10:00:00"),
        1,
        ("tenure", "finite number", "600 of 600"),
    ),
    "two rows": (
        lambda p: (
            rows_of(n=2).assign(churn=["yes", "no"]).to_csv(data_of(p), index=False)
        ),
        2,
        ("rows.csv", "row"),
    ),
    "wrong delimiter": (
        lambda p: edit(p, "source: data/*.csv", 'source: data/*.csv\n  delimiter: ";"'),
        1,
        ("customer", "missing"),
    ),
    "typo in a key": (
        lambda p: edit(p, "target:", "taget:"),
        2,
        ("model.yaml", "data.taget", "did you mean `target`"),
    ),
    "parameter that is no number": (
        lambda p: edit(p, "learner: logistic", "C: .inf"),
        2,
        ("model.yaml", "train.params.C: input should be a finite number"),
    ),
    "floor that is no number": (
        lambda p: edit(
            p, "task: binary", "task: binary\nchecks: {floor: {roc_auc: .nan}}"
        ),
        2,
        ("model.yaml", "checks.floor.roc_auc: input should be a finite number"),
    ),
    "unknown task": (
        lambda p: edit(p, "task: binary", "task: ranking"),
        2,
        ("model.yaml", "task", "ranking", "binary"),
    ),
    "feature that is the target": (
        lambda p: edit(p, "  spend: number", "  spend: number\n  churn: category"),
        2,
        ("model.yaml", "features", "the target is also a feature"),
    ),
    "not YAML": (
        lambda p: edit(p, "task: binary", "task: [binary"),
        2,
        ("model.yaml", "line"),
    ),
    "key twice": (
        lambda p: edit(p, "task: binary", "task: binary\ntask: binary"),
        2,
        ("model.yaml", "line"),
    ),
    "unknown metric": (
        lambda p: edit(p, "primary: roc_auc", "primary: rocauc"),
        2,
        ("model.yaml", "metrics", "did you mean `roc_auc`"),
    ),
    "syntax error": (
        lambda p: (p.folder("churn") / "estimator.py").write_text(
            "def build(params:\n"
        ),
        2,
        ("models/churn/estimator.py", "line 1"),
    ),
    "no build": (
        lambda p: (p.folder("churn") / "estimator.py").write_text("x = 1\n"),
        2,
        ("models/churn/estimator.py", "build"),
    ),
    "contract raises": (
        lambda p: (p.folder("churn") / "contract.py").write_text(
            "def expectations(gxe):\n    return [gxe.Nothing()]\n"
        ),
        2,
        ("models/churn/contract.py", "Nothing"),
    ),
}


def edit(project: Project, old: str, new: str) -> None:
    """Change model.yaml."""
    path = project.folder("churn") / "model.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("case", BROKEN)
def test_bad_input_gets_one_clear_error(
    make_project: Make, mlops: Callable[..., Result], case: str
) -> None:
    breaks, code, expected = BROKEN[case]
    project = make_project()
    breaks(project)
    result = mlops(project, "run", "churn")
    text = " ".join(result.output.split())
    assert result.exit_code == code, text
    for words in expected:
        assert words in text, text
    assert not leftovers(project)
    assert not (project.build("churn") / "model.skops").exists()


def test_all_mistakes_of_a_specification_at_once(
    make_project: Make, mlops: Any
) -> None:
    project = make_project(
        task="binary", rsk="high", metrics={"primary": "roc_auc", "treshold": 1}
    )
    text = mlops(project, "run", "churn").output
    assert "rsk" in text and "metrics.treshold" in text and text.count("error:") == 2


def test_bad_data_is_reported_in_the_report_too(make_project: Make, mlops: Any) -> None:
    project = make_project()
    mlops(project, "run", "churn")
    rewrite(tenure=[500] * 7 + [3] * 593)(project)
    assert mlops(project, "run", "churn").exit_code == 1
    report = (project.build("churn") / "report.md").read_text()
    assert "7" in report and "tenure" in report
    assert "Put this model into production" not in report, (
        "no verdict of an earlier run"
    )


def test_not_a_git_repository(make_project: Make, mlops: Callable[..., Result]) -> None:
    import shutil

    project = make_project()
    shutil.rmtree(project.root / ".git")
    for command in ("run", "register"):
        result = mlops(project, command, "churn")
        assert result.exit_code == 2 and "not a git repository" in result.output
        assert "git init" in result.output


def test_not_a_repository_of_this_template(
    tmp_path: Path, mlops: Callable[..., Result]
) -> None:
    result = mlops(tmp_path, "run")
    assert result.exit_code == 2 and "no project.yaml" in result.output


def test_dirty_tree_at_register(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    project = make_project()
    assert mlops(project, "run", "churn").exit_code == 0
    (project.root / "models" / "churn" / "note.txt").write_text("x")
    result = mlops(project, "register", "churn")
    assert result.exit_code == 1 and "note.txt" in result.output
    assert git(project.root, "tag") == ""


def test_a_change_that_the_version_does_not_depend_on_is_named_and_no_obstacle(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    project = make_project()
    assert mlops(project, "run", "churn").exit_code == 0
    (project.root / "note.txt").write_text("x")
    result = mlops(project, "register", "churn")
    assert result.exit_code == 0 and "note.txt" in result.output
    assert git(project.root, "tag") != ""


def test_detached_head(make_project: Make, mlops: Callable[..., Result]) -> None:
    project = make_project()
    git(project.root, "checkout", "-q", "--detach")
    assert mlops(project, "run", "churn").exit_code == 0
    result = mlops(project, "register", "churn")
    assert result.exit_code == 0 and "HEAD is on no branch" in result.output


def test_full_disk_while_writing_a_release(
    make_project: Make, mlops: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    assert mlops(project, "run", "churn").exit_code == 0
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if "releases" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        result = mlops(project, "register", "churn")
    assert result.exit_code == 3 and "no space left" in result.output.lower()
    assert git(project.root, "tag") == "", "no version without its files"
    assert not leftovers(project)
    assert mlops(project, "register", "churn").exit_code == 0


def test_read_only_folder(
    make_project: Make, mlops: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the system as to a user: root, who may run tests, writes anywhere."""
    project = make_project()

    def refused(source: Any, target: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))

    monkeypatch.setattr("os.replace", refused)
    result = mlops(project, "run", "churn")
    assert result.exit_code == 3 and "permission denied" in result.output
    assert str(project.build("churn")) in result.output and "writable" in result.output
    assert not leftovers(project)


def test_ctrl_c_in_training_leaves_nothing_half_written(make_project: Make) -> None:
    project = make_project(spec_of()["task"])
    path = project.folder("churn") / "estimator.py"
    path.write_text(
        "import time, pathlib\n"
        + path.read_text()
        + "\n\nclass Slow(LogisticRegression):\n"
        "    def fit(self, X, y):\n"
        "        pathlib.Path('fitting').touch()\n"
        "        time.sleep(60)\n\n\n"
        "def build(params):\n    return Slow()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops", "train", "churn"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ENGINE / "vendor/mlops/src")},
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests in the background has SIGINT ignored, and children
        # inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while not (project.root / "fitting").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (
        process.returncode == 130
        and "interrupted" in stderr
        and "Traceback" not in stderr
    )
    assert not (project.build("churn") / "training.json").exists()
    assert not leftovers(project)

"""The model's own code is kept apart: whatever it does, the engine judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.io import user_code

from .conftest import ENGINE, ESTIMATOR, FEATURES, OWN_TEST

Make = Callable[..., Project]


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command in a project, in this process."""

    def run(project: Project | Path, *arguments: str) -> Result:
        monkeypatch.chdir(project if isinstance(project, Path) else project.root)
        return CliRunner().invoke(app, list(arguments), prog_name="mlops")

    return run


LEAVES = {
    "exit at import": ("estimator.py", "import sys\nsys.exit(0)\n" + ESTIMATOR),
    "exit in build": ("estimator.py", "def build(params):\n    exit()\n"),
    "SystemExit in features": (
        "features.py",
        "def features(raw):\n    raise SystemExit\n",
    ),
    "SystemExit at import": ("features.py", FEATURES + "\nraise SystemExit(0)\n"),
    "exit in the contract": (
        "contract.py",
        "import sys\n\ndef expectations(gxe):\n    sys.exit(0)\n",
    ),
}


@pytest.mark.parametrize("case", LEAVES)
def test_code_that_ends_the_process_fails_its_step(
    make_project: Make, mlops: Callable[..., Result], case: str
) -> None:
    file, source = LEAVES[case]
    project = make_project()
    (project.folder("churn") / file).write_text(source)
    result = mlops(project, "run", "churn")
    assert result.exit_code == 1, result.output
    assert f"models/churn/{file}" in result.output
    assert "ends the process" in result.output
    assert result.output.count("error:") == 1
    assert not (project.build("churn") / "verdict.json").exists()


# -- in a process of its own -----------------------------------------------------------


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run user code in a process of its own, as outside of the tests."""
    monkeypatch.setattr("mlops.pipeline.run.APART", True)


BUILD = "\n\ndef build(params):\n    {}\n"
WRITES = (
    "import pathlib\n    pathlib.Path('build/churn/verdict.json')"
    ".write_text('{}')\n    return LogisticRegression()"
)

HOSTILE = {
    "ends with 0": ("import os; os._exit(0)", "ended its process", "exit code 0"),
    "ends with 3": ("import os; os._exit(3)", "ended its process", "exit code 3"),
    "kills itself": (
        "import os; os.kill(os.getpid(), 9)",
        "ended its process",
        "killed by signal 9",
    ),
    "kills its group": (
        "import os; os.killpg(0, 15)",
        "ended its process",
        "killed by signal 15",
    ),
    "closes everything": (
        "import os; os.closerange(0, 99); raise KeyError",
        "ended its process",
        "churn",
    ),
    "never returns": (
        "import time; time.sleep(600)",
        "did not return within 20 seconds",
        "MLOPS_STEP_SECONDS",
    ),
    "is interrupted": ("raise KeyboardInterrupt", "ends the process", "Interrupt"),
    "writes a verdict": (
        WRITES,
        "wrote into the build folder",
        "verdict.json",
    ),
}


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("case", HOSTILE)
def test_user_code_cannot_decide_how_its_step_ends(
    make_project: Make,
    mlops: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    body, problem, detail = HOSTILE[case]
    if "sleep" in body:
        monkeypatch.setenv("MLOPS_STEP_SECONDS", "20")
    project = make_project(n=200)
    path = project.folder("churn") / "estimator.py"
    path.write_text(ESTIMATOR + BUILD.format(body))
    result = mlops(project, "run", "churn", "--json")
    assert result.exit_code == 1, result.output
    (error,) = json.loads(result.stdout)["error"]
    text = " ".join(error.values())
    assert problem in text and detail in text
    assert not (project.build("churn") / "verdict.json").exists()
    assert not (project.build("churn") / "model.skops").exists()
    assert not list(project.root.glob("build/.churn.private"))


@pytest.mark.usefixtures("apart")
def test_a_step_that_user_code_passes_is_done_as_in_one_process(
    make_project: Make,
    mlops: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Also where it prints, asks for input and looks for credentials."""
    monkeypatch.setenv("GITHUB_TOKEN", "secret-of-the-job")
    monkeypatch.setenv("GITHUB_OUTPUT", "outputs")
    project = make_project(n=300)
    path = project.folder("churn") / "estimator.py"
    noise = (
        "import os, sys\n"
        "print('noise', sys.stdin.read(), os.getpid())\n"
        "os.write(1, b'more noise')\n"
        "assert 'GITHUB_TOKEN' not in os.environ\n"
        "assert 'GITHUB_OUTPUT' not in os.environ\n"
    )
    path.write_text(noise + path.read_text())
    done = mlops(project, "run", "churn", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)["churn"]
    assert answer["gate"]["decision"] == "promote"
    assert set(answer["stages"].values()) == {"ran"}
    printed = capfd.readouterr()
    assert "noise" not in printed.out and "more noise" in printed.err
    assert f" {os.getpid()}" not in printed.err, "in another process"
    model = (project.build("churn") / "model.skops").read_bytes()
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.delenv("GITHUB_OUTPUT")
    monkeypatch.setattr("mlops.pipeline.run.APART", False)
    path.write_text(ESTIMATOR)
    assert mlops(project, "run", "churn", "--force").exit_code == 0
    assert (project.build("churn") / "model.skops").read_bytes() == model


@pytest.mark.usefixtures("apart")
def test_own_tests_that_end_the_process_fail_the_test_step(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    project = make_project(n=200)
    tests = project.folder("churn") / "tests" / "test_churn.py"
    tests.write_text(f"{OWN_TEST}\n\ndef test_leaves():\n    import os; os._exit(0)\n")
    result = mlops(project, "run", "churn")
    assert result.exit_code == 1 and "ended its process" in result.output
    assert (project.build("churn") / "model.skops").exists(), "the train step passed"
    assert not (project.build("churn") / "verdict.json").exists()


@pytest.mark.usefixtures("apart")
def test_the_champion_is_asked_in_the_process_of_user_code(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    project = make_project(n=400)
    assert mlops(project, "run", "churn").exit_code == 0
    assert mlops(project, "register", "churn").exit_code == 0
    for stage in ("staging", "production"):
        assert mlops(project, "promote", "churn@v1.0.0", stage).exit_code == 0
    path = project.folder("churn") / "model.yaml"
    path.write_text(path.read_text() + "\ngate: {rule: non-inferiority}\n")
    again = mlops(project, "run", "churn", "--json")
    answer = json.loads(again.stdout)["churn"]
    assert answer["stages"]["train"] == "skipped"
    assert answer["gate"]["champion"] == "v1.0.0"
    assert answer["gate"]["comparison"]["method"].startswith("identical predictions")
    path.write_text(path.read_text() + "risk: high\n")
    last = json.loads(mlops(project, "run", "churn", "--json").stdout)["churn"]
    assert last["stages"] == {
        "validate": "skipped",
        "train": "skipped",
        "test": "skipped",
        "gate": "skipped",
        "report": "ran",
    }


EXITS = """

chosen = build


def build(params):
    import os

    if params["learner"] == "exits":
        os._exit(0)
    return chosen(params)
"""


@pytest.mark.usefixtures("apart")
def test_a_sweep_runs_user_code_in_a_process_of_its_own(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    """Code that ends the process fails its combination, and no other."""
    project = make_project(n=200)
    path = project.folder("churn") / "estimator.py"
    path.write_text(ESTIMATOR + EXITS)
    alone = mlops(project, "sweep", "churn", "-p", "learner=exits", "--json")
    assert alone.exit_code == 1, alone.output
    (row,) = json.loads(alone.stdout)["tried"]
    assert "ended its process" in row["failed"] and "exit code 0" in row["failed"]
    both = mlops(project, "sweep", "churn", "-p", "learner=exits,logistic", "--json")
    assert both.exit_code == 0, both.output
    good, bad = json.loads(both.stdout)["tried"]
    assert good["learner"] == "logistic" and good["roc_auc"] > 0.5
    assert "ended its process" in bad["failed"]
    assert not list(project.root.glob("build/.churn.private"))
    assert not (project.build("churn") / "cross-validation.json").exists()


@pytest.mark.usefixtures("apart")
def test_a_sweep_in_another_process_finds_the_same(
    make_project: Make,
    mlops: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_project(n=200)
    found = []
    for apart in (True, False):
        monkeypatch.setattr("mlops.pipeline.run.APART", apart)
        done = mlops(project, "sweep", "churn", "-p", "C=0.01,1", "--json")
        rows = json.loads(done.stdout)["tried"]
        found.append([(row["C"], row["roc_auc"], row["low"]) for row in rows])
    assert found[0] == found[1]


KEPT_BACK = {
    "GITHUB_TOKEN": "t",
    "MLFLOW_TRACKING_PASSWORD": "p",
    "AWS_SECRET_ACCESS_KEY": "k",
    "AWS_PROFILE": "production",
    "AZURE_CLIENT_SECRET": "s",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "DATABASE_URL": "postgresql://user:word@host/db",
    "PGPASSFILE": "/home/me/.pgpass",
    "SSH_AUTH_SOCK": "/agent",
    "HTTPS_PROXY": "http://user:word@proxy",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "u",
    "GITHUB_ENV": "/env",
    "PYTHON_KEYRING_PASSWORD": "p",
    "SOMETHING_OF_OURS": "x",
}


@pytest.mark.usefixtures("apart")
@pytest.mark.usefixtures("cold_python")
def test_every_process_of_user_code_gets_little_of_the_environment(
    make_project: Make, tmp_path: Path
) -> None:
    """Estimator, contract and own tests see no variable that holds a secret.

    (features.py may not import `os`; it runs in the process of the estimator.)
    """
    seen = tmp_path / "seen"
    seen.mkdir()
    project = make_project(n=200)
    folder = project.folder("churn")
    files = ("estimator.py", "contract.py", "tests/test_churn.py")
    for name in files:
        path = folder / name
        out = seen / Path(name).stem
        note = (
            f"import json, os\njson.dump(dict(os.environ), open({str(out)!r}, 'w'))\n"
        )
        path.write_text(note + path.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "mlops", "run", "churn"],
        cwd=project.root,
        env={
            **os.environ,
            **KEPT_BACK,
            "PYTHONPATH": str(ENGINE / "vendor/mlops/src"),
            "MLOPS_PASS": "A_FLAG, ANOTHER",
            "A_FLAG": "on",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in files:
        environment = json.loads((seen / Path(name).stem).read_text())
        assert not set(KEPT_BACK) & set(environment), name
        assert environment["PATH"] == os.environ["PATH"]
        assert environment["A_FLAG"] == "on"
        assert environment["OMP_NUM_THREADS"] == "1"
        assert "ANOTHER" not in environment


@pytest.mark.usefixtures("cold_python")
def test_a_contract_that_ends_its_process_fails_validation(make_project: Make) -> None:
    """Great Expectations is in a process of its own, too."""
    project = make_project(n=100)
    path = project.folder("churn") / "contract.py"
    for body in ("import os; os._exit(0)", "import os; os.write(1, b'{}'); return []"):
        path.write_text(f"def expectations(gxe):\n    {body}\n")
        done = subprocess.run(
            [sys.executable, "-m", "mlops", "validate", "churn", "--json"],
            cwd=project.root,
            env={**os.environ, "PYTHONPATH": str(ENGINE / "vendor/mlops/src")},
            capture_output=True,
            text=True,
        )
        if "_exit" in body:
            assert done.returncode == 1, done.stderr
            assert "models/churn/contract.py" in done.stderr
        else:
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["churn"]["ok"] is True


# -- one run at a time -----------------------------------------------------------------


def test_a_second_run_of_a_model_waits_for_the_first_and_says_so(
    make_project: Make,
) -> None:
    project = make_project(n=100)
    slow = project.folder("churn") / "contract.py"
    slow.write_text(
        "import pathlib, time\n\n\ndef expectations(gxe):\n"
        "    pathlib.Path('asked').touch()\n"
        "    while not pathlib.Path('go').exists():\n        time.sleep(0.05)\n"
        "    return []\n"
    )
    command = [sys.executable, "-m", "mlops", "validate", "churn"]
    env = {**os.environ, "PYTHONPATH": str(ENGINE / "vendor/mlops/src")}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=project.root, env=env, stderr=subprocess.PIPE, text=True
        )

    first = start()
    end = time.monotonic() + 120
    while not (project.root / "asked").exists():
        assert time.monotonic() < end and first.poll() is None
        time.sleep(0.05)
    second = start()
    assert second.stderr
    assert "waiting: another run of churn" in second.stderr.readline()
    (project.root / "go").touch()
    _, said = second.communicate(timeout=120)
    assert first.wait(timeout=120) == 0 and second.returncode == 0
    assert "has ended" in said and "unchanged" in said


def test_what_a_killed_run_left_is_removed_by_the_next(
    make_project: Make, mlops: Callable[..., Result]
) -> None:
    project = make_project(n=100)
    build = project.build("churn")
    build.mkdir(parents=True)
    left = build / ".model.skops.0a1b2c3d"
    left.write_bytes(b"half")
    kept = build / ".notes"
    kept.touch()
    assert mlops(project, "validate", "churn").exit_code == 0
    assert not left.exists() and kept.exists()


SLEEPS = """
    import os, pathlib, time
    pathlib.Path(os.environ["MARK"]).write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("file", "head"),
    [
        ("contract.py", "def expectations(gxe):"),
        ("estimator.py", "def build(params):"),
    ],
)
@pytest.mark.usefixtures("cold_python")
def test_what_runs_user_code_ends_with_the_run_that_was_killed(
    make_project: Make, tmp_path: Path, file: str, head: str
) -> None:
    project = make_project(n=100)
    (project.folder("churn") / file).write_text(f"{head}{SLEEPS}")
    mark = tmp_path / "mark"
    engine = str(ENGINE / "vendor/mlops/src")
    names = {"PYTHONPATH": engine, "MARK": str(mark), "MLOPS_PASS": "MARK"}
    command = [sys.executable, "-m", "mlops", "train", "churn"]
    run = subprocess.Popen(command, cwd=project.root, env={**os.environ, **names})
    end = time.monotonic() + 120
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < end and run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    worker = int(mark.read_text())
    while is_running(worker):
        assert time.monotonic() < end, "it goes on without the run"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    """Return whether a process is there that is not merely waited for."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True
    )
    return shown.stdout.strip()[:1] not in ("", "Z")


# -- the job `verdict` of a pull request -----------------------------------------------


def report(folder: Path, model: str, verdict: Any) -> None:
    """Write what the job of a model uploads."""
    build = folder / f"report-{model}" / "build" / model
    build.mkdir(parents=True)
    text = verdict if isinstance(verdict, str) else json.dumps(verdict)
    (build / "verdict.json").write_text(text)


GOOD = {"decision": "promote", "rule": "first version"}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (GOOD, ""),
        (GOOD | {"decision": "reject"}, "its verdict is reject"),
        (GOOD | {"decision": "inconclusive"}, "its verdict is inconclusive"),
        (None, "there is no verdict"),
        ({}, "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (GOOD | {"reasons": ["x" * 2_000_000]}, "not a file of at most"),
    ],
)
def test_each_planned_model_needs_a_verdict_that_says_promote(
    tmp_path: Path, mlops: Callable[..., Result], written: Any, problem: str
) -> None:
    report(tmp_path, "other", GOOD)
    if written is not None:
        report(tmp_path, "churn", written)
    options = ("--models", '["churn", "other"]', "--reports", str(tmp_path))
    result = mlops(tmp_path, "verdict", *options)
    assert result.exit_code == (1 if problem else 0), result.output
    assert ("churn: " in result.output) is bool(problem)
    assert problem in result.output
    assert "other:" not in result.output


def test_a_model_cannot_bring_the_verdict_of_another_one(
    tmp_path: Path, mlops: Callable[..., Result]
) -> None:
    report(tmp_path, "churn", GOOD)
    smuggled = tmp_path / "report-churn" / "build" / "other"
    smuggled.mkdir()
    (smuggled / "verdict.json").write_text(json.dumps(GOOD))
    options = ("--models", '["churn", "other"]', "--reports", str(tmp_path))
    result = mlops(tmp_path, "verdict", *options)
    assert result.exit_code == 1
    assert "other: there is no verdict" in result.output


def test_a_verdict_that_is_a_link_is_not_read(
    tmp_path: Path, mlops: Callable[..., Result]
) -> None:
    report(tmp_path, "churn", GOOD)
    path = tmp_path / "report-churn" / "build" / "churn" / "verdict.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    result = mlops(
        tmp_path, "verdict", "--models", '["churn"]', "--reports", str(tmp_path)
    )
    assert result.exit_code == 1 and "not a file" in result.output


@pytest.mark.parametrize("models", ["", "{}", "null", '["../x"]', "[1]", '["A"]'])
def test_a_plan_that_names_no_models_is_wrong_usage(
    tmp_path: Path, mlops: Callable[..., Result], models: str
) -> None:
    result = mlops(tmp_path, "verdict", "--models", models, "--reports", str(tmp_path))
    assert result.exit_code == 2 and "--models" in result.output


def test_a_command_that_does_not_run_models_cannot_run_one(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job with a token that may write runs is kept from the code of models."""
    from mlops.cli import versions

    project = make_project()
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(versions, "registry_of", runs_a_model)
    done = CliRunner().invoke(app, ["pull", "churn@v1.0.0"])
    assert done.exit_code == 3
    assert "`mlops pull` runs no code of a model" in done.stderr
    assert "was to run models/churn/features.py" in done.stderr
    user_code.require_allowed("models/churn/features.py")  # afterwards anything may


def runs_a_model(*_: object) -> None:
    user_code.load_function(b"def f(): ...", "models/churn/features.py", "f")

"""An interpreter on standby is, for whoever starts a command, the interpreter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.runner.standby import ENGINE as ENGINE_FILES
from rehearsal.runner.standby import Standby, interpreter
from rehearsal.runner.warm import warm

ENGINE = """
import json, os, signal, sys, time

if sys.argv[1:] == ["facts"]:
    facts = {
        "arguments": [sys.argv, sys.orig_argv[1:]],
        "environment": os.environ.get("COLOUR"),
        "secret": os.environ.get("OF_THE_SERVER"),
        "folder": os.getcwd(),
        "input": sys.stdin.read(),
        "venv": sys.prefix,
        "customized": os.environ.get("CUSTOMIZED"),
        "loaded": sorted({"numpy", "pandas", "mlops"} & set(sys.modules)),
    }
    print(json.dumps(facts))
elif sys.argv[1] == "files":
    from mlops import changed, errors

    for module in (changed, errors):
        named = module.printable.__code__.co_filename
        print(named, named == module.__file__, hasattr(module, "CHANGED"))
elif sys.argv[1] == "exit":
    print("to the error stream", file=sys.stderr)
    sys.exit(int(sys.argv[2]))
elif sys.argv[1] == "raise":
    raise ValueError("what happened")
elif sys.argv[1] == "signal":
    os.kill(os.getpid(), signal.SIGTERM)
elif sys.argv[1] == "wait":
    if sys.argv[2] == "politely":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def mlops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the command `mlops` of a checkout whose engine says what it sees."""
    folder = tmp_path_factory.mktemp("standby")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OF_THE_SERVER", "hidden")
        process = Standby(Path(sys.executable), folder / "socket", ("json", "numpy"))
    _, made = warm(folder / "runner", standby=folder / "socket")
    package = folder / "engine" / "mlops"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "__main__.py").write_text(ENGINE, encoding="utf-8")
    same = (ENGINE_FILES / "mlops" / "errors.py").read_text(encoding="utf-8")
    (package / "errors.py").write_text(same, encoding="utf-8")
    (package / "changed.py").write_text(f"{same}\nCHANGED = 1\n", encoding="utf-8")
    (libraries,) = (made / "venv").glob("lib/*/site-packages")
    (libraries / "engine.pth").write_text(f"{package.parent}\n", encoding="utf-8")
    custom = "import os, sys\nos.environ['CUSTOMIZED'] = sys.orig_argv[-1]\n"
    (libraries / "sitecustomize.py").write_text(custom, encoding="utf-8")
    yield made / "venv" / "bin" / "mlops"
    process.close()


def test_a_command_finds_what_it_was_started_with(mlops: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [mlops, "facts"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "COLOUR": "blue"},
        input="a line",
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(done.stdout)
    main = str(mlops.parents[4] / "engine" / "mlops" / "__main__.py")
    assert facts == {
        "arguments": [[main, "facts"], ["-P", "-m", "mlops", "facts"]],
        "environment": "blue",
        "secret": None,
        "folder": str(tmp_path),
        "input": "a line",
        "venv": str(mlops.parents[1]),
        "customized": "facts",
        "loaded": ["mlops", "numpy"],
    }


@pytest.mark.parametrize(("words", "code"), [(["exit", "3"], 3), (["exit", "0"], 0)])
def test_its_exit_code_is_the_command_s(
    mlops: Path, words: list[str], code: int
) -> None:
    done = subprocess.run([mlops, *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "to the error stream\n"


def test_an_error_is_told_and_a_signal_is_passed_on(mlops: Path) -> None:
    done = subprocess.run([mlops, "raise"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: what happened\n")
    assert subprocess.run([mlops, "signal"]).returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("how", "number", "code"),
    [
        ("politely", signal.SIGTERM, 7),
        ("rudely", signal.SIGTERM, -signal.SIGTERM),
        ("rudely", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_whoever_stops_the_client_stops_the_command(
    mlops: Path, how: str, number: int, code: int
) -> None:
    with subprocess.Popen([mlops, "wait", how], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        worker = int(client.stdout.readline())
        assert worker != client.pid
        client.send_signal(number)
        assert client.wait(timeout=30) == code
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "it goes on without its client"
        time.sleep(0.01)


@pytest.mark.parametrize("server", [signal.SIG_DFL, signal.SIG_IGN])
@pytest.mark.parametrize("client", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_command_ignores_what_its_client_was_started_to_ignore(
    server: signal.Handlers, client: signal.Handlers, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGINT, server)
    try:
        process = Standby(Path(sys.executable), tmp_path / "socket", ("json",))
    finally:
        signal.signal(signal.SIGINT, before)
    python = interpreter(Path(sys.executable), tmp_path / "socket")
    folder = tmp_path / "mlops"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text(
        "import signal\nprint(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)\n"
    )
    done = subprocess.run(
        [python, "-m", "mlops"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, client),
    )
    process.close()
    assert done.stdout == f"{client == signal.SIG_IGN}\n", done.stderr


def test_what_is_imported_is_of_the_checkout_though_compiled_before(
    mlops: Path,
) -> None:
    done = subprocess.run([mlops, "files"], capture_output=True, text=True, check=True)
    package = mlops.parents[4] / "engine" / "mlops"
    assert done.stdout.splitlines() == [
        f"{package / 'changed.py'} True True",
        f"{package / 'errors.py'} True False",
    ]


def test_pytest_runs_on_standby_too(mlops: Path, tmp_path: Path) -> None:
    text = "import sys\n\ndef test_it():\n    assert 'numpy' not in sys.modules\n"
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    python = mlops.with_name("python")
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "assert 'numpy' not in" in done.stdout


def test_what_is_no_command_of_the_engine_is_left_to_the_interpreter(
    mlops: Path,
) -> None:
    python = mlops.with_name("standby")
    code = "import sys; print('numpy' in sys.modules, sys.orig_argv[1:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False ['-c']\n"


def test_it_ends_though_a_fork_of_whoever_started_it_lives_on(tmp_path: Path) -> None:
    """Such a fork has the end of the pipe that keeps it on standby."""
    process = Standby(Path(sys.executable), tmp_path / "socket", libraries=())
    copy = os.fork()
    if copy == 0:
        time.sleep(60)
        os._exit(0)
    process.close()
    assert os.waitpid(copy, os.WNOHANG) == (0, 0)
    os.kill(copy, signal.SIGKILL)
    os.waitpid(copy, 0)

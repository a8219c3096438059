"""Interpreters on standby: forks of a process that has imported the libraries.

On small data, importing libraries is nine tenths of what a command of the engine takes.
A story runs hundreds of commands, so one process imports the libraries once and forks
for each command. None of the engine's own modules is in that process: a command
imports those of its own checkout, and sees the arguments, environment, folder, streams
and exit code that it would have anyway. Linux only; elsewhere, and for whoever wants
the real thing, `warm` starts cold interpreters.

`main` runs in the process on standby. `client.py` stands where the interpreter would.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import import_module, invalidate_caches
from importlib.machinery import SourceFileLoader
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from types import CodeType
from typing import Any

import rehearsal
from rehearsal.stories.template import ROOT, TREE

# What the engine imports in some command or other.
LIBRARIES = (
    "email.message",
    "importlib.metadata",
    "typer.main",
    "rich.console",
    "rich.table",
    "ruamel.yaml",
    "jinja2",
    "requests",
    "numpy",
    "pandas",
    "pyarrow.csv",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.compose",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "skops.io",
    "skl2onnx",
    "matplotlib.figure",
    "pytest",
    "great_expectations.expectations",
    "great_expectations.validator.validator",
    "evidently",
    "fastapi",
    "uvicorn",
)

# The engine's source in this template. Its modules are compiled here, and imported by
# commands: most checkouts have the same files, in another folder.
ENGINE = ROOT / TREE / "vendor" / "mlops" / "src"

# A process is named so, and by the number of the process that it stands for.
NAME = "standby"

_START = "import sys; from rehearsal.runner import standby; standby.main(*sys.argv[1:])"

# Longest message of a client: arguments and environment.
_LONGEST = 1 << 24


# Address of the interpreter on standby that runners of this process may use.
VARIABLE = "REHEARSAL_STANDBY"


def on_standby(python: Path) -> Path | None:
    """Return the address of an interpreter on standby, if there is one.

    Parameters
    ----------
    python : Path
        The interpreter whose environment jobs get: only this process's own is kept on
        standby.
    """
    address = os.environ.get(VARIABLE)
    if not address or python != Path(sys.executable):
        return None
    return Path(address)


_INTERPRETER = """#!/bin/sh
exec '{base}' -I -S '{client}' '{address}' '{venv}' "$0" "$@"
"""


def interpreter(python: Path, address: Path) -> Path:
    """Write a program that has the commands of the engine run on standby.

    Beside it lie the other programs of the interpreter's environment.

    Parameters
    ----------
    python : Path
        The interpreter of the environment that is on standby, whose folder it has.
    address : Path
        Of the interpreter on standby; the program is written beside it.

    Returns
    -------
    Path
        To be run where `python` would be.
    """
    folder = address.parent / "bin"
    folder.mkdir()
    for program in python.parent.iterdir():
        if not program.name.startswith("python"):
            (folder / program.name).symlink_to(program)
    text = _INTERPRETER.format(
        base=python.resolve(),
        client=Path(__file__).with_name("client.py"),
        address=address,
        venv=python.parent.parent,
    )
    written = folder / "python"
    written.write_text(text, encoding="utf-8")
    written.chmod(0o755)
    return written


class Standby:
    """A process on standby, ended with the process that started it.

    Parameters
    ----------
    python : Path
        The interpreter of an environment that has the libraries.
    address : Path
        Of the socket that it listens on; its folder must exist.
    libraries : sequence of str
        What it imports; a library that is not there is left out.
    """

    def __init__(
        self, python: Path, address: Path, libraries: Sequence[str] = LIBRARIES
    ) -> None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(address))
        # Clients wait in this queue while the libraries are imported.
        listening.listen(64)
        root = Path(rehearsal.__file__).parents[1]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(address.parent),
            "PYTHONPATH": str(root),
            "MPLCONFIGDIR": str(address.parent),
        }
        number = listening.fileno()
        self._process = subprocess.Popen(
            [str(python), "-P", "-c", _START, str(number), *libraries],
            pass_fds=[number],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        listening.close()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        # A fork of the process that started it may still hold the other end open.
        self._process.terminate()
        self._process.wait()


def main(number: str, *libraries: str) -> None:
    """Import the libraries, then fork for each client until standard input ends.

    Parameters
    ----------
    number : str
        Of the file descriptor of the socket.
    libraries : str
        What to import.
    """
    listening = socket.socket(fileno=int(number))
    prepared = _prepare()
    for library in libraries:
        with contextlib.suppress(ImportError):
            import_module(library)
    # What this environment says of its checkout, the next one says otherwise.
    for name in [name for name in sys.modules if name.partition(".")[0] in _OWN]:
        del sys.modules[name]
    threads = threading.active_count()
    assert threads == 1, f"{threads} threads: a fork would have one of them"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _compile_once(ENGINE)
    gc.collect()
    gc.freeze()
    os.set_blocking(0, False)
    listening.settimeout(0.5)
    while not _is_over():
        try:
            client, _ = listening.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listening.close()
            _supervise(client, prepared)
        client.close()


def _prepare() -> dict[str, str]:
    """Set what libraries read when they are imported, as the engine does; return it."""
    before = dict(os.environ)
    sys.path.insert(0, str(ENGINE))
    import_module("mlops.settings").prepare_process()
    sys.path.remove(str(ENGINE))
    return {name: value for name, value in os.environ.items() if name not in before}


def _compile_once(source: Path) -> None:
    """Compile sources now, so that no fork compiles a file that holds the same."""
    compiled = {}
    for path in source.rglob("*.py"):
        content = path.read_bytes()
        compiled[content] = compile(content, str(path), "exec", dont_inherit=True)
    loader: Any = SourceFileLoader
    compile_file = loader.source_to_code

    def source_to_code(
        self: SourceFileLoader, data: Any, path: Any, **options: Any
    ) -> CodeType:
        if isinstance(data, bytes) and data in compiled:
            return _at(compiled[data], os.fsdecode(path))
        code: CodeType = compile_file(self, data, path, **options)
        return code

    loader.source_to_code = source_to_code


def _at(code: CodeType, path: str) -> CodeType:
    """Return code as it would be, had it been compiled from another file."""
    constants = tuple(
        _at(one, path) if isinstance(one, CodeType) else one for one in code.co_consts
    )
    return code.replace(co_filename=path, co_consts=constants)


# Modules that a command imports anew: the engine's, and what a site brings along.
_OWN = ("mlops", "rehearsal", "sitecustomize", "usercustomize")


def _is_over() -> bool:
    """Return whether standard input has ended: whoever started this is gone."""
    try:
        return os.read(0, 1) == b""
    except BlockingIOError:
        return False


def _supervise(client: socket.socket, prepared: dict[str, str]) -> None:
    """Run one command in a process of its own, and tell the client how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    client.settimeout(60)
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    (asker,) = struct.unpack("i", credentials[:4])
    message, streams, _, _ = socket.recv_fds(client, _LONGEST, 3)
    while not message.endswith(b"\n"):
        message += client.recv(_LONGEST)
    request = json.loads(message)
    process = os.fork()
    if process == 0:
        Path("/proc/self/comm").write_text(f"{NAME} {asker}")
        request["environment"] = prepared | request["environment"]
        _become(request, client, streams)
    for stream in streams:
        os.close(stream)
    client.sendall(f"{process}\n".encode())
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(BrokenPipeError):  # the client was killed
        client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], client: socket.socket, streams: list[int]) -> None:
    """Take over what the client was started with, run its command, and end."""
    os.setsid()
    # When the client is killed, so is this process with all that it started.
    fcntl.fcntl(client, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(client, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(client, fcntl.F_GETFL)
    fcntl.fcntl(client, fcntl.F_SETFL, flags | os.O_ASYNC)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    _heed_signals(request["ignored"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    _open_streams()
    sys.orig_argv = [request["python"], *request["arguments"]]
    _enter(Path(request["venv"]), request["python"])
    code = _run(request["arguments"])
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _heed_signals(ignored: list[int]) -> None:
    """Ignore the signals that the client was started to ignore, and no others.

    A shell has what it starts in the background ignore SIGINT: the process on standby
    may do so, while its client does not, or the other way round.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


def _open_streams() -> None:
    """Make the streams of this interpreter anew, as its environment wants them."""
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    lines = os.isatty(1)
    given = BufferedReader(FileIO(0, "rb"))
    out = BufferedWriter(FileIO(1, "wb"))
    errors = BufferedWriter(FileIO(2, "wb"))
    sys.stdin = TextIOWrapper(given, encoding)
    sys.stdout = TextIOWrapper(out, encoding, line_buffering=lines)
    sys.stderr = TextIOWrapper(
        errors, encoding, "backslashreplace", line_buffering=True
    )


def _enter(venv: Path, python: str) -> None:
    """Enter a virtual environment: its paths, its customization, its name."""
    import site

    import numpy as np

    np.random.seed()
    sys.executable = python
    sys.prefix = str(venv)
    sys.exec_prefix = str(venv)
    first = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, first), *_standard(sys.path)]
    site.ENABLE_USER_SITE = False
    for folder in sorted(venv.glob("lib/python*/site-packages")):
        site.addsitedir(str(folder))
    invalidate_caches()
    with contextlib.suppress(ImportError):
        import_module("sitecustomize")


def _standard(paths: list[str]) -> list[str]:
    """Return the paths of the standard library."""
    base = sys.base_prefix
    inside = [path for path in paths if path.startswith(base)]
    return [path for path in inside if "site-packages" not in path]


def _run(arguments: list[str]) -> int:
    """Run what stands behind the interpreter's name, and return its exit code."""
    options = [*arguments]
    safe = options[0] == "-P"
    if safe:
        options.pop(0)
    kind = options.pop(0)
    what = options.pop(0)
    sys.argv = [kind, *options]
    if not safe:
        sys.path.insert(0, os.getcwd() if kind == "-m" else "")
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            main_module = type(sys)("__main__")
            sys.modules["__main__"] = main_module
            exec(compile(what, "<string>", "exec"), vars(main_module))
    except SystemExit as ended:
        return _exit_code(ended)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        import atexit

        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    return 0


def _exit_code(ended: SystemExit) -> int:
    """Return the exit code that an interpreter ends with."""
    if ended.code is None:
        return 0
    if isinstance(ended.code, int):
        return ended.code
    print(ended.code, file=sys.stderr)
    return 1

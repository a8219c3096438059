"""The command line: verbs only; what they do is in the rooms, imported when a verb needs it."""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from mlops import __version__
from mlops.errors import MlopsError, WorldError
from mlops.files import cannot


class Verbs(TyperGroup):
    """Turns every failure into one message and the right exit code; never a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether errors are wanted as data too."""
        self.as_json = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except MlopsError as error:
            stop(error, self.as_json)
        except KeyboardInterrupt:
            print("\ninterrupted; nothing was left half written", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(3) from None
        except OSError as error:
            stop(cannot("use", Path(error.filename or "."), error), self.as_json)
        except Exception as error:
            if type(error).__module__.startswith("typer."):  # its own way to end a command
                raise
            stop(_unexpected(error), self.as_json)


def stop(error: MlopsError, as_json: bool) -> NoReturn:
    """Print an error and leave with its exit code."""
    if as_json:
        document = {"error": [vars(p) for p in error.problems], "exit_code": error.exit_code}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    raise typer.Exit(error.exit_code) from None


def _unexpected(error: Exception) -> MlopsError:
    """Return the message for a defect of ours; the traceback goes to a file."""
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(
        "w", prefix="mlops-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return WorldError(
        f"this is a defect of mlops {__version__} ({type(error).__name__}: {error}); "
        f"please report it with {file.name}"
    )


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
The whole life of a model, from data to service and back.

Begin with `mlops run`. Each step says what comes next, each verb has `--help`.

Exit codes: 0 yes, 1 the answer is no, 2 wrong usage, 3 the world failed.
""",
)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Hold what belongs to no verb."""
    if show:
        print(f"mlops {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    # Imports make half a million objects that live to the end: looking them through again, as
    # the collector does at its own thresholds, is a tenth of the time of importing.
    gc.set_threshold(100_000, 20, 100)
    # OpenMP threads that spin while they wait slow everything down on busy machines.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    one_kernel()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="mlops")


def one_kernel() -> None:
    """Let OpenBLAS add in one order on every x86-64: by default the CPU decides, and so the bytes.

    Those of Haswell are on all that have AVX2; other machines are left as they are.
    """
    with suppress(OSError), Path("/proc/cpuinfo").open() as cpu:
        if platform.machine() == "x86_64" and " avx2 " in cpu.read(1 << 14):
            os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


_PARTS = ("pipeline", "releases", "live", "look", "questions", "runs", "ci", "github")
for _part in (*_PARTS, "rehearse"):  # in the order of --help
    import_module(f"mlops.cli.{_part}")

"""The application that commands register with, and how every failure ends.

The commands are in the modules beside this one; what they do is in the packages below,
imported when a command needs it.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from mlops import __version__, settings
from mlops.cli.extras import RUNS_MODEL_CODE, missing_extra
from mlops.cli.output import emit
from mlops.errors import EnvironmentFailure, MlopsError, Refused, out_of_memory
from mlops.io.files import cannot
from mlops.io.user_code import kept_from

ORIGIN_SECONDS = 60  # for origin to answer; after that, what is known locally is used


class Commands(TyperGroup):
    """Turns every failure into one message and an exit code; never a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether errors are wanted as data too."""
        self.as_json = "--json" in args
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; most are kept from running the code of a model."""
        found = super().resolve_command(ctx, args)
        name = found[0]
        if name and name not in RUNS_MODEL_CODE:
            ctx.with_resource(kept_from(name))
        return found

    def invoke(self, ctx: Any) -> Any:
        """Run a command with the settings that the environment holds now."""
        try:
            with settings.using(settings.read()):
                return super().invoke(ctx)
        except MlopsError as error:
            stop(error, self.as_json)
        except KeyboardInterrupt:
            print("\ninterrupted; nothing was left half written", file=sys.stderr)
            raise typer.Exit(130) from None
        except SystemExit:
            stop(
                Refused(
                    "something ended the process while this command was running",
                    do="look for exit() in the model's own code",
                ),
                self.as_json,
            )
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(3) from None
        except OSError as error:
            stop(cannot("use", Path(error.filename or "."), error), self.as_json)
        except ModuleNotFoundError as error:
            known = missing_extra(error, ctx.invoked_subcommand)
            stop(known or _defect(error), self.as_json)
        except MemoryError:
            stop(out_of_memory(), self.as_json)
        except Exception as error:
            # Typer ends a command by raising exceptions of its own.
            if type(error).__module__.startswith("typer."):
                raise
            stop(_defect(error), self.as_json)


def stop(error: MlopsError, as_json: bool) -> NoReturn:
    """Print an error and leave with its exit code."""
    document = {
        "error": [vars(problem) for problem in error.problems],
        "exit_code": error.exit_code,
    }
    emit(document, "", as_json)
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    raise typer.Exit(error.exit_code) from None


def _defect(error: Exception) -> MlopsError:
    """Return the message for a defect of the engine; the traceback goes to a file."""
    from tempfile import NamedTemporaryFile

    message = (
        f"this is a defect of mlops {__version__} "
        f"({type(error).__name__}: {str(error)[:300]})"
    )
    try:
        with NamedTemporaryFile(
            "w", prefix="mlops-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return EnvironmentFailure(message, do="please report it")
    return EnvironmentFailure(message, do=f"please report it with {file.name}")


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
Train, test, release, serve and monitor machine learning models.

Start with `mlops run`. Each command says what to do next and has `--help`.

Exit codes: 0 yes, 1 failed, 2 wrong usage, 3 environment failed.
""",
)


@app.callback(invoke_without_command=True)
def version(
    show: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    """Hold the options that belong to no command."""
    if show:
        print(f"mlops {__version__}")
        raise typer.Exit

"""How many tasks at once, and where: the options of commands that share work."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from mlops.errors import UsageError, did_you_mean

Jobs = Annotated[
    int | None,
    Option(
        "--jobs",
        "-j",
        help="How many at once; -1: one for each processor, or all of a cluster.",
    ),
]

Backend = Annotated[
    str | None,
    Option(help="Where: loky (processes), threading, dask or ray, through joblib."),
]

BACKENDS = ("loky", "threading", "dask", "ray")

MOST_JOBS = 1024


def workers(backend: str | None, jobs: int | None) -> tuple[str, int]:
    """Return a backend of joblib and how many tasks at once.

    Neither option: one after the other, without joblib (an empty backend). A cluster
    has all its workers, unless --jobs says how many.

    Raises
    ------
    UsageError
        For a backend that is none of these, or a number that makes no sense.
    """
    if jobs is not None and not (jobs == -1 or 1 <= jobs <= MOST_JOBS):
        raise UsageError(
            "not a number of jobs",
            key="--jobs",
            found=str(jobs),
            allowed=f"1 to {MOST_JOBS}, or -1",
        )
    if backend is None:
        return ("", 1) if jobs in (None, 1) else ("loky", jobs or 1)
    if backend not in BACKENDS:
        raise UsageError(
            "not a backend",
            key="--backend",
            found=backend,
            allowed=", ".join(BACKENDS),
            do=did_you_mean(backend, BACKENDS),
        )
    return backend, jobs or -1

"""Tasks on processes and machines that joblib knows: loky, threads, Dask, Ray.

A worker can be killed, by the system where memory runs out, or with its machine. What
was done until then stays done, and the rest is tried again: together, because it was
most likely somebody else's fault, and in the end one by one, so that a task that kills
its worker is known by name and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mlops.errors import EnvironmentFailure, error_facts

# Backend: the module that it needs, and the package that has it.
BACKENDS = {
    "loky": ("joblib", "joblib"),
    "threading": ("joblib", "joblib"),
    "dask": ("distributed", "distributed"),
    "ray": ("ray", "ray"),
}

_FIRST_WORKER = 60  # seconds that a cluster may take to start its first

_TOGETHER = 2  # how often all that is left is tried at once
_SINGLY = 2  # and then each by itself

Task = Callable[[Any, Any], dict[str, Any]]


@dataclass(frozen=True)
class Pool:
    """A backend of joblib that is ready.

    Parameters
    ----------
    backend : str
        One of `BACKENDS`.
    jobs : int
        How many tasks at once; -1: as many as there are processors or workers.
    shared : object
        The large argument that is in each task.
    options : dict
        What else joblib is told.
    """

    backend: str
    jobs: int
    shared: Any
    options: dict[str, Any]


def spread(
    task: Task, items: Sequence[Any], backend: str, jobs: int, shared: Any
) -> list[dict[str, Any]]:
    """Return what a task gives for each item, in their order.

    Parameters
    ----------
    task : callable
        Can be pickled; takes `shared` and an item and returns JSON values, whatever
        happens.
    items : sequence
    backend : str
        One of `BACKENDS`.
    jobs : int
        How many at once; -1: as many as there are processors or workers.
    shared : object
        The large argument that is in each task.

    Returns
    -------
    list of dict
        The facts of an error for a task that ended its worker each time.

    Raises
    ------
    EnvironmentFailure
        When the backend is not installed, or its cluster cannot be reached.
    """
    at_once = partial(_results, task, items, _pool(backend, jobs, shared))
    found: dict[int, dict[str, Any]] = {}
    reason: Exception | None = None
    for _ in range(_TOGETHER):
        waiting = [number for number in range(len(items)) if number not in found]
        reason = _try(at_once, waiting, found) or reason
    for number in range(len(items)):
        for _ in range(_SINGLY):
            if number not in found:
                reason = _try(at_once, [number], found) or reason
        if number not in found:
            found[number] = error_facts(_killed(reason))
    return [found[number] for number in range(len(items))]


def require_backend(name: str) -> None:
    """Raise EnvironmentFailure where a backend is not installed."""
    module, package = BACKENDS[name]
    if find_spec(module) is None:
        raise EnvironmentFailure(
            f"the backend {name} is not installed",
            key="--backend",
            found=name,
            do=f"add {package} to `models` in pyproject.toml, then `make lock` and "
            "`make setup`",
        )


def _pool(name: str, jobs: int, shared: Any) -> Pool:
    """Return a backend that is ready: its cluster has been reached."""
    require_backend(name)
    options: dict[str, Any] = {}
    try:
        if name == "dask":
            _connect_to_dask()
            # Sent once to each worker, not once with each task.
            options = {"scatter": [shared], "wait_for_workers_timeout": _FIRST_WORKER}
        elif name == "ray":
            _connect_to_ray()
    except Exception as error:
        raise EnvironmentFailure(
            f"the cluster cannot be reached: {type(error).__name__}: {error}"[:300],
            key="--backend",
            found=name,
            do="look at DASK_SCHEDULER_ADDRESS or RAY_ADDRESS, and whether it runs",
        ) from error
    return Pool(name, jobs, shared, options)


def _connect_to_dask() -> None:
    """Be a client of the scheduler that the environment names, or of one made here.

    joblib takes the client of this process.
    """
    distributed = import_module("distributed")
    try:
        distributed.get_client()
    except ValueError:  # there is none yet
        distributed.Client(set_as_default=True)


def _connect_to_ray() -> None:
    """Be a driver of the cluster that the environment names, or of one made here."""
    ray = import_module("ray")
    if not ray.is_initialized():
        ray.init(logging_level="ERROR", log_to_driver=False, include_dashboard=False)
    import_module("ray.util.joblib").register_ray()


def _try(
    at_once: Callable[[Sequence[int]], Iterator[tuple[int, dict[str, Any]]]],
    numbers: Sequence[int],
    found: dict[int, dict[str, Any]],
) -> Exception | None:
    """Add what comes of some items; return what ended them before all were done.

    A task returns its own errors: what is raised is its worker's.
    """
    if not numbers:
        return None
    try:
        for number, result in at_once(numbers):
            found[number] = result
    except Exception as error:
        return error
    return None


def _results(
    task: Task, items: Sequence[Any], pool: Pool, numbers: Sequence[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield what comes of some items, each as soon as it is there."""
    import joblib

    # Ray's pool hands over all at once.
    returned = "list" if pool.backend == "ray" else "generator_unordered"
    numbered = joblib.delayed(_numbered)
    calls = (numbered(task, pool.shared, number, items[number]) for number in numbers)
    with joblib.parallel_config(pool.backend, n_jobs=pool.jobs, **pool.options):
        parallel = joblib.Parallel(return_as=returned, batch_size=1)
        yield from parallel(calls)


def _numbered(
    task: Task, shared: Any, number: int, item: Any
) -> tuple[int, dict[str, Any]]:
    """Do a task and return which it was: they end in any order.

    What an estimator shares out itself stays in its worker. Dask would take it to
    workers that are busy with other tasks, each waiting for its turn: for ever.
    """
    import joblib

    with joblib.parallel_config("sequential"):
        return number, task(shared, item)


def _killed(reason: Exception | None) -> EnvironmentFailure:
    """Return the error for a task that its worker did not survive."""
    return EnvironmentFailure(
        f"its worker ended each of the {_TOGETHER + _SINGLY} times that it was tried "
        f"({type(reason).__name__})",
        do="memory may have run out: try fewer --jobs, or larger machines; or look for "
        "os._exit, os.kill and the like in the model's Python files",
    )

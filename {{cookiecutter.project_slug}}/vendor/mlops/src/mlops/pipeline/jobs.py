"""How the models of a plan are shared among the jobs of a matrix.

GitHub refuses a matrix of more than 256 jobs, and each job sets everything up anew.
Where there are more models than jobs that run at once, small models share a job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops.config.project_spec import MOST_JOBS, Jobs

# What a model is taken to need where no run of any model is on the run log.
_UNKNOWN_SECONDS = 60.0


def shared(
    models: Sequence[str], seconds: Mapping[str, float], limits: Jobs
) -> dict[str, list[str]]:
    """Return the jobs of a matrix by name, with the models of each.

    The longest model goes first, each to the job that has least to do until then: no
    job takes more than 4/3 of what the best division would.

    Parameters
    ----------
    models : sequence of str
        Each of them is in exactly one job.
    seconds : mapping of str to float
        How long the last run of a model took, as far as that is known. Others are
        taken for the median of these.
    limits : Jobs
        Of `project.yaml`.

    Returns
    -------
    dict of str to list of str
        At most 256 jobs. One with one model has its name.

    References
    ----------
    R. L. Graham, Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17
    (1969).
    """
    known = sorted(seconds[name] for name in models if name in seconds)
    usual = known[len(known) // 2] if known else _UNKNOWN_SECONDS
    needed = {name: seconds.get(name, usual) for name in sorted(models)}
    most = min(len(needed), MOST_JOBS)
    number = min(most, limits.at_once)
    groups = _divided(needed, number)
    while number < most and _too_long(groups, needed, limits.minutes * 60):
        number = min(most, number + max(1, number // 4))
        groups = _divided(needed, number)
    return {_name(group): group for group in sorted(groups)}


def _divided(needed: Mapping[str, float], number: int) -> list[list[str]]:
    """Return the models in so many groups that take about as long as each other."""
    groups: list[list[str]] = [[] for _ in range(number)]
    loads = [0.0] * number
    for name in sorted(needed, key=lambda name: (-needed[name], name)):
        # Of equal loads the one with fewer models: a model may take no time at all.
        least = min(range(number), key=lambda at: (loads[at], len(groups[at]), at))
        groups[least].append(name)
        loads[least] += needed[name]
    return [sorted(group) for group in groups]


def _too_long(
    groups: Sequence[Sequence[str]], needed: Mapping[str, float], limit: float
) -> bool:
    """Return whether several models together take longer than they may."""
    return any(
        len(group) > 1 and sum(needed[name] for name in group) > limit
        for group in groups
    )


def _name(group: Sequence[str]) -> str:
    """Return the name of a job: no model's, where it has several."""
    if len(group) == 1:
        return group[0]
    return f"{group[0]}-and-{len(group) - 1}-more"

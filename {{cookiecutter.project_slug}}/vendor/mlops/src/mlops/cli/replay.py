"""A change of the rules on the past of a model: `mlops gate --replay`, and comments."""

from __future__ import annotations

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.config.yaml import load_text, parse
from mlops.errors import UsageError
from mlops.gate.replay import changed_keys, replayed_run
from mlops.io.git import GitError, git
from mlops.monitoring.replay import replayed_checks
from mlops.reporting.past_checks import history_of
from mlops.results.replay import Replay, ReplayedCheck
from mlops.runlog import query

_MOST_RUNS = 500  # the newest ones

_MOST_CHECKS = 520

# What a change is measured against where nobody says it, the first that there is.
_BASES = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "HEAD")


def replay_of(project: Project, name: str, old: ModelSpec, new: ModelSpec) -> Replay:
    """Return what other rules would have changed in the past of a model.

    Parameters
    ----------
    old, new : ModelSpec
        Before the change and after it.
    """
    keys = changed_keys(old, new)
    if not keys:
        return Replay(model=name, keys=())
    records = query.records(project, name, limit=_MOST_RUNS)
    runs = [replayed_run(record, old, new) for record in records]
    judged = [run for run in runs if run is not None]
    watched = tuple(key for key in keys if key.startswith("monitor."))
    checks: tuple[ReplayedCheck, ...] = ()
    if watched:
        past = history_of(query.checks(project, name)[-_MOST_CHECKS:])
        requests = query.retraining_requests(project, name)
        checks = replayed_checks(past, requests, new.monitor, watched)
    return Replay(
        model=name,
        keys=keys,
        runs=len(judged),
        checks=len(checks),
        decisions=tuple(run for run in judged if run.differs or run.not_recorded),
        alarms=tuple(one for one in checks if one.differs or one.not_recorded),
    )


def spec_at(project: Project, name: str, base: str | None) -> ModelSpec:
    """Return the specification of a model in a commit.

    Parameters
    ----------
    base : str, optional
        By default where this history parted from origin's default branch; HEAD where
        there is none.
    """
    commit = _commit(project, base)
    path = f"models/{name}/model.yaml"
    try:
        text = git(project.root, "show", f"{commit}:./{path}")
    except GitError:
        raise UsageError(
            "there is no model of this name in the commit to compare with",
            key="--base",
            found=f"{base or 'default'}: {commit[:12]} has no {path}",
            do="name a commit that has it: --base COMMIT",
        ) from None
    file = f"{path} ({commit[:12]})"
    return parse(ModelSpec, load_text(text, file), file)


def _commit(project: Project, base: str | None) -> str:
    """Return the commit that a change is measured against."""
    for ref in (base,) if base else _BASES:
        try:
            commit = f"{ref}^{{commit}}"
            options = ("--verify", "--end-of-options")
            found = git(project.root, "rev-parse", *options, commit)
            return found if base else git(project.root, "merge-base", found, "HEAD")
        except GitError:
            continue
    do = "name a commit of this repository, or make the first one"
    raise UsageError("no such commit here", key="--base", found=base or "HEAD", do=do)

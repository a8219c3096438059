"""Which branches an environment lets deploy, and the workflow whose jobs it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rehearsal.event import Event
from rehearsal.hub.rules import fits
from rehearsal.runner.run import environment_of
from rehearsal.workflow import NEWER_THAN_ACT, Workflow, without

Environments = Mapping[str, Mapping[str, Any]]

# What of a job decides whether and how often it begins.
_BEGINS = ("name", "needs", "if", "strategy", "runs-on", "permissions")
_FOLDER = ".github/workflows"
_KINDS = {"branch": "refs/heads/", "tag": "refs/tags/"}


def may_deploy(environment: Mapping[str, Any], ref: str) -> bool:
    """Say whether a job on a ref may use an environment.

    A pull request deploys from ``refs/pull/N/merge``, which is no branch: a pattern has
    to name it whole. The hub protects branches by rulesets alone, and where nothing has
    a branch protection rule, "protected branches only" lets every branch deploy.

    Parameters
    ----------
    environment : mapping
        As the hub keeps it.
    ref : str
        GITHUB_REF.

    References
    ----------
    https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments
    """
    policy = environment.get("deployment_branch_policy")
    if not policy or not policy["custom_branch_policies"]:
        return True
    for one in environment.get("policies", ()):
        prefix = _KINDS[one["type"]]
        if ref.startswith(prefix) and fits(one["name"], ref.removeprefix(prefix)):
            return True
        if one["type"] == "branch" and fits(one["name"], ref):
            return True
    return False


def refusal(environment: str, event: Event) -> str:
    """Return what GitHub says on a job that an environment refuses."""
    branch = event.ref.removeprefix("refs/heads/")
    return (
        f'Branch "{branch}" is not allowed to deploy to {environment} due to '
        "environment protection rules."
    )


def as_allowed(
    workflow: Workflow, event: Event, environments: Environments, folder: Path
) -> Workflow:
    """Return a workflow whose jobs fail at once where their environment refuses them.

    GitHub looks before a job begins: none of its steps runs, and it gets no secret of
    the environment. What needs such a job finds that it failed.

    Parameters
    ----------
    workflow : Workflow
    event : Event
        At the ref that counts.
    environments : mapping
        As the hub keeps them, by name.
    folder : Path
        For a work tree, where a workflow that is called has to be another one.
    """
    called = workflow.called
    named = {
        key: environment_of(workflow, key, event)
        for key in workflow.jobs
        if key not in called
    }
    jobs = _refusing(workflow.jobs, named, event, environments)
    files: dict[str, str] = {}
    for key, other in called.items():
        named = {
            one: environment_of(workflow, one, event, call=key) for one in other.jobs
        }
        inner = _refusing(other.jobs, named, event, environments)
        if inner != other.jobs:
            name = f"rehearsal-{key}.yml"
            files[name] = _text({**other.document, "jobs": inner})
            jobs[key] = {**jobs[key], "uses": f"./{_FOLDER}/{name}"}
    if jobs == workflow.jobs:
        return workflow
    document = {**workflow.document, "jobs": jobs}
    changed = replace(workflow, document=document, text=_text(document))
    if not files:
        return changed
    shutil.copytree(workflow.root, folder, symlinks=True, dirs_exist_ok=True)
    for name, text in files.items():
        (folder / _FOLDER / name).write_text(text, encoding="utf-8")
    return replace(changed, path=folder / _FOLDER / workflow.path.name)


def _refusing(
    jobs: Mapping[str, Mapping[str, Any]],
    named: Mapping[str, str],
    event: Event,
    environments: Environments,
) -> dict[str, Mapping[str, Any]]:
    """Return jobs of which those fail that their environments refuse."""
    every = dict(jobs)
    for key, name in named.items():
        if may_deploy(environments.get(name, {}), event.ref):
            continue
        every[key] = {
            **{what: jobs[key][what] for what in _BEGINS if what in jobs[key]},
            "env": {"REFUSAL": refusal(name, event)},
            "steps": [{"run": 'echo "::error::$REFUSAL"; exit 1'}],
        }
    return every


def _text(document: Mapping[str, Any]) -> str:
    """Return a workflow's file as act reads it."""
    return json.dumps(without(document, NEWER_THAN_ACT))

"""Which actions a repository's policy lets run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehearsal.workflow import Workflow

# The accounts whose actions are GitHub's own.
_GITHUBS = ("actions", "github")


def refused_actions(workflow: Workflow, policy: Mapping[str, Any]) -> list[str]:
    """Return the actions of a workflow that may not run, sorted.

    One of them is enough, and GitHub fails the whole run before any job begins.

    Parameters
    ----------
    workflow : Workflow
    policy : mapping
        ``allowed_actions`` is all, local_only or selected; of those that are selected
        ``github_owned_allowed`` says whether GitHub's own are.
    """
    allowed = policy.get("allowed_actions", "all")
    if allowed == "all":
        return []
    refused = []
    for action in workflow.actions():
        githubs = action.name.split("/")[0] in _GITHUBS
        if action.local or (githubs and allowed == "selected"):
            continue
        refused.append(action.name)
    return sorted(refused)

"""Which actions a repository's policy lets run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rehearsal.workflow import Workflow

# The accounts whose actions are GitHub's own.
_GITHUBS = ("actions", "github")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def refused_actions(workflow: Workflow, policy: Mapping[str, Any]) -> list[str]:
    """Return the actions of a workflow that may not run, sorted.

    One of them is enough, and GitHub fails the whole run before any job begins.

    Parameters
    ----------
    workflow : Workflow
    policy : mapping
        ``allowed_actions`` is all, local_only or selected, which are GitHub's own here;
        with ``sha_pinning_required`` each is named by a commit.
    """
    allowed = policy.get("allowed_actions", "all")
    pinned = policy.get("sha_pinning_required", False)
    refused = []
    for action in workflow.actions():
        if action.local:
            continue
        githubs = action.name.split("/")[0] in _GITHUBS
        may_run = allowed == "all" or (githubs and allowed == "selected")
        if pinned and not _COMMIT.fullmatch(action.ref):
            may_run = False
        if not may_run:
            refused.append(action.name)
    return sorted(refused)

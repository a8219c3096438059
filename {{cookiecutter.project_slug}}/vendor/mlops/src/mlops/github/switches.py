"""What a repository on GitHub needs switched on: one list, in the order to do it.

`mlops doctor` and `mlops github` show what of it is missing; a job that misses one
thing says the same words of it.
"""

from __future__ import annotations

from typing import NamedTuple

from mlops.io.git import UNARCHIVE


class Switch(NamedTuple):
    """Something that has to be as the workflows expect it.

    Parameters
    ----------
    effect : str
        What does not work otherwise.
    remedy : str
        Where it is changed.
    blocks : bool
        Workflows fail or do not start without it, or what judges models goes without
        review; otherwise there is something that takes its place.
    """

    effect: str
    remedy: str
    blocks: bool = False


# In this order: what comes first is needed for what comes after.
SWITCHES: dict[str, Switch] = {
    "archived": Switch(
        "the repository is archived: nothing can be pushed and no workflow runs",
        UNARCHIVE,
        blocks=True,
    ),
    "name": Switch(
        "the repository was renamed or transferred, and its former name only reads",
        "`git remote set-url origin` with the address of the present name",
        blocks=True,
    ),
    "Actions": Switch(
        "GitHub Actions is switched off: no workflow runs",
        "switch it on (Settings, Actions, General)",
        blocks=True,
    ),
    "actions policy": Switch(
        "the policy on actions refuses whole workflows",
        "allow these actions (Settings, Actions, General), or delete these workflows",
        blocks=True,
    ),
    "default branch": Switch(
        "files name another branch than the default branch: pushes to it release "
        "nothing",
        "`mlops github apply` in a clone writes it into the workflows; commit that and "
        "push it to the default branch",
        blocks=True,
    ),
    "clone": Switch(
        "this clone takes another branch for the default branch: who may approve is "
        "read from there",
        "`git remote set-head origin --auto`",
        blocks=True,
    ),
    "Issues": Switch(
        "Issues are switched off: the job fails that has an alarm, differing settings "
        "or something newer to tell of",
        "switch Issues on (Settings, General, Features)",
    ),
    "settings": Switch(
        "the settings of .github/settings.yaml were never applied",
        "as administrator: `gh auth login`, then `mlops github apply`",
    ),
    "UPDATE_TOKEN": Switch(
        "no job can propose a retraining: the issue of an alarm says how to open the "
        "pull request by hand",
        "store a token as the secret UPDATE_TOKEN of the environment `upkeep` "
        "(Settings, Environments), or set `monitor.on_alarm` to `gate` or `never`",
    ),
    "Pages": Switch(
        "GitHub Pages is not switched on: pages.yml keeps the page as the artifact "
        "`site`",
        "Settings, Pages, Source: GitHub Actions",
    ),
    "code owners": Switch(
        "GitHub asks nobody to review what a wrong line of CODEOWNERS covers",
        "name @user, @organisation/team or an address that may write here; an "
        "organisation alone is nobody",
        blocks=True,
    ),
    "runner": Switch(
        "a machine of yours that takes pull requests runs their authors' code",
        "let it keep neither data nor credentials, and start it anew for each job; "
        "MONITOR_RUNNER names a machine of its own for the prediction logs",
    ),
    "schedules": Switch(
        "a schedule is silent",
        "enable the workflow on its page under Actions; GitHub switches schedules off "
        "after 60 days without a change in a public repository",
        blocks=True,
    ),
}

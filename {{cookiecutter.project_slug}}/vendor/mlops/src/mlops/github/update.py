"""The template's changes as a patch, and of that patch one pull request.

Making the patch runs the template's code, so that is done where no token is; what proposes the
patch takes it for data.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlops import settings
from mlops.errors import EnvironmentFailure, UsageError, listed
from mlops.github.client import ask, login
from mlops.io.files import write_bytes
from mlops.io.git import GitError, changed_files, git, git_bytes
from mlops.io.git_objects import value

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from github.Repository import Repository


BRANCH = "template-update"

STATE = ".cruft.json"

WHO = {
    "NAME": "github-actions[bot]",
    "EMAIL": "github-actions[bot]@users.noreply.github.com",
}


class Update(NamedTuple):
    """From which commit of the template to which, and the files that change."""

    template: str
    before: str
    after: str
    files: list[str]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Update from the template, {self.before[:7]} to {self.after[:7]}"

    @property
    def marker(self) -> str:
        """What a text about it begins with."""
        return f"<!-- mlops: template {self.after} -->"


def merge(root: Path) -> tuple[bytes, str]:
    """Let cruft bring the template's changes into a clean work tree; return a patch, and a word.

    The patch is empty where nothing changes. Where both have changed the same lines ours stay; both
    sides are in a file beside it, named `.rej`.
    """
    if not (root / STATE).is_file():
        return b"", f"there is no {STATE}: this repository was not made with cruft"
    if changed := changed_files(root):
        do = "commit or stash them first"
        raise UsageError(
            "there are changes that are not committed", found=listed(changed), do=do
        )
    command = [sys.executable, "-m", "cruft", "update", "--skip-apply-ask"]
    # So that no word of an error is broken.
    env = settings.current().child_environment(COLUMNS="1000")
    done = subprocess.run(
        command, cwd=root, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (
            done.stderr.rpartition("╯")[2] or done.stdout
        ).split()  # below cruft's traceback
        what = "cruft could not update from the template"
        raise EnvironmentFailure(what, file=STATE, found=" ".join(said)[:400])
    conflicts = git(root, "diff", "--name-only", "--diff-filter=U", "-z").split("\0")
    for path in filter(None, conflicts):
        write_bytes(root / f"{path}.rej", (root / path).read_bytes())
        git(root, "checkout", "--ours", "--", path)
    git(root, "add", "--all")
    patch = git_bytes(root, "diff", "--cached", "--binary", "--full-index", "HEAD")
    return (
        patch,
        "the template's changes are staged"
        if patch
        else "the template has nothing new",
    )


def apply(root: Path, patch: bytes) -> Update:
    """Bring a patch into the index; return what it says of itself, nothing of which is trusted."""
    try:
        git_bytes(root, "apply", "--index", "--whitespace=nowarn", "-", stdin=patch)
        old, new = (
            json.loads(git(root, "show", f"{at}:./{STATE}")) for at in ("HEAD", "")
        )
        before, after = (
            re.sub("[^0-9a-f]", "", str(one["commit"])) for one in (old, new)
        )
    except (GitError, KeyError, TypeError, ValueError) as error:
        raise EnvironmentFailure(
            "the patch does not fit", do="run the workflow again"
        ) from error
    files = git(
        root, "diff", "--cached", "--name-only", "--no-renames", "-z", "HEAD"
    ).split("\0")
    return Update(str(old.get("template")), before, after, sorted(filter(None, files)))


def propose(
    root: Path, hub: Repository, token: str, update: Update, text: str, now: datetime
) -> str:
    """Push an update to its branch, open or edit its one pull request, and say what was done.

    Left alone is what somebody has committed to the branch, and what was closed unmerged.
    """
    head = f"{hub.full_name.split('/')[0]}:{BRANCH}"
    pulls = ask(
        "list pull requests", lambda: list(hub.get_pulls(state="all", head=head))
    )
    for pull in pulls:
        if (pull.body or "").startswith(update.marker) and not pull.merged_at:
            return f"{pull.html_url} has it already, and is {pull.state}"
    open_ = next((pull for pull in pulls if pull.state == "open"), None)
    old = value(root, f"refs/remotes/origin/{BRANCH}") or ""
    if open_ and old:
        committers = git(root, "log", "--format=%ce", f"HEAD..{old}").splitlines()
        if set(committers) - {WHO["EMAIL"]}:
            return f"{open_.html_url} holds somebody's work, and stays as it is until it is merged"
    _push(root, token, _commit(root, update, now), old)

    def act() -> PullRequest:
        there = open_ or next(iter(hub.get_pulls(state="open", head=head)), None)
        if there is None:
            return hub.create_pull(
                base="main", head=BRANCH, title=update.title, body=text
            )
        there.edit(title=update.title, body=text)
        return there

    return f"{ask('open a pull request', act).html_url} proposes it"


def _commit(root: Path, update: Update, now: datetime) -> str:
    """Return a commit of the index on top of what is checked out."""
    roles = ("AUTHOR", "COMMITTER")
    env = {f"GIT_{role}_{key}": text for role in roles for key, text in WHO.items()}
    env |= {f"GIT_{role}_DATE": f"{int(now.timestamp())} +0000" for role in roles}
    tree = git(root, "write-tree")
    return git(root, "commit-tree", tree, "-p", "HEAD", "-m", update.title, env=env)


def _push(root: Path, token: str, commit: str, old: str) -> None:
    """Let the branch be a commit, if it still is `old`; the token is in no file and no argument."""
    ref = f"refs/heads/{BRANCH}"
    lease = f"--force-with-lease={ref}:{old}"
    try:
        git(
            root,
            "push",
            "--quiet",
            lease,
            "origin",
            f"{commit}:{ref}",
            env=login(token),
        )
    except GitError as error:
        what, said = (
            "GitHub did not take the branch",
            listed(error.stderr.splitlines()[:3]),
        )
        do = "look at what UPDATE_TOKEN may write: Contents, Pull requests, Workflows"
        raise EnvironmentFailure(what, key=BRANCH, found=said, do=do) from error

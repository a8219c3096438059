"""The template's changes as a patch, and of that patch one pull request.

Making the patch runs the template's code, so that is done where no token is. What
proposes the patch takes it for data.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops import settings
from mlops.errors import EnvironmentFailure, UsageError, listed
from mlops.github.client import ask, login, server
from mlops.io.files import write_bytes
from mlops.io.git import GitError, changed_files, git, git_bytes
from mlops.io.git_objects import value

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from github.Repository import Repository

    from mlops.github.lock import LockUpdate
    from mlops.github.retraining import Retraining

BRANCH = "template-update"
STATE = ".cruft.json"
EXAMPLE = "employment"
BOT_NAME = "github-actions[bot]"
BOT_EMAIL = "github-actions[bot]@users.noreply.github.com"


class Update(NamedTuple):
    """From which commit of the template to which, and the files that change."""

    template: str
    before: str
    after: str
    files: list[str]

    @property
    def branch(self) -> str:
        """The branch of its pull request."""
        return BRANCH

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Update from the template, {self.before[:7]} to {self.after[:7]}"

    @property
    def marker(self) -> str:
        """What a text about it begins with."""
        return f"<!-- mlops: template {self.after} -->"


class Missed(NamedTuple):
    """A change of the template to a file that is not where the template put it.

    Attributes
    ----------
    path : str
        Where the template has the file.
    renamed_to : str, optional
        Where the owner has it now; None if it was deleted.
    patch : bytes
        What the template changed.
    """

    path: str
    renamed_to: str | None
    patch: bytes


def merge(root: Path) -> tuple[bytes, str]:
    """Let cruft bring the template's changes into a clean work tree, staged.

    Where both sides have changed the same lines, the repository's side stays; both
    are in a file beside it, named ``.rej``. What the template changed in a file that
    was renamed here lies beside that file in the same way.

    Parameters
    ----------
    root : Path
        The top of the repository.

    Returns
    -------
    bytes
        The staged changes as a patch; empty where nothing changes.
    str
        What was done, for people.

    Raises
    ------
    UsageError
        Where there are changes that are not committed.
    EnvironmentFailure
        Where cruft fails, with what it said.
    """
    if not (root / STATE).is_file():
        return b"", f"there is no {STATE}: this repository was not made with cruft"
    changed = changed_files(root)
    if changed:
        raise UsageError(
            "there are changes that are not committed",
            found=listed(changed),
            do="commit or stash them first",
        )
    before = _state(root)
    if not _readable(root, str(before["template"])):
        return b"", (
            f"the template {before['template']} is private: nothing here may read it. "
            "`mlops github update` brings its changes from a machine that may; delete "
            "update.yml where that is how it is done"
        )
    _run_cruft(root)
    after = _state(root)
    _keep_our_side(root)
    _keep_the_first_model(root, before)
    missed = _follow_the_template(root, before, after)
    for one in missed:
        if one.renamed_to is not None:
            write_bytes(root / f"{one.renamed_to}.rej", one.patch)
    git(root, "add", "--all")
    patch = git_bytes(root, "diff", "--cached", "--binary", "--full-index", "HEAD")
    if not patch:
        return patch, "the template has nothing new"
    sentences = ["the template's changes are staged"]
    sentences += [_sentence(one) for one in missed]
    return patch, "\n".join(sentences)


def _state(root: Path) -> dict[str, Any]:
    """Return what cruft notes: the template's address and commit."""
    state: dict[str, Any] = json.loads((root / STATE).read_text(encoding="utf-8"))
    return state


# What git says of a repository that is not there for who asks: by https, where an
# organisation wants single sign-on, and by ssh on a machine that has neither a key nor
# the host's.
_HIDDEN = re.compile(
    r"could not read Username|Authentication failed|not found|Permission denied"
    r"|Invalid username or (token|password)|terminal prompts disabled"
    r"|returned error: 40[13]|Host key verification failed",
    re.IGNORECASE,
)


def _readable(root: Path, template: str) -> bool:
    """Return False where git is told that the template is not there for us.

    Of any other failure cruft says what it is.
    """
    address = template.replace("gh:", f"{server()}/", 1)
    try:
        git(root, "ls-remote", "--quiet", address, "HEAD")
    except GitError as error:
        return not _HIDDEN.search(error.stderr)
    return True


def _run_cruft(root: Path) -> None:
    command = [sys.executable, "-m", "cruft", "update", "--skip-apply-ask"]
    # So that no word of an error is broken.
    environment = settings.current().child_environment(COLUMNS="1000")
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    below_traceback = done.stderr.rpartition("╯")[2]
    message = " ".join((below_traceback or done.stdout).split())
    raise EnvironmentFailure(
        "cruft could not update from the template", file=STATE, found=message[:400]
    )


def _keep_our_side(root: Path) -> None:
    """Where both changed, keep our file and write both sides beside it."""
    listing = git(root, "diff", "--name-only", "--diff-filter=U", "-z")
    for path in filter(None, listing.split("\0")):
        file = root / path
        if file.exists():
            write_bytes(root / f"{path}.rej", file.read_bytes())
            git(root, "checkout", "--ours", "--", path)


def _keep_the_first_model(root: Path, before: dict[str, Any]) -> None:
    """Leave the folder of the first model where it is.

    Template 0.1 asked for its name and renamed the example. The present one does not
    ask, so that cruft would move the owner's model back to where the example is.
    """
    name = str(before.get("context", {}).get("cookiecutter", {}).get("model_name", ""))
    ours = f"models/{name}"
    if name in ("", EXAMPLE) or not git(root, "ls-tree", "HEAD", "--", ours):
        return
    git(root, "checkout", "--quiet", "HEAD", "--", ours)
    # What cruft could not move lies there as patches.
    for path in (root / ours).rglob("*.rej"):
        path.unlink()
    example = f"models/{EXAMPLE}"
    if not git(root, "ls-tree", "HEAD", "--", example):
        # Where cruft could not merge, its new files are not in the index.
        shutil.rmtree(root / example, ignore_errors=True)


def _follow_the_template(
    root: Path, before: dict[str, Any], after: dict[str, Any]
) -> list[Missed]:
    """Do what cruft leaves undone, and return the changes that nobody can make.

    A file that the template no longer has goes, also where it was changed here: a
    module of a former layout would else be imported instead of the new one. What is
    here of it is kept beside its place.

    Files that were renamed or deleted here are left out by cruft on both sides, so
    that their changes would be dropped without a word.
    """
    if before["commit"] == after["commit"]:
        return []
    with TemporaryDirectory(prefix="mlops-template-") as folder:
        template = Path(folder)
        git(template, "clone", "--quiet", "--bare", str(after["template"]), ".")
        old = _generated_from(template, before["commit"])
        new = _generated_from(template, after["commit"])
        for path in sorted(old - new):
            file = root / path
            if file.is_file():
                file.replace(root / f"{path}.rej")
        return _missed_changes(root, template, before["commit"], after["commit"])


def _generated_from(template: Path, commit: str) -> set[str]:
    """Return the paths that a commit of the template generates."""
    top = _generated_folder(template, commit)
    listing = git(template, "ls-tree", "-r", "--name-only", "-z", f"{commit}:{top}")
    return set(filter(None, listing.split("\0")))


def _missed_changes(
    root: Path, template: Path, before: str, after: str
) -> list[Missed]:
    """Return what the template changed in files that were renamed or deleted here.

    What was moved is what git's own detection of renames finds between the last update
    and now.
    """
    top = _generated_folder(template, after)
    out = []
    for path, renamed_to in _moved_since_update(root, before).items():
        patch = git_bytes(
            template,
            "diff",
            "--no-renames",
            f"--relative={top}",
            before,
            after,
            "--",
            f":(literal){top}/{path}",
        )
        if patch:
            out.append(Missed(path, renamed_to, patch))
    return out


def _moved_since_update(root: Path, template_commit: str) -> dict[str, str | None]:
    """Return the files that are gone since the last update, and their new names.

    The last update is the commit that brought `template_commit` into cruft's notes.
    """
    commits = git(
        root, "log", f"-S{template_commit}", "--format=%H", "HEAD", "--", STATE
    )
    last = commits.rpartition("\n")[2]
    if not last:
        return {}
    listing = git(
        root, "diff", "--name-status", "-M", "--diff-filter=DR", "-z", last, "HEAD"
    )
    fields = iter(listing.split("\0"))
    moved: dict[str, str | None] = {}
    for status in fields:
        if not status:
            break
        path = next(fields)
        moved[path] = next(fields) if status.startswith("R") else None
    return moved


def _generated_folder(template: Path, commit: str) -> str:
    """Return the folder that a template generates from: the one with a variable."""
    names = git(template, "ls-tree", "-d", "--name-only", "-z", commit).split("\0")
    return next(name for name in names if "{{" in name)


def _sentence(missed: Missed) -> str:
    if missed.renamed_to is None:
        return f"the template changed {missed.path}, which was deleted here"
    return (
        f"the template changed {missed.path}, which is {missed.renamed_to} here: "
        f"what it changed is in {missed.renamed_to}.rej"
    )


def apply_patch(root: Path, patch: bytes) -> Update:
    """Bring a patch into the index.

    Parameters
    ----------
    root : Path
        A clean work tree.
    patch : bytes
        What `merge` returned, in another job; nothing that it says is trusted.

    Returns
    -------
    Update
        What the patch says of itself.

    Raises
    ------
    EnvironmentFailure
        Where the patch does not fit.
    """
    try:
        git_bytes(root, "apply", "--index", "--whitespace=nowarn", "-", stdin=patch)
        old = json.loads(git(root, "show", f"HEAD:./{STATE}"))
        new = json.loads(git(root, "show", f":./{STATE}"))
        before = re.sub("[^0-9a-f]", "", str(old["commit"]))
        after = re.sub("[^0-9a-f]", "", str(new["commit"]))
    except (GitError, KeyError, TypeError, ValueError) as error:
        raise EnvironmentFailure(
            "the patch does not fit", do="run the workflow again"
        ) from error
    listing = git(root, "diff", "--cached", "--name-only", "--no-renames", "-z", "HEAD")
    files = sorted(filter(None, listing.split("\0")))
    return Update(str(old.get("template")), before, after, files)


def propose(
    root: Path,
    hub: Repository,
    token: str,
    update: Update | LockUpdate | Retraining,
    text: str,
    now: datetime,
) -> str:
    """Push an update to its branch, and open or edit its one pull request.

    Left alone is what somebody has committed to the branch, and what was closed
    unmerged.

    Returns
    -------
    str
        What was done, for people.
    """
    head = f"{hub.full_name.split('/')[0]}:{update.branch}"
    pulls = ask(
        "list pull requests", lambda: list(hub.get_pulls(state="all", head=head))
    )
    for pull in pulls:
        if (pull.body or "").startswith(update.marker) and not pull.merged_at:
            return f"{pull.html_url} has it already, and is {pull.state}"
    open_ = next((pull for pull in pulls if pull.state == "open"), None)
    old = value(root, f"refs/remotes/origin/{update.branch}") or ""
    if open_ and old:
        committers = git(root, "log", "--format=%ce", f"HEAD..{old}").splitlines()
        if set(committers) - {BOT_EMAIL}:
            return (
                f"{open_.html_url} holds somebody's work, "
                "and stays as it is until it is merged"
            )
    _push(root, token, _commit(root, update, now), update.branch, old)

    def open_or_edit() -> PullRequest:
        present = open_ or next(iter(hub.get_pulls(state="open", head=head)), None)
        if present is None:
            return hub.create_pull(
                base=hub.default_branch,
                head=update.branch,
                title=update.title,
                body=text,
            )
        present.edit(title=update.title, body=text)
        return present

    return f"{ask('open a pull request', open_or_edit).html_url} proposes it"


def _commit(root: Path, update: Update | LockUpdate | Retraining, now: datetime) -> str:
    """Return a commit of the index on top of what is checked out."""
    date = f"{int(now.timestamp())} +0000"
    environment = {
        "GIT_AUTHOR_NAME": BOT_NAME,
        "GIT_AUTHOR_EMAIL": BOT_EMAIL,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": BOT_NAME,
        "GIT_COMMITTER_EMAIL": BOT_EMAIL,
        "GIT_COMMITTER_DATE": date,
    }
    tree = git(root, "write-tree")
    return git(
        root, "commit-tree", tree, "-p", "HEAD", "-m", update.title, env=environment
    )


def _push(root: Path, token: str, commit: str, branch: str, old: str) -> None:
    """Move the branch to a commit, if it still is `old`.

    The token is in no file and in no argument.
    """
    ref = f"refs/heads/{branch}"
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
        raise EnvironmentFailure(
            "GitHub did not accept the branch",
            key=branch,
            found=listed(error.stderr.splitlines()[:3]),
            do="check what UPDATE_TOKEN can write: Contents, Pull requests, Workflows",
        ) from error

"""Commits and files as the API shows them."""

from __future__ import annotations

import base64
import posixpath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rehearsal.hub.call import Call, Failure, Page, known, on
from rehearsal.hub.git import ZERO, Bare, Update
from rehearsal.hub.state import Record
from rehearsal.hub.view import View

if TYPE_CHECKING:
    from rehearsal.hub import Hub

_STATUS = {"A": "added", "D": "removed", "M": "modified", "T": "changed"}
_FORMAT = "%T%n%P%n%an%n%ae%n%aI%n%cn%n%ce%n%cI%n%B"


def commit(git: Bare, view: View, sha: str) -> Record:
    """Return a commit with its author and parents."""
    tree, parents, *who, message = git.run(
        "show", "-s", f"--format={_FORMAT}", sha
    ).split("\n", 8)
    author = {"name": who[0], "email": who[1], "date": who[2]}
    committer = {"name": who[3], "email": who[4], "date": who[5]}
    over = {
        "sha": sha,
        "url": f"{view.api}/commits/{sha}",
        "html_url": f"{view.html}/commit/{sha}",
        "commit": {
            "message": message.strip("\n"),
            "author": author,
            "committer": committer,
            "tree": {"sha": tree, "url": f"{view.api}/git/trees/{tree}"},
            "url": f"{view.api}/git/commits/{sha}",
        },
        "parents": [
            {
                "sha": p,
                "url": f"{view.api}/commits/{p}",
                "html_url": f"{view.html}/commit/{p}",
            }
            for p in parents.split()
        ],
        "author": view.user(who[0]),
        "committer": view.user(who[3]),
    }
    seen = view.of("commit", over)
    seen.pop("files", None)
    seen.pop("stats", None)
    return seen


def files(git: Bare, view: View, old: str, new: str) -> list[Record]:
    """Return what differs between two commits, file by file."""
    counts = dict[str, tuple[int, int]]()
    for row in git.changed(old, new, "--numstat"):
        plus, minus, name = row.split("\t", 2)
        counts[name] = (int(plus.replace("-", "0")), int(minus.replace("-", "0")))
    states = git.changed(old, new, "--name-status")
    found = []
    for state, name in zip(states[::2], states[1::2], strict=True):
        blob = git.run("rev-parse", f"{old if state == 'D' else new}:{name}")
        added, removed = counts[name]
        place = quote(f"{new}/{name}")
        over = {
            "sha": blob,
            "filename": name,
            "status": _STATUS.get(state[0], "modified"),
            "additions": added,
            "deletions": removed,
            "changes": added + removed,
            "blob_url": f"{view.html}/blob/{place}",
            "raw_url": f"{view.html}/raw/{place}",
            "contents_url": f"{view.api}/contents/{quote(name)}?ref={new}",
        }
        found.append(view.of("diff-entry-items", over))
        found[-1].pop("patch", None)
    return found


def push(hub: Hub, update: Update, login: str) -> tuple[Record, dict[str, Any]]:
    """Return the payload of a push event, and its ref, commit and changed files."""
    gone, born = update.new == ZERO, update.old == ZERO
    sha = "" if gone else hub.git.resolve(update.new) or ""
    # A new branch changes what it does not share with main; the first push, everything.
    default = f"refs/heads/{hub.state.default_branch}"
    first = update.ref == default
    old = update.old
    if born and sha and not first:
        old = hub.git.common(default, sha)
    changed = hub.git.changed(old, sha) if sha else []
    head = hub.commit(sha)["commit"] | {"id": sha} if sha else None
    forced = not (born or gone) and hub.git.common(update.old, update.new) != update.old
    payload = {
        "ref": update.ref,
        "before": update.old,
        "after": update.new,
        "created": born,
        "deleted": gone,
        "forced": forced,
        "base_ref": None,
        "head_commit": head,
        "commits": [head] if head else [],
        "pusher": {"name": login},
    }
    return payload, {"ref": update.ref, "sha": sha, "changed_files": tuple(changed)}


@on("GET /commits")
def list_commits(call: Call) -> Page:
    """List the commits of a branch, newest first."""
    start = known(call.git.resolve(call.asked("sha", call.state.default_branch)))
    path = ["--", call.asked("path")] if call.asked("path") else []
    found = call.git.run("rev-list", "--max-count=300", start, *path).split()
    return Page([call.hub.commit(sha) for sha in found])


@on("GET /commits/{ref}")
def get_commit(call: Call) -> Record:
    """Return a commit, with what it changed since its first parent."""
    sha = call.git.resolve(call.path["ref"])
    if sha is None:
        raise Failure(422, f"No commit found for SHA: {call.path['ref']}")
    found = call.hub.commit(sha)
    old = found["parents"][0]["sha"] if found["parents"] else ZERO
    found["files"] = call.hub.files(old, sha)
    adds, dels = (sum(f[k] for f in found["files"]) for k in ("additions", "deletions"))
    found["stats"] = {"additions": adds, "deletions": dels, "total": adds + dels}
    return found


@on("GET /git/commits/{commit_sha}")
def get_git_commit(call: Call) -> Record:
    """Return a commit as git has it."""
    sha = call.path["commit_sha"]
    if call.git.resolve(sha) != sha:
        raise Failure(404, "Not Found")
    shown = call.hub.commit(sha)
    over = {
        **shown["commit"],
        "sha": sha,
        "parents": shown["parents"],
        "html_url": shown["html_url"],
    }
    return call.view.of("git-commit-2", over)


@on("GET /contents/{path}")
def get_contents(call: Call) -> Record | list[Record]:
    """Return a file with its content, or the entries of a folder."""
    place = posixpath.normpath(call.path["path"])
    sha = known(call.git.resolve(call.asked("ref", call.state.default_branch)))
    rows = call.git.run("ls-tree", "-l", "-z", sha, "--", place).split("\0")
    if not rows[0]:
        raise Failure(404, "Not Found")
    if rows[0].split()[1] == "tree":
        inside = call.git.run("ls-tree", "-l", "-z", sha, "--", f"{place}/").split("\0")
        return [_entry(call, row, sha) for row in inside if row]
    entry = _entry(call, rows[0], sha)
    blob = call.git.raw("cat-file", "blob", entry["sha"])
    return {**entry, "encoding": "base64", "content": base64.encodebytes(blob).decode()}


def _entry(call: Call, row: str, commit_sha: str) -> Record:
    about, path = row.split("\t", 1)
    _, kind, sha, size = about.split()
    url = f"{call.view.api}/contents/{quote(path)}?ref={commit_sha}"
    git_url = f"{call.view.api}/git/{kind}s/{sha}"
    html_url = f"{call.view.html}/blob/{commit_sha}/{quote(path)}"
    raw = f"{call.view.html}/raw/{commit_sha}/{quote(path)}" if kind == "blob" else None
    return {
        "type": "file" if kind == "blob" else "dir",
        "name": posixpath.basename(path),
        "path": path,
        "sha": sha,
        "size": int(size) if size != "-" else 0,
        "url": url,
        "git_url": git_url,
        "html_url": html_url,
        "download_url": raw,
        "_links": {"self": url, "git": git_url, "html": html_url},
    }

"""Pull requests of the hub, from the repository itself and from forks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.hub.call import Call, Failure, Page, invalid, known, on
from rehearsal.hub.git import ZERO, Bare, Update
from rehearsal.hub.identity import Caller
from rehearsal.hub.state import Record
from rehearsal.hub.threads import label_names, new_thread, selected

if TYPE_CHECKING:
    from rehearsal.hub import Hub


def refresh(hub: Hub, pull: Record, renews_base: bool = True) -> None:
    """Look at the branches of an open pull request again, and try to merge them.

    Parameters
    ----------
    hub : Hub
    pull : dict
    renews_base : bool
        Whether `base.sha` becomes what the base is now: GitHub does so when the pull
        request is opened or pushed to. The merge is made on the newer base either way.
    """
    source = hub.bare(pull["head"]["owner"])
    head = source.resolve(f"refs/heads/{pull['head']['ref']}")
    base = hub.git.resolve(f"refs/heads/{pull['base']['ref']}")
    if head is None or base is None:
        return
    number = pull["number"]
    if source is not hub.git:
        hub.git.run("fetch", "--quiet", str(source.path), head)
    hub.git.update(f"refs/pull/{number}/head", head)
    pull["head"]["sha"] = head
    if renews_base:
        pull["base"]["sha"] = base
    pull["merge"] = hub.git.merge(base, head, f"Merge {head} into {base}", "GitHub")
    hub.git.update(f"refs/pull/{number}/merge", pull["merge"] or ZERO)


def changed_files(git: Bare, pull: Record) -> list[str]:
    """Return what a pull request changes since it left its base."""
    return git.changed(fork_point(git, pull), pull["head"]["sha"])


def fork_point(git: Bare, pull: Record) -> str:
    """Return the commit at which a pull request's branch left its base."""
    return git.common(pull["base"]["sha"], pull["head"]["sha"])


def follow_push(hub: Hub, owner: str, updates: list[Update], caller: Caller) -> None:
    """Bring open pull requests up to a push; where it moved the head, `synchronize`."""
    moved = {
        u.ref.removeprefix("refs/heads/"): u
        for u in updates
        if u.ref.startswith("refs/heads/")
    }
    for pull in hub.state.pulls.values():
        if pull["state"] != "open":
            continue
        update = (
            moved.get(pull["head"]["ref"]) if pull["head"]["owner"] == owner else None
        )
        if update and update.new == ZERO:
            hub.state.touch(pull, state="closed", closed_at=hub.state.now())
            hub.pull_happened("closed", pull, caller)
        elif update:
            refresh(hub, pull)
            hub.state.touch(pull)
            more = {"before": update.old, "after": update.new}
            hub.pull_happened("synchronize", pull, caller, **more)
        elif pull["base"]["owner"] == owner and pull["base"]["ref"] in moved:
            refresh(hub, pull, renews_base=False)


@on("GET /pulls")
def list_pulls(call: Call) -> Page:
    """List pull requests; ``head`` is OWNER:BRANCH."""
    found = [
        p
        for p in selected(call, list(call.state.pulls.values()))
        if call.asked("head", _label(p)) == _label(p)
        and call.asked("base", p["base"]["ref"]) == p["base"]["ref"]
    ]
    return Page([call.view.pull(p) for p in found])


@on("POST /pulls")
def create_pull(call: Call) -> Record:
    """Open a pull request."""
    owner, _, branch = call.body["head"].rpartition(":")
    owner, base = owner or call.hub.owner, call.body["base"]
    source = call.hub.bares.get(owner)
    head_sha = source.resolve(f"refs/heads/{branch}") if source else None
    base_sha = call.git.resolve(f"refs/heads/{base}")
    for end, sha in (("head", head_sha), ("base", base_sha)):
        if sha is None:
            raise invalid("PullRequest", end, "invalid")
    if head_sha == base_sha:
        message = f"No commits between {base} and {branch}"
        raise invalid("PullRequest", "base", "custom", message)
    label = f"{owner}:{branch}"
    for pull in call.state.pulls.values():
        if pull["state"] == "open" and (_label(pull), pull["base"]["ref"]) == (
            label,
            base,
        ):
            message = f"A pull request already exists for {label}."
            raise invalid("PullRequest", "head", "custom", message)
    record = {
        **call.given("title", "body"),
        "draft": call.body.get("draft", False),
        "head": {"owner": owner, "ref": branch, "sha": head_sha},
        "base": {"owner": call.hub.owner, "ref": base, "sha": base_sha},
        "merge": None,
        "merged_at": None,
        "merged_by": None,
        "fork": owner != call.hub.owner,
    }
    pull = new_thread(call, record)
    call.state.pulls[pull["number"]] = pull
    refresh(call.hub, pull)
    call.hub.pull_happened("opened", pull, call.caller)
    return call.view.pull(pull)


@on("GET /pulls/{pull_number}")
def get_pull(call: Call) -> Record:
    """Return a pull request."""
    return call.view.pull(_pull(call))


@on("PATCH /pulls/{pull_number}")
def edit_pull(call: Call) -> Record:
    """Change, close or open a pull request again."""
    pull = _pull(call)
    changes = call.given("title", "body")
    if "labels" in (call.body or {}):
        changes["labels"] = label_names(call, call.body["labels"])
    if call.state.touch(pull, **changes):
        call.hub.pull_happened("edited", pull, call.caller)
    state = (call.body or {}).get("state", pull["state"])
    if state != pull["state"]:
        if pull["merged_at"]:
            raise invalid("PullRequest", "state", "invalid")
        closed = state == "closed"
        call.state.touch(
            pull, state=state, closed_at=call.state.now() if closed else None
        )
        if not closed:
            refresh(call.hub, pull, renews_base=False)
        call.hub.pull_happened("closed" if closed else "reopened", pull, call.caller)
    return call.view.pull(pull)


@on("GET /pulls/{pull_number}/commits")
def pull_commits(call: Call) -> Page:
    """List the commits that a pull request brings."""
    pull = _pull(call)
    between = f"{pull['base']['sha']}..{pull['head']['sha']}"
    return Page(
        [
            call.hub.commit(sha)
            for sha in call.git.run("rev-list", "--reverse", between).split()
        ]
    )


@on("GET /pulls/{pull_number}/files")
def pull_files(call: Call) -> Page:
    """List the files that a pull request changes."""
    pull = _pull(call)
    return Page(call.hub.files(fork_point(call.git, pull), pull["head"]["sha"]))


@on("GET /commits/{commit_sha}/pulls")
def pulls_of_commit(call: Call) -> Page:
    """List the pull requests of a commit; as on GitHub, none that is open in a fork."""
    sha = known(call.git.resolve(call.path["commit_sha"]))
    found = [
        p
        for p in call.state.pulls.values()
        if (not p["fork"] or p["merged_at"]) and sha in (p["head"]["sha"], p["merge"])
    ]
    return Page([call.view.pull(p) for p in found])


@on("PUT /pulls/{pull_number}/merge")
def merge_pull(call: Call) -> Record:
    """Merge a pull request: by a merge commit or squashed."""
    pull, body = _pull(call), call.body or {}
    refresh(call.hub, pull, renews_base=False)
    head = pull["head"]["sha"]
    base = known(call.git.resolve(f"refs/heads/{pull['base']['ref']}"))
    if body.get("sha", head) != head:
        raise Failure(409, "Head branch was modified. Review and try the merge again.")
    method = body.get("merge_method", "merge")
    if method == "rebase":
        raise Failure(405, "Rebase merges are not allowed on this repository.")
    if pull["state"] == "closed" or pull["draft"] or pull["merge"] is None:
        raise Failure(405, "Pull Request is not mergeable")
    if lacking := call.hub.lacking_checks(pull["base"]["ref"], head):
        raise Failure(405, f'Required status check "{lacking}" is expected.')
    if call.hub.lacking_review(pull["base"]["ref"], call.caller.login):
        raise Failure(405, "Waiting on code owner review.")
    number = pull["number"]
    if method == "merge":
        source = f"{pull['head']['owner']}/{pull['head']['ref']}"
        plain = f"Merge pull request #{number} from {source}"
    else:
        plain = f"{pull['title']} (#{number})"
    title = body.get("commit_title", plain)
    message = f"{title}\n\n{body.get('commit_message', pull['title'])}"
    merged = known(
        call.git.merge(base, head, message, call.caller.login, method == "squash")
    )
    ref = f"refs/heads/{pull['base']['ref']}"
    call.git.update(ref, merged, base)
    now = call.state.now()
    pull.update(state="closed", merged_at=now, closed_at=now, updated_at=now)
    pull.update(merged_by=call.caller.login, merge=merged)
    call.hub.pull_happened("closed", pull, call.caller)
    call.hub.pushed(call.hub.owner, [Update(ref, base, merged)], call.caller)
    return {
        "sha": merged,
        "merged": True,
        "message": "Pull Request successfully merged",
    }


def _label(pull: Record) -> str:
    return f"{pull['head']['owner']}:{pull['head']['ref']}"


def _pull(call: Call) -> Record:
    return known(call.state.pulls.get(call.number("pull_number")))

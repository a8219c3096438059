"""Branches, tags and refs of the hub's repository."""

from __future__ import annotations

from urllib.parse import quote

from rehearsal.hub.call import Answer, Call, Failure, Page, known, on
from rehearsal.hub.git import ZERO, GitError, Update
from rehearsal.hub.rules import forward_only
from rehearsal.hub.state import Record


@on("GET /branches")
def list_branches(call: Call) -> Page:
    """List branches."""
    heads = [ref for ref in call.git.refs() if ref.startswith("refs/heads/")]
    return Page([_short_branch(call, ref.removeprefix("refs/heads/")) for ref in heads])


@on("GET /branches/{branch}")
def get_branch(call: Call) -> Record:
    """Return a branch with its last commit."""
    name = call.path["branch"]
    sha = known(call.git.resolve(f"refs/heads/{name}"))
    over = {
        **_short_branch(call, name),
        "commit": call.hub.commit(sha),
        "protection": {"enabled": False},
        "_links": {
            "self": f"{call.view.api}/branches/{quote(name)}",
            "html": f"{call.view.html}/tree/{quote(name)}",
        },
    }
    return call.view.of("branch-get", over)


@on("GET /tags")
def list_tags(call: Call) -> Page:
    """List tags with the commits that they lead to."""
    found = []
    for ref in call.git.refs():
        if ref.startswith("refs/tags/") and (sha := call.git.resolve(ref)):
            name = ref.removeprefix("refs/tags/")
            archive = f"{call.view.api}/%sball/refs/tags/{quote(name)}"
            link = {"sha": sha, "url": f"{call.view.api}/commits/{sha}"}
            balls = {"zipball_url": archive % "zip", "tarball_url": archive % "tar"}
            found.append({"name": name, "commit": link, "node_id": "tag", **balls})
    return Page(found[::-1])


@on("GET /git/ref/{ref}")
def get_ref(call: Call) -> Record:
    """Return a ref, by its whole name and no less."""
    name = f"refs/{call.path['ref']}"
    known(call.git.refs().get(name))
    return _ref(call, name)


@on("GET /git/matching-refs/{ref}")
def matching_refs(call: Call) -> Page:
    """List the refs that begin so."""
    begins = f"refs/{call.path['ref']}"
    return Page(
        [
            _ref(call, name)
            for name in sorted(call.git.refs())
            if name.startswith(begins)
        ]
    )


@on("POST /git/refs")
def create_ref(call: Call) -> Answer:
    """Make a branch or tag."""
    name = call.body["ref"]
    if not name.startswith("refs/") or name.count("/") < 2:
        raise Failure(
            422, "Reference name must start with 'refs/' and have at least one slash."
        )
    if name in call.git.refs():
        raise Failure(422, "Reference already exists")
    _move(call, Update(name, ZERO, call.body["sha"]))
    shown = _ref(call, name)
    return Answer(shown, headers={"Location": shown["url"]})


@on("PATCH /git/refs/{ref}")
def update_ref(call: Call) -> Record:
    """Move a ref; backwards only by force."""
    name = f"refs/{call.path['ref']}"
    old, new = call.git.refs().get(name), call.body["sha"]
    if old is None:
        raise Failure(422, "Reference does not exist")
    if not call.body.get("force"):
        try:
            call.git.run("merge-base", "--is-ancestor", old, new)
        except GitError:
            raise Failure(422, "Update is not a fast forward") from None
    _move(call, Update(name, old, new))
    return _ref(call, name)


@on("DELETE /git/refs/{ref}")
def delete_ref(call: Call) -> None:
    """Remove a ref."""
    name = f"refs/{call.path['ref']}"
    old = call.git.refs().get(name)
    if old is None:
        raise Failure(422, "Reference does not exist")
    _move(call, Update(name, old, ZERO))


@on("POST /git/tags")
def create_tag(call: Call) -> Answer:
    """Make the object of an annotated tag; a ref to it is another request."""
    body = call.body
    tagger = {
        "name": call.caller.login,
        "email": "noreply@github.com",
        **body.get("tagger", {}),
    }
    stamp = f"{int(call.state.clock().timestamp())} +0000"
    text = (
        f"object {body['object']}\ntype {body['type']}\ntag {body['tag']}\n"
        f"tagger {tagger['name']} <{tagger['email']}> {stamp}\n\n{body['message']}\n"
    )
    try:
        sha = call.git.run("mktag", given=text)
    except GitError as error:
        raise Failure(422, f"Invalid tag: {error}") from None
    shown = _tag(call, sha)
    return Answer(shown, headers={"Location": shown["url"]})


@on("GET /git/tags/{tag_sha}")
def get_tag(call: Call) -> Record:
    """Return the object of an annotated tag."""
    return _tag(call, known(call.git.resolve(call.path["tag_sha"], "tag")))


def _move(call: Call, update: Update) -> None:
    if refusal := call.hub.refusal([update], call.caller):
        raise Failure(422, refusal)
    if update.new != ZERO and call.git.resolve(update.new, "object") is None:
        raise Failure(422, "Object does not exist")
    if forward_only(call.state, update.ref) and not _forward(call, update):
        reason = "Cannot force-push to this branch"
        raise Failure(422, f"Repository rule violations found\n\n{reason}")
    try:
        call.git.update(update.ref, update.new, update.old)
    except GitError as error:
        raise Failure(422, f"Reference update failed: {error}") from None
    call.hub.pushed(call.hub.owner, [update], call.caller)


def _forward(call: Call, update: Update) -> bool:
    """Say whether a ref that moves keeps its history; True where none moves."""
    if ZERO in (update.old, update.new):
        return True
    return call.git.common(update.old, update.new) == update.old


def _ref(call: Call, name: str) -> Record:
    sha = call.git.refs()[name]
    kind = call.git.run("cat-file", "-t", sha)
    address = f"{call.view.api}/git"
    over = {
        "ref": name,
        "url": f"{address}/{quote(name)}",
        "object": {"sha": sha, "type": kind, "url": f"{address}/{kind}s/{sha}"},
    }
    return call.view.of("git-ref", over)


def _tag(call: Call, sha: str) -> Record:
    head, _, message = call.git.run("cat-file", "tag", sha).partition("\n\n")
    fields = dict(line.split(" ", 1) for line in head.splitlines())
    kind, target = fields["type"], fields["object"]
    over = {
        "sha": sha,
        "tag": fields["tag"],
        "message": message.rstrip("\n"),
        "url": f"{call.view.api}/git/tags/{sha}",
        "object": {
            "sha": target,
            "type": kind,
            "url": f"{call.view.api}/git/{kind}s/{target}",
        },
    }
    return call.view.of("git-tag", over)


def _short_branch(call: Call, name: str) -> Record:
    sha = known(call.git.resolve(f"refs/heads/{name}"))
    protected = call.hub.protected(name)
    link = {"sha": sha, "url": f"{call.view.api}/commits/{sha}"}
    address = f"{call.view.api}/branches/{quote(name)}/protection"
    return {
        "name": name,
        "commit": link,
        "protected": protected,
        "protection_url": address,
    }

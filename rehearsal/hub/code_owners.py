"""What GitHub finds wrong in CODEOWNERS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rehearsal.hub.call import Call, known, on
from rehearsal.hub.state import Record

# Where GitHub looks; the first one that exists counts.
_FILES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
_WRITES = ("write", "maintain", "admin")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_USER = re.compile(r"@[\w-]+")
_TEAM = re.compile(r"@([\w-]+/[\w.-]+)")


@on("GET /codeowners/errors")
def list_errors(call: Call) -> Record:
    """List the errors of the file on a branch; 404 where there is no file."""
    branch = call.asked("ref", call.state.default_branch)
    sha = known(call.git.resolve(f"refs/heads/{branch}"))
    there = call.git.run("ls-tree", "-r", "--name-only", sha).splitlines()
    path = known(next((name for name in _FILES if name in there), None))
    text = call.git.run("show", f"{sha}:{path}")
    errors = []
    for number, line in enumerate(text.splitlines(), start=1):
        for kind, at, advice in _errors(call, line):
            errors.append(_error(path, number, line, kind, at, advice))
    return {"errors": errors}


def _errors(call: Call, line: str) -> Iterator[tuple[str, int, str]]:
    """Yield kind, column and advice of what is wrong with a line."""
    content = line.split("#")[0].strip()
    if not content:
        return
    pattern, *owners = re.split(r"(?<!\\)\s+", content)
    if pattern.startswith("!") or "[" in pattern:
        yield "Invalid pattern", 1, ""
        return
    for owner in owners:
        at = line.index(owner) + 1
        known_form = any(f.fullmatch(owner) for f in (_ADDRESS, _USER, _TEAM))
        if not known_form:
            yield "Invalid owner", at, ""
        elif not _may_write(call, owner):
            advice = f"make sure {owner} exists and has write access to the repository"
            yield "Unknown owner", at, advice


def _may_write(call: Call, owner: str) -> bool:
    """Say whether an owner is somebody who may write here."""
    if _ADDRESS.fullmatch(owner):
        return True  # the hub knows nobody's address
    team = _TEAM.fullmatch(owner)
    if team:
        return call.state.teams.get(team[1], "") in _WRITES
    login = owner.removeprefix("@")
    if call.state.of_organization and login == call.hub.owner:
        return False  # an organisation alone is nobody
    return call.hub.role(login) in _WRITES


def _error(
    path: str, number: int, line: str, kind: str, at: int, advice: str
) -> Record:
    """Return an error as GitHub shows it."""
    about = f"{kind} on line {number}"
    head = f"{about}: {advice}" if advice else f"{about}:"
    return {
        "line": number,
        "column": at,
        "source": f"{line}\n",
        "kind": kind,
        "suggestion": advice or None,
        "message": f"{head}\n\n  {line}\n  {' ' * (at - 1)}^",
        "path": path,
    }

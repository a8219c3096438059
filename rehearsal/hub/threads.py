"""Issues, comments and labels of the hub."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from rehearsal.hub.call import (
    Answer,
    Call,
    Failure,
    Page,
    invalid,
    known,
    on,
    text_fits,
)
from rehearsal.hub.state import Record


def new_thread(call: Call, record: Record) -> Record:
    """Return what an issue and a pull request have in common when they begin."""
    text_fits("Issue", record.get("body"))
    return call.state.stamped(
        {
            "number": call.state.new_number(),
            "state": "open",
            "user": call.caller.login,
            "labels": [],
            "assignees": [],
            "body": None,
            "closed_at": None,
            **record,
        }
    )


def label_names(call: Call, labels: list[Any]) -> list[str]:
    """Return the names of labels; those that are new come into being, as on GitHub."""
    names = [label if isinstance(label, str) else label["name"] for label in labels]
    for name in names:
        add_label(call, name)
    return list(dict.fromkeys(names))


def add_label(
    call: Call, name: str, color: str = "ededed", text: str | None = None
) -> Record:
    """Make a label unless there is one of that name."""
    new = {"id": call.state.new_id(), "color": color, "description": text}
    return call.state.labels.setdefault(name, new)


def selected(call: Call, records: list[Record]) -> list[Record]:
    """Return threads in the state and order that the query asks for."""
    wanted = call.asked("state", "open")
    ascending = call.asked("direction", "desc") == "asc"
    key = {"updated": "updated_at"}.get(call.asked("sort"), "number")
    found = [r for r in records if wanted in ("all", r["state"])]
    return sorted(found, key=lambda r: (r[key], r["number"]), reverse=not ascending)


def _require_issues(call: Call) -> None:
    """Refuse where the repository's Issues are switched off.

    Raises
    ------
    Failure
    """
    if not call.state.repository.get("has_issues", True):
        raise Failure(410, "Issues has been disabled in this repository.")


@on("GET /issues")
def list_issues(call: Call) -> Page:
    """List issues. Pull requests are among them: GitHub sees them as issues too."""
    _require_issues(call)
    labels = [name for name in call.asked("labels").split(",") if name]
    threads = [*call.state.issues.values(), *call.state.pulls.values()]
    found = [
        t
        for t in selected(call, threads)
        if set(labels) <= set(t["labels"])
        and call.asked("creator", t["user"]) == t["user"]
        and t["updated_at"] >= call.asked("since")
    ]
    return Page([call.view.issue(t) for t in found])


@on("POST /issues")
def create_issue(call: Call) -> Record:
    """Open an issue."""
    _require_issues(call)
    given = {"assignees": [], **call.given("title", "body", "assignees")}
    given["labels"] = label_names(call, call.body.get("labels", []))
    issue = new_thread(call, given)
    call.state.issues[issue["number"]] = issue
    _happened(call, "opened", issue)
    return call.view.issue(issue)


@on("GET /issues/{issue_number}")
def get_issue(call: Call) -> Record:
    """Return an issue or pull request."""
    _require_issues(call)
    return call.view.issue(_thread(call))


@on("PATCH /issues/{issue_number}")
def edit_issue(call: Call) -> Record:
    """Change, close or open an issue again."""
    _require_issues(call)
    issue = _thread(call)
    changes = call.given("title", "body", "assignees")
    text_fits("Issue", changes.get("body"))
    if "labels" in call.body:
        changes["labels"] = label_names(call, call.body["labels"])
    if call.state.touch(issue, **changes):
        _happened(call, "edited", issue)
    state = call.body.get("state", issue["state"])
    if state != issue["state"]:
        closed = state == "closed"
        reason = call.body.get("state_reason") or (
            "completed" if closed else "reopened"
        )
        call.state.touch(issue, state=state, state_reason=reason)
        issue["closed_at"] = call.state.now() if closed else None
        issue["closed_by"] = call.caller.login if closed else None
        _happened(call, "closed" if closed else "reopened", issue)
    return call.view.issue(issue)


@on("GET /issues/{issue_number}/labels")
def labels_of(call: Call) -> Page:
    """List the labels of an issue."""
    return Page([call.view.label(name) for name in _thread(call)["labels"]])


@on("POST /issues/{issue_number}/labels", "PUT /issues/{issue_number}/labels")
def label_issue(call: Call) -> list[Record]:
    """Add labels to an issue, or (PUT) give it these and no others."""
    issue = _thread(call)
    names = label_names(
        call, call.body["labels"] if isinstance(call.body, dict) else call.body
    )
    kept = [] if call.method == "PUT" else issue["labels"]
    if call.state.touch(issue, labels=list(dict.fromkeys([*kept, *names]))):
        _happened(call, "labeled", issue)
    return [call.view.label(name) for name in issue["labels"]]


@on("DELETE /issues/{issue_number}/labels/{name}")
def unlabel_issue(call: Call) -> list[Record]:
    """Take a label off an issue."""
    issue, name = _thread(call), call.path["name"]
    known(name if name in issue["labels"] else None)
    call.state.touch(
        issue, labels=[label for label in issue["labels"] if label != name]
    )
    _happened(call, "unlabeled", issue)
    return [call.view.label(label) for label in issue["labels"]]


@on("GET /issues/{issue_number}/comments")
def list_comments(call: Call) -> Page:
    """List the comments of an issue."""
    comments = call.state.comments(_thread(call)["number"])
    since = call.asked("since")
    return Page([call.view.comment(c) for c in comments if c["updated_at"] >= since])


@on("GET /issues/comments")
def all_comments(call: Call) -> Page:
    """List all comments."""
    return Page([call.view.comment(c) for c in call.state.thread_comments.values()])


@on("POST /issues/{issue_number}/comments")
def create_comment(call: Call) -> Answer:
    """Comment on an issue; on a pull request where Issues are off, too."""
    issue, body = _thread(call), str(call.body["body"])
    if issue["number"] not in call.state.pulls:
        _require_issues(call)
    text_fits("IssueComment", body)
    if not body.strip():
        raise invalid("IssueComment", "body", "missing_field")
    new = {"number": issue["number"], "user": call.caller.login, "body": body}
    comment = call.state.stamped(new)
    call.state.thread_comments[comment["id"]] = comment
    shown = call.view.comment(comment)
    _commented(call, "created", comment)
    return Answer(shown, headers={"Location": shown["url"]})


@on("GET /issues/comments/{comment_id}")
def get_comment(call: Call) -> Record:
    """Return a comment."""
    return call.view.comment(_comment(call))


@on("PATCH /issues/comments/{comment_id}")
def edit_comment(call: Call) -> Record:
    """Change a comment's text."""
    comment, body = _comment(call), str(call.body["body"])
    text_fits("IssueComment", body)
    if call.state.touch(comment, body=body):
        _commented(call, "edited", comment)
    return call.view.comment(comment)


@on("DELETE /issues/comments/{comment_id}")
def delete_comment(call: Call) -> None:
    """Remove a comment."""
    comment = _comment(call)
    _commented(call, "deleted", comment)
    del call.state.thread_comments[comment["id"]]


@on("GET /labels")
def list_labels(call: Call) -> Page:
    """List the labels that there are."""
    return Page([call.view.label(name) for name in sorted(call.state.labels)])


@on("POST /labels")
def create_label(call: Call) -> Answer:
    """Make a label."""
    name = call.body["name"]
    if name in call.state.labels:
        raise invalid("Label", "name", "already_exists")
    add_label(
        call, name, call.body.get("color", "ededed"), call.body.get("description")
    )
    return Answer(
        call.view.label(name),
        headers={"Location": f"{call.view.api}/labels/{quote(name)}"},
    )


@on("GET /labels/{name}")
def get_label(call: Call) -> Record:
    """Return a label."""
    known(call.state.labels.get(call.path["name"]))
    return call.view.label(call.path["name"])


@on("PATCH /labels/{name}")
def edit_label(call: Call) -> Record:
    """Change a label; it keeps its place on issues when it gets another name."""
    old = call.path["name"]
    label = known(call.state.labels.get(old))
    label.update(call.given("color", "description"))
    new = call.body.get("new_name", old)
    call.state.labels[new] = call.state.labels.pop(old)
    for thread in (*call.state.issues.values(), *call.state.pulls.values()):
        thread["labels"] = [new if name == old else name for name in thread["labels"]]
    return call.view.label(new)


@on("DELETE /labels/{name}")
def delete_label(call: Call) -> None:
    """Remove a label from everywhere."""
    known(call.state.labels.pop(call.path["name"], None))
    for thread in (*call.state.issues.values(), *call.state.pulls.values()):
        thread["labels"] = [
            name for name in thread["labels"] if name != call.path["name"]
        ]


def _thread(call: Call) -> Record:
    return known(call.state.thread(call.number("issue_number")))


def _comment(call: Call) -> Record:
    return known(call.state.thread_comments.get(call.number("comment_id")))


def _happened(call: Call, action: str, issue: Record) -> None:
    if issue["number"] in call.state.pulls:
        call.hub.pull_happened(action, issue, call.caller)
    else:
        call.happened("issues", {"action": action, "issue": call.view.issue(issue)})


def _commented(call: Call, action: str, comment: Record) -> None:
    issue = known(call.state.thread(comment["number"]))
    shown = {"issue": call.view.issue(issue), "comment": call.view.comment(comment)}
    call.happened("issue_comment", {"action": action, **shown})

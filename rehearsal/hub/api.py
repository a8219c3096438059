"""A request of the API: described, allowed, done; its answer checked by the description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import rehearsal.hub.actions
import rehearsal.hub.commits
import rehearsal.hub.deploy
import rehearsal.hub.protection
import rehearsal.hub.pulls
import rehearsal.hub.refs
import rehearsal.hub.releases
import rehearsal.hub.settings
import rehearsal.hub.threads  # noqa: F401 - these name their endpoints
from rehearsal.hub.call import HANDLERS, Answer, Call, Failure, Page, not_found
from rehearsal.hub.description import UPLOAD, Operation, description
from rehearsal.hub.exchange import Exchange
from rehearsal.hub.identity import Caller
from rehearsal.hub.permissions import endpoints, missing

if TYPE_CHECKING:
    from rehearsal.hub import Hub

_JSON = "application/json; charset=utf-8"
_NEEDS = endpoints()
# What anyone may read of a public repository.
_OPEN = (
    "contents",
    "issues",
    "pull-requests",
    "actions",
    "checks",
    "statuses",
    "deployments",
)


@dataclass(frozen=True)
class Reply:
    """What goes over the line."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(
    hub: Hub,
    who: Caller | None,
    method: str,
    path: str,
    query: Mapping[str, list[str]],
    headers: Mapping[str, str],
    body: bytes,
) -> Reply:
    """Answer a request.

    Parameters
    ----------
    hub : Hub
    who : Caller or None
        None for a token that is not known.
    method, path, query, headers, body
        The request, its path without the API's address, its headers' names in Title-Case.
    """
    operation = description().operation(method, path)
    given = None
    try:
        if "User-Agent" not in headers:
            raise Failure(403, "Please make sure your request has a User-Agent header")
        if who is None:
            raise Failure(401, "Bad credentials")
        if operation is None:
            hub.violations.append(f"{method} {path} is not in the description")
            raise not_found()
        binary = operation.template == UPLOAD and method == "POST"
        if problem := description().wrong_request(operation, query, headers, body):
            hub.violations.append(f"{method} {path}: request: {problem}")
            raise Failure(422, f"Invalid request.\n\n{problem}")
        given = None if binary or not body else json.loads(body)
        call = Call(hub, who, method, operation.parameters, query, given, body, headers)
        _admit(call, operation)
        result = HANDLERS[method, operation.template](call)
        reply = _success(call, operation, result)
    except Failure as failure:
        head = {"Content-Type": _JSON, **failure.headers}
        reply = Reply(failure.status, json.dumps(failure.body).encode(), head)
    if who is not None:
        hub.spend(who) if reply.status != 304 else None
        reply = Reply(reply.status, reply.body, {**_rates(hub, who), **reply.headers})
    reply = _checked(hub, operation, method, path, reply)
    seen = json.loads(reply.body) if reply.body and reply.status != 304 else None
    about = (who.login, who.kind, who.job) if who else ("", "", "")
    template = operation.template if operation else ""
    exchange = Exchange(
        method, path, query, given, reply.status, seen, *about, template
    )
    hub.exchanges.append(exchange)
    return reply


def _admit(call: Call, operation: Operation) -> None:
    """Refuse who may not do this."""
    hub, who = call.hub, call.caller
    limit, used, reset = hub.quota(who)
    if used >= limit:
        left = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
        raise Failure(
            403,
            f"API rate limit exceeded for {who.login or 'this address'}.",
            headers=left,
        )
    owner = operation.parameters.get("owner")
    if owner and f"{owner}/{operation.parameters['repo']}" != hub.repository:
        raise not_found()
    need = _NEEDS[operation.method, operation.template]
    if need == "none":
        return
    if need == "person":
        if who.kind != "user" or not who.token:
            raise Failure(403, "Resource not accessible by integration")
        return
    permissions = who.permissions
    if not who.token:
        if hub.private:
            raise not_found()
        permissions = dict.fromkeys(_OPEN, "read")
    if lacking := missing(need, permissions, _thread(call)):
        if not who.token:
            raise Failure(401, "Requires authentication")
        accepted = {
            "X-Accepted-GitHub-Permissions": lacking.replace("-", "_").replace(
                ": ", "="
            )
        }
        kind = "personal access token" if who.kind == "user" else "integration"
        raise Failure(403, f"Resource not accessible by {kind}", headers=accepted)


def _thread(call: Call) -> str:
    """Return the permission that counts for an issue, pull request or comment."""
    number = call.path.get("issue_number", "")
    comment = call.path.get("comment_id", "")
    if comment.isdigit():
        number = str(call.state.thread_comments.get(int(comment), {}).get("number", ""))
    return (
        "pull-requests"
        if number.isdigit() and int(number) in call.state.pulls
        else "issues"
    )


def _success(call: Call, operation: Operation, result: Any) -> Reply:
    """Return a reply: the page that was asked for, what the description names, an ETag."""
    given = result if isinstance(result, Answer) else Answer(result)
    status = given.status or description().success(operation)
    headers = {"X-GitHub-Media-Type": "github.v3; format=json", **given.headers}
    body = given.body
    if isinstance(body, Page):
        body, links = _paged(call, operation, body)
        headers.update(links)
    if status in (204, 302) or body is None:
        return Reply(status, b"", headers)
    seen = description().pruned(operation, status, body)
    content = json.dumps(seen).encode()
    headers["Content-Type"] = _JSON
    if operation.method == "GET":
        tag = hashlib.sha256(content).hexdigest()
        headers["ETag"] = f'W/"{tag}"'
        if tag in call.headers.get("If-None-Match", ""):
            return Reply(304, b"", {"ETag": headers["ETag"]})
    return Reply(status, content, headers)


def _paged(call: Call, operation: Operation, page: Page) -> tuple[Any, dict[str, str]]:
    size = min(100, max(1, int(call.asked("per_page", "30"))))
    number = max(1, int(call.asked("page", "1")))
    last = max(1, -(-len(page.items) // size))
    shown = page.items[(number - 1) * size : number * size]
    path = operation.template.format(**operation.parameters)
    places = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    if number >= last:
        del places["next"], places["last"]
    if number == 1:
        del places["prev"], places["first"]
    links = []
    for relation, where in places.items():
        query = urlencode({**call.query, "per_page": size, "page": where}, doseq=True)
        links.append(f'<{call.hub.api_url}{path}?{query}>; rel="{relation}"')
    body = {"total_count": len(page.items), page.key: shown} if page.key else shown
    return body, {"Link": ", ".join(links)} if links else {}


def _rates(hub: Hub, who: Caller) -> dict[str, str]:
    limit, used, reset = hub.quota(who)
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(max(0, limit - used)),
        "x-ratelimit-used": str(used),
        "x-ratelimit-reset": str(reset),
        "x-ratelimit-resource": "core",
        "x-github-request-id": f"HUB:{len(hub.exchanges)}",
    }


def _checked(
    hub: Hub, operation: Operation | None, method: str, path: str, reply: Reply
) -> Reply:
    """Return the reply, or a failure of the hub when GitHub would not have answered so."""
    if operation is None or reply.status == 400:
        return reply
    problem = description().wrong_response(
        operation, reply.status, reply.headers, reply.body
    )
    if not problem:
        return reply
    hub.violations.append(f"{method} {path}: answer {reply.status}: {problem}")
    body = json.dumps({"message": f"the hub's own answer is wrong: {problem}"}).encode()
    return Reply(500, body, {"Content-Type": _JSON})

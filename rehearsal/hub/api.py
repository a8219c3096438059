"""A request of the API: described, allowed, done; the answer checked the same way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import rehearsal.hub.actions
import rehearsal.hub.advisories
import rehearsal.hub.code_owners
import rehearsal.hub.commits
import rehearsal.hub.deploy
import rehearsal.hub.protection
import rehearsal.hub.pulls
import rehearsal.hub.refs
import rehearsal.hub.releases
import rehearsal.hub.settings
import rehearsal.hub.threads  # noqa: F401 - these name their endpoints
from rehearsal.hub.call import (
    HANDLERS,
    Answer,
    Call,
    Failure,
    Page,
    not_found,
    page_number,
    page_size,
)
from rehearsal.hub.description import UPLOAD, Operation, description
from rehearsal.hub.exchange import MANY_AT_ONCE, Exchange
from rehearsal.hub.identity import Caller
from rehearsal.hub.messages import Reply, Request
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


def answer(hub: Hub, caller: Caller | None, request: Request) -> Reply:
    """Answer a request, and note it in the hub's log.

    Parameters
    ----------
    hub : Hub
    caller : Caller or None
        None for a token that is not known.
    request : Request
    """
    operation = description().operation(request.method, request.path)
    call = None
    try:
        call = _valid(hub, caller, operation, request)
        _admit(call)
        handler = HANDLERS[call.method, call.operation.template]
        reply = _success(call, handler(call))
    except Failure as failure:
        headers = {"Content-Type": _JSON, **failure.headers}
        reply = Reply(failure.status, json.dumps(failure.body).encode(), headers)
    if caller is not None:
        if reply.status != 304:
            hub.spend(caller)
        reply = replace(reply, headers={**_rates(hub, caller), **reply.headers})
    reply = _checked(hub, operation, request, reply)
    hub.exchanges.append(
        Exchange(
            method=request.method,
            path=request.path,
            query=request.parameters,
            request=call.body if call else None,
            status=reply.status,
            answer=json.loads(reply.body) if reply.body else None,
            login=caller.login if caller else "",
            kind=caller.kind if caller else "",
            job=caller.job if caller else "",
            template=operation.template if operation else "",
        )
    )
    return reply


def _valid(
    hub: Hub, caller: Caller | None, operation: Operation | None, request: Request
) -> Call:
    """Return a request that is as the description says, from somebody who is known.

    Raises
    ------
    Failure
        When it is not. What no client should ask at all is a violation too.
    """
    if "User-Agent" not in request.headers:
        raise Failure(403, "Please make sure your request has a User-Agent header")
    if caller is None:
        raise Failure(401, "Bad credentials")
    if operation is None:
        hub.violations.append(
            f"{request.method} {request.path} is not in the description"
        )
        raise not_found()
    problem = description().wrong_request(
        operation, request.parameters, request.headers, request.body
    )
    if problem:
        hub.violations.append(f"{request.method} {request.path}: request: {problem}")
        raise Failure(422, f"Invalid request.\n\n{problem}")
    binary = operation.template == UPLOAD and request.method == "POST"
    body = json.loads(request.body) if request.body and not binary else None
    return Call(hub, caller, operation, request, body)


def _admit(call: Call) -> None:
    """Refuse who may not do this.

    Raises
    ------
    Failure
        When the hour's requests are used up, or a permission is missing.
    """
    hub = call.hub
    caller = call.caller
    _within_quota(hub, caller)
    if call.method == "POST" and not hub.may_create(caller):
        # GitHub mostly says no more than this: not when it will answer again.
        raise Failure(403, MANY_AT_ONCE)
    owner = call.path.get("owner")
    if owner and f"{owner}/{call.path['repo']}" != hub.repository:
        raise not_found()
    if hub.state.repository.get("archived") and _changes_archive(call):
        raise Failure(403, "Repository was archived so is read-only.")
    need = _NEEDS[call.method, call.operation.template]
    if need == "none":
        return
    if need == "person":
        if caller.kind != "user" or not caller.token:
            raise Failure(403, "Resource not accessible by integration")
        return
    permissions = caller.permissions
    if not caller.token:
        if hub.private:
            raise not_found()
        permissions = dict.fromkeys(_OPEN, "read")
    lacking = missing(need, permissions, _thread(call))
    if not lacking:
        return
    if not caller.token:
        raise Failure(401, "Requires authentication")
    kind = "personal access token" if caller.kind == "user" else "integration"
    accepted = lacking.replace("-", "_").replace(": ", "=")
    raise Failure(
        403,
        f"Resource not accessible by {kind}",
        headers={"X-Accepted-GitHub-Permissions": accepted},
    )


def _changes_archive(call: Call) -> bool:
    """Say whether a request would change an archive, but to unarchive it."""
    if call.method == "GET":
        return False
    unarchives = call.method == "PATCH" and (call.body or {}).get("archived") is False
    return not unarchives


def _within_quota(hub: Hub, caller: Caller) -> None:
    limit, used, reset = hub.quota(caller)
    if used >= limit:
        raise Failure(
            403,
            f"API rate limit exceeded for {caller.login or 'this address'}.",
            headers={
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(reset),
            },
        )


def _thread(call: Call) -> str:
    """Return the permission that counts for an issue, pull request or comment."""
    number = call.path.get("issue_number", "")
    comment = call.path.get("comment_id", "")
    if comment.isdigit():
        number = str(call.state.thread_comments.get(int(comment), {}).get("number", ""))
    of_pull = number.isdigit() and int(number) in call.state.pulls
    return "pull-requests" if of_pull else "issues"


def _success(call: Call, result: Any) -> Reply:
    """Return the reply: one page of a list, what the description names, an ETag."""
    operation = call.operation
    given = result if isinstance(result, Answer) else Answer(result)
    status = given.status or description().success(operation)
    headers = {"X-GitHub-Media-Type": "github.v3; format=json", **given.headers}
    body = given.body
    if isinstance(body, Page):
        headers |= _links(call, body)
        body = _page(call, body)
    if status in (204, 302) or body is None:
        return Reply(status, b"", headers)
    shown = description().pruned(operation, status, body)
    content = json.dumps(shown).encode()
    headers["Content-Type"] = _JSON
    if operation.method == "GET":
        tag = hashlib.sha256(content).hexdigest()
        headers["ETag"] = f'W/"{tag}"'
        if tag in call.headers.get("If-None-Match", ""):
            return Reply(304, b"", {"ETag": headers["ETag"]})
    return Reply(status, content, headers)


def _page(call: Call, page: Page) -> Any:
    """Return the part of a list that was requested."""
    size = page_size(call)
    number = page_number(call)
    shown = page.show(page.items[(number - 1) * size : number * size])
    if page.key:
        return {"total_count": len(page.items), page.key: shown}
    return shown


def _links(call: Call, page: Page) -> dict[str, str]:
    """Return the header that leads to the other pages, where there are any."""
    size = page_size(call)
    number = page_number(call)
    last = max(1, -(-len(page.items) // size))
    places = {}
    if number > 1:
        places["prev"] = number - 1
    if number < last:
        places["next"] = number + 1
        places["last"] = last
    if number > 1:
        places["first"] = 1
    path = call.operation.template.format(**call.path)
    links = []
    for relation, place in places.items():
        query = urlencode({**call.query, "per_page": size, "page": place}, doseq=True)
        links.append(f'<{call.hub.api_url}{path}?{query}>; rel="{relation}"')
    return {"Link": ", ".join(links)} if links else {}


def _rates(hub: Hub, caller: Caller) -> dict[str, str]:
    limit, used, reset = hub.quota(caller)
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(max(0, limit - used)),
        "x-ratelimit-used": str(used),
        "x-ratelimit-reset": str(reset),
        "x-ratelimit-resource": "core",
        "x-github-request-id": f"HUB:{len(hub.exchanges)}",
    }


def _checked(
    hub: Hub, operation: Operation | None, request: Request, reply: Reply
) -> Reply:
    """Return the reply, or a failure of the hub where GitHub would answer otherwise."""
    if operation is None or reply.status == 400:
        return reply
    problem = description().wrong_response(
        operation, reply.status, reply.headers, reply.body
    )
    if not problem:
        return reply
    hub.violations.append(
        f"{request.method} {request.path}: answer {reply.status}: {problem}"
    )
    body = json.dumps({"message": f"the hub's own answer is wrong: {problem}"}).encode()
    return Reply(500, body, {"Content-Type": _JSON})

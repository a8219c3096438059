"""The hub's HTTP: requests are read, sent to the API, git or storage, and answered."""

from __future__ import annotations

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rehearsal.hub.api import answer
from rehearsal.hub.exchange import Exchange, Fault
from rehearsal.hub.git import Bare, commands, http_backend
from rehearsal.hub.identity import Caller, shown_token
from rehearsal.hub.messages import Reply, Request
from rehearsal.hub.permissions import LEVELS
from rehearsal.hub.rules import forward_only

if TYPE_CHECKING:
    from rehearsal.hub import Hub


class Server(ThreadingHTTPServer):
    """Threads that answer for a hub."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away; note what is a mistake of the hub."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            self.hub.violations.append(f"the hub itself failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "hub"
    sys_version = ""
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet; `hub.exchanges` has it all."""

    def _serve(self) -> None:
        hub = self.server.hub
        body = self._body()
        parts = urlsplit(self.path)
        path = hub.present(parts.path)
        headers = {name.title(): value for name, value in self.headers.items()}
        request = Request(self.command, path, parts.query, headers, body)
        fault = hub.faults.next(request.method, path)
        if fault and not fault.done_first:
            self._fail(fault, path)
            return
        reply = self._reply(request)
        if fault:
            self._fail(fault, path)
        else:
            self._send(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _reply(self, request: Request) -> Reply:
        """Send a request to storage, git, the pages of releases, or the API."""
        path = request.path
        moved = self.server.hub.moved(path)
        if moved:
            return self._moved(request, moved)
        if path.startswith("/storage/"):
            return self._storage(path.rpartition("/")[2])
        if ".git/" in path:
            return self._git(request)
        if "/releases/download/" in path:
            return self._download(unquote(path))
        hub = self.server.hub
        with hub.lock:
            return answer(hub, self._caller(request), request)

    def _moved(self, request: Request, path: str) -> Reply:
        """Send on whoever uses a former name; what writes is to be repeated."""
        reads = request.method in ("GET", "HEAD")
        query = f"?{request.query}" if request.query else ""
        address = f"{self.server.hub.server_url}{path}{query}"
        status = 301 if reads else 307
        message = {
            "message": "Moved Permanently" if reads else "Temporary Redirect",
            "url": address,
            "documentation_url": "https://docs.github.com/rest",
        }
        headers = {"Location": address, "Content-Type": "application/json"}
        return Reply(status, json.dumps(message).encode(), headers)

    def _caller(self, request: Request) -> Caller | None:
        token = shown_token(request.headers.get("Authorization", ""))
        return self.server.hub.caller(token, self.client_address[1])

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            return gzip.decompress(body)
        return body

    def _chunks(self) -> bytes:
        pieces = []
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if not size:
                break
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _fail(self, fault: Fault, path: str) -> None:
        hub = self.server.hub
        if fault.status == "timeout":
            hub.exchanges.append(Exchange(self.command, path))
            hub.closing.wait(120)
            self.close_connection = True
            return
        status, message, headers = fault.answer()
        hub.exchanges.append(
            Exchange(self.command, path, status=status, answer=message)
        )
        if status >= 500:
            kind = "text/html"
            body = f"<html><title>{message}</title><h1>Unicorn!</h1></html>"
        else:
            kind = "application/json; charset=utf-8"
            documentation = "https://docs.github.com"
            body = json.dumps({"message": message, "documentation_url": documentation})
        self._send(Reply(status, body.encode(), {"Content-Type": kind, **headers}))

    # ----- git

    def _git(self, request: Request) -> Reply:
        """Answer a request of git's protocol, and note it in the hub's log."""
        hub = self.server.hub
        full, service = request.path[1:].split(".git/", 1)
        owner, _, name = full.partition("/")
        bare = hub.bares.get(owner) if name == hub.repository.split("/")[1] else None
        caller = self._caller(request)
        writes = "git-receive-pack" in (service + request.query)
        if bare is None:
            reply = Reply(404, b"Not Found")
        else:
            refused = self._refused(caller, writes, owner)
            if refused or caller is None:
                reply = refused or Reply(404)
            elif writes and service == "git-receive-pack":
                reply = self._receive(request, bare, owner, caller)
            else:
                reply = http_backend(bare, request, f"/{service}")
        hub.exchanges.append(
            Exchange(
                method=request.method,
                path=request.path,
                status=reply.status,
                login=caller.login if caller else "",
                kind=caller.kind if caller else "",
                job=caller.job if caller else "",
            )
        )
        return reply

    def _receive(
        self, request: Request, bare: Bare, owner: str, caller: Caller
    ) -> Reply:
        """Take a push, if the rules let it in, and raise what follows from it."""
        hub = self.server.hub
        with hub.lock:
            updates = commands(request.body)
            workflows = caller.permissions.get("workflows") == "write"
            forbidden = hub.refusal(updates, caller) if owner == hub.owner else ""
            forward = [u.ref for u in updates if forward_only(hub.state, u.ref)]
            variables = {
                "HUB_REFUSED": forbidden,
                "HUB_FORWARD_ONLY": " ".join(forward) if owner == hub.owner else "",
                "HUB_WORKFLOWS": "yes" if workflows else "no",
            }
            before = bare.refs()
            reply = http_backend(bare, request, "/git-receive-pack", variables)
            after = bare.refs()
            moved = [u for u in updates if before.get(u.ref) != after.get(u.ref)]
            hub.pushed(owner, moved, caller)
        return reply

    def _refused(self, caller: Caller | None, writes: bool, owner: str) -> Reply | None:
        """Return the answer to somebody who may not do this; None to all others."""
        hub = self.server.hub
        login_first = {
            "WWW-Authenticate": 'Basic realm="GitHub"',
            "Content-Type": "text/plain",
        }
        if caller is None:
            return Reply(401, b"Bad credentials", login_first)
        if not caller.token and (writes or hub.private):
            return Reply(401, b"Authentication required", login_first)
        if self._may(caller, writes, owner):
            return None
        message = f"Permission to {hub.repository}.git denied to {caller.login}."
        headers = {"Content-Type": "text/plain"}
        return Reply(403 if writes else 404, message.encode(), headers)

    def _may(self, caller: Caller, writes: bool, owner: str) -> bool:
        hub = self.server.hub
        person = caller.kind == "user"
        if writes and owner != hub.owner:
            return person and owner == caller.login
        granted = LEVELS[caller.permissions.get("contents", "none")]
        if granted >= LEVELS["write" if writes else "read"]:
            return True
        if writes:
            return False
        own = person and owner in (caller.login, hub.owner)
        return own or not hub.private

    # ----- bytes

    def _download(self, path: str) -> Reply:
        """Send a browser, which has no token, to the bytes of a public release."""
        hub = self.server.hub
        tag, name = path.partition("/releases/download/")[2].rsplit("/", 1)
        for asset in hub.state.assets.values():
            release = hub.state.releases[asset["release"]]
            named = (release["tag_name"], asset["name"]) == (tag, name)
            if named and not release["draft"] and not hub.private:
                return Reply(302, b"", {"Location": hub.storage.signed(asset["path"])})
        return Reply(404, b"Not Found", {"Content-Type": "text/html"})

    def _storage(self, signature: str) -> Reply:
        path: Path | None = self.server.hub.storage.found(signature)
        if path is None:
            return Reply(404, b"")
        if "Authorization" in self.headers:
            # As the real storage answers those who show GitHub's token to it.
            message = b"Only one auth mechanism allowed"
            return Reply(400, message, {"Content-Type": "text/plain"})
        headers = {"Content-Type": "application/octet-stream"}
        return Reply(200, path.read_bytes(), headers)

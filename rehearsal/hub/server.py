"""The hub's HTTP: reads requests, sends them to the API, to git or to storage, and answers."""

from __future__ import annotations

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from rehearsal.hub.api import Reply, answer
from rehearsal.hub.exchange import Exchange, Fault
from rehearsal.hub.git import commands, http_backend
from rehearsal.hub.identity import Caller, shown_token
from rehearsal.hub.permissions import LEVELS

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
    server_version, sys_version = "hub", ""
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet; `hub.exchanges` has it all."""

    def _serve(self) -> None:
        hub = self.server.hub
        body = self._body()
        parts = urlsplit(self.path)
        fault = None
        path = parts.path
        for prefix in (hub.prefix, hub.upload_prefix):
            path = path.removeprefix(prefix) if prefix else path
        fault = hub.faults.next(self.command, path)
        if fault and not fault.done_first:
            self._fail(fault, path)
            return
        if path.startswith("/storage/"):
            reply = self._storage(path.rpartition("/")[2])
        elif ".git/" in path:
            reply = self._git(path, parts.query, body)
        elif "/releases/download/" in path:
            reply = self._download(unquote(path))
        elif hub.prefix and path == parts.path:
            reply = Reply(404, b"Not Found", {"Content-Type": "text/html"})
        else:
            query = parse_qs(parts.query, keep_blank_values=True)
            headers = {name.title(): value for name, value in self.headers.items()}
            shown = shown_token(self.headers.get("Authorization", ""))
            with hub.lock:
                who = hub.caller(shown, self.client_address[1])
                reply = answer(hub, who, self.command, path, query, headers, body)
        if fault:
            self._fail(fault, path)
        else:
            self._send(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(pieces)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return (
            gzip.decompress(body)
            if self.headers.get("Content-Encoding") == "gzip"
            else body
        )

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
        body = json.dumps(
            {"message": message, "documentation_url": "https://docs.github.com"}
        )
        kind = "application/json; charset=utf-8"
        if status >= 500:
            body, kind = (
                f"<html><title>{message}</title><h1>Unicorn!</h1></html>",
                "text/html",
            )
        self._send(Reply(status, body.encode(), {"Content-Type": kind, **headers}))

    # ----- git

    def _git(self, path: str, query: str, body: bytes) -> Reply:
        hub = self.server.hub
        full, tail = path[1:].split(".git/", 1)
        owner, _, name = full.partition("/")
        bare = hub.bares.get(owner) if name == hub.repository.split("/")[1] else None
        shown = shown_token(self.headers.get("Authorization", ""))
        who = hub.caller(shown, self.client_address[1])
        writes = "git-receive-pack" in (tail + query)
        refused = self._refused(who, writes, owner) if bare else None
        about = (who.login, who.kind, who.job) if who else ("", "", "")
        if refused or bare is None:
            reply = refused or Reply(404, b"Not Found")
            hub.exchanges.append(
                Exchange(self.command, path, {}, None, reply.status, None, *about)
            )
            return reply
        headers = {
            k.title(): v
            for k, v in self.headers.items()
            if k.lower() != "content-encoding"
        }
        if not (writes and tail == "git-receive-pack"):
            status, pairs, content = http_backend(
                bare, self.command, f"/{tail}", query, headers, body, {}
            )
        else:
            assert who
            with hub.lock:
                updates = commands(body)
                workflows = (
                    "yes" if who.permissions.get("workflows") == "write" else "no"
                )
                forbidden = hub.refusal(updates, who) if owner == hub.owner else ""
                variables = {"HUB_REFUSED": forbidden, "HUB_WORKFLOWS": workflows}
                before = bare.refs()
                status, pairs, content = http_backend(
                    bare, self.command, f"/{tail}", query, headers, body, variables
                )
                after = bare.refs()
                moved = [u for u in updates if before.get(u.ref) != after.get(u.ref)]
                hub.pushed(owner, moved, who)
        hub.exchanges.append(
            Exchange(self.command, path, {}, None, status, None, *about)
        )
        return Reply(status, content, dict(pairs))

    def _refused(self, who: Caller | None, writes: bool, owner: str) -> Reply | None:
        hub = self.server.hub
        login_first = {
            "WWW-Authenticate": 'Basic realm="GitHub"',
            "Content-Type": "text/plain",
        }
        if who is None:
            return Reply(401, b"Bad credentials", login_first)
        if not who.token and (writes or hub.private):
            return Reply(401, b"Authentication required", login_first)
        own = who.kind == "user" and owner in (who.login, hub.owner)
        if writes and owner != hub.owner:
            allowed = who.kind == "user" and owner == who.login
        else:
            level = LEVELS["write" if writes else "read"]
            allowed = LEVELS[who.permissions.get("contents", "none")] >= level
        if allowed or (not writes and (own or not hub.private)):
            return None
        said = f"Permission to {hub.repository}.git denied to {who.login}.".encode()
        return Reply(403 if writes else 404, said, {"Content-Type": "text/plain"})

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
            return Reply(
                400, b"Only one auth mechanism allowed", {"Content-Type": "text/plain"}
            )
        return Reply(
            200, path.read_bytes(), {"Content-Type": "application/octet-stream"}
        )

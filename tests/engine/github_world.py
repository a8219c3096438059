"""A small GitHub for the tests of `github`: the few requests it makes, and faults."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pytest

REPOSITORY = "acme/demo"
PATIENCE = 1  # seconds that a client of the tests waits for an answer
Thing = dict[str, Any]


class Page(list[Thing]):
    """A page of a list that may have more."""

    def __init__(self, rows: list[Thing], more: bool) -> None:
        super().__init__(rows)
        self.more = more


class GitHub:
    """What the repository holds; `faults` maps "METHOD pattern" to answers to give."""

    def __init__(self) -> None:
        self.releases: dict[int, Thing] = {}
        self.assets: dict[int, Thing] = {}
        self.issues: dict[int, Thing] = {}
        self.comments: dict[int, Thing] = {}
        self.pulls: list[Thing] = []
        self.files: list[Thing] = []  # that each pull request changes
        self.approvals: list[Thing] = []
        self.dispatches: list[Thing] = []
        self.requests: list[str] = []
        self.faults: list[tuple[str, int | str, dict[str, str], bool]] = []
        # The host of the files: what it was asked for (range, right), whether it knows
        # ranges, and after how many bytes the next answers break off.
        self.asked: list[tuple[str | None, str | None]] = []
        self.ranges, self.breaks = True, list[int]()
        self.sent_as: list[str | None] = []  # content types of what was uploaded
        self.lag, self._unlisted = (
            0,
            dict[int, int](),
        )  # lists that a new release is not in yet
        self.spared = 0  # requests that no fault meets any more
        self.login, self.kind, self.url = "github-actions[bot]", "Bot", ""
        self.private = False
        self._last = 100

    def fail(
        self,
        pattern: str,
        answer: int | str,
        obeyed: bool = False,
        times: int = 1,
        **headers: str,
    ) -> None:
        """Let requests get an error, or no answer, though they may have been obeyed.

        No answer: the line is cut ("lost"), or the client loses patience ("late").
        """
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self.faults += [(pattern, answer, named, obeyed)] * times

    def new(self, where: dict[int, Thing], path: str, **facts: Any) -> Thing:
        self._last += 1
        url = f"{self.url}/repos/{REPOSITORY}/{path}/{self._last}"
        where[self._last] = {
            "id": self._last,
            "url": url,
            "html_url": f"html:{url}",
            **facts,
        }
        return where[self._last]

    def user(self) -> Thing:
        return {"login": self.login, "type": self.kind, "url": f"{self.url}/users/x"}

    def issue(self, number: int) -> Thing:
        facts = self.issues.get(number)
        return facts or {
            "number": number,
            "url": f"{self.url}/repos/{REPOSITORY}/issues/{number}",
        }

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        """Do what a request asks; None is 404."""
        given = json.loads(body) if body[:1] == b"{" and "/assets" not in path else {}
        parts = path.split("/")
        match method, parts:
            case "GET", ["", "repos", *_]:
                return {"full_name": REPOSITORY, "private": self.private}
            case "GET", ["releases"]:
                return [
                    self._release(r)
                    for r in self.releases.values()
                    if self._listed(r["id"])
                ]
            case "POST", ["releases"]:
                made = self.new(self.releases, "releases", **given)
                self._unlisted[made["id"]] = self.lag
                made["upload_url"] = f"{made['url']}/assets{{?name,label}}"
                return self._release(made)
            case "GET", ["releases", "tags", tag]:
                named = [
                    r for r in self.releases.values() if r["tag_name"] == unquote(tag)
                ]
                return next((self._release(r) for r in named if not r["draft"]), None)
            case "GET", ["releases", "assets", key]:
                return (
                    self.assets[int(key)]["content"]
                    if int(key) in self.assets
                    else None
                )
            case "DELETE", ["releases", "assets", key]:
                return self.assets.pop(int(key), None) and ""
            case "PATCH", ["releases", key]:
                self.releases[int(key)].update(given)
                return self._release(self.releases[int(key)])
            case "DELETE", ["releases", key]:
                return self.releases.pop(int(key), None) and ""
            case "GET", ["releases", key, "assets"]:
                return [a for a in self._assets(int(key))]
            case "POST", ["releases", key, "assets"]:
                if any(a["name"] == query["name"] for a in self._assets(int(key))):
                    return 422
                made = self.new(
                    self.assets, "releases/assets", name=query["name"], of=int(key)
                )
                digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
                made |= {"state": "uploaded", "digest": digest, "content": body}
                return self._shown(made)
            case "GET", ["issues"]:
                found = [
                    i for i in self.issues.values() if i["state"] == query["state"]
                ]
                return [
                    i
                    for i in found
                    if query["labels"] in [x["name"] for x in i["labels"]]
                ]
            case "POST", ["issues"]:
                made = self.new(
                    self.issues, "issues", state="open", user=self.user(), **given
                )
                made |= {
                    "number": made["id"],
                    "labels": [{"name": x} for x in given["labels"]],
                }
                return made
            case "PATCH", ["issues", key]:
                return self.issues[int(key)].update(given) or self.issues[int(key)]
            case "GET", ["issues", key]:
                return self.issue(int(key))
            case "GET", ["issues", key, "comments"]:
                return [c for c in self.comments.values() if c["on"] == int(key)]
            case "POST", ["issues", key, "comments"]:
                return self.new(
                    self.comments,
                    "issues/comments",
                    on=int(key),
                    user=self.user(),
                    **given,
                )
            case "PATCH", ["issues", "comments", key]:
                return self.comments[int(key)].update(given) or self.comments[int(key)]
            case "GET", ["pulls"]:
                return [p for p in self.pulls if p["head"]["label"] == query["head"]]
            case "GET", ["pulls", _, "files"]:
                size = int(query["per_page"])
                start = size * (int(query.get("page", 1)) - 1)
                return Page(self.files[start:][:size], start + size < len(self.files))
            case "GET", ["commits", sha, "pulls"]:
                return [p for p in self.pulls if p.get("merge_commit_sha") == sha]
            case "POST", ["dispatches"]:
                self.dispatches.append(given)
                return ""
            case "POST", ["attestations"]:
                return {"id": 1}
            case "GET", ["actions", "runs", _, "approvals"]:
                return self.approvals
        return None

    def _listed(self, release: int) -> bool:
        self._unlisted[release] -= 1
        return self._unlisted[release] < 0

    def _assets(self, release: int) -> list[Thing]:
        return [self._shown(a) for a in self.assets.values() if a["of"] == release]

    def _shown(self, asset: Thing) -> Thing:
        return {key: value for key, value in asset.items() if key != "content"}

    def _release(self, release: Thing) -> Thing:
        return {**release, "assets": self._assets(release["id"])}


class _Handler(BaseHTTPRequestHandler):
    world: GitHub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _storage(self, key: str) -> None:
        """Send a file, or the part that was requested, or as much as gets through."""
        world, wanted = self.world, self.headers.get("Range")
        world.asked.append((wanted, self.headers.get("Authorization")))
        content = world.assets[int(key)]["content"]
        start = int(re.sub(r"\D", "", wanted)) if wanted and world.ranges else 0
        if start and start >= len(content):
            self._send(416, b"")
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + world.breaks.pop(0) if world.breaks else len(content)
        self.wfile.write(content[start:end])
        if end < len(content):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        world, parsed = self.world, urlparse(self.path)
        path = parsed.path
        if path.startswith("/storage/"):
            self._storage(path.rpartition("/")[2])
            return
        path = re.sub(rf"^/(repos/)?{REPOSITORY}/", "", path)
        query = {key: values[0] for key, values in parse_qs(parsed.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {path}"
        world.requests.append(line)
        if line.startswith("POST releases/"):
            world.sent_as.append(self.headers.get("Content-Type"))
        fault = next((f for f in world.faults if re.fullmatch(f[0], line)), None)
        world.spared -= 1
        if fault and world.spared < 0:
            world.faults.remove(fault)
            if fault[3]:
                world.answer(self.command, path, query, body)
            if fault[1] in ("lost", "late"):
                time.sleep(PATIENCE + 0.2 if fault[1] == "late" else 0)
                self.connection.close()
                return
            self._send(int(fault[1]), {"message": "a fault of the test"}, fault[2])
            return
        answer = world.answer(self.command, path, query, body)
        if isinstance(answer, bytes):  # files lie on a host of their own
            where = f"http://localhost:{urlparse(world.url).port}/storage/{path.split('/')[-1]}"
            self._send(302, "", {"Location": where})
            return
        if isinstance(answer, Page) and answer.more:
            beyond = int(query.get("page", 1)) + 1
            where = f"{world.url}{parsed.path}?per_page={query['per_page']}"
            link = {"Link": f'<{where}&page={beyond}>; rel="next"'}
            self._send(200, answer, link)
        elif answer is None or isinstance(answer, int):
            self._send(answer or 404, {"message": "Not Found"})
        else:
            self._send(204 if answer == "" else 200, answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def _send(
        self, status: int, content: Any, headers: dict[str, str] | None = None
    ) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        raw = b"" if status == 204 else raw
        self.send_response(status)
        kind = (
            "application/octet-stream"
            if isinstance(content, bytes)
            else "application/json"
        )
        for key, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def running() -> Iterator[GitHub]:
    world = GitHub()
    handler = type("Handler", (_Handler,), {"world": world})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    world.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(name="github")
def github_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with running() as world:
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.setenv("GITHUB_API_URL", world.url)
        monkeypatch.setenv("GITHUB_TOKEN", "ghs_test")
        monkeypatch.setenv("MLOPS_RETRY_SECONDS", "0.001")
        monkeypatch.setenv("MLOPS_HTTP_TIMEOUT", str(PATIENCE))
        for name in (
            "ACTIONS",
            "EVENT_PATH",
            "EVENT_NAME",
            "OUTPUT",
            "TRIGGERING_ACTOR",
        ):
            monkeypatch.delenv(f"GITHUB_{name}", raising=False)
        yield world

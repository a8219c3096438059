"""A bucket on loopback that speaks as much of S3's protocol as the engine uses.

It also stands for GitHub's server of OpenID Connect and AWS's of credentials.

moto would be the usual stand-in. It cannot live in this environment: botocore wants
python-dateutil below 3, and the lock of the generated repository has a later one. What
is here answers as moto 5 does where the engine looks: listing by pages, HEAD and ranged
GET with ETags, PUT, uploads in parts, DELETE, and the XML of errors. Requests without a
signature of the right key are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000  # keys that one answer lists, as S3 does


class Stored(NamedTuple):
    """One object of the bucket."""

    content: bytes
    tag: str
    changed: float


class BucketServer:
    """Buckets in memory.

    Attributes
    ----------
    objects : dict of (str, str) to Stored
        By bucket and key.
    requests : list of (str, str)
        Method and path of each request, in order.
    forbidden : bool
        Whether every request is refused.
    down : bool
        Whether every request gets an answer of 503.
    seconds : float
        How long each answer takes.
    full : bool
        Whether what is written is refused for want of space.
    half : bool
        Whether contents break off in the middle, of what is read or written.
    before : callable, optional
        Is called with method and key before an answer.
    roles : list of str
        Roles that jobs have taken.
    """

    key = "AKIAREHEARSAL"
    secret = "rehearsal-secret"

    def __init__(self, *buckets: str) -> None:
        self.buckets = set(buckets)
        self.objects: dict[tuple[str, str], Stored] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.requests: list[tuple[str, str]] = []
        self.forbidden = False
        self.down = False
        self.full = False
        self.half = False
        self.seconds = 0.0
        self.page = PAGE
        self.before: Callable[[str, str], None] = lambda method, key: None
        self.roles: list[str] = []
        self.lock = threading.Lock()
        self.url = ""

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Write an object, and return its ETag."""
        tag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        with self.lock:
            self.objects[bucket, key] = Stored(content, tag, time.time())
        return tag

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys below a prefix, sorted."""
        with self.lock:
            found = [key for where, key in self.objects if where == bucket]
        return sorted(key for key in found if key.startswith(prefix))

    def environment(self) -> dict[str, str]:
        """Return the variables with which the engine finds this bucket."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }

    def job_environment(self) -> dict[str, str]:
        """Return the variables with which a job on GitHub gets a role's credentials."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/-token?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
            "AWS_ENDPOINT_URL_STS": f"{self.url}/-sts",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextmanager
    def running(self) -> Iterator[BucketServer]:
        """Serve on a free port of loopback until the block ends."""
        handler = type("Handler", (_Handler,), {"world": self})
        server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever hung up gets no answer."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    world: BucketServer

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """List a bucket, or hand out an object."""
        self._handle()

    def do_HEAD(self) -> None:
        """Say what there is to an object or a bucket."""
        self._handle()

    def do_PUT(self) -> None:
        """Take an object, or a part of one."""
        self._handle()

    def do_POST(self) -> None:
        """Begin or complete an upload in parts."""
        self._handle()

    def do_DELETE(self) -> None:
        """Remove an object, or give up an upload."""
        self._handle()

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        self.flat = {name: values[0] for name, values in query.items()}
        self.body = self._body()
        if bucket in ("-token", "-sts"):
            self._hand_out(bucket)
            return
        self.world.requests.append((self.command, f"{bucket}/{key}"))
        self.world.before(self.command, key)
        time.sleep(self.world.seconds)
        if self.world.down:
            self._fail(503, "SlowDown")
        elif not self._may_enter():
            self._fail(403, "AccessDenied")
        elif self.world.full and self.command in ("PUT", "POST"):
            self._fail(507, "XMinioStorageFull")
        elif self.world.half and self.command in ("PUT", "POST"):
            self.close_connection = True  # half of it came, and no answer goes out
        elif bucket not in self.world.buckets:
            self._fail(404, "NoSuchBucket")
        elif not key:
            self._of_bucket(bucket)
        else:
            self._of_object(bucket, key)

    def _hand_out(self, what: str) -> None:
        """Answer a job that takes a role: with a token, then with credentials."""
        if what == "-token":
            self._answer(200, json.dumps({"value": "id-token"}).encode())
            return
        given = parse_qs(self.body.decode())
        if given["WebIdentityToken"] != ["id-token"]:
            self._fail(403, "InvalidIdentityToken")
            return
        self.world.roles += given["RoleArn"]
        keys = (
            f"<AccessKeyId>{self.world.key}</AccessKeyId>"
            f"<SecretAccessKey>{self.world.secret}</SecretAccessKey>"
            "<SessionToken>session</SessionToken>"
        )
        self._answer(200, f"<R><Credentials>{keys}</Credentials></R>".encode())

    def _may_enter(self) -> bool:
        """Return whether the request is signed with the one key that is known."""
        signed = self.headers.get("Authorization", "")
        expected = f"AWS4-HMAC-SHA256 Credential={self.world.key}/"
        return signed.startswith(expected) and not self.world.forbidden

    def _body(self) -> bytes:
        """Return what was sent; the SDK may send it in signed chunks."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unwrapped(body)
        return body

    def _of_bucket(self, bucket: str) -> None:
        if self.command == "HEAD":
            self._answer(200)
        elif self.command == "GET":
            self._list(bucket)
        elif self.command == "POST" and "delete" in self.flat:
            text = self.body.decode()
            for key in re.findall("<Key>(.*?)</Key>", text):
                self.world.objects.pop((bucket, key), None)
            self._answer(200, b"<DeleteResult></DeleteResult>")
        else:
            self._fail(405, "MethodNotAllowed")

    def _list(self, bucket: str) -> None:
        """Answer ListObjectsV2."""
        prefix = self.flat.get("prefix", "")
        start = self.flat.get("continuation-token", "")
        most = min(int(self.flat.get("max-keys", PAGE)), self.world.page)
        keys = [key for key in self.world.keys(bucket, prefix) if key > start]
        page = keys[:most]
        rows = []
        for key in page:
            one = self.world.objects[bucket, key]
            changed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.changed))
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(one.content)}</Size>"
                f"<LastModified>{changed}</LastModified>"
                f'<ETag>"{one.tag}"</ETag></Contents>'
            )
        more = len(keys) > most
        rows.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        if more:
            token = escape(page[-1])
            rows.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
        text = "".join(rows)
        self._answer(200, f"<ListBucketResult>{text}</ListBucketResult>".encode())

    def _of_object(self, bucket: str, key: str) -> None:
        upload = self.flat.get("uploadId", "")
        if self.command == "POST" and "uploads" in self.flat:
            name = f"upload-{len(self.world.uploads)}"
            self.world.uploads[name] = {}
            text = f"<UploadId>{name}</UploadId>"
            wrapped = f"<InitiateMultipartUploadResult>{text}"
            self._answer(200, f"{wrapped}</InitiateMultipartUploadResult>".encode())
        elif self.command == "PUT" and upload:
            self.world.uploads[upload][int(self.flat["partNumber"])] = self.body
            self._answer(200, headers={"ETag": '"part"'})
        elif self.command == "POST" and upload:
            parts = self.world.uploads.pop(upload)
            self.world.put(bucket, key, b"".join(parts[n] for n in sorted(parts)))
            name = "CompleteMultipartUploadResult"
            self._answer(200, f"<{name}><Key>{escape(key)}</Key></{name}>".encode())
        elif self.command == "PUT":
            tag = self.world.put(bucket, key, self.body)
            self._answer(200, headers={"ETag": f'"{tag}"'})
        elif self.command == "DELETE":
            self.world.objects.pop((bucket, key), None)
            self._answer(204)
        else:
            self._read(bucket, key)

    def _read(self, bucket: str, key: str) -> None:
        """Answer HEAD or GET of an object, or of a range of it."""
        one = self.world.objects.get((bucket, key))
        if one is None:
            self._fail(404, "NoSuchKey")
            return
        headers = {
            "ETag": f'"{one.tag}"',
            "Last-Modified": formatdate(one.changed, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        content = one.content
        status = 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and self.command == "GET":
            first = int(asked[1])
            last = int(asked[2] or len(content) - 1)
            total = len(content)
            content = content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{min(last, total - 1)}/{total}"
            status = 206
        self._answer(status, content, headers)

    def _fail(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._answer(status, text.encode())

    def _answer(
        self, status: int, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.world.half and status in (200, 206) and "ETag" in (headers or {}):
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content)


def _unwrapped(body: bytes) -> bytes:
    """Return the content of signed chunks."""
    content = b""
    rest = body
    while rest:
        head, _, rest = rest.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if not size:
            break
        content += rest[:size]
        rest = rest[size + 2 :]
    return content

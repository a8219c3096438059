"""Buckets: Amazon S3 and what speaks its protocol (MinIO, R2, Ceph).

Credentials come from the environment and the cloud's own chain, never from here. The
SDK's messages may hold what nobody should see, so errors are made of its codes alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from mlops import settings
from mlops.data.elsewhere import MOST_OBJECTS, Found, OutOfReach, matcher
from mlops.data.role import RoleKeys, role_keys
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.digests import sha256
from mlops.io.files import replacing
from mlops.io.places import NAME, Place, PlacedFile, checked
from mlops.settings import Settings

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import S3FileSystem

PIECE = 1 << 22  # bytes that are read at once

# A role is taken once, and a connection is used again.
_systems: dict[tuple[str, ...], S3FileSystem] = {}
_one_at_a_time = Lock()

_AT_ONCE = 8  # requests for the facts of objects

_REFUSED = {
    "ACCESS_DENIED",
    "EXPIRED_TOKEN",
    "FORBIDDEN",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
}

_NO_SPACE = "507"  # the HTTP status; Amazon's buckets are never full, others are

_ABSENT = {"NO_SUCH_BUCKET", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND"}


def open_object(path: str) -> NativeFile:
    """Return a stream of an object, ``BUCKET/KEY``, as it is stored.

    Arrow would unpack what its name calls compressed.
    """
    system = bucket_system(path.partition("/")[0])
    return system.open_input_stream(path, compression=None)


def bucket_system(bucket: str) -> S3FileSystem:
    """Return the file system of a bucket, as the environment says where it is."""
    now = settings.current()
    key = (now.aws_role, now.id_token_url, now.s3_endpoint, now.s3_region)
    with _one_at_a_time:
        if (bucket, *key) not in _systems:
            with reaching_bucket("reach", f"s3://{bucket}"):
                _systems[bucket, *key] = _system(bucket, now, role_keys(now))
        return _systems[bucket, *key]


def _system(bucket: str, now: Settings, keys: RoleKeys | None) -> S3FileSystem:
    from pyarrow import fs

    endpoint = now.s3_endpoint
    region = now.s3_region
    seconds = now.http_timeout
    if not region and not endpoint:
        region = fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        access_key=keys.access_key if keys else None,
        secret_key=keys.secret_key if keys else None,
        session_token=keys.session_token if keys else None,
        endpoint_override=endpoint or None,
        region=region or "us-east-1",
        connect_timeout=seconds,
        request_timeout=seconds,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
    )


@contextmanager
def reaching_bucket(request: str, address: str) -> Iterator[None]:
    """Turn what the SDK raises into an error that says what to do."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError as error:
        raise _absent(address) from error
    except (OSError, ArrowException) as error:
        raise _failure(request, address, str(error)) from None


def _absent(address: str) -> EnvironmentFailure:
    return EnvironmentFailure(
        "there is no such bucket or object",
        file=address,
        do="check the address, the region and AWS_ENDPOINT_URL",
    )


def _failure(request: str, address: str, text: str) -> EnvironmentFailure:
    """Return the error for what the SDK says, without its words."""
    code = re.search(r"AWS Error (\w+)", text)
    status = re.search(r"HTTP status (\d{3})", text)
    name = code[1] if code else "no code"
    number = status[1] if status else ""
    if name in _ABSENT or number == "404":
        return _absent(address)
    if name in _REFUSED or number in ("401", "403"):
        return EnvironmentFailure(
            f"the bucket refuses to {request} this",
            file=address,
            found=f"{name} {number}".strip(),
            do="check which role or keys are in force (`aws sts get-caller-identity`), "
            "and what they may read",
        )
    if number == _NO_SPACE:
        return EnvironmentFailure(
            f"the bucket has no space left to {request} this",
            file=address,
            found=f"{name} {number}",
            do="make room there, or raise its quota, and run this again; what was "
            "written before stays",
        )
    return OutOfReach(
        f"the bucket does not answer when asked to {request} this",
        file=address,
        found=f"{name} {number}".strip(),
        do="try again later; check the network and AWS_ENDPOINT_URL",
    )


class BucketSource:
    """The objects that an address with a glob names.

    Parameters
    ----------
    address : str
        ``s3://BUCKET/KEY``; `*`, `?`, `[...]` and `**` stand for parts of the key.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._bucket, _, self._pattern = address[5:].partition("/")

    def look(self) -> list[Found]:
        """Return the objects, sorted; see `Store.look`."""
        keys = self._keys()
        if len(keys) > MOST_OBJECTS:
            raise UsageError(
                "this pattern names too many objects",
                found=f"{self._address}: {len(keys):,}",
                allowed=f"at most {MOST_OBJECTS:,}",
                do="narrow it, or write larger files",
            )
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(self._facts, sorted(keys)))
        return [one for one in found if one is not None]

    def _keys(self) -> list[str]:
        """Return the keys that the pattern names."""
        from pyarrow import fs

        fixed = re.split(r"[*?\[]", self._pattern, maxsplit=1)[0]
        if fixed == self._pattern:
            return [self._pattern]
        folder = f"{self._bucket}/{fixed.rpartition('/')[0]}".rstrip("/")
        selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
        with reaching_bucket("list", self._address):
            infos = bucket_system(self._bucket).get_file_info(selector)
        names = matcher(self._pattern)
        keys = []
        for info in infos:
            key = info.path.partition("/")[2]
            if info.type == fs.FileType.File and names.fullmatch(key):
                keys.append(key)
        return keys

    def _facts(self, key: str) -> Found | None:
        """Return what the store says of an object; None where there is none."""
        address = f"s3://{self._bucket}/{key}"
        try:
            with reaching_bucket("read", address):
                path = f"{self._bucket}/{key}"
                try:
                    stream = open_object(path)
                except FileNotFoundError:
                    return None
                with stream:
                    facts = stream.metadata()
        except OSError as error:  # of closing it
            raise _failure("read", address, str(error)) from None
        tag = facts.get("ETag", b"").decode("latin-1").strip('"')
        changed = facts.get("Last-Modified", b"").decode("latin-1")
        return Found(address, int(facts["Content-Length"]), tag or changed)

    def read(self, one: Found) -> Iterator[bytes]:
        """Yield the content of an object; see `Store.read`."""
        reaching = reaching_bucket("read", one.address)
        with reaching, open_object(one.address[5:]) as stream:
            while piece := stream.read(PIECE):
                yield piece

    def version(self, one: Found) -> str:
        """Return the version that an object has now; empty where it is gone."""
        now = self._facts(one.address[5:].partition("/")[2])
        return now.version if now else ""


class BucketPlace(Place):
    """The objects below a prefix of a bucket, as a place of files.

    Parameters
    ----------
    address : str
        ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``.
    cache : Path
        Folder for what was read. An object is read again where the last listing has
        another size: a service's log grows.
    """

    notes = ()

    def __init__(self, address: str, cache: Path) -> None:
        self._address = address.rstrip("/")
        self._root = self._address[5:]
        self._bucket = self._root.partition("/")[0]
        self._cache = cache / sha256(self._address.encode())[:16]
        self._sizes: dict[str, int] = {}

    def __str__(self) -> str:
        return self._address

    def entries(self, under: str, first: str = "") -> list[PlacedFile]:
        """Return the objects below a folder, by name; none where it is absent."""
        from pyarrow import fs

        folder = f"{self._root}/{checked(under)}"
        selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
        with reaching_bucket("list", f"s3://{folder}"):
            infos = bucket_system(self._bucket).get_file_info(selector)
        found = []
        for info in infos:
            name = info.path.removeprefix(f"{self._root}/")
            if info.type == fs.FileType.File and NAME.fullmatch(name):
                found.append(PlacedFile(name, info.size))
        self._sizes.update(found)
        return sorted(found)

    def local(self, name: str) -> Path:
        """Return a copy of an object on this machine; the same content is read once."""
        path = self._cache / checked(name)
        if path.is_file():
            size = path.stat().st_size
            if self._sizes.get(name, size) == size:
                return path
        address = f"{self._root}/{name}"
        with replacing(path) as temporary, temporary.open("wb") as out:
            self._read(address, out)
        return path

    def _read(self, address: str, out: BinaryIO) -> None:
        """Copy an object into a file."""
        reaching = reaching_bucket("read", f"s3://{address}")
        with reaching, open_object(address) as stream:
            while piece := stream.read(PIECE):
                out.write(piece)

    def write(self, name: str, content: bytes) -> None:
        """Write an object: it appears whole, when its upload is complete."""
        address = f"{self._root}/{checked(name)}"
        with reaching_bucket("write", f"s3://{address}"):
            system = bucket_system(self._bucket)
            with system.open_output_stream(address, compression=None) as stream:
                stream.write(content)
        (self._cache / name).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""
        address = f"{self._root}/{checked(name)}"
        reaching = reaching_bucket("remove", f"s3://{address}")
        with reaching, suppress(FileNotFoundError):
            bucket_system(self._bucket).delete_file(address)
        (self._cache / name).unlink(missing_ok=True)

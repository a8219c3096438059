"""Downloads kept by digest, shared by all processes of a user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops import settings
from mlops.errors import EnvironmentFailure
from mlops.io.digests import pieces
from mlops.storage.protocol import Asset, log, measure

try:
    from fcntl import LOCK_EX, flock
except (
    ImportError
):  # Windows: nobody waits there, and the digest says when two were in the way
    flock = None  # type: ignore[assignment]

# -- the cache of what a far store sends ----------------------------------------------------------

MOST = 10e9  # bytes; beyond, what was not used for longest goes


def cache_root() -> Path:
    """Return the folder of the cache: MLOPS_CACHE, or where this system keeps caches."""
    return settings.current().cache


def cache_path(asset: Asset) -> Path:
    """Return where the cache holds a file, or would."""
    return cache_root() / "sha256" / asset.sha256[:2] / asset.sha256


def cache_file(asset: Asset, source: Callable[[int], Iterable[bytes]]) -> Asset:
    """See to it that the cache holds a file, and return what came: another file is not kept.

    Parameters
    ----------
    asset : Asset
        Its digest and size.
    source : callable
        Yields the content from a byte on. What an earlier download left is gone on with; where
        that was no part of the file, it is begun again.
    """
    path = cache_path(asset)
    part = path.with_name(f"{path.name}.part")
    try:
        with file_lock(path.parent):
            if path.is_file():
                if measure(pieces(path), asset.size) == asset:
                    with suppress(PermissionError):  # a cache that came with an image
                        os.utime(path)
                    return asset
                log.warning("%s is spoilt in the cache: it is fetched again", path)
                path.unlink()
            begun = part.is_file()
            if (came := _download(part, asset, source)) != asset and begun:
                came = _download(part, asset, source)
            if came == asset:
                os.replace(part, path)
    except OSError as error:
        what = f"the cache cannot be written: {(error.strerror or str(error)).lower()}"
        do = (
            "free some disk space, or set MLOPS_CACHE to a folder that you may write in"
        )
        raise EnvironmentFailure(what, file=str(path), do=do) from error
    _prune(path)
    return came


def _download(
    part: Path, asset: Asset, source: Callable[[int], Iterable[bytes]]
) -> Asset:
    """Go on with a part of a file; where it comes out as another file, remove it."""
    with part.open("ab") as out:
        begun = out.tell()

        def content() -> Iterator[bytes]:
            yield from pieces(part)
            for piece in source(begun) if begun < asset.size else ():
                out.write(piece)
                yield piece

        came = measure(content(), asset.size)
        out.flush()
        os.fsync(out.fileno())
    if came != asset:
        part.unlink()
    return came


@contextmanager
def file_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block, by folder; one that dies is out by that."""
    folder.mkdir(parents=True, exist_ok=True)
    if flock is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        flock(handle, LOCK_EX)
        yield
    finally:
        os.close(handle)


def _prune(newest: Path) -> None:
    """Remove what was not used for longest, until the cache is below its limit."""
    found = []
    for path in (cache_root() / "sha256").glob("*/*"):
        with suppress(FileNotFoundError):  # another process prunes as well
            facts = path.stat()
            found.append((path == newest, facts.st_mtime_ns, facts.st_size, path))
    total = 0
    for latest, _, size, path in sorted(found, reverse=True):
        total += size
        if total > MOST and not latest:
            with suppress(
                OSError
            ):  # gone already, or open in another process on Windows
                path.unlink()

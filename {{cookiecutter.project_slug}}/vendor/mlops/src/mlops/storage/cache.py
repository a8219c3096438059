"""Downloads kept by digest, shared by all processes of a user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops import settings
from mlops.errors import EnvironmentFailure
from mlops.io.digests import pieces
from mlops.io.files import is_of_the_network
from mlops.storage.protocol import Asset, asset_of, log

MOST = 10e9  # bytes; beyond, what was not used for longest is removed

Source = Callable[[int], Iterable[bytes]]


def cache_root() -> Path:
    """Return the folder of the cache.

    MLOPS_CACHE, or where this system keeps caches.
    """
    return settings.current().cache


def cache_path(asset: Asset) -> Path:
    """Return where the cache holds a file, or would."""
    return cache_root() / "sha256" / asset.sha256[:2] / asset.sha256


def cache_file(asset: Asset, source: Source) -> Asset:
    """See to it that the cache holds a file, and return what came.

    Another file is not kept.

    Parameters
    ----------
    asset : Asset
        Its digest and size.
    source : callable
        Yields the content from a byte on. What an earlier download left is resumed;
        where that was no part of the file, it is begun again.
    """
    path = cache_path(asset)
    try:
        with file_lock(path.parent):
            came = asset if _held(path, asset) else _fetched(path, asset, source)
    except OSError as error:
        if is_of_the_network(error):
            raise
        raise EnvironmentFailure(
            f"the cache cannot be written: {(error.strerror or str(error)).lower()}",
            file=str(path),
            do="free some disk space, or set MLOPS_CACHE to a folder that you may "
            "write in",
        ) from error
    _prune(path)
    return came


def _held(path: Path, asset: Asset) -> bool:
    """Return whether the cache holds a file; one that is corrupt is removed."""
    if not path.is_file():
        return False
    if asset_of(pieces(path), asset.size) == asset:
        with suppress(PermissionError):  # a cache that came with an image
            os.utime(path)
        return True
    log.warning("%s is corrupt in the cache: it is fetched again", path)
    path.unlink()
    return False


def _fetched(path: Path, asset: Asset, source: Source) -> Asset:
    """Download a file, and keep it where it is the right one; return what came."""
    part = path.with_name(f"{path.name}.part")
    resumed = part.is_file()
    came = _download(part, asset, source)
    if came != asset and resumed:
        came = _download(part, asset, source)
    if came == asset:
        os.replace(part, path)
    return came


def _download(part: Path, asset: Asset, source: Source) -> Asset:
    """Resume a part of a file; where it comes out as another file, remove it."""
    with part.open("ab") as out:
        begun = out.tell()

        def content() -> Iterator[bytes]:
            yield from pieces(part)
            for piece in source(begun) if begun < asset.size else ():
                out.write(piece)
                yield piece

        came = asset_of(content(), asset.size)
        out.flush()
        os.fsync(out.fileno())
    if came != asset:
        part.unlink()
    return came


@contextmanager
def file_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block, by folder.

    One that dies is out by that.
    """
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):  # a cache that came with an image: nobody writes
        yield
        return
    with filelock.FileLock(folder / ".lock"):
        yield


def _prune(newest: Path) -> None:
    """Remove what was not used for longest, until the cache is below its limit."""
    entries = []
    for path in (cache_root() / "sha256").glob("*/*"):
        if path.name == ".lock":
            continue
        with suppress(FileNotFoundError):  # another process prunes as well
            facts = path.stat()
            entries.append((path == newest, facts.st_mtime_ns, facts.st_size, path))
    total = 0
    for latest, _, size, path in sorted(entries, reverse=True):
        total += size
        if total > MOST and not latest:
            with suppress(OSError):  # gone already, or open on Windows
                path.unlink()

"""Release stores in a folder, downloads kept by digest: no git and no network."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mlops.errors import EnvironmentFailure, Refused
from mlops.io.digests import sha256
from mlops.storage import cache
from mlops.storage.folder import FolderStore
from mlops.storage.protocol import Asset, asset_of

DIGEST = "a" * 64
OTHER = "b" * 64
TEXT = b"0123456789"
ASSET = Asset(sha256=sha256(TEXT), size=len(TEXT))


# -- a measure -------------------------------------------------------------------------


def test_content_is_known_by_digest_and_size_and_is_written_on_its_way() -> None:
    out = io.BytesIO()
    assert asset_of([b"0123", b"", b"456789"], out=out) == ASSET
    assert out.getvalue() == TEXT
    assert asset_of([]) == Asset(sha256=sha256(b""), size=0)
    assert str(ASSET) == f"{ASSET.sha256} (10 bytes)"


@pytest.mark.parametrize(("most", "pieces"), [(3, 1), (4, 2), (5, 2), (9, 3)])
def test_content_beyond_its_size_is_not_read_to_its_end(most: int, pieces: int) -> None:
    """What is longer than it should be is another file: one piece more proves it."""
    read = []

    def endless() -> Iterable[bytes]:
        while True:
            read.append(b"0123")
            yield b"0123"

    assert asset_of(endless(), most).size == 4 * pieces
    assert len(read) == pieces


# -- a store in a folder ---------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.skops"
    path.write_bytes(TEXT)
    return path


def content(store: FolderStore, release: str, asset: str, start: int = 0) -> bytes:
    return b"".join(store.read("churn", release, asset, start))


def test_a_draft_becomes_a_version_with_all_that_is_in_it(
    store: FolderStore, source: Path
) -> None:
    assert store.list("churn") == []
    store.draft("churn", DIGEST)
    assert store.list("churn") == [f"draft-{DIGEST}"]
    store.draft("churn", DIGEST)  # resumed
    store.upload("churn", DIGEST, "model.skops", source)
    assert store.list("churn") == [f"draft-{DIGEST}"]
    assert content(store, f"draft-{DIGEST}", "model.skops") == TEXT
    store.publish("churn", DIGEST, "v1.0.0")
    assert store.list("churn") == ["v1.0.0"]
    assert content(store, "v1.0.0", "model.skops") == TEXT
    assert content(store, "v1.0.0", "model.skops", 4) == TEXT[4:]
    assert b"".join(store.read("churn", "v1.0.0", "model.skops")) == TEXT
    assert (store.root / "churn" / "v1.0.0" / "model.skops").read_bytes() == TEXT
    assert store.digest("churn", "v1.0.0", "model.skops") is None
    assert (store.far, str(store)) == (False, str(store.root))


def test_an_upload_takes_the_place_of_a_file_of_the_same_name(
    store: FolderStore, source: Path
) -> None:
    store.draft("churn", DIGEST)
    store.upload("churn", DIGEST, "model.skops", source)
    source.write_bytes(b"another")
    store.upload("churn", DIGEST, "model.skops", source)
    assert content(store, f"draft-{DIGEST}", "model.skops") == b"another"
    assert os.listdir(store.root / "churn" / f"draft-{DIGEST}") == ["model.skops"]


def test_an_upload_that_breaks_off_leaves_the_file_before(
    store: FolderStore, source: Path
) -> None:
    store.draft("churn", DIGEST)
    store.upload("churn", DIGEST, "model.skops", source)
    source.unlink()
    with pytest.raises(EnvironmentFailure):
        store.upload("churn", DIGEST, "model.skops", source)
    assert content(store, f"draft-{DIGEST}", "model.skops") == TEXT
    assert os.listdir(store.root / "churn" / f"draft-{DIGEST}") == ["model.skops"]


def test_a_version_that_somebody_published_before_stays_as_it_is(
    store: FolderStore, source: Path
) -> None:
    for digest in (DIGEST, OTHER):
        store.draft("churn", digest)
        store.upload("churn", digest, "model.skops", source)
        source.write_bytes(b"the second one")
    store.publish("churn", DIGEST, "v1.0.0")
    store.publish("churn", OTHER, "v1.0.0")
    assert store.list("churn") == ["v1.0.0"], "the second draft is gone"
    assert content(store, "v1.0.0", "model.skops") == TEXT


def test_a_draft_that_is_not_there_is_not_published(store: FolderStore) -> None:
    with pytest.raises(EnvironmentFailure, match="cannot publish this file") as caught:
        store.publish("churn", DIGEST, "v1.0.0")
    assert str(store.root / "churn" / "v1.0.0") in str(caught.value)
    assert store.list("churn") == []


def test_what_is_removed_is_gone_and_may_be_removed_again(
    store: FolderStore, source: Path
) -> None:
    store.draft("churn", DIGEST)
    store.upload("churn", DIGEST, "model.skops", source)
    store.publish("churn", DIGEST, "v1.0.0")
    store.draft("churn", OTHER)
    store.discard("churn", OTHER)
    assert store.list("churn") == ["v1.0.0"]
    store.remove("churn", "v1.0.0")
    store.remove("churn", "v1.0.0")
    store.discard("churn", OTHER)
    assert store.list("churn") == []


def test_an_asset_that_is_not_there_is_refused_by_name(
    store: FolderStore, source: Path
) -> None:
    store.draft("churn", DIGEST)
    store.upload("churn", DIGEST, "model.skops", source)
    with pytest.raises(Refused, match="does not hold this file") as caught:
        content(store, f"draft-{DIGEST}", "card.md")
    (problem,) = caught.value.problems
    assert problem.file == str(store.root / "churn" / f"draft-{DIGEST}" / "card.md")
    assert "register it again" in problem.do


def test_what_the_system_refuses_names_the_file_and_what_was_tried(
    store: FolderStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Iterable[bytes]:
        raise PermissionError(13, "Permission denied")

    store.draft("churn", DIGEST)
    store.upload("churn", DIGEST, "model.skops", source)
    draft = f"draft-{DIGEST}"
    folder = store.root / "churn"
    monkeypatch.setattr("mlops.storage.folder.pieces", refuse)
    monkeypatch.setattr("mlops.storage.folder.os.listdir", refuse)
    monkeypatch.setattr("mlops.storage.folder.shutil.rmtree", refuse)
    attempts: list[tuple[str, Path, Callable[[], object]]] = [
        (
            "read",
            folder / draft / "model.skops",
            lambda: content(store, draft, "model.skops"),
        ),
        ("read", folder, lambda: store.list("churn")),
        ("remove", folder / draft, lambda: store.discard("churn", DIGEST)),
    ]
    for verb, path, attempt in attempts:
        with pytest.raises(EnvironmentFailure) as caught:
            attempt()
        (problem,) = caught.value.problems
        assert problem.what == f"cannot {verb} this file: permission denied"
        assert problem.file == str(path)


def test_a_store_that_is_a_file_is_named_where_a_draft_begins(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(EnvironmentFailure) as caught:
        FolderStore(tmp_path / "store").draft("churn", DIGEST)
    (problem,) = caught.value.problems
    assert problem.what == "cannot write this file: not a directory"
    assert problem.file == str(tmp_path / "store" / "churn" / f"draft-{DIGEST}")


def test_only_versions_and_drafts_are_listed_in_order(store: FolderStore) -> None:
    folder = store.root / "churn"
    for name in ("v1.0.0", "v0.9.0", "notes", ".v1.1.0", "v1.0", f"draft-{DIGEST}"):
        (folder / name).mkdir(parents=True)
    assert store.list("churn") == [f"draft-{DIGEST}", "v0.9.0", "v1.0.0"]


@pytest.mark.parametrize(
    ("model", "release", "asset"),
    [
        ("..", "v1.0.0", "model.skops"),
        ("Churn", "v1.0.0", "model.skops"),
        ("c" * 41, "v1.0.0", "model.skops"),
        ("churn", "latest", "model.skops"),
        ("churn", "../v1.0.0", "model.skops"),
        ("churn", "v1.0.0", ".."),
        ("churn", "v1.0.0", "../../secret"),
        ("churn", "v1.0.0", ".hidden"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(
    store: FolderStore, model: str, release: str, asset: str
) -> None:
    with pytest.raises(Refused) as caught:
        list(store.read(model, release, asset))
    (problem,) = caught.value.problems
    assert problem.what == "not a name that a release store may hold"
    assert problem.found in (repr(model), repr(release), repr(asset))


def test_a_name_that_is_too_long_is_shown_in_part(store: FolderStore) -> None:
    with pytest.raises(Refused) as caught:
        list(store.read("churn", "v1.0.0", "a" * 500))
    (problem,) = caught.value.problems
    assert problem.found == "'" + "a" * 119


def test_a_link_out_of_the_store_is_refused(store: FolderStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.skops").write_bytes(TEXT)
    (store.root / "churn").mkdir(parents=True)
    (store.root / "churn" / "v1.0.0").symlink_to(outside)
    with pytest.raises(Refused, match="a link leads out") as caught:
        content(store, "v1.0.0", "model.skops")
    (problem,) = caught.value.problems
    assert problem.file == str(store.root / "churn" / "v1.0.0" / "model.skops")
    assert problem.found == str(outside / "model.skops")
    with pytest.raises(Refused, match="a link leads out"):
        store.remove("churn", "v1.0.0")
    assert (outside / "model.skops").read_bytes() == TEXT


# -- the cache -------------------------------------------------------------------------


class Source:
    """A download that notes from which byte on it was asked."""

    def __init__(self, text: bytes = TEXT) -> None:
        self.text = text
        self.starts: list[int] = []

    def __call__(self, start: int) -> Iterable[bytes]:
        self.starts.append(start)
        return [self.text[start : start + 2], self.text[start + 2 :]]


def part_of(asset: Asset) -> Path:
    return cache.cache_path(asset).with_name(f"{asset.sha256}.part")


def left_behind(text: bytes) -> None:
    """Leave a part of the asset, as a download that broke off does."""
    part_of(ASSET).parent.mkdir(parents=True, exist_ok=True)
    part_of(ASSET).write_bytes(text)


def test_a_file_is_downloaded_once(tmp_path: Path) -> None:
    source = Source()
    assert cache.cache_file(ASSET, source) == ASSET
    assert cache.cache_file(ASSET, source) == ASSET
    assert source.starts == [0]
    kept = cache.cache_path(ASSET)
    assert kept.read_bytes() == TEXT
    assert kept.parts[-3:] == ("sha256", ASSET.sha256[:2], ASSET.sha256)
    assert not part_of(ASSET).exists()


def test_a_file_that_is_used_counts_as_new() -> None:
    cache.cache_file(ASSET, Source())
    kept = cache.cache_path(ASSET)
    os.utime(kept, (1000, 1000))
    cache.cache_file(ASSET, Source())
    assert kept.stat().st_mtime > 1_000_000


@pytest.mark.parametrize("corrupt", [b"", TEXT[:-1], b"0123456780", TEXT + b"0"])
def test_a_corrupt_file_is_fetched_again(
    corrupt: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cache.cache_file(ASSET, Source())
    kept = cache.cache_path(ASSET)
    kept.write_bytes(corrupt)
    source = Source()
    assert cache.cache_file(ASSET, source) == ASSET
    assert source.starts == [0]
    assert kept.read_bytes() == TEXT
    assert f"{kept} is corrupt in the cache: it is fetched again" in caplog.text


def test_another_file_is_returned_as_what_it_is_and_not_kept() -> None:
    source = Source(b"another one")
    came = cache.cache_file(ASSET, source)
    assert came == Asset(sha256=sha256(b"another one"), size=11)
    assert source.starts == [0]
    assert not cache.cache_path(ASSET).exists()
    assert not part_of(ASSET).exists()


def test_a_part_is_resumed_where_it_broke_off() -> None:
    left_behind(TEXT[:4])
    source = Source()
    assert cache.cache_file(ASSET, source) == ASSET
    assert source.starts == [4]
    assert cache.cache_path(ASSET).read_bytes() == TEXT


def test_a_whole_part_is_not_asked_for_again() -> None:
    left_behind(TEXT)
    source = Source()
    assert cache.cache_file(ASSET, source) == ASSET
    assert source.starts == []
    assert cache.cache_path(ASSET).read_bytes() == TEXT


@pytest.mark.parametrize(("part", "starts"), [(b"9999", [4, 0]), (b"9" * 20, [0])])
def test_a_part_of_another_file_is_begun_again(part: bytes, starts: list[int]) -> None:
    left_behind(part)
    source = Source()
    assert cache.cache_file(ASSET, source) == ASSET
    assert source.starts == starts
    assert cache.cache_path(ASSET).read_bytes() == TEXT


def test_a_download_that_breaks_off_leaves_what_came() -> None:
    def broken(start: int) -> Iterable[bytes]:
        yield TEXT[:6]
        raise EnvironmentFailure("the connection was lost")

    with pytest.raises(EnvironmentFailure, match="connection was lost"):
        cache.cache_file(ASSET, broken)
    assert part_of(ASSET).read_bytes() == TEXT[:6]
    source = Source()
    assert cache.cache_file(ASSET, source) == ASSET
    assert source.starts == [6]


def test_a_download_that_never_ends_is_broken_off() -> None:
    """It would fill the disk: what is longer than it should be is another file."""
    sent = []

    def endless(start: int) -> Iterable[bytes]:
        while True:
            sent.append(start)
            assert len(sent) < 100
            yield b"0123"

    assert cache.cache_file(ASSET, endless).size == 12
    assert sent == [0, 0, 0]
    assert not part_of(ASSET).exists()


def test_a_corrupt_file_that_is_too_long_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache.cache_file(ASSET, Source())
    cache.cache_path(ASSET).write_bytes(TEXT * 100)
    read = []

    def pieces(path: Path) -> Iterable[bytes]:
        content = path.read_bytes()
        for start in range(0, len(content), 4):
            read.append(content[start : start + 4])
            yield read[-1]

    monkeypatch.setattr(cache, "pieces", pieces)
    assert cache.cache_file(ASSET, Source()) == ASSET
    assert len(read) == 3, "the 4 bytes beyond the size are proof enough"
    assert cache.cache_path(ASSET).read_bytes() == TEXT


def test_a_file_whose_time_may_not_be_changed_is_used_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cache that came with an image belongs to somebody else."""
    cache.cache_file(ASSET, Source())

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(cache.os, "utime", refuse)
    source = Source()
    assert cache.cache_file(ASSET, source) == ASSET
    assert source.starts == []


@pytest.mark.parametrize("what", ["gone", "a folder"])
def test_what_cannot_be_pruned_stops_no_download(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process prunes at the same time, or holds a file open."""
    cache.cache_file(ASSET, Source())
    strange = cache.cache_path(ASSET).with_name("f" * 64)
    if what == "gone":
        strange.symlink_to(strange.with_name("nowhere"))
    else:
        strange.mkdir()
        os.utime(strange, (4e9, 4e9))  # so that it comes first
    monkeypatch.setattr(cache, "MOST", 5)
    other, text = assets(1)[0]
    assert cache.cache_file(other, Source(text)) == other
    assert cache.cache_path(other).is_file()
    assert not cache.cache_path(ASSET).exists(), "the others are pruned all the same"


def assets(count: int) -> list[tuple[Asset, bytes]]:
    texts = [bytes([65 + at]) * 4 for at in range(count)]
    return [(Asset(sha256=sha256(text), size=4), text) for text in texts]


@pytest.mark.parametrize(
    ("most", "kept"),
    [
        (12, [True, True, True]),
        (11, [False, True, True]),
        (8, [False, True, True]),
        (7, [False, False, True]),
        (0, [False, False, True]),
    ],
)
def test_what_was_not_used_for_longest_goes_first_and_the_newest_stays(
    most: int, kept: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = assets(3)
    for age, (asset, text) in enumerate(files[:2]):
        cache.cache_file(asset, Source(text))
        os.utime(cache.cache_path(asset), (1000 + age, 1000 + age))
    monkeypatch.setattr(cache, "MOST", most)
    asset, text = files[2]
    cache.cache_file(asset, Source(text))
    assert [cache.cache_path(asset).is_file() for asset, _ in files] == kept


def test_the_newest_stays_even_where_others_have_a_later_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clock that was ahead, or files that came with an image."""
    (early, first), (late, second) = assets(2)
    cache.cache_file(early, Source(first))
    os.utime(cache.cache_path(early), (4e9, 4e9))
    monkeypatch.setattr(cache, "MOST", 7)
    cache.cache_file(late, Source(second))
    assert cache.cache_path(late).is_file()
    assert not cache.cache_path(early).exists()


def test_locks_are_not_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may hold one: it would not keep a third process out any more."""
    monkeypatch.setattr(cache, "MOST", 0)
    cache.cache_file(ASSET, Source())
    lock = cache.cache_path(ASSET).with_name(".lock")
    assert lock.exists()
    other, text = assets(1)[0]
    cache.cache_file(other, Source(text))
    assert lock.exists()


def test_a_cache_that_is_a_file_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLOPS_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentFailure) as caught:
        cache.cache_file(ASSET, Source())
    (problem,) = caught.value.problems
    assert problem.what == "the cache cannot be written: not a directory"
    assert problem.file == str(cache.cache_path(ASSET))
    assert "set MLOPS_CACHE to a folder" in problem.do

"""Snapshots of data, stored by content: what is stored once is not written again.

A place has pieces, each a Parquet file that is named by its SHA-256, and for each
snapshot a record that names its files and their pieces. A piece is a file of the source
as Parquet: all columns, those that are text as written. Twelve monthly files are twelve
pieces, and the thirteenth costs one. Whoever writes the same piece writes the same
bytes, so that two at once lose nothing, and whoever was killed writes only the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import ValidationError

from mlops.config.model_spec import ModelSpec
from mlops.data.csv_format import ReadOptions
from mlops.data.read import read_table, text_of_labels, text_of_rows
from mlops.data.sources import DataFile, form_of, source_files, source_patterns
from mlops.errors import EnvironmentFailure, Refused
from mlops.io.digests import canonical_json, sha256
from mlops.io.files import write_bytes
from mlops.io.places import Place, safe_name
from mlops.results.data import SourceFile, StoredFile, StoredSnapshot

PIECES = "pieces"

RECORDS = "snapshots"

REMOVED = "removed"

_GRACE = timedelta(days=1)


class Stored(NamedTuple):
    """What storing a snapshot did.

    Parameters
    ----------
    snapshot : StoredSnapshot
    written : int
        Pieces that were not there yet.
    size : int
        Bytes of these.
    """

    snapshot: StoredSnapshot
    written: int
    size: int


def snapshot_name(files: Iterable[SourceFile | StoredFile]) -> str:
    """Return the name of a snapshot: a digest of the names and contents of its files.

    It is the same for the data of a version, whose manifest names these files.
    """
    facts = [[file.path, file.sha256] for file in files]
    return sha256(canonical_json(facts))[:32]


def store(
    place_of_data: Place, model: str, spec: ModelSpec, folder: Path, now: datetime
) -> Stored:
    """Store what a model's data are now.

    Parameters
    ----------
    place_of_data : Place
    model : str
    folder : Path
        Of the model.

    Raises
    ------
    UsageError
        When a file cannot be read as a table.
    EnvironmentFailure
        When the place cannot be written.
    """
    earlier = snapshots(place_of_data, model)
    known = _known_pieces(earlier, reading(spec))
    present = {file.name for file in place_of_data.entries(PIECES)}
    # A piece that no record names may be about to be pruned: it is written again.
    named = {file.piece for snapshot in earlier for file in snapshot.files}
    safe = {piece for piece in named if piece_path(piece) in present}
    files = []
    written = 0
    size = 0
    for key, pattern in source_patterns(spec).items():
        for file in source_files(pattern, folder, key):
            piece = known.get(file.sha256)
            if piece is None or piece.piece not in safe:
                content, rows = _as_parquet(spec, key, file)
                piece = StoredFile(
                    key=key,
                    path=file.shown,
                    sha256=file.sha256,
                    rows=rows,
                    piece=sha256(content),
                    size=len(content),
                )
                if piece.piece not in safe:
                    place_of_data.write(piece_path(piece.piece), content)
                    safe.add(piece.piece)
                    written += 1
                    size += len(content)
            files.append(piece.model_copy(update={"key": key, "path": file.shown}))
    snapshot = StoredSnapshot(
        model=model,
        name=snapshot_name(files),
        stored_at=now.isoformat(timespec="seconds"),
        reading=reading(spec),
        files=tuple(files),
    )
    if snapshot.name not in {one.name for one in earlier}:
        place_of_data.write(record_path(model, snapshot.name), _record(snapshot))
    return Stored(snapshot, written, size)


def reading(spec: ModelSpec) -> str:
    """Return a digest of all that decides how a file becomes a piece."""
    data = spec.data
    labels = sorted(text_of_labels(spec)) if data.labels else []
    options = [data.delimiter, data.encoding, data.decimal]
    return sha256(canonical_json([sorted(text_of_rows(spec)), labels, options]))[:16]


def _known_pieces(earlier: Iterable[StoredSnapshot], how: str) -> dict[str, StoredFile]:
    """Return the pieces of earlier snapshots by the SHA-256 of what they are of."""
    return {
        file.sha256: file
        for snapshot in earlier
        if snapshot.reading == how
        for file in snapshot.files
    }


def _as_parquet(spec: ModelSpec, key: str, file: DataFile) -> tuple[bytes, int]:
    """Return a file as Parquet, and how many rows it has.

    One that is Parquet stays as it is. Reading the piece gives what reading the file
    gives.
    """
    import pyarrow.parquet as pq

    file.require_intact()
    if form_of(file.path) == "parquet":
        content = file.path.read_bytes()
        return content, pq.ParquetFile(BytesIO(content)).metadata.num_rows
    text = text_of_rows(spec) if key == "data.source" else text_of_labels(spec)
    frame, _ = read_table(file.path, file.shown, None, text, ReadOptions.of(spec.data))
    out = BytesIO()
    frame.to_parquet(out, compression="zstd", index=False)
    return out.getvalue(), len(frame)


def piece_path(piece: str) -> str:
    """Return the name of a piece's file in the place."""
    return f"{PIECES}/{piece[:2]}/{piece}.parquet"


def record_path(model: str, name: str) -> str:
    """Return the name of a snapshot's record in the place."""
    return f"{RECORDS}/{model}/{name}.json"


def snapshots(
    place_of_data: Place, model: str, under: str = RECORDS
) -> list[StoredSnapshot]:
    """Return the snapshots of a model, the oldest first.

    Raises
    ------
    Refused
        Where a record is not what the engine wrote.
    """
    found = []
    for file in place_of_data.entries(f"{under}/{model}"):
        content = place_of_data.local(file.name).read_bytes()
        try:
            found.append(StoredSnapshot.model_validate_json(content))
        except ValidationError as error:
            raise Refused(
                "this record of a snapshot is not what the engine wrote",
                file=f"{place_of_data}/{file.name}",
                do="restore it, or delete it if no version needs it",
            ) from error
    return sorted(found, key=lambda one: (one.stored_at, one.name))


def pull(
    place_of_data: Place, snapshot: StoredSnapshot, folder: Path
) -> dict[str, str]:
    """Write the pieces of a snapshot into a folder, each verified.

    Returns
    -------
    dict of str to str
        A pattern, relative to the folder, for each key of model.yaml.

    Raises
    ------
    EnvironmentFailure
        Where a piece is missing or corrupt.
    """
    patterns = {}
    for number, file in enumerate(snapshot.files):
        content = place_of_data.local(piece_path(file.piece)).read_bytes()
        if sha256(content) != file.piece:
            raise EnvironmentFailure(
                "this piece of a snapshot is corrupt",
                file=f"{place_of_data}/{piece_path(file.piece)}",
                do="restore it from a copy of the place",
            )
        kind = file.key.removeprefix("data.")
        stem = safe_name(PurePosixPath(file.path).stem)
        write_bytes(folder / kind / f"{number:05}-{stem}.parquet", content)
        patterns[file.key] = f"{kind}/*.parquet"
    return patterns


def copy(source: Place, target: Place, snapshot: StoredSnapshot) -> int:
    """Copy a snapshot, its pieces and its record, into another place.

    Returns
    -------
    int
        Bytes.
    """
    size = 0
    for piece in sorted({file.piece for file in snapshot.files}):
        content = source.local(piece_path(piece)).read_bytes()
        target.write(piece_path(piece), content)
        size += len(content)
    target.write(record_path(snapshot.model, snapshot.name), _record(snapshot))
    return size


def prune(
    place_of_data: Place,
    model: str,
    needed: frozenset[str],
    now: datetime,
    days: int,
) -> list[StoredSnapshot]:
    """Remove the snapshots of a model that no version needs, and old pieces.

    A record that is removed leaves a mark. Its pieces go when the mark is a day old and
    no record names them: whoever stores the same rows meanwhile has its record by then.

    Parameters
    ----------
    needed : frozenset of str
        Names of the snapshots of versions; these are never removed.
    days : int
        Snapshots that are younger stay.
    """
    removed = []
    for snapshot in unneeded(place_of_data, model, needed, now, days):
        mark = snapshot.model_copy(update={"stored_at": now.isoformat()})
        place_of_data.write(f"{REMOVED}/{model}/{snapshot.name}.json", _record(mark))
        place_of_data.remove(record_path(model, snapshot.name))
        removed.append(snapshot)
    _remove_pieces(place_of_data, model, now)
    return removed


def unneeded(
    place_of_data: Place, model: str, needed: frozenset[str], now: datetime, days: int
) -> list[StoredSnapshot]:
    """Return the snapshots that `prune` would remove, the oldest first."""
    return [
        snapshot
        for snapshot in snapshots(place_of_data, model)
        if snapshot.name not in needed and _age(snapshot, now) >= timedelta(days=days)
    ]


def _remove_pieces(place_of_data: Place, model: str, now: datetime) -> None:
    """Remove the pieces of marks that are a day old, where no record names them."""
    old = [
        mark
        for mark in snapshots(place_of_data, model, REMOVED)
        if _age(mark, now) >= _GRACE
    ]
    if not old:
        return
    used: set[str] = set()
    for file in place_of_data.entries(RECORDS):  # of all models
        for snapshot in snapshots(place_of_data, file.name.split("/")[1]):
            used.update(one.piece for one in snapshot.files)
    for mark in old:
        for one in mark.files:
            if one.piece not in used:
                place_of_data.remove(piece_path(one.piece))
        place_of_data.remove(f"{REMOVED}/{model}/{mark.name}.json")


def _age(snapshot: StoredSnapshot, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(snapshot.stored_at)


def _record(snapshot: StoredSnapshot) -> bytes:
    """Return the bytes of a record."""
    facts = snapshot.model_dump(mode="json")
    return json.dumps(facts, indent=2, sort_keys=True).encode()

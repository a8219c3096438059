"""The snapshot of a model's data: clean, in a defined order, split, with one digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mlops.config.model_spec import Kind, ModelSpec
from mlops.data.hashing import digest_of, duplicated, hash_values
from mlops.data.known import respell, spellings
from mlops.data.read import columns_match, read_labels, read_source
from mlops.data.sources import Source
from mlops.data.split import (
    EQUAL_ROWS,
    in_test,
    in_validation,
    keeps_equal_rows,
    mix_hashes,
    split_by,
)
from mlops.data.summary import CleanRows, Parts, summarise, unusable
from mlops.data.types import cast_all, misfit
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io.files import replacing
from mlops.results.data import Expectation, Snapshot
from mlops.results.training import Training

_FILE = "snapshot.parquet"
_TEST = "__test__"
_VALIDATION = "__validation__"

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Dataset:
    """All rows of a model, and which of them are held out.

    Parameters
    ----------
    spec : ModelSpec
    frame : DataFrame, shape (n_rows, n_columns)
        `spec.columns` and the target: numbers and booleans as float64, dates as
        datetime64, all else as pandas ``str``; missing as NaN. Rows without a target
        are there.
    parts : Parts
    snapshot : Snapshot
    """

    spec: ModelSpec
    frame: pd.DataFrame
    parts: Parts
    snapshot: Snapshot

    @property
    def test(self) -> np.ndarray:
        """Which rows are for the test."""
        return self.parts.test

    def part(self, name: Part, of: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the labelled rows of one part, numbered from 0.

        Parameters
        ----------
        name : {"train", "validation", "test"}
        of : DataFrame, shape (n_rows, n_columns), optional
            Take the same rows of this frame.
        """
        mask: np.ndarray = getattr(self.parts, name)
        labelled = self.frame[self.spec.data.target].notna().to_numpy()
        rows = self.frame if of is None else of
        return rows[mask & labelled].reset_index(drop=True)

    def as_written(
        self, name: Part, folder: Path, kinds: dict[str, Kind]
    ) -> pd.DataFrame:
        """Return the rows of `part(name)` as the files have them.

        They are for a model of other columns.

        Parameters
        ----------
        name : {"train", "validation", "test"}
        folder : Path
            Of the model.
        kinds : dict
            What the other model takes, and as what; a column that the files lack is
            left out.

        Raises
        ------
        UsageError
            When the files are not what the snapshot was made of.
        """
        rows, _ = clean(self.spec, folder)
        if rows is None or digest_of(rows.frame, rows.hashes) != self.snapshot.digest:
            raise UsageError(
                "the files have changed since they were read",
                file=self.spec.data.source,
                do="run `mlops validate` again",
            )
        written = read_source(
            self.spec.model_copy(update={"features": kinds}), folder
        ).frame
        return self.part(name, written[rows.selected])

    def learned_by(self, before: Training, part: Part = "test") -> int:
        """Return how many rows of a part another version may have learned."""
        spec = self.spec.model_copy(update={"split": before.split or self.spec.split})
        mask: np.ndarray = getattr(self.parts, part)
        ours = mask & self.frame[spec.data.target].notna().to_numpy()
        now = split_by(spec)
        apart = (*before.split_by, EQUAL_ROWS) == now
        if before.split_by not in ((), now) and not apart:
            return int(ours.sum())  # its rows went where nobody can tell
        if spec == self.spec and not apart:
            return 0
        try:
            theirs = parts_of(spec, self.frame, hash_values(self.frame), apart)
        except KeyError:  # its column is gone: it may have been any of them
            return int(ours.sum())
        return int((ours & theirs.train).sum())

    def save(self, folder: Path) -> None:
        """Write the snapshot to `folder` (Parquet and JSON), atomically."""
        with replacing(folder / _FILE) as temporary:
            table = self.frame.assign(**{_TEST: self.parts.test})
            if self.spec.split.validation is not None:
                table[_VALIDATION] = self.parts.validation
            table.to_parquet(temporary, compression="lz4", index=False)
        self.snapshot.save(folder)

    @classmethod
    def load(cls, folder: Path, spec: ModelSpec) -> Dataset:
        """Read what `save` wrote.

        Raises
        ------
        EnvironmentFailure
            When it is missing or was changed.
        """
        snapshot = Snapshot.load(folder)
        message = "the snapshot does not have the digest that was written beside it"
        try:
            table = pd.read_parquet(folder / _FILE)
            frame = _without_parts(table)
            if digest_of(frame, hash_values(frame)) == snapshot.digest:
                return cls(spec, frame, _parts_in(table), snapshot)
        except (OSError, ValueError) as error:
            message = f"cannot be read: {error}"
        raise EnvironmentFailure(
            message, file=str(folder / _FILE), do="run `mlops validate` again"
        )


def snapshot_frame(folder: Path) -> pd.DataFrame:
    """Return the rows of a snapshot that this run has just written, not verified."""
    return _without_parts(pd.read_parquet(folder / _FILE))


def _without_parts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a stored snapshot."""
    return table.drop(columns=[name for name in (_TEST, _VALIDATION) if name in table])


def _parts_in(table: pd.DataFrame) -> Parts:
    """Return which rows of a stored snapshot are held out."""
    test = table[_TEST].to_numpy(dtype=bool)
    validation = np.zeros(len(table), dtype=bool)
    if _VALIDATION in table:
        validation = table[_VALIDATION].to_numpy(dtype=bool)
    return Parts(test, validation)


# -- from files to a dataset ----------------------------------------------------------


def build(
    spec: ModelSpec, folder: Path
) -> tuple[Dataset | None, tuple[Expectation, ...]]:
    """Read, clean and split the data of a model.

    Returns
    -------
    Dataset or None
        None where declared columns are missing.
    tuple of Expectation
        Whether columns and types are as declared: the part of the data contract that
        has to hold before any other can be checked.

    Raises
    ------
    UsageError
        When the files cannot be read or no model can be learned from them (a constant
        target, say).
    """
    rows, structure = clean(spec, folder)
    if rows is None:
        return None, structure
    return split(spec, rows), structure


def clean(
    spec: ModelSpec, folder: Path
) -> tuple[CleanRows | None, tuple[Expectation, ...]]:
    """Read a source and its labels; cast, and remove duplicates.

    Returns
    -------
    CleanRows or None
        None where declared columns are missing.
    tuple of Expectation
        Whether columns and types are as declared.
    """
    source = read_source(spec, folder)
    labels = None
    if spec.data.labels and not source.missing:
        labels = read_labels(spec, folder)
    return prepare(spec, source, labels)


def prepare(
    spec: ModelSpec, source: Source, labels: Source | None
) -> tuple[CleanRows | None, tuple[Expectation, ...]]:
    """Join labels, cast, and remove duplicates: `clean` of what was read."""
    structure = [columns_match(source.missing, source.extra)]
    if source.missing:
        return None, tuple(structure)
    frame = source.frame
    files = source.files
    if labels is not None:
        frame, conflict = _join(spec, frame, labels)
        files += labels.files
        structure.append(conflict)
    frame, misfits = _cast(spec, frame)
    structure += misfits
    hashes = hash_values(frame)
    selected = np.ones(len(frame), dtype=bool)
    if spec.data.drop_duplicates or keeps_equal_rows(spec):
        by = hashes[spec.data.id] if spec.data.id else mix_hashes(hashes)
        repeated = duplicated(frame, by)
        if spec.data.drop_duplicates:
            selected = ~repeated
        elif repeated.any():
            structure.append(_equal_rows(int(repeated.sum()), len(frame)))
    if not selected.all():
        frame = frame[selected].reset_index(drop=True)
        hashes = {name: column[selected] for name, column in hashes.items()}
    return CleanRows(frame, hashes, selected, files), tuple(structure)


def split(spec: ModelSpec, rows: CleanRows) -> Dataset:
    """Split rows and sum them up.

    Raises
    ------
    UsageError
        Where nothing can be learned or tested.
    """
    parts = parts_of(spec, rows.frame, rows.hashes)
    digest = digest_of(rows.frame, rows.hashes)
    snapshot = summarise(spec, rows, parts, digest)
    for problem in unusable(spec, rows.frame[spec.data.target], parts, snapshot):
        raise UsageError(problem)
    return Dataset(spec, rows.frame, parts, snapshot)


def parts_of(
    spec: ModelSpec,
    frame: pd.DataFrame,
    hashes: dict[str, np.ndarray],
    equal_rows_apart: bool = False,
) -> Parts:
    """Return which rows are held out, and for what; arguments as for `in_test`."""
    test = in_test(spec, frame, hashes, equal_rows_apart)
    validation = in_validation(spec, frame, hashes, equal_rows_apart)
    return Parts(test, validation)


def _join(
    spec: ModelSpec, frame: pd.DataFrame, labels: Source
) -> tuple[pd.DataFrame, Expectation]:
    """Add the target by id; a row whose label has not arrived has none."""
    key = str(spec.data.id)
    target = spec.data.target
    ids = frame[key].dropna().drop_duplicates()
    arrived = labels.frame
    strangers = ~arrived[key].isin(ids)
    if strangers.any():
        known = respell(arrived[key], spellings(ids))
        arrived = arrived.assign(**{key: known})
        strangers = ~known.isin(ids)
    unique = arrived.drop_duplicates()
    twice = unique[key].duplicated(keep="last")
    by_id = unique[~twice].set_index(key)[target]
    out = frame.assign(**{target: frame[key].map(by_id)})
    if spec.task != "regression":
        out[target] = out[target].astype("str")
    message = f"An id should have one label; {int(twice.sum())} have two that differ."
    if strangers.any():
        message += f" {int(strangers.sum()):,} labels have an id that no row has."
    examples: tuple[str, ...] = ()
    if key not in spec.sensitive:
        examples = tuple(map(str, unique.loc[twice, key][:3]))
    return out, Expectation(
        name="expect_one_label_per_id",
        column=key,
        ok=not twice.any(),
        failed_rows=int(twice.sum()),
        examples=examples,
        message=message,
    )


def _equal_rows(repeated: int, rows: int) -> Expectation:
    """Return the note that equal rows are kept, and where they stand."""
    return Expectation(
        name="expect_equal_rows_in_one_part_of_the_split",
        ok=True,
        message="Equal rows should be in one part of the split; "
        f"{repeated:,} of {rows:,} rows repeat another one, are kept "
        "(data.drop_duplicates: false), and are in the part of the first.",
    )


def _cast(
    spec: ModelSpec, frame: pd.DataFrame
) -> tuple[pd.DataFrame, list[Expectation]]:
    """Give every column its type; what does not fit is missing, and a failure."""
    target = spec.data.target
    time = spec.data.time
    formats = spec.data.formats
    kinds: dict[str, str] = dict.fromkeys((*spec.columns, target), "category")
    kinds |= spec.features
    kinds[target] = "number" if spec.task == "regression" else "category"
    if time and time not in spec.features:
        numeric = frame[time].dtype.kind in "iuf"
        kinds[time] = "number" if numeric else "date"
    out, bad = cast_all(frame, kinds, formats)
    misfits = []
    for name, wrong in bad.items():
        secret = name in spec.sensitive
        written = formats.get(name)
        misfits.append(misfit(kinds[name], frame[name], wrong, secret, written))
    return out, misfits

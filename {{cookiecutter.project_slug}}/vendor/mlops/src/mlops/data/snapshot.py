"""The snapshot of a model's data: cleaned, in a defined order, split for good, with one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.util import hash_array

from mlops.config.model_spec import Kind, ModelSpec
from mlops.data.read import columns_match, read, read_labels
from mlops.data.sources import Source
from mlops.data.split import in_test, mix_hashes, split_by
from mlops.data.types import cast_all, misfit
from mlops.errors import EnvironmentFailure, Problem, UsageError, listed
from mlops.io.files import replacing
from mlops.results.data import ColumnSummary, Expectation, Snapshot, SourceFile
from mlops.results.training import Training

_FILE, _TEST = "snapshot.parquet", "__test__"


@dataclass(frozen=True)
class Dataset:
    """All rows of a model, and which of them are for the test.

    Parameters
    ----------
    spec : ModelSpec
    frame : DataFrame, shape (n_rows, n_columns)
        `spec.columns` and the target: numbers and booleans as float64, dates as datetime64, all
        else as pandas ``str``; missing as NaN. Rows without a target are there.
    test : ndarray of bool, shape (n_rows,)
    snapshot : Snapshot
    """

    spec: ModelSpec
    frame: pd.DataFrame
    test: np.ndarray
    snapshot: Snapshot

    def part(
        self, name: Literal["train", "test"], of: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Return the labelled rows of one part, numbered from 0; or those of the same rows."""
        mask = self.test if name == "test" else ~self.test
        labelled = self.frame[self.spec.data.target].notna().to_numpy()
        return (self.frame if of is None else of)[mask & labelled].reset_index(
            drop=True
        )

    def test_as_written(self, folder: Path, kinds: dict[str, Kind]) -> pd.DataFrame:
        """Return the rows of `part("test")` from the files, for a model of other columns.

        Parameters
        ----------
        folder : Path
            Of the model.
        kinds : dict
            What the other model takes, and as what; a column that the files lack is left out.

        Raises
        ------
        UsageError
            When the files are not what the snapshot was made of.
        """
        rows, _ = clean(self.spec, folder)
        if rows is None or _digest(rows.frame, rows.hashes) != self.snapshot.digest:
            what, do = (
                "the files have changed since they were read",
                "run `mlops validate` again",
            )
            raise UsageError(what, file=self.spec.data.source, do=do)
        written = read(self.spec.model_copy(update={"features": kinds}), folder).frame
        return self.part("test", written[rows.kept])

    def learned_by(self, before: Training) -> int:
        """Return how many rows of the test another version may have learned, at the most."""
        spec = self.spec.model_copy(update={"split": before.split or self.spec.split})
        ours = self.test & self.frame[spec.data.target].notna().to_numpy()
        if before.split_by not in (
            (),
            split_by(spec),
        ):  # its rows went where nobody can tell
            return int(ours.sum())
        if spec == self.spec:
            return 0
        try:
            theirs = in_test(spec, self.frame, _hashes(self.frame))
        except KeyError:  # its column is gone: it may have been any of them
            return int(ours.sum())
        return int((ours & ~theirs).sum())

    def save(self, folder: Path) -> None:
        """Write the snapshot to `folder` (Parquet and JSON), atomically."""
        with replacing(folder / _FILE) as temporary:
            table = self.frame.assign(**{_TEST: self.test})
            table.to_parquet(temporary, compression="lz4", index=False)
        self.snapshot.save(folder)

    @classmethod
    def load(cls, folder: Path, spec: ModelSpec) -> Dataset:
        """Read what `save` wrote; WorldError when it is missing or was changed."""
        snapshot = Snapshot.load(folder)
        what = "the snapshot does not have the digest that was written beside it"
        try:
            table = pd.read_parquet(folder / _FILE)
            frame = table.drop(columns=_TEST)
            if _digest(frame, _hashes(frame)) == snapshot.digest:
                return cls(spec, frame, table[_TEST].to_numpy(dtype=bool), snapshot)
        except (OSError, ValueError) as error:
            what = f"cannot be read: {error}"
        do = "run `mlops validate` again"
        raise EnvironmentFailure(what, file=str(folder / _FILE), do=do)


def snapshot_frame(folder: Path) -> pd.DataFrame:
    """Return the rows of a snapshot that this run has just written, not verified."""
    return pd.read_parquet(folder / _FILE).drop(columns=_TEST)


@dataclass(frozen=True)
class Rows:
    """Rows that are clean and in order, and not split yet."""

    frame: pd.DataFrame  # as in `Dataset`
    hashes: dict[
        str, np.ndarray
    ]  # of every value, by column; the same on every machine
    kept: np.ndarray  # bool, for each row that was read: the others were duplicates
    files: tuple[SourceFile, ...]


def build(
    spec: ModelSpec, folder: Path
) -> tuple[Dataset | None, tuple[Expectation, ...]]:
    """Read, clean and split the data of a model; None where declared columns are missing.

    Beside it stands whether columns and types are as declared: the part of the data contract that
    has to hold before any other can be asked. UsageError when the files cannot be read or no model
    can be learnt from them (a constant target, say).
    """
    rows, structure = clean(spec, folder)
    return split(spec, rows) if rows else None, structure


def clean(spec: ModelSpec, folder: Path) -> tuple[Rows | None, tuple[Expectation, ...]]:
    """Read, join labels, cast, remove duplicates; None and why where columns are missing."""
    source = read(spec, folder)
    structure = [columns_match(source.missing, source.extra)]
    if source.missing:
        return None, tuple(structure)
    frame, files = source.frame, source.files
    if spec.data.labels:
        labels = read_labels(spec, folder)
        frame, conflict = _join(spec, frame, labels)
        files += labels.files
        structure.append(conflict)
    frame, misfits = _cast(spec, frame)
    hashes, keep = _hashes(frame), np.ones(len(frame), dtype=bool)
    if spec.data.drop_duplicates:
        keep = ~_duplicated(
            frame, hashes[spec.data.id] if spec.data.id else mix_hashes(hashes)
        )
        if not keep.all():
            frame = frame[keep].reset_index(drop=True)
            hashes = {name: column[keep] for name, column in hashes.items()}
    return Rows(frame, hashes, keep, files), (*structure, *misfits)


def split(spec: ModelSpec, rows: Rows) -> Dataset:
    """Split rows and sum them up; UsageError where nothing can be learnt or tested."""
    test = in_test(spec, rows.frame, rows.hashes)
    snapshot = summarise(spec, rows, test, _digest(rows.frame, rows.hashes))
    for problem in unusable(spec, rows.frame[spec.data.target], test, snapshot):
        raise UsageError(problem)
    return Dataset(spec, rows.frame, test, snapshot)


def _join(
    spec: ModelSpec, frame: pd.DataFrame, labels: Source
) -> tuple[pd.DataFrame, Expectation]:
    """Add the target by id; a row whose label has not arrived has none."""
    key, target = str(spec.data.id), spec.data.target
    unique = labels.frame.drop_duplicates()
    twice = unique[key].duplicated(keep="last")
    out = frame.assign(
        **{target: frame[key].map(unique[~twice].set_index(key)[target])}
    )
    if spec.task != "regression":
        out[target] = out[target].astype("str")
    return out, Expectation(
        name="expect_one_label_per_id",
        column=key,
        ok=not twice.any(),
        failed_rows=int(twice.sum()),
        examples=()
        if key in spec.sensitive
        else tuple(map(str, unique.loc[twice, key][:3])),
        message=f"An id should have one label; {int(twice.sum())} have two that differ.",
    )


def _cast(
    spec: ModelSpec, frame: pd.DataFrame
) -> tuple[pd.DataFrame, list[Expectation]]:
    """Give every column its type; what does not fit becomes missing and fails an expectation."""
    target, time = spec.data.target, spec.data.time
    kinds: dict[str, str] = (
        dict.fromkeys((*spec.columns, target), "category") | spec.features
    )
    kinds[target] = "number" if spec.task == "regression" else "category"
    told = dict(kinds)
    if time and time not in spec.features:
        kinds[time] = "number" if frame[time].dtype.kind in "iuf" else "date"
        told[time] = "date or number"
    out, bad = cast_all(frame, kinds)
    secret = spec.sensitive
    return out, [
        misfit(told[c], frame[c], wrong, c in secret) for c, wrong in bad.items()
    ]


# -- what is in a snapshot, and whether a model can be learnt from it -----------------------------


def summarise(spec: ModelSpec, rows: Rows, test: np.ndarray, digest: str) -> Snapshot:
    """Return the facts of a snapshot."""
    frame = rows.frame
    labelled = frame[spec.data.target].notna().to_numpy()
    period = None
    if spec.data.time and frame[spec.data.time].notna().any():
        times = frame[spec.data.time].agg(["min", "max"])
        first, last = (
            f"{t:g}" if isinstance(t, float) else t.isoformat() for t in times
        )
        period = (first, last)
    return Snapshot(
        digest=digest,
        rows=len(frame),
        rows_read=len(rows.kept),
        duplicates_removed=len(rows.kept) - len(frame),
        unlabelled=int((~labelled).sum()),
        train_rows=int((labelled & ~test).sum()),
        test_rows=int((labelled & test).sum()),
        period=period,
        files=rows.files,
        columns=tuple(
            _column(frame[c], h, c in spec.sensitive) for c, h in rows.hashes.items()
        ),
    )


def _column(column: pd.Series, hashes: np.ndarray, sensitive: bool) -> ColumnSummary:
    """Return what is in one column; the values themselves only where they may be shown."""
    missing, unique = int(column.isna().sum()), int(pd.Series(hashes).nunique())
    kind = {"f": "number", "M": "date"}.get(column.dtype.kind, "text")
    facts: dict[str, Any] = {}
    if kind == "number" and missing < len(column):
        low, high = column.min(), column.max()
        # A sum can be beyond all numbers; the mean is between them still.
        facts = {"low": low, "mean": column.mean().clip(low, high), "high": high}
    if kind == "text" and not sensitive and unique <= 50:
        top = column.value_counts().head(10)
        facts = {"top": {str(value)[:80]: int(count) for value, count in top.items()}}
    unique -= missing > 0
    return ColumnSummary(
        name=str(column.name), kind=kind, missing=missing, unique=unique, **facts
    )


def unusable(
    spec: ModelSpec, target: pd.Series, test: np.ndarray, snapshot: Snapshot
) -> Iterator[Problem]:
    """Yield why nothing can be learnt or tested, the cause before what follows from it."""
    files, name = listed(f.path for f in snapshot.files), str(target.name)
    move = spec.split.remedy
    values = sorted(target.dropna().unique())
    if not values:
        yield Problem("no row has a target", files, name, do="add labels")
    if len(values) == 1:
        found = "one value" if name in spec.sensitive else repr(values[0])
        yield Problem(
            "the target is constant: there is nothing to learn", files, name, found
        )
    if spec.task == "binary":
        if len(values) != 2:
            what = f"a binary target has two values, this one has {len(values)}"
            do = "set task: multiclass, or clean the target"
            yield Problem(what, files, name, found=listed(values), do=do)
        positive = positive_label(spec, values)
        if positive not in values:
            what, where = (
                "the positive value is not in the data",
                f"{files}, model.yaml",
            )
            yield Problem(
                what, where, "data.positive", positive, allowed=listed(values)
            )
        for part, mask in (("train", ~test), ("test", test)):
            absent = sorted(set(values) - set(target[mask].unique()))
            if len(absent) == 1:
                what = f"the {part} part has no row of one class, so it cannot serve"
                yield Problem(
                    what, files, name, f"no {absent[0]} among {part} rows", do=move
                )
    if min(snapshot.train_rows, snapshot.test_rows) < 2:
        what = "too few rows to train on some and test on others"
        found = f"{snapshot.train_rows} to train, {snapshot.test_rows} to test"
        yield Problem(
            what, files, "split", found, allowed="at least 2 in each part", do=move
        )


def positive_label(spec: ModelSpec, classes: Iterable[str]) -> str:
    """Return `data.positive` as the data writes it (true may be ``True``, 1 may be ``1``)."""
    text = str(spec.data.positive)
    same = [c for c in classes if c.lower() == text.lower()]
    return same[0] if isinstance(spec.data.positive, bool) and same else text


# -- rows as hashes: the digest, duplicates, and the part of the split that a row belongs to ------


def _hashes(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return a hash of every value, by column; the same on every machine."""
    out = {}
    for name, column in frame.items():
        if column.dtype.kind in "fM":
            out[str(name)] = hash_array(column.to_numpy(), categorize=False)
        else:
            codes, words = column.factorize()
            hashes = hash_array(words.to_numpy(dtype=object), categorize=False)
            # The code of a missing value is -1, the last place.
            out[str(name)] = np.append(hashes, np.uint64(2**64 - 1))[codes]
    return out


def _digest(frame: pd.DataFrame, hashes: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over names, types and values, in row order."""
    digest = hashlib.sha256()
    for name, values in hashes.items():
        digest.update(f"{name}\0{frame[name].dtype}\0{len(values)}\0".encode())
        digest.update(values.astype("<u8").tobytes())
    return digest.hexdigest()


def _duplicated(frame: pd.DataFrame, quick: np.ndarray) -> np.ndarray:
    """Return which rows repeat an earlier one: hashes find the candidates, the values decide."""
    candidates = frame[pd.Series(quick).duplicated(keep=False).to_numpy()]
    return np.asarray(frame.index.isin(candidates.index[candidates.duplicated()]))

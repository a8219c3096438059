"""The snapshot of a model's data: cleaned, in a defined order, split for good, with one digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops.data.cast import as_date, as_number, as_text, cast_all
from mlops.data.read import Source, read, read_labels
from mlops.data.rows import column_hashes, content_digest, duplicated, in_test
from mlops.data.summary import require_usable, summarise
from mlops.errors import Problem, WorldError, did_you_mean
from mlops.files import read_json, replacing, write_json
from mlops.results import Expectation, Snapshot
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_FILE, _META = "snapshot.parquet", "snapshot.json"


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

    def part(self, name: Literal["train", "test"]) -> pd.DataFrame:
        """Return the labelled rows of one part, numbered from 0."""
        mask = self.test if name == "test" else ~self.test
        labelled = self.frame[self.spec.data.target].notna().to_numpy()
        return self.frame[mask & labelled].reset_index(drop=True)

    def save(self, folder: Path) -> None:
        """Write the snapshot to `folder` (Parquet and JSON), atomically."""
        table = self.frame.assign(__test__=self.test)
        with replacing(folder / _FILE) as temporary:
            table.to_parquet(temporary, compression="lz4", index=False)
        write_json(folder / _META, self.snapshot.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path, spec: ModelSpec) -> Dataset:
        """Read what `save` wrote and check its digest.

        Raises
        ------
        WorldError
            When it is missing or was changed.
        """
        import pandas as pd

        snapshot = Snapshot.model_validate(read_json(folder / _META))
        try:
            table = pd.read_parquet(folder / _FILE)
        except (OSError, ValueError) as error:
            raise WorldError(
                Problem(f"cannot be read: {error}", file=str(folder / _FILE), do="validate again")
            ) from error
        frame = table.drop(columns="__test__")
        if content_digest(frame, column_hashes(frame)) != snapshot.digest:
            raise WorldError(
                Problem(
                    "the snapshot does not have the digest that was written beside it",
                    file=str(folder / _FILE),
                    do="run `mlops validate` again",
                )
            )
        return cls(spec, frame, table["__test__"].to_numpy(dtype=bool), snapshot)


def build(spec: ModelSpec, folder: Path) -> tuple[Dataset | None, tuple[Expectation, ...]]:
    """Read, join labels, cast, remove duplicates, split.

    Returns
    -------
    dataset : Dataset or None
        None where declared columns are missing.
    structure : tuple of Expectation
        Whether columns and types are as declared; the part of the data contract that has to hold
        before any other can be asked.

    Raises
    ------
    UsageError
        When the files cannot be read or no model can be learnt from them (a constant target, say).
    """
    source = read(spec, folder)
    structure = [_columns_match(spec, source)]
    if source.missing:
        return None, tuple(structure)
    frame, files = source.frame, source.files
    if spec.data.labels:
        frame, labels, conflict = _join_labels(spec, frame, read_labels(spec, folder))
        files = (*files, *labels)
        structure.append(conflict)
    frame, types = _cast(spec, frame)
    structure += types
    hashes = column_hashes(frame)
    rows_read = len(frame)
    if spec.data.drop_duplicates:
        keep = ~duplicated(frame, hashes, spec.data.id)
        if not keep.all():
            frame = frame[keep].reset_index(drop=True)
            hashes = {name: column[keep] for name, column in hashes.items()}
    test = in_test(spec, frame, hashes)
    snapshot = summarise(spec, frame, test, hashes, rows_read, files)
    require_usable(spec, frame, test, snapshot)
    return Dataset(spec, frame, test, snapshot), tuple(structure)


def _columns_match(spec: ModelSpec, source: Source) -> Expectation:
    """Return whether the files have the declared columns and no others."""
    parts = []
    for name in source.missing:
        hint = did_you_mean(name, source.extra)
        parts.append(f"`{name}` is missing" + (f" ({hint})" if hint else ""))
    for name in source.extra:
        parts.append(f"`{name}` is not declared (add it to features, or to data.ignore)")
    found = "; ".join(parts) or "they are"
    return Expectation(
        name="expect_table_columns_to_match_model_yaml",
        ok=not parts,
        message=f"The columns should be those that model.yaml declares; {found}.",
    )


def _join_labels(
    spec: ModelSpec, frame: pd.DataFrame, labels: Source
) -> tuple[pd.DataFrame, tuple[Any, ...], Expectation]:
    """Add the target by id; a row whose label has not arrived has none."""
    key, target = spec.data.id, spec.data.target
    assert key
    unique = labels.frame.drop_duplicates()
    twice = unique[key].duplicated(keep="last")
    values = unique[~twice].set_index(key)[target]
    out = frame.assign(**{target: frame[key].map(values)})
    if target not in spec.features and spec.task != "regression":
        out[target] = out[target].astype("str")
    examples = () if key in spec.sensitive else tuple(map(str, unique.loc[twice, key][:3]))
    conflict = Expectation(
        name="expect_one_label_per_id",
        column=key,
        ok=not twice.any(),
        failed_rows=int(twice.sum()),
        examples=examples,
        message=f"An id should have one label; {int(twice.sum())} have two that differ.",
    )
    return out, labels.files, conflict


def _kinds(spec: ModelSpec) -> dict[str, str]:
    """Return the kind of every column of the snapshot but the time column."""
    kinds: dict[str, str] = dict.fromkeys((*spec.columns, spec.data.target), "category")
    kinds |= spec.features
    kinds[spec.data.target] = "number" if spec.task == "regression" else "category"
    return kinds


def _cast(spec: ModelSpec, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Expectation]]:
    """Give every column its type; what does not fit becomes missing and fails an expectation."""
    kinds, time = _kinds(spec), spec.data.time
    out, bad = cast_all(frame, kinds)
    if time and time not in spec.features:
        column = frame[time]
        out[time], wrong = as_number(column) if column.dtype.kind in "iuf" else as_date(column)
        if wrong.any():
            bad[time] = wrong
    results = []
    for name, wrong in bad.items():
        kind = kinds.get(name, "date") if name != time else "date or number"
        shown = as_text(frame.loc[wrong, name]).unique()[:3]
        results.append(
            Expectation(
                name="expect_column_values_to_be_of_declared_type",
                column=name,
                ok=False,
                failed_rows=int(wrong.sum()),
                failed_share=float(wrong.mean()),
                examples=() if name in spec.sensitive else tuple(str(v)[:80] for v in shown),
                message=f"Values of `{name}` should each be a finite {kind}"
                f"; {int(wrong.sum())} of {len(wrong)} are not."
                if kind == "number"
                else f"Values of `{name}` should each be a {kind}; {int(wrong.sum())} are not.",
            )
        )
    return out, results

"""What a person should know about a file that a first model was made for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlops.data.snapshot import Dataset
from mlops.data.sources import MOST_IN_GIT, form_of
from mlops.errors import listed
from mlops.scaffold.inspect import Column, Columns
from mlops.scaffold.plan import Spec
from mlops.scaffold.table import TableSample

_FEWEST_OF_A_CLASS = 10


def advice(
    path: Path, table: TableSample, spec: Spec, columns: Columns, dataset: Dataset
) -> Iterator[str]:
    """Yield a sentence for everything that a person should check, and what to do."""
    yield from _of_the_file(path, table, spec)
    yield from _of_the_rows(spec, dataset)
    yield from _of_the_target(spec, columns[spec["data"]["target"]], dataset)
    yield from _of_the_split(spec)
    for name in spec["features"]:
        yield from _of_a_feature(columns[name])


def _of_the_file(path: Path, table: TableSample, spec: Spec) -> Iterator[str]:
    form = {"parquet": "Parquet", "json": "JSON lines"}.get(form_of(path), "CSV")
    encoding = "utf-8"
    if table.options:
        encoding = table.options.encoding
        form = f"CSV with {table.options.delimiter!r}, {encoding}"
    yield f"{path.name} was read as {form}: {table.rows:,} rows."
    if table.sampled:
        yield (
            f"model.yaml and contract.py are based on {len(table.frame):,} of these "
            "rows, drawn at random; `mlops validate` checks all of them."
        )
    if table.options and table.options.decimal == ",":
        yield (
            "Numbers have a decimal comma (data.decimal), also in label files and in "
            "CSV files to predict."
        )
    if encoding not in {"utf-8", "utf-16"}:
        yield f"The file is not UTF-8; it was read as {encoding}. Check its accents."
    if path.stat().st_size > MOST_IN_GIT:
        yield (
            "The file is larger than 50 MB, which pre-commit refuses. Save it as "
            "Parquet or compressed (.gz), or in parts (data.source may be a pattern), "
            "or put it into a bucket (data.source: s3://BUCKET/FILE)."
        )


def _of_the_rows(spec: Spec, dataset: Dataset) -> Iterator[str]:
    facts = dataset.snapshot
    if facts.duplicates_removed:
        yield (
            f"{facts.duplicates_removed:,} rows repeat earlier ones and are removed. "
            "To keep them, set data.drop_duplicates: false."
        )
    if facts.unlabelled:
        yield (
            f"{facts.unlabelled:,} rows have no `{spec['data']['target']}`: they are "
            "not trained or tested on."
        )


def _of_the_target(spec: Spec, target: Column, dataset: Dataset) -> Iterator[str]:
    if spec["task"] == "binary":
        positive = spec["data"]["positive"]
        yield (
            f"Scores are the probability of {positive!r}. For the other class, change "
            "data.positive."
        )
    if spec["task"] != "regression":
        counts = dataset.frame[target.name].value_counts()
        rare = [repr(value) for value, n in counts.items() if n < _FEWEST_OF_A_CLASS]
        if rare:
            yield (
                f"Fewer than {_FEWEST_OF_A_CLASS} rows each have {listed(rare)}: join "
                "such classes, or add rows."
            )
    yield from _of_values_alike(target)
    if spec["task"] == "multiclass" and target.kind == "number":
        yield (
            f"`{target.name}` has {target.unique} whole numbers, taken for classes. If "
            "it is an amount, remove the folder and make the model again with --task "
            "regression."
        )
    if not spec["checks"]["better_than"]:
        yield (
            "With so few rows, a model can hardly be told from a guess: collect more "
            "before you rely on it."
        )


def _of_the_split(spec: Spec) -> Iterator[str]:
    data = spec["data"]
    if "id" not in data and spec["split"]["by"] == "random":
        yield (
            "Rows have no id, so a change of columns changes the split: set data.id if "
            "you can."
        )
    if "time" in data:
        yield (
            f"Rows have a date (`{data['time']}`). If the model will predict later "
            "rows than it learned from, set split.by: time."
        )


def _of_a_feature(column: Column) -> Iterator[str]:
    if column.ambiguous:
        first = "day" if column.written.startswith("%d") else "month"
        yield (
            f"In every date of `{column.name}`, day and month could be swapped; they "
            f"are read as {column.written} ({first} first): see data.formats."
        )
    if column.converted:
        yield (
            f"`{column.name}` is text that stands for {column.stands_for}: features.py "
            "converts it, and what it cannot convert is missing."
        )
    if column.kind != "boolean":  # whose values are read without case and spaces
        yield from _of_values_alike(column)
    if column.too_large:
        yield (
            f"`{column.name}` has whole numbers above 2^53, which are rounded when "
            "they are computed with. If they name things, move the column to "
            "data.ignore, or make it data.id."
        )
    share = column.missing / column.rows
    if share > 0.5:
        yield f"`{column.name}` is missing in {share:.0%} of the rows: why?"


def _of_values_alike(column: Column) -> Iterator[str]:
    if column.alike:
        named = listed([repr(value) for value in column.alike])
        yield (
            f"`{column.name}` has values that differ in case or spaces alone "
            f"({named}): if they are one, make them so in the file."
        )

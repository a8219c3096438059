"""One table in every form that a source may have: the rows are the same."""

from __future__ import annotations

import bz2
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.config.yaml import load_yaml
from mlops.data.csv_format import ReadOptions
from mlops.data.read import read_table, text_columns
from mlops.data.snapshot import build
from mlops.errors import UsageError

from .conftest import Trained, rows_of, spec_of

FORMS = [
    "rows.csv.gz",
    "rows.csv.bz2",
    "rows.csv.zst",
    "rows.jsonl",
    "rows.ndjson",
    "rows.jsonl.gz",
    "rows.parquet",
]


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame in the form that the file's name says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
        return
    name = path.name
    if ".csv" in name:
        content = frame.to_csv(index=False).encode()
    else:
        content = frame.to_json(orient="records", lines=True, double_precision=15)
        content = content.encode()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".bz2":
        content = bz2.compress(content)
    if path.suffix == ".zst":
        with pa.output_stream(path, compression="zstd") as stream:
            stream.write(content)
        return
    path.write_bytes(content)


def mixed() -> pd.DataFrame:
    """Return rows with every kind of column, and with what is missing."""
    frame = rows_of(n=300)
    days = pd.date_range("2026-01-01", periods=len(frame), freq="D")
    return frame.assign(
        joined=days.strftime("%Y-%m-%d"),
        code=[f"{number % 7:03d}" for number in range(len(frame))],
        active=[None if n % 11 == 0 else n % 2 == 0 for n in range(len(frame))],
    )


@pytest.mark.parametrize("name", FORMS)
def test_the_rows_are_those_of_the_csv_file(
    make_project: Callable[..., Project], tmp_path: Path, name: str
) -> None:
    features = {
        **spec_of()["features"],
        "joined": "date",
        "code": "category",
        "active": "boolean",
    }
    digests = {}
    for number, file in enumerate(("rows.csv", name)):
        project = make_project(
            root=tmp_path / str(number),
            features=features,
            data={**spec_of()["data"], "source": f"data/{file}"},
        )
        data = project.folder("churn") / "data"
        (data / "rows.csv").unlink()
        if file == "rows.csv":
            mixed().to_csv(data / file, index=False)
        else:
            write(mixed(), data / file)
        dataset, structure = build(project.model("churn"), project.folder("churn"))
        assert dataset is not None
        assert [e.message for e in structure if not e.ok] == []
        digests[file] = dataset.snapshot.digest
        assert dataset.snapshot.rows == 300
    assert digests["rows.csv"] == digests[name]


@pytest.mark.parametrize("name", FORMS)
def test_a_model_is_begun_from_any_form(
    make_project: Callable[..., Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    root = make_project().root
    monkeypatch.chdir(root)
    features = {}
    for model, file in (("text", "rows.csv"), ("other", name)):
        source = tmp_path / file
        write(mixed(), source) if file == name else mixed().to_csv(source, index=False)
        command = ["new", model, "--data", str(source), "--target", "churn"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        spec = load_yaml(root / "models" / model / "model.yaml")
        features[model] = spec["features"]
        assert spec["data"]["source"] == f"data/{file}"
        assert (root / "models" / model / "data" / file).is_file()
        dataset, _ = build(Project(root).model(model), root / "models" / model)
        assert dataset is not None and dataset.snapshot.rows == 300
    assert features["text"] == features["other"]


def test_rows_to_predict_may_have_any_form(trained: Trained, tmp_path: Path) -> None:
    rows = rows_of(n=20).drop(columns="churn")
    predicted = []
    for name in ("rows.csv", *FORMS):
        path = tmp_path / name
        write(rows, path)
        kinds = {f.name: f.kind for f in trained.model.signature.features}
        text = text_columns(kinds)
        frame, _ = read_table(path, name, kinds, text, ReadOptions())
        predicted.append(trained.model.predict(frame))
    for other in predicted[1:]:
        pd.testing.assert_frame_equal(predicted[0], other)


def read(path: Path) -> pd.DataFrame:
    return read_table(path, path.name, None, None, ReadOptions())[0]


BROKEN_JSON = {
    "a list": ("[1, 2]\n", "not one JSON object a line"),
    "one array of rows": ('[{"a": 1}]', "not one JSON object a line"),
    "no JSON": ('{"a": 1}\nfoo\n', "not one JSON object a line"),
    "half a line": ('{"a": 1}\n{"a": \n', "not one JSON object a line"),
    "a number and a text": ('{"a": 1}\n{"a": "x"}\n', "changed from number to string"),
    "a key twice": ('{"a": 1, "a": 2}\n', "specified twice"),
    "an object": ('{"a": {"b": 1}}\n', "holds objects or lists"),
    "a list of values": ('{"a": [1]}\n', "holds objects or lists"),
    "nothing": ("", "not one JSON object a line"),
    "very deep": ('{"a":' + "[" * 100_000, "not one JSON object a line"),
}


@pytest.mark.parametrize("case", BROKEN_JSON)
def test_what_is_no_table_of_json_is_one_clear_error(tmp_path: Path, case: str) -> None:
    content, expected = BROKEN_JSON[case]
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=expected) as caught:
        read(path)
    assert "rows.jsonl" in str(caught.value)


def test_texts_of_json_stay_as_they_are_written(tmp_path: Path) -> None:
    """Arrow reads what looks like a date as one: a category is not to change."""
    path = tmp_path / "rows.jsonl"
    texts = ["2026-01-02", "2026-01-02 10:00", "007", "1e5", " x ", "ü"]
    path.write_text("".join(json.dumps({"a": text}) + "\n" for text in texts))
    assert read(path)["a"].tolist() == texts
    path.write_text("".join(json.dumps({"a": text}) + "\n" for text in texts[:1]))
    assert read(path)["a"].tolist() == texts[:1]


def test_a_key_that_nobody_declared_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "b": {"c": 2}}\n{"a": 2, "b": null}\n')
    frame, header = read_table(path, path.name, {"a"}, set(), ReadOptions())
    assert frame["a"].tolist() == [1, 2]
    assert header == ["a", "b"]
    with pytest.raises(UsageError, match="holds objects or lists"):
        read_table(path, path.name, {"b"}, set(), ReadOptions())


@pytest.mark.parametrize("ends", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("inner", [".csv", ".jsonl"])
def test_what_cannot_be_decompressed_is_one_clear_error(
    tmp_path: Path, inner: str, ends: str
) -> None:
    path = tmp_path / f"rows{inner}{ends}"
    path.write_bytes(b"a,b\n1,2\n" * 100)
    with pytest.raises(UsageError, match="cannot be decompressed") as caught:
        read(path)
    assert f"rows{inner}{ends}" in str(caught.value)


@pytest.mark.parametrize("ends", [".gz", ".bz2", ".zst"])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, ends: str) -> None:
    path = tmp_path / f"rows.csv{ends}"
    write(pd.concat([mixed()] * 50), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match=r"cannot be decompressed|not a table"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.zip", "zip", "a zip archive or an Excel workbook"),
        ("rows.csv", "zip", "a zip archive or an Excel workbook"),
        ("rows.xlsx", "zip", "a zip archive or an Excel workbook"),
        ("rows.csv", "csv.gz", "compressed by gzip"),
        ("rows.jsonl", "csv.gz", "compressed by gzip"),
        ("rows.csv", "csv.bz2", "compressed by bzip2"),
        ("rows.csv.gz", "csv.zst", "compressed by zstd"),
        ("rows.csv", "parquet", "a Parquet file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    source = tmp_path / f"source.{content}"
    if content == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("rows.csv", "a,b\n1,2\n")
    else:
        write(mixed(), source)
    path = source.rename(tmp_path / name)
    with pytest.raises(UsageError, match=f"this is {expected}") as caught:
        read(path)
    assert name in str(caught.value)

"""Reading: any table that pandas reads, alike for training, prediction and labels."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.config.yaml import parse
from mlops.data.csv_format import ReadOptions
from mlops.data.known import (
    count_unseen,
    plain_whole_numbers,
    respell,
    spellings,
    unseen_values,
)
from mlops.data.read import read_table
from mlops.data.snapshot import Dataset, build
from mlops.data.types import as_boolean, as_date, as_number, cast, cast_all
from mlops.errors import UsageError
from mlops.results.data import Expectation
from mlops.results.training import Feature
from mlops.training.fit import train

from .conftest import rows_of, spec_of


def built(project: Project) -> tuple[Dataset, tuple[Expectation, ...]]:
    """Return the dataset of `churn`, and whether its structure is as declared."""
    dataset, structure = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    return dataset, structure


def failures(structure: tuple[Expectation, ...]) -> list[str]:
    """Return the messages of what failed."""
    return [expectation.message for expectation in structure if not expectation.ok]


def data_of(**changes: Any) -> dict[str, Any]:
    """Return the part `data` of the quick model, with changes."""
    return {**spec_of()["data"], **changes}


# -- dates ----------------------------------------------------------------------------

DAY_FIRST = "%d.%m.%Y"


def with_dates(written: str) -> pd.DataFrame:
    """Return the quick rows with a date `since` in some format."""
    days = pd.date_range("2020-01-01", periods=600).strftime(written)
    return rows_of().assign(since=days)


FEATURES = {**spec_of()["features"], "since": "date"}


def test_a_date_that_is_not_iso_8601_fails_validation_and_is_never_guessed(
    make_project: Callable[..., Project],
) -> None:
    dataset, structure = built(
        make_project(frame=with_dates(DAY_FIRST), features=FEATURES)
    )
    (message,) = failures(structure)
    assert "`since` should each be an ISO 8601 date" in message
    assert "600 of 600 are not" in message and "data.formats" in message
    assert dataset.frame["since"].isna().all()


def test_a_declared_format_reads_as_iso_8601_does(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    iso, _ = built(
        make_project(
            frame=with_dates("%Y-%m-%d"), features=FEATURES, root=tmp_path / "a"
        )
    )
    data = data_of(formats={"since": DAY_FIRST})
    ours, structure = built(
        make_project(
            frame=with_dates(DAY_FIRST),
            features=FEATURES,
            data=data,
            root=tmp_path / "b",
        )
    )
    assert not failures(structure)
    assert ours.snapshot.digest == iso.snapshot.digest


def test_a_second_file_in_another_format_fails_validation(
    make_project: Callable[..., Project],
) -> None:
    project = make_project(frame=with_dates("%Y-%m-%d"), features=FEATURES)
    more = rows_of(seed=1).assign(since=with_dates(DAY_FIRST)["since"])
    more.to_csv(project.folder("churn") / "data" / "more.csv", index=False)
    _, structure = built(project)
    assert ["600 of 1,200 are not" in message for message in failures(structure)] == [
        True
    ]


def test_the_time_that_splits_has_a_declared_format_too(
    make_project: Callable[..., Project],
) -> None:
    dataset, structure = built(
        make_project(
            frame=with_dates(DAY_FIRST),
            data=data_of(time="since", formats={"since": DAY_FIRST}),
            split={"by": "time", "test": 0.3},
        )
    )
    assert not failures(structure)
    train_days = dataset.part("train")["since"]
    assert train_days.max() < dataset.part("test")["since"].min()
    assert dataset.snapshot.period == ("2020-01-01T00:00:00", "2021-08-22T00:00:00")


def test_a_model_predicts_dates_in_the_format_that_it_was_trained_with(
    make_project: Callable[..., Project],
) -> None:
    data = data_of(formats={"since": DAY_FIRST})
    project = make_project(frame=with_dates(DAY_FIRST), features=FEATURES, data=data)
    features = project.folder("churn") / "features.py"
    features.write_text(
        "def features(raw):\n"
        "    month = raw['since'].dt.month.astype('float64')\n"
        "    return raw.drop(columns='since').assign(month=month)\n"
    )
    dataset, _ = built(project)
    model, _ = train(project, "churn", project.model("churn"), dataset)
    row = {"tenure": 1.0, "spend": 2.0, "plan": "pro"}
    asked = pd.DataFrame([{**row, "since": "03.04.2020"}])
    assert model.features(asked)["month"].tolist() == [4.0]
    with pytest.raises(UsageError, match=r"a date written as %d\.%m\.%Y"):
        model.predict(pd.DataFrame([{**row, "since": "2020-04-03"}]))


@given(st.dates())
def test_any_day_is_read_as_it_was_written(day: Any) -> None:
    written = pd.Series([day.isoformat(), day.strftime("%d.%m.") + f"{day.year:04}"])
    iso = as_date(written[:1])[0]
    ours = as_date(written[1:], DAY_FIRST).iloc[0]
    assert iso == ours and (iso.year, iso.month, iso.day) == (
        day.year,
        day.month,
        day.day,
    )


@pytest.mark.parametrize(
    "text",
    [
        "03.04.2020",
        "4/13/2020",
        "13/4/2020",
        "April 3, 2020",
        "now",
        "0000-01-01",
        "1e9",
    ],
)
def test_what_is_not_iso_8601_is_not_a_date(text: str) -> None:
    assert as_date(pd.Series([text])).isna().all()


def test_a_number_is_not_a_date() -> None:
    for column in (pd.Series([20200403]), pd.Series([1.5e9]), pd.Series([True])):
        assert as_date(column).isna().all()


def test_the_first_and_the_last_day_of_the_calendar_are_dates() -> None:
    days = as_date(pd.Series(["0001-01-01", "9999-12-31T23:59:59"]))
    assert days.dt.year.tolist() == [1, 9999]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"data": data_of(time="plan")},
            "data.time: the column that orders rows in time is not a date or a number",
        ),
        (
            {"data": data_of(formats={"plan": DAY_FIRST})},
            "data.formats.plan: this column is not a date",
        ),
        (
            {"data": data_of(formats={"since": "%Q"}), "features": FEATURES},
            "data.formats.since: this format does not give a date",
        ),
        (
            {"data": data_of(formats={"since": "%m/%Y"}), "features": FEATURES},
            "data.formats.since: this format does not give a date",
        ),
    ],
)
def test_a_time_or_format_that_makes_no_sense_is_one_clear_error(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(ModelSpec, spec_of(**changes), "model.yaml")
    assert [words in str(problem) for problem in caught.value.problems] == [True]


def test_a_slip_under_features_is_named_where_its_column_is_used() -> None:
    features = {"agee": "number", "plan": "category"}
    checks = {"invariant": ["age"]}
    slices = {"columns": ["age"]}
    with pytest.raises(UsageError) as caught:
        parse(
            ModelSpec,
            spec_of(features=features, checks=checks, slices=slices),
            "model.yaml",
        )
    (problem,) = caught.value.problems
    assert problem.found == "age" and "did you mean `agee`?" in problem.do
    assert "fix `agee` where it is declared" in problem.do


# -- whole numbers that became floats -------------------------------------------------


@given(
    codes=st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=30),
    floats=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_whole_numbers_are_one_value_however_they_are_written(
    codes: list[int], floats: list[bool]
) -> None:
    written = [
        f"{code}.0" if as_float else str(code)
        for code, as_float in zip(codes, floats, strict=False)
    ]
    plain = plain_whole_numbers(pd.Series([*written, None], dtype="str"))
    assert plain[:-1].tolist() == [str(code) for code in codes]
    assert pd.isna(plain.iloc[-1])


def test_versions_and_codes_with_zeros_stay_as_they_are() -> None:
    for values in (["1.0", "1.5"], ["1.0", "x"], ["007", "08"], ["1.0.0", "2.0"]):
        column = pd.Series(values, dtype="str")
        assert plain_whole_numbers(column).tolist() == values


@pytest.mark.parametrize("known", [["1", "2", "3"], ["1.0", "2.0", "3.0"]])
def test_values_are_written_as_those_that_training_saw(known: list[str]) -> None:
    asked = pd.Series(["1.0", "2", "3.00", "4.0", "x", None], dtype="str")
    found = respell(asked, spellings(known))
    assert found[:3].tolist() == known
    assert found[3:5].tolist() == ["4.0", "x"] and pd.isna(found[5])
    assert count_unseen(asked.to_frame("code"), {"code": known}) == {"code": 2}


def coded(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the quick rows with numbers for plans, customers and answers."""
    return rows.assign(
        customer=range(1000, 1000 + len(rows)),
        plan=rows["plan"].map({"basic": 1, "plus": 2, "pro": 3}),
        churn=(rows["churn"] == "yes").astype(int),
    )


def test_codes_ids_and_labels_that_became_floats_change_nothing(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    frame = coded(rows_of())
    floats = frame.astype(
        {"customer": "float64", "plan": "float64", "churn": "float64"}
    )
    digests = set()
    for name, rows in (("ints", frame), ("floats", floats)):
        project = make_project(
            frame=rows, data=data_of(positive=1), root=tmp_path / name
        )
        dataset, _ = built(project)
        digests.add((dataset.snapshot.digest, dataset.test.tobytes()))
        model, training = train(project, "churn", project.model("churn"), dataset)
        digests.add(training.model_sha256)
    assert len(digests) == 2  # one snapshot, one model
    asked = rows_of()[["tenure", "spend"]]
    as_ints = model.predict(asked.assign(plan="2"))
    as_floats = model.predict(asked.assign(plan="2.0"))
    pd.testing.assert_frame_equal(as_ints, as_floats)


def test_labels_by_ids_that_became_floats_are_joined_and_strangers_counted(
    make_project: Callable[..., Project],
) -> None:
    frame = coded(rows_of())
    data = data_of(labels="labels/*.csv", positive="1.0")
    project = make_project(frame=frame.drop(columns="churn"), data=data)
    folder = project.folder("churn") / "labels"
    folder.mkdir()
    labels = frame[["customer", "churn"]].astype("float64")
    labels.loc[len(labels)] = [7.0, 1.0]
    labels.to_csv(folder / "l.csv", index=False)
    dataset, structure = built(project)
    assert dataset.snapshot.unlabelled == 0
    assert dataset.frame["churn"].tolist() == frame["churn"].astype(str).tolist()
    (joined,) = [e for e in structure if e.name == "expect_one_label_per_id"]
    assert joined.ok and "1 labels have an id that no row has" in joined.message


# -- equal rows -----------------------------------------------------------------------


def test_equal_rows_are_on_one_side_of_the_split_and_it_is_said(
    make_project: Callable[..., Project],
) -> None:
    frame = rows_of(n=400).drop(columns="customer")
    twins = pd.concat([frame, frame.head(150), frame.head(50)], ignore_index=True)
    data = {"source": "data/*.csv", "target": "churn", "positive": "yes"}
    dataset, structure = built(
        make_project(frame=twins, data={**data, "drop_duplicates": False})
    )
    assert dataset.snapshot.rows == 600
    sides = dataset.frame.assign(test=dataset.test).groupby(
        list(dataset.frame), dropna=False
    )["test"]
    assert (sides.nunique() == 1).all()
    (said,) = [e for e in structure if "equal_rows" in e.name]
    assert said.ok and "200 of 600 rows repeat another one" in said.message


def test_of_equal_rows_only_the_later_ones_move(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    frame = rows_of(n=400).drop(columns="customer")
    data = {"source": "data/*.csv", "target": "churn", "positive": "yes"}
    alone, _ = built(make_project(frame=frame, data=data, root=tmp_path / "a"))
    twins = pd.concat([frame, frame.head(150)], ignore_index=True)
    both, _ = built(
        make_project(
            frame=twins, data={**data, "drop_duplicates": False}, root=tmp_path / "b"
        )
    )
    assert (both.test[:400] == alone.test).all()


# -- how files are written ------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("sep", [";", "\t", "|"])
def test_decimal_commas_and_encodings_are_read_as_points_and_utf_8_are(
    make_project: Callable[..., Project], tmp_path: Path, encoding: str, sep: str
) -> None:
    frame = rows_of("regression", n=120).assign(plan="größer")
    frame.loc[::2, "plan"] = "kleiner"
    plain, _ = built(
        make_project("regression", frame=frame, data=regression(), root=tmp_path / "a")
    )
    options = {"decimal": ",", "encoding": encoding, "delimiter": sep}
    project = make_project(
        "regression", frame=frame, data=regression(**options), root=tmp_path / "b"
    )
    frame.to_csv(
        project.folder("churn") / "data" / "rows.csv",
        index=False,
        sep=sep,
        decimal=",",
        encoding=encoding,
    )
    ours, structure = built(project)
    assert not failures(structure)
    assert ours.snapshot.digest == plain.snapshot.digest


def regression(**changes: Any) -> dict[str, Any]:
    """Return the part `data` of a regression."""
    return {"source": "data/*.csv", "id": "customer", "target": "churn", **changes}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_pointer_of_git_lfs_is_named_with_what_to_do(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{'0' * 64}\nsize 12345\n"
    )
    with pytest.raises(UsageError, match="Git LFS pointer") as caught:
        read_table(path, path.name, None, None, ReadOptions())
    assert "git lfs pull" in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("declared", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_a_name_is_found_in_whatever_normal_form_it_is_written(
    tmp_path: Path, suffix: str, declared: Any, written: Any
) -> None:
    path = tmp_path / f"rows{suffix}"
    frame = pd.DataFrame({unicodedata.normalize(written, "Größe"): [1.5], "x": [2.0]})
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    name = unicodedata.normalize(declared, "Größe")
    found, header = read_table(path, path.name, (name,), set(), ReadOptions())
    assert list(found) == [name] and header == [name, "x"]


# -- casts ----------------------------------------------------------------------------

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(),
    st.sampled_from(["1", "0", "yes", "no", "x", "1.5", "2020-01-02", "inf"]),
)
COLUMNS = st.one_of(
    st.lists(st.floats(), min_size=3, max_size=3),
    st.lists(st.integers(-5, 5), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(CELLS, min_size=3, max_size=3),
)
ONE_BY_ONE = {"number": as_number, "boolean": as_boolean, "date": as_date}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(ONE_BY_ONE)), COLUMNS), min_size=1, max_size=5
    )
)
def test_columns_are_cast_together_as_they_are_alone(
    columns: list[tuple[str, list[object]]],
) -> None:
    frame = pd.DataFrame({f"c{i}": values for i, (_, values) in enumerate(columns)})
    kinds = {f"c{i}": kind for i, (kind, _) in enumerate(columns)}
    out, bad = cast_all(frame, kinds)
    assert list(out) == list(kinds)
    for name, kind in kinds.items():
        alone = ONE_BY_ONE[kind](frame[name])
        pd.testing.assert_series_equal(out[name], alone, check_names=False)
        wrong = (alone.isna() & frame[name].notna()).to_numpy()
        assert (bad.get(name, np.zeros(3, dtype=bool)) == wrong).all()


def test_what_does_not_fit_is_named_with_its_row() -> None:
    frame = pd.DataFrame({"n": [1.0, np.inf], "b": [2.0, 1.0], "d": ["x", None]})
    with pytest.raises(UsageError) as caught:
        cast(frame, {"n": "number", "b": "boolean", "d": "date"})
    found = {problem.key: problem.what for problem in caught.value.problems}
    assert "not a finite number (first: row 1)" in found["n"]
    assert "not a boolean" in found["b"] and "row 0" in found["b"]
    assert "not an ISO 8601 date" in found["d"]


def test_values_that_training_never_saw_are_counted_by_column() -> None:
    features = (
        Feature(name="age", kind="number", missing=False, low=16, high=95),
        Feature(name="plan", kind="category", missing=False, categories=("1", "2")),
        Feature(name="note", kind="text", missing=False),
        Feature(name="city", kind="category", missing=True),  # too many to record
        Feature(name="paid", kind="boolean", missing=False, low=0, high=1),
    )
    rows = pd.DataFrame(
        {
            "age": [15, 16, 95, 96.5, None],
            "plan": ["1.0", "2", "3", "x", None],
            "note": ["a", "b", "c", "d", "e"],
            "city": ["Rome", "Oslo", None, "Bonn", "Kyiv"],
            "paid": [True, False, True, None, True],
        }
    ).astype({"plan": "str", "note": "str", "city": "str"})
    found = unseen_values(rows, features)
    assert found.numbers == {"age": 2}
    assert found.categories == {"plan": 2}
    as_text = rows.assign(age=rows["age"].astype("str"))
    assert unseen_values(as_text, features) == found, "as a CSV file has them"
    nothing = unseen_values(rows.iloc[[1]], features)
    assert nothing.numbers == {} and nothing.categories == {}

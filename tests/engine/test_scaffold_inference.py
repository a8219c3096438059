"""`mlops new` on other tables: text, dates, commas, leaks, many classes and rows."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.config.project import Project
from mlops.data.snapshot import build
from mlops.data.types import as_date
from mlops.errors import UsageError
from mlops.scaffold import infer as inference
from mlops.scaffold import inspect, render
from mlops.scaffold.infer import infer
from mlops.scaffold.inspect import text_as_number
from mlops.scaffold.table import open_table, sample_rows
from mlops.scaffold.write import write
from mlops.training.fit import train

SPAM = ["win", "free", "prize", "money", "now", "call", "claim", "urgent", "offer"]
HAM = ["hello", "how", "are", "you", "see", "tomorrow", "home", "dinner", "lunch"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository without a model."""
    root = tmp_path / "acme"
    (root / "models").mkdir(parents=True)
    (root / "project.yaml").write_text('name: acme\nowner: "@acme"\n')
    (root / "requirements.txt").write_text("scikit-learn==1.0\n")
    return Project(root)


def messages(rows: int) -> pd.DataFrame:
    """Return messages, and whether each is spam."""
    rng = np.random.default_rng(0)
    spam = rng.random(rows) < 0.4
    texts = []
    for number, is_spam in enumerate(spam):
        words = rng.choice(SPAM if is_spam else HAM, rng.integers(5, 12))
        texts.append(f"{' '.join(words)} {number}")
    return pd.DataFrame({"message": texts, "label": np.where(spam, "spam", "ham")})


def saved(frame: pd.DataFrame, path: Path, **how: object) -> Path:
    """Write a frame as CSV."""
    frame.to_csv(path, index=False, **how)
    return path


@pytest.mark.parametrize("learner", ["logistic", "boosting"])
def test_a_table_of_text_alone_gets_a_model_that_learns_from_words(
    project: Project, tmp_path: Path, learner: str
) -> None:
    """With either of the learners that the file offers for this task."""
    found = infer(saved(messages(400), tmp_path / "spam.csv"), "label")
    assert found.spec["features"] == {"message": "text"}
    write(project, "spam", found)
    file = project.folder("spam") / "model.yaml"
    text = file.read_text()
    assert "learner: logistic" in text
    file.write_text(text.replace("learner: logistic", f"learner: {learner}"))
    spec = project.model("spam")
    dataset, _ = build(spec, project.folder("spam"))
    assert dataset is not None
    model, _ = train(project, "spam", spec, dataset)
    test = dataset.part("test")
    right = model.predict(test)["prediction"].to_numpy() == test["label"].to_numpy()
    assert right.mean() > 0.95
    empty = model.predict(pd.DataFrame({"message": [None, "words never seen"]}))
    assert empty["score"].between(0, 1).all()


def test_dates_of_a_format_are_declared_with_it_and_can_order_rows(
    project: Project, tmp_path: Path
) -> None:
    frame = messages(100).assign(
        day=pd.date_range("2020-01-01", periods=100).strftime("%d.%m.%Y")
    )
    found = infer(saved(frame, tmp_path / "t.csv"), "label")
    assert found.spec["data"]["formats"] == {"day": "%d.%m.%Y"}
    assert found.spec["data"]["time"] == "day"
    write(project, "dated", found)
    dataset, structure = build(project.model("dated"), project.folder("dated"))
    assert dataset is not None and all(e.ok for e in structure)
    assert dataset.snapshot.period == ("2020-01-01T00:00:00", "2020-04-09T00:00:00")
    assert not any("could be swapped" in note for note in found.notes)


def test_days_that_could_be_months_are_noted(tmp_path: Path) -> None:
    days = [f"{d:02}/{m:02}/2020" for d in range(1, 13) for m in range(1, 9)]
    frame = messages(96).assign(day=days)
    found = infer(saved(frame, tmp_path / "t.csv"), "label")
    assert found.spec["data"]["formats"] == {"day": "%d/%m/%Y"}
    assert any("could be swapped" in n and "day first" in n for n in found.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_with_decimal_commas_is_read_with_them(
    project: Project, tmp_path: Path, encoding: str
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(100, 2)).round(3), columns=["x", "price"])
    path = saved(frame, tmp_path / "t.csv", sep=";", decimal=",", encoding=encoding)
    found = infer(path, "price")
    assert found.spec["task"] == "regression"
    assert found.spec["data"]["decimal"] == ","
    assert found.spec["features"] == {"x": "number"}
    write(project, "commas", found)
    dataset, structure = build(project.model("commas"), project.folder("commas"))
    assert dataset is not None and all(e.ok for e in structure)
    assert sorted(dataset.frame["price"]) == sorted(frame["price"])


def test_values_that_case_and_spaces_alone_tell_apart_are_named(
    tmp_path: Path,
) -> None:
    """Of a feature and of the target, which would have one class more."""
    frame = messages(60).assign(city=["Rome", " rome", "Oslo"] * 20)
    frame.loc[:9, "label"] = "Spam "
    notes = infer(saved(frame, tmp_path / "t.csv"), "label").notes
    city, label = sorted(n for n in notes if "in case or spaces alone" in n)
    assert "`city`" in city and "' rome', 'Rome'" in city
    assert "`label`" in label and "'Spam ', 'spam'" in label
    frame = messages(60).assign(label=["yes", "Yes ", "no"] * 20)
    (note,) = (
        n
        for n in infer(saved(frame, tmp_path / "t.csv"), "label").notes
        if "in case or spaces alone" in n
    )
    assert "'Yes ', 'yes'" in note
    asked = ["yes", "Yes ", "no"] * 20
    frame = messages(60).assign(city=["Rome", "Roma", "Oslo"] * 20, asked=asked)
    notes = infer(saved(frame, tmp_path / "t.csv"), "label").notes
    assert not any("spaces alone" in note for note in notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_word_that_is_read_as_missing_is_named(tmp_path: Path, encoding: str) -> None:
    """NA is Namibia, too."""
    country = ["NA", "DE", "", "null", "FR", "DE"] * 10
    frame = messages(60).assign(country=country, amount=["NA", "7", "8"] * 20)
    path = saved(frame, tmp_path / "t.csv", sep=";", encoding=encoding)
    notes = [n for n in infer(path, "label").notes if "where the file says" in n]
    assert len(notes) == 1  # a number that is NA is missing, whatever it means
    assert "`country` is missing where the file says 'NA', 'null'" in notes[0]
    frame["country"] = frame["country"].replace({"NA": "", "null": ""})
    path = saved(frame, tmp_path / "t.csv", sep=";", encoding=encoding)
    assert not any("file says" in note for note in infer(path, "label").notes)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_whole_numbers_that_a_float_rounds_are_noted(tmp_path: Path, form: str) -> None:
    account = [2**53 + 2 * (n % 30) + 1 for n in range(60)]
    small = [2**53 - n % 30 for n in range(60)]
    wide = [1e300 * (n % 30) + 0.5 for n in range(60)]
    frame = messages(60).assign(account=account, small=small, wide=wide)
    path = tmp_path / f"t.{form}"
    frame.to_parquet(path) if form == "parquet" else saved(frame, path)
    (note,) = (n for n in infer(path, "label").notes if "above 2^53" in n)
    assert "`account`" in note and "data.ignore" in note


def test_durations_are_left_out_with_what_to_do(tmp_path: Path) -> None:
    stay = pd.to_timedelta(np.arange(60) % 30, unit="h")
    messages(60).assign(stay=stay).to_parquet(tmp_path / "t.parquet")
    (stays,) = (
        row
        for row in infer(tmp_path / "t.parquet", "label").summary
        if row[0] == "stay"
    )
    assert stays == ("stay", "ignored", inspect.DURATIONS)


@pytest.mark.parametrize(
    ("content", "what", "do"),
    [
        ('[{"x": 1, "y": 0}, {"x": 2, "y": 1}]', "JSON", ".jsonl"),
        ('\n {"x": 1, "y": 0}\n', "JSON", ".jsonl"),
        ("\ufeff<!DOCTYPE html><html>Sign in</html>", "a web page", "download"),
        ('<?xml version="1.0"?><rows/>', "a web page or XML", "download"),
    ],
)
def test_text_that_is_no_table_is_called_what_it_is(
    tmp_path: Path, content: str, what: str, do: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        infer(path, "y")
    (problem,) = caught.value.problems
    assert problem.what.startswith(f"this is {what}") and do in str(problem.do)
    assert problem.file == "rows.csv"


def test_names_in_brackets_are_names(tmp_path: Path) -> None:
    frame = messages(60).rename(columns={"message": "[message]"})
    assert infer(saved(frame, tmp_path / "t.csv"), "label").spec["features"] == {
        "[message]": "text"
    }


def test_a_target_is_found_in_either_normal_form(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Größe")
    frame = messages(60).rename(columns={"label": name})
    for form in ("NFC", "NFD"):
        asked = unicodedata.normalize(form, name)
        found = infer(saved(frame, tmp_path / "t.csv"), asked)
        assert found.spec["data"]["target"] == unicodedata.normalize("NFC", name)


# -- leaks ----------------------------------------------------------------------------


def test_a_column_that_is_the_target_97_times_in_100_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    for share in (0.5, 0.2):
        truth = x > np.quantile(x, 1 - share)
        wrong = rng.random(2000) < 0.03
        frame = pd.DataFrame(
            {
                "weak": x + rng.normal(size=2000),
                "left": truth ^ wrong,
                "y": np.where(truth, "yes", "no"),
            }
        )
        notes = infer(saved(frame, tmp_path / "t.csv"), "y").notes
        named = [note for note in notes if "alone predicts `y`" in note]
        assert len(named) == 1 and named[0].startswith("`left`")


def test_columns_whose_sum_is_the_target_are_named_and_others_are_not(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(2000, 3)).round(3), columns=["a", "b", "c"])
    total = frame["a"] + frame["b"]
    for noise, leaks in ((0.01, True), (0.5, False)):
        frame["total"] = (total + rng.normal(0, noise, 2000)).round(3)
        notes = infer(saved(frame, tmp_path / "t.csv"), "total").notes
        named = [note for note in notes if "almost without error" in note]
        assert bool(named) is leaks
        if leaks:
            assert "`a`" in named[0] and "`b`" in named[0] and "`c`" not in named[0]


# -- many classes, many rows ----------------------------------------------------------


def test_three_hundred_classes_are_a_target(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = rng.permutation(np.repeat(np.arange(300), 5))
    frame = pd.DataFrame({"x": classes + rng.normal(size=1500), "y": classes})
    frame["y"] = "k" + frame["y"].astype(str)
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    assert found.spec["task"] == "multiclass"


def test_a_large_file_is_judged_by_a_sample_and_it_is_said(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        inference, "open_table", lambda path, sep: open_table(path, sep, most=300)
    )
    rng = np.random.default_rng(0)
    n = 2000
    frame = pd.DataFrame(
        {
            "customer_id": rng.permutation(n),
            "order_id": [f"o{i}" for i in np.r_[0, 0 : n - 1]],
            "x": rng.normal(size=n).round(3),
            "y": rng.choice(["yes", "no"], n),
        }
    )
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    assert any("2,000 rows" in note for note in found.notes)
    assert any("300 of these rows, drawn at random" in note for note in found.notes)
    assert found.rows == n and found.spec["data"]["id"] == "customer_id"
    write(project, "large", found)
    dataset, structure = build(project.model("large"), project.folder("large"))
    assert dataset is not None and all(e.ok for e in structure)
    assert dataset.snapshot.rows == n


def test_an_id_that_only_the_sample_took_for_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        inference, "open_table", lambda path, sep: open_table(path, sep, most=100)
    )
    n = 2000
    ids = [f"o{i}" for i in range(n)]
    ids[1] = ids[0]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"order_id": ids, "x": rng.normal(size=n), "y": ["yes", "no"] * (n // 2)}
    )
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    assert "id" not in found.spec["data"]
    assert any("an identifier that several rows share" in n for n in found.notes)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12), most=st.integers(1, 60)
)
def test_a_sample_has_as_many_rows_as_asked_in_the_order_of_the_file(
    sizes: list[int], most: int
) -> None:
    import pyarrow as pa

    total = sum(sizes)
    batches = []
    start = 0
    for size in sizes:
        rows = pa.array(range(start, start + size), pa.int64())
        batches.append(pa.RecordBatch.from_arrays([rows], ["n"]))
        start += size
    table, rows = sample_rows(iter(batches), most)
    assert table is not None and rows == total
    drawn = table.column("n").to_pylist()
    assert len(drawn) == min(most, total)
    assert drawn == sorted(set(drawn))


# -- what is written ------------------------------------------------------------------


def test_features_read_numbers_as_they_were_inferred(tmp_path: Path) -> None:
    found = infer(saved(messages(60), tmp_path / "t.csv"), "label")
    source = render.features(found)
    ast.parse(source)
    namespace: dict[str, object] = {}
    exec(source, namespace)
    number = namespace["number"]
    texts = pd.Series(["1.234,5", "12 %", "€3", "x", None, "1e400"], dtype="str")
    for comma in (True, False):
        pd.testing.assert_series_equal(
            number(texts, comma),  # type: ignore[operator]
            text_as_number(texts, comma),
        )


@pytest.mark.parametrize(
    ("values", "tries"),
    [
        (["red", "green", "blue"] * 9, False),
        (["31.12.2019", "unknown"] * 9, False),  # half of them are words
        ([*["31.12.2019", "30.11.2020"] * 9, "unknown"], True),
        (["31 dec", "30 nov"] * 9, True),
    ],
)
def test_no_format_of_dates_is_tried_on_words_without_a_digit(
    values: list[str], tries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of thousands of categories would be read dozens of times."""
    tried = []

    def counted(column: pd.Series, written: str | None = None) -> pd.Series:
        tried.append(written)
        return as_date(column, written)

    monkeypatch.setattr(inspect, "as_date", counted)
    column = pd.Series([f"{value}{' ' * n}" for n, value in enumerate(values)])
    inspect.look("when", column, ",")
    assert any(tried) == tries

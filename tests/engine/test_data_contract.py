"""The data contract: Great Expectations asked in one pass, its answers in our words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.config.model_spec import ModelSpec
from mlops.config.yaml import parse
from mlops.data.contract import check
from mlops.data.validation import validate
from mlops.errors import MlopsError, UsageError
from mlops.results.data import Expectation, Snapshot, Validation

from .conftest import rows_of, spec_of

ENGINE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"


def asked(
    folder: Path, body: str, frame: pd.DataFrame, **spec: object
) -> tuple[Expectation, ...]:
    """Ask a contract whose function returns `body`."""
    file = folder / "contract.py"
    file.write_text(f"def expectations(gxe):\n    return {body}\n", encoding="utf-8")
    return check(parse(ModelSpec, spec_of(**spec), "model.yaml"), file, frame)


@pytest.fixture
def people() -> pd.DataFrame:
    """Ten rows as a Dataset holds them."""
    frame = pd.DataFrame(
        {
            "customer": [f"c{i}" for i in range(9)] + ["c8"],
            "tenure": [1.0, 2, 3, 4, 5, 6, 7, 8, 9, np.nan],
            "plan": ["basic"] * 5 + ["plus"] * 3 + ["gold", "gold"],
            "sex": ["female"] * 9 + ["Zaphod"],
            "since": pd.date_range("2020-01-01", periods=10).astype("datetime64[us]"),
        }
    )
    return frame.astype({"customer": "str", "plan": "str", "sex": "str"})


def test_each_answer_says_what_was_expected_and_found(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    body = """[
        gxe.ExpectColumnValuesToBeInSet(column="plan", value_set=["basic", "plus"]),
        gxe.ExpectTableRowCountToBeBetween(min_value=3),
        gxe.ExpectColumnValuesToBeUnique(column="customer"),
        gxe.ExpectColumnMeanToBeBetween(
            column="tenure", min_value=6, max_value=8,
            meta={"why": "it was so for years"}),
        gxe.ExpectColumnValuesToNotBeNull(column="tenure", mostly=0.9),
        gxe.ExpectColumnMinToBeBetween(
            column="since", min_value=__import__("datetime").datetime(2021, 1, 1)),
    ]"""
    plan, rows, unique, mean, missing, since = asked(tmp_path, body, people)
    assert plan.message == (
        "The values of `plan` should be among basic, plus; 2 of 10 rows break it "
        "(20.00%)."
    )
    assert not plan.ok
    assert (plan.failed_rows, plan.failed_share, plan.examples) == (2, 0.2, ("gold",))
    assert rows.ok and "found 10" in rows.message
    assert not unique.ok and unique.examples == ("c8",)
    assert (
        not mean.ok
        and "should be at least 6 and at most 8; found 5. Why: it was" in mean.message
    )
    assert (
        missing.ok and "in at least 90.0% of the rows; 1 of 10 rows" in missing.message
    )
    assert not since.ok and "2020-01-01" in since.message


def test_a_column_that_is_not_there_fails_its_expectations_only(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    body = """[
        gxe.ExpectColumnValuesToNotBeNull(column="tenur"),
        gxe.ExpectColumnToExist(column="nowhere"),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="tenure", column_B="gone"),
        gxe.ExpectColumnValuesToNotBeNull(column="plan"),
    ]"""
    found = asked(tmp_path, body, people)
    assert [e.ok for e in found] == [False, False, False, True]
    assert "did you mean `tenure`?" in found[0].message
    assert "`gone`" in found[2].message


def test_what_raises_has_failed_and_the_rest_is_answered(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    body = """[
        gxe.ExpectColumnMeanToBeBetween(column="plan", min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="plan"),
        gxe.ExpectColumnValuesToMatchRegex(column="plan", regex="("),
        gxe.ExpectColumnMeanToBeBetween(column="plan", min_value=1),
    ]"""
    found = asked(tmp_path, body, people)
    assert [e.ok for e in found] == [False, True, False, False]
    assert "could not be computed" in found[0].message


def test_numpy_booleans_become_plain_ones(tmp_path: Path, people: pd.DataFrame) -> None:
    body = """[gxe.ExpectColumnQuantileValuesToBeBetween(
        column="tenure",
        quantile_ranges={"quantiles": [0.5], "value_ranges": [[1, 2]]})]"""
    (found,) = asked(tmp_path, body, people)
    assert found.ok is False
    Validation(ok=False, expectations=(found,)).save(tmp_path)
    assert Validation.load(tmp_path).expectations == (found,)


@pytest.mark.parametrize(
    "expectation",
    [
        'ExpectColumnValuesToBeInSet(column="sex", value_set=["female", "male"])',
        'ExpectColumnDistinctValuesToBeInSet(column="sex", value_set=["female"])',
        'ExpectColumnDistinctValuesToEqualSet(column="sex", value_set=["female"])',
        'ExpectColumnMostCommonValueToBeInSet(column="sex", value_set=["male"])',
        'ExpectCompoundColumnsToBeUnique(column_list=["sex", "plan"])',
        'ExpectColumnPairValuesToBeEqual(column_A="plan", column_B="sex")',
        'ExpectColumnMaxToBeBetween(column="sex", max_value=1)',
        'ExpectColumnValuesToMatchRegex(column="sex", regex="Zaph.d$", mostly=1)',
        'ExpectColumnValuesToBeNull(column="plan", row_condition=\'sex=="Zaphod"\','
        ' condition_parser="pandas")',
    ],
)
def test_no_value_of_a_sensitive_column_is_ever_shown(
    tmp_path: Path, people: pd.DataFrame, expectation: str
) -> None:
    (found,) = asked(tmp_path, f"[gxe.{expectation}]", people)
    assert not found.ok
    shown = found.model_dump_json()
    assert not any(value in shown for value in ("female", "Zaph", "male", "gold"))


def test_an_expectation_that_we_have_no_words_for_is_told_by_its_name(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    body = '[gxe.ExpectColumnValueLengthsToEqual(column="customer", value=3)]'
    (found,) = asked(tmp_path, body, people)
    assert found.message == (
        "The value lengths of `customer` should equal (value: 3); 10 of 10 rows break "
        "it (100.00%)."
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def expectations(gxe:\n", "line 1"),
        ("x = 1\n", "must define `def expectations"),
        ("def expectations(gxe):\n    return 5\n", "must return a list"),
        ("def expectations(gxe):\n    return ['x']\n", "must return a list"),
        ("def expectations(gxe):\n    return None\n", "must return a list"),
        ("def expectations(gxe):\n\n    return [gxe.ExpectNothing()]\n", "line 3"),
        ("def expectations(gxe):\n    return [gxe.ExpectColumnToExist()]\n", "line 2"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_contract_that_is_none_is_named(
    tmp_path: Path, people: pd.DataFrame, source: str, words: str
) -> None:
    file = tmp_path / "models" / "churn" / "contract.py"
    file.parent.mkdir(parents=True)
    file.write_text(source)
    with pytest.raises(UsageError) as caught:
        check(parse(ModelSpec, spec_of(), "model.yaml"), file, people)
    assert caught.value.problems[0].file == "models/churn/contract.py"
    assert words in str(caught.value)


def test_a_missing_contract_is_named(tmp_path: Path, people: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="there is no data contract"):
        check(parse(ModelSpec, spec_of(), "x"), tmp_path / "contract.py", people)


def test_an_empty_contract_asks_nothing(tmp_path: Path, people: pd.DataFrame) -> None:
    assert asked(tmp_path, "[]", people) == ()


def test_nothing_is_printed_and_nothing_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "contract.py").write_text(
        "def expectations(gxe):\n"
        "    return [gxe.ExpectColumnMeanToBeBetween(column='a')]\n"
    )
    code = f"""
import sys, pandas as pd
from pathlib import Path
from mlops.data.contract import check
from mlops.config.model_spec import ModelSpec
from mlops.config.yaml import parse
assert "great_expectations" not in sys.modules
spec = parse(ModelSpec, {spec_of()!r}, "x")
contract = Path({str(tmp_path / "contract.py")!r})
assert check(spec, contract, pd.DataFrame({{"a": ["x", "y"]}}))
heavy = {{"evidently", "sklearn", "fairlearn", "skops", "matplotlib"}}
heavy &= set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ENGINE / "vendor/mlops/src",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_validate_writes_snapshot_and_answer(make_project) -> None:
    project = make_project()
    dataset, validation = validate(project, "churn", project.model("churn"))
    assert dataset is not None and validation.ok
    assert Validation.load(project.build("churn")) == validation
    assert Snapshot.model_validate(validation.snapshot) == dataset.snapshot
    names = [e.name for e in validation.expectations]
    assert names[0] == "expect_table_columns_to_match_model_yaml"
    assert names[-3:] == [
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
    ]


def test_validate_without_a_declared_column_stops_at_the_structure(
    make_project,
) -> None:
    project = make_project(frame=rows_of().rename(columns={"tenure": "Tenure"}))
    dataset, validation = validate(project, "churn", project.model("churn"))
    assert dataset is None and not validation.ok and validation.snapshot is None
    assert "`tenure` is missing" in validation.expectations[0].message
    assert Validation.load(project.build("churn")) == validation


def test_validate_fails_where_the_contract_is_broken(make_project) -> None:
    frame = rows_of()
    frame.loc[:3, "tenure"] = 1000
    project = make_project(frame=frame)
    dataset, validation = validate(project, "churn", project.model("churn"))
    assert dataset is not None and not validation.ok
    (broken,) = [e for e in validation.expectations if not e.ok]
    assert (broken.column, broken.failed_rows, broken.examples) == (
        "tenure",
        4,
        ("1000",),
    )


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process look like a new one: Great Expectations is not imported."""
    monkeypatch.delitem(sys.modules, "great_expectations")
    monkeypatch.setenv("PYTHONPATH", str(ENGINE / "vendor/mlops/src"))


NOISY = """\
print("loud")

def expectations(gxe):
    print("louder")
    return [
        gxe.ExpectColumnValuesToBeBetween(column="tenure", min_value=0, max_value=50),
        gxe.ExpectColumnMeanToBeBetween(column="plan", min_value=0),
    ]
"""


def test_a_process_of_its_own_answers_as_this_one_does(
    make_project, apart, monkeypatch
) -> None:
    project = make_project()
    (project.folder("churn") / "contract.py").write_text(NOISY)
    spec = project.model("churn")
    _, there = validate(project, "churn", spec)
    monkeypatch.undo()
    _, here = validate(project, "churn", spec)
    assert not there.ok and len(there.expectations) == 3
    assert there.model_copy(update={"seconds": 0}) == here.model_copy(
        update={"seconds": 0}
    )


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (
            "def expectations(gxe):\n    return 1 / 0\n",
            "models/churn/contract.py: line 2: Zero",
        ),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
            "data contract ended its process early .killed by signal 9",
        ),
    ],
)
def test_what_goes_wrong_in_the_other_process_is_said_here(
    make_project, apart, contract: str, said: str
) -> None:
    project = make_project()
    (project.folder("churn") / "contract.py").write_text(contract)
    with pytest.raises(MlopsError, match=said):
        validate(project, "churn", project.model("churn"))
    assert not (project.build("churn") / "validation.json").exists()


def test_data_that_cannot_be_read_leave_no_process_behind(make_project, apart) -> None:
    project = make_project()
    (project.folder("churn") / "data" / "rows.csv").write_text("")
    with pytest.raises(UsageError, match="this file is empty"):
        validate(project, "churn", project.model("churn"))

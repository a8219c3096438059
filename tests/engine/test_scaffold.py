"""`mlops new`: what it makes of a table without a description, and that it runs."""

from __future__ import annotations

import ast
import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.config.yaml import load_yaml
from mlops.data.contract import check
from mlops.data.snapshot import build
from mlops.data.validation import validate
from mlops.errors import EnvironmentFailure, UsageError
from mlops.scaffold.advice import MOST_IN_GIT
from mlops.scaffold.infer import Inference, infer
from mlops.scaffold.render import contract
from mlops.scaffold.write import write
from mlops.training.fit import train

from .conftest import ENGINE, git
from .evaluation_worlds import evaluate_in


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository without a model."""
    root = tmp_path / "acme"
    (root / "models").mkdir(parents=True)
    (root / "project.yaml").write_text('name: acme\nowner: "@acme"\n')
    (root / "requirements").mkdir()
    (root / "requirements" / "train.txt").write_text("scikit-learn==1.0\n")
    git(root, "init", "-q", "-b", "main")
    return Project(root)


def nasty(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return columns of every kind that people bring; two of them explain a third."""
    rng = np.random.default_rng(seed)
    height = rng.normal(170, 10, rows).round(1)
    plan = rng.choice(["a", "b", "c"], rows)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(
        rng.integers(0, 900, rows), unit="D"
    )
    frame = pd.DataFrame(
        {
            "customerID": [f"C-{i:06d}" for i in rng.permutation(rows)],
            "Größe (cm)": np.where(rng.random(rows) < 0.1, np.nan, height),
            'plan "x", y: #z': plan,
            "class": rng.choice(["x", "it's"], rows),
            "🎉": rng.choice(["🎉", "😀", "نعم"], rows),
            "gender": rng.choice(["Male", "Female"], rows),
            "active": rng.choice(["True", "False"], rows),
            "signup": days,
            "const": 1,
            "empty": np.nan,
            "comment": [f"text {i}" for i in rng.integers(0, 10**9, rows)],
            "zip": [f"0{i}" for i in rng.integers(1000, 1020, rows)],
            "Preis": [f"{x:.2f}".replace(".", ",") for x in rng.normal(100, 30, rows)],
            "mixed": [
                str(i) if i > 20 else "unknown" for i in rng.integers(0, 500, rows)
            ],
            "when": days.strftime("%d.%m.%Y"),
        }
    )
    frame.loc[2, "mixed"] = "unknown"
    return frame, (height - 170) / 5 + 2 * (plan == "a") + rng.normal(0, 0.7, rows)


def with_target(frame: pd.DataFrame, latent: np.ndarray, task: str) -> pd.DataFrame:
    """Add the column `Ziel`, some values of which are missing."""
    if task == "binary":
        target = pd.Series(np.where(latent > 0.5, "ja", "nein"), dtype="object")
    elif task == "multiclass":
        target = pd.cut(latent, [-99, -1, 1, 99], labels=["tief", "mittel", "größer"])
        target = pd.Series(target).astype("object")
        target.iloc[3] = "rare"
    else:
        target = pd.Series((1000 * latent).round(2))
    target.iloc[[5, 7]] = None
    return frame.assign(Ziel=target.to_numpy())


def saved(frame: pd.DataFrame, path: Path, **how: object) -> Path:
    """Write a frame as the ending of `path` says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, **how)
    return path


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize(
    ("rows", "file", "how"),
    [
        (40, "t.csv", {"sep": ";", "encoding": "utf-8-sig"}),
        (3500, "t.tsv", {"sep": "\t"}),
        (400, "t.parquet", {}),
    ],
)
def test_what_is_written_runs_untouched(
    project: Project,
    tmp_path: Path,
    task: str,
    rows: int,
    file: str,
    how: dict[str, str],
) -> None:
    frame = with_target(*nasty(rows), task)
    found = infer(
        saved(pd.concat([frame, frame.head(4)]), tmp_path / file, **how), "Ziel"
    )
    assert found.spec["task"] == task
    assert {c.name: c.role for c in found.columns if c.role != "feature"} == {
        **{"customerID": "id", "gender": "sensitive", "Ziel": "target"},
        **dict.fromkeys(("const", "empty", "comment"), "ignored"),
    }
    kinds = {
        "Größe (cm)": "number",
        "active": "boolean",
        "signup": "date",
        "zip": "category",
    }
    assert found.spec["features"].items() >= kinds.items()
    write(project, "ziel", found)
    spec = project.model("ziel")
    dataset, validation = validate(project, "ziel", spec)
    assert validation.ok, [e.message for e in validation.expectations if not e.ok]
    assert dataset is not None and dataset.snapshot.duplicates_removed == 4
    assert dataset.snapshot.unlabelled == 2
    model, _ = train(project, "ziel", spec, dataset)
    seen = model.features(dataset.frame)
    assert {"Preis", "mixed", "when: year", "signup: weekday"} <= set(seen)
    assert seen["Preis"].notna().all() and 0 < seen["mixed"].isna().mean() < 0.2
    evaluation = evaluate_in(project, "ziel", spec, dataset, model)
    assert evaluation.ok, [(c.name, c.message) for c in evaluation.checks if not c.ok]


def test_the_files_are_as_ruff_would_have_them(
    project: Project, tmp_path: Path
) -> None:
    found = infer(saved(with_target(*nasty(300), "binary"), tmp_path / "t.csv"), "Ziel")
    folder = write(project, "ziel", found)[0].parent
    rules = Path(__file__).parents[2] / "pyproject.toml"
    for command in (
        ["check", "--extend-per-file-ignores=**/test_*.py:D103"],
        ["format", "--check"],
    ):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *command,
                "--config",
                str(rules),
                "--no-cache",
                folder,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_target_that_nothing_explains_fails_honestly(
    project: Project, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.normal(size=(4000, 3)), columns=list("abc"))
    path = saved(frame.assign(y=rng.choice(["p", "q"], 4000)), tmp_path / "noise.csv")
    write(project, "noise", infer(path, "y"))
    spec = project.model("noise")
    dataset, validation = validate(project, "noise", spec)
    assert dataset is not None and validation.ok
    evaluation = evaluate_in(
        project, "noise", spec, dataset, train(project, "noise", spec, dataset)[0]
    )
    failed = {c.name for c in evaluation.checks if not c.ok}
    guess = "test_noise.py::test_predictions_are_worth_more_than_a_guess"
    assert guess in failed <= {guess, "better_than[dummy]"}


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf"], include_characters="\n\t"),
    min_size=1,
    max_size=20,
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12
)
COLUMNS = st.one_of(
    st.lists(st.floats(allow_nan=True), min_size=30, max_size=30),
    st.lists(st.integers(-(10**6), 10**6), min_size=30, max_size=30),
    st.lists(st.sampled_from(["a", "b", None]), min_size=30, max_size=30),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.lists(st.dates().map(str), min_size=30, max_size=30),
    st.lists(TEXTS, min_size=30, max_size=30),
    st.lists(TEXTS | st.integers() | st.floats() | st.none(), min_size=30, max_size=30),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    columns=st.dictionaries(NAMES, COLUMNS, min_size=1, max_size=4),
    target=NAMES,
    classes=st.integers(2, 3),
    sep=st.sampled_from(",;\t|"),
)
def test_any_table_gives_a_model_that_fits_its_own_data(
    tmp_path_factory: pytest.TempPathFactory,
    columns: dict[str, list[object]],
    target: str,
    classes: int,
    sep: str,
) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / "project.yaml").write_text('name: acme\nowner: "@acme"\n')
    frame = pd.DataFrame({f"n{target}": range(100, 130), "row": range(30), **columns})
    frame = frame.sample(frac=1, random_state=0)
    frame[target] = [f"k{i % classes}" for i in range(30)]
    path = saved(frame, root / "rows.csv", sep=sep)
    found = infer(path, target, delimiter=sep)
    assert (
        Inference.model_validate_json(json.dumps(found.model_dump(mode="json")))
        == found
    )
    for file in write(Project(root), "any", found):
        if file.suffix == ".py":
            ast.parse(file.read_text(encoding="utf-8"))
    spec = Project(root).model("any")
    expected = {**found.spec["data"], "source": "data/rows.csv"}
    assert spec.data.model_dump(exclude_unset=True, mode="json") == expected
    assert dict(spec.features) == found.spec["features"]
    dataset, structure = build(spec, root / "models" / "any")
    assert dataset is not None and all(e.ok for e in structure), structure
    answers = check(spec, root / "models" / "any" / "contract.py", dataset.frame)
    assert all(e.ok for e in answers), [e.message for e in answers if not e.ok]


def table(**columns: object) -> pd.DataFrame:
    """Return 60 rows: what is given, and a feature `x`."""
    return pd.DataFrame(
        {"x": np.random.default_rng(0).normal(size=60).round(3), **columns}
    )


BINARY = ["yes", "no"] * 30


@pytest.mark.parametrize(
    ("target", "values", "task"),
    [
        ("y", [True, False] * 30, "binary"),
        ("y", [0, 1] * 30, "binary"),
        ("y", [1.5, 2.5] * 30, "binary"),
        ("y", [1, 2, 3] * 20, "multiclass"),
        ("y", ["u", "v", "w"] * 20, "multiclass"),
        ("y", list(range(60)), "regression"),
        ("y", np.linspace(0, 1, 60), "regression"),
    ],
)
def test_the_task_follows_from_the_target(
    tmp_path: Path, target: str, values: list[object], task: str
) -> None:
    found = infer(saved(table(y=values), tmp_path / "t.csv"), target)
    assert found.spec["task"] == task


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (("Yes", "No"), "Yes"),
        ((1, 0), "1"),
        (("ok", "fraud"), "fraud"),
        (("non", "oui"), "oui"),
    ],
)
def test_the_positive_class_is_guessed(
    tmp_path: Path, values: tuple[object, object], positive: str
) -> None:
    y = [values[0]] * 31 + [values[1]] * 29
    found = infer(saved(table(y=y), tmp_path / "t.csv"), "y")
    assert found.spec["data"]["positive"] == positive
    assert any(repr(positive) in note for note in found.notes)


@pytest.mark.parametrize(
    "name",
    [
        "Sex",
        "gender",
        "Geschlecht",
        "sexe",
        "RACE",
        "ethnicity",
        "raça",
        "religion",
        "isDisabled",
        "Behinderung",
        "nationalité",
        "customer_gender",
        "Staatsangehörigkeit",
    ],
)
def test_sensitive_names_are_no_features(tmp_path: Path, name: str) -> None:
    frame = table(**{name: ["u", "v", "w"] * 20, "y": BINARY})
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    assert found.spec["sensitive"] == [name]
    assert name not in found.spec["features"]
    assert any(f"`{name}`" in note and "law" in note for note in found.notes)


@pytest.mark.parametrize("name", ["Essex", "sussex_county", "trace", "embrace"])
def test_names_that_only_look_sensitive_are_features(tmp_path: Path, name: str) -> None:
    frame = table(**{name: ["u", "v", "w"] * 20, "y": BINARY})
    assert name in infer(saved(frame, tmp_path / "t.csv"), "y").spec["features"]


def test_a_copy_of_the_target_is_left_out_and_a_giveaway_is_noted(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(["yes", "no"], 200)
    frame = pd.DataFrame(
        {
            "noise": rng.normal(size=200),
            "flag": np.where(y == "yes", 1, 0),
            "refund": np.where(
                y == "yes", rng.integers(1, 5, 200), rng.integers(5, 9, 200)
            ),
            "y": y,
        }
    )
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    assert found.spec["data"]["ignore"] == ["flag"]
    assert any("`refund` alone predicts" in note for note in found.notes)
    assert not any("`noise`" in note for note in found.notes)


def test_rows_without_an_id_are_noted(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"x": np.random.default_rng(0).normal(size=80), "y": ["a", "b"] * 40}
    )
    keyed = frame.assign(customer_id=[f"c{n:03d}" for n in range(80)])
    for rows, noted in ((frame, True), (keyed, False)):
        found = infer(saved(rows, tmp_path / f"{noted}.csv"), "y")
        assert ("id" in found.spec["data"]) is not noted
        assert any("Rows have no id" in note for note in found.notes) is noted


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (BINARY, ["prediction", "score"]),
        (["u", "v", "w"] * 20, ["prediction", "p_u"]),
        (list(range(60)), ["prediction"]),
    ],
)
def test_a_column_named_like_an_output_is_left_out_and_said(
    project: Project, tmp_path: Path, target: list[object], names: list[str]
) -> None:
    frame = table(**{name: range(0, 180, 3) for name in names}, y=target)
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    assert found.spec["data"]["ignore"] == names and list(found.spec["features"]) == [
        "x"
    ]
    for name in names:
        assert (
            name,
            "ignored",
            "is named like an output of the model",
        ) in found.summary
        assert any(note.startswith(f"`{name}` is left out") for note in found.notes)
    write(project, "y", found)
    model = project.root / "models" / "y" / "model.yaml"
    text = re.sub(
        r"(?m)^( +)x: number", r"\1prediction: number\n\g<0>", model.read_text()
    )
    model.write_text(text)
    with pytest.raises(
        UsageError, match="features: this column is named like an output of the model"
    ):
        project.model("y")
    with pytest.raises(
        UsageError,
        match=r"t\.csv: data.target: this column is named like an output of the model",
    ):
        infer(saved(table(prediction=target), tmp_path / "t.csv"), "prediction")


@pytest.mark.parametrize("character", ["\b", "\x1b", "\x7f", "\u202e"])
def test_a_column_whose_name_controls_a_terminal_is_refused(
    tmp_path: Path, character: str
) -> None:
    rows = table(**{f"plan{character}": ["a", "b"] * 30, "y": BINARY})
    with pytest.raises(UsageError, match="control character") as caught:
        infer(saved(rows, tmp_path / "t.csv"), "y")
    assert character not in str(caught.value)
    assert f"U+{ord(character):04X}" in str(caught.value)


def test_rows_of_one_customer_stay_on_one_side(
    project: Project, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"customer_id": np.repeat(np.arange(80), 3), "x": rng.normal(size=240)}
    )
    found = infer(saved(frame.assign(y=["yes", "no"] * 120), tmp_path / "t.csv"), "y")
    assert found.spec["split"]["by"] == "group"
    write(project, "groups", found)
    dataset, _ = build(project.model("groups"), project.root / "models" / "groups")
    assert dataset is not None
    sides = [set(dataset.part(side)["customer_id"]) for side in ("train", "test")]
    assert all(sides) and not sides[0] & sides[1]


def test_the_seed_puts_every_class_on_both_sides(
    project: Project, tmp_path: Path
) -> None:
    for n in range(6):
        x = np.random.default_rng(n).normal(size=60)
        y = ["a", "b"] * 2 + ["c"] * 56
        found = infer(saved(pd.DataFrame({"x": x, "y": y}), tmp_path / "t.csv"), "y")
        name = f"seed{n}"
        write(project, name, found)
        dataset, _ = build(project.model(name), project.root / "models" / name)
        assert dataset is not None
        assert [dataset.part(side)["y"].nunique() for side in ("train", "test")] == [
            3,
            3,
        ]


@pytest.mark.parametrize(("rows", "validation"), [(1_999, None), (2_000, 0.2)])
def test_a_new_model_has_a_validation_part_where_there_are_rows_for_it(
    project: Project, tmp_path: Path, rows: int, validation: float | None
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=rows), "y": rng.choice(["a", "b"], rows)}
    )
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    write(project, "new", found)
    assert project.model("new").split.validation == validation
    dataset, _ = build(project.model("new"), project.root / "models" / "new")
    assert dataset is not None
    assert (dataset.snapshot.validation_rows > 0) is bool(validation)
    written = (project.root / "models" / "new" / "model.yaml").read_text()
    assert ("the test part is asked at the merge" in written) is bool(validation)


def test_rows_that_are_alike_by_nature_have_no_empty_validation_part(
    project: Project, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.choice(list("pq"), 3000)})
    frame["y"] = np.where((frame["a"] == "p") ^ (rng.random(3000) < 0.1), "yes", "no")
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    write(project, "alike", found)
    dataset, _ = build(project.model("alike"), project.root / "models" / "alike")
    assert dataset is not None
    validates = project.model("alike").split.validation is not None
    assert validates is (dataset.snapshot.validation_rows >= 300)


def test_rows_that_are_alike_by_nature_are_kept(
    project: Project, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.choice(list("pqr"), 2000), "b": rng.choice(list("uv"), 2000)}
    )
    frame["y"] = np.where((frame["a"] == "p") ^ (rng.random(2000) < 0.1), "yes", "no")
    found = infer(saved(frame, tmp_path / "t.csv"), "y")
    assert found.spec["data"]["drop_duplicates"] is False
    write(project, "alike", found)
    dataset, _ = build(project.model("alike"), project.root / "models" / "alike")
    assert dataset is not None and dataset.snapshot.rows == 2000
    assert 0.2 < dataset.test.mean() < 0.3


def test_many_values_and_a_wrong_encoding(project: Project, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 120_000
    frame = pd.DataFrame({"Straße": np.arange(n), "x": rng.normal(size=n).round(3)})
    frame["Straße"] = "Weg " + frame["Straße"].map(lambda i: str(i % 100_000))
    frame["y"] = np.where(frame["x"] > 0, "ja", "nein")
    found = infer(saved(frame, tmp_path / "t.csv", encoding="cp1252"), "y")
    assert found.spec["data"]["encoding"] == "cp1252"
    assert found.spec["data"]["ignore"] == ["Straße"]
    assert any("not UTF-8" in note for note in found.notes)
    assert not any("50 MB" in note for note in found.notes)
    assert (
        "Straße",
        "ignored",
        "is text with 100,000 different values",
    ) in found.summary


def test_only_a_file_that_pre_commit_refuses_is_said_to_be_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = load_yaml(ENGINE / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    (entry,) = (hook["entry"] for hook in hooks if hook["id"] == "large-data")
    assert entry.endswith(f"--maxkb={MOST_IN_GIT // 1024}")
    x = np.random.default_rng(0).normal(size=500)
    frame = pd.DataFrame({"x": x, "y": (x > 0).astype(int)})
    path = saved(frame, tmp_path / "t.csv")
    size = path.stat().st_size
    for most, large in ((size, False), (size - 1, True)):
        monkeypatch.setattr("mlops.scaffold.advice.MOST_IN_GIT", most)
        notes = infer(path, "y").notes
        assert any("larger than 50 MB" in note for note in notes) is large


def archive(name: str) -> bytes:
    """Return a zip archive of one file, which is what a workbook of Excel is."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(name, "<workbook/>")
    return content.getvalue()


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("t.csv", b"", "empty"),
        ("t.csv", b" \n\n", "empty"),
        ("t.csv", b"a,b,y\n", "no rows"),
        ("t.csv", PNG, "binary"),
        ("t.xlsx", archive("xl/workbook.xml"), "Excel"),
        ("t.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "gzip"),
        ("t.csv", pd.DataFrame({"a": [1], "y": [2]}).to_parquet(), "end in .parquet"),
        ("t.parquet", b"a,b\n1,2\n", "not a Parquet file"),
        ("t.parquet", b"PAR1" + b"\0" * 20, "not a Parquet file"),
        ("t.csv", b"a:b:y\n1:2:3\n", "only one column"),
        ("t.csv", b"a,a,y\n1,2,3\n", "twice"),
        ("t.csv", b"a,,y\n1,2,3\n", "without a name"),
        ("t.csv", b"a,y\n1,2\n3,4,5\n", "not a table"),
        ("t.csv", b"a,y\n" + b"1,2\n3,4\n" * 5, "too few rows"),
        ("t.csv", b"a,y\n" + b"1,2\n3,2\n" * 30, "one value only"),
        ("t.csv", b"a,y\n" + b"1,\n3,\n" * 30, "missing in every row"),
        ("t.csv", b"a,Y\n" + b"1,2\n3,4\n" * 30, "did you mean `Y`?"),
        (
            "t.csv",
            b"a,y\n" + b"".join(b"1,2024-01-%02d\n" % (i + 1) for i in range(25)),
            "a date",
        ),
        (
            "t.csv",
            b"a,y\n" + b"".join(b"%d,w%d\n" % (i, i) for i in range(60)),
            "too many classes",
        ),
        (
            "t.csv",
            b"a,y\n" + b"".join(b"1,%d\n" % i for i in range(60)) + b"1,x\n",
            "mixes numbers",
        ),
        ("t.csv", b"a,y\n" + b"1,2\n1,4\n" * 30, "no column is left"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_one_clear_error(
    project: Project, tmp_path: Path, file: str, content: bytes, words: str
) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        write(project, "churn", infer(path, "y"))
    assert words in str(caught.value)
    assert file in str(caught.value)
    assert list(project.root.glob("models/*")) == []


def test_a_file_or_target_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        infer(tmp_path / "nowhere.csv", "y")
    with pytest.raises(UsageError, match="x, y"):
        infer(saved(table(y=BINARY), tmp_path / "t.csv"), None)
    with pytest.raises(EnvironmentFailure, match="cannot read"):
        infer(tmp_path, "y")


@pytest.mark.parametrize(
    "name", ["Churn", "1x", "class", "a-b", "", "../x", "all", "x" * 41]
)
def test_a_bad_name_is_refused(project: Project, tmp_path: Path, name: str) -> None:
    found = infer(saved(table(y=BINARY), tmp_path / "t.csv"), "y")
    with pytest.raises(UsageError, match="cannot have this name"):
        write(project, name, found)
    assert list(project.root.glob("models/*")) == []


def test_a_model_that_is_there_is_not_touched(project: Project, tmp_path: Path) -> None:
    found = infer(saved(table(y=BINARY), tmp_path / "t.csv"), "y")
    paths = write(project, "churn", found)
    before = {path: path.read_bytes() for path in paths}
    with pytest.raises(UsageError, match="already a model of this name"):
        write(project, "churn", found)
    assert {path: path.read_bytes() for path in paths} == before


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_nothing_half_written_is_left(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    found = infer(saved(table(y=BINARY), tmp_path / "t.csv"), "y")

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises((EnvironmentFailure, KeyboardInterrupt)):
        write(project, "churn", found)
    assert list(project.root.glob("models/*")) == []


def test_what_is_written_says_what_it_is(project: Project, tmp_path: Path) -> None:
    path = saved(
        table(y=BINARY, **{"yes": ["on", "off", "~"] * 20}), tmp_path / "Müll [1].csv"
    )
    paths = write(project, "churn", infer(path, "y"))
    folder = project.root / "models" / "churn"
    assert [p.relative_to(folder).as_posix() for p in paths] == [
        *("model.yaml", "contract.py", "features.py", "estimator.py"),
        *("tests/test_churn.py", "data/M_ll_1.csv"),
    ]
    assert paths[-1].read_bytes() == path.read_bytes()
    spec = project.model("churn")
    assert isinstance(spec, ModelSpec) and spec.owner == "@acme"
    assert "yes" in spec.features and spec.data.positive == "yes"


def test_no_value_of_a_sensitive_column_is_told(
    project: Project, tmp_path: Path
) -> None:
    frame = table(
        gender=[31337.25, 4711.5] * 30, religion=["Zoroastrian", "none"] * 30, y=BINARY
    )
    found = infer(saved(frame.sample(frac=1, random_state=1), tmp_path / "t.csv"), "y")
    told = json.dumps(found.model_dump(mode="json"))
    for file in write(project, "churn", found)[:-1]:
        told += file.read_text(encoding="utf-8")
    assert not any(value in told for value in ("31337", "4711", "Zoroastrian"))


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([0.0, 10.0], 0.0, 15.0),
        ([-4.0, 4.0], -8.0, 8.0),
        ([1000000.1, 1000000.3], 1000000.0, 1000000.4),
    ],
)
def test_the_first_contract_leaves_room_on_both_sides(
    tmp_path: Path, values: list[float], low: float, high: float
) -> None:
    frame = table(y=BINARY, n=np.random.default_rng(1).permutation(values * 30))
    namespace: dict[str, dict[str, tuple[float, float]]] = {}
    exec(contract(infer(saved(frame, tmp_path / "t.csv"), "y")), namespace)
    assert namespace["RANGES"]["n"] == (low, high)


def test_task_and_delimiter_can_be_given(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a:y\n" + "".join(f"{i % 7}.5:{i % 3}\n" for i in range(60)))
    monkeypatch.chdir(project.root)
    asked = [
        "new",
        "grades",
        "--data",
        str(path),
        "--target",
        "y",
        "--task",
        "regression",
    ]
    assert "only one column" in CliRunner().invoke(app, asked).output
    done = CliRunner().invoke(app, [*asked, "--delimiter", ":"])
    assert done.exit_code == 0, done.output
    spec = project.model("grades")
    assert (spec.task, spec.data.delimiter) == ("regression", ":")
    taken = CliRunner().invoke(app, [*asked, "--delimiter", ":"])
    assert "already a model of this name" in taken.output


def test_a_delimiter_of_two_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a delimiter"):
        infer(saved(table(y=BINARY), tmp_path / "t.csv"), "y", delimiter=";;")


@pytest.mark.parametrize("name", ["row", None])
def test_the_index_of_pandas_is_a_column_like_any_other(
    project: Project, tmp_path: Path, name: str | None
) -> None:
    frame = table(y=BINARY)
    frame.index = pd.Index(np.random.default_rng(3).permutation(60) * 3, name=name)
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    found = infer(path, "y")
    assert found.spec["data"]["ignore"] == ([] if name else ["__index_level_0__"])
    write(project, "indexed", found)
    dataset, structure = build(project.model("indexed"), project.folder("indexed"))
    assert dataset is not None and all(e.ok for e in structure)


def test_a_target_whose_numbers_are_text_is_named_so(tmp_path: Path) -> None:
    frame = table(y=[f"1.{i:03d},50" for i in range(60)])
    with pytest.raises(UsageError, match=r"stands for numbers \(decimal comma\)"):
        infer(saved(frame, tmp_path / "t.csv", sep=";"), "y")

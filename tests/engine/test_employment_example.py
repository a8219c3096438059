"""The worked example: its data, its contract, its features and both of its learners."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.data.contract import check
from mlops.data.snapshot import Dataset, build
from mlops.io.user_code import load_function
from mlops.training import model_file
from mlops.training.fit import train

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "{{cookiecutter.project_slug}}" / "models" / "employment"
LATER = ROOT / "tests" / "data" / "employment"
YEARS = {2015: EXAMPLE / "data", 2016: LATER, 2017: LATER, 2018: LATER}
LEARNERS = ["logistic", "boosting"]


def table(year: int, part: str) -> pd.DataFrame:
    return pd.read_csv(
        YEARS[year] / part / f"{year}.csv", dtype=str, keep_default_na=False
    )


def function(file: str, name: str) -> Any:
    return load_function((EXAMPLE / file).read_bytes(), file, name)


def project_of(root: Path, *years: int) -> Project:
    """The example in a repository of its own, with the data of some years."""
    folder = root / "models" / "employment"
    shutil.copytree(
        EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__")
    )
    for year in years:
        for part in ("people", "labels"):
            (folder / "data" / part).mkdir(parents=True, exist_ok=True)
            shutil.copy(YEARS[year] / part / f"{year}.csv", folder / "data" / part)
    stages = "stages: [{name: staging}, {name: production, after: staging}]"
    (root / "project.yaml").write_text(f'name: acme\nowner: "@acme"\n{stages}\n')
    return Project(root)


def dataset_of(project: Project) -> Dataset:
    dataset, structure = build(
        project.model("employment"), project.folder("employment")
    )
    assert dataset is not None
    assert [s.message for s in structure if not s.ok] == []
    return dataset


@pytest.fixture(scope="module")
def first_year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Dataset]:
    project = project_of(tmp_path_factory.mktemp("first"), 2015)
    return project, dataset_of(project)


# -- the files -------------------------------------------------------------------------


def test_files_are_the_ones_that_the_script_made() -> None:
    lines = (LATER / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 2 * len(YEARS)
    for line in lines:
        digest, path = line.split("  ")
        assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == digest, path


@pytest.mark.parametrize("year", YEARS)
def test_a_year_is_under_one_megabyte_and_as_large_as_the_first(year: int) -> None:
    files = [YEARS[year] / part / f"{year}.csv" for part in ("people", "labels")]
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert len(table(year, "people")) == len(table(2015, "people")) > 7_500
    assert not any(b"\r" in file.read_bytes() for file in files)


@pytest.mark.parametrize("year", YEARS)
def test_labels_join_one_to_one(year: int) -> None:
    people, labels = table(year, "people"), table(year, "labels")
    assert people["person_id"].is_unique
    assert list(people["person_id"]) == list(labels["person_id"])
    assert set(labels["employed"]) == {"yes", "no"}
    assert set(people["year"]) == {str(year)}


def test_nobody_and_no_household_is_in_two_years() -> None:
    for column in ("person_id", "household_id"):
        seen = [set(table(year, "people")[column]) for year in YEARS]
        assert len(set.union(*seen)) == sum(map(len, seen)), column


@pytest.mark.parametrize("year", YEARS)
def test_households_look_like_households(year: int) -> None:
    people = table(year, "people")
    homes = people.groupby("household_id")["relationship"]
    assert homes.apply(lambda r: (r == "spouse").sum()).max() == 1
    assert homes.apply(lambda r: (r == "householder").sum()).max() == 1
    alone = people["relationship"].isin(["institution", "group quarters"])
    assert (homes.transform("size")[alone] == 1).all()
    assert 1.5 < homes.size().mean() < 2.5


@pytest.mark.parametrize("year", YEARS)
def test_values_are_decoded_and_explained(year: int) -> None:
    people = table(year, "people")
    rows = re.findall(
        r"^\| (`.+?) \| (.+) \|$", (EXAMPLE / "data" / "README.md").read_text(), re.M
    )
    explained = {
        name: text for names, text in rows for name in re.findall(r"`(\w+)`", names)
    }
    assert set(people.columns) | {"employed"} == set(explained)
    for name in people.columns.drop(["person_id", "household_id", "year", "age"]):
        for value in set(people[name]) - {""}:
            assert not any(c.isdigit() for c in value.replace("under 17", "")), (
                name,
                value,
            )
            assert value in explained[name], (name, value)
    assert [name for name in people if (people[name] == "").any()] == [
        "parents_employment"
    ]


def test_difficulties_are_not_features_because_they_tell_who_is_disabled() -> None:
    people = table(2015, "people")
    difficulties = [name for name in people if name.endswith("_difficulty")]
    named = (people[difficulties] == "yes").any(axis=1)
    assert (people.loc[named, "disability"] == "yes").all()
    spec = Project(EXAMPLE.parents[1]).model("employment")
    assert not {*difficulties, *spec.sensitive} & set(spec.features)


# -- split and contract ----------------------------------------------------------------


def test_no_household_is_in_both_parts(first_year: tuple[Project, Dataset]) -> None:
    _, dataset = first_year
    parts = [set(dataset.part(part)["household_id"]) for part in ("train", "test")]
    assert not parts[0] & parts[1]
    assert 0.2 < len(dataset.part("test")) / len(dataset.frame) < 0.3


def test_a_person_stays_in_the_part_when_a_year_arrives(
    first_year: tuple[Project, Dataset], tmp_path: Path
) -> None:
    before = set(first_year[1].part("test")["person_id"])
    later = dataset_of(project_of(tmp_path, 2015, 2016)).part("test")
    assert set(later.loc[later["year"] == 2015, "person_id"]) == before
    assert (later["year"] == 2016).sum() > 1_500


@pytest.mark.parametrize(
    "years", [(2015,), (2016,), (2017,), (2018,), tuple(YEARS)], ids=str
)
def test_contract_holds_in_every_natural_year(
    years: tuple[int, ...], tmp_path: Path
) -> None:
    project = project_of(tmp_path, *years)
    spec, file = (
        project.model("employment"),
        project.folder("employment") / "contract.py",
    )
    answers = check(spec, file, dataset_of(project).frame)
    assert [a.message for a in answers if not a.ok] == []
    asked = {column for a in answers if (column := a.column)}
    assert {*spec.features, *spec.sensitive, spec.data.id, spec.data.target} <= asked


def damage(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    some = np.arange(len(frame)) % 10 == 0
    if kind == "age in months":
        return frame.assign(age=frame["age"] * 12)
    if kind == "census codes":
        return frame.assign(sex=frame["sex"].map({"male": "1", "female": "2"}))
    if kind == "an upstream default":
        return frame.assign(disability="no")
    if kind == "answers lost":
        return frame.assign(schooling=frame["schooling"].mask(some))
    if kind == "one person twice":
        return frame.assign(person_id=frame["person_id"].where(~some, "1"))
    if kind == "everyone a household":
        return frame.assign(household_id=frame["person_id"])
    if kind == "labels upside down":
        return frame.assign(employed=frame["employed"].map({"yes": "no", "no": "yes"}))
    if kind == "a column out of order":
        return frame.assign(marital_status=frame["marital_status"].to_numpy()[::-1])
    return frame.head(500)  # cut off


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("age in months", "age"),
        ("census codes", "sex"),
        ("an upstream default", "disability"),
        ("answers lost", "schooling"),
        ("one person twice", "person_id"),
        ("everyone a household", "household_id"),
        ("labels upside down", "employed"),
        ("a column out of order", "marital_status"),
        ("cut off", None),
    ],
)
def test_contract_breaks_where_the_source_is_broken(
    first_year: tuple[Project, Dataset], kind: str, column: str | None
) -> None:
    project, dataset = first_year
    file = project.folder("employment") / "contract.py"
    answers = check(dataset.spec, file, damage(dataset.frame, kind))
    assert column in {answer.column for answer in answers if not answer.ok}


# -- features and learners -------------------------------------------------------------


def test_features_of_one_row_are_those_in_a_batch(
    first_year: tuple[Project, Dataset],
) -> None:
    _, dataset = first_year
    features = function("features.py", "features")
    raw = dataset.frame[list(dataset.spec.features)].head(200)
    raw = raw.mask(np.random.default_rng(0).random(raw.shape) < 0.1)
    untouched = raw.copy()
    batch = features(raw)
    pd.testing.assert_frame_equal(raw, untouched)
    single = pd.concat([features(raw.iloc[[i]]) for i in range(len(raw))])
    pd.testing.assert_frame_equal(single, batch)
    assert batch["schooling_years"].notna().sum() == raw["schooling"].notna().sum()


@pytest.mark.parametrize("learner", LEARNERS)
def test_learner_fits_quickly_and_survives_the_model_file(
    first_year: tuple[Project, Dataset], learner: str
) -> None:
    _, dataset = first_year
    rows = dataset.part("train").head(2_000)
    inputs = function("features.py", "features")(rows[list(dataset.spec.features)])
    fitted = function("estimator.py", "build")({"learner": learner})
    fitted.fit(inputs, rows["employed"].to_numpy(dtype=object))
    expected = fitted.predict_proba(inputs)
    again = model_file.load(model_file.dump(fitted))
    assert (again.predict_proba(inputs) == expected).all()
    empty = inputs.head(3).assign(
        age=np.nan, schooling_years=np.nan, mobility="beamed", citizenship=None
    )
    assert np.isfinite(fitted.predict_proba(empty)).all()


def test_an_unknown_learner_is_refused_by_name() -> None:
    build_estimator = function("estimator.py", "build")
    with pytest.raises(ValueError, match=r"forest.*logistic, boosting"):
        build_estimator({"learner": "forest"})
    assert build_estimator({"C": 0.5})["learner"].C == 0.5


def test_the_one_line_change_is_a_real_improvement(tmp_path: Path) -> None:
    """The difference in AUC, against its standard error over households (bootstrap)."""
    from sklearn.metrics import roc_auc_score

    project = project_of(tmp_path, 2015)
    file = project.folder("employment") / "model.yaml"
    assert file.read_text().count("learner: logistic") == 1
    scores = {}
    for learner in LEARNERS:
        changed = file.read_text().replace("learner: logistic", f"learner: {learner}")
        file.write_text(changed)
        dataset = dataset_of(project)
        model, _ = train(project, "employment", dataset.spec, dataset)
        scores[learner] = model.predict(dataset.part("test"))["score"].to_numpy()
    test = dataset.part("test")
    truth = (test["employed"] == "yes").to_numpy()
    homes = list(test.groupby("household_id").indices.values())
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(200):
        drawn = np.concatenate(
            [homes[i] for i in rng.integers(0, len(homes), len(homes))]
        )
        logistic, boosting = (
            roc_auc_score(truth[drawn], scores[name][drawn]) for name in LEARNERS
        )
        differences.append(boosting - logistic)
    assert roc_auc_score(truth, scores["logistic"]) > 0.80
    assert np.mean(differences) > 0.015
    assert np.mean(differences) / np.std(differences) > 3

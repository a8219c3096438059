"""What anyone who knows the labour market would expect, whatever the learner.

`mlops test` runs these after the standard checks. `test_set` is the part of the data
that the model was not fitted on, with labels; `predict` returns one score per row.
"""

import numpy as np


def test_sensitive_columns_change_nothing(predict, test_set, spec):
    swapped = test_set.copy()
    for column in spec.sensitive:
        swapped[column] = np.roll(test_set[column].to_numpy(), 1)
    assert (predict(swapped)["score"] == predict(test_set)["score"]).all()


def test_few_work_at_an_age_when_most_are_retired(predict, test_set):
    scores = predict(test_set)["score"]
    assert scores[test_set["age"] >= 75].mean() < 0.3
    assert scores[test_set["age"].between(30, 55)].mean() > 0.65


def test_an_institution_is_no_place_to_work_from(predict, test_set):
    householders = test_set[test_set["relationship"] == "householder"]
    moved = householders.assign(relationship="institution")
    assert predict(moved)["score"].mean() < predict(householders)["score"].mean() - 0.1


def test_each_step_of_schooling_helps_at_working_age(predict, test_set):
    people = test_set[test_set["age"].between(25, 60)]
    steps = ["no high school", "high school", "bachelor's"]
    means = [predict(people.assign(schooling=step))["score"].mean() for step in steps]
    assert means == sorted(means)


def test_total_is_right(predict, test_set, spec):
    """The intended use: the share of people who work, over all of them."""
    share = (test_set[spec.data.target] == spec.data.positive).mean()
    assert abs(predict(test_set)["score"].mean() - share) < 0.04

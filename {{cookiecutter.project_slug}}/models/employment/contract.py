"""What the data must look like before anything is learnt from it (Great Expectations).

It holds for every natural year, 2015 to 2018: shares have room for what changes from
year to year, closed sets follow the census codebook (data/README.md). What breaks it is
a broken source.
"""

from typing import Any

CATEGORIES = {
    "schooling": [
        "no high school",
        "no diploma",
        "high school",
        "GED",
        "some college",
        "associate's",
        "bachelor's",
        "master's",
        "professional",
        "doctorate",
    ],
    "marital_status": ["married", "widowed", "divorced", "separated", "single"],
    "relationship": [
        "householder",
        "spouse",
        "child",
        "sibling",
        "parent",
        "grandchild",
        "parent-in-law",
        "child-in-law",
        "other relative",
        "roomer",
        "housemate",
        "partner",
        "other nonrelative",
        "institution",
        "group quarters",
    ],
    "parents_employment": [
        "both work",
        "father works",
        "mother works",
        "neither works",
        "lone father works",
        "lone father does not",
        "lone mother works",
        "lone mother does not",
    ],
    "citizenship": [
        "US-born",
        "territory-born",
        "born abroad",
        "naturalised",
        "not a citizen",
    ],
    "mobility": ["stayed", "moved", "from abroad"],
    "military": ["never", "veteran", "trained", "active", "under 17"],
    "ancestry": ["one", "several", "unclear", "unknown"],
    "disability": ["yes", "no"],
    "sex": ["female", "male"],
    "race": ["white", "black", "asian", "other", "several"],
    "employed": ["yes", "no"],
}

# Column, value, and the least share of rows that have it in any year: both ends of what
# may vary.
LEAST_SHARES = [
    ("employed", "yes", 0.50),
    ("employed", "no", 0.30),
    ("sex", "female", 0.45),
    ("sex", "male", 0.40),
    ("disability", "no", 0.78),
    ("disability", "yes", 0.08),
    ("citizenship", "US-born", 0.70),
    ("citizenship", "naturalised", 0.05),
    ("marital_status", "married", 0.38),
    ("marital_status", "single", 0.25),
    ("mobility", "stayed", 0.78),
    ("mobility", "moved", 0.06),
    ("relationship", "householder", 0.38),
]


def expectations(gxe: Any) -> list[Any]:
    """Return the expectations on the people of a year (or of several) and their labels.

    Parameters
    ----------
    gxe : module
        `great_expectations.expectations`, passed in because importing it takes seconds.
    """
    found = [*table(gxe), *numbers(gxe)]
    for name, values in CATEGORIES.items():
        found.append(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=values))
    found += [
        gxe.ExpectColumnValuesToBeNull(
            column="parents_employment",
            mostly=0.9,
            meta={"why": "it is asked of minors who live with a parent"},
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="marital_status",
            value_set=["married"],
            row_condition='relationship=="spouse"',
            condition_parser="pandas",
            meta={"why": "spouses of the householder are married"},
        ),
    ]
    for column, value, share in LEAST_SHARES:
        found.append(
            gxe.ExpectColumnValuesToBeInSet(
                column=column, value_set=[value], mostly=share
            )
        )
    return found


def table(gxe: Any) -> list[Any]:
    """Return what is expected of the rows and of the columns that are always filled."""
    found = [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1_000, meta={"why": "below that, the test part decides nothing"}
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column="person_id", meta={"why": "labels are joined by it"}
        ),
    ]
    filled = ["person_id", "household_id", "year", "age"]
    for name in CATEGORIES:
        if name not in ("parents_employment", "employed"):
            filled.append(name)
    for name in filled:
        found.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
    return found


def numbers(gxe: Any) -> list[Any]:
    """Return what is expected of years, ages and the number of people per household."""
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="year", min_value=2015, max_value=2030
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="age",
            min_value=16,
            max_value=110,
            meta={
                "why": "children have no employment; the census cuts ages off below 100"
            },
        ),
        gxe.ExpectColumnMeanToBeBetween(column="age", min_value=45, max_value=52),
        gxe.ExpectColumnStdevToBeBetween(column="age", min_value=17, max_value=23),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column="household_id",
            min_value=0.4,
            max_value=0.7,
            meta={
                "why": "one id per person, or one for all, would make the split leak"
            },
        ),
    ]

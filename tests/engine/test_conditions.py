"""Conditions on records: what is compared, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.errors import UsageError
from mlops.runlog.conditions import matching, require_new_form

RECORDS: list[dict[str, Any]] = [
    {
        "id": "a",
        "dirty": False,
        "pull_request": None,
        "metrics": [{"name": "roc_auc", "value": 0.9}],
        "training": {"params": {"C": 1, "max.depth": 3}, "seed": 0},
        "verdict": {"decision": "promote"},
    },
    {
        "id": "b",
        "dirty": True,
        "pull_request": 12,
        "metrics": [{"name": "roc_auc", "value": 0.8}, {"name": "f1", "value": 0.5}],
        "training": {"params": {"C": "auto"}, "seed": 1},
        "verdict": {"decision": "reject"},
    },
]

KNOWN = ("id", "dirty", "pull_request", "metrics", "training", "verdict", "params")


def ids(*conditions: tuple[str, str, str]) -> list[str]:
    met = matching(RECORDS, conditions, (*KNOWN, "seed", "decision"))
    return [record["id"] for record, fits in zip(RECORDS, met, strict=True) if fits]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("metrics.roc_auc", "gt", ".85"), ["a"]),
        (("metrics.roc_auc", "ge", "0.8"), ["a", "b"]),
        (("metrics.roc_auc", "lt", "0.9"), ["b"]),
        (("metrics.roc_auc", "le", "9e-1"), ["a", "b"]),
        (("metrics.f1", "eq", "0.50"), ["b"]),
        (("dirty", "eq", "False"), ["a"]),
        (("dirty", "ne", "false"), ["b"]),
        (("id", "in", "b,c"), ["b"]),
        (("seed", "eq", "1.0"), ["b"]),
        (("params.C", "eq", "1"), ["a"]),
        (("params.C", "eq", "auto"), ["b"]),
        (("params.max.depth", "eq", "3"), ["a"]),
        (("decision", "ne", "promote"), ["b"]),
        (("pull_request", "eq", "12"), ["b"]),
    ],
)
def test_a_value_is_compared_as_the_type_that_is_found(
    condition: tuple[str, str, str], expected: list[str]
) -> None:
    assert ids(condition) == expected


def test_all_conditions_are_to_be_met() -> None:
    high = ("metrics.roc_auc", "gt", "0.7")
    assert ids(high, ("dirty", "eq", "true")) == ["b"]
    assert ids(high, ("dirty", "eq", "true"), ("seed", "eq", "0")) == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (("metrics.roc_acu", "gt", "0.5"), ["did you mean `metrics.roc_auc`"]),
        (("iid", "eq", "a"), ["did you mean `id`"]),
        (("params.c", "eq", "1"), ["did you mean `params.C`"]),
        (("id", ">", "a"), ["no such operator", "gt", "KEY OP VALUE"]),
        (("id", "AND", "a"), ["no such operator"]),
        (("metrics.roc_auc", "gt", "high"), ["holds numbers", "high"]),
        (("dirty", "eq", "no"), ["is true or false"]),
        (("params", "eq", "1"), ["keys of its own", "C"]),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    condition: tuple[str, str, str], words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        ids(condition)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("metrics.roc_auc>0.5", "--where metrics.roc_auc gt 0.5"),
        (
            "metrics.roc_auc >= .5 AND risk=high",
            "--where metrics.roc_auc ge .5 --where risk eq high",
        ),
        ("dirty!=True", "--where dirty ne True"),
    ],
)
def test_the_old_form_is_refused_with_the_new_one_spelled_out(
    text: str, advice: str
) -> None:
    with pytest.raises(UsageError) as caught:
        require_new_form(text)
    assert advice in str(caught.value)


@pytest.mark.parametrize("text", ["metrics.roc_auc", "id", "params.max.depth"])
def test_a_key_is_no_old_form(text: str) -> None:
    require_new_form(text)

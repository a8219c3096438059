"""Specifications: whatever a file holds, there is one clear error or a right result."""

from __future__ import annotations

import copy
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.config.project_spec import ProjectSpec
from mlops.config.yaml import MOST_BYTES, load_text, load_yaml, parse
from mlops.data.sources import source_files
from mlops.errors import MlopsError, UsageError
from mlops.io.digests import canonical_json

from .conftest import ENGINE, spec_of

FULL: dict[str, Any] = {
    **spec_of(),
    "limits": "none",
    "risk": "minimal",
    "risk_reason": "tests",
    "data": {
        "source": "data/*.csv",
        "labels": "labels/*.csv",
        "id": "customer",
        "target": "churn",
        "positive": "yes",
        "time": "since",
        "ignore": ["x"],
        "delimiter": ";",
        "encoding": "utf-8",
        "decimal": ".",
        "formats": {"since": "%d.%m.%Y"},
        "drop_duplicates": True,
        "keep": False,
    },
    "split": {"by": "group", "column": "home", "test": 0.25, "seed": 0},
    "train": {"params": {"learner": "logistic", "C": 0.5}, "seed": 0},
    "metrics": {
        "primary": "roc_auc",
        "others": ["accuracy", "value"],
        "threshold": 0.5,
        "value": {"unit": "USD", "true_positive": 1, "false_negative": -2.5},
    },
    "gate": {"rule": "auto", "margin": 0.01, "alpha": 0.05},
    "checks": {
        "floor": {"roc_auc": 0.6},
        "better_than": ["dummy"],
        "invariant": ["plan"],
        "directional": [
            {"column": "tenure", "low": 1, "high": 9, "expect": "decrease"}
        ],
        "latency_ms": 250,
        "size_mb": 10,
    },
    "slices": {"columns": ["plan"], "max_drop": 0.1, "min_rows": 100},
    "fairness": [
        {"column": "sex", "metric": "accuracy", "max_difference": 0.1, "exception": "x"}
    ],
    "monitor": {
        "alpha": 0.05,
        "min_effect": 0.1,
        "min_rows": 200,
        "on_alarm": "gate",
        "cool_down": 7,
        "retrainings_per_month": 4,
        "quiet": [{"from": "2026-12-24", "to": "2027-01-02", "reason": "sale"}],
        "silent_after": 3,
        "sample": 5000,
    },
}

PROJECT: dict[str, Any] = {
    "name": "acme",
    "description": "",
    "owner": "@acme",
    "registry": {"store": ".mlops/releases"},
    "stages": [
        {"name": "staging", "approvers": []},
        {"name": "production", "after": "staging", "approvers": ["@ana"]},
    ],
    "cost": {"currency": "USD", "per_hour": 0.48, "watts": 20},
    "trusted_types": ["a.B"],
    "allowed_signers": ".github/allowed_signers",
}


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key and item of a document."""
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of a document with another value at a place."""
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def nested(depth: int) -> Any:
    """Return lists inside lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


ODD = (
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, -(2**63), 16**5000, 0.5, -0.0,
    1e308, -1e308, float("nan"), float("inf"), "", " ", ".", "..", "/", "~", "**x[/",
    "**/x**", "[", "a\0b", "a\nb", "\x1b[31mred", "\u202eabc", "\ud800", "é" * 10,
    "x" * 400_000, "=1+1", "yes", "1", "none", "prediction", "score", "churn",
    [], [[]], ["", ""], [None], {}, {"": ""}, {1: 2}, {"a": {"b": []}}, nested(200),
    ["x"] * 3000, {f"k{i}": i for i in range(3000)}, {"\x1b": 1}, {None: 1}, b"bytes",
)  # fmt: skip


def judged(document: Any, cls: type[BaseModel], shown: str) -> BaseModel | None:
    """Parse a document; every error must be short, printable and an error of ours."""
    begun = time.process_time()
    try:
        spec = parse(cls, document, shown)
    except UsageError as error:
        assert error.problems
        for problem in error.problems:
            text = str(problem)
            assert len(text) <= 500, text
            assert all(c.isprintable() or c == "\n" for c in text), repr(text)
            assert text.startswith(shown)
        texts = [str(problem) for problem in error.problems]
        assert len(set(texts)) == len(texts), "each mistake is told once"
        spec = None
    assert time.process_time() - begun < 5
    if spec is not None:
        content = canonical_json(spec.model_dump(mode="json"))
        assert cls.model_validate(json.loads(content)) == spec, "it can be written"
    return spec


CASES = [
    *((FULL, ModelSpec, path) for path in places(FULL)),
    *((PROJECT, ProjectSpec, path) for path in places(PROJECT)),
]


@pytest.mark.parametrize(
    ("document", "cls", "path"), CASES, ids=[".".join(map(str, c[2])) for c in CASES]
)
def test_every_key_with_every_odd_value_is_one_clear_error_or_a_right_result(
    document: Any, cls: type[BaseModel], path: tuple[Any, ...]
) -> None:
    assert judged(document, cls, "file.yaml") is not None, "the document is valid"
    refused = 0
    for value in ODD:
        spec = judged(changed(document, path, value), cls, "file.yaml")
        refused += spec is None
    assert refused >= 5, "no key takes everything"


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=10) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=st.sampled_from(CASES), value=JSON_VALUES, key=st.text(max_size=30))
def test_any_value_anywhere_and_any_unknown_key_is_judged(
    case: tuple[Any, type[BaseModel], tuple[Any, ...]], value: Any, key: str
) -> None:
    document, cls, path = case
    judged(changed(document, path, value), cls, "file.yaml")
    if isinstance(path[-1], str):
        judged(changed(document, (*path[:-1], key), value), cls, "file.yaml")


@pytest.mark.parametrize(
    "source", ["", " ", ".", "..", "data/..", "/", "**x[/", "x**", "a\0b", "a\nb"]
)
def test_a_source_that_cannot_name_files_is_refused_with_its_key(source: str) -> None:
    document = changed(FULL, ("data", "source"), source)
    with pytest.raises(UsageError) as error:
        parse(ModelSpec, document, "model.yaml")
    assert [p.key for p in error.value.problems] == ["data.source"]


@pytest.mark.parametrize("source", ["[", "x[/", "{", "?" * 999, "../x/*.csv", "~/x"])
def test_a_source_that_names_nothing_says_so(source: str, tmp_path: Path) -> None:
    spec = parse(ModelSpec, changed(FULL, ("data", "source"), source), "model.yaml")
    with pytest.raises(MlopsError):
        source_files(spec.data.source, tmp_path)


@pytest.mark.parametrize("value", [[1, 2], {"no": 1, "yes": 5}, {"a": [{"b": None}]}])
def test_parameters_are_any_json_value(value: Any) -> None:
    document = changed(FULL, ("train", "params"), {"class_weight": value})
    assert parse(ModelSpec, document, "model.yaml").train.params == {
        "class_weight": value
    }


@pytest.mark.parametrize(
    ("path", "value"),
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
    argvalues=[
        (("train", "params", "C"), float("nan")),
        (("train", "params", "C"), [float("inf"), 1]),
        (("train", "params", "C"), 2**64),
        (("checks", "directional", 0, "low"), [1]),
        (("checks", "directional", 0, "low"), {"a": 1}),
        (("data", "positive"), [1]),
        (("data", "positive"), 0.5),
        (("train", "seed"), -1),
        (("train", "seed"), 16**5000),
        (("split", "seed"), 2**32),
        (("monitor", "on_alarm"), "always"),
        (("monitor", "cool_down"), -1),
        (("monitor", "retrainings_per_month"), 0),
        (("monitor", "quiet", 0, "from"), "24.12.2026"),
        (("monitor", "quiet", 0, "from"), "2026-02-30"),
        (("monitor", "quiet", 0, "from"), datetime(2026, 12, 24, 12, tzinfo=UTC)),
        (("monitor", "quiet", 0, "to"), 20270102),
        (("monitor", "quiet", 0, "to"), "2026-12-23"),
        (("monitor", "quiet", 0, "reason"), ""),
        (("monitor", "quiet", 0, "until"), "2027-01-02"),
    ],
)
def test_one_mistake_is_one_error(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(UsageError) as error:
        parse(ModelSpec, changed(FULL, path, value), "model.yaml")
    (problem,) = error.value.problems
    assert problem.key == ".".join(map(str, path))


def test_a_day_is_read_as_yaml_writes_it_in_quotes_or_not() -> None:
    days = ["{from: 2026-12-24, to: '2026-12-24', reason: sale}"]
    document = load_text(f"quiet: [{', '.join(days)}]", "model.yaml")
    spec = parse(ModelSpec, {**FULL, "monitor": document}, "model.yaml")
    (quiet,) = spec.monitor.quiet
    assert quiet.first == quiet.last == date(2026, 12, 24)


def test_an_unknown_key_of_a_quiet_period_names_those_that_it_has() -> None:
    document = changed(FULL, ("monitor", "quiet", 0, "till"), "2027-01-02")
    with pytest.raises(UsageError, match="allowed: from, reason, to"):
        parse(ModelSpec, document, "model.yaml")


@pytest.mark.parametrize(
    ("stages", "key"),
    [
        ([], "stages"),
        ([{"name": "a"}, {"name": "a"}], "stages.1.name"),
        ([{"name": "a", "after": "a"}], "stages.0.after"),
        ([{"name": "a", "after": "b"}, {"name": "b"}], "stages.0.after"),
        ([{"name": "a", "after": "c"}], "stages.0.after"),
    ],
)
def test_stages_that_make_no_sense_are_refused(stages: Any, key: str) -> None:
    # Whose signatures count is another question, which needs approvers.
    unsigned = {name: it for name, it in PROJECT.items() if name != "allowed_signers"}
    with pytest.raises(UsageError) as error:
        parse(ProjectSpec, {**unsigned, "stages": stages}, "project.yaml")
    assert [p.key for p in error.value.problems] == [key]


# -- the text of the file --------------------------------------------------------------


def aliases(levels: int, width: int = 9) -> str:
    """Return YAML whose aliases stand for `width` to the power of `levels` values."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{inner}]")
    return "\n".join(lines)


def merges(levels: int) -> str:
    """Return YAML whose merge keys multiply in the same way."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{<<: [{inner}]}}")
    return "\n".join(lines)


HOSTILE = {
    "aliases of 8 levels": aliases(8),
    "aliases of 9 levels": aliases(9),
    "merge keys of 9 levels": merges(9),
    "an alias of itself": "a: &a [*a]",
    "nested 3,000 lists": "a: " + "[" * 3000,
    "nested 3,000 mappings": "\n".join(" " * i + "a:" for i in range(3000))[:300_000],
    "a number of 5,000 digits": "a: " + "9" * 5000,
    "a date that does not exist": "a: 2020-13-45",
    "a key that is a list": "? [a]\n: b",
    "a key that is a number": "1: b",
    "a key twice": "a: 1\na: 2",
    "a Python object": "a: !!python/object:os.system x",
    "unrecognised tags": "a: !!binary '*'\nb: !!int x\nc: !!float y\nd: !!timestamp z",
    "an unknown tag": "a: !x y",
    "an unknown alias": "a: *x",
    "two documents": "a: 1\n---\nb: 2",
    "control characters": 'a: "\\x1b[31m"',
    "text from right to left": 'a: "\\u202eabc"',
    "half a character": 'a: "\\ud800"',
    "a tab": "a:\n\t- b",
    "not closed": 'a: "',
    "too large": "a: " + "x" * (MOST_BYTES + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_at_once_and_in_little_memory(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(HOSTILE[name], encoding="utf-8")
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(UsageError) as error:
            parse(ModelSpec, load_yaml(path), str(path))
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < 5
    for problem in error.value.problems:
        assert len(str(problem)) <= 500
        assert str(problem).startswith(str(path))
        assert all(c.isprintable() or c == "\n" for c in str(problem))


def test_aliases_that_are_used_as_people_use_them_are_read() -> None:
    text = "base: &base {a: 1, b: [x, y]}\none: *base\ntwo: {<<: *base, a: 2}\n"
    document = load_text(text, "file.yaml")
    assert document["one"] == {"a": 1, "b": ["x", "y"]}
    assert document["two"] == {"a": 2, "b": ["x", "y"]}


def test_thousands_of_columns_are_read() -> None:
    names = [f"column_{i:05d}" for i in range(8000)]
    text = "features:\n" + "".join(f"  {name}: number\n" for name in names)
    assert list(load_text(text, "file.yaml")["features"]) == names


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(alphabet="a1:-*&[]{}<>!?|'\"#,%@` \n\t\\\x85", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        load_text(text, "file.yaml")
    except UsageError as error:
        assert all(len(str(problem)) <= 500 for problem in error.problems)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a: \xe9", b"\x00", "a: \u2028".encode()]
)
def test_bytes_that_are_not_text_are_refused_or_read(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    try:
        assert load_yaml(path) is not None
    except UsageError as error:
        assert "file.yaml" in str(error)


def test_a_folder_in_place_of_a_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_yaml(tmp_path)


def test_the_shipped_example_is_valid(make_project: Callable[..., Project]) -> None:
    spec = load_yaml(ENGINE / "models" / "employment" / "model.yaml")
    assert parse(ModelSpec, spec, "model.yaml").task == "binary"
    assert make_project().model("churn").owner == "@acme"

"""What `make mutate` is told: modules and tests that exist, and a list that holds."""

from __future__ import annotations

import ast
import re
import tomllib

import mutate
import pytest

LISTED = tomllib.loads(mutate.EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]


@pytest.mark.parametrize("module", mutate.MODULES)
def test_a_module_to_mutate_exists(module: str) -> None:
    assert (mutate.ENGINE / "mlops" / f"{module}.py").is_file()


@pytest.mark.parametrize("tests", mutate.GROUPS.values(), ids=" ".join)
def test_the_tests_of_a_module_exist(tests: tuple[str, ...]) -> None:
    for name in tests:
        assert (mutate.ROOT / "tests" / "engine" / f"test_{name}.py").is_file()


def test_every_listed_mutant_has_a_reason_and_changes_lines_that_still_stand() -> None:
    for entry in LISTED:
        assert entry["module"] in mutate.MODULES
        assert len(entry["reason"].split()) > 3, entry
        assert isinstance(entry["now"], list), entry
        path = mutate.ENGINE / "mlops" / f"{entry['module']}.py"
        source = path.read_text(encoding="utf-8")
        names = {
            node.name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef)
        }
        assert entry["function"].rpartition(".")[2] in names, entry
        lines = [line.strip() for line in source.splitlines()]
        for was in entry["was"].strip().splitlines():
            assert was in lines, entry


def test_every_name_that_is_left_out_is_that_of_a_test() -> None:
    folder = mutate.ROOT / "tests" / "engine"
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("test_*.py")]
    for part in mutate.LEFT_OUT:
        pattern = rf"^def test_\w*{part}"
        assert any(re.search(pattern, text, re.MULTILINE) for text in texts), part


def test_no_mutant_is_listed_twice() -> None:
    assert len(mutate.equivalent()) == sum(len(entry["now"]) for entry in LISTED)


def test_the_sample_of_a_module_is_the_same_whatever_else_is_mutated() -> None:
    names = [f"mutant {number}" for number in range(50)]
    first = mutate.sampled(names, "gate/verdict", 10, 0)
    assert first == mutate.sampled(names, "gate/verdict", 10, 0)
    assert first != mutate.sampled(names, "gate/verdict", 10, 1)
    assert first != mutate.sampled(names, "gate/rules", 10, 0)
    assert len(first) == 10
    assert mutate.sampled(names, "gate/verdict", 60, 0) == names


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ('raise Refused("no such model")', 'raise Refused("XXno such modelXX")', True),
        ('do="copy the store"', 'do="COPY THE STORE"', True),
        ('raise Refused("no such model")', "raise Refused(None)", False),
        ('if kind == "assign":', 'if kind == "XXassignXX":', False),
        ('if kind == "assign":', 'if kind == "ASSIGN":', False),
        ('x = "a b" if ok else 1', 'x = "a b" if ok else 2', False),
        ('x = {"a": "b", "c": "d"}', 'x = {"a": "XXbXX", "c": "d"}', False),
        ('x["a"] = f"b {c}"', 'x["A"] = f"b {c}"', False),
        ('do="a b", or_="c"', 'do="A B", or_="c"', True),
    ],
)
def test_a_mutant_of_nothing_but_words_is_known_as_one(
    was: str, now: str, words: bool
) -> None:
    assert mutate.only_words(was, now) is words

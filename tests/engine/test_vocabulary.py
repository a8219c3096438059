"""One vocabulary, that of the field, in the engine's names, texts and documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "{{cookiecutter.project_slug}}"
ENGINE = GENERATED / "vendor" / "mlops" / "src" / "mlops"

# What a name like these holds is not said by it: a message, a value, a path ...
VAGUE = {"alone", "answer", "asked", "here", "kept", "place", "said", "there", "told"}
STORED = {("results/verdict.py", "asked")}  # a key of the verdict

# Words that nobody uses who has not seen this project.
UNUSUAL = (
    r"mend(s|ed|ing)?|spoil\w*|gone on with|goes on with|stretch of time|odd tags"
    r"|cannot be told|could not be told|may go|let them go|has to go|falls off"
    r"|comes out otherwise|predicts otherwise|world failed|verbs?"
)
# The first says which words were replaced, the second what an older template printed.
EXEMPT = {"CHANGELOG.md", "upgrade.md"}
DOCUMENTS = [
    path
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        GENERATED / "README.md",
    )
    if path.name not in EXEMPT
]


def names(tree: ast.AST) -> Iterator[str]:
    """Yield what is bound in a module: parameters, variables, functions, classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of a module, docstrings among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("package", sorted(p.name for p in ENGINE.glob("[a-z]*/")))
def test_a_name_says_what_it_holds(package: str) -> None:
    modules = list((ENGINE / package).rglob("*.py"))
    vague = []
    for module in modules:
        path = module.relative_to(ENGINE).as_posix()
        for name in names(ast.parse(module.read_text(encoding="utf-8"))):
            if name.strip("_") in VAGUE and (path, name) not in STORED:
                vague.append(f"{path}: {name}")
    assert not vague


def test_the_engine_says_nothing_in_words_of_its_own() -> None:
    unusual = []
    for module in ENGINE.rglob("*.py"):
        for text in texts(ast.parse(module.read_text(encoding="utf-8"))):
            unusual += [
                f"{module.name}: {found[0]}"
                for found in re.finditer(rf"\b({UNUSUAL})\b", text)
                if text != "verb"
            ]
    assert not unusual


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_document_has_no_words_of_its_own(page: Path) -> None:
    assert not re.findall(rf"\b({UNUSUAL})\b", page.read_text(encoding="utf-8"))

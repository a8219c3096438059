"""Answers: hostile ones give a working repository or a refusal that says what to do."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from cookiecutter.exceptions import CookiecutterException

from generation.baking import Bake

QUOTES = 'It\'s "quoted" and `ticked` \'\'\'thrice\'\'\' """thrice"""'
FREE_TEXTS = {
    "quotes": QUOTES,
    "backslashes": "C:\\new\\table \\\\ \\u0041 \\",
    "quote at both ends": '"a"',
    "braces": "{a} }} %} #} ${b}",
    "markup": "<!-- <script>alert(1)</script> & <b>",
    "yaml": "- a: b # c | > & * ! % @",
    "emoji": "Kündigung 🙂👩‍🔬 é",
    "right to left": "توقع الطلب עברית",
    "shell": "$(touch pwned) `touch pwned`; rm -rf . && x | y",
    "surrounded by spaces": "  spaced  ",
}
REFUSED_TEXTS = {
    "newline": "one\ntwo",
    "carriage return": "one\rtwo",
    "null": "a\0b",
    "escape": "a\x1b[31mb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "bidirectional override": "a\u202eb",
    "byte order mark": "\ufeffa",
    "empty": "",
    "blank": "   ",
}
GOOD = {
    "project_slug": ["a", "churn", "churn-models_2", "x" * 60],
    "github_owner": ["a", "Acme-Corp", "acme/ml-team", "x" * 39],
    "author_email": ["ada@example.com", "a.b+c@sub.example.org"],
}
BAD = {
    "project_slug": [
        "Churn",
        "2churn",
        "-a",
        "a-",
        "a b",
        "mlops",
        "models",
        "tests",
        "con",
        "lpt1",
        "añb",
        "x" * 61,
        "a\nb",
        "a'b",
        'a"b',
        "a/b",
        "../../up",
        "/tmp/a",
        "a\\b",
        "x" * 300,
        "",
        ".",
        "a\0b",
        "🙂",
        "class",
    ],
    "github_owner": [
        "",
        "@acme",
        "a--b",
        "-a",
        "a-",
        "a b",
        "x" * 40,
        "a/b/c",
        "a/",
        'a"b',
        "a\nb",
        "a_b",
    ],
    "author_email": [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "Ada <ada@example.com>",
        "a b@example.com",
        "a@b..c",
        'a"@example.com',
        "a@example.com\n",
        "a@-b.com",
    ],
}


def pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(question, value) for question, values in table.items() for value in values]


def read_back(repository: Path) -> dict[str, object]:
    """Parse everything that carries an answer."""
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    settings = (repository / "project.yaml").read_text(encoding="utf-8")
    container = (repository / ".devcontainer/devcontainer.json").read_text(
        encoding="utf-8"
    )
    return {
        "toml": tomllib.loads(project)["project"],
        "yaml": yaml.safe_load(settings),
        "json": json.loads(container),
    }


def refusal(
    bake: Bake, capfd: pytest.CaptureFixture[str], output: Path, **answers: str
) -> str:
    """Bake what must be refused, check that nothing is left; return the message."""
    with pytest.raises(CookiecutterException):
        bake(**answers)
    assert not list(output.iterdir())
    return capfd.readouterr().err


@pytest.mark.parametrize("text", FREE_TEXTS.values(), ids=FREE_TEXTS)
def test_free_text_arrives_as_given(bake: Bake, text: str) -> None:
    # The slug is made of the name; one that has no Latin letter first is asked for.
    repository = bake(project_name=text, project_slug="safe", description=text)
    parsed = read_back(repository)
    assert parsed["toml"]["description"] == text
    assert parsed["yaml"]["description"] == text
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# " + text.strip().replace("<", "&lt;") + "\n")
    assert not list(repository.rglob("pwned"))


def test_three_hundred_characters(
    bake: Bake, capfd: pytest.CaptureFixture[str], output: Path
) -> None:
    said = refusal(bake, capfd, output, project_name="x" * 300)
    assert "project_name: it has 300 characters" in said
    assert "project_slug" not in said
    assert read_back(bake(description="x" * 300))["toml"]["description"] == "x" * 300


@pytest.mark.parametrize("question", ["project_name", "description"])
@pytest.mark.parametrize("text", REFUSED_TEXTS.values(), ids=REFUSED_TEXTS)
def test_control_characters_are_refused(
    bake: Bake,
    capfd: pytest.CaptureFixture[str],
    output: Path,
    question: str,
    text: str,
) -> None:
    said = refusal(bake, capfd, output, **{"project_slug": "safe", question: text})
    assert f"- {question}: " in said
    assert said.isascii()


@pytest.mark.parametrize("text", ["{{ 'a' }", "{% if %}", "{{ nothing }}", "{# "])
def test_jinja_in_an_answer(bake: Bake, output: Path, text: str) -> None:
    # Given on the command line, cookiecutter itself reads the answer as a template
    # first.
    with pytest.raises(
        Exception, match=r"(?i)template|render|unexpected|comment|expected|hook"
    ):
        bake(project_name=text, project_slug="safe")
    assert not list(output.iterdir())


@pytest.mark.parametrize(("question", "value"), pairs(GOOD))
def test_good_names(bake: Bake, question: str, value: str) -> None:
    assert read_back(bake(**{question: value}))


@pytest.mark.parametrize(("question", "value"), pairs(BAD))
def test_bad_names(
    bake: Bake,
    capfd: pytest.CaptureFixture[str],
    output: Path,
    question: str,
    value: str,
) -> None:
    said = refusal(bake, capfd, output, **{question: value})
    assert f"- {question}: " in said
    for part in ("found:", "allowed:", "do:"):
        assert said.count(part) == 1
    assert said.isascii()


def test_all_problems_at_once(
    bake: Bake, capfd: pytest.CaptureFixture[str], output: Path
) -> None:
    answers = {
        "project_name": "a\nb",
        "project_slug": "Con",
        "description": " ",
        "github_owner": "@me",
        "author_email": "me",
    }
    said = refusal(bake, capfd, output, **answers)
    assert said.startswith("5 answers cannot be used; nothing was written.")
    assert [question for question in answers if f"- {question}: " not in said] == []


def test_a_refusal_ends_with_a_command_that_keeps_the_good_answers(
    bake: Bake, capfd: pytest.CaptureFixture[str], output: Path
) -> None:
    good = {
        "project_slug": "churn",
        "description": 'Ann\'s "models" for $5',
        "author_email": "ada@example.com",
    }
    said = refusal(bake, capfd, output, github_owner="@me", **good)
    *_, command = said.rstrip().splitlines()
    program, template, *answers = shlex.split(command)
    assert program == "cookiecutter"
    assert (Path(template) / "cookiecutter.json").is_file()
    kept = dict(answer.split("=", 1) for answer in answers)
    assert good.items() <= kept.items()
    assert "github_owner" not in kept
    bake(github_owner="me", **kept)


@pytest.mark.slow  # no other system has such terminals
def test_on_a_terminal_a_refusal_is_the_last_thing_that_is_shown(
    template: Path, tmp_path: Path
) -> None:
    """Below it the generator prints a traceback, which would hide it."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input"]
    with subprocess.Popen(
        [*command, "github_owner=@me"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        process.wait(timeout=60)
        shown = b""
        # Linux ends a terminal that nobody holds any more with an error.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    lines = shown.decode().strip().splitlines()
    assert lines[0] == "One answer cannot be used; nothing was written."
    assert "Traceback" in shown.decode()
    assert lines[-1].strip().startswith(f"cookiecutter {template}")
    assert lines[-1] in lines[:-1]


def test_a_refusal_under_cruft_ends_with_its_command(template: Path) -> None:
    answers = {"project_slug": "churn", "github_owner": "@me", "_commit": "abc"}
    answers["_template"] = "https://example.com/template"
    source = (template / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    hook: dict[str, Any] = {"__name__": "hook"}
    exec(source.replace("{{ cookiecutter | tojson }}", "{}"), hook)
    command = shlex.split(hook["again"](answers, {"github_owner"}))
    assert command[:3] == ["cruft", "create", "https://example.com/template"]
    assert command[3] == "--extra-context"
    assert json.loads(command[4]) == {"project_slug": "churn"}


def test_a_text_that_terminals_may_not_show_is_left_out_of_the_command(
    bake: Bake, capfd: pytest.CaptureFixture[str], output: Path
) -> None:
    said = refusal(bake, capfd, output, github_owner="@me", description="Kündigung")
    assert said.isascii()
    assert "description=" not in said


def test_placeholders_do_not_pass_in_silence(
    bake: Bake, capfd: pytest.CaptureFixture[str]
) -> None:
    repository = bake()
    said = capfd.readouterr().out
    assert "Note: your-github-name and you@example.com are placeholders" in said
    files = said.rstrip().splitlines()[-1].strip().split(", ")
    assert {".github/CODEOWNERS", "project.yaml", "pyproject.toml"} <= set(files)
    for name in files:
        text = (repository / name).read_text(encoding="utf-8")
        assert "your-github-name" in text or "you@example.com" in text
    bake(project_slug="other", github_owner="acme", author_email="ada@example.org")
    assert "placeholder" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Churn Models", "churn-models"),
        ("Ünïcode & Co.", "unicode-co"),
        ("🙂", "my-ml-project"),
        ("A " * 50, ("a-" * 30).strip("-")),
    ],
)
def test_slug_is_made_of_the_name(bake: Bake, name: str, slug: str) -> None:
    assert bake(project_name=name).name == slug

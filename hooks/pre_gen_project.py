"""Refuse answers that could not give a working repository, all of them at once.

Runs before anything is written. Standard library only, on Linux, macOS and Windows.
"""

from __future__ import annotations

import json
import keyword
import os
import re
import shlex
import subprocess
import sys
import time
import unicodedata

# `tojson` leaves ASCII on one line, and JSON never has three quotes in a row: whatever
# the answers are, they cannot end this literal.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

PYTHONS = ("3.11", "3.12", "3.13")
LICENSES = ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary")

# Windows has devices where other systems have files.
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}
OURS = {"mlops", "models", "tests"}

# They reorder what a reviewer sees without being seen, or are no characters at all.
INVISIBLE = {0xFEFF, 0xFFFE, 0xFFFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
JINJA = ("{" * 2, "{" + "%", "{" + "#")  # in parts, since this file is rendered too

HANDLE = r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}"
DOMAIN_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
EMAIL = r"[A-Za-z0-9.!#$%&*+/=?^_~-]+@" + DOMAIN_PART + r"(?:\." + DOMAIN_PART + ")+"


def text_problem(value: str, longest: int) -> str | None:
    """Say what keeps a free text from being written into TOML, YAML and Markdown."""
    if not value.strip():
        return "it is empty"
    if len(value) > longest:
        return f"it has {len(value)} characters"
    for character in value:
        if (
            unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
            or ord(character) in INVISIBLE
        ):
            return f"it holds {character!a}, a control character"
    for opening in JINJA:
        if opening in value:
            return f"it holds {opening}, which the template would read as its own"
    return None


def name_problem(value: str, pattern: str, reserved: set[str]) -> str | None:
    """Say what keeps a name from being that of a folder and of a package."""
    if not re.fullmatch(pattern, value):
        return "it is not a name of this form"
    if value in reserved:
        return "this name is taken by the repository itself or by Windows"
    if keyword.iskeyword(value):
        return "it is a word of the Python language"
    return None


def pattern_problem(value: str, pattern: str, longest: int, what: str) -> str | None:
    """Say that a value is not what it should be."""
    if len(value) <= longest and re.fullmatch(pattern, value):
        return None
    return f"it is not {what}"


def choice_problem(value: str, offered: tuple[str, ...]) -> str | None:
    """Say that a value is not among those offered."""
    return None if value in offered else "it is not offered"


def free_text(longest: int) -> str:
    """Say what a free text may be."""
    return (
        f"up to {longest} characters on one line, no control characters, none of "
        + " ".join(JINJA)
    )


def problems(answers: dict[str, str]) -> dict[str, str]:
    """Describe every bad answer: what was found, what is allowed, what to do."""
    checks = [
        (
            "project_name",
            text_problem(answers["project_name"], 100),
            free_text(100),
            "Shorten it or take the odd characters out.",
        ),
        (
            "project_slug",
            name_problem(
                answers["project_slug"],
                r"[a-z](?:[a-z0-9_-]{0,58}[a-z0-9])?",
                DEVICES | OURS,
            ),
            "up to 60 lowercase letters, digits, - and _, a letter first, "
            "a letter or digit last; not mlops, models, tests or a Windows device "
            "such as con",
            "Take a name such as churn-models.",
        ),
        (
            "description",
            text_problem(answers["description"], 350),
            free_text(350),
            "Write one sentence; the README has room for more.",
        ),
        (
            "github_owner",
            pattern_problem(
                answers["github_owner"],
                HANDLE + r"(?:/[A-Za-z0-9_-]{1,100})?",
                140,
                "a GitHub name",
            ),
            "a user (up to 39 letters, digits and single hyphens) or "
            "organisation/team; an organisation alone can review nothing",
            "Write it as in the address of its GitHub page, without @.",
        ),
        (
            "author_email",
            pattern_problem(answers["author_email"], EMAIL, 254, "an e-mail address"),
            "an address such as ada@example.com",
            "Write the address alone, without a name or < >.",
        ),
        (
            "python_version",
            choice_problem(answers["python_version"], PYTHONS),
            ", ".join(PYTHONS),
            "Choose one of them.",
        ),
        (
            "license",
            choice_problem(answers["license"], LICENSES),
            ", ".join(LICENSES),
            "Choose one of them.",
        ),
    ]
    return {
        question: f"- {question}: {problem}.\n"
        f"    found:   {shortened(answers[question])}\n"
        f"    allowed: {allowed}\n"
        f"    do:      {advice}"
        for question, problem, allowed, advice in checks
        if problem
    }


def again(answers: dict[str, str], bad: set[str]) -> str:
    """Return a command that asks again, with the good answers as defaults.

    Text that not every terminal shows is left out: it has to be typed again.
    """
    if "project_name" in bad:  # the folder's name is made from it
        bad = {*bad, "project_slug"}
    good = {
        question: answer
        for question, answer in answers.items()
        if not question.startswith("_")
        and question not in bad
        and answer.isascii()
        and answer.isprintable()
    }
    template = answers.get("_template", "TEMPLATE")
    if "_commit" in answers:
        command = ["cruft", "create", template, "--extra-context", json.dumps(good)]
    else:
        pairs = [f"{question}={answer}" for question, answer in good.items()]
        command = ["cookiecutter", template, *pairs]
    if os.name == "nt":
        return subprocess.list2cmdline(command)
    return shlex.join(command)


def repeat_at_the_end(text: str) -> None:
    """Print text once more when the generator has ended, on a terminal only.

    cookiecutter and cruft print a traceback below what a hook says, cruft one of 97
    lines: what was wrong has scrolled away by then. A process of its own waits for the
    end of the generator; where that takes longer than ten seconds it gives up.
    """
    if os.name != "posix" or not sys.stderr.isatty():
        return
    generator = os.getppid()
    if os.fork():
        return
    for _ in range(200):
        try:
            os.kill(generator, 0)
        except ProcessLookupError:
            print(f"\n{text}", file=sys.stderr, flush=True)
            break
        time.sleep(0.05)
    os._exit(0)


def shortened(value: str) -> str:
    """Show a value on one line of any terminal."""
    return ascii(value if len(value) <= 60 else value[:57] + "...")


def main() -> int:
    """Print what is wrong, if anything is."""
    answers = {question: str(answer) for question, answer in ANSWERS.items()}
    # The folder is made before this hook runs. So that a slug such as a/b or one of
    # 300 characters makes none that stays or fails, cookiecutter.json puts it aside.
    if answers["project_slug"] == "Refused-slug":
        answers["project_slug"] = answers["__refused_slug"]
    found = problems(answers)
    if not found:
        return 0
    count = "One answer" if len(found) == 1 else f"{len(found)} answers"
    message = "\n".join(
        [
            f"{count} cannot be used; nothing was written.\n",
            *found.values(),
            "\nThis asks again and keeps the good answers:\n",
            f"  {again(answers, set(found))}",
        ]
    )
    print(message, file=sys.stderr, flush=True)
    repeat_at_the_end(message)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Mutate the code that decides, and list the mutants that no test notices.

`make mutate`. mutmut changes one place of a function at a time and runs the tests that
reach the function, quickest first, until one fails. Of each module a seeded sample is
taken, since all mutants would take a day. A survivor that changes a decision is to be
killed by a test of behaviour; one that changes none is listed, with the reason, in
`tests/engine/equivalent_mutants.toml`. There is no percentage to reach.

mutmut leaves out functions with decorators (properties) and constants of a module.

Usage: python scripts/mutate.py [--mutants 200] [--seed 0] [--module MODULE] [--json]

Exit codes: 0 every mutant is killed or listed, 1 a survivor is left, 3 the tests failed
before anything was mutated.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = "{{cookiecutter.project_slug}}"
ENGINE = ROOT / GENERATED / "vendor" / "mlops" / "src"
EQUIVALENT = ROOT / "tests" / "engine" / "equivalent_mutants.toml"
MUTMUT = Path(sys.executable).with_name("mutmut")

# The modules that decide, and the test files that ought to kill their mutants. Modules
# with the same tests stand together: the tests are timed once for each of these groups.
GROUPS: dict[tuple[str, ...], tuple[str, ...]] = {
    (
        "gate/rules",
        "gate/conditions",
        "gate/contenders",
        "gate/findings",
        "gate/verdict",
        "gate/champion",
    ): ("gate_verdict",),
    ("evaluation/compare",): ("evaluation_compare",),
    ("registry/tags",): ("registry_tags",),
    ("registry/decisions",): (
        "registry_decisions",
        "registry_stages",
        "registry_unattended",
    ),
    ("pipeline/cache",): ("pipeline_cache",),
    ("storage/cache", "storage/folder", "storage/protocol"): ("storage",),
    ("storage/github_releases",): ("github_store",),
}
MODULES = tuple(module for group in GROUPS for module in group)

# Tests that take longest: about speed, other programs, processes at the same time, or
# error rates over many worlds. They would run twice before anything is mutated.
LEFT_OUT = (
    "agree",
    "ten_thousand",
    "concurrent",
    "processes",
    "clones",
    "killed",
    "in_80_of_100_worlds",
    "loss_as_large_as_the_margin",
    "real_improvement_is_found",
    "stretches_of_time_keep",
    "useless_change_is_promoted",
)

# A mutant that takes longer than (what its tests take + 20 s) x 3 hangs, and is killed.
# Hypothesis' profile for CI draws the same examples each time, and does not fail for a
# slow machine: that would kill mutants that nobody noticed.
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = {modules}
also_copy = ["tests", "scripts", "rehearsal", "docs", "{generated}"]
pytest_add_cli_args = [
  "-p", "no:cacheprovider", "-x", "-k", "not ({left_out})",
  "--hypothesis-profile=ci",
]
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 20.0
timeout_multiplier = 3.0

[tool.pytest.ini_options]
pythonpath = ["src", ".", "tests", "scripts"]
addopts = ["--import-mode=importlib"]
"""

_STRING = re.compile(r"""(["']).*?\1""")

KILLED = ("killed", "timeout", "segfault", "check was interrupted by user")


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed.

    Parameters
    ----------
    module : str
        Such as ``gate/verdict``.
    function : str
        The mutated function, ``Class.method`` for a method.
    was, now : str
        The changed lines, before and after, without their indentation.
    diff : str
        The change with its surroundings.
    reason : str
        Why no test can kill it or need kill it; empty where nothing is listed.
    """

    module: str
    function: str
    was: str
    now: str
    diff: str
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """What became of the sample of one module."""

    module: str
    mutants: int
    run: int
    killed: int
    survivors: tuple[Survivor, ...]

    @property
    def left(self) -> list[Survivor]:
        """The survivors that are not listed as equivalent."""
        return [one for one in self.survivors if not one.reason]


def set_up(folder: Path, modules: list[str], tests: tuple[str, ...]) -> None:
    """Lay out a project of the shape that mutmut expects.

    Parameters
    ----------
    folder : Path
        An empty folder.
    modules : list of str
        The modules to mutate.
    tests : tuple of str
        The test files to run, without ``test_`` and ``.py``.
    """
    ignored = shutil.ignore_patterns("__pycache__", ".venv", ".*_cache", "*.egg-info")
    shutil.copytree(ENGINE, folder / "src", ignore=ignored)
    for name in ("tests", "scripts", "rehearsal", "docs", GENERATED):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    text = SETTINGS.format(
        modules=json.dumps([f"src/mlops/{module}.py" for module in modules]),
        tests=json.dumps([f"tests/engine/test_{name}.py" for name in tests]),
        generated=GENERATED,
        left_out=" or ".join(LEFT_OUT),
    )
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def make_mutants(folder: Path) -> None:
    """Write the mutants and time the tests, and run no mutant.

    mutmut has no command for that: asked for a mutant that does not exist, it does all
    that comes before and then fails.
    """
    command = [str(MUTMUT), "run", "none-of-them"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if "nothing matches" not in done.stderr:
        print(done.stdout[-4000:], done.stderr[-4000:], file=sys.stderr)
        print("The tests fail before anything is mutated: see above", file=sys.stderr)
        sys.exit(3)


def exit_codes(folder: Path, module: str) -> dict[str, int | None]:
    """Return the mutants of a module in order, with what their tests came to."""
    path = folder / "mutants" / "src" / "mlops" / f"{module}.py.meta"
    codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return {name: codes[name] for name in sorted(codes)}


def sampled(names: list[str], module: str, most: int, seed: int) -> list[str]:
    """Return the mutants of a module to run: the same ones for the same seed."""
    if len(names) <= most:
        return names
    return sorted(random.Random(f"{seed} {module}").sample(names, most))


def survivor_of(folder: Path, module: str, name: str) -> Survivor:
    """Return what a mutant changes, and the reason where it is listed."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    with contextlib.chdir(folder):
        diff = get_diff_for_mutant(name, path=f"src/mlops/{module}.py")
    lines = diff.splitlines()[2:]  # below the names of the file
    was = "\n".join(line[1:].strip() for line in lines if line.startswith("-"))
    now = "\n".join(line[1:].strip() for line in lines if line.startswith("+"))
    mangled = name.rpartition(".")[2].partition("__mutmut_")[0]
    function = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    reason = listed_reason(module, function, was, now)
    return Survivor(module, function, was, now, "\n".join(lines), reason)


@cache
def equivalent() -> dict[tuple[str, str, str, str], str]:
    """Return the reasons of the listed mutants by module, function, was and now."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    return {
        (entry["module"], entry["function"], entry["was"], now): entry["reason"]
        for entry in entries
        for now in entry["now"]
    }


def listed_reason(module: str, function: str, was: str, now: str) -> str:
    """Return why a mutant is listed as equivalent; nothing where it is not."""
    if only_words(was, now):
        return "the words of a message alone: its facts are the same"
    return equivalent().get((module, function, was, now), "")


def only_words(was: str, now: str) -> bool:
    """Return whether a mutant only changed the case of a sentence, or put XX around it.

    A sentence is a string with a space in it: keys, names and values have none.
    """
    before = [match[0] for match in _STRING.finditer(was)]
    after = [match[0] for match in _STRING.finditer(now)]
    if len(before) != len(after) or _STRING.sub("", was) != _STRING.sub("", now):
        return False
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    return bool(changed) and all(
        " " in old and new.replace("XX", "").casefold() == old.casefold()
        for old, new in changed
    )


def mutate(
    modules: list[str], tests: tuple[str, ...], most: int, seed: int
) -> Iterator[Result]:
    """Run a sample of the mutants of some modules, and yield how each one went."""
    from mutmut.stats import status_by_exit_code

    with tempfile.TemporaryDirectory(prefix="mutate-") as scratch:
        folder = Path(scratch)
        set_up(folder, modules, tests)
        print(f"{', '.join(modules)}: timing the tests", file=sys.stderr)
        make_mutants(folder)
        samples = {
            module: sampled(list(exit_codes(folder, module)), module, most, seed)
            for module in modules
        }
        chosen = [name for names in samples.values() for name in names]
        print(f"{len(chosen)} mutants", file=sys.stderr)
        run = [str(MUTMUT), "run", *chosen]
        subprocess.run(run, cwd=folder, stdout=sys.stderr, check=True)
        for module, names in samples.items():
            codes = exit_codes(folder, module)
            alive = [
                name for name in names if status_by_exit_code[codes[name]] not in KILLED
            ]
            survivors = tuple(survivor_of(folder, module, name) for name in alive)
            killed = len(names) - len(alive)
            yield Result(module, len(codes), len(names), killed, survivors)


def show(result: Result) -> None:
    """Print how the sample of a module went, with the survivors that are left."""
    listed = len(result.survivors) - len(result.left)
    print(
        f"{result.module}: {result.run} of {result.mutants} mutants, "
        f"{result.killed} killed, {listed} equivalent, {len(result.left)} survived"
    )
    for survivor in result.left:
        print(f"\n{survivor.function}\n{survivor.diff}\n")
    sys.stdout.flush()


def main() -> None:
    """Mutate the modules that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--module",
        action="append",
        choices=MODULES,
        metavar="MODULE",
        help="one of " + ", ".join(MODULES) + "; may be repeated; all without it",
    )
    parser.add_argument("--mutants", type=int, default=200, help="of each module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    equivalent()  # a list that cannot be read is an error now and not in an hour
    results = []
    for group, tests in GROUPS.items():
        modules = [name for name in group if name in (options.module or MODULES)]
        if not modules:
            continue
        for result in mutate(modules, tests, options.mutants, options.seed):
            results.append(result)
            if not options.json:
                show(result)
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    sys.exit(1 if any(result.left for result in results) else 0)


if __name__ == "__main__":
    main()

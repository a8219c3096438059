"""Mutate the code that decides, and name the mutants that no test notices (`make mutate`).

mutmut changes one place of a module at a time and runs the tests that reach it. Of each
module a seeded sample is taken, since all of them would take a day. A survivor that
changes a decision is to be killed by a test of behaviour; there is no percentage to reach.

Usage: python scripts/mutate.py [--most 200] [--seed 0] [MODULE ...]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = "{{cookiecutter.project_slug}}"
ENGINE = ROOT / GENERATED / "vendor" / "mlops" / "src"

# Each module that decides, and the tests that hold its behaviour.
MODULES = {
    "gate/rules": ["evaluation_gate", "details_that_decide"],
    "gate/verdict": ["evaluation_gate", "details_that_decide"],
    "evaluation/compare": [
        "evaluation_compare",
        "evaluation_gate",
        "details_that_decide",
    ],
    "registry/tags": ["registry_tags", "registry_stages"],
    "registry/decisions": ["registry_decisions", "registry_stages"],
    "pipeline/cache": ["pipeline_cache", "details_that_decide"],
    "storage/cache": ["github_store", "details_that_decide"],
    "storage/folder": ["registry_publish", "registry_chain"],
}

SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/mlops/{module}.py"]
also_copy = ["tests", "scripts", "rehearsal", "docs", "{generated}"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-x"]
pytest_add_cli_args_test_selection = [{tests}]

[tool.pytest.ini_options]
pythonpath = ["src", ".", "tests", "scripts"]
addopts = ["--import-mode=importlib", "--strict-markers"]
markers = ["slow: as in the project"]
"""


def set_up(folder: Path, module: str) -> None:
    """Lay out a project of the shape that mutmut expects.

    Parameters
    ----------
    folder : Path
        An empty folder.
    module : str
        The module to mutate, such as ``gate/verdict``.
    """
    ignored = shutil.ignore_patterns("__pycache__", ".venv", ".*_cache", "*.egg-info")
    shutil.copytree(ENGINE, folder / "src", ignore=ignored)
    for name in ("tests", "scripts", "rehearsal", "docs", GENERATED):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    tests = [f"tests/engine/test_{name}.py" for name in MODULES[module]]
    missing = [name for name in tests if not (folder / name).is_file()]
    if missing:
        sys.exit(f"{module}: there is no {', '.join(missing)}")
    text = SETTINGS.format(
        module=module,
        generated=GENERATED,
        tests=", ".join(json.dumps(name) for name in tests),
    )
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def mutmut(folder: Path, *arguments: str, quiet: bool = False) -> str:
    """Run mutmut in a project and return what it prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=quiet, text=True, check=False
    )
    return done.stdout or ""


def names_of(folder: Path, module: str) -> list[str]:
    """Return the names of all mutants of a module, in order."""
    notes = folder / "mutants" / "src" / "mlops" / f"{module}.py.meta"
    return sorted(json.loads(notes.read_text(encoding="utf-8"))["exit_code_by_key"])


def survivors(folder: Path) -> list[str]:
    """Return the mutants that no test noticed."""
    lines = mutmut(folder, "results", quiet=True).splitlines()
    return [line.split(":")[0].strip() for line in lines if line.endswith(": survived")]


def mutate(module: str, most: int, seed: int) -> list[str]:
    """Run a sample of the mutants of a module; print and return what survived."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as scratch:
        folder = Path(scratch)
        set_up(folder, module)
        mutmut(folder, "run", "none-of-them", quiet=True)  # only makes the mutants
        names = names_of(folder, module)
        sample = names
        if len(names) > most:
            sample = sorted(random.Random(seed).sample(names, most))
        mutmut(folder, "run", *sample)
        alive = survivors(folder)
        print(f"{module}: {len(sample)} of {len(names)} mutants, {len(alive)} survived")
        for name in alive:
            print(mutmut(folder, "show", name, quiet=True))
    return alive


def main() -> None:
    """Mutate the modules that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument("--most", type=int, default=200, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.modules if name not in MODULES]
    if unknown:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(MODULES)}")
    for module in chosen.modules or MODULES:
        mutate(module, chosen.most, chosen.seed)


if __name__ == "__main__":
    main()

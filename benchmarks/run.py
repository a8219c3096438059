"""`make bench`: every figure that the README quotes, measured side by side in one run.

Usage: python benchmarks/run.py [PART ...]
Parts are rows, idle, start, registry, releases, wiring and sweep; default: all.
BENCH_REPEATS=1 for a quick look. Each part replaces its section of
benchmarks/results.md.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from example import COLUMNS, make_project, make_rows
from measure import ROOT, Command, Cost, compare, environment, mlops
from registry import registry_part, releases_part
from results import write_section
from sweep import sweep_part

SIZES = (10_000, 100_000, 1_000_000)


def against(costs: dict[str, Cost], bare: str) -> list[str]:
    """Return table rows with ratios to one of the commands."""
    base = costs[bare]
    return [
        f"| {name} | {c.seconds:.2f} s | {c.seconds / base.seconds:.2f} | "
        f"{c.memory:,.0f} MB | {c.memory / base.memory:.2f} |"
        for name, c in costs.items()
    ]


def rows_part(where: Path) -> list[str]:
    """Compare validate, train and the whole run with a bare script, by rows."""
    out = ["## Against a bare scikit-learn script", ""]
    for n in SIZES:
        root = make_project(where / str(n), make_rows(n))
        build = root / "build"

        def forget(build: Path = build) -> None:
            shutil.rmtree(build, ignore_errors=True)

        data = root / "models" / "employment" / "data" / "rows.csv"
        bare = [
            sys.executable,
            str(ROOT / "benchmarks" / "bare.py"),
            str(data),
            str(data.parents[1]),
        ]
        costs = compare(
            {
                "bare script: read, fit, score": Command(bare, root),
                "mlops train (validate, train)": Command(
                    mlops("train", "employment"), root, forget
                ),
                "mlops run (all five steps)": Command(
                    mlops("run", "employment"), root, forget
                ),
            }
        )
        out += [f"{n:,} rows of {len(COLUMNS)} columns:", ""]
        out += [
            "| command | time | ratio | peak memory | ratio |",
            "| --- | --: | --: | --: | --: |",
        ]
        out += [*against(costs, "bare script: read, fit, score"), ""]
    return out


def idle_part(where: Path) -> list[str]:
    """Time what is done often: help, and a run in which nothing changed."""
    root = make_project(where / "idle", make_rows(10_000))
    subprocess.run(
        mlops("run", "employment"),
        cwd=root,
        env=environment(),
        check=True,
        capture_output=True,
    )
    costs = compare(
        {
            "mlops --help": Command(mlops("--help"), root),
            "mlops run, nothing changed": Command(mlops("run", "employment"), root),
            "mlops registry list, empty": Command(mlops("registry", "list"), root),
        }
    )
    return _plain("Small commands", costs)


def start_part(where: Path) -> list[str]:
    """Time the template to a first tested model, packages installed."""
    folder = where / "start"
    folder.mkdir()

    def generate_and_run() -> list[str]:
        script = (
            "import subprocess, sys; from cookiecutter.main import cookiecutter;"
            f"made = cookiecutter({str(ROOT)!r}, no_input=True, "
            "overwrite_if_exists=True);"
            "command = [sys.executable, '-m', 'mlops', 'run'];"
            "sys.exit(subprocess.run(command, cwd=made).returncode)"
        )
        return [sys.executable, "-c", script]

    def clean() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    commands = {
        "cookiecutter, then mlops run": Command(generate_and_run(), folder, clean)
    }
    kedro = shutil.which("kedro-bench")
    # A script of the reader's own: `kedro new` (spaceflights-pandas), then `kedro run`.
    if kedro:
        commands["kedro new, then kedro run"] = Command([kedro], folder, clean)
    return _plain("From the template to a first tested model", compare(commands))


def _plain(title: str, costs: dict[str, Cost]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| command | time | peak memory |",
        "| --- | --: | --: |",
    ]
    lines += [
        f"| {name} | {c.seconds:.2f} s | {c.memory:,.0f} MB |"
        for name, c in costs.items()
    ]
    return [*lines, ""]


def wiring_part(where: Path) -> list[str]:
    """Compare the jobs of a pull request, rehearsed, with their commands by hand."""
    from wiring import wiring_part

    return wiring_part(where / "wiring")


PARTS: dict[str, Callable[[Path], list[str]]] = {
    "rows": rows_part,
    "idle": idle_part,
    "start": start_part,
    "registry": registry_part,
    "releases": releases_part,
    "wiring": wiring_part,
    "sweep": sweep_part,
}


def main() -> None:
    """Run the parts that were asked for; each one's section is written at its end."""
    chosen = sys.argv[1:] or list(PARTS)
    for part in chosen:
        print(f"{part} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            write_section(PARTS[part](Path(folder)))


if __name__ == "__main__":
    main()

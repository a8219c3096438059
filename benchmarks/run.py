"""`make bench`: every figure that the README quotes, measured side by side in one run.

Usage: python benchmarks/run.py [PART ...]
Parts are rows, idle, start, registry and wiring; default: all.
BENCH_REPEATS=1 for a quick look. Results go to benchmarks/results.md.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from measure import ENGINE, REPEATS, ROOT, Command, Cost, compare, mlops

EXAMPLE = ENGINE / "models" / "employment"
SIZES = (10_000, 100_000, 1_000_000)
RESULTS = ROOT / "benchmarks" / "results.md"
# 17 columns: those of the example without the three difficulties, and the target.
COLUMNS = ["person_id", "household_id", "year", "age", "schooling", "marital_status"]
COLUMNS += ["relationship", "parents_employment", "citizenship", "mobility", "military"]
COLUMNS += ["ancestry", "nativity", "sex", "race", "disability", "employed"]


def git(root: Path, *arguments: str) -> None:
    """Run git with an identity of its own."""
    identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def make_rows(n: int) -> pd.DataFrame:
    """Return the people of the example again and again, with new ids and ages shaken by a year."""
    data = EXAMPLE / "data"
    people = pd.read_csv(data / "people" / "2015.csv")
    people = people.merge(pd.read_csv(data / "labels" / "2015.csv"), on="person_id")[COLUMNS]
    copies = []
    for copy in range(-(-n // len(people))):
        shake = np.random.default_rng(copy).integers(-1, 2, len(people))
        ids = {c: people[c] + copy * 1_000_000 for c in ("person_id", "household_id")}
        copies.append(people.assign(age=(people["age"] + shake).clip(16, 95), **ids))
    return pd.concat(copies).head(n)


def make_project(where: Path, rows: pd.DataFrame) -> Path:
    """Make a repository with the example model on some rows."""
    folder = where / "models" / "employment"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    (folder / "data").mkdir()
    rows.to_csv(folder / "data" / "rows.csv", index=False)
    text = (folder / "model.yaml").read_text(encoding="utf-8")
    lines = [x for x in text.splitlines() if not x.strip().startswith("labels:")]
    text = "\n".join(lines).replace("data/people/*.csv", "data/rows.csv")
    text = text.replace("learner: logistic", "learner: boosting")
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    (where / "project.yaml").write_text('name: bench\nowner: "@bench"\n')
    (where / ".gitignore").write_text("build/\n.mlops/\nmodels/*/data/\n__pycache__/\n")
    shutil.copy(ENGINE / "requirements.txt", where)
    git(where, "init", "-q", "-b", "main")
    git(where, "add", "-A")
    git(where, "commit", "-qm", "Bench")
    return where


def against(costs: dict[str, Cost], bare: str) -> list[str]:
    """Return table rows with ratios to one of the commands."""
    base = costs[bare]
    return [
        f"| {name} | {c.seconds:.2f} s | {c.seconds / base.seconds:.2f} | "
        f"{c.memory:,.0f} MB | {c.memory / base.memory:.2f} |"
        for name, c in costs.items()
    ]


def rows_part(where: Path) -> list[str]:
    """Compare validate, train and the whole run with a bare script, by number of rows."""
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
                "mlops run (all five stages)": Command(mlops("run", "employment"), root, forget),
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
        mlops("run", "employment"), cwd=root, env=_env(), check=True, capture_output=True
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
    """Time the way from the template to a first trained and tested model, packages installed."""
    folder = where / "start"
    folder.mkdir()

    def generate_and_run() -> list[str]:
        script = (
            "import subprocess, sys; from cookiecutter.main import cookiecutter;"
            f"made = cookiecutter({str(ROOT)!r}, no_input=True, overwrite_if_exists=True);"
            "sys.exit(subprocess.run([sys.executable, '-m', 'mlops', 'run'], cwd=made).returncode)"
        )
        return [sys.executable, "-c", script]

    def clean() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    commands = {"cookiecutter, then mlops run": Command(generate_and_run(), folder, clean)}
    kedro = shutil.which("kedro-bench")
    if kedro:  # a script of the reader's own: `kedro new` (spaceflights-pandas), then `kedro run`
        commands["kedro new, then kedro run"] = Command([kedro], folder, clean)
    return _plain("From the template to a first tested model", compare(commands))


def registry_part(where: Path) -> list[str]:
    """Time listing many versions, against GTO on the same tags and git alone."""
    out = ["## Listing versions", ""]
    out += [
        "| versions | mlops registry list | git for-each-ref | gto show |",
        "| --: | --: | --: | --: |",
    ]
    for n in (100, 1_000, 10_000):
        root = make_project(where / f"registry{n}", make_rows(100))
        _many_versions(root, n)
        commands = {
            "mlops": Command(mlops("registry", "list", "employment"), root),
            "git": Command(["git", "for-each-ref", "refs/tags"], root),
        }
        gto = Path(sys.executable).with_name("gto")
        if n <= 1_000:  # beyond, gto takes minutes
            commands["gto"] = Command([str(gto), "show"], root)
        costs = compare(commands)
        cells = [
            f"{costs[c].seconds:.2f} s" if c in costs else "not run"
            for c in ("mlops", "git", "gto")
        ]
        out.append(f"| {n:,} | {' | '.join(cells)} |")
    return [*out, ""]


def _many_versions(root: Path, n: int) -> None:
    """Write n versions, each a commit of its own with an annotated tag, by git fast-import."""
    stream = []
    for i in range(n):
        who = f"Bench <bench@example.com> {1_700_000_000 + i * 60} +0000"
        version = f"employment@v1.{i}.0"
        message = f"{version}\n\nActor: @bench\nReason: bench\nManifest-SHA256: {i:064x}\n"
        stream.append(
            f"commit refs/heads/versions\nmark :{i + 1}\ncommitter {who}\n"
            f"data {len(version)}\n{version}\n"
            f"tag {version}\nfrom :{i + 1}\ntagger {who}\ndata {len(message)}\n{message}\n"
        )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=root, input="".join(stream).encode(), check=True
    )
    git(root, "update-ref", "-d", "refs/heads/versions")
    git(root, "pack-refs", "--all")


def _env() -> dict[str, str]:
    from measure import environment

    return environment()


def _plain(title: str, costs: dict[str, Cost]) -> list[str]:
    lines = [f"## {title}", "", "| command | time | peak memory |", "| --- | --: | --: |"]
    lines += [f"| {name} | {c.seconds:.2f} s | {c.memory:,.0f} MB |" for name, c in costs.items()]
    return [*lines, ""]


def wiring_part(where: Path) -> list[str]:
    """Compare the jobs of a pull request, rehearsed, with their verbs by hand."""
    from wiring import wiring_part

    return wiring_part(where / "wiring")


PARTS: dict[str, Callable[[Path], list[str]]] = {
    "rows": rows_part,
    "idle": idle_part,
    "start": start_part,
    "registry": registry_part,
    "wiring": wiring_part,
}


def main() -> None:
    """Run the parts that were asked for and write the results."""
    chosen = sys.argv[1:] or list(PARTS)
    version = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    lines = [
        "# Figures",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} at commit {version}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, two cores; the "
        f"median of {REPEATS}, commands in turn. Compare ratios, not seconds.",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen:
            print(f"{part} ...", file=sys.stderr, flush=True)
            lines += PARTS[part](Path(folder))
    text = "\n".join(lines).rstrip() + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

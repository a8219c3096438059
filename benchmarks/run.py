"""`make bench`: every figure that the README quotes, measured side by side in one run.

Usage: python benchmarks/run.py [PART ...]
Parts are rows, idle, start, registry, releases and wiring; default: all.
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
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from measure import ENGINE, REPEATS, ROOT, Command, Cost, compare, mlops

sys.path.insert(0, str(ENGINE))  # the registry is filled by the engine's own classes

if TYPE_CHECKING:
    from mlops.registry.manifest import Manifest

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
    """Time the registry with many versions, against GTO on the same tags and git alone."""
    from mlops.registry.tags import FIELDS

    gto = str(Path(sys.executable).with_name("gto"))
    empty = make_project(where / "registry0", make_rows(100))
    start = "start: mlops registry list of nothing"
    columns: dict[str, list[str]] = {
        start: mlops("registry", "list"),
        "git for-each-ref": ["git", "for-each-ref", "refs/tags"],
        "the same, with what list shows": ["git", "for-each-ref", f"--format={FIELDS}"],
        "mlops registry list": mlops("registry", "list", "employment"),
        "mlops registry show": mlops("registry", "show", "employment@latest"),
        "mlops registry best": mlops("registry", "best", "employment"),
        "gto show": [gto, "show", "employment"],
    }
    out = ["## The registry by number of versions", ""]
    out += [f"| versions | {' | '.join(columns)} |", "| --: |" + " --: |" * len(columns)]
    for n in (100, 1_000, 5_000, 10_000):
        root = make_project(where / f"registry{n}", make_rows(100))
        _many_versions(root, n)
        asked = {k: Command(v, empty if k == start else root) for k, v in columns.items()}
        slow = asked.pop("gto show")
        costs = compare(asked)
        if n <= 5_000:  # where it takes minutes: once
            costs |= compare({"gto show": slow}, 1 if n > 1_000 else REPEATS)
        cells = [f"{costs[c].seconds:.3f} s" if c in costs else "not run" for c in columns]
        out.append(f"| {n:,} | {' | '.join(cells)} |")
    return [*out, ""]


def _many_versions(root: Path, n: int) -> None:
    """Write n versions, each a commit with a true manifest and a tag, by git fast-import."""
    from mlops.files import sha256
    from mlops.registry.manifest import dump

    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    first = _manifest(head.stdout.strip())
    lock, stream = dump(first.data), []
    for i in range(n):
        number = f"v1.{i}.0"
        name, when = f"employment@{number}", f"{1_700_000_000 + i * 60} +0000"
        who = f"Bench <bench@example.com> {when}"
        metric = first.metrics[0].model_copy(update={"value": 0.8 + i % 997 / 1e4})
        content = dump(first.model_copy(update={"version": number, "metrics": (metric,)}))
        said = f"Register\n\nActor: @bench\nReason: bench\nManifest-SHA256: {sha256(content)}\n"
        stream += [
            f"commit refs/heads/versions\nmark :{i + 1}\ncommitter {who}\ndata 1\nx\n",
            f"from {first.code.commit}\n",
        ]
        for file, text in (("manifest.json", content.decode()), ("data.lock.json", lock.decode())):
            stream.append(f"M 100644 inline models/employment/{file}\ndata {len(text)}\n{text}\n")
        stream.append(f"tag {name}\nfrom :{i + 1}\ntagger {who}\ndata {len(said)}\n{said}\n")
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=root, input="".join(stream).encode(), check=True
    )
    git(root, "update-ref", "-d", "refs/heads/versions")
    git(root, "pack-refs", "--all")


# Puts a file of some size in the place of the model, as if a run had left it.
_PRETEND = """
import os, sys
from mlops.cli.run import STAGES, Ledger
from mlops.files import sha256_file
from mlops.project import Project
from mlops.results import Training

project, size = Project.find(), int(sys.argv[1])
build = project.build("employment")
with open(build / "model.skops", "wb") as file:
    for _ in range(size >> 20):
        file.write(os.urandom(1 << 20))
facts = {"model_sha256": sha256_file(build / "model.skops"), "model_bytes": size}
Training.load(build).model_copy(update=facts).save(build)
ledger = Ledger(project, "employment", project.model("employment"))
for stage in STAGES[:-1]:
    ledger.finish(stage, ledger.inputs(stage, "None" if stage in ("test", "gate") else ""), True, 0)
"""


def releases_part(where: Path) -> list[str]:
    """Time publishing and pulling a model by its size, against a plain copy and its digest."""
    root = make_project(where / "releases", make_rows(10_000))
    run = mlops("run", "employment")
    subprocess.run(run, cwd=root, env=_env(), check=True, capture_output=True)
    model, copy = root / "build" / "employment" / "model.skops", where / "copy"

    def forget() -> None:
        shutil.rmtree(root / ".mlops", ignore_errors=True)
        subprocess.run("git tag -l | xargs -r git tag -d", cwd=root, shell=True, check=True)

    def clear() -> None:
        shutil.rmtree(where / "pulled", ignore_errors=True)

    plain = f"cp '{model}' '{copy}' && sha256sum '{copy}'"
    commands = {
        "cp and sha256sum": Command(["sh", "-c", plain], root),
        "mlops register": Command(mlops("register", "employment"), root, forget),
        "mlops pull": Command(
            mlops("pull", "employment@latest", "--out", str(where / "pulled")), root, clear
        ),
    }
    out = ["## Publishing and pulling, releases in a folder", ""]
    out += ["| model | command | time | peak memory |", "| --: | --- | --: | --: |"]
    for size, shown in ((1 << 20, "1 MB"), (100 << 20, "100 MB"), (1 << 30, "1 GB")):
        pretend = [sys.executable, "-c", _PRETEND, str(size)]
        subprocess.run(pretend, cwd=root, env=_env(), check=True)
        for name, c in compare(commands).items():
            out.append(f"| {shown} | {name} | {c.seconds:.2f} s | {c.memory:,.0f} MB |")
    return [*out, ""]


def _manifest(commit: str) -> Manifest:
    """Return a manifest as registering the example would write it, for a commit."""
    from mlops.files import sha256
    from mlops.registry.manifest import Manifest, dump
    from mlops.results import Snapshot

    digest = "0" * 64
    counts = dict.fromkeys(("rows", "rows_read", "train_rows", "test_rows"), 10_000)
    data = Snapshot(digest=digest, **counts, duplicates_removed=0, unlabelled=0)
    features = [{"name": f"feature_{i}", "kind": "number", "missing": False} for i in range(10)]
    metric = {"name": "roc_auc", "value": 0.8, "low": 0.79, "high": 0.81}
    return Manifest.model_validate(
        {
            "model": "employment",
            "version": "v1.0.0",
            "change": "bench",
            "signature": {"task": "binary", "target": "employed", "features": features},
            "metrics": [metric],
            "data": data,
            "data_lock_sha256": sha256(dump(data)),
            "code": {"commit": commit, "digest": digest},
            "environment": {"lock_sha256": digest, "python": "3.11.7", "platform": "Linux"},
            "estimator": "Bench",
            "params": {},
            "seed": 0,
            "train_seconds": 1.0,
            "verdict": {"decision": "promote", "rule": "superiority"},
            "assets": {"model.skops": {"sha256": digest, "size": 1}},
            "run": "bench",
            "actor": "@bench",
        }
    )


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
    "releases": releases_part,
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

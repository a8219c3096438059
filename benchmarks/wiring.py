"""What the workflows add to the commands: pull requests against a clone by hand.

Usage: python benchmarks/wiring.py     (replaces its section of benchmarks/results.md)
`make bench` measures it too. BENCH_REPEATS=1 for a quick look.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import REPEATS
from results import write_section

from rehearsal.hub import Hub
from rehearsal.runner.run import Run
from rehearsal.stories.template import generate
from rehearsal.stories.world import Edit, World, replaced
from stories.worlds import ASIDE

TITLE = "## What the wiring costs"
MODEL = "employment"
PEOPLE = f"models/{MODEL}/data/people/2015.csv"


def fewer(root: Path) -> None:
    """Leave out the last rows of the data."""
    path = root / PEOPLE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-50]), encoding="utf-8")


BETTER = replaced(
    f"models/{MODEL}/model.yaml", "learner: logistic", "learner: boosting"
)
COMMANDS = {
    "plan": ("plan", "--base", "origin/main"),
    f"model ({MODEL})": ("run", MODEL),
}
KINDS: dict[str, Edit] = {
    "docs only": {"docs/notes.md": "Notes.\n"},
    "application code only": {
        "vendor/mlops/src/mlops/serving/note.py": '"""A note."""\n'
    },
    "data only": fewer,
    "training code": BETTER,
}


@contextmanager
def released(where: Path) -> Iterator[World]:
    """Put the template's example on a hub, with its first version in production."""
    with Hub(where / "hub") as hub:
        world = World(hub, where, generate(where / "generated"))
        world.runner.disabled = set(ASIDE)
        (run,) = world.dispatch("release")
        if run.conclusion != "success":
            sys.exit(run.log)
        yield world


def rehearsed(world: World, kind: str, number: int) -> list[Run]:
    """Open a pull request; return the runs of its checks and of its comment."""
    branch = f"{kind.replace(' ', '-')}-{number}"
    pull = world.open_pull_request(branch, KINDS[kind])
    world.api("PATCH", f"/pulls/{pull.number}", {"state": "closed"})
    return [pull.last("pull-request"), pull.last("comment")]


def by_hand(world: World, kind: str, number: int) -> dict[str, float]:
    """Time the commands of the critical path in a fresh clone, one after the other."""
    clone = world.root / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    branch = f"{kind.replace(' ', '-')}-{number}"
    world.git("clone", "--quiet", "--branch", branch, world.address(), str(clone))
    kept = ("PATH", "HOME", "LANG")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {
        "GITHUB_REPOSITORY": world.hub.repository,
        "GITHUB_API_URL": world.hub.api_url,
        "GITHUB_TOKEN": world.token("alice"),
        "PYTHONPATH": str(clone / "vendor/mlops/src"),
    }
    seconds = {}
    for job, arguments in COMMANDS.items():
        began = time.perf_counter()
        command = [sys.executable, "-m", "mlops", *arguments]
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True
        )
        seconds[job] = time.perf_counter() - began
        if done.returncode > 1:  # 1: the gate says no, which takes as long
            sys.exit(done.stdout + done.stderr)
    return seconds


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each job."""
    return {job: statistics.median(run[job] for run in runs) for job in runs[0]}


def wiring_part(where: Path, repeats: int = REPEATS) -> list[str]:
    """Measure each kind of pull request, and the commands of the one that does most."""
    # Every job of the critical path, and none beside it on the same two cores.
    most = "data only"
    jobs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    walls: dict[str, list[float]] = {kind: [] for kind in KINDS}
    hand: list[dict[str, float]] = []
    with released(where) as world:
        for number in range(repeats):
            for kind in KINDS:
                print(
                    f"  {kind}, {number + 1} of {repeats}", file=sys.stderr, flush=True
                )
                checks, comment = rehearsed(world, kind, number)
                jobs[kind].append(checks.seconds | comment.seconds)
                walls[kind].append(checks.wall)
                if kind == most:
                    hand.append(by_hand(world, kind, number))
    ours = median(jobs[most])
    commands = median(hand)
    out = [
        TITLE,
        "",
        "A pull request that changes data, in the rehearsal, against the same commands "
        f"in a fresh clone by hand; median of {repeats}. Packages are there; on GitHub "
        "installing them, or restoring their cache, comes on top of every job.",
        "",
        "| job | in the workflow | its command by hand | ratio |",
        "| --- | --: | --: | --: |",
    ]
    del ours["comment"]  # nobody waits for it
    for job, seconds in ours.items():
        alone = commands.get(job)
        cells = (f"{alone:.2f} s", f"{seconds / alone:.2f}") if alone else ("", "")
        out.append(f"| {job} | {seconds:.2f} s | {cells[0]} | {cells[1]} |")
    whole = sum(ours.values())
    sum_ = sum(commands.values())
    out.append(f"| critical path | {whole:.2f} s | {sum_:.2f} s | {whole / sum_:.2f} |")
    out += [
        "",
        "By kind of change: the wall time of the checks on one machine of two cores; "
        "the jobs of checks and comment, their seconds, and the minutes that GitHub "
        "bills (each rounded up).",
        "",
        "| a change of | wall | jobs | seconds of jobs | billed minutes |",
        "| --- | --: | --: | --: | --: |",
    ]
    for kind, runs in jobs.items():
        taken = median(runs)
        billed = sum(math.ceil(seconds / 60) for seconds in taken.values())
        out.append(
            f"| {kind} | {statistics.median(walls[kind]):.1f} s | {len(taken)} | "
            f"{sum(taken.values()):.1f} s | {billed} |"
        )
    return [*out, ""]


def main() -> None:
    """Measure, and put the section in the place of the one that is there."""
    with tempfile.TemporaryDirectory() as folder:
        write_section(wiring_part(Path(folder)))


if __name__ == "__main__":
    main()

"""What commands cost as models, versions and runs grow.

Usage: python benchmarks/scale.py [MODELS VERSIONS RUNS]...
       (replaces its section of benchmarks/results.md)

Each repository is grown by a script (`tests/engine/grown.py`), by ten times in each
step: 10 models with 1,000 versions, then 100 with 10,000. Time is that of the
processor, for the command and all that it starts; releases are in a folder. Requests
are those of a hub that is as strict as GitHub: its list ends after a thousand releases.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from measure import REPEATS, Command, environment, mlops, once
from results import write_section

from engine.grown import Grown, Size
from rehearsal.hub import Hub

TITLE = "## What commands cost as models and versions grow"
SIZES = (Size(10, 1_000, 500), Size(100, 10_000, 5_000))
COMMANDS = {
    "registry list": ("registry", "list"),
    "registry list MODEL": ("registry", "list", "m000"),
    "registry show": ("registry", "show", "m000@production"),
    "registry best": ("registry", "best", "m000"),
    "runs list": ("runs", "list"),
    "plan": ("plan", "--base", "HEAD"),
    "pages": ("pages",),
    "doctor": ("doctor",),
}
FAILS = {"doctor": 1}  # neither a lock nor hooks are there


@dataclass(frozen=True)
class Figures:
    """What one command took on one repository; requests where it makes any."""

    seconds: float
    memory: float
    output: int
    requests: str = "0"


def measured(size: Size, where: Path) -> dict[str, Figures]:
    """Grow a repository, and run every command on it."""
    grown = Grown(where / "acme", size)
    grown.fill(grown.root / ".mlops" / "releases")
    commands = {
        name: Command(mlops(*words), grown.root, expect=FAILS.get(name, 0))
        for name, words in COMMANDS.items()
    }
    figures = {name: timed(command) for name, command in commands.items()}
    for name, requests in counted(grown, where).items():
        figures[name] = replace(figures[name], requests=requests)
    return figures


def timed(command: Command) -> Figures:
    """Return what a command takes, the median of several runs."""
    costs = [once(command) for _ in range(REPEATS)]
    done = subprocess.run(
        command.arguments,
        cwd=command.folder,
        env=environment(),
        capture_output=True,
        check=False,
    )
    return Figures(
        statistics.median(cost.processor for cost in costs),
        statistics.median(cost.memory for cost in costs),
        len(done.stdout),
    )


def counted(grown: Grown, where: Path) -> dict[str, str]:
    """Return the requests of those commands that ask GitHub."""
    from mlops.config.project import Project
    from mlops.github.client import repository
    from mlops.registry.health import health
    from mlops.reporting.site import site
    from mlops.storage.github_releases import GitHubStore

    project = Project(grown.root)
    now = datetime.now(UTC)

    def pages() -> None:
        site(project, GitHubStore(repository()), now)

    with hub_of(grown, where) as hub:
        cold = total(hub, pages)
        warm = total(hub, pages)
        doctor = total(hub, lambda: health(project, GitHubStore(repository())))
    return {"pages": f"{cold}, then {warm}", "doctor": str(doctor)}


def total(hub: Hub, act: Callable[[], object]) -> int:
    """Return how many requests something takes."""
    with hub.counting() as requests:
        act()
    print(requests, file=sys.stderr)
    return requests.total()


@contextmanager
def hub_of(grown: Grown, where: Path) -> Iterator[Hub]:
    """Yield a hub with the releases of a repository, for the job of a workflow."""
    folder = where / "hub"
    folder.mkdir()
    clone = [
        "git",
        "clone",
        "-q",
        "--bare",
        str(grown.root),
        str(folder / "origin.git"),
    ]
    subprocess.run(clone, check=True)
    with Hub(folder) as hub:
        grown.publish(hub)
        os.environ |= {
            "GITHUB_API_URL": hub.api_url,
            "GITHUB_REPOSITORY": hub.repository,
            "GITHUB_TOKEN": hub.tokens.issue({"contents": "read"}, actor="alice"),
            "MLOPS_CACHE": str(where / "cache"),
            "MLOPS_HTTP_TIMEOUT": "120",
        }
        try:
            yield hub
        finally:
            for name in ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN"):
                del os.environ[name]


def rows(sizes: list[Size], figures: list[dict[str, Figures]]) -> list[str]:
    """Return the table: a line for each command and size, with the growth."""
    out = [
        "| command | models | versions | tags | processor | growth | peak memory | "
        "output | requests |",
        "| --- " + "| --: " * 8 + "|",
    ]
    for name in COMMANDS:
        before: Figures | None = None
        for size, by_name in zip(sizes, figures, strict=True):
            now = by_name[name]
            growth = ""
            if before is not None:
                growth = f"{now.seconds / before.seconds:.1f} x"
            cells = (
                name,
                f"{size.models:,}",
                f"{size.versions:,}",
                f"{size.versions * 3:,}",
                f"{now.seconds:.2f} s",
                growth,
                f"{now.memory:,.0f} MB",
                f"{now.output:,}",
                now.requests,
            )
            out.append(f"| {' | '.join(cells)} |")
            before = now
    return out


def main() -> None:
    """Measure all sizes, and write the section."""
    numbers = [int(text) for text in sys.argv[1:]]
    sizes = list(SIZES)
    if numbers:
        sizes = [Size(*numbers[at : at + 3]) for at in range(0, len(numbers), 3)]
    figures = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(measured(size, Path(folder)))
    note = (
        "Seconds of the processor, output in bytes. Pages: the first run with an empty "
        "cache, then the next."
    )
    write_section([TITLE, "", note, "", *rows(sizes, figures)])


if __name__ == "__main__":
    main()

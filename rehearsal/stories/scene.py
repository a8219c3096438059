"""What the chapters of the demo have in common: a repository, a clone, a service, what is kept."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from rehearsal.hub import Hub
from rehearsal.runner.run import Run
from rehearsal.stories.clone import Clone, Service
from rehearsal.stories.teller import WIDTH, StoryError, Teller
from rehearsal.stories.world import World

ROOT = Path(__file__).parents[2]
YEARS = ROOT / "tests" / "data" / "employment"
NAME = "employment"
# The workflows of the story; the others are switched off, as their pages on GitHub can.
WORKFLOWS = {"release", "pull-request", "comment", "monitor", "promote"}


class Demo:
    """A repository, those who work with it, and what is kept of it for the reader.

    Parameters
    ----------
    folder : Path
        Everything lies below it.
    hub : Hub
    teller : Teller
    """

    def __init__(self, folder: Path, hub: Hub, teller: Teller) -> None:
        self.teller, self.folder = teller, folder
        self.world = World(
            hub, folder / "github", generate(folder / "github" / "generated")
        )
        self.world.runner.tell = teller.job
        there = (self.world.work / ".github" / "workflows").glob("*.yml")
        self.world.runner.disabled = {path.stem for path in there} - WORKFLOWS
        self.clone = Clone(
            self.world, folder / "census-models", folder / "github" / "served"
        )
        (folder / "look").mkdir()

    def verb(self, *arguments: str, days_ago: float = 0) -> str:
        """Run a verb in somebody's clone, and show it."""
        if days_ago:
            self.teller.prose(f"{days_ago:g} days ago:")
        self.teller.say(f"   $ mlops {' '.join(arguments)}")
        said = self.clone.mlops(*arguments, days_ago=days_ago)
        for line in said.splitlines():
            self.teller.say(
                "     " + (line if len(line) < WIDTH - 5 else f"{line[: WIDTH - 6]}…")
            )
        return said

    def fill_in(self, year: Path, days_ago: float = 0) -> None:
        """Let the version in production fill in the answers that a year's forms lack."""
        there = self.clone.folder / "build" / year.name
        there.parent.mkdir(exist_ok=True)
        shutil.copy(year, there)
        forms, answers = f"build/{year.name}", f"build/answers-{year.name}"
        ref = f"{NAME}@production"
        self.verb("predict", ref, forms, "--out", answers, days_ago=days_ago)

    def answers(self, service: Service, version: str) -> None:
        """See the service, which nobody has started anew, answer with a version."""
        moved = service.comes_to(version)
        answer = service.ask("/predict", {"rows": [person()]})
        (said,) = answer["predictions"]
        self.teller.check(
            f"the service answers with {answer['version']}: POST /predict → at work: "
            f"{said['prediction']} ({said['score']:.2f})",
            moved and answer["version"] == version,
        )

    def keep(self, name: str, content: str | bytes) -> None:
        """Keep a file to look at."""
        path = self.folder / "look" / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def shown(self, name: str) -> str:
        """Return the path of what is kept, from where the reader is."""
        path = self.folder / name
        return str(
            path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        )

    def released(self, version: str) -> None:
        """Look at a release as its page shows it."""
        hub = self.world.hub
        (release,) = (
            r
            for r in hub.state.releases.values()
            if r["tag_name"] == f"{NAME}@{version}"
        )
        assets = hub.state.assets_of(release["id"])
        self.teller.check(
            f"its release is published, with {len(assets)} files", not release["draft"]
        )
        files = [
            f"{one['name']} ({one['path'].stat().st_size / 1000:.0f} kB)"
            for one in assets
        ]
        rows = [files[at : at + 3] for at in range(0, len(files), 3)]
        self.teller.quote(
            release["name"], *("".join(f"{file:<28}" for file in row) for row in rows)
        )
        for asset in assets:
            if asset["name"] in ("report.md", "report.html", "card.md"):
                self.keep(asset["name"], asset["path"].read_bytes())

    def promote(self, actor: str, version: str) -> Run:
        """Start promote.yml for production; without a version, to go back."""
        asked = {"decision": "promote", "version": version, "reason": "it is good"}
        if not version:
            asked = {"decision": "rollback", "reason": "complaints"}
        (run,) = self.world.dispatch("promote", actor=actor, model=NAME, **asked)
        return run

    def refused(self, actor: str, version: str, why: str) -> None:
        """See somebody refused, and nothing changed."""
        before = self.world.tags()
        run = self.promote(actor, version)
        kept = not good(run) and why in run.log and self.world.tags() == before
        self.teller.check(f"refused: {why}", kept)


def generate(where: Path) -> Path:
    """Generate a repository from this template, with defaults for all but its name and owner."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"]
    answers = ["project_name=Census models", "github_owner=acme"]
    made = [*command, "--output-dir", str(where), str(ROOT), *answers]
    done = subprocess.run(made, capture_output=True, text=True)
    if done.returncode:
        raise StoryError(f"cookiecutter says: {done.stdout}{done.stderr}")
    return where / "census-models"


def person() -> dict[str, object]:
    """Return what the form of one person of 2016 says."""
    with (YEARS / "people" / "2016.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    names = (
        "schooling",
        "marital_status",
        "relationship",
        "parents_employment",
        "citizenship",
    )
    names += ("mobility", "military", "ancestry")
    return {"age": float(row["age"]), **{name: row[name] or None for name in names}}


def broken_2018(target: Path) -> Path:
    """Write the people of 2018 as a broken survey would: most of those who stayed are missing."""
    with (YEARS / "people" / "2018.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            row
            for n, row in enumerate(rows)
            if row["mobility"] != "stayed" or n % 5 == 0
        )
    return target


def good(run: Run) -> bool:
    """Return whether a run is green."""
    return run.conclusion == "success"


def said_in(where: Run | str, what: str) -> str:
    """Return the line that holds some words; StoryError where nobody says them."""
    text = where if isinstance(where, str) else where.summary
    lines = [line for line in text.splitlines() if what in line]
    if not lines:
        raise StoryError(f"nobody says {what!r}: {text}")
    return lines[0].strip("- .")

"""What the chapters of the demo share: repository, clone, service, what is kept."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from rehearsal.hub import Hub
from rehearsal.runner.run import Run
from rehearsal.stories.clone import Clone, Service
from rehearsal.stories.teller import WIDTH, StoryError, Teller
from rehearsal.stories.template import ROOT, generate
from rehearsal.stories.world import World

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
        self.teller = teller
        self.folder = folder
        generated = generate(
            folder / "github" / "generated",
            project_name="Census models",
            github_owner="acme",
        )
        self.world = World(hub, folder / "github", generated)
        self.world.runner.tell = teller.job
        files = (self.world.work / ".github" / "workflows").glob("*.yml")
        self.world.runner.disabled = {path.stem for path in files} - WORKFLOWS
        self.clone = Clone(
            self.world, folder / "census-models", folder / "github" / "served"
        )
        (folder / "look").mkdir()

    def command(self, *arguments: str, days_ago: float = 0) -> str:
        """Run a command of the engine in somebody's clone, and show it."""
        if days_ago:
            self.teller.prose(f"{days_ago:g} days ago:")
        self.teller.say(f"   $ mlops {' '.join(arguments)}")
        output = self.clone.mlops(*arguments, days_ago=days_ago)
        for line in output.splitlines():
            if len(line) >= WIDTH - 5:
                line = f"{line[: WIDTH - 6]}…"
            self.teller.say(f"     {line}")
        return output

    def fill_in(self, year: Path, days_ago: float = 0) -> None:
        """Let the version in production answer what the people of a year left open."""
        forms = f"build/{year.name}"
        answers = f"build/answers-{year.name}"
        (self.clone.folder / "build").mkdir(exist_ok=True)
        shutil.copy(year, self.clone.folder / forms)
        ref = f"{NAME}@production"
        self.command("predict", ref, forms, "--out", answers, days_ago=days_ago)

    def answers(self, service: Service, version: str) -> None:
        """See the service, which nobody has started anew, answer with a version."""
        moved = service.comes_to(version)
        answer = service.ask("/predict", {"rows": [person()]})
        (one,) = answer["predictions"]
        self.teller.check(
            f"the service answers with {answer['version']}: POST /predict → at work: "
            f"{one['prediction']} ({one['score']:.2f})",
            moved and answer["version"] == version,
        )

    def keep(self, name: str, content: str | bytes) -> None:
        """Keep a file to look at."""
        path = self.folder / "look" / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def shown(self, name: str) -> str:
        """Return the path of what is kept, from where the reader is."""
        path = self.folder / name
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)

    def released(self, version: str) -> None:
        """Look at a release as its page shows it."""
        hub = self.world.hub
        tag = f"{NAME}@{version}"
        releases = hub.state.releases.values()
        (release,) = [one for one in releases if one["tag_name"] == tag]
        assets = hub.state.assets_of(release["id"])
        self.teller.check(
            f"its release is published, with {len(assets)} files", not release["draft"]
        )
        files = [
            f"{one['name']} ({one['path'].stat().st_size / 1000:.0f} kB)"
            for one in assets
        ]
        lines = []
        for start in range(0, len(files), 3):
            row = files[start : start + 3]
            lines.append("".join(f"{file:<28}" for file in row))
        self.teller.quote(release["name"], *lines)
        for asset in assets:
            if asset["name"] in ("report.md", "report.html", "card.md"):
                self.keep(asset["name"], asset["path"].read_bytes())

    def promote(self, actor: str, version: str) -> Run:
        """Start promote.yml for production; without a version, to go back."""
        inputs = {"decision": "promote", "version": version, "reason": "it is good"}
        if not version:
            inputs = {"decision": "rollback", "reason": "complaints"}
        (run,) = self.world.dispatch("promote", actor=actor, model=NAME, **inputs)
        return run

    def refused(self, actor: str, version: str, why: str) -> None:
        """See somebody refused, and nothing changed."""
        before = self.world.tags()
        run = self.promote(actor, version)
        unchanged = self.world.tags() == before
        refused = not good(run) and why in run.log
        self.teller.check(f"refused: {why}", refused and unchanged)


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
        "mobility",
        "military",
        "ancestry",
    )
    return {"age": float(row["age"]), **{name: row[name] or None for name in names}}


def broken_2018(target: Path) -> Path:
    """Write the people of 2018 without four in five of those who did not move."""
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

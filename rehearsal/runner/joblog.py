"""What act's JSON log says: how each job ended, what it wrote, how long it took."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.runner.expressions import as_text

# What a step's shell prints last where the step has failed, with its own number.
LAST_LINE = "rehearsal-last-line-"
_EXPRESSION = re.compile(
    r"\$\{\{\s*steps\.([\w-]+)\.outputs\.([\w-]+)(?:\s*\|\|\s*'((?:[^']|'')*)')?\s*\}\}"
)


@dataclass(frozen=True)
class Call:
    """A job that calls another workflow.

    Parameters
    ----------
    pattern : str
        A regular expression for the job's name, which may hold expressions.
    jobs : list of str
        The ids of the other workflow's jobs.
    """

    pattern: str
    jobs: list[str]


@dataclass
class JobLog:
    """One job of a run, or one of a matrix.

    Parameters
    ----------
    key : str
        Its id in the file.
    values : dict
        Of the matrix.
    caller : str
        The name of the job that called its workflow, where one did.

    Attributes
    ----------
    began, ended : float
        Seconds, of the clock that `Log.take` is given.
    failed : list of str
        The steps that failed, without those that may.
    """

    key: str
    values: dict[str, Any]
    caller: str = ""
    result: str = "cancelled"
    began: float = 0.0
    ended: float = 0.0
    lines: list[str] = field(default_factory=list)
    steps: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    annotations: list[tuple[str, str]] = field(default_factory=list)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    _forgiven: set[str] = field(default_factory=set)
    _summarised: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """As GitHub shows a job: ``train (a)``, ``caller / train``."""
        values = ", ".join(_shown(value) for value in self.values.values())
        name = f"{self.key} ({values})" if values else self.key
        return f"{self.caller} / {name}" if self.caller else name

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        if "jobResult" in entry:
            self.result = str(entry["jobResult"])
        message = str(entry["msg"]).rstrip("\n")
        if entry.get("raw_output"):
            self._take_output(message)
        elif "command" in entry:
            self._take_command(entry, message)
        elif entry.get("stage") == "Main" and self._take_step(entry, message):
            return
        elif entry["level"] == "error":
            self.lines.append(message)

    def _take_output(self, message: str) -> None:
        """Take a line that a step has printed."""
        text, last, _ = message.partition(LAST_LINE)
        if text or not last:
            self.lines.append(text)

    def _take_command(self, entry: Mapping[str, Any], message: str) -> None:
        """Take a workflow command: an output, a summary or an annotation."""
        command = entry["command"]
        path = entry.get("stepID") or []
        if command == "set-output":
            if len(path) == 1:
                step = self.outputs.setdefault(path[0], {})
                step[entry["name"]] = entry["arg"]
        elif command == "summary":
            self._take_summary(path, entry["content"])
        elif command in ("error", "warning", "notice"):
            self.annotations.append((command, entry["arg"]))
            self.lines.append(f"::{command}::{entry['arg']}")
        elif entry["level"] == "error":
            self.lines.append(message)

    def _take_summary(self, path: list[str], content: str) -> None:
        # Of an action's steps act tells the last one's again, as the action's own.
        if len(path) > 1:
            self._summarised.add(path[0])
        elif path[0] in self._summarised:
            return
        self.summaries.append(content)

    def _take_step(self, entry: Mapping[str, Any], message: str) -> bool:
        """Take what is said of a step of the job itself; say whether it was that."""
        path = entry.get("stepID") or []
        if len(path) != 1:
            return False
        if "Failed but continue" in message:
            self._forgiven.add(path[0])
            return True
        if "stepResult" not in entry:
            return False
        step = str(entry["step"])
        result = str(entry["stepResult"])
        self.steps[step] = result
        self.lines.append(f"[{result}] {step.splitlines()[0]}")
        if result == "failure" and path[0] not in self._forgiven:
            self.failed.append(step)
        return True

    def evaluated(self, declared: Mapping[str, Any]) -> dict[str, str]:
        """Return the job's outputs from those of its steps."""

        def value(match: re.Match[str]) -> str:
            step, name, default = match.groups()
            found = self.outputs.get(step, {}).get(name)
            return found or (default or "").replace("''", "'")

        return {
            name: _EXPRESSION.sub(value, str(text)) for name, text in declared.items()
        }


def _shown(value: Any) -> str:
    """Return a value of a matrix as GitHub writes it into a job's name."""
    if isinstance(value, Mapping):
        return ", ".join(_shown(inner) for inner in value.values())
    return as_text(value)


class Log:
    """The log of a run, line by line.

    Parameters
    ----------
    declared : mapping
        The workflow's jobs by id; of one that calls another workflow, the call.
    tell : callable, optional
        Called with a job when it begins, and with True when it is over.
    """

    def __init__(
        self,
        declared: Mapping[str, Call | None],
        tell: Callable[[JobLog, bool], None] = lambda job, over: None,
    ) -> None:
        self.jobs: dict[str, JobLog] = {}
        self.text: list[str] = []
        self.skipped: list[str] = []
        self._declared = declared
        self._tell = tell

    def take(self, line: str, at: float) -> str:
        """Take a line as act wrote it; return what a person would read.

        Parameters
        ----------
        line : str
        at : float
            Seconds, when it came.
        """
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            self.text.append(line.rstrip())
            return line
        message = str(entry.get("msg", ""))
        if "Skipping unsupported platform" in message:
            self.skipped.append(f"{entry.get('jobID')}: {message.strip()}")
        elif "jobID" in entry:
            self._take_of_job(entry, at)
        elif entry.get("level") == "error":
            self.text.append(message)
        return message

    def _take_of_job(self, entry: Mapping[str, Any], at: float) -> None:
        key = str(entry["jobID"])
        values = dict(entry.get("matrix") or {})
        new = JobLog(key, values, self._caller(key, str(entry.get("job"))), began=at)
        begins = new.name not in self.jobs
        job = self.jobs.setdefault(new.name, new)
        before = len(job.lines)
        job.take(entry)
        job.ended = at
        if begins or "jobResult" in entry:
            self._tell(job, not begins)
        self.text += [f"{job.name} | {text}" for text in job.lines[before:]]

    def _caller(self, key: str, shown: str) -> str:
        """Return the name of the job that called a job's workflow."""
        if key in self._declared:
            return ""
        for call in self._declared.values():
            if call is None or key not in call.jobs:
                continue
            match = re.match(f"({call.pattern})(-[0-9]+)? */", shown)
            if match:
                return match[1]
        raise ValueError(f"act runs a job that no workflow has: {shown}")

    def results(self) -> dict[str, str]:
        """Return how every job ended; those that never began were skipped."""
        found: dict[str, str] = {}
        for key, call in self._declared.items():
            jobs = self._jobs_of(key, call)
            found |= _results(jobs)
            if call:
                found |= _skipped(jobs, call)
            if not jobs:
                found[key] = "skipped"
        return found

    def _jobs_of(self, key: str, call: Call | None) -> list[JobLog]:
        if call is None:
            return [j for j in self.jobs.values() if j.key == key and not j.caller]
        return [
            job
            for job in self.jobs.values()
            if job.caller and re.fullmatch(call.pattern, job.caller)
        ]


def _results(jobs: list[JobLog]) -> dict[str, str]:
    """Return the results of a matrix.

    act calls all of its jobs failed when one is: here only one that has a failed step.
    """
    blamed = any(job.failed for job in jobs)
    found = {}
    for job in jobs:
        innocent = job.result == "failure" and blamed and not job.failed
        found[job.name] = "success" if innocent else job.result
    return found


def _skipped(jobs: list[JobLog], call: Call) -> dict[str, str]:
    """Return the jobs of a called workflow that never began."""
    found = {}
    for caller in dict.fromkeys(job.caller for job in jobs):
        begun = {job.key for job in jobs if job.caller == caller}
        for key in call.jobs:
            if key not in begun:
                found[f"{caller} / {key}"] = "skipped"
    return found


def pattern_of_name(name: str) -> str:
    """Return a regular expression for a name that has expressions in it."""
    parts = re.split(r"\$\{\{.*?\}\}", name)
    return "[^/]+?".join(re.escape(part) for part in parts)

"""What act's JSON log says: how each job ended, what it wrote, how long it took."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_EXPRESSION = re.compile(
    r"\$\{\{\s*steps\.([\w-]+)\.outputs\.([\w-]+)(?:\s*\|\|\s*'((?:[^']|'')*)')?\s*\}\}"
)


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
    _told: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """As GitHub shows a job without a name of its own: ``train (a)``, ``caller / train``."""
        values = ", ".join(_shown(value) for value in self.values.values())
        name = f"{self.key} ({values})" if values else self.key
        return f"{self.caller} / {name}" if self.caller else name

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        message = str(entry["msg"]).rstrip("\n")
        path = entry.get("stepID") or []
        if entry.get("raw_output"):
            self.lines.append(message)
        elif (
            entry.get("stage") == "Main"
            and "Failed but continue" in message
            and len(path) == 1
        ):
            self._forgiven.add(path[0])
        elif entry.get("stage") == "Main" and "stepResult" in entry and len(path) == 1:
            self._ended(str(entry["step"]), path[0], str(entry["stepResult"]))
        elif entry.get("command") == "set-output" and len(path) == 1:
            self.outputs.setdefault(path[0], {})[entry["name"]] = entry["arg"]
        elif entry.get("command") == "summary":
            # Of an action's steps act tells the last one's again, as the action's own.
            if len(path) > 1:
                self._told.add(path[0])
            if len(path) > 1 or path[0] not in self._told:
                self.summaries.append(entry["content"])
        elif entry.get("command") in ("error", "warning", "notice"):
            self.annotations.append((entry["command"], entry["arg"]))
            self.lines.append(f"::{entry['command']}::{entry['arg']}")
        elif entry["level"] == "error":
            self.lines.append(message)
        if "jobResult" in entry:
            self.result = str(entry["jobResult"])

    def _ended(self, step: str, key: str, result: str) -> None:
        self.steps[step] = result
        self.lines.append(f"[{result}] {step.splitlines()[0]}")
        if result == "failure" and key not in self._forgiven:
            self.failed.append(step)

    def evaluated(self, declared: Mapping[str, Any]) -> dict[str, str]:
        """Return the job's outputs from those of its steps."""

        def value(match: re.Match[str]) -> str:
            step, name, default = match.groups()
            return self.outputs.get(step, {}).get(name) or (default or "").replace(
                "''", "'"
            )

        return {
            name: _EXPRESSION.sub(value, str(text)) for name, text in declared.items()
        }


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_shown(inner) for inner in value.values())
    return str(value).lower() if isinstance(value, bool) else str(value)


class Log:
    """The log of a run, line by line.

    Parameters
    ----------
    jobs : dict
        The ids of the workflow's jobs, with the pattern of a name for those that call another
        workflow and the ids of that one's jobs.
    tell : callable, optional
        Called with a job when it begins, and with True when it is over.
    """

    def __init__(
        self,
        jobs: Mapping[str, tuple[str, list[str]] | None],
        tell: Callable[[JobLog, bool], None] = lambda job, over: None,
    ) -> None:
        self.jobs: dict[str, JobLog] = {}
        self.text: list[str] = []
        self.skipped: list[str] = []
        self._declared, self._tell = jobs, tell

    def take(self, line: str, at: float) -> str:
        """Take a line as act wrote it; return what a person would read.

        Parameters
        ----------
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
            return message
        if "jobID" in entry:
            key, values = str(entry["jobID"]), dict(entry.get("matrix") or {})
            job = JobLog(
                key, values, self._caller(key, str(entry.get("job"))), began=at
            )
            begins = job.name not in self.jobs
            job = self.jobs.setdefault(job.name, job)
            before = len(job.lines)
            job.take(entry)
            job.ended = at
            if begins or "jobResult" in entry:
                self._tell(job, not begins)
            self.text += [f"{job.name} | {text}" for text in job.lines[before:]]
        elif entry.get("level") == "error":
            self.text.append(message)
        return message

    def _caller(self, key: str, shown: str) -> str:
        """Return the name of the job that called the workflow of a job, from act's name for it."""
        if key in self._declared:
            return ""
        for call in self._declared.values():
            if (
                call
                and key in call[1]
                and (match := re.match(f"({call[0]})(-[0-9]+)? */", shown))
            ):
                return match[1]
        raise ValueError(f"act runs a job that no workflow has: {shown}")

    def results(self) -> dict[str, str]:
        """Return how every job ended; those that never began were skipped.

        act calls all jobs of a matrix failed when one is: here only the one that has a failed step.
        """
        found = {}
        for key, call in self._declared.items():
            mine = [
                job for job in self.jobs.values() if job.key == key and not job.caller
            ]
            if call:
                mine = [
                    job
                    for job in self.jobs.values()
                    if job.caller and re.fullmatch(call[0], job.caller)
                ]
            blamed = any(job.failed for job in mine)
            for job in mine:
                innocent = job.result == "failure" and blamed and not job.failed
                found[job.name] = "success" if innocent else job.result
            for caller in dict.fromkeys(job.caller for job in mine if job.caller):
                begun = {job.key for job in mine if job.caller == caller}
                idle = (
                    [inner for inner in call[1] if inner not in begun] if call else []
                )
                found |= {f"{caller} / {inner}": "skipped" for inner in idle}
            if not mine:
                found[key] = "skipped"
        return found


def pattern_of_name(name: str) -> str:
    """Return a regular expression for a name that has expressions in it."""
    parts = re.split(r"\$\{\{.*?\}\}", name)
    return "[^/]+?".join(re.escape(part) for part in parts)

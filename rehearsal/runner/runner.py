"""Real workflow files, run by act on this machine against the hub, until nothing follows."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rehearsal.event import Event
from rehearsal.hub import Hub
from rehearsal.hub.client import ask
from rehearsal.router import Router, inputs
from rehearsal.runner.act import execute, find_act, write_pairs
from rehearsal.runner.checks import check
from rehearsal.runner.concurrency import Concurrency, Queue, concurrency
from rehearsal.runner.joblog import JobLog, Log
from rehearsal.runner.run import Run, declared, environment_of, given_up, is_fork
from rehearsal.runner.stand_ins import stand_in
from rehearsal.runner.trees import Trees
from rehearsal.runner.warm import warm
from rehearsal.workflow import RUNNERS, RehearsalError, Workflow

# GitHub follows a chain of workflow_run no further than this.
LONGEST_CHAIN = 3
MOST_RUNS = 40


@dataclass(frozen=True)
class _Due:
    """A run whose turn will come."""

    workflow: Workflow
    event: Event
    asked: Concurrency
    came: int
    depth: int


class Runner:
    """Runs workflows of the hub's repository.

    Parameters
    ----------
    hub : Hub
    root : Path
        Everything that is written lies below it.
    environment : mapping, optional
        More variables for every job.
    secrets : mapping, optional
        Repository secrets; runs of forks do not see them.
    timeout : float
        Seconds for one run.
    python : Path
        The interpreter whose environment the jobs get, see `warm`.

    Attributes
    ----------
    approvals : dict
        Who approves each environment that has reviewers.
    disabled : set
        Workflows that somebody has switched off on their page: nothing starts them.
    runs : list of Run
        All that there were, oldest first.
    tell : callable
        Called with a workflow's name and a job that begins, and with True when the job is over.
    """

    def __init__(
        self,
        hub: Hub,
        root: Path,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        timeout: float = 600,
        python: Path = Path(sys.executable),
    ) -> None:
        self.hub, self.root, self.timeout = hub, root, timeout
        self.environment, self.secrets = dict(environment or {}), dict(secrets or {})
        self.act = find_act()
        self.approvals: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.runs: list[Run] = []
        self.tell: Callable[[str, JobLog, bool], None] = lambda workflow, job, over: (
            None
        )
        self.waiting: list[tuple[Workflow, Event]] = []
        self._ids = itertools.count(9001)
        self._numbers: dict[str, int] = {}
        self._routers: dict[str, Router] = {}
        self.artifacts, self.pages = hub.artifacts_folder, root / "pages"
        self.trees = Trees(hub.origin, root / "trees")
        self.bin, self.warm = warm(root, python)

    # ----- what follows from what

    def play(self, *events: Event) -> list[Run]:
        """Deliver events, and all that arises from them, until it is quiet; return the runs.

        Raises
        ------
        RehearsalError
            When a workflow cannot be rehearsed, or there is no end.
        """
        waiting, queue, done = Queue(), deque[_Due](), list[Run]()

        def happened(event: Event, depth: int = 0) -> None:
            for workflow in self.deliver(event):
                asked = concurrency(workflow, self.trees.placed(event))
                queue.append(_Due(workflow, event, asked, waiting.arrival(), depth))

        for event in (*self.hub.events.take(), *events):
            happened(event)
        while queue:
            due = queue.popleft()
            later = [other.asked for other in queue]
            if waiting.superseded(due.asked, due.came, later):
                run = self.cancelled(due.workflow, due.event)
            else:
                run = self.run(due.workflow, due.event)
                waiting.ended(due.asked)
            done.append(run)
            if len(done) > MOST_RUNS:
                raise RehearsalError(
                    "; ".join(f"{r.workflow} on {r.event.name}" for r in done)
                )
            for event in self.hub.events.take():
                happened(event)
            if due.depth < LONGEST_CHAIN:
                happened(self.completed(run), due.depth + 1)
        return done

    def deliver(self, event: Event) -> list[Workflow]:
        """Return the workflows that an event starts, as they stand in the commit that counts."""
        router = self.router(event)
        self.waiting += [(workflow, event) for workflow in router.waiting(event)]
        return [one for one in router.starts(event) if one.key not in self.disabled]

    def router(self, event: Event) -> Router:
        """Return the router of the commit whose workflows an event starts."""
        sha = self.trees.placed(event).sha
        if sha not in self._routers:
            self._routers[sha] = Router(self.trees.tree(sha) / ".github" / "workflows")
        return self._routers[sha]

    def completed(self, run: Run) -> Event:
        """Return the event with which GitHub tells the other workflows that a run has ended."""
        seen = self.hub.view.ran(self.hub.state.runs[run.id])
        payload = {"action": "completed", "workflow_run": seen}
        return Event("workflow_run", payload, actor=run.event.actor, token_kind="app")

    def about(self, workflow: Workflow, event: Event) -> dict[str, Any]:
        """Return what the API shows of a run."""
        pull = event.payload.get("pull_request") or {}
        head = pull.get("head") or {}
        self._numbers[workflow.key] = self._numbers.get(workflow.key, 0) + 1
        owner = ((head.get("repo") or {}).get("owner") or {}).get("login")
        elsewhere = owner != self.hub.owner
        return {
            "name": workflow.name,
            "path": f".github/workflows/{workflow.path.name}",
            "event": event.name,
            "actor": event.actor,
            "run_number": self._numbers[workflow.key],
            "head_branch": head.get("ref") or event.ref.removeprefix("refs/heads/"),
            "head_sha": head.get("sha") or event.sha,
            "head_owner": owner if elsewhere else None,
            # GitHub does not name the pull requests of forks.
            "pull_requests": [] if elsewhere or not pull else [self._pull(pull)],
        }

    def _pull(self, pull: Mapping[str, Any]) -> dict[str, Any]:
        ends = {}
        for end in ("head", "base"):
            one = pull[end]
            repo = {key: one["repo"][key] for key in ("id", "url", "name")}
            ends[end] = {"ref": one["ref"], "sha": one["sha"], "repo": repo}
        return {**{key: pull[key] for key in ("id", "number", "url")}, **ends}

    # ----- one run

    def run(self, workflow: Workflow, event: Event, kill_at: str = "") -> Run:
        """Run a workflow file.

        Parameters
        ----------
        workflow : Workflow
            As `deliver` found it.
        event : Event
        kill_at : str
            Kill the run, as a lost runner would be, at the first line of its log that holds this.

        Raises
        ------
        RehearsalError
            When act would do something else than GitHub, or did nothing.
        """
        check(workflow)
        event = self.trees.placed(event)
        number = next(self._ids)
        fork, about = is_fork(event), self.about(workflow, event)
        self.hub.runs.register(
            number, workflow.key, workflow.permissions(), fork=fork, **about
        )
        self._approve(number, workflow, event)
        token = self.hub.tokens.issue("write-all", actor=event.actor, fork=fork)
        folder = self.root / "runs" / str(number)
        command = self._command(folder, number, workflow, event, token)
        log = Log(declared(workflow), partial(self.tell, workflow.key))
        began = time.monotonic()
        bare, errors = self._bare_environment(folder / "home"), folder / "errors"
        code = execute(command, bare, errors, log, self.timeout, kill_at)
        run = self._result(number, workflow, event, log, time.monotonic() - began)
        self.hub.runs.finish(number, run.jobs, run.conclusion)
        said = errors.read_text(encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        if log.skipped:
            raise RehearsalError(
                *(f"{workflow.path.name}: {text}" for text in log.skipped)
            )
        if code is not None and (code != 0) != ("failure" in run.jobs.values()):
            raise RehearsalError(
                f"act ended with {code}, {run.jobs}:\n{run.log}\n{said}"
            )
        if code is not None and (lost := given_up(workflow, run.jobs)):
            failed = [name for name, result in run.jobs.items() if result == "failure"]
            raise RehearsalError(
                f"{workflow.path.name}: act gives up after {', '.join(failed)} has failed; GitHub "
                f"would go on with {', '.join(lost)}"
            )
        self._deploy(workflow, run, log)
        self.runs.append(run)
        return run

    def _approve(self, number: int, workflow: Workflow, event: Event) -> None:
        """Let those who were asked approve the environments that want it."""
        named = {environment_of(workflow, key, event) for key in workflow.jobs}
        for name in sorted(named & self.hub.state.environments.keys()):
            rules = self.hub.state.environments[name]
            who = self.approvals.get(name)
            if not rules.get("reviewers"):
                continue
            if who is None or (rules.get("prevent_self_review") and who == event.actor):
                raise RehearsalError(
                    f"{workflow.path.name}: GitHub would wait until somebody "
                    f"{'else ' if who else ''}approves {name}; say who by `approvals`"
                )
            self.hub.runs.approve(number, who, name)

    def _deploy(self, workflow: Workflow, run: Run, log: Log) -> None:
        """Record the deployments that GitHub makes of jobs with an `environment:`."""
        token = self.hub.tokens.issue({"deployments": "write"}, actor=run.event.actor)
        for name, job in log.jobs.items():
            environment = environment_of(workflow, job.key, run.event, job.values)
            said = workflow.job(job.key).get("environment")
            if not environment or (
                isinstance(said, Mapping) and said.get("deployment") is False
            ):
                continue
            body = {
                "ref": run.event.sha,
                "environment": environment,
                "required_contexts": [],
                "auto_merge": False,
            }
            made = ask(self.hub, token, "POST", "/deployments", body)
            state = {"state": "success" if run.jobs[name] == "success" else "failure"}
            ask(self.hub, token, "POST", f"/deployments/{made['id']}/statuses", state)

    def cancelled(self, workflow: Workflow, event: Event) -> Run:
        """Record a run that a newer one of its concurrency group has replaced."""
        jobs = dict.fromkeys(workflow.jobs, "cancelled")
        run = Run(
            next(self._ids), workflow.key, self.trees.placed(event), jobs, "cancelled"
        )
        about = self.about(workflow, run.event)
        self.hub.runs.register(run.id, workflow.key, dict.fromkeys(jobs), **about)
        self.hub.runs.finish(run.id, jobs, run.conclusion)
        self.runs.append(run)
        return run

    def _result(
        self, number: int, workflow: Workflow, event: Event, log: Log, wall: float
    ) -> Run:
        jobs = log.results()
        ended = set(jobs.values())
        there = self.artifacts / str(number)
        conclusions = ("failure", "cancelled", "success")
        return Run(
            number,
            workflow.key,
            event,
            jobs,
            next((one for one in conclusions if one in ended), "skipped"),
            "\n".join(log.text),
            {path.name: path for path in sorted(there.iterdir())}
            if there.is_dir()
            else {},
            {
                name: job.evaluated(workflow.job(job.key).get("outputs") or {})
                for name, job in log.jobs.items()
            },
            {
                name: "".join(job.summaries)
                for name, job in log.jobs.items()
                if job.summaries
            },
            [annotation for job in log.jobs.values() for annotation in job.annotations],
            {name: job.ended - job.began for name, job in log.jobs.items()},
            wall,
        )

    def _command(
        self, folder: Path, number: int, workflow: Workflow, event: Event, token: str
    ) -> list[str]:
        for name in ("home", "tmp", "cache"):
            (folder / name).mkdir(parents=True)
        file = folder / workflow.path.name
        file.write_text(workflow.for_act(), encoding="utf-8")
        payload = self._payload(workflow, event)
        (folder / "event.json").write_text(json.dumps(payload), encoding="utf-8")
        secrets = {"GITHUB_TOKEN": token, **({} if is_fork(event) else self.secrets)}
        write_pairs(folder / "secrets", secrets)
        write_pairs(folder / "variables", self._variables())
        write_pairs(
            folder / "env", self._job_environment(folder, number, workflow, event)
        )
        command = [
            *(self.act, event.name, "-C", str(workflow.root), "-W", str(file)),
            *("-e", str(folder / "event.json"), "--actor", event.actor),
            *(
                "--secret-file",
                str(folder / "secrets"),
                "--var-file",
                str(folder / "variables"),
            ),
            *("--env-file", str(folder / "env"), "--input-file", os.devnull),
            *("--json", "--no-skip-checkout", "--no-cache-server"),
            *("--action-cache-path", str(folder / "cache")),
            *("--defaultbranch", self.trees.default_branch),
        ]
        for label in RUNNERS:
            command += ["-P", f"{label}=-self-hosted"]
        for action in workflow.actions():
            if not action.local:
                address = f"{self.hub.server_url}/{action.repository}@{action.ref}"
                command += ["--local-repository", f"{address}={stand_in(action)}"]
        return command

    def _payload(self, workflow: Workflow, event: Event) -> dict[str, Any]:
        payload = dict(event.payload)
        if event.name == "workflow_dispatch":
            payload["inputs"] = inputs(workflow, event)
        payload.setdefault("sender", self.hub.view.user(event.actor))
        payload.setdefault("repository", self.hub.view.repository())
        return payload

    def _variables(self) -> dict[str, str]:
        return {
            name: str(one["value"]) for name, one in self.hub.state.variables.items()
        }

    def _job_environment(
        self, folder: Path, number: int, workflow: Workflow, event: Event
    ) -> dict[str, str]:
        repository = self.hub.repository
        file = f"{repository}/.github/workflows/{workflow.path.name}"
        return {
            "GITHUB_REPOSITORY": repository,
            "GITHUB_REPOSITORY_OWNER": repository.partition("/")[0],
            "GITHUB_SERVER_URL": self.hub.server_url,
            "GITHUB_API_URL": self.hub.api_url,
            "GITHUB_GRAPHQL_URL": f"{self.hub.server_url}/api/graphql",
            "GITHUB_REF": event.ref,
            "GITHUB_RUN_ID": str(number),
            "GITHUB_RUN_NUMBER": str(self._numbers[workflow.key]),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_TRIGGERING_ACTOR": event.actor,
            "GITHUB_WORKFLOW_REF": f"{file}@{event.ref}",
            "RUNNER_ENVIRONMENT": "github-hosted",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TMPDIR": str(folder / "tmp"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            # Nothing may be installed while a job runs.
            "UV_OFFLINE": "1",
            "PIP_NO_INDEX": "1",
            # What a runner's image would not have to build again.
            "MPLCONFIGDIR": str(self.root / "matplotlib"),
            "MYPY_CACHE_DIR": str(self.root / "mypy"),
            "REHEARSAL_ARTIFACTS": str(self.artifacts),
            "REHEARSAL_PAGES": str(self.pages),
            "REHEARSAL_WARM": str(self.warm),
            **self.environment,
        }

    def _bare_environment(self, home: Path) -> dict[str, str]:
        path = os.pathsep.join([str(self.bin), "/usr/local/bin", "/usr/bin", "/bin"])
        return {"HOME": str(home), "PATH": path, "GIT_CONFIG_NOSYSTEM": "1"}

"""Workflow files, run by act on this machine against the hub, until nothing follows."""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.event import Event
from rehearsal.hub import Hub
from rehearsal.hub.client import request
from rehearsal.hub.storage import folders_of
from rehearsal.router import Router
from rehearsal.runner.act import Stop, execute, find_act
from rehearsal.runner.again import with_earlier, with_failed_only
from rehearsal.runner.checks import check
from rehearsal.runner.concurrency import Concurrency, Queue, concurrency
from rehearsal.runner.environments import as_allowed, may_deploy
from rehearsal.runner.expected import declared, given_up
from rehearsal.runner.invocation import Invocation, Machine
from rehearsal.runner.joblog import JobLog, Log
from rehearsal.runner.policy import refused_actions
from rehearsal.runner.run import (
    Run,
    call_of,
    conclusion,
    environment_of,
    environments_of,
    is_fork,
)
from rehearsal.runner.standby import on_standby
from rehearsal.runner.trees import Trees
from rehearsal.runner.warm import on_standby_in, warm
from rehearsal.workflow import Workflow

# GitHub follows a chain of workflow_run no further than this.
LONGEST_CHAIN = 3
MOST_RUNS = 40
_ATTEMPT = "${{ github.run_attempt }}"
# So long GitHub offers to run a run again.
RERUN_DAYS = 30


def _tell_nobody(workflow: str, job: JobLog, over: bool) -> None:
    """Keep quiet about jobs."""


def _as_it_is(run: Run) -> Run:
    """Return a run to which there is nothing to add."""
    return run


@dataclass(frozen=True)
class _Due:
    """A run whose turn will come."""

    workflow: Workflow
    event: Event
    rule: Concurrency
    arrival: int
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
    python : Path
        The interpreter whose environment the jobs get, see `warm`.
    caches : Path, optional
        What a runner's image would not have to build again, such as the cache of mypy.
        Default: a folder below `root`.

    Attributes
    ----------
    approvals : dict
        Who approves each environment that has reviewers.
    disabled : set
        Workflows that somebody has switched off on their page: nothing starts them.
    python : Path
        What somebody's clone runs the engine's commands with, outside of jobs.
    runs : list of Run
        All that there were, oldest first.
    tell : callable
        Called with a workflow's name and a job that begins, and with True when the job
        is over.
    timeout : float
        Seconds for one run.
    """

    def __init__(
        self,
        hub: Hub,
        root: Path,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        python: Path = Path(sys.executable),
        caches: Path | None = None,
    ) -> None:
        self.hub = hub
        self.root = root
        self.environment = dict(environment or {})
        self.secrets = dict(secrets or {})
        self.timeout: float = 600
        self.approvals: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.runs: list[Run] = []
        self.tell: Callable[[str, JobLog, bool], None] = _tell_nobody
        self.waiting: list[tuple[Workflow, Event]] = []
        self.trees = Trees(hub.origin, root / "trees")
        standby = on_standby(python)
        programs, warm_folder = warm(root, python, standby)
        self.python = on_standby_in(warm_folder) if standby else python
        self.machine = Machine(
            act=find_act(),
            programs=programs,
            warm=warm_folder,
            caches=caches or root / "caches",
            artifacts=hub.artifacts_folder,
            pages=root / "pages",
        )
        self._ids = itertools.count(9001)
        self._numbers: dict[str, int] = {}
        self._routers: dict[str, Router] = {}

    def adopt(self, other: Runner) -> None:
        """Go on where another runner is, whose hub this runner's hub is a copy of."""
        self.approvals = dict(other.approvals)
        self.disabled = set(other.disabled)
        self._numbers = dict(other._numbers)
        # Runs keep their numbers apart from those that were copied.
        self._ids = itertools.count(max(self.hub.state.runs, default=9000) + 1)

    # ----- what follows from what

    def play(self, *events: Event) -> list[Run]:
        """Deliver events, and all that arises from them, until it is quiet.

        Returns
        -------
        list of Run
            In the order in which they ran.

        Raises
        ------
        RehearsalError
            When a workflow cannot be rehearsed, or there is no end.
        """
        queue = Queue()
        due = deque[_Due]()
        done: list[Run] = []
        for event in (*self.hub.events.take(), *events):
            due.extend(self._started(event, queue))
        while due:
            turn = due.popleft()
            later = [other.rule for other in due]
            if queue.superseded(turn.rule, turn.arrival, later):
                run = self.cancelled(turn.workflow, turn.event)
            else:
                run = self.run(turn.workflow, turn.event)
                queue.ended(turn.rule)
            done.append(run)
            if len(done) > MOST_RUNS:
                raise RehearsalError(
                    "; ".join(f"{run.workflow} on {run.event.name}" for run in done)
                )
            for event in self.hub.events.take():
                due.extend(self._started(event, queue))
            if turn.depth < LONGEST_CHAIN:
                due.extend(self._started(self.completed(run), queue, turn.depth + 1))
        return done

    def _started(self, event: Event, queue: Queue, depth: int = 0) -> list[_Due]:
        """Return the runs that an event starts."""
        return [
            _Due(
                workflow=workflow,
                event=event,
                rule=concurrency(workflow, self.trees.placed(event)),
                arrival=queue.arrival(),
                depth=depth,
            )
            for workflow in self.deliver(event)
        ]

    def deliver(self, event: Event) -> list[Workflow]:
        """Return the workflows that an event starts, as they stand at its commit."""
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
        """Return the event that tells other workflows that a run has ended."""
        shown = self.hub.view.ran(self.hub.state.runs[run.id])
        payload = {"action": "completed", "workflow_run": shown}
        return Event("workflow_run", payload, actor=run.event.actor, token_kind="app")

    # ----- one run

    def run(self, workflow: Workflow, event: Event, kill_at: str = "") -> Run:
        """Run a workflow file.

        Parameters
        ----------
        workflow : Workflow
            As `deliver` found it.
        event : Event
        kill_at : str
            Kill the run, as a lost runner would be, at the first line of its log that
            holds this.

        Raises
        ------
        RehearsalError
            When act would do something else than GitHub, or did nothing.
        """
        refused = refused_actions(workflow, self.hub.state.actions)
        if refused:
            return self.refused(workflow, event, refused)
        check(workflow)
        event = self.trees.placed(event)
        return self._executed(self._begin(workflow, event), kill_at)

    def rerun(
        self, run: Run, actor: str, every: bool = False, kill_at: str = ""
    ) -> list[Run]:
        """Run the failed jobs of a run again, and those that depend on them.

        It is the same run at the same commit, and finds the artifacts of its earlier
        attempts. Who started it stays its actor.

        Parameters
        ----------
        run : Run
            As it ended last.
        actor : str
            Who asks for it.
        every : bool
            Run all jobs again.
        kill_at : str
            See `run`.

        Returns
        -------
        list of Run
            The new attempt, and what followed.

        Raises
        ------
        RehearsalError
            Where GitHub offers no such button.
        """
        self._refuse_rerun(run, every)
        files = Router(self.trees.tree(run.event.sha) / ".github" / "workflows")
        whole = next(one for one in files.workflows if one.key == run.workflow)
        part = whole if every else with_failed_only(whole, run)
        add = _as_it_is if every else partial(with_earlier, whole, run)
        again = self._executed(self._begin_again(part, run, actor), kill_at, add)
        return [again, *self.play(self.completed(again))]

    def _refuse_rerun(self, run: Run, every: bool) -> None:
        """Raise RehearsalError for a run that cannot be run again."""
        record = self.hub.state.runs[run.id]
        age = self.hub.state.clock() - datetime.fromisoformat(record["created_at"])
        if age.days >= RERUN_DAYS:
            raise RehearsalError(f"run {run.id} is older than {RERUN_DAYS} days")
        if not every and run.conclusion not in ("failure", "cancelled"):
            raise RehearsalError(f"no job of run {run.id} has failed")

    def _begin_again(self, workflow: Workflow, run: Run, actor: str) -> Invocation:
        """Have another attempt approved, and write what act reads."""
        attempt = self.hub.runs.again(run.id, actor)
        self._approve(run.id, workflow, run.event)
        number = int(self.hub.state.runs[run.id]["run_number"])
        invocation = self._invocation(workflow, run.event, run.id, number)
        invocation = replace(invocation, attempt=attempt, triggering_actor=actor)
        self._prepare(invocation)
        return invocation

    def _executed(
        self,
        invocation: Invocation,
        kill_at: str,
        add: Callable[[Run], Run] = _as_it_is,
    ) -> Run:
        """Let act run what is prepared; return what came of it.

        Parameters
        ----------
        add : callable, optional
            Adds to a run what is known of it from before.
        """
        workflow = invocation.workflow
        log = Log(declared(workflow), partial(self.tell, workflow.key))
        began = time.monotonic()
        code = execute(
            invocation.command(self.trees.default_branch),
            invocation.environment,
            invocation.errors,
            invocation.temporary,
            log,
            Stop(self.timeout, kill_at),
        )
        run = self._result(invocation, log, time.monotonic() - began)
        whole = add(run)
        self.hub.runs.finish(run.id, whole.jobs, whole.conclusion)
        errors = invocation.errors.read_text(encoding="utf-8")
        shutil.rmtree(invocation.folder, ignore_errors=True)
        _refuse_skipped(workflow, log)
        if code is not None:
            _refuse_contradiction(run, code, errors)
            _refuse_given_up(workflow, run)
        self._deploy(workflow, run, log)
        self.runs.append(whole)
        return whole

    def _begin(self, workflow: Workflow, event: Event) -> Invocation:
        """Register a run with the hub, have it approved, and write what act reads."""
        run_id = next(self._ids)
        fork = is_fork(event)
        about = self.about(workflow, event)
        self.hub.runs.register(
            run_id, workflow.key, workflow.permissions(), fork=fork, **about
        )
        self._approve(run_id, workflow, event)
        invocation = self._invocation(workflow, event, run_id, about["run_number"])
        self._prepare(invocation)
        return invocation

    def _invocation(
        self, workflow: Workflow, event: Event, run_id: int, run_number: int
    ) -> Invocation:
        tree = self.root / "trees" / f"run-{run_id}"
        environments = self.hub.state.environments
        return Invocation(
            hub=self.hub,
            machine=self.machine,
            workflow=as_allowed(workflow, event, environments, tree),
            event=event,
            run_id=run_id,
            run_number=run_number,
            folder=self.root / "runs" / str(run_id),
        )

    def _prepare(self, invocation: Invocation) -> None:
        """Write what act reads."""
        event = invocation.event
        fork = is_fork(event)
        token = self.hub.tokens.issue("write-all", actor=event.actor, fork=fork)
        invocation.prepare(token, self.secrets, self.environment)

    def about(self, workflow: Workflow, event: Event) -> dict[str, Any]:
        """Return what the API shows of a run."""
        pull = event.payload.get("pull_request") or {}
        head = pull.get("head") or {}
        owner = ((head.get("repo") or {}).get("owner") or {}).get("login")
        of_fork = owner != self.hub.owner
        number = self._numbers.get(workflow.key, 0) + 1
        self._numbers[workflow.key] = number
        return {
            "name": workflow.name,
            "path": f".github/workflows/{workflow.path.name}",
            "event": event.name,
            "actor": event.actor,
            "run_number": number,
            "head_branch": head.get("ref") or event.ref.removeprefix("refs/heads/"),
            "head_sha": head.get("sha") or event.sha,
            "head_owner": owner if of_fork else None,
            # GitHub does not name the pull requests of forks.
            "pull_requests": [] if of_fork or not pull else [_short(pull)],
        }

    def _approve(self, run_id: int, workflow: Workflow, event: Event) -> None:
        """Let those who were asked approve the environments that want it."""
        named = environments_of(workflow, event)
        for name in sorted(named & self.hub.state.environments.keys()):
            rules = self.hub.state.environments[name]
            if not rules.get("reviewers") or not may_deploy(rules, event.ref):
                continue
            approver = self.approvals.get(name)
            self_review = approver == event.actor and rules.get("prevent_self_review")
            if approver is None or self_review:
                somebody = "somebody else" if approver else "somebody"
                raise RehearsalError(
                    f"{workflow.path.name}: GitHub would wait until {somebody} "
                    f"approves {name}; say who by `approvals`"
                )
            self.hub.runs.approve(run_id, approver, name)

    def _deploy(self, workflow: Workflow, run: Run, log: Log) -> None:
        """Record the deployments that GitHub makes of jobs with an `environment:`."""
        token = self.hub.tokens.issue({"deployments": "write"}, actor=run.event.actor)
        for name, job in log.jobs.items():
            call = call_of(workflow, job.caller) if job.caller else ""
            values = job.values
            environment = environment_of(workflow, job.key, run.event, values, call)
            rule = workflow.job(job.key).get("environment")
            silent = isinstance(rule, Mapping) and rule.get("deployment") is False
            rules = self.hub.state.environments.get(environment, {})
            if not environment or silent or not may_deploy(rules, run.event.ref):
                continue
            body = {
                "ref": run.event.sha,
                "environment": environment,
                "required_contexts": [],
                "auto_merge": False,
            }
            made = request(self.hub, token, "POST", "/deployments", body)
            path = f"/deployments/{made['id']}/statuses"
            state = "success" if run.jobs[name] == "success" else "failure"
            request(self.hub, token, "POST", path, {"state": state})

    def cancelled(self, workflow: Workflow, event: Event) -> Run:
        """Record a run that a newer one of its concurrency group has replaced."""
        return self._without_act(workflow, event, "cancelled")

    def refused(self, workflow: Workflow, event: Event, actions: list[str]) -> Run:
        """Record a run that fails in no time: its actions are not allowed here."""
        log = f"not allowed to be used in {self.hub.repository}: {', '.join(actions)}"
        return self._without_act(workflow, event, "failure", log)

    def _without_act(
        self, workflow: Workflow, event: Event, conclusion: str, log: str = ""
    ) -> Run:
        """Record a run none of whose jobs has begun."""
        jobs = dict.fromkeys(workflow.jobs, conclusion)
        placed = self.trees.placed(event)
        run = Run(next(self._ids), workflow.key, placed, jobs, conclusion, log)
        about = self.about(workflow, placed)
        self.hub.runs.register(run.id, workflow.key, dict.fromkeys(jobs), **about)
        self.hub.runs.finish(run.id, jobs, run.conclusion)
        self.runs.append(run)
        return run

    def _result(self, invocation: Invocation, log: Log, wall: float) -> Run:
        workflow = invocation.workflow
        jobs = log.results()
        left = folders_of(self.machine.artifacts, invocation.run_id)
        folders = [path for one in left for path in sorted(one.iterdir())]
        outputs = {}
        for name, job in log.jobs.items():
            declared_outputs = workflow.job(job.key).get("outputs") or {}
            texts = {
                key: str(text).replace(_ATTEMPT, str(invocation.attempt))
                for key, text in declared_outputs.items()
            }
            outputs[name] = job.evaluated(texts)
        return Run(
            id=invocation.run_id,
            workflow=workflow.key,
            event=invocation.event,
            jobs=jobs,
            conclusion=conclusion(jobs),
            log="\n".join(log.text),
            artifacts={path.name: path for path in folders},
            outputs=outputs,
            summaries={
                name: "".join(job.summaries)
                for name, job in log.jobs.items()
                if job.summaries
            },
            annotations=[one for job in log.jobs.values() for one in job.annotations],
            matrix={name: job.values for name, job in log.jobs.items()},
            seconds={name: job.ended - job.began for name, job in log.jobs.items()},
            wall=wall,
            attempt=invocation.attempt,
        )


def _short(pull: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pull request as it is named in a run."""
    short = {key: pull[key] for key in ("id", "number", "url")}
    for end in ("head", "base"):
        one = pull[end]
        repository = {key: one["repo"][key] for key in ("id", "url", "name")}
        short[end] = {"ref": one["ref"], "sha": one["sha"], "repo": repository}
    return short


def _refuse_skipped(workflow: Workflow, log: Log) -> None:
    """Raise RehearsalError for jobs that act has passed over."""
    if log.skipped:
        raise RehearsalError(*(f"{workflow.path.name}: {one}" for one in log.skipped))


def _refuse_contradiction(run: Run, code: int, errors: str) -> None:
    """Raise RehearsalError when act's exit code and its log do not agree."""
    if (code != 0) != ("failure" in run.jobs.values()):
        raise RehearsalError(f"act ended with {code}, {run.jobs}:\n{run.log}\n{errors}")


def _refuse_given_up(workflow: Workflow, run: Run) -> None:
    """Raise RehearsalError for jobs that GitHub would have run and act has not."""
    lost = given_up(workflow, run.jobs)
    if lost:
        failed = [name for name, result in run.jobs.items() if result == "failure"]
        raise RehearsalError(
            f"{workflow.path.name}: act gives up after {', '.join(failed)} has failed; "
            f"GitHub would go on with {', '.join(lost)}"
        )

"""One invocation of act: its command line, and the files that it reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.event import Event
from rehearsal.hub import Hub
from rehearsal.inputs import inputs
from rehearsal.runner.act import write_pairs
from rehearsal.runner.run import from_fork, is_fork
from rehearsal.runner.stand_ins import stand_in
from rehearsal.workflow import RUNNERS, Workflow


@dataclass(frozen=True)
class Machine:
    """What all runs of a rehearsal find on the machine that stands for GitHub's.

    Parameters
    ----------
    act : str
        The program.
    programs : Path
        A folder for PATH, see `warm`.
    warm : Path
        The environment that set-up restores, see `warm`.
    caches : Path
        What a runner's image would not have to build again.
    artifacts, pages : Path
        Where the stand-ins leave files.
    """

    act: str
    programs: Path
    warm: Path
    caches: Path
    artifacts: Path
    pages: Path


@dataclass(frozen=True)
class Invocation:
    """One run of a workflow file by act.

    Parameters
    ----------
    hub : Hub
    machine : Machine
    workflow : Workflow
    event : Event
        At the ref and commit that count.
    run_id, run_number : int
        GITHUB_RUN_ID and GITHUB_RUN_NUMBER.
    folder : Path
        For its files; made by `prepare`.
    attempt : int
        GITHUB_RUN_ATTEMPT.
    triggering_actor : str
        Who asked for this attempt; empty for whoever started the run.
    """

    hub: Hub
    machine: Machine
    workflow: Workflow
    event: Event
    run_id: int
    run_number: int
    folder: Path
    attempt: int = 1
    triggering_actor: str = ""

    @property
    def errors(self) -> Path:
        """The file for what act writes beside its log."""
        return self.folder / "errors"

    @property
    def temporary(self) -> Path:
        """TMPDIR of its jobs."""
        return self.folder / "tmp"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that act itself is started with, and no others."""
        folders = [str(self.machine.programs), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            "HOME": str(self.folder / "home"),
            "PATH": os.pathsep.join(folders),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def prepare(
        self,
        token: str,
        secrets: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> None:
        """Write the files that act reads.

        Parameters
        ----------
        token : str
            GITHUB_TOKEN.
        secrets : mapping
            The repository's; runs of forks do not get them.
        variables : mapping
            More environment variables for every job.
        """
        for name in ("home", "tmp", "cache"):
            (self.folder / name).mkdir(parents=True)
        self._file.write_text(self.workflow.for_act(), encoding="utf-8")
        payload = json.dumps(self._payload())
        (self.folder / "event.json").write_text(payload, encoding="utf-8")
        shown = {} if is_fork(self.event) else dict(secrets)
        write_pairs(self.folder / "secrets", {"GITHUB_TOKEN": token, **shown})
        declared = self.hub.state.variables.items()
        values = {name: str(variable["value"]) for name, variable in declared}
        shown = {} if from_fork(self.event) else values
        write_pairs(self.folder / "variables", shown)
        write_pairs(self.folder / "env", self._job_environment() | dict(variables))

    def command(self, default_branch: str) -> list[str]:
        """Return act's command line."""
        command = [self.machine.act, self.event.name]
        command += ["-C", str(self.workflow.root), "-W", str(self._file)]
        command += ["-e", str(self.folder / "event.json")]
        command += ["--actor", self.event.actor]
        command += ["--secret-file", str(self.folder / "secrets")]
        command += ["--var-file", str(self.folder / "variables")]
        command += ["--env-file", str(self.folder / "env")]
        command += ["--input-file", os.devnull]
        command += ["--json", "--no-skip-checkout", "--no-cache-server"]
        command += ["--action-cache-path", str(self.folder / "cache")]
        command += ["--defaultbranch", default_branch]
        for label in RUNNERS:
            command += ["-P", f"{label}=-self-hosted"]
        for action in self.workflow.actions():
            if not action.local:
                address = f"{self.hub.server_url}/{action.repository}@{action.ref}"
                command += ["--local-repository", f"{address}={stand_in(action)}"]
        return command

    @property
    def _file(self) -> Path:
        return self.folder / self.workflow.path.name

    def _payload(self) -> dict[str, Any]:
        payload = dict(self.event.payload)
        if self.event.name == "workflow_dispatch":
            payload["inputs"] = inputs(self.workflow, self.event)
        if self.event.name == "schedule":
            return payload  # GitHub tells nothing else, not even the repository
        payload.setdefault("sender", self.hub.view.user(self.event.actor))
        payload.setdefault("repository", self.hub.view.repository())
        return payload

    def _job_environment(self) -> dict[str, str]:
        repository = self.hub.repository
        file = f"{repository}/.github/workflows/{self.workflow.path.name}"
        return {
            "GITHUB_REPOSITORY": repository,
            "GITHUB_REPOSITORY_OWNER": repository.partition("/")[0],
            "GITHUB_SERVER_URL": self.hub.server_url,
            "GITHUB_API_URL": self.hub.api_url,
            "GITHUB_GRAPHQL_URL": f"{self.hub.server_url}/api/graphql",
            "GITHUB_REF": self.event.ref,
            "GITHUB_RUN_ID": str(self.run_id),
            "GITHUB_RUN_NUMBER": str(self.run_number),
            "GITHUB_RUN_ATTEMPT": str(self.attempt),
            "GITHUB_TRIGGERING_ACTOR": self.triggering_actor or self.event.actor,
            "GITHUB_WORKFLOW_REF": f"{file}@{self.event.ref}",
            "RUNNER_ENVIRONMENT": "github-hosted",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TMPDIR": str(self.temporary),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            # Nothing may be installed while a job runs.
            "UV_OFFLINE": "1",
            "PIP_NO_INDEX": "1",
            "MPLCONFIGDIR": str(self.machine.caches / "matplotlib"),
            "MYPY_CACHE_DIR": str(self.machine.caches / "mypy"),
            "REHEARSAL_ARTIFACTS": str(self.machine.artifacts),
            "REHEARSAL_PAGES": str(self.machine.pages),
            "REHEARSAL_WARM": str(self.machine.warm),
        }

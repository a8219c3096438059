"""The runs that the hub knows of, and what the jobs of each may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehearsal.hub.permissions import of_a_job
from rehearsal.hub.state import State


class Runs:
    """Runs, as the runner reports them.

    Parameters
    ----------
    state : State
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._permissions: dict[str, dict[str, dict[str, str]]] = {}

    def register(
        self,
        run_id: int,
        workflow: str,
        jobs: Mapping[str, Any],
        fork: bool = False,
        **about: Any,
    ) -> None:
        """Begin a run.

        Parameters
        ----------
        run_id : int
            GITHUB_RUN_ID of its jobs.
        workflow : str
            The file's name without its suffix.
        jobs : mapping
            What ``permissions:`` says for each job; a job that is not named has none.
        fork : bool
            Nothing writes.
        **about
            What the API shows of it: name, event, head_branch, head_sha, actor ...

        Raises
        ------
        ValueError
            For permissions that do not exist.
        """
        granted = {job: of_a_job(declared, fork) for job, declared in jobs.items()}
        self._permissions[str(run_id)] = granted
        actor = about.pop("actor", "alice")
        record = {
            "name": workflow,
            "path": f".github/workflows/{workflow}.yml",
            "event": "push",
            "status": "in_progress",
            "conclusion": None,
            "head_branch": "main",
            "head_sha": "",
            "head_owner": None,
            "pull_requests": [],
            "run_number": 1,
            "run_attempt": 1,
            "jobs": dict.fromkeys(jobs),
            **about,
            "actor": actor["login"] if isinstance(actor, Mapping) else actor,
        }
        self._state.runs[run_id] = self._state.stamped({**record, "id": run_id})

    def finish(
        self, run_id: int, jobs: Mapping[str, str], conclusion: str = ""
    ) -> None:
        """End a run with the result of each job; they count as checks of its commit."""
        bad = next(
            (r for r in ("failure", "cancelled") if r in jobs.values()), "success"
        )
        about = {"jobs": dict(jobs), "conclusion": conclusion or bad}
        self._state.touch(self._state.runs[run_id], status="completed", **about)

    def again(self, run_id: int, login: str) -> int:
        """Begin another attempt of a run; return its number.

        Parameters
        ----------
        run_id : int
        login : str
            Who asked for it. Whoever started the run stays its actor.
        """
        record = self._state.runs[run_id]
        attempt = int(record["run_attempt"]) + 1
        about = {"conclusion": None, "run_attempt": attempt, "triggering_actor": login}
        self._state.touch(record, status="in_progress", **about)
        return attempt

    def approve(
        self, run_id: int, login: str, *environments: str, comment: str = ""
    ) -> None:
        """Let someone approve a run's deployment to environments."""
        review = {"user": login, "environments": environments, "comment": comment}
        self._state.runs[run_id].setdefault("approvals", []).append(review)

    def knows(self, run: str) -> bool:
        """Say whether there is such a run."""
        return run in self._permissions

    def permissions(self, run: str, job: str) -> dict[str, str] | None:
        """Return what a job may do; None when there is no such run."""
        return self._permissions[run].get(job, {}) if run in self._permissions else None

"""The log of the hub, and the faults that it shows on demand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

Status = int | Literal["timeout", "rate", "secondary"]
MANY_AT_ONCE = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you "
    "try again."
)
_MESSAGES = {
    403: "Resource not accessible by integration",
    429: MANY_AT_ONCE,
    500: "Internal Server Error",
    502: "Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Parameters
    ----------
    method, path : str
        The path without the address of the API.
    query : mapping
    request, answer : any
        What JSON there was.
    status : int
        0 for one that never was answered.
    login, kind, job : str
        Who asked; ``RUN/JOB`` when it was a job.
    template : str
        The operation of the description.
    """

    method: str
    path: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    request: Any = None
    status: int = 0
    answer: Any = None
    login: str = ""
    kind: str = ""
    job: str = ""
    template: str = ""


class Requests(Counter[str]):
    """How often each operation of the API was asked for."""

    def __str__(self) -> str:
        return "\n".join(f"{n:5}  {operation}" for operation, n in self.most_common())


@dataclass
class Fault:
    """A request that goes wrong, and how."""

    method: str
    path: str
    status: Status
    times: int
    retry_after: int
    done_first: bool
    skip: int

    def answer(self) -> tuple[int, str, dict[str, str]]:
        """Return status, message and headers as GitHub sends them."""
        retry = {"Retry-After": str(self.retry_after)}
        if self.status == "rate":
            reset = int(time.time()) + self.retry_after
            headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
            return 403, "API rate limit exceeded", headers
        if self.status == "secondary":
            # GitHub mostly says no more than this: not when it will answer again.
            return 403, _MESSAGES[429], retry if self.retry_after else {}
        status = int(self.status)
        headers = retry if status in (429, 503) else {}
        return status, _MESSAGES.get(status, "Error"), headers


class Faults:
    """Faults that are still to come.

    Attributes
    ----------
    retry_after : int
        Seconds that clients are told to wait, by faults that are added from now on.
    """

    def __init__(self) -> None:
        self.retry_after = 0
        self._faults: list[Fault] = []

    def add(
        self,
        method: str,
        path_pattern: str,
        status: Status,
        times: int = 1,
        done_first: bool = False,
        skip: int = 0,
    ) -> None:
        """Let requests go wrong.

        Parameters
        ----------
        method : str
            ``*`` for any.
        path_pattern : str
            Of the path without the API's address, such as ``*/issues/*/comments``;
            ``*`` matches slashes too. Those of git are ``/acme/demo.git/...``.
        status : int or {"timeout", "rate", "secondary"}
            An answer, none at all, the hour's requests used up, or too many at once.
        times : int
            How many requests.
        done_first : bool
            Do what is asked and lose the answer.
        skip : int
            Let that many pass before.
        """
        fault = Fault(
            method=method.upper(),
            path=path_pattern,
            status=status,
            times=times,
            retry_after=self.retry_after,
            done_first=done_first,
            skip=skip,
        )
        self._faults.append(fault)

    def clear(self) -> None:
        """Let everything go well again."""
        self._faults.clear()

    def next(self, method: str, path: str) -> Fault | None:
        """Return the fault that a request meets, once less to come."""
        for fault in self._faults:
            matches = fault.method in ("*", method) and fnmatchcase(path, fault.path)
            if not matches or fault.times <= 0:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            return fault
        return None

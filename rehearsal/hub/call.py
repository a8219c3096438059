"""One request of the API in the hub: what handlers take, give and refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from rehearsal.hub.description import Operation
from rehearsal.hub.identity import Caller
from rehearsal.hub.messages import Request
from rehearsal.hub.permissions import template
from rehearsal.hub.state import Record, State

if TYPE_CHECKING:
    from rehearsal.hub import Hub
    from rehearsal.hub.git import Bare
    from rehearsal.hub.view import View

MOST_TEXT = 65536
# A page holds so many things when nobody says how many, and never more than the second.
_PAGE = 30
_LONGEST_PAGE = 100
# How many things a page holds unless another number is asked for, and at the most.
_SHORTER_PAGES = {
    "/repos/{owner}/{repo}/actions/variables": (10, 30),
    "/repos/{owner}/{repo}/actions/organization-variables": (10, 30),
}
T = TypeVar("T")


class Failure(Exception):
    """An answer that is no success.

    Parameters
    ----------
    status : int
    message : str
    errors : dicts
        As in GitHub's validation errors.
    headers : mapping
    """

    def __init__(
        self,
        status: int,
        message: str,
        *errors: Record,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body: Record = {
            "message": message,
            "documentation_url": "https://docs.github.com/rest",
            "status": str(status),
        }
        if errors:
            self.body["errors"] = list(errors)


@dataclass(frozen=True)
class Answer:
    """A success other than the description's first one, or one with headers."""

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A list of which the client gets a page.

    Parameters
    ----------
    items : list
    key : str
        Of the envelope that also has the length; empty where there is no envelope.
    show : callable
        Returns the items of a page as the API shows them.
    """

    items: list[Any]
    key: str = ""
    show: Callable[[list[Any]], list[Any]] = list


@dataclass(frozen=True)
class Call:
    """A valid request of someone who is known.

    Parameters
    ----------
    hub : Hub
    caller : Caller
    operation : Operation
        What the description calls it.
    request : Request
    body : object
        Its JSON; None where there is none.
    """

    hub: Hub
    caller: Caller
    operation: Operation
    request: Request
    body: Any

    @property
    def method(self) -> str:
        """The method."""
        return self.operation.method

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters of the path."""
        return self.operation.parameters

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The parameters of the query."""
        return self.request.parameters

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, with their names in Title-Case."""
        return self.request.headers

    @property
    def content(self) -> bytes:
        """The body as it came."""
        return self.request.body

    @property
    def state(self) -> State:
        """Return what the hub knows."""
        return self.hub.state

    @property
    def git(self) -> Bare:
        """Return the repository."""
        return self.hub.git

    @property
    def view(self) -> View:
        """Return how records are shown."""
        return self.hub.view

    def number(self, name: str) -> int:
        """Return a number of the path; what is none is nothing that exists."""
        try:
            return int(self.path[name])
        except ValueError:
            raise not_found() from None

    def asked(self, name: str, default: str = "") -> str:
        """Return a parameter of the query."""
        return self.query.get(name, [default])[0]

    def given(self, *names: str) -> Record:
        """Return those fields of the body that are there."""
        return {name: self.body[name] for name in names if name in (self.body or {})}

    def happened(self, name: str, payload: Record, **about: Any) -> None:
        """Raise an event that this caller caused."""
        self.hub.happened(name, payload, self.caller, **about)


Handler = Callable[[Call], Any]
HANDLERS: dict[tuple[str, str], Handler] = {}


def on(*endpoints: str) -> Callable[[Handler], Handler]:
    """Name the endpoints of a handler, as in the table of permissions."""

    def remember(handler: Handler) -> Handler:
        for endpoint in endpoints:
            method, path = endpoint.split()
            HANDLERS[method, template(path)] = handler
        return handler

    return remember


def not_found() -> Failure:
    """Return the answer to what does not exist, or must not be seen."""
    return Failure(404, "Not Found")


def invalid(resource: str, where: str, code: str, message: str = "") -> Failure:
    """Return the answer to a field that is not as it must be."""
    error = {"resource": resource, "field": where, "code": code}
    if message:
        error["message"] = message
    return Failure(422, "Validation Failed", error)


def known(record: T | None) -> T:
    """Return what was looked up, or say that there is none."""
    if record is None:
        raise not_found()
    return record


def text_fits(resource: str, body: str | None) -> None:
    """Refuse a text that GitHub would find too long."""
    if body and len(body) > MOST_TEXT:
        message = f"body is too long (maximum is {MOST_TEXT} characters)"
        raise invalid(resource, "body", "unprocessable", message)


def page_size(call: Call) -> int:
    """Return how many things the page of a list holds that was asked for."""
    usual, most = _SHORTER_PAGES.get(call.operation.template, (_PAGE, _LONGEST_PAGE))
    return min(most, max(1, int(call.asked("per_page", str(usual)))))


def page_number(call: Call) -> int:
    """Return which page of a list was asked for."""
    return max(1, int(call.asked("page", "1")))


def newest_first(records: Iterable[Record]) -> list[Record]:
    """Return records in the order in which GitHub lists most things."""
    return sorted(records, key=lambda record: -int(record["id"]))

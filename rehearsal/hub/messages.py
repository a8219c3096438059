"""What goes over the line: a request and the reply to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Request:
    """A request of HTTP.

    Parameters
    ----------
    method : str
    path : str
        Without the address of the API.
    query : str
        What follows the question mark.
    headers : mapping
        Names in Title-Case.
    body : bytes
        Decompressed.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def parameters(self) -> dict[str, list[str]]:
        """The parameters of the query."""
        return parse_qs(self.query, keep_blank_values=True)


@dataclass(frozen=True)
class Reply:
    """The answer to a request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

"""GitHub's description of its API: which operation a request is, and what differs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

# These may hold slashes that a client does not quote.
_DEEP = ("ref", "path", "branch", "tag")
UPLOAD = "/repos/{owner}/{repo}/releases/{release_id}/assets"


@dataclass(frozen=True)
class Operation:
    """A method of a path template, with the parameters that a request gave it."""

    method: str
    template: str
    parameters: Mapping[str, str] = field(hash=False)


@dataclass
class _Request:
    method: str
    path_pattern: str
    parameters: RequestParameters
    body: bytes | None
    content_type: str
    host_url: str = "http://hub"

    @property
    def path(self) -> str:
        return self.path_pattern


@dataclass
class _Response:
    status_code: int
    data: bytes
    content_type: str
    headers: Headers


class Description:
    """The cut description, read once.

    Parameters
    ----------
    document : dict
        OpenAPI 3.0.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        # That the description is one is a test's business; here it costs a second.
        self._openapi = OpenAPI.from_dict(
            document, config=Config(spec_validator_cls=None)
        )
        # The longer path first, and names before parameters.
        templates = sorted(
            document["paths"], key=lambda t: (-t.count("/"), t.count("{"))
        )
        self._patterns = [(_pattern(t), t) for t in templates]

    def operation(self, method: str, path: str) -> Operation | None:
        """Return which operation a request is; None when GitHub or the cut has none."""
        for pattern, template in self._patterns:
            match = pattern.fullmatch(path)
            if match and method.lower() in self.document["paths"][template]:
                parameters = {
                    name: unquote(value) for name, value in match.groupdict().items()
                }
                return Operation(method, template, parameters)
        return None

    def wrong_request(
        self,
        operation: Operation,
        query: Mapping[str, list[str]],
        headers: Mapping[str, str],
        body: bytes,
    ) -> str:
        """Return how a request differs from the description; empty when it does not."""
        described = self.document["paths"][operation.template][operation.method.lower()]
        known = {self._resolved(p)["name"] for p in described.get("parameters", ())}
        if unknown := sorted(set(query) - known):
            return f"query parameters that GitHub does not know: {', '.join(unknown)}"
        content_type = headers.get("Content-Type", "application/json")
        if operation.template == UPLOAD:
            content_type = (
                "application/octet-stream"  # any type is accepted, says the prose
            )
        else:
            content_type = "application/json"  # GitHub reads every body as JSON
        request = self._request(operation, query, headers, body, content_type)
        if content_type == "application/json" and (
            unknown := self._unknown(described, body)
        ):
            return f"fields that GitHub does not know: {', '.join(unknown)}"
        try:
            self._openapi.validate_request(request)
        except OpenAPIError as error:
            return _told(error)
        return ""

    def wrong_response(
        self,
        operation: Operation,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
    ) -> str:
        """Return how a reply differs from the description; empty when it does not."""
        described = self.document["paths"][operation.template][operation.method.lower()]
        if str(status) not in described["responses"] and (
            status == 304 or status >= 400
        ):
            return ""  # any request may be answered so
        request = self._request(operation, {}, {}, b"", "application/json")
        kind = headers.get("Content-Type", "application/json").split(";")[0]
        response = _Response(status, body, kind, Headers(dict(headers)))
        try:
            self._openapi.validate_response(request, response)
        except OpenAPIError as error:
            return _told(error)
        return ""

    def success(self, operation: Operation) -> int:
        """Return the status of an operation that went well."""
        described = self.document["paths"][operation.template][operation.method.lower()]
        return min(int(s) for s in described["responses"] if s.startswith("2"))

    def pruned(self, operation: Operation, status: int, body: Any) -> Any:
        """Return a body with those keys alone that the description names."""
        described = self.document["paths"][operation.template][operation.method.lower()]
        response = self._resolved(described["responses"].get(str(status), {}))
        schema = (
            response.get("content", {}).get("application/json", {}).get("schema", {})
        )
        return self._prune(schema, body)

    def example(self, name: str) -> dict[str, Any]:
        """Return a copy of an example of the description."""
        example = deepcopy(self.document["components"]["examples"][name]["value"])
        return dict(example[0] if isinstance(example, list) else example)

    def _unknown(self, described: dict[str, Any], body: bytes) -> list[str]:
        content = described.get("requestBody", {}).get("content", {})
        schema = self._resolved(content.get("application/json", {}).get("schema", {}))
        try:
            given = json.loads(body or b"null")
        except ValueError:
            return []  # the validation says so
        if "properties" not in schema or not isinstance(given, dict):
            return []
        return sorted(set(given) - set(schema["properties"]))

    def _prune(self, schema: dict[str, Any], body: Any) -> Any:
        schema = self._resolved(schema)
        if isinstance(body, list) and "items" in schema:
            return [self._prune(schema["items"], item) for item in body]
        if (
            isinstance(body, dict)
            and "properties" in schema
            and not {"anyOf", "oneOf"} & set(schema)
        ):
            named = schema["properties"]
            return {k: self._prune(named[k], v) for k, v in body.items() if k in named}
        return body

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            _, _, kind, name = node["$ref"].split("/")
            node = self.document["components"][kind][name]
        return node

    def _request(
        self,
        operation: Operation,
        query: Mapping[str, list[str]],
        headers: Mapping[str, str],
        body: bytes,
        content_type: str,
    ) -> _Request:
        # What is empty is not given.
        pairs = [
            (name, value) for name, values in query.items() for value in values if value
        ]
        return _Request(
            operation.method.lower(),
            operation.template,
            RequestParameters(
                query=ImmutableMultiDict(pairs),
                header=Headers(dict(headers)),
                path=dict(operation.parameters),
            ),
            body or None,
            content_type,
        )


@cache
def description() -> Description:
    """Return the description beside this file."""
    source = Path(__file__).with_name("github.json")
    return Description(json.loads(source.read_text(encoding="utf-8")))


def overlay(base: Any, over: Any) -> Any:
    """Return ``over`` laid on ``base``: mappings are merged, all else is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{k: overlay(base.get(k), v) for k, v in over.items()}}
    return over


def _pattern(template: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"(?P<{name}>{'.+' if name in _DEEP else '[^/]+'})"

    return re.compile(re.sub(r"\{(\w+)\}", group, template))


def _told(error: BaseException) -> str:
    """Return an error of openapi-core with its causes, the last of which says why."""
    details = getattr(error.__cause__ or error, "schema_errors", None) or ()
    said = [
        f"{'/'.join(map(str, e.absolute_path)) or 'body'}: {e.message[:300]}"
        for e in details
    ]
    return "; ".join(said) or str(error)[:600]

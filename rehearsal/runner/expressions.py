"""The part of GitHub's expressions that groups and environments are written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.event import Event
from rehearsal.workflow import Workflow

_TOKEN = re.compile(r"\s*(\|\||&&|==|!=|!|\(|\)|'(?:[^']|'')*'|[\w.-]+)")
_WHOLE = re.compile(r"\s*\$\{\{((?:(?!\}\}).)*)\}\}\s*")
_INSIDE = re.compile(r"\$\{\{(.*?)\}\}")


def github_context(workflow: Workflow, event: Event) -> dict[str, Any]:
    """Return the part of the `github` context that groups are made of."""
    pull = event.payload.get("pull_request") or {}
    head = pull.get("head") or {}
    base = pull.get("base") or {}
    return {
        "workflow": workflow.name,
        "event_name": event.name,
        "event": event.payload,
        "ref": event.ref,
        "ref_name": event.ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
        "sha": event.sha,
        "actor": event.actor,
        "head_ref": head.get("ref", ""),
        "base_ref": base.get("ref", ""),
    }


def fill(template: Any, context: Mapping[str, Any]) -> Any:
    """Return a value with its expressions evaluated.

    A text that is one expression and nothing else takes the type of its value.
    """
    if not isinstance(template, str):
        return template
    whole = _WHOLE.fullmatch(template)
    if whole:
        return evaluate(whole[1], context)
    return _INSIDE.sub(lambda match: as_text(evaluate(match[1], context)), template)


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """Evaluate an expression.

    Parameters
    ----------
    expression : str
        Of names, texts, ``||``, ``&&``, ``==``, ``!=``, ``!`` and brackets.
    context : mapping
        ``github``, ``inputs``, ``matrix``; what it lacks is null.

    Raises
    ------
    RehearsalError
        For anything else.
    """
    text = expression.strip()
    parser = _Parser(text, _tokens(text), context)
    value = parser.alternatives()
    if parser.tokens:
        raise _too_much(text)
    return value


def as_text(value: Any) -> str:
    """Return a value as GitHub writes it into a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _tokens(text: str) -> list[str]:
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _too_much(text)
        tokens.append(match[1])
        at = match.end()
    return tokens


def _too_much(text: str) -> RehearsalError:
    return RehearsalError(f"{text!r} is more than the rehearsal evaluates")


class _Parser:
    """A descent through the levels of precedence: ``||``, ``&&``, ``==``, ``!``."""

    def __init__(
        self, text: str, tokens: list[str], context: Mapping[str, Any]
    ) -> None:
        self.text = text
        self.tokens = tokens
        self.context = context

    def alternatives(self) -> Any:
        left = self._conjunction()
        while self._takes("||"):
            right = self._conjunction()
            left = left or right
        return left

    def _conjunction(self) -> Any:
        left = self._equality()
        while self._takes("&&"):
            right = self._equality()
            left = left and right
        return left

    def _equality(self) -> Any:
        left = self._unary()
        while self.tokens and self.tokens[0] in ("==", "!="):
            operator = self.tokens.pop(0)
            # GitHub compares texts without regard to case.
            same = as_text(left).lower() == as_text(self._unary()).lower()
            left = same if operator == "==" else not same
        return left

    def _unary(self) -> Any:
        if not self.tokens:
            raise _too_much(self.text)
        token = self.tokens.pop(0)
        if token == "!":
            return not self._unary()
        if token == "(":
            value = self.alternatives()
            if not self._takes(")"):
                raise _too_much(self.text)
            return value
        return self._value(token)

    def _value(self, token: str) -> Any:
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token in ("true", "false"):
            return token == "true"
        if token.isdigit():
            return int(token)
        value: Any = self.context
        for part in token.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _takes(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

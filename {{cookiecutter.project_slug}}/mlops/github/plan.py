"""What a change or an event asks for: which models to train, what to check, what to redeploy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# The first pattern that fits a path decides: the models it touches ("one": that whose folder it
# lies in), whether code checks are needed, whether production is tried with the new code.
_RULES: tuple[tuple[str, str, bool, bool], ...] = (
    (r"\.github/python-version", "all", True, False),
    (r"(docs|\.github|\.devcontainer)/.*|(.*/)?[^/]+\.md|LICENSE|\.git\w+", "", False, False),
    (r"models/[^/]+/data/.*", "one", False, False),
    (r"models/[^/]+/.*", "one", True, False),
    (r"(mlops/)?serving/.*", "", True, True),
    (r"mlops/.*|requirements\.txt|pyproject\.toml|project\.yaml", "all", True, False),
    (r".*", "", True, False),
)


class Plan(NamedTuple):
    """Models to train, whether to check code, whether to try what is in production with it."""

    models: list[str]
    code: bool
    deploy: bool


def plan(changed: Iterable[str] | None, models: Iterable[str]) -> Plan:
    """Return what a change asks for.

    Parameters
    ----------
    changed : iterable of str, optional
        Paths from the top of the repository; None where nobody knows: then everything is touched.
    models : iterable of str
        The models there are.
    """
    known = sorted(models)
    if changed is None:
        return Plan(known, code=True, deploy=False)
    effects = [
        (path, next(rule for rule in _RULES if re.fullmatch(rule[0], path, re.DOTALL)))
        for path in changed
    ]
    touched = {path.split("/")[1] for path, rule in effects if rule[1] == "one"}
    if any(rule[1] == "all" for _, rule in effects):
        touched |= set(known)
    return Plan(
        [name for name in known if name in touched],
        code=any(rule[2] for _, rule in effects),
        deploy=any(rule[3] for _, rule in effects),
    )


def asked(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the commit that an event's changes start from, and the one model it names.

    Both are None where it is about everything: a calendar, a dispatch that names no model.
    """
    for key, name in (("pull_request", "base"), ("merge_group", "base_sha"), ("before", "")):
        if payload.get(key):
            base = payload[key][name] if name else payload[key]
            commit = str(base["sha"] if isinstance(base, dict) else base)
            return (commit if commit.strip("0") else None), None
    said = payload.get("inputs") or payload.get("client_payload") or {}
    return None, (str(said["model"]) if said.get("model") else None)

"""What an event asks for: which models to train, which checks to run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

RED = "## ❌ The checks are red: the run says what failed"

LIMIT = 60_000  # characters; GitHub takes 65,536

# The first pattern that fits a path decides: the models it touches ("one": that whose folder it
# lies in), whether code checks are needed, whether production is tried with the new code.
_RULES: tuple[tuple[str, str, bool, bool], ...] = (
    (r"\.github/python-version", "all", True, False),
    (
        r"(docs|\.github|\.devcontainer)/.*|(.*/)?[^/]+\.md|LICENSE|\.git\w+",
        "",
        False,
        False,
    ),
    (r"models/[^/]+/data/.*", "one", False, False),
    (r"models/[^/]+/.*", "one", True, False),
    (r"vendor/mlops/src/mlops/serving/.*|serving/.*", "", True, True),
    (r"requirements/serve\.txt", "", True, True),
    (r"vendor/.*|requirements/train\.txt|project\.yaml", "all", True, False),
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
    touched: set[str] = set()
    code = deploy = False
    for path in changed:
        _, whom, checks, tries = next(
            r for r in _RULES if re.fullmatch(r[0], path, re.DOTALL)
        )
        if whom == "one":
            touched.add(path.split("/")[1])
        elif whom == "all":
            touched.update(known)
        code |= checks
        deploy |= tries
    return Plan([name for name in known if name in touched], code, deploy)


def asked(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the commit that an event's changes start from, and the one model it names.

    Both are None where it is about everything: a calendar, a dispatch that names no model.
    """
    if pull := payload.get("pull_request"):
        return pull["base"]["sha"], None
    if group := payload.get("merge_group"):
        return group["base_sha"], None
    if before := payload.get("before"):
        return (before if before.strip("0") else None), None  # zeros: the branch is new
    said = payload.get("inputs") or payload.get("client_payload") or {}
    return None, (str(said["model"]) if said.get("model") else None)

"""What an event asks for: which models to train, which checks to run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

RED = "## ❌ The checks are red: the run says what failed"

LIMIT = 60_000  # characters; GitHub takes 65,536


class _PathRule(NamedTuple):
    """What a change of paths that a pattern fits asks for.

    Parameters
    ----------
    models : {"none", "own", "reached", "all"}
        Which models it touches; ``own`` is the one whose folder the path is in,
        ``reached`` are all of them where the change can reach a model.
    code : bool
        Whether code checks are needed.
    deploy : bool
        Whether production is tried with the new code.
    """

    pattern: str
    models: Literal["none", "own", "reached", "all"] = "none"
    code: bool = True
    deploy: bool = False


# The first one that fits a path decides.
_RULES = (
    _PathRule(r"\.github/python-version", "all"),
    _PathRule(r"(docs|\.github|\.devcontainer)/.*", code=False),
    _PathRule(r"(.*/)?[^/]+\.md|LICENSE|\.git\w+", code=False),
    _PathRule(r"models/[^/]+/batch/.*", code=False),
    _PathRule(r"models/[^/]+/data/.*", "own", code=False),
    _PathRule(r"models/[^/]+/.*", "own"),
    _PathRule(r"vendor/mlops/src/mlops/serving/.*|serving/.*", deploy=True),
    _PathRule(r"requirements/serve\.txt", deploy=True),
    _PathRule(r"vendor/mlops/src/.*|project\.yaml", "reached"),
    _PathRule(r"vendor/.*|requirements/train\.txt", "all"),
    _PathRule(r".*"),
)


class Plan(NamedTuple):
    """What a change asks for.

    Parameters
    ----------
    models : list of str
        To train.
    code : bool
        Whether to check code.
    deploy : bool
        Whether to try what is in production with the new code.
    trial : bool
        Whether something changed that every run uses and that can reach no model: one
        model shows that runs still end.
    """

    models: list[str]
    code: bool
    deploy: bool
    trial: bool = False


def _everything(path: str) -> bool:
    return True


def plan_for(
    changed: Iterable[str] | None,
    models: Iterable[str],
    reaches: Callable[[str], bool] = _everything,
) -> Plan:
    """Return what a change asks for.

    Parameters
    ----------
    changed : iterable of str, optional
        Paths from the top of the repository; None where nobody knows, and everything
        counts as changed.
    models : iterable of str
        The models there are.
    reaches : callable
        Takes a path of the engine, or `project.yaml`, and says whether its change can
        reach a model or its verdict.
    """
    known = sorted(models)
    if changed is None:
        return Plan(known, code=True, deploy=False)
    touched: set[str] = set()
    code = False
    deploy = False
    trial = False
    for path in changed:
        rule = _rule_for(path)
        if rule.models == "own":
            touched.add(path.split("/")[1])
        elif rule.models == "all" or (rule.models == "reached" and reaches(path)):
            touched.update(known)
        elif rule.models == "reached":
            trial = True
        code = code or rule.code
        deploy = deploy or rule.deploy
    chosen = [name for name in known if name in touched]
    return Plan(chosen, code, deploy, trial and not chosen)


def _rule_for(path: str) -> _PathRule:
    for rule in _RULES:
        if re.fullmatch(rule.pattern, path, re.DOTALL):
            return rule
    raise AssertionError("the last pattern fits every path")


def start_and_model(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the commit that an event's changes start from, and the one model it names.

    Both are None where the event is about everything: a schedule, or a dispatch that
    names no model.
    """
    pull = payload.get("pull_request")
    if pull:
        return pull["base"]["sha"], None
    group = payload.get("merge_group")
    if group:
        return group["base_sha"], None
    before = payload.get("before")
    if before:
        is_new_branch = not before.strip("0")
        return (None if is_new_branch else before), None
    inputs = payload.get("inputs") or payload.get("client_payload") or {}
    model = inputs.get("model")
    return None, str(model) if model else None

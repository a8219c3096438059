"""What act would pass over, or do otherwise than GitHub, found before it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.runner.stand_ins import HERE, action_inputs, stand_in
from rehearsal.workflow import NEWER_THAN_ACT, RUNNERS, Action, Workflow, as_list

LEVELS = {"none": 0, "read": 1, "write": 2}
# Keys of a job that act does not do, and what it does instead.
_NOT_REHEARSED = {
    "services": "act starts no service, and says nothing",
    "container": "there is no container in a rehearsal",
    "continue-on-error": "act fails the run all the same",
}
_OUTPUT = re.compile(r"\bsteps\.([\w-]+)\.outputs\.([\w-]+)")


@dataclass(frozen=True)
class Contract:
    """What an action takes and gives.

    Parameters
    ----------
    inputs : list of str or None
        None when they are not recorded: anything may be given.
    required : list of str
    outputs : list of str
    """

    inputs: list[str] | None
    required: list[str]
    outputs: list[str]


class _NoContract(Exception):
    """An action cannot be used; the text says why."""


def check(workflow: Workflow) -> None:
    """Refuse a workflow that act would run otherwise than GitHub.

    Raises
    ------
    RehearsalError
        Once, with every reason.
    """
    problems = []
    for key, job in workflow.jobs.items():
        for problem in _job_problems(workflow, key, job):
            problems.append(f"{workflow.path.name}: {key}: {problem}")
    # One file may be called twice.
    files = {one.path: one for one in [workflow, *workflow.called.values()]}
    ids = [key for one in files.values() for key in one.jobs]
    twice = sorted({key for key in ids if ids.count(key) > 1})
    if twice:
        problems.append(f"{workflow.path.name}: two jobs are called {', '.join(twice)}")
    if problems:
        raise RehearsalError(*problems)


def _job_problems(
    workflow: Workflow, key: str, job: Mapping[str, Any]
) -> Iterator[str]:
    for name, reason in _NOT_REHEARSED.items():
        if name in job:
            yield f"`{name}:` of a job: {reason}"
    for label in as_list(job.get("runs-on")):
        if "${{" not in label and label not in RUNNERS:
            yield f"runs-on: {label} would be skipped; known are {', '.join(RUNNERS)}"
    steps = as_list(job.get("steps"))
    yield from _step_problems(workflow, steps, str(job.get("outputs") or ""))
    if "uses" not in job:
        return
    if key not in workflow.called:
        yield f"{job['uses']} is no workflow of this repository"
        return
    callee = workflow.called[key]
    yield from _call_problems(callee, job)
    yield from _input_problems(callee, job)
    yield from _permission_problems(callee, workflow.permissions()[key])
    try:
        check(callee)
    except RehearsalError as error:
        yield from error.reasons


def _call_problems(callee: Workflow, job: Mapping[str, Any]) -> Iterator[str]:
    """Say what keeps act from calling a workflow as GitHub does."""
    file = callee.path.name
    if "matrix" in job.get("strategy", {}) and "matrix." not in str(job.get("name")):
        yield "a matrix of calls needs a `name:` with what differs"
    if callee.called:
        yield f"{file} calls another workflow; that is not rehearsed"
    if callee.for_act() != callee.path.read_text(encoding="utf-8"):
        yield f"{file} has {' or '.join(NEWER_THAN_ACT)}, which act refuses"


def _input_problems(callee: Workflow, job: Mapping[str, Any]) -> Iterator[str]:
    """Say which inputs of a called workflow are unknown or missing."""
    file = callee.path.name
    declared = callee.on.get("workflow_call", {}).get("inputs") or {}
    given = dict(job.get("with") or {})
    for name in sorted(given.keys() - declared.keys()):
        yield f"{file} has no input `{name}`"
    for name, rule in declared.items():
        if rule.get("required") and name not in given:
            yield f"{file} needs the input `{name}`"


def _permission_problems(callee: Workflow, granted: Mapping[str, str]) -> Iterator[str]:
    """Say which permissions a called workflow asks for beyond those of the call."""
    for inner, declared in callee.permissions().items():
        if not isinstance(declared, Mapping):
            continue
        for name, level in declared.items():
            if LEVELS[level] > LEVELS[granted.get(name, "none")]:
                request = f"its job {inner} asks for {name}: {level}"
                yield f"{request}, which is not granted here"


def _step_problems(
    workflow: Workflow, steps: list[dict[str, Any]], around: str = ""
) -> Iterator[str]:
    """Say what is wrong with the actions of some steps.

    Parameters
    ----------
    around : str
        Text outside the steps that names their outputs.
    """
    outputs: dict[str, list[str]] = {}
    for step in steps:
        if "uses" not in step:
            continue
        action = Action.of(step["uses"])
        try:
            contract = _contract(workflow, action)
        except _NoContract as problem:
            yield f"{action.name}: {problem}"
            continue
        yield from _with_problems(action, contract, dict(step.get("with") or {}))
        if "id" in step:
            outputs[step["id"]] = contract.outputs
        inside = workflow.local_action(action) if action.local else None
        if inside:
            inner = as_list(inside["runs"].get("steps"))
            yield from _step_problems(workflow, inner, str(inside.get("outputs") or ""))
    for step_id, name in dict.fromkeys(_OUTPUT.findall(f"{steps} {around}")):
        if step_id in outputs and name not in outputs[step_id]:
            yield f"the action of step `{step_id}` has no output `{name}`"


def _with_problems(
    action: Action, contract: Contract, given: Mapping[str, Any]
) -> Iterator[str]:
    """Say which inputs of an action are unknown or missing."""
    if contract.inputs is not None:
        for name in sorted(given.keys() - set(contract.inputs)):
            known = ", ".join(contract.inputs)
            yield f"{action.name} has no input `{name}`; it has {known}"
    for name in contract.required:
        if name not in given:
            yield f"{action.name} needs the input `{name}`"


def _contract(workflow: Workflow, action: Action) -> Contract:
    if action.local:
        return _local_contract(workflow, action)
    recorded = action_inputs()
    if action.name in recorded:
        one = recorded[action.name]
        contract = Contract(one["inputs"], one["required"], one["outputs"])
    elif action.repository in recorded:
        # A part of a recorded action whose own inputs are not recorded.
        contract = Contract(None, [], [])
    else:
        raise _NoContract("not in action-inputs.json")
    folder = stand_in(action).joinpath(*action.name.split("/")[2:])
    if not (folder / "action.yml").is_file():
        raise _NoContract(f"has no stand-in: {folder.relative_to(HERE)}/action.yml")
    return contract


def _local_contract(workflow: Workflow, action: Action) -> Contract:
    document = workflow.local_action(action)
    if document is None:
        raise _NoContract("no such local action")
    if document.get("runs", {}).get("using") != "composite":
        raise _NoContract("only composite local actions are rehearsed")
    inputs = dict(document.get("inputs") or {})
    required = [
        name
        for name, rule in inputs.items()
        if rule.get("required") and "default" not in rule
    ]
    return Contract(list(inputs), required, list(document.get("outputs") or {}))

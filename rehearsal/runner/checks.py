"""What act would pass over in silence, or does otherwise than GitHub, found before it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rehearsal.runner.stand_ins import HERE, action_inputs, stand_in
from rehearsal.workflow import (
    NEWER_THAN_ACT,
    RUNNERS,
    Action,
    RehearsalError,
    Workflow,
    as_list,
)

LEVELS = {"none": 0, "read": 1, "write": 2}
_OUTPUT = re.compile(r"\bsteps\.([\w-]+)\.outputs\.([\w-]+)")


def check(workflow: Workflow) -> None:
    """Raise RehearsalError, once, for all that act would pass over and GitHub would not."""
    problems = [
        f"{workflow.path.name}: {key}: {problem}"
        for key, job in workflow.jobs.items()
        for problem in [*_check_job(workflow, job), *_check_call(workflow, key, job)]
    ]
    ids = [key for one in [workflow, *workflow.called.values()] for key in one.jobs]
    if twice := sorted({key for key in ids if ids.count(key) > 1}):
        problems.append(f"{workflow.path.name}: two jobs are called {', '.join(twice)}")
    if problems:
        raise RehearsalError(*problems)


def _check_job(workflow: Workflow, job: Mapping[str, Any]) -> Iterator[str]:
    for key, why in {
        "services": "act starts no service, and says nothing",
        "container": "there is no container in a rehearsal",
        "continue-on-error": "act fails the run all the same",
    }.items():
        if key in job:
            yield f"`{key}:` of a job: {why}"
    for label in as_list(job.get("runs-on")):
        if "${{" not in label and label not in RUNNERS:
            yield f"runs-on: {label} would be skipped; known are {', '.join(RUNNERS)}"
    yield from _check_steps(
        workflow, as_list(job.get("steps")), str(job.get("outputs") or "")
    )


def _check_call(workflow: Workflow, key: str, job: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with a job that calls a workflow."""
    if "uses" not in job:
        return
    if key not in workflow.called:
        yield f"{job['uses']} is no workflow of this repository"
        return
    callee = workflow.called[key]
    if "matrix" in job.get("strategy", {}) and "matrix." not in str(job.get("name")):
        yield "a matrix of calls needs a `name:` with what differs"
    if callee.called:
        yield f"{callee.path.name} calls another workflow; that is not rehearsed"
    if callee.for_act() != callee.path.read_text(encoding="utf-8"):
        yield f"{callee.path.name} has {' or '.join(NEWER_THAN_ACT)}, which act refuses"
    known = callee.on.get("workflow_call", {}).get("inputs") or {}
    given = dict(job.get("with") or {})
    for name in sorted(given.keys() - known.keys()):
        yield f"{callee.path.name} has no input `{name}`"
    for name, rule in known.items():
        if rule.get("required") and name not in given:
            yield f"{callee.path.name} needs the input `{name}`"
    most = workflow.permissions()[key]
    for inner, granted in callee.permissions().items():
        for name, level in granted.items() if isinstance(granted, Mapping) else ():
            if LEVELS[level] > LEVELS[most.get(name, "none")]:
                yield f"its job {inner} asks for {name}: {level}, which is not granted here"
    try:
        check(callee)
    except RehearsalError as error:
        yield from error.reasons


def _check_steps(
    workflow: Workflow, steps: list[dict[str, Any]], around: str = ""
) -> Iterator[str]:
    outputs: dict[str, list[str]] = {}
    for step in steps:
        if "uses" not in step:
            continue
        action = Action.of(step["uses"])
        contract = _contract(workflow, action)
        if isinstance(contract, str):
            yield f"{action.name}: {contract}"
            continue
        given = dict(step.get("with") or {})
        known = contract["inputs"]
        for name in () if known is None else sorted(given.keys() - set(known)):
            yield f"{action.name} has no input `{name}`; it has {', '.join(known)}"
        for name in contract["required"]:
            if name not in given:
                yield f"{action.name} needs the input `{name}`"
        if "id" in step:
            outputs[step["id"]] = contract["outputs"]
        if action.local and (found := workflow.local_action(action)):
            inner = str(found.get("outputs") or "")
            yield from _check_steps(
                workflow, as_list(found["runs"].get("steps")), inner
            )
    for step, name in dict.fromkeys(_OUTPUT.findall(f"{steps} {around}")):
        if name not in outputs.get(step, [name]):
            yield f"the action of step `{step}` has no output `{name}`"


def _contract(workflow: Workflow, action: Action) -> dict[str, Any] | str:
    """Return the inputs and outputs of an action, or why it cannot be used."""
    if action.local:
        found = workflow.local_action(action)
        if found is None:
            return "no such local action"
        if found.get("runs", {}).get("using") != "composite":
            return "only composite local actions are rehearsed"
        inputs = dict(found.get("inputs") or {})
        required = [name for name, one in inputs.items() if one.get("required")]
        return {
            "inputs": list(inputs),
            "required": [name for name in required if "default" not in inputs[name]],
            "outputs": list(found.get("outputs") or {}),
        }
    known = action_inputs().get(action.name)
    if known is None and action.repository in action_inputs():
        known = {"inputs": None, "required": [], "outputs": []}  # a part; not recorded
    if known is None:
        return "not in action-inputs.json"
    folder = stand_in(action).joinpath(*action.name.split("/")[2:])
    if not (folder / "action.yml").is_file():
        return f"has no stand-in: {folder.relative_to(HERE)}/action.yml"
    return known

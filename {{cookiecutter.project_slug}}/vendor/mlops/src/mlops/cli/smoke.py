"""The command `mlops smoke`: a service is started and asked a release's examples."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

from typer import Option

from mlops import settings
from mlops.cli.app import app
from mlops.cli.arguments import MaybeFollowed, Models
from mlops.cli.context import current_context
from mlops.cli.each import each_live, flags, require_one
from mlops.cli.output import Json, emit
from mlops.errors import EnvironmentFailure, Refused, counted
from mlops.io.user_code import require_allowed

if TYPE_CHECKING:
    from mlops.config.project import Project

TOLERANCE = 1e-9  # of a prediction, where the pipeline itself serves

_SECONDS = 60  # for the service to answer


@app.command(rich_help_panel="Workflows")
def smoke(
    ref: MaybeFollowed = None,
    version: Annotated[
        str | None,
        Option(help="Fail if the stage has another version than MODEL@VERSION."),
    ] = None,
    models: Models = None,
    as_json: Json = False,
) -> None:
    """Start the service of a stage and try the release's examples.

    Example: `mlops smoke employment@staging`
    """
    require_one(ref, models, "MODEL@STAGE")
    if ref is None:
        each_live("smoke", models or "", flags({"--json": as_json}))
        return
    _smoke(ref, version, as_json)


def _smoke(ref: str, version: str | None, as_json: bool) -> None:
    """Try the version of one model in a stage."""
    from mlops.registry.chain import fetch
    from mlops.registry.decisions import awaits_approval

    at = current_context()
    name, _, served = ref.partition("@")
    stage = at.project.stage(served)  # what is served is a stage
    if version is not None and awaits_approval(at.project.root, version, stage):
        who = ", ".join(stage.approvers_for(name))
        text = (
            f"{version} waits: {who} may put it into {stage.name}; then "
            f"`mlops smoke {ref}` tries it"
        )
        result = {"version": version, "examples": 0, "wrong": []}
        emit(result, text, as_json, page=text)
        return
    bundle = fetch(at.project, ref, at.store)
    if version is not None and bundle.version.ref != version:
        raise Refused(
            f"another version has been put into {stage.name} since",
            found=bundle.version.ref,
            allowed=version,
            do="look at the run that registered it, which tries and promotes it",
        )
    examples = json.loads(bundle.read("examples.json"))
    facts = bundle.manifest.compiled
    tolerance = facts.tolerance if facts and facts.ok else TOLERANCE
    wrong = ask_examples(at.project, ref, bundle.version.number, examples, tolerance)
    served = f"{bundle.version.ref} in service"
    tried = counted(len(examples), "example")
    text = f"{served} gives the expected predictions for {tried}"
    if wrong:
        lines = [f"{served} gives different predictions for its examples:", *wrong]
        text = "\n".join(lines)
    result = {"version": bundle.version.ref, "examples": len(examples), "wrong": wrong}
    emit(result, text, as_json, page=text, yes=not wrong)


def ask_examples(
    project: Project,
    ref: str,
    version: str,
    examples: list[dict[str, Any]],
    tolerance: float = TOLERANCE,
) -> list[str]:
    """Return how the service of `ref` differs from what `version` was trained to do.

    Parameters
    ----------
    tolerance : float
        Of the numbers: a compiled pipeline differs in the last digits.

    Raises
    ------
    EnvironmentFailure
        When it does not start or does not answer.
    """
    rows = [example["features"] for example in examples]
    response = _served_predictions(project, ref, rows)
    wrong = []
    if response["version"] != version:
        wrong.append(f"version {response['version']} serves")
    pairs = zip(examples, response["predictions"], strict=True)
    for number, (example, predicted) in enumerate(pairs, 1):
        for name, value in example["expected"].items():
            if not _same(predicted.get(name), value, tolerance):
                wrong.append(
                    f"example {number}: {name} is {predicted.get(name)}, "
                    f"expected {value}"
                )
    return wrong


def _served_predictions(
    project: Project, ref: str, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Start the service of `ref`, return its response to rows, and end it."""
    from urllib.error import URLError

    require_allowed(ref)
    command = [sys.executable, "-m", "mlops", "serve", ref, "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=project.root,
        env=settings.current().child_environment(MLOPS_SERVE_TOKENS=None),
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            line = service.stdout.readline() if service.stdout else ""
            return _predicted(_address(line, ref), rows)
        except (URLError, TimeoutError) as error:
            raise EnvironmentFailure(
                f"the service does not answer: {error}", found=ref
            ) from error
        finally:
            service.terminate()


def _address(line: str, ref: str) -> str:
    """Return the address in the line that a service prints when it is ready."""
    for word in line.split():
        if word.startswith("http://"):
            return word
    raise EnvironmentFailure("the service did not start", found=ref)


def _predicted(address: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a service answers for rows."""
    from urllib.request import Request, urlopen

    body = json.dumps({"rows": rows}).encode()
    headers = {"Content-Type": "application/json"}
    request = Request(f"{address}/predict", body, headers)
    with urlopen(request, timeout=_SECONDS) as response:
        return cast("dict[str, Any]", json.load(response))


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return bool(one == other)

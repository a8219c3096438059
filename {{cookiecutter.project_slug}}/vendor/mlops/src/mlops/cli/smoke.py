"""The command `mlops smoke`: a registered version is loaded and answers its examples."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from mlops import settings
from mlops.cli.app import app
from mlops.cli.context import current_context
from mlops.cli.output import Json, emit
from mlops.errors import EnvironmentFailure

if TYPE_CHECKING:
    from mlops.config.project import Project


@app.command(rich_help_panel="Workflows")
def smoke(
    ref: Annotated[str, Argument(metavar="MODEL@STAGE")], as_json: Json = False
) -> None:
    """Start the service of a stage and ask it the release's examples.

    Example: `mlops smoke employment@staging`
    """
    from mlops.registry.chain import fetch

    at = current_context()
    at.project.stage(ref.partition("@")[2])  # what is served is a stage
    bundle = fetch(at.project, ref, at.store)
    examples = json.loads(bundle.read("examples.json"))
    wrong = ask_examples(at.project, ref, bundle.version.number, examples)
    text = f"{bundle.version.ref} in service answers {len(examples)} examples as it was trained to"
    if wrong:
        text = "\n".join(
            [f"{bundle.version.ref} in service answers otherwise:", *wrong]
        )
    facts = {"version": bundle.version.ref, "examples": len(examples), "wrong": wrong}
    emit(facts, text, as_json, page=text, yes=not wrong)


def ask_examples(
    project: Project, ref: str, version: str, examples: list[dict[str, Any]]
) -> list[str]:
    """Return what the running service of `ref` answers otherwise than `version` was trained to.

    Raises
    ------
    WorldError
        When it does not start or does not answer.
    """
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    command = [sys.executable, "-m", "mlops", "serve", ref, "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=project.root,
        env=settings.current().child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            line = service.stdout.readline() if service.stdout else ""
            address = next(
                (word for word in line.split() if word.startswith("http://")), None
            )
            if address is None:
                raise EnvironmentFailure("the service did not start", found=ref)
            body = json.dumps(
                {"rows": [example["features"] for example in examples]}
            ).encode()
            asked = Request(
                f"{address}/predict", body, {"Content-Type": "application/json"}
            )
            with urlopen(asked, timeout=60) as answer:
                said = json.load(answer)
        except (URLError, TimeoutError) as error:
            raise EnvironmentFailure(
                f"the service does not answer: {error}", found=ref
            ) from error
        finally:
            service.terminate()
    wrong = [f"version {said['version']} serves"] if said["version"] != version else []
    for at, (example, got) in enumerate(
        zip(examples, said["predictions"], strict=True), 1
    ):
        for name, value in example["expected"].items():
            if not _same(got.get(name), value):
                wrong.append(
                    f"example {at}: {name} is {got.get(name)}, expected {value}"
                )
    return wrong


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return math.isclose(one, other, rel_tol=1e-9) if numbers else bool(one == other)

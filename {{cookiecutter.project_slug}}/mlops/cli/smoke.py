"""The service of a stage, started as it will run, asked what it must know, and stopped."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from mlops.errors import Problem, WorldError
from mlops.project import Project

Row = dict[str, Any]


def ask_examples(project: Project, ref: str, version: str, examples: list[Row]) -> list[str]:
    """Return what the running service of `ref` answers otherwise than `version` was trained to.

    Raises
    ------
    WorldError
        When it does not start or does not answer.
    """
    command = [sys.executable, "-m", "mlops", "serve", ref, "--port", "0"]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True) as service:
        try:
            line = service.stdout.readline() if service.stdout else ""
            address = next((word for word in line.split() if word.startswith("http://")), None)
            if address is None:
                raise WorldError(Problem("the service did not start", found=ref))
            body = json.dumps({"rows": [example["features"] for example in examples]}).encode()
            asked = Request(f"{address}/predict", body, {"Content-Type": "application/json"})
            with urlopen(asked, timeout=60) as answer:
                said = json.load(answer)
        except (URLError, TimeoutError) as error:
            raise WorldError(Problem(f"the service does not answer: {error}", found=ref)) from error
        finally:
            service.terminate()
    wrong = [f"version {said['version']} serves"] if said["version"] != version else []
    for at, (example, got) in enumerate(zip(examples, said["predictions"], strict=True), 1):
        for name, value in example["expected"].items():
            if not _same(got.get(name), value):
                wrong.append(f"example {at}: {name} is {got.get(name)}, expected {value}")
    return wrong


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return math.isclose(one, other, rel_tol=1e-9) if numbers else bool(one == other)

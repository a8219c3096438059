"""Write docs/reference/ from the code (`make reference`).

One page each for the commands, `model.yaml`, `project.yaml`, the metrics, the
environment variables, the workflows and what they cost. `tests/test_docs.py` fails when
a page is not what the code says.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bill
import yaml

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "{{cookiecutter.project_slug}}"
ENGINE = GENERATED / "vendor/mlops/src"
PAGES = ROOT / "docs" / "reference"

_NOTHING = "nothing"
_UNLIMITED = 1e9  # a limit beyond it only keeps numbers finite

_MADE = "<!-- Made by scripts/reference.py (`make reference`). Do not edit. -->"


def pages() -> dict[Path, str]:
    """Return what should be in each page."""
    from mlops.config.model_spec import ModelSpec
    from mlops.config.project_spec import ProjectSpec

    return {
        PAGES / "commands.md": commands(),
        PAGES / "model-yaml.md": specification(
            ModelSpec,
            "model.yaml",
            "`models/NAME/model.yaml` describes one model. Unknown keys are errors.",
        ),
        PAGES / "project-yaml.md": specification(
            ProjectSpec,
            "project.yaml",
            "`project.yaml` describes the repository. Unknown keys are errors.",
        ),
        PAGES / "metrics.md": metrics(),
        PAGES / "environment.md": environment(),
        PAGES / "workflows.md": workflows(),
        bill.TARGET: bill.page(bill.facts()),
    }


def _page(title: str, introduction: str, *blocks: str) -> str:
    return "\n\n".join([f"# {title}", _MADE, introduction, *blocks]) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


# -- commands --------------------------------------------------------------------------


def commands() -> str:
    """Return the page of the commands, in the order of the alphabet.

    Their order in `mlops --help` goes by which module was imported first.
    """
    import typer

    from mlops.cli.main import app

    root = typer.main.get_command(app)
    blocks = [_command(name, command) for name, command in _leaves(root, "mlops")]
    introduction = inspect.cleandoc(root.help or "")
    return _page("Commands", introduction, *blocks)


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield name and command of all that can be run."""
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child_name, child in sorted(children.items()):
        if child.hidden:  # a process of the engine starts it, and nobody else
            continue
        yield from _leaves(child, f"{name} {child_name}")


def _command(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    usage = command.get_usage(context).removeprefix("Usage: ")
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        written, meaning = parameter.get_help_record(context)
        rows.append((f"`{written}`", meaning))
    blocks = [
        f"## `{name}`",
        inspect.cleandoc(command.help or ""),
        f"```text\n{' '.join(usage.split())}\n```",
    ]
    if rows:
        blocks.append(_table(("argument or option", "meaning"), rows))
    return "\n\n".join(blocks)


# -- specifications --------------------------------------------------------------------


def specification(cls: Any, title: str, introduction: str) -> str:
    """Return the page of a file's keys, from the JSON Schema of its class."""
    schema = cls.model_json_schema()
    rows = list(_keys(schema, schema.get("$defs", {}), ""))
    head = ("key", "type", "default", "meaning")
    return _page(title, introduction, _table(head, rows))


def _keys(
    schema: dict[str, Any], definitions: dict[str, Any], prefix: str
) -> Iterator[tuple[str, ...]]:
    """Yield a row for each key, and for the keys below it."""
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        key = f"{prefix}{name}"
        inner, repeated = _section(field, definitions)
        default = "required" if name in required else _default(field, inner)
        meaning = field.get("description") or (inner or {}).get("description", "")
        kind = _type(field, definitions)
        if inner is not None:
            kind = "list of sections" if repeated else "section"
        yield f"`{key}`", kind, default, meaning
        if inner is not None:
            below = f"{key}[]." if repeated else f"{key}."
            yield from _keys(inner, definitions, below)


def _section(
    field: dict[str, Any], definitions: dict[str, Any]
) -> tuple[dict[str, Any] | None, bool]:
    """Return the schema of a section, and whether a key holds a list of them."""
    options = [field, *field.get("anyOf", ()), *field.get("allOf", ())]
    for option in options:
        if "$ref" in option:
            return definitions[option["$ref"].rsplit("/", 1)[-1]], False
        if "$ref" in option.get("items", {}):
            reference = option["items"]["$ref"]
            return definitions[reference.rsplit("/", 1)[-1]], True
    return None, False


def _default(field: dict[str, Any], inner: dict[str, Any] | None) -> str:
    if "default" not in field:
        return "empty"
    default = field["default"]
    if default is None:
        return "none"
    if inner is not None and isinstance(default, dict):
        return "as below"
    if default in ("", [], {}):
        return "empty"
    if isinstance(default, list) and isinstance(default[0], dict):
        return ", ".join(f"`{entry['name']}`" for entry in default)
    return f"`{json.dumps(default)}`"


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the type and limits of a key in words."""
    options = [_type(option, definitions) for option in field.get("anyOf", ())]
    options = [option for option in options if option != _NOTHING]
    if options:
        return " or ".join(options)
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type")
    if kind == "array":
        return f"list of: {_type(field.get('items', {}), definitions)}"
    if kind == "object":
        values = field.get("additionalProperties")
        if isinstance(values, dict):
            return f"mapping of name to: {_type(values, definitions)}"
        return "mapping"
    names = {
        "string": "text",
        "number": "number",
        "integer": "whole number",
        "boolean": "boolean",
        "null": _NOTHING,
    }
    return names.get(str(kind), "any value") + _limits(field)


def _limits(field: dict[str, Any]) -> str:
    words = {
        "exclusiveMinimum": "more than",
        "minimum": "at least",
        "exclusiveMaximum": "less than",
        "maximum": "at most",
        "pattern": "matching",
    }
    limits = []
    for key, word in words.items():
        limit = field.get(key)
        if isinstance(limit, str):
            limits.append(f"{word} `{limit}`")
        elif limit is not None and abs(limit) < _UNLIMITED:
            limits.append(f"{word} {limit:,.10g}")
    return f", {', '.join(limits)}" if limits else ""


# -- metrics ---------------------------------------------------------------------------


def metrics() -> str:
    """Return the page of the metrics of each kind of model."""
    from mlops.config.model_spec import METRICS
    from mlops.reporting import words

    head = ("metric", "better", "name", "meaning")
    blocks = []
    for task in ("binary", "multiclass", "regression"):
        rows = []
        for name, (tasks, higher_is_better) in METRICS.items():
            if task in tasks:
                better = "higher" if higher_is_better else "lower"
                rows.append((f"`{name}`", better, *words.METRICS[name]))
        blocks += [f"## {task}", _table(head, rows)]
    return _page(
        "Metrics",
        "What `metrics.primary`, `metrics.others` and `checks.floor` of `model.yaml` "
        "may name. Each has an interval, is compared with production on the same rows, "
        "and with a model that always predicts the same "
        "([how](../explanation/verdict.md)). The interval of `median_ae` rests on how "
        "densely the errors lie around the median. `mape` is not measured where the "
        "target is 0. A class that no test row is of is left out of `roc_auc_ovr` and "
        "`roc_auc_ovo`, and the figure is marked as resting on few rows.",
        *blocks,
    )


# -- environment -----------------------------------------------------------------------


def environment() -> str:
    """Return the page of the environment variables."""
    from mlops import settings

    head = ("variable", "default", "meaning")
    tables = []
    for variables in (settings.VARIABLES, settings.SYSTEM_VARIABLES):
        rows = [(f"`{v.name}`", v.default, v.purpose) for v in variables]
        tables.append(_table(head, rows))
    return _page(
        "Environment variables",
        "Every variable is optional. A value that makes no sense is an error that "
        "names the variable.",
        tables[0],
        "The system or GitHub Actions sets these:",
        tables[1],
    )


# -- workflows -------------------------------------------------------------------------


def workflows() -> str:
    """Return the page of the workflows: events, jobs and permissions."""
    paths = sorted((GENERATED / ".github" / "workflows").glob("*.yml"))
    return _page(
        "Workflows",
        "The workflows of a generated repository, in `.github/workflows/`. A job has "
        "only the permissions listed here. Its steps run commands of `mlops`, which "
        "also work on a laptop.",
        *(_workflow(path) for path in paths),
    )


def _workflow(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    # YAML 1.1 reads the key `on` as true.
    document = yaml.load(text, Loader=yaml.BaseLoader)
    comment = re.match(r"(?:# .*\n)+", text)
    about = ""
    if comment:
        about = " ".join(line.removeprefix("# ") for line in comment[0].splitlines())
    rows = [_job(name, job) for name, job in document["jobs"].items()]
    events = "\n".join(f"- {line}" for line in _events(document["on"]))
    return "\n\n".join(
        [
            f"## `{path.name}`",
            about,
            f"Runs on:\n\n{events}",
            _table(("job", "after", "permissions", "commands"), rows),
        ]
    )


def _events(events: Any) -> Iterator[str]:
    """Yield a line for each event, with its filters and inputs."""
    if isinstance(events, str):
        events = {events: None}
    if isinstance(events, list):
        events = dict.fromkeys(events)
    for name, details in events.items():
        if name == "schedule":
            crons = ", ".join(f"`{entry['cron']}`" for entry in details)
            yield f"`schedule`: {crons} (UTC)"
        elif isinstance(details, dict) and "inputs" in details:
            yield f"`{name}`, with the inputs {_listed(details['inputs'])}"
        elif isinstance(details, dict):
            filters = (f"{key} {_listed(value)}" for key, value in details.items())
            yield f"`{name}`: {'; '.join(filters)}"
        else:
            yield f"`{name}`"


def _listed(names: Any) -> str:
    if isinstance(names, str):
        names = [names]
    return ", ".join(f"`{name}`" for name in names)


def _job(name: str, job: dict[str, Any]) -> tuple[str, ...]:
    needs = job.get("needs", [])
    permissions = job.get("permissions", {})
    granted = ", ".join(f"`{what}: {how}`" for what, how in permissions.items())
    runs = "\n".join(step.get("run", "") for step in job.get("steps", []))
    called = re.findall(r"\bmlops ((?:registry |runs |github )?[a-z]+)", runs)
    commands = ", ".join(f"`mlops {command}`" for command in dict.fromkeys(called))
    if "uses" in job:
        commands = f"those of `{Path(job['uses']).name}`"
    return f"`{name}`", _listed(needs), granted or "none", commands


if __name__ == "__main__":
    sys.path.insert(0, str(ENGINE))
    PAGES.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")

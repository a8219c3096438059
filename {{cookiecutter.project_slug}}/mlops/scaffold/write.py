"""Writing the folder of a new model: all of it or nothing."""

from __future__ import annotations

import json
import keyword
import math
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mlops import UsageError
from mlops.files import reaching
from mlops.project import MODEL_NAME, Project, load_spec
from mlops.scaffold.columns import Column
from mlops.scaffold.infer import Inference

_HERE = Path(__file__).parent
_TAKEN = {"all", "journal"}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./-]*(?<! )")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


def write(project: Project, name: str, inference: Inference) -> list[Path]:
    """Write `models/NAME` and return its files, in the order in which to read them.

    Raises
    ------
    UsageError
        For a bad name, or one that is taken.
    WorldError
        When the disk does not take them; nothing is left behind then.
    """
    check_name(project, name)
    final, source = project.root / "models" / name, Path(inference.path)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", source.stem).strip("_") or "rows"
    data = f"data/{stem}{'.csv' if 'delimiter' in inference.spec['data'] else source.suffix}"
    columns = {c.name: c for c in inference.columns}
    spec = {**inference.spec, "owner": project.spec.owner, "columns": columns}
    spec["data"] = {**spec["data"], "source": data}
    texts = {
        "model.yaml": _filled("model_yaml", spec),
        "contract.py": contract(inference),
        "features.py": features(inference),
        "estimator.py": (_HERE / "template_estimator.py").read_text(encoding="utf-8"),
        f"tests/test_{name}.py": _filled("tests_py", {}),
    }
    with reaching("write", final):
        final.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=final.parent) as temporary:
            folder = Path(temporary) / name
            for file, text in texts.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text, encoding="utf-8", newline="\n")
            (folder / "data").mkdir()
            shutil.copyfile(source, folder / data)
            load_spec(folder / "model.yaml", f"models/{name}/model.yaml")
            folder.rename(final)
    return [final / file for file in (*texts, data)]


def check_name(project: Project, name: str) -> None:
    """Raise UsageError unless a new model can have this name."""
    if not MODEL_NAME.fullmatch(name) or keyword.iskeyword(name) or name in _TAKEN:
        allowed = "up to 40 of a-z, 0-9 and _, a letter first; no word of Python; not all, journal"
        what = "a model cannot have this name"
        raise UsageError(what, file="models/", found=name, allowed=allowed)
    if (project.root / "models" / name).exists():
        do = f"take another name, or remove models/{name}"
        raise UsageError("there is such a model already", file=f"models/{name}", do=do)


def contract(inference: Inference) -> str:
    """Return the text of contract.py: what was seen, with room for what was not."""
    used = [c for c in inference.columns if c.role != "ignored"]
    numbers = [c for c in used if c.kind == "number" and c.role in {"feature", "target"}]
    classes = [c for c in used if c.role == "target" and inference.spec["task"] != "regression"]
    known = [c for c in used if c.role == "feature" and c.kind == "category" and not c.written]
    values = {
        "fewest_rows": max(20, inference.rows // 2),
        "unique": [c.name for c in used if c.role == "id"],
        "missing": {c.name: _room_to_miss(c) for c in used},
        "ranges": {c.name: limits for c in numbers if c not in classes and (limits := _range(c))},
        # The first day of the year before.
        "earliest": {
            c.name: f"{max(2, int(c.earliest[:4])) - 1:04}-01-01" for c in used if c.earliest
        },
        "values": {c.name: list(c.values) for c in (*classes, *known) if c.values},
    }
    return _filled("contract_py", values)


def features(inference: Inference) -> str:
    """Return the text of features.py."""
    used = [c for c in inference.columns if c.role == "feature"]
    dates = {c.name: c.written for c in used if c.kind == "date" or "%" in c.written}
    numbers = {c.name: "comma" in c.written for c in used if c.written and "%" not in c.written}
    text = (_HERE / "template_features.py").read_text(encoding="utf-8")
    for name, value in (("NUMBERS", numbers), ("DATES", dates)):
        before, start, after = re.split(rf"(?m)^({name}: .* = ){{}}$", text)
        text = before + start + _python(value) + after
    return text


def _room_to_miss(column: Column) -> float:
    """Return none where none is missing, else half as much again, as a share of the rows."""
    share = column.missing / column.rows
    return min(1.0, round(1.5 * share + 0.02, 2)) if share else 0.0


def _range(column: Column) -> tuple[float, float] | None:
    """Return lowest and highest value with half the span as room; no room below zero.

    None where numbers end (1.8e308), as there is no room.
    """
    low, high = column.low or 0.0, column.high or 0.0
    if max(abs(low), abs(high)) > 1e300:
        return None
    room = (high - low) / 2
    digits = 1 - math.floor(math.log10(room))
    return (0.0 if 0 <= low <= room else round(low - room, digits)), round(high + room, digits)


def _filled(block: str, values: dict[str, Any]) -> str:
    """Return a block of `templates.j2` with these values in it."""
    import jinja2

    environment = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"yaml": _yaml, "python": _python, "comment": _comment}
    template = environment.from_string((_HERE / "templates.j2").read_text(encoding="utf-8"))
    return "".join(template.blocks[block](template.new_context(values)))


def _comment(text: str) -> str:
    """Return a comment of one line, whatever is in the name of a column."""
    return f" # {' '.join(text.split())}" if text.isprintable() and text else ""


def _yaml(value: Any) -> str:
    """Return a value as YAML 1.2 that reads the same in 1.1; text is quoted where it has to be."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    # JSON is YAML but for characters that cannot be printed.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _python(value: Any, taken: int = 0) -> str:
    """Return a value as Python source, one item per line, as ruff would format it."""
    if isinstance(value, dict) and value:
        keys = {_python(key): item for key, item in value.items()}
        items = [f"    {key}: {_python(item, 8 + len(key))},\n" for key, item in keys.items()]
        return "{\n" + "".join(items) + "}"
    if isinstance(value, list):
        line = f"[{', '.join(map(_python, value))}]"
        items = [f"        {_python(item)},\n" for item in value]
        return line if len(line) + taken <= 100 else "[\n" + "".join(items) + "    ]"
    text = repr(value)
    return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text

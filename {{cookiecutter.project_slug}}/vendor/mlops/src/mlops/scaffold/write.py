"""Writing the folder of a new model: all of it or nothing."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from pathlib import Path

from mlops.config.project import MODEL_NAME, Project, load_spec
from mlops.errors import UsageError
from mlops.io.files import reaching
from mlops.scaffold.infer import Inference
from mlops.scaffold.render import TEMPLATES, contract, features, fill_block

_TAKEN = {"all", "journal"}


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
        "model.yaml": fill_block("model_yaml", spec),
        "contract.py": contract(inference),
        "features.py": features(inference),
        "estimator.py": (TEMPLATES / "estimator.py").read_text(encoding="utf-8"),
        f"tests/test_{name}.py": fill_block("tests_py", {}),
    }
    with reaching("write", final):
        final.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{name}.", dir=final.parent
        ) as temporary:
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

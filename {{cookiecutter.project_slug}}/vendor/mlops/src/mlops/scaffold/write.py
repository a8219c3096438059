"""Writing the folder of a new model: all of it or nothing."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from pathlib import Path

from mlops.config.project import MODEL_NAME, Project, load_spec
from mlops.data.sources import COMPRESSED, form_of
from mlops.errors import UsageError
from mlops.io.files import reaching
from mlops.scaffold import render
from mlops.scaffold.infer import Inference

_TAKEN = {"all", "journal"}


def write(project: Project, name: str, inference: Inference) -> list[Path]:
    """Write `models/NAME` and return its files, in the order in which to read them.

    Raises
    ------
    UsageError
        For a bad name, or one that is taken.
    EnvironmentFailure
        When the disk does not take them; nothing is left behind then.
    """
    check_name(project, name)
    final = project.root / "models" / name
    source = Path(inference.path)
    data = _data_path(source)
    texts = {
        "model.yaml": render.model_yaml(inference, project.spec.owner, data),
        "contract.py": render.contract(inference),
        "features.py": render.features(inference),
        "estimator.py": render.estimator(inference),
        f"tests/test_{name}.py": render.tests(),
    }
    with reaching("write", final):
        final.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{name}.", dir=final.parent
        ) as temporary:
            folder = Path(temporary) / name
            for file, text in texts.items():
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            (folder / "data").mkdir()
            shutil.copyfile(source, folder / data)
            load_spec(folder / "model.yaml", f"models/{name}/model.yaml")
            folder.rename(final)
    return [final / file for file in (*texts, data)]


def _data_path(source: Path) -> str:
    """Return where the data goes: under its name, without what a pattern would mean."""
    compression = source.suffix if source.suffix in COMPRESSED else ""
    inner = Path(source.name.removesuffix(compression))
    ends = ".csv" if form_of(source) == "csv" else inner.suffix
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", inner.stem).strip("_") or "rows"
    return f"data/{stem}{ends}{compression}"


def check_name(project: Project, name: str) -> None:
    """Raise UsageError unless a new model can have this name."""
    usable = MODEL_NAME.fullmatch(name) and not keyword.iskeyword(name)
    if not usable or name in _TAKEN:
        raise UsageError(
            "a model cannot have this name",
            file="models/",
            found=name,
            allowed="up to 40 of a-z, 0-9 and _, a letter first; "
            "no word of Python; not all, journal",
        )
    if (project.root / "models" / name).exists():
        raise UsageError(
            "there is already a model of this name",
            file=f"models/{name}",
            do=f"take another name, or remove models/{name}",
        )

"""Write the JSON Schemas of model.yaml and manifest.json beside their classes (`make schema`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ENGINE = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}"


def schemas() -> dict[Path, str]:
    """Return what should stand in each file."""
    from mlops.registry.manifest import Manifest
    from mlops.spec import ModelSpec

    rooms = {"model.yaml": ("model", ModelSpec), "manifest.json": ("registry/manifest", Manifest)}
    out = {}
    for title, (place, cls) in rooms.items():
        document = cls.model_json_schema()
        document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        document["title"] = title
        text = json.dumps(document, indent=2, sort_keys=True) + "\n"
        out[ENGINE / "mlops" / f"{place}.schema.json"] = text
    return out


if __name__ == "__main__":
    sys.path.insert(0, str(ENGINE))
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")

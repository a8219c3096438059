"""Write the JSON Schemas of model.yaml and manifest.json (`make schema`).

That of model.yaml goes into the generated repository, for editors; that of
manifest.json into docs/reference/, for whoever reads manifests with other tools.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "{{cookiecutter.project_slug}}"


def schemas() -> dict[Path, str]:
    """Return what should stand in each file."""
    from mlops.config.model_spec import ModelSpec
    from mlops.registry.manifest import Manifest

    out = {}
    for cls, title, path in (
        (
            ModelSpec,
            "model.yaml",
            ENGINE / "vendor/mlops/src/mlops/config/model.schema.json",
        ),
        (Manifest, "manifest.json", ROOT / "docs/reference/manifest.schema.json"),
    ):
        document = cls.model_json_schema()
        document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        document["title"] = title
        out[path] = json.dumps(document, indent=2, sort_keys=True) + "\n"
    return out


if __name__ == "__main__":
    sys.path.insert(0, str(ENGINE / "vendor/mlops/src"))
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")

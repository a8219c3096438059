"""Write the JSON Schema of model.yaml beside its classes, for editors (`make schema`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ENGINE = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}"
TARGET = ENGINE / "mlops" / "model.schema.json"


def schema() -> str:
    """Return the schema as it should stand in the file."""
    from mlops.spec import ModelSpec

    document = ModelSpec.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "model.yaml"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ENGINE))
    TARGET.write_text(schema(), encoding="utf-8")

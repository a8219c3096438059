"""Record the digests of the engine's files for a release (`make engine-digest`).

`mlops doctor` of a generated repository compares its engine with this record.
"""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = (
    Path(__file__).parents[1]
    / "{{cookiecutter.project_slug}}"
    / "vendor/mlops/src/mlops"
)


def record() -> tuple[Path, str]:
    """Return the file of the record, and what should stand in it."""
    from mlops.io.engine import RECORD, listing

    return PACKAGE / RECORD, listing(PACKAGE)


if __name__ == "__main__":
    sys.path.insert(0, str(PACKAGE.parent))
    path, text = record()
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {path.relative_to(Path.cwd())}")

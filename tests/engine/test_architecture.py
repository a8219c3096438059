"""Files that are derived from others."""

from __future__ import annotations

import pytest
from engine_digest import record
from schema import schemas


@pytest.mark.parametrize("name", ["model", "manifest"])
def test_the_json_schema_is_that_of_the_classes(name: str) -> None:
    ((path, text),) = [
        item for item in schemas().items() if item[0].name.startswith(name)
    ]
    assert path.read_text(encoding="utf-8") == text, "run `make schema`"


def test_the_record_of_the_engine_is_of_its_files() -> None:
    path, text = record()
    assert path.read_text(encoding="utf-8") == text, "run `make engine-digest`"

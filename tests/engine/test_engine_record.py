"""Which engine there is: recorded, seen by doctor, kept with each version."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops import __version__
from mlops.cli.doctor import engine_text
from mlops.cli.main import app
from mlops.io.engine import PACKAGE, RECORD, engine_digest, engine_state, listing
from mlops.registry.manifest import Manifest, dump, manifest_of
from mlops.registry.tags import read_registry
from mlops.results.runs import Record

from .registry_world import MODEL, World, world_fixture  # noqa: F401


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small engine with a record of its release."""
    folder = tmp_path / "mlops"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.py").write_text("1\n")
    (folder / "deep" / "two.j2").write_text("2\n")
    (folder / RECORD).write_text(listing(folder))
    return folder


def test_an_engine_as_it_was_released_is_unmodified(package: Path) -> None:
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"cached")
    state = engine_state(package)
    assert state.recorded and not state.modified
    assert engine_text(state) == (f"engine {__version__}, unmodified", [])
    content = (package / RECORD).read_bytes()
    assert state.sha256 == hashlib.sha256(content).hexdigest()


def test_doctor_lists_the_files_that_differ(package: Path) -> None:
    before = engine_state(package).sha256
    (package / "one.py").write_text("other\n")
    (package / "deep" / "two.j2").unlink()
    (package / "new.py").write_text("")
    state = engine_state(package)
    headline, files = engine_text(state)
    assert headline == f"engine {__version__}, modified: 3 of its files differ"
    assert files == ["changed  one.py", "missing  deep/two.j2", "added    new.py"]
    assert state.sha256 != before


def test_an_engine_without_a_record_is_named_so(package: Path) -> None:
    (package / RECORD).unlink()
    headline, files = engine_text(engine_state(package))
    assert (headline, files) == (
        f"engine {__version__}, without a record of its release",
        [],
    )


def test_the_record_is_what_sha256sum_checks(package: Path) -> None:
    command = ["sha256sum", "--check", "--quiet", RECORD]
    subprocess.run(command, cwd=package, check=True, capture_output=True)
    (package / "one.py").write_text("other\n")
    done = subprocess.run(command, cwd=package, check=False, capture_output=True)
    assert b"one.py: FAILED" in done.stdout


def test_doctor_says_which_engine_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.root)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    (row,) = [row for row in json.loads(done.output) if row["check"] == "engine"]
    assert row["looks_at"] == engine_text(engine_state(PACKAGE))[0]
    assert row["looks_at"].startswith(f"engine {__version__}, ")


def test_a_manifest_names_the_engine(world: World) -> None:
    number = world.release("one")
    version = read_registry(world.root).model(MODEL).versions[number]
    manifest, _ = manifest_of(world.root, version)
    assert manifest.engine == __version__
    assert manifest.engine_sha256 == engine_digest()


def test_what_an_older_engine_wrote_is_read_without_these_keys(world: World) -> None:
    number = world.release("one")
    version = read_registry(world.root).model(MODEL).versions[number]
    manifest, _ = manifest_of(world.root, version)
    known = json.loads(dump(manifest))
    del known["engine"], known["engine_sha256"]
    older = Manifest.parse(json.dumps(known).encode(), "manifest.json")
    assert (older.engine, older.engine_sha256) == ("", "")
    facts = {"id": "1", "model": MODEL, "started": "", "seconds": 1, "stages": {}}
    record = Record.model_validate({**facts, "outcome": "promote"})
    assert (record.engine, record.engine_sha256) == ("", "")

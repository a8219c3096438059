"""What a release holds beside the model, and what is left out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from mlops.registry import sbom
from mlops.registry.chain import fetch
from mlops.results.evaluation import EXAMPLES, REFERENCE

from .conftest import ENGINE
from .registry_world import MODEL, World, git, world_fixture  # noqa: F401

LOCK = f"""\
accelerate==1.2 ; sys_platform == 'win32' and python_version < '3-x' \\
    --hash=sha256:{"a" * 64}
Demo_Package[extra]==1.0+local.1 ; python_full_version >= '3.11' \\
    --hash=sha256:{"b" * 64} \\
    --hash=sha256:{"c" * 64}
plain==2.0
windows-only==3.0 ; sys_platform == 'win32' --hash=sha256:{"d" * 64}
# a comment==1.0
"""


def document(lock: Path) -> dict[str, Any]:
    content = sbom.document("acme", lock)
    assert (
        JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    )
    return json.loads(content)  # type: ignore[no-any-return]


def test_the_list_of_the_environment_is_valid_and_holds_what_is_locked_for_this_machine(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(LOCK)
    assert sbom.pins(lock) == [
        ("demo_package", "1.0+local.1", ("b" * 64, "c" * 64)),
        ("plain", "2.0", ()),
    ]
    found = document(lock)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    python, demo, plain = found["components"]
    assert (python["name"], python["version"]) == ("CPython", sys.version.split()[0])
    purl = PackageURL.from_string(demo["purl"])
    assert (purl.type, purl.name, purl.version) == (
        "pypi",
        "demo-package",
        "1.0+local.1",
    )
    assert purl.to_string() == demo["purl"]
    digests = [h["content"] for h in demo["externalReferences"][0]["hashes"]]
    assert digests == ["b" * 64, "c" * 64]
    assert plain["purl"] == "pkg:pypi/plain@2.0"


def test_the_list_of_the_real_lock(tmp_path: Path) -> None:
    lock = ENGINE / "requirements" / "train.txt"
    found = document(lock)
    named = {c["name"]: c for c in found["components"]}
    assert {"scikit-learn", "pandas", "skops", "great-expectations"} <= set(named)
    assert len({c["bom-ref"] for c in found["components"]}) == len(found["components"])
    locked = re.findall(r"^([a-z][\w.-]*)==", lock.read_text(), re.M)
    assert len(found["components"]) > 0.9 * len(locked), "but those of other systems"
    assert all(
        c["externalReferences"][0]["hashes"] for n, c in named.items() if n != "CPython"
    )
    assert sbom.document("acme", lock) == sbom.document("acme", lock)


def test_no_clock_and_no_chance_is_in_it(tmp_path: Path) -> None:
    code = "import sys; from mlops.registry.sbom import document;"
    code += "from pathlib import Path;"
    code += "sys.stdout.buffer.write(document('acme', Path(sys.argv[1])))"
    lock, out = str(ENGINE / "requirements" / "train.txt"), set()
    for seed in ("1", "2"):
        env = {
            **os.environ,
            "PYTHONPATH": str(ENGINE / "vendor/mlops/src"),
            "PYTHONHASHSEED": seed,
        }
        out.add(subprocess.check_output([sys.executable, "-c", code, lock], env=env))
    assert len(out) == 1


def test_every_release_has_it(world: World) -> None:
    world.release("one")
    held = json.loads(fetch(world.project, f"{MODEL}@v1.0.0").read(sbom.SBOM))
    assert held["metadata"]["component"]["name"] == "acme"
    assert [c["name"] for c in held["components"]] == ["CPython", "scikit-learn"]


def test_registering_and_pulling_only_handle_files_piece_by_piece(world: World) -> None:
    world.build(b"x" * 200_000_000)
    code = (
        "import sys\n"
        "from datetime import UTC, datetime\n"
        "from mlops.config.project import Project\n"
        "from mlops.registry.publish import register\n"
        "from mlops.registry.chain import fetch\n"
        "project = Project.find()\n"
        "now = datetime.now(UTC)\n"
        "done = register(project, 'churn', actor='@ana', run='', now=now)\n"
        "fetch(project, 'churn@latest').save(project.root / 'build' / 'pulled')\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'skops', 'pyarrow', 'scipy'}\n"
        "heavy.add('requests')\n"
        "print(done.created, sorted(heavy & set(sys.modules)))\n"
        "peak = [x for x in open('/proc/self/status') if x.startswith('VmHWM')]\n"
        "print(int(peak[0].split()[1]) // 1000)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ENGINE / "vendor/mlops/src")}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=world.root, env=env, capture_output=True, text=True)
    said, peak = done.stdout.splitlines()
    assert said == "True []", done.stderr
    assert int(peak) < 100, "megabytes, far from those of the model"
    assert (
        world.root / "build" / "pulled" / "model.skops"
    ).stat().st_size == 200_000_000


def test_rows_that_nothing_keeps_are_noted(world: World) -> None:
    (world.root / ".gitignore").write_text("build/\n.mlops/\n*.csv\n")
    git(world.root, "rm", "-q", "--cached", f"models/{MODEL}/data/rows.csv")
    world.commit("Rows lie elsewhere")
    world.build()
    (note,) = world.register().notes
    assert (
        f"git does not hold models/{MODEL}/data/rows.csv" in note
        and "data.keep" in note
    )


@pytest.mark.parametrize("asset", [REFERENCE, EXAMPLES])
def test_samples_that_are_missing_are_asked_for(world: World, asset: str) -> None:
    world.build()
    (world.project.build(MODEL) / asset).unlink()
    with pytest.raises(Exception, match=f"no {asset}"):
        world.register()

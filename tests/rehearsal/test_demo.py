"""`make demo` does what it says: the same script, in a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_does_what_it_says(tmp_path: Path) -> None:
    script = Path(__file__).with_name("demo.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "the service answers with v1.0.0",
        "the verdict is promote",
        "the running service has taken up v1.1.0 by itself",
        "the alarm is raised, and it names `mobility`",
        "the service has taken up v1.1.1",
        "the service answers with v1.1.0 again",
        "the same bytes",
    ):
        assert said in done.stdout, said
    build = tmp_path / "census-models" / "build" / "employment"
    for file in ("report.html", "report.md", "card.md", "monitor.html"):
        assert (build / file).stat().st_size > 1000

"""`make demo` does what it says: the same script, in a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal import demo
from rehearsal.stories.teller import WIDTH

ROOT = Path(__file__).parents[2]


def test_a_step_that_goes_otherwise_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def story(told: demo.Demo) -> None:
        told.teller.check("pigs fly", told.world.tags())

    monkeypatch.setattr(demo, "story", story)
    monkeypatch.setattr(sys, "argv", ["demo", str(tmp_path)])
    assert demo.main() == 1
    assert "The demo stopped: it was expected that pigs fly" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_does_what_it_says(tmp_path: Path) -> None:
    generated = tmp_path / "github" / "generated" / "made" / "census-models"
    left = generated / "left-by-an-earlier-one"
    left.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "rehearsal.demo", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    for step in (
        "the service answers with v1.0.0",
        "✗ pull-request verdict",
        "no significant difference",
        "Replace the model in production (v1.0.0) with this one.",
        "it is the same comment, edited",
        "employment@v1.1.0 in service gives the expected predictions for 10 examples",
        "the service answers with v1.1.0",
        "no alarm: nothing reached the alarm level",
        "mobility has drifted",
        "v1.1.1, only the data changed, is in staging",
        "the same issue is edited: Checks of v1.1.0 with an alarm: 2",
        "refused: this person may not approve for production",
        "the service answers with v1.1.1",
        "the issue is closed",
        "refused: nobody approves a version that they registered",
        "v1.1.0 is in production again",
        "v1.0.0, trained again, is the same",
        "the web page shows it all",
    ):
        assert step in said, step
    workflows = set(
        re.findall(r"^   [✓✗] ([a-z-]+) +\S.* s$", done.stdout, re.MULTILINE)
    )
    assert workflows == {
        "release",
        "pull-request",
        "comment",
        "monitor",
        "promote",
        "pages",
    }
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    told = done.stdout.replace(str(tmp_path), "demo").splitlines()
    assert max(map(len, told)) <= WIDTH + 4
    assert not left.exists()
    for name in demo.KEPT:
        assert str(tmp_path / name) in done.stdout
        path = tmp_path / name
        assert path.is_dir() or path.stat().st_size > 500
    assert "ALARM" in (tmp_path / "look" / "issue.md").read_text(encoding="utf-8")
    assert "It is over." in (tmp_path / "look" / "issue.md").read_text(encoding="utf-8")

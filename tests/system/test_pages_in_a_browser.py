"""The HTML that people read, laid out by Chromium: a page never scrolls sideways."""

from __future__ import annotations

import html as markup
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine import reporting_facts as known
from engine.registry_world import World
from mlops.reporting.html import html
from mlops.reporting.site import site

WIDTHS = (390, 1280)  # CSS pixels: a telephone, a laptop
HEIGHT = 900

# Chromium has no window narrower than 500 pixels, so the page stands in a frame. The
# frame inherits the page's own policy and nothing else.
FRAME = """<!doctype html><meta charset="utf-8"><title>measure</title>
<iframe id="page" style="width:{width}px; height:{height}px; border:0"
  srcdoc="{page}"></iframe>
<pre id="found"></pre>
<script>
  addEventListener("load", () => {{
    const inside = document.getElementById("page").contentDocument
    const root = inside.documentElement
    const details = inside.querySelectorAll("details")
    details.forEach(one => one.open = true)
    const found = {{
      shown: root.clientWidth, needed: root.scrollWidth,
      text: inside.body.innerText.length,
      hidden: [...inside.querySelectorAll(".scroll")]
        .filter(box => box.scrollWidth > box.clientWidth)
        .map(box => box.getAttribute("aria-label")),
    }}
    document.getElementById("found").textContent = JSON.stringify(found)
  }})
</script>
"""

COMMAND = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1000",
    "--virtual-time-budget=5000",
    "--dump-dom",
)


def laid_out(page: str, width: int, folder: Path) -> dict[str, Any]:
    """Return how wide Chromium shows a page, and how wide the page needs to be."""
    path = folder / "frame.html"
    text = FRAME.format(width=width, height=HEIGHT, page=markup.escape(page))
    path.write_text(text, encoding="utf-8", errors="replace")
    command = [*COMMAND, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout)
    assert found, done.stderr[-800:]
    return json.loads(found[1])  # type: ignore[no-any-return]


def assert_no_sideways_scroll(page: str, width: int, folder: Path) -> None:
    found = laid_out(page, width, folder)
    assert found["text"] > 100, "the page was laid out"
    assert width - 20 <= found["shown"] <= width
    assert found["needed"] <= found["shown"]


@pytest.mark.system("chromium")
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_that_is_too_wide_is_noticed(width: int, tmp_path: Path) -> None:
    page = f"<!doctype html><p style='width:{width + 50}px'>{'too wide ' * 30}</p>"
    found = laid_out(page, width, tmp_path)
    assert found["needed"] > found["shown"]


@pytest.mark.system("chromium")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_report_never_scrolls_sideways(
    task: str, width: int, tmp_path: Path
) -> None:
    assert_no_sideways_scroll(html(known.everything(task)), width, tmp_path)


@pytest.mark.system("chromium")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_no_column_of_a_report_is_off_screen(
    task: str, width: int, tmp_path: Path
) -> None:
    assert laid_out(html(known.everything(task)), width, tmp_path)["hidden"] == []


@pytest.mark.system("chromium")
@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_of_hostile_names_never_scrolls_sideways(
    width: int, tmp_path: Path
) -> None:
    assert_no_sideways_scroll(html(known.hostile()), width, tmp_path)


@pytest.mark.system("chromium")
@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_of_a_repository_never_scroll_sideways(
    width: int, tmp_path: Path
) -> None:
    world = World(tmp_path / "acme").create()
    number = world.release("one")
    world.promote(number, "staging", reason="delivered " + "x" * 200)
    at = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
    made = site(world.project, world.store, at, "https://github.com/acme/demo")
    pages = {name: text for name, text in made.files.items() if name.endswith(".html")}
    assert "index.html" in pages
    for page in pages.values():
        assert_no_sideways_scroll(page.decode(), width, tmp_path)
    assert laid_out(pages["index.html"].decode(), width, tmp_path)["hidden"] == []

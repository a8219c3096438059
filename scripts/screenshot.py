"""Take pictures of a page, light and dark: screenshot.py PAGE.html FOLDER.

Markdown (a model card) is shown about as GitHub shows it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Blink's own switch; emulating the media feature would need the developer protocol.
SCHEMES = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}

# The measures and colours of GitHub's own pages.
LOOKS = """
:root { color-scheme: light dark; --ink: #1f2328; --page: #fff; --line: #d1d9e0;
  --tint: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f6fc; --page: #0d1117; --line: #3d444d; --tint: #151b23 } }
body { font: 16px/1.5 "Noto Sans", Helvetica, Arial, sans-serif; max-width: 900px;
  padding: 32px; margin: auto; color: var(--ink); background: var(--page) }
h1, h2 { border-bottom: 1px solid var(--line); padding-bottom: 0.3em }
table { border-collapse: collapse; margin-bottom: 16px }
tr:nth-child(2n) { background: var(--tint) }
th, td { border: 1px solid var(--line); padding: 6px 13px }
pre { font: 85%/1.45 "Liberation Mono", monospace; background: var(--tint);
  padding: 16px }
"""


def shown(page: Path, folder: Path) -> Path:
    """Return a page to open: markdown becomes HTML, without its metadata."""
    if page.suffix != ".md":
        return page
    text = re.sub(
        r"\A---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    target = folder / f"{page.stem}.html"
    target.write_text(
        f"<!doctype html><meta charset=utf-8><style>{LOOKS}</style>{body}"
    )
    return target


def picture(page: Path, target: Path, scheme: str, width: int, height: int) -> None:
    """Write a PNG of `page`, `width` x `height` CSS pixels, as it looks in `scheme`."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        sys.exit("chromium is not installed (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *QUIET, *SCHEMES[scheme], f"--user-data-dir={profile}"]
        command += [f"--window-size={width},{height}", f"--screenshot={target}"]
        uri = shown(page, Path(profile)).resolve().as_uri()
        done = subprocess.run([*command, uri], capture_output=True, timeout=120)
    if done.returncode or not target.is_file():
        sys.exit(
            f"chromium made no picture:\n{done.stderr.decode(errors='replace')[-800:]}"
        )


def main() -> None:
    """Write NAME-light.png and NAME-dark.png into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=1180)
    parser.add_argument("--height", type=int, default=3600)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for scheme in SCHEMES:
        target = options.folder / f"{options.page.stem}-{scheme}.png"
        picture(options.page, target, scheme, options.width, options.height)
        print(target)


if __name__ == "__main__":
    main()

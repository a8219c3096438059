"""Take pictures of a page through chromium, light and dark: screenshot.py PAGE.html FOLDER."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

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


def picture(page: Path, target: Path, scheme: str, width: int, height: int) -> None:
    """Write a PNG of `page`, `width` x `height` CSS pixels, as it looks in `scheme`."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        sys.exit("chromium is not installed (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *QUIET, *SCHEMES[scheme], f"--user-data-dir={profile}"]
        command += [f"--window-size={width},{height}", f"--screenshot={target}"]
        done = subprocess.run([*command, page.resolve().as_uri()], capture_output=True, timeout=120)
    if done.returncode or not target.is_file():
        sys.exit(f"chromium made no picture:\n{done.stderr.decode(errors='replace')[-800:]}")


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

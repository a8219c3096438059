"""A warm environment: what `make setup` would install, and nothing else, is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rehearsal.runner.joblog import LAST_LINE

# Not for jobs: the interpreter is linked anew, the engine is that of the checkout.
_LEFT_OUT = re.compile(r"(python|pip)[\d.]*|[Aa]ctivate.*|mlops|act")

# What an interpreter knows of its environment: itself, programs, libraries, its name.
_FACTS = """
import os, sys, sysconfig
print(os.path.realpath(sys._base_executable))
print(sysconfig.get_path("scripts"))
print(sysconfig.get_path("purelib"))
print("python{}.{}".format(*sys.version_info))
"""

_RESTORE = """# Give the checkout the environment that `make setup` would install:
# the libraries from the folder of one that is installed, its own engine as
# `pip install -e` would.
set -euo pipefail
cd "$GITHUB_WORKSPACE"
[ -d requirements ] && [ ! -e .venv ] || exit 0
cp -RP "{warm}/venv" .venv
echo "$GITHUB_WORKSPACE/vendor/mlops/src" >> .venv/{site}/rehearsal.pth
for lock in requirements/*.txt; do touch ".venv/.ready-$(basename "$lock" .txt)"; done
echo "rehearsal: a warm .venv stands for what make setup would install"
"""
# act gives every step a terminal; GitHub gives it none, and nothing to read. When a
# step fails, act stops reading at once: its shell ends once the last line was read.
_SHELL = """#!{bash}
[ -t 0 ] || exec {shell} "$@"
{shell} "$@" < /dev/null 2>&1 | cat
code=${{PIPESTATUS[0]}}
if [ "$code" != 0 ] && [ -d "$TMPDIR" ]; then
  echo "{end}$$"
  for _ in {{1..3000}}; do
    [ -e "$TMPDIR/{end}$$" ] && break
    sleep 0.01
  done
fi
exit "$code"
"""
_WRAPPER = '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/python" {what} "$@"\n'
_NODE = """#!/bin/sh
exec '{base}' -I -S '{script}' '{node}' "$@"
"""
_ON_STANDBY = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec '{base}' -I -S '{client}' '{address}' "${{here%/bin}}" "$here/standby" {what} "$@"
"""


def warm(
    root: Path, python: Path = Path(sys.executable), standby: Path | None = None
) -> tuple[Path, Path]:
    """Prepare the programs of a runner's image and what set-up restores.

    Parameters
    ----------
    root : Path
        Of the rehearsal.
    python : Path
        The interpreter of the environment that set-up restores: this one's, or that in
        which a repository that is rehearsed is set up.
    standby : Path, optional
        Address of an interpreter on standby that runs the engine's commands.

    Returns
    -------
    Path
        A folder for PATH with Python, uv and shells, and none of the libraries.
    Path
        A folder with `restore.sh`.
    """
    facts = subprocess.run(
        [python, "-c", _FACTS], capture_output=True, text=True, check=True
    )
    base, installed, libraries, version = facts.stdout.splitlines()
    tools = root / "bin"
    tools.mkdir(parents=True)
    _programs(tools, Path(base), Path(installed))
    folder = root / "warm"
    site = Path("lib", version, "site-packages")
    _environment(folder / "venv", Path(base), version)
    scripts = folder / "venv" / "bin"
    _installed(scripts, Path(installed))
    if standby is not None:
        client = Path(__file__).with_name("client.py")
        (scripts / "python").unlink()  # the cold one is python3
        for name, what in (("mlops", "-P -m mlops"), ("standby", ""), ("python", "")):
            text = _ON_STANDBY.format(
                base=base, client=client, address=standby, what=what
            )
            _write_script(scripts / name, text)
    (folder / "venv" / site / "rehearsal.pth").write_text(
        f"{libraries}\n", encoding="utf-8"
    )
    restore = _RESTORE.format(warm=folder, site=site.as_posix())
    (folder / "restore.sh").write_text(restore, encoding="utf-8")
    return tools, folder


def on_standby_in(warm_folder: Path) -> Path:
    """Return what stands for the interpreter of a warm environment on standby."""
    return warm_folder / "venv" / "bin" / "standby"


def _programs(tools: Path, base: Path, installed: Path) -> None:
    """Fill the folder that stands for the programs of a runner's image."""
    for name in ("python", "python3"):
        (tools / name).symlink_to(base)
    for name in ("bash", "sh"):
        text = _SHELL.format(
            shell=shutil.which(name), bash=shutil.which("bash"), end=LAST_LINE
        )
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755)
    node = shutil.which("node")
    if node:
        script = Path(__file__).with_name("hash_files.py")
        _write_script(tools / "node", _NODE.format(base=base, script=script, node=node))
    if (installed / "uv").is_file():
        (tools / "uv").symlink_to(installed / "uv")


def _environment(venv: Path, base: Path, version: str) -> None:
    """Make a virtual environment without libraries."""
    scripts = venv / "bin"
    scripts.mkdir(parents=True)
    (venv / "lib" / version / "site-packages").mkdir(parents=True)
    for name in ("python", "python3", version):
        (scripts / name).symlink_to(base)
    lines = [f"home = {base.parent}", "include-system-site-packages = false"]
    (venv / "pyvenv.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _installed(scripts: Path, installed: Path) -> None:
    """Link the programs that come with the libraries, and write the engine's."""
    for program in sorted(installed.iterdir()):
        if program.is_file() and not _LEFT_OUT.fullmatch(program.name):
            _link(program, scripts / program.name)
    _script(scripts / "mlops", "-P -m mlops")


def _link(program: Path, to: Path) -> None:
    """Link a program; one in Python runs under the new environment's interpreter."""
    with program.open("rb") as file:
        first = file.readline()
    if first.startswith(b"#!") and b"python" in first and os.access(program, os.X_OK):
        _script(to, f"'{program}'")
    else:
        to.symlink_to(program)


def _script(path: Path, what: str) -> None:
    _write_script(path, _WRAPPER.format(what=what))


def _write_script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)

"""Compile the locks: the generated repository's, the template's, those of three tests.

The generated pyproject.toml is a Jinja template, so a repository is rendered with the
default answers first, and compiled by its own `make lock`. Versions already locked are
kept; `--upgrade` moves them.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ROOT / "{{cookiecutter.project_slug}}" / "requirements"
TEMPLATE_LOCK = ROOT / "requirements-dev.txt"
MLFLOW = ROOT / "tests" / "engine" / "mlflow.in"
LEARNERS = ROOT / "tests" / "engine" / "learners.in"
CLUSTERS = ROOT / "tests" / "engine" / "clusters.in"

# Universal: one file for every platform and every Python offered, with the same
# versions on all of them where that can be. No header, annotation or index address: a
# lock says what is installed, never from where or by whom.
COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--fork-strategy", "fewest"),
    *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
]


def compile_generated(upgrade: bool) -> None:
    """Render a repository, let it compile its own locks, and take them over."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(f"replay_dir: '{folder}'\ncookiecutters_dir: '{folder}'\n")
        rendered = cookiecutter(
            str(ROOT),
            no_input=True,
            output_dir=folder,
            accept_hooks=False,
            config_file=str(config),
        )
        command = ["make", "lock", "UV=uv", *(["UPGRADE=1"] if upgrade else [])]
        subprocess.run(command, cwd=rendered, check=True)
        for lock in sorted(Path(rendered, "requirements").iterdir()):
            shutil.copy(lock, GENERATED)
            print(f"wrote {(GENERATED / lock.name).relative_to(ROOT)}")


def compile_lock(inputs: list[Path], output: Path, options: list[str]) -> None:
    """Resolve `inputs` into `output`, a requirements file with hashes."""
    subprocess.run(
        [*COMPILE, *options, "--output-file", str(output), *map(str, inputs)],
        check=True,
    )
    print(f"wrote {output.relative_to(ROOT)}")


def main() -> None:
    """Compile the generated locks, the template's and those of three tests."""
    options = sys.argv[1:]
    compile_generated(upgrade="--upgrade" in options)
    everything = GENERATED / "all.txt"
    compile_lock([ROOT / "requirements-dev.in", everything], TEMPLATE_LOCK, options)
    compile_lock([MLFLOW], MLFLOW.with_suffix(".txt"), options)
    train = GENERATED / "train.txt"
    compile_lock([LEARNERS, train], LEARNERS.with_suffix(".txt"), options)
    compile_lock([CLUSTERS, train], CLUSTERS.with_suffix(".txt"), options)


if __name__ == "__main__":
    main()

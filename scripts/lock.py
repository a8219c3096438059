"""Compile the locks: the generated repository's, the template's own on top of it, MLflow's apart.

The generated pyproject.toml is a Jinja template, so a repository is rendered with the
default answers first. Versions already locked are kept; `--upgrade` moves them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
GENERATED_LOCK = ROOT / "{{cookiecutter.project_slug}}" / "requirements.txt"
TEMPLATE_LOCK = ROOT / "requirements-dev.txt"
MLFLOW = ROOT / "tests" / "engine" / "mlflow.in"

# Universal: one file for every platform and every Python offered, with the same versions on
# all of them where that can be. No header, annotation or index address: a lock says what is
# installed, never from where or by whom.
COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--fork-strategy", "fewest"),
    *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
]


def compile_lock(inputs: list[Path], output: Path, options: list[str]) -> None:
    """Resolve `inputs` into `output`, a requirements file with hashes."""
    subprocess.run(
        [*COMPILE, *options, "--output-file", str(output), *map(str, inputs)],
        check=True,
    )
    print(f"wrote {output.relative_to(ROOT)}")


def main() -> None:
    """Render, then compile the generated lock, the template's and that of a test."""
    options = sys.argv[1:]
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
        pyproject = Path(rendered, "pyproject.toml")
        compile_lock([pyproject], GENERATED_LOCK, [*options, "--all-extras"])
    compile_lock([ROOT / "requirements-dev.in", GENERATED_LOCK], TEMPLATE_LOCK, options)
    compile_lock([MLFLOW], MLFLOW.with_suffix(".txt"), options)


if __name__ == "__main__":
    main()

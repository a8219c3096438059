"""`mlops run` of the example by this engine and by that of another checkout.

Usage: python benchmarks/against.py FOLDER_OF_THE_OTHER_CHECKOUT

The other one may be from before the engine moved to vendor/mlops. Both run in turn in
repositories that their own templates generated, BENCH_REPEATS times; the least wall and
processor time of each is printed, and the ratio. The processor time is that of all
processes that the command starts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import REPEATS, ROOT, environment
from tree import Spent, spent

SLUG = "{{cookiecutter.project_slug}}"


def generate(template: Path, where: Path) -> tuple[Path, dict[str, str]]:
    """Return a generated repository, and the environment with its engine."""
    script = (
        "import sys; from cookiecutter.main import cookiecutter;"
        "print(cookiecutter(sys.argv[1], no_input=True, output_dir=sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(template), str(where)],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    engine = template / SLUG / "vendor" / "mlops" / "src"
    if not engine.is_dir():
        engine = template / SLUG
    root = Path(done.stdout.splitlines()[-1])
    return root, {**environment(), "PYTHONPATH": str(engine)}


def main() -> None:
    """Print what both take, and the ratio."""
    other = Path(sys.argv[1]).resolve()
    command = [sys.executable, "-m", "mlops", "run", "employment"]
    seconds: dict[str, list[Spent]] = {"other": [], "this": []}
    with tempfile.TemporaryDirectory() as folder:
        templates = {"other": other, "this": ROOT}
        repositories = {
            name: generate(template, Path(folder) / name)
            for name, template in templates.items()
        }
        for _ in range(REPEATS):
            for name, (root, env) in repositories.items():
                shutil.rmtree(root / "build", ignore_errors=True)
                seconds[name].append(spent(command, root, env))
    print("| mlops run employment | other | this | ratio |")
    print("| --- | --: | --: | --: |")
    for what in ("wall", "processor"):
        least = {
            name: min(getattr(once, what) for once in taken)
            for name, taken in seconds.items()
        }
        ratio = least["this"] / least["other"]
        print(
            f"| {what} | {least['other']:.2f} s | {least['this']:.2f} s | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()

"""Make the kept repository of the upgrade tests: one that template 0.1.0 generated.

The template of 0.1.0 is commit 94b9946. The repository was lived in with the engine
that it was generated with: two models, versions, stages, a rollback, a run log, and
changes of its owner's. `tests/upgrade/README.md` says what is in it.

Usage: python scripts/make_upgrade_fixture.py CLONE

`CLONE` is a clone of this template at 94b9946 in which `make setup` has run.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "tests" / "upgrade"
TEMPLATE_PARTS = ("cookiecutter.json", "hooks", "{{cookiecutter.project_slug}}")
ROWS = 400
START = 1_767_225_600  # 2026-01-01, in seconds since 1970


class Life:
    """The repository, and one clock for all that happens in it.

    Parameters
    ----------
    clone : Path
        The template at 94b9946, with its environment in ``.venv``.
    root : Path
        An empty folder to work in.
    """

    def __init__(self, clone: Path, root: Path) -> None:
        self.clone = clone
        self.root = root
        self.template = root / "template"
        self.repository = root / "acme-models"
        self.seconds = START
        self.home = root / "home"
        self.home.mkdir()

    def run(self, folder: Path, *command: str, ok: bool = True) -> str:
        """Run a command an hour after the one before, and return what it prints."""
        self.seconds += 3600
        date = f"{self.seconds} +0000"
        environment = {
            "PATH": os.pathsep.join([str(self.clone / ".venv/bin"), os.defpath]),
            "HOME": str(self.home),
            "USER": "ana",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ana",
            "GIT_AUTHOR_EMAIL": "ana@example.com",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": "Ana",
            "GIT_COMMITTER_EMAIL": "ana@example.com",
            "GIT_COMMITTER_DATE": date,
            "SOURCE_DATE_EPOCH": str(self.seconds),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ok and done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def mlops(self, *arguments: str, ok: bool = True) -> str:
        """Run the engine that the repository holds."""
        return self.run(self.repository, "python", "-m", "mlops", *arguments, ok=ok)

    def commit(self, message: str) -> None:
        """Commit everything in the repository."""
        self.run(self.repository, "git", "add", "--all")
        self.run(self.repository, "git", "commit", "--quiet", "--message", message)

    def write(self, path: str, text: str) -> None:
        """Write a file of the repository."""
        file = self.repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def replace(self, path: str, old: str, new: str) -> None:
        """Change one passage of a file of the repository."""
        text = (self.repository / path).read_text(encoding="utf-8")
        if old not in text:
            sys.exit(f"{path} does not hold {old!r}")
        self.write(path, text.replace(old, new, 1))


def keep_template(life: Life) -> None:
    """Put what the template generates from into a repository of its own."""
    life.template.mkdir()
    for part in TEMPLATE_PARTS:
        source = life.clone / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*_cache", ".mlops")
            shutil.copytree(source, life.template / part, ignore=ignored)
        else:
            shutil.copy(source, life.template / part)
    life.run(life.template, "git", "init", "--quiet", "--initial-branch=template")
    life.run(life.template, "git", "add", "--all")
    life.run(life.template, "git", "commit", "--quiet", "--message", "Template 0.1.0")


def customers(seed: int) -> str:
    """Return a CSV file of customers, who leave the sooner the shorter they stayed."""
    rng = random.Random(seed)
    lines = ["customer,tenure,plan,spend,churn"]
    for number in range(ROWS):
        tenure = rng.randint(0, 72)
        plan = rng.choice(["basic", "plus", "pro"])
        spend = round(rng.gauss(50, 15), 2)
        leaves = rng.gauss(30, 12) > tenure + 10 * (plan == "pro")
        answer = "yes" if leaves else "no"
        lines.append(f"c{number:04d},{tenure},{plan},{spend},{answer}")
    return "\n".join(lines) + "\n"


def houses(seed: int) -> str:
    """Return a CSV file of houses and their prices."""
    rng = random.Random(seed)
    lines = ["house,area,rooms,age,price"]
    for number in range(ROWS):
        area = round(rng.gauss(100, 25), 1)
        rooms = rng.randint(1, 7)
        age = rng.randint(0, 120)
        price = round(area * 3.1 + rooms * 12 - age * 0.4 + rng.gauss(0, 15), 2)
        lines.append(f"h{number:04d},{area},{rooms},{age},{price}")
    return "\n".join(lines) + "\n"


def live(life: Life) -> None:
    """Play what happens in the repository, in the order of the README beside it."""
    answers = [
        "project_name=Acme models",
        "github_owner=acme",
        "author_email=ana@example.com",
    ]
    command = ["cruft", "create", str(life.template), "--no-input", "--extra-context"]
    context = "{" + ", ".join(
        '"{}": "{}"'.format(*answer.split("=")) for answer in answers
    )
    life.run(life.root, *command, context + "}")

    life.run(life.repository, "git", "init", "--quiet", "--initial-branch=main")
    life.commit("Start from the template")

    data = life.root / "rows"
    data.mkdir()
    (data / "churn.csv").write_text(customers(1), encoding="utf-8")
    (data / "price.csv").write_text(houses(2), encoding="utf-8")
    life.mlops("new", "churn", "--data", str(data / "churn.csv"), "--target", "churn")
    life.mlops("new", "price", "--data", str(data / "price.csv"), "--target", "price")
    life.commit("Two models of our own")

    release(life, "churn")
    life.mlops("promote", "churn@latest", "staging", "-m", "first version")
    life.mlops("promote", "churn@latest", "production", "-m", "first version")
    release(life, "price")
    life.mlops("promote", "price@latest", "staging", "-m", "first version")

    life.mlops("sweep", "churn", "--param", "C=0.1,1,10", ok=False)
    (life.repository / "models/churn/data").mkdir(exist_ok=True)
    more = customers(3).replace("\nc", "\nd")
    life.write("models/churn/data/more.csv", more)
    life.replace(
        "models/churn/model.yaml", "source: data/churn.csv", "source: data/*.csv"
    )
    life.commit("More customers")
    release(life, "churn")
    life.mlops("promote", "churn@latest", "staging", "-m", "more data")
    life.mlops("promote", "churn@latest", "production", "-m", "more data")
    life.mlops("rollback", "churn", "production", "-m", "support asked for it")


def release(life: Life, model: str) -> None:
    """Run a model's pipeline and register what came of it, whatever the verdict."""
    life.mlops("run", model, ok=False)
    said = life.mlops("register", model, ok=False)
    print(f"{model}: {said.strip().splitlines()[0] if said.strip() else 'nothing'}")


def change_as_owner(life: Life) -> None:
    """Make the changes that an update must keep, or must say that it could not."""
    life.replace("project.yaml", "owner:", "# Ana looks after this file.\nowner:")
    life.replace(
        ".github/workflows/pull-request.yml",
        "# ",
        "# Acme: ask #ml-help before you change this.\n# ",
    )
    life.replace(
        "pyproject.toml", 'version = "0.0.0"', 'version = "0.0.0"\nkeywords = ["acme"]'
    )
    life.write("models/churn/notes.md", "Ask sales before July.\n")
    life.run(
        life.repository,
        "git",
        "mv",
        "tests/test_repository.py",
        "tests/test_our_repository.py",
    )
    life.commit("What we do differently")


def pack(life: Life) -> None:
    """Write the bundle and the archive of the release store."""
    OUT.mkdir(exist_ok=True)
    life.run(
        life.repository,
        "git",
        "fetch",
        "--quiet",
        str(life.template),
        "template:template",
    )
    bundle = str(OUT / "repository.bundle")
    life.run(life.repository, "git", "bundle", "create", "--quiet", bundle, "--all")
    with tarfile.open(OUT / "releases.tar.xz", "w:xz") as archive:
        for path in sorted((life.repository / ".mlops/releases").rglob("*")):
            if path.is_file():
                name = path.relative_to(life.repository).as_posix()
                info = archive.gettarinfo(path, name)
                info.uid = info.gid = info.mtime = 0
                info.uname = info.gname = ""
                with path.open("rb") as file:
                    archive.addfile(info, file)


def main() -> None:
    """Make the fixture anew."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(sys.argv[1]).resolve(), Path(folder))
        keep_template(life)
        live(life)
        change_as_owner(life)
        print(life.mlops("registry", "list", "--all"))
        pack(life)
    for path in sorted(OUT.iterdir()):
        print(f"{path.stat().st_size:>9,} {path.name}")


if __name__ == "__main__":
    main()

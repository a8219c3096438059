"""The first commit, wherever and however git is set up; and life with cruft."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from generation.baking import TEMPLATE, Bake, git

IDENTITY = "[user]\nname = Ada\nemail = ada@example.com\n"


def assert_first_commit(repository: Path, author: str = "your-github-name") -> None:
    assert git(repository, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(repository, "log", "--format=%an") == author
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "ls-files", "models")


def test_without_identity(bake: Bake) -> None:
    repository = bake()
    assert_first_commit(repository)
    assert (
        git(repository, "log", "--format=%ae %ce") == "you@example.com you@example.com"
    )
    config = (repository / ".git" / "config").read_text()
    assert "[user]" not in config, "a stand-in identity must not stay"


def test_with_identity(bake: Bake, sandbox: Path) -> None:
    (sandbox / ".gitconfig").write_text(IDENTITY)
    assert_first_commit(bake(), author="Ada")


def test_identity_from_the_environment(
    bake: Bake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Grace")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "grace@example.com")
    assert_first_commit(bake(), author="Grace")


def test_without_any_configuration(bake: Bake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    assert_first_commit(bake())


@pytest.mark.parametrize(
    "habit",
    [
        "[commit]\ngpgsign = true\n[gpg]\nprogram = no-such-signer\n",
        "[core]\nhooksPath = ~/hooks\n",
        "[init]\ntemplateDir = ~/template\ndefaultBranch = trunk\n",
        "[core]\nexcludesFile = ~/ignore\n",
        "[core]\nautocrlf = true\nsafecrlf = true\n",
        "[commit]\ntemplate = ~/missing\nverbose = true\n",
        "[user]\nuseConfigOnly = true\n",
    ],
    ids=["signing", "hooks", "template", "ignore", "crlf", "message", "identity"],
)
def test_global_habits(bake: Bake, sandbox: Path, habit: str) -> None:
    for folder in (sandbox / "hooks", sandbox / "template" / "hooks"):
        folder.mkdir(parents=True)
        for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"):
            (folder / name).write_text("#!/bin/sh\nexit 1\n")
            (folder / name).chmod(0o755)
    (sandbox / "ignore").write_text("*.csv\nmodels/\n")
    (sandbox / ".gitconfig").write_text(habit)
    repository = bake()
    # What was left out would be hidden by the same habit: compare with the tree itself.
    assert git(repository, "-c", "core.excludesFile=", "status", "--porcelain") == ""
    assert_first_commit(repository)


def test_data_is_committed_as_it_is(bake: Bake) -> None:
    repository = bake()
    for path in (repository / "models").rglob("*.csv"):
        committed = subprocess.run(
            ["git", "show", f"HEAD:{path.relative_to(repository).as_posix()}"],
            cwd=repository,
            capture_output=True,
            check=True,
        )
        assert committed.stdout == path.read_bytes()


@pytest.mark.parametrize(
    ("path", "megabytes", "code"),
    [
        ("models/employment/data/rows.csv", 2, 0),
        ("models/employment/data/rows.csv", 50, 0),
        ("models/employment/data/rows.csv", 51, 1),
        ("models/employment/batch/rows.csv", 50, 0),
        ("models/employment/batch/rows.csv", 51, 1),
        ("models/employment/notes.txt", 2, 1),
        ("notes.txt", 1, 0),
        ("notes.txt", 2, 1),
    ],
)
def test_data_may_be_fifty_times_as_large_as_other_files(
    bake: Bake, path: str, megabytes: int, code: int
) -> None:
    repository = bake()
    (repository / path).parent.mkdir(exist_ok=True)
    (repository / path).write_bytes(bytes(megabytes << 20))
    git(repository, "add", "-f", path)
    ended = set()
    for hook in ("large-files", "large-data"):
        done = subprocess.run(
            [sys.executable, "-m", "pre_commit", "run", hook, "--files", path],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        ended.add(done.returncode)
        assert not done.returncode or "exceeds" in done.stdout, done.stdout
    assert max(ended) == code


def test_without_git(
    bake: Bake,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    repository = bake()
    assert (repository / "README.md").is_file()
    said = capfd.readouterr().out
    assert "no commit yet" in said and "git could not be started" in said
    assert "git init -b main" in said


def test_inside_another_repository(
    bake: Bake,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    git(output, "init", "--quiet")
    # As in a hook of the outer repository.
    monkeypatch.setenv("GIT_DIR", str(output / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(output / ".git" / "index"))
    repository = bake()
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert_first_commit(repository)
    assert git(output, "rev-list", "--all") == ""
    assert "separate from it" in capfd.readouterr().out


def test_next_steps(bake: Bake, capfd: pytest.CaptureFixture[str]) -> None:
    bake(project_slug="churn", github_owner="acme", author_email="a@example.org")
    said = capfd.readouterr().out
    mlops = os.path.join(r".venv\Scripts" if os.name == "nt" else ".venv/bin", "mlops")
    assert said.rstrip().endswith(f"Next:\n  cd churn\n  make setup\n  {mlops} run")


def cruft(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cruft", *arguments],
        cwd=folder,
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_cruft_creates_checks_and_updates(
    template: Path, tmp_path: Path, sandbox: Path
) -> None:
    (sandbox / ".gitconfig").write_text(IDENTITY)
    source = tmp_path / "source"
    shutil.copytree(template, source)
    shutil.copy(TEMPLATE / ".gitattributes", source)
    git(source, "init", "--quiet")
    git(source, "add", "--all")
    git(source, "commit", "--quiet", "--message", "first")

    answers = '{"project_slug": "churn", "description": "It\'s \\"so\\" \\\\"}'
    said = cruft(
        "create", str(source), "--no-input", "--extra-context", answers, folder=tmp_path
    )
    assert "git init -b main" in said
    repository = tmp_path / "churn"
    assert not (repository / ".git").exists()
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "first")
    cruft("check", folder=repository)

    makefile = source / "{{cookiecutter.project_slug}}" / "Makefile"
    makefile.write_text(makefile.read_text() + "# newer\n", newline="\n")
    git(source, "commit", "--quiet", "--all", "--message", "second")
    said = cruft("update", "--skip-apply-ask", folder=repository)
    assert "Next:" not in said
    assert (repository / "Makefile").read_text().endswith("# newer\n")
    changed = git(repository, "status", "--porcelain").split()
    assert sorted(changed[1::2]) == [".cruft.json", "Makefile"]
    assert (repository / "models" / "employment").is_dir()
    cruft("check", folder=repository)

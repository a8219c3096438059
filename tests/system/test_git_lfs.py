"""Data that is kept in Git LFS, with the real program."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.conftest import git
from mlops.data.csv_format import ReadOptions
from mlops.data.read import read_table
from mlops.errors import UsageError

ROWS = "id,x\n1,0.5\n2,1.5\n"


@pytest.mark.system("git-lfs")
def test_a_clone_without_its_data_is_refused_and_reads_after_a_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    git(origin, "lfs", "install", "--local")
    git(origin, "lfs", "track", "*.csv")
    (origin / "rows.csv").write_text(ROWS)
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "Rows")

    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    git(tmp_path, "clone", "-q", origin.as_uri(), "clone")
    clone = tmp_path / "clone"
    path = clone / "rows.csv"
    with pytest.raises(UsageError, match="Git LFS pointer") as caught:
        read_table(path, path.name, None, None, ReadOptions())
    assert "git lfs pull" in str(caught.value)

    git(clone, "lfs", "install", "--local")
    git(clone, "lfs", "pull")
    assert path.read_text() == ROWS
    frame, _ = read_table(path, path.name, None, None, ReadOptions())
    assert frame["x"].tolist() == ["0.5", "1.5"]

"""Temporary files of a run in memory, where the machine has enough."""

from __future__ import annotations

import sys
from pathlib import Path

import in_memory
import pytest

SHOW = "import os; print(os.environ['TMPDIR']); raise SystemExit(7)"
PLENTY = "MemTotal:       24000000 kB\nMemAvailable:   23000000 kB\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for memory; the machine has plenty."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(PLENTY)
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(in_memory, "MEMORY", memory)
    monkeypatch.setattr(
        in_memory, "has_room", lambda: in_memory.available(meminfo.read_text()) > 1e9
    )
    monkeypatch.delenv("TMPDIR", raising=False)
    return memory


def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["in_memory.py", sys.executable, "-c", SHOW])
    return in_memory.main(), capfd.readouterr().out.strip()


def test_a_command_gets_a_folder_in_memory_that_is_gone_afterwards(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, folder = run(monkeypatch, capfd)
    assert code == 7
    assert Path(folder).parent == machine
    assert list(machine.iterdir()) == []


def test_a_folder_that_was_chosen_is_used(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    assert run(monkeypatch, capfd) == (7, "/elsewhere")


@pytest.mark.parametrize(
    ("free", "meminfo", "room"),
    [
        (30e9, PLENTY, True),
        (64e6, PLENTY, False),  # as in a container
        (30e9, "MemAvailable:    7000000 kB\n", False),
        (30e9, "", False),
        (30e9, None, False),  # no Linux
    ],
)
def test_files_go_to_memory_where_there_is_room_for_them_and_the_tests(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: float,
    meminfo: str | None,
    room: bool,
) -> None:
    class Usage:
        def __init__(self, path: Path) -> None:
            self.free = free

    monkeypatch.setattr(in_memory.shutil, "disk_usage", Usage)
    path = tmp_path / "meminfo"
    if meminfo is not None:
        path.write_text(meminfo)
    assert in_memory.has_room(tmp_path, path) is room
    assert in_memory.has_room(tmp_path / "nothing", tmp_path / "nothing") is False

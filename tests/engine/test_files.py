"""Files that are replaced as a whole, or left as they were."""

from __future__ import annotations

import errno
import os
import urllib.error
from pathlib import Path

import pytest
import requests

from mlops.errors import EnvironmentFailure
from mlops.io.files import replacing


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file.txt"
    path.parent.mkdir()
    path.write_text("old")
    return path


def test_the_file_is_replaced_when_the_block_succeeds(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES])
def test_a_refused_file_is_named_and_the_old_one_left(path: Path, code: int) -> None:
    with pytest.raises(EnvironmentFailure) as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    assert caught.value.problems[0].file == str(path)
    assert os.strerror(code).lower() in str(caught.value).lower()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("reset"),
        requests.Timeout("no answer"),
        requests.exceptions.ChunkedEncodingError("cut off"),
        urllib.error.URLError("no route"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        TimeoutError("timed out"),
        ValueError("other"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_network_did_is_not_blamed_on_the_file(
    path: Path, error: Exception
) -> None:
    with pytest.raises(type(error)) as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert caught.value is error
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_file_where_the_folder_should_be_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EnvironmentFailure, match="cannot write this file"),
        replacing(tmp_path / "file" / "below.txt"),
    ):
        raise AssertionError("the block must not begin")

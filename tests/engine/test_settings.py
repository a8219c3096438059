"""The environment is read once, checked, and nowhere else."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops import settings
from mlops.cli.main import app
from mlops.errors import UsageError

from .conftest import ENGINE

SOURCE = ENGINE / "vendor" / "mlops" / "src" / "mlops"

# What reads or changes the environment or the current folder, however it is imported.
_NAMES = {"environ", "environb", "getenv", "putenv", "unsetenv", "getcwd", "chdir"}
_METHODS = {"cwd", "home", "expanduser"}


def readers(path: Path) -> Iterator[str]:
    """Yield each place of a module that looks at the environment or current folder."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            of_os = isinstance(node.value, ast.Name) and node.value.id == "os"
            of_path = isinstance(node.value, ast.Name) and node.value.id == "Path"
            if (of_os and node.attr in _NAMES) or (of_path and node.attr in _METHODS):
                yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            for alias in node.names:
                if alias.name in _NAMES:
                    yield f"{path.name}:{node.lineno}: from os import {alias.name}"
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            yield f"{path.name}:{node.value.lineno}: envvar"


def test_only_the_settings_read_the_environment_and_the_current_folder() -> None:
    modules = sorted(SOURCE.rglob("*.py"))
    assert len(modules) > 50, "the engine was not found"
    others = [p for p in modules if p != SOURCE / "settings.py"]
    assert [place for path in others for place in readers(path)] == []
    assert list(readers(SOURCE / "settings.py")), "the search finds what it looks for"


def test_only_one_function_writes_the_environment() -> None:
    tree = ast.parse((SOURCE / "settings.py").read_text(encoding="utf-8"))
    writers = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and "os.environ." in ast.unparse(node.func):
                writers.add(function.name)
    assert writers == {"prepare_process"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOURCE_DATE_EPOCH", "abc"),
        ("SOURCE_DATE_EPOCH", "-1"),
        ("SOURCE_DATE_EPOCH", "9" * 5000),
        ("SOURCE_DATE_EPOCH", "253402300800"),
        ("SOURCE_DATE_EPOCH", "1e3"),
        ("MLOPS_HTTP_TIMEOUT", "x"),
        ("MLOPS_HTTP_TIMEOUT", "0"),
        ("MLOPS_HTTP_TIMEOUT", "nan"),
        ("MLOPS_HTTP_TIMEOUT", "inf"),
        ("MLOPS_RETRY_SECONDS", "\x1b[31m-5"),
        ("GIT_CONFIG_COUNT", "many"),
        ("MLOPS_PASS", "DATA_FOLDER,GH_TOKEN"),
        ("ATTESTATIONS", "maybe"),
    ],
)
def test_a_variable_that_makes_no_sense_is_one_clear_error(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["doctor"], prog_name="mlops")
    assert result.exit_code == 2
    assert result.output.startswith(f"error: {name}: ")
    assert result.output.count("error:") == 1
    assert "found:" in result.output
    assert "allowed:" in result.output
    assert "\x1b" not in result.output
    assert len(result.output) < 500


@pytest.mark.parametrize("text", ["on", "On", "ON"])
def test_a_switch_is_read_as_the_conditions_of_workflows_read_it(text: str) -> None:
    environment = {"ATTESTATIONS": text, "PAGES": text}
    found = settings.from_environment(environment, Path("/"))
    assert (found.attestations, found.pages) == ("on", "on")


def test_all_variables_that_make_no_sense_are_named_at_once() -> None:
    wrong = {"SOURCE_DATE_EPOCH": "x", "MLOPS_HTTP_TIMEOUT": "y"}
    with pytest.raises(UsageError) as error:
        settings.from_environment(wrong, Path("/"))
    assert {p.key for p in error.value.problems} == set(wrong)


def test_an_empty_environment_gives_the_defaults() -> None:
    found = settings.from_environment({}, Path("/repository"))
    assert found.http_timeout == 30
    assert found.retry_seconds == 1
    assert found.epoch is None
    assert found.colour
    assert not found.github.active
    assert found.github.api == "https://api.github.com"
    assert found.cache.name == "mlops"
    # A variable that is set and empty is as one that is not set: workflows pass such.
    names = ("SOURCE_DATE_EPOCH", "MLOPS_HTTP_TIMEOUT", "MLOPS_STATE", "NO_COLOR")
    assert (
        settings.from_environment(dict.fromkeys(names, ""), Path("/repository"))
        == found
    )


def test_each_variable_arrives_where_it_is_asked_for() -> None:
    found = settings.from_environment(
        {
            "SOURCE_DATE_EPOCH": "86400",
            "MLOPS_HTTP_TIMEOUT": "2.5",
            "MLOPS_STATE": "/state",
            "XDG_CACHE_HOME": "/caches",
            "NO_COLOR": "1",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "schedule",
            "GITHUB_OUTPUT": "/out",
            "MLOPS_GROUP": "night",
            "MLOPS_PASS": "DATA_FOLDER, STAGE,",
        },
        Path("/repository"),
    )
    assert found.now() == datetime(1970, 1, 2, tzinfo=UTC)
    assert found.http_timeout == 2.5
    assert found.state == Path("/state")
    assert found.cache == Path("/caches/mlops")
    assert not found.colour
    assert found.github.active
    assert found.github.scheduled
    assert found.github.output_path == Path("/out")
    assert found.group == "night"
    assert found.passed == ("DATA_FOLDER", "STAGE")


def test_no_secret_is_in_what_settings_print() -> None:
    secret = "s3cret" * 6
    found = settings.from_environment(
        dict.fromkeys(settings.SECRETS, secret), Path("/")
    )
    assert "s3cret" not in repr(found)
    assert found.secret("GITHUB_TOKEN") == secret
    with pytest.raises(ValueError, match="HOME"):
        found.secret("HOME")


def test_a_child_gets_an_environment_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/venv")
    child = settings.current().child_environment(VIRTUAL_ENV=None, COLUMNS="99")
    assert child["COLUMNS"] == "99"
    assert child["PATH"] == os.environ["PATH"]
    assert "VIRTUAL_ENV" not in child
    assert os.environ["VIRTUAL_ENV"] == "/venv"


def test_settings_in_force_end_with_their_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLOPS_GROUP", "before")
    with settings.using(settings.read()):
        monkeypatch.setenv("MLOPS_GROUP", "changed")
        assert settings.current().group == "before", "read once"
        with settings.changed(group="inner"):
            assert settings.current().group == "inner"
        assert settings.current().group == "before"
    assert settings.current().group == "changed"


def test_a_folder_that_was_deleted_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    result = CliRunner().invoke(app, ["doctor"], prog_name="mlops")
    assert result.exit_code == 2
    assert "error: the current folder was deleted" in result.output

"""A generated repository does what its README begins with, and passes its checks."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from generation.baking import Bake

# Downloaded packages are shared between test runs: the cache is no part of the test.
# Read here, before the sandbox gives the test another home.
HOME = Path.home()


@pytest.mark.slow
def test_setup_and_check(bake: Bake, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = bake(project_name="Kündigung 🙂")
    # Those of the `make test` around us.
    for variable in (
        *("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"),
        *("MYPY_CACHE_DIR", "RUFF_CACHE_DIR", "PYTHONDONTWRITEBYTECODE"),
    ):
        monkeypatch.delenv(variable, raising=False)
    # Set-up compiles a thousand modules that nothing here imports; that is a minute.
    monkeypatch.setenv("MAKEFLAGS", " -- UV_COMPILE_BYTECODE=0")
    readme = (repository / "README.md").read_text(encoding="utf-8")
    (first,) = re.findall(
        r"^## First three commands\n\n```sh\n(.*?)^```", readme, re.M | re.S
    )
    for commands in (first, "make check", "make setup"):
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=repository,
            capture_output=True,
            check=False,
            encoding="utf-8",
            env={**os.environ, "HOME": str(HOME)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if commands == "make check":
            assert "WARN" not in done.stderr
        if commands == first:
            assert "Put this model into production" in done.stdout
            assert (repository / "build" / "employment" / "report.html").is_file()
            steps = re.findall(r"^(\d of 4): ", done.stdout, re.MULTILINE)
            assert steps == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
            assert "Installed " in done.stderr  # uv's own progress
    assert done.stdout == "" or "Nothing to be done" in done.stdout, (
        "a second setup does nothing"
    )


def own_tests(repository: Path) -> Any:
    """Return the module of the fast tests of a repository itself."""
    place = repository / "tests" / "test_repository.py"
    found = importlib.util.spec_from_file_location("own_tests_of_a_repository", place)
    assert found and found.loader
    own = importlib.util.module_from_spec(found)
    found.loader.exec_module(own)
    return own


@pytest.mark.parametrize("installed", ["2.0.0", None])
def test_a_pin_that_was_changed_in_every_lock_and_does_not_fit_the_rest_is_refused(
    bake: Bake, installed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The locks agree with each other then, and only what is installed does not."""
    own = own_tests(bake())
    own.test_what_is_installed_fits_together()
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name != "pydantic-core":
            return real(name)
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(own.metadata, "version", version)
    said = rf"there is {installed or 'nothing'} of pydantic-core: run `make lock`"
    with pytest.raises(AssertionError, match=said):
        own.test_what_is_installed_fits_together()


def test_a_pin_that_was_changed_in_place_is_refused_with_the_command_that_fixes_it(
    bake: Bake,
) -> None:
    """As Dependabot does it: one version, and not what was resolved with it."""
    repository = bake()
    locks = ("base", "train", "serve", "monitor", "dev")
    for lock in locks:
        path = repository / "requirements" / f"{lock}.txt"
        text = path.read_text(encoding="utf-8")
        pin = re.search(r"^pydantic==(\S+)", text, re.MULTILINE)
        assert pin
        path.write_text(text.replace(pin[0], "pydantic==2.99.0"), encoding="utf-8")
    own = own_tests(repository)
    for lock in locks:
        with pytest.raises(AssertionError, match=r"pydantic: run `make lock`"):
            own.test_locks_are_one_resolution(lock)
    own.test_locks_are_one_resolution("all")

"""Silence is an alarm: the age of a model's last check."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.registry.tags import read_registry
from mlops.registry.watched import LastChecked, watched
from mlops.reporting.site import site
from mlops.runlog.journal import append_check
from mlops.storage.folder import FolderStore

from .conftest import Trained
from .serving_world import NOW, release
from .test_alarm_page import made_up

DAY = timedelta(days=1)


@pytest.fixture(name="live")
def live_fixture(trained: Trained) -> Trained:
    release(trained)
    return trained


def checked(trained: Trained, days_ago: float) -> None:
    """Put a check of so many days before now on the run log."""
    until = (NOW - days_ago * DAY).isoformat(timespec="minutes")
    check = made_up(alarm=False, columns=(), until=until)
    append_check(trained.project, check.model_dump(mode="json"), "ana")


def looked_at(trained: Trained) -> LastChecked:
    (found,) = watched(trained.project, read_registry(trained.project.root), NOW)
    return found


def page_of(trained: Trained) -> str:
    store = FolderStore(trained.project.store)
    return site(trained.project, store, NOW).files["index.html"].decode()


def test_a_model_that_is_checked_daily_is_not_silent(live: Trained) -> None:
    checked(live, 20)
    checked(live, 1)
    found = looked_at(live)
    assert not found.silent and found.days == pytest.approx(1)
    page = page_of(live)
    assert "2026-11-22 12:00 UTC: no alarm" in page
    assert "no check of the monitor" not in page


def test_a_model_that_is_no_longer_checked_is_an_alarm_of_the_page(
    live: Trained,
) -> None:
    checked(live, 5)
    found = looked_at(live)
    assert found.silent
    assert found.text() == (
        "churn: the monitor's last check was 5 days ago (2026-11-18 12:00 UTC); more "
        "than 3 is silence"
    )
    assert "churn: no check of the monitor for 5 days" in page_of(live)


def test_the_owner_says_how_long_silence_may_last(live: Trained) -> None:
    checked(live, 5)
    path = live.project.folder("churn") / "model.yaml"
    yaml = YAML(typ="safe", pure=True)
    spec = yaml.load(path.read_text())
    with path.open("w") as file:
        yaml.dump(spec | {"monitor": {"silent_after": 7}}, file)
    assert not looked_at(live).silent
    path.write_text("no model")
    assert looked_at(live).silent, "the default, where nobody can read it"


def test_a_model_that_was_never_checked_is_no_alarm(live: Trained) -> None:
    found = looked_at(live)
    assert (found.until, found.silent) == (None, False)
    assert found.text() == "churn: the monitor has never checked it"
    assert "never" in page_of(live)


def test_a_model_that_is_not_live_is_not_watched(trained: Trained) -> None:
    checked(trained, 50)
    assert watched(trained.project, read_registry(trained.project.root), NOW) == ()


@pytest.mark.parametrize(
    ("days_ago", "ok", "found"),
    [
        pytest.param(1.0, True, "", id="yesterday"),
        pytest.param(9.0, False, "last check was 9 days ago", id="nine days ago"),
        pytest.param(None, True, "the monitor has never checked it", id="never"),
    ],
)
def test_doctor_fails_where_the_monitor_is_silent(
    live: Trained,
    monkeypatch: pytest.MonkeyPatch,
    days_ago: float | None,
    ok: bool,
    found: str,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp())))
    monkeypatch.chdir(live.project.root)
    if days_ago is not None:
        checked(live, days_ago)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    (one,) = [one for one in json.loads(done.stdout) if one["check"] == "monitor"]
    assert one["ok"] is ok
    assert found in one["found"]
    assert bool(found) == bool(one["found"])
